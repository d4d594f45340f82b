//! `blipmq hash-password`: what it prints is a hash of what it read.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use blipmq::config::hash::{Hash, Work};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::support::running::{Broker, cores};
use super::*;

/// The hash of what stdin has.
#[track_caller]
fn hash_of(words: &[&str], stdin: &[u8]) -> String {
    let output = run_with_stdin(&[&["hash-password"], words].concat(), stdin);
    assert_status(&output, 0);
    let printed = String::from_utf8(output.stdout).expect("a hash is text");
    printed.strip_suffix('\n').expect("one line").to_owned()
}

fn work(hash: &str) -> Work {
    Hash::parse(hash).expect("a hash").expect("one that is served").work
}

/// Goal: a client whose password or token is hashed like this can log in, and no other.
#[test]
fn a_broker_takes_its_hashes_for_the_password() {
    let argon2 = hash_of(&[], b"s3cret words\n");
    assert_eq!(work(&argon2), Work::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 });
    let bcrypt = hash_of(&["--bcrypt"], b"s3cret words\r\n");
    assert_eq!(work(&bcrypt), Work::Bcrypt { cost: 11 });
    let config = format!(
        "[[auth.users]]\nuser = \"eu\"\npassword = \"{argon2}\"\n\
         [[auth.users]]\nuser = \"us\"\npassword = \"{bcrypt}\"\n"
    );
    let Some(cores) = cores(1) else { return };
    let broker = Broker::start_with(&cores, &config);
    let server = broker.server();
    let publish = |user: &str, password: &str| {
        run(&["pub", "--server", &server, "--user", user, "--password", password, "a", "b"])
    };
    for user in ["eu", "us"] {
        assert_status(&publish(user, "s3cret words"), 0);
        let refused = [publish(user, "s3cret words "), publish("nobody", "s3cret words")];
        for output in &refused {
            assert_fails(output, "authentication failed with auth kind 2 (user and password)");
        }
        assert_eq!(stderr(&refused[0]), stderr(&refused[1]));
    }
}

#[test]
fn each_hash_has_a_salt_of_its_own() {
    assert_ne!(hash_of(&[], b"p"), hash_of(&[], b"p"));
}

#[test]
fn what_cannot_be_a_password_is_refused() {
    let long = "x".repeat(5_000);
    for (words, stdin, error) in [
        (&[][..], &b""[..], "the password is empty"),
        (&[], b"\n", "the password is empty"),
        (&[], b"a\nb\n", "several lines"),
        (&[], long.as_bytes(), "longer than 1024 bytes"),
        (&[], b"\xff\xfe", "cannot read the password from stdin"),
        (&["--bcrypt"], &long.as_bytes()[..72], "bcrypt looks at the first 72 only"),
    ] {
        let output = run_with_stdin(&[&["hash-password"], words].concat(), stdin);
        assert_fails(&output, error);
    }
    hash_of(&["--bcrypt"], &long.as_bytes()[..71]);
}

/// Goal: what is typed at a terminal is not shown, has to be typed twice, and the terminal shows again
/// what is typed afterwards.
#[test]
fn a_terminal_does_not_show_the_password() {
    for (typed, is_same) in [("p4ss\np4ss\n", true), ("p4ss\np5ss\n", false)] {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
        let path = ptsname(&master, Vec::new()).expect("a terminal has a path");
        let path = path.to_str().expect("a plain path");
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let terminal = opened.expect("a terminal");
        let of_child: OwnedFd = terminal.try_clone().expect("a terminal").into();
        let mut command = blipmq(&["hash-password"]);
        command.stdin(Stdio::from(of_child)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("blipmq starts");
        let mut prompts = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut prompt = [0; 10];
        std::io::Read::read_exact(&mut prompts, &mut prompt).expect("a prompt");
        assert_eq!(&prompt, b"Password: ");
        let hides = !tcgetattr(&terminal).expect("modes").local_modes.contains(LocalModes::ECHO);
        assert!(hides, "before it asks");
        let mut master = std::fs::File::from(master);
        master.write_all(typed.as_bytes()).expect("a terminal");
        let output = child.wait_with_output().expect("blipmq exits");
        assert_eq!(output.status.success(), is_same);
        assert_eq!(output.stdout.is_empty(), !is_same);
        let rest: Vec<String> = prompts.lines().map(|line| line.expect("text")).collect();
        assert!(!rest.concat().contains("p4ss"), "{rest:?}");
        assert_eq!(rest.concat().contains("the two are not the same"), !is_same, "{rest:?}");
        assert!(tcgetattr(&terminal).expect("modes").local_modes.contains(LocalModes::ECHO));
    }
}
