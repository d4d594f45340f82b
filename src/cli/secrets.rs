//! Secrets that are not in the configuration: in files, among them the credentials that systemd hands over,
//! and in the environment.
//!
//! Called by `serve` and `check-config`, and again at each reload: a file is read anew, the environment of
//! a process stays as it is.
//!
//! # Always true
//! - A file that others can read is refused: what is in it is no secret.
//! - An error has the name of a file or of a variable, and nothing of what is in it.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use blipmq::config::SecretSource;
use blipmq::limits::SECRET_BYTES_MAX;
use rustix::fs::OFlags;

/// Where systemd puts the credentials of a service: see LoadCredential= in systemd.exec(5).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What others may not do with a file that has a secret.
const OTHERS: u32 = 0o007;

/// The secrets that a configuration file names.
pub struct Secrets {
    /// The folders to look for relative paths in.
    folders: Vec<PathBuf>,
}

impl Secrets {
    /// The secrets beside a configuration file, and before these the credentials of the service.
    pub fn beside(file: &Path) -> Secrets {
        let credentials = env::var_os(CREDENTIALS).filter(|folder| !folder.is_empty());
        let beside = file.parent().map(Path::to_owned);
        Secrets { folders: credentials.map(PathBuf::from).into_iter().chain(beside).collect() }
    }

    /// Where a file is. A path that is not absolute is looked for in each folder.
    fn find(&self, path: &str) -> PathBuf {
        let in_folder = |folder: &PathBuf| Some(folder.join(path)).filter(|found| found.exists());
        let last = self.folders.last().map(|folder| folder.join(path));
        self.folders.iter().find_map(in_folder).or(last).unwrap_or_else(|| PathBuf::from(path))
    }
}

impl SecretSource for Secrets {
    fn of_file(&self, path: &str) -> Result<String, String> {
        let path = self.find(path);
        let name = path.display();
        // Not waiting for a writer, if it is a pipe.
        let file =
            OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path);
        let mut file = file.map_err(|error| {
            format!("cannot read {name}: {error}; check the path and its permissions")
        })?;
        check(&path, &file)?;
        let mut text = Vec::new();
        // One byte more than may come, and a newline.
        let read = Read::by_ref(&mut file).take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut text);
        read.map_err(|error| format!("cannot read {name}: {error}"))?;
        one_line(text).map_err(|what| format!("{name} {what}"))
    }

    fn of_environment(&self, name: &str) -> Result<String, String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(
                "this is no name of an environment variable; give one like BLIPMQ_SECRET".into()
            );
        }
        match env::var_os(name) {
            None => Err(format!(
                "the environment variable {name} is not set; set it where the broker is started"
            )),
            Some(text) => one_line(text.into_encoded_bytes())
                .map_err(|what| format!("the environment variable {name} {what}")),
        }
    }
}

/// Checks that a file can have a secret.
fn check(path: &Path, file: &File) -> Result<(), String> {
    let name = path.display();
    let metadata = file.metadata().map_err(|error| format!("cannot look at {name}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{name} is not a regular file; give the path of one"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        let path = name.to_string();
        let quoted =
            match path.contains(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))) {
                true => format!("'{}'", path.replace('\'', r"'\''")),
                false => path,
            };
        return Err(format!(
            "{name} has mode {mode:04o}, so that every user of this machine can use the secret; run \
             chmod o-rwx {quoted}"
        ));
    }
    Ok(())
}

/// The secret in some bytes: one line, with or without its end. An error is to follow a name.
fn one_line(mut bytes: Vec<u8>) -> Result<String, String> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("has more than the {SECRET_BYTES_MAX} bytes that a secret may have"));
    }
    if bytes.contains(&b'\n') {
        return Err("has several lines, and a secret has one".to_owned());
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Err("is empty; write the secret into it".to_owned()),
        Ok(text) => Ok(text),
        Err(_) => Err("is not UTF-8 text".to_owned()),
    }
}
