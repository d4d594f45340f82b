//! The script that makes certificates for trying TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{Folder, output, script};

fn is_installed() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!("skipped: openssl is not installed");
    }
    found
}

/// What `openssl verify` says of a certificate.
fn verify(folder: &Folder, words: &[&str], name: &str) -> bool {
    let mut command = Command::new("openssl");
    command.arg("verify").arg("-CAfile").arg(folder.0.join("ca.pem")).args(words);
    command.arg(folder.0.join(name)).output().expect("it is installed").status.success()
}

#[test]
fn authority_server_and_users_are_made_once_for_their_names_and_purposes() {
    let folder = Folder::new("test-ca");
    if !is_installed() {
        return;
    }
    let make = |users: &[&str]| {
        let mut command = script("make-test-ca.sh");
        command.arg("--out").arg(&folder.0).args(["--host", "broker.test", "--host", "10.0.0.7"]);
        output(command.args(users))
    };
    let (status, _, errors) = make(&["alice", "bob@example.com"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for (words, name, expected) in [
        (&["-purpose", "sslserver", "-verify_hostname", "broker.test"][..], "server.pem", true),
        (&["-purpose", "sslserver", "-verify_ip", "10.0.0.7"], "server.pem", true),
        (&["-purpose", "sslserver", "-verify_hostname", "elsewhere.test"], "server.pem", false),
        (&["-purpose", "sslclient"], "server.pem", false),
        (&["-purpose", "sslclient"], "alice.pem", true),
        (&["-purpose", "sslserver"], "alice.pem", false),
        (
            &["-purpose", "sslclient", "-verify_email", "bob@example.com"],
            "bob@example.com.pem",
            true,
        ),
    ] {
        assert_eq!(verify(&folder, words, name), expected, "{name} {words:?}");
    }
    for name in ["ca", "server", "alice", "bob@example.com"] {
        let mode = |file: String| fs::metadata(folder.0.join(file)).unwrap().permissions().mode();
        assert_eq!(mode(format!("{name}.key")) & 0o777, 0o600, "others can read the key of {name}");
        assert_eq!(mode(format!("{name}.pem")) & 0o777, 0o644);
    }
    let before = folder.files();
    let (status, text, _) = make(&["alice", "carol"]);
    assert_eq!(status, Some(0));
    assert!(text.contains("alice.pem is there already"), "{text}");
    let after = folder.files();
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)));
    assert_eq!(after.len(), before.len() + 2, "carol, and nothing else");
}

#[test]
fn undo_removes_what_the_script_has_made_and_nothing_else() {
    let folder = Folder::new("test-ca-undo");
    if !is_installed() {
        return;
    }
    let run = |words: &[&str]| {
        let (status, text, errors) =
            output(script("make-test-ca.sh").arg("--out").arg(&folder.0).args(words));
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{words:?}");
        text
    };
    let text = run(&["--dry-run", "alice"]);
    assert!(text.contains("would write") && folder.files().is_empty(), "{text}");
    run(&["alice"]);
    folder.write("own.pem", "a certificate of somebody");
    folder.write("own.key", "its key");
    let all = folder.files();
    run(&["--undo", "--dry-run"]);
    assert_eq!(folder.files(), all);
    run(&["--undo"]);
    let left = folder.files();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(run(&["--undo"]).contains("has no certificates"));
}

#[test]
fn arguments_that_make_no_certificate_are_refused_before_anything_is_written() {
    let folder = Folder::new("test-ca-arguments");
    for (words, expected) in [
        (&["--days", "0"][..], "1 to 825"),
        (&["--days", "826"], "1 to 825"),
        (&["--host", "a b"], "neither a name nor an address"),
        (&["--host"], "needs a value"),
        (&["../alice"], "cannot be the name of a file"),
        (&["ca"], "a meaning of its own"),
    ] {
        let command = &mut script("make-test-ca.sh");
        let (status, _, errors) = output(command.arg("--out").arg(&folder.0).args(words));
        assert_eq!(status, Some(2), "{words:?}: {errors}");
        assert!(errors.contains(expected), "{errors}");
    }
    assert!(folder.files().is_empty());
}
