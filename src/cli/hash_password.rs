//! `blipmq hash-password`: the hash of a password or a token, for the configuration.
//!
//! Called by `cli`. Needs no broker.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use blipmq::config::hash::{Hash, Work};
use blipmq::limits::SECRET_BYTES_MAX;
use clap::Args;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Outcome;
use crate::server::passwords::compare::{BCRYPT_PASSWORD_BYTES, output};

pub const EXAMPLES: &str = "Examples:
  blipmq hash-password                           type the password twice, unseen
  blipmq hash-password < password.txt            read it from a file, without its last newline
  blipmq hash-password --bcrypt                  for a file that nats-server reads as well

The hash takes the place of the password in [[auth.users]], or of the token in [auth]. It is argon2id
with 19 MiB of memory, 2 passes and 1 lane: about 25 ms of one CPU for the first login with a password,
none for others with the same one.";

/// What OWASP recommends as the least memory and passes.
const ARGON2: Work = Work::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 };
/// What `nats server passwd` takes.
const BCRYPT: Work = Work::Bcrypt { cost: 11 };
const SALT_BYTES: usize = 16;
const ARGON2_BYTES: usize = 32;
const BCRYPT_BYTES: usize = 23;

/// Print the hash of a password or token, which is read from stdin.
#[derive(Debug, Args)]
pub struct HashPassword {
    /// Make a bcrypt hash with cost 11 instead of an argon2id hash.
    #[arg(long)]
    bcrypt: bool,
}

impl HashPassword {
    pub fn run(self) -> Outcome {
        let password = match io::stdin().is_terminal() {
            true => read_from_terminal()?,
            false => read_from_pipe()?,
        };
        if self.bcrypt && password.len() >= BCRYPT_PASSWORD_BYTES {
            return Err(format!(
                "the password has {} bytes, and bcrypt looks at the first {BCRYPT_PASSWORD_BYTES} only; \
                 leave out --bcrypt, or choose a shorter one",
                password.len()
            ));
        }
        let (work, len) = match self.bcrypt {
            true => (BCRYPT, BCRYPT_BYTES),
            false => (ARGON2, ARGON2_BYTES),
        };
        let mut salt = [0; SALT_BYTES];
        getrandom(&mut salt, GetRandomFlags::empty())
            .map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let output = output(&password, work, &salt, len).expect("this work can be done");
        let hash = Hash { work, salt: salt.to_vec(), output };
        writeln!(io::stdout(), "{hash}").map_err(|error| format!("cannot write to stdout: {error}"))
    }
}

/// Reads a password that is typed twice.
fn read_from_terminal() -> Result<String, String> {
    let _hidden = Hidden::new().map_err(|error| format!("cannot hide what is typed: {error}"))?;
    let [first, second] = [ask("Password: ")?, ask("The same again: ")?];
    match first == second {
        true => checked(first),
        false => Err("the two are not the same; nothing was hashed".to_owned()),
    }
}

fn ask(prompt: &str) -> Result<String, String> {
    let mut line = String::new();
    let asked = write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush());
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut line))
        .and_then(|_| writeln!(io::stderr()))
        .map_err(|error| format!("cannot read the password: {error}"))?;
    Ok(without_newline(line))
}

fn read_from_pipe() -> Result<String, String> {
    let mut password = String::new();
    // One more byte than may come, and its newline.
    let mut stdin = io::stdin().lock().take(SECRET_BYTES_MAX as u64 + 3);
    stdin
        .read_to_string(&mut password)
        .map_err(|error| format!("cannot read the password from stdin: {error}"))?;
    checked(without_newline(password))
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn checked(password: String) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty; give one on stdin".to_owned());
    }
    if password.len() > SECRET_BYTES_MAX {
        return Err(format!(
            "the password is longer than {SECRET_BYTES_MAX} bytes; choose a shorter one"
        ));
    }
    if password.contains('\n') {
        return Err("the password has several lines; give a single one".to_owned());
    }
    Ok(password)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn new() -> io::Result<Hidden> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Hidden { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing else can be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
