//! Secrets in files, in credentials of systemd and in the environment: read, checked, and never shown.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

/// A folder with a configuration and files beside it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str, config: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("blipmq-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("blipmq.toml"), config).expect("a file");
        Folder(path)
    }

    fn write(&self, name: &str, mode: u32, bytes: &[u8]) -> &Folder {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        self
    }

    fn check(&self, variables: &[(&str, &Path)]) -> Output {
        let mut command = blipmq(&["check-config"]);
        command.arg(self.0.join("blipmq.toml")).env_remove("CREDENTIALS_DIRECTORY");
        command.envs(variables.iter().copied());
        command.output().expect("blipmq starts")
    }
}

/// Goal: every secret can be elsewhere, and printing the settings shows where, not what.
#[test]
fn printed_settings_name_the_place_of_a_secret_and_not_the_secret() {
    let folder = Folder::new(
        "places",
        "[metrics]\ntoken_file = \"metrics.token\"\n\
         [[auth.users]]\nuser = \"a\"\npassword_file = \"sub/../a.password\"\n\
         [[auth.users]]\nuser = \"b\"\npassword = { env = \"B_PASSWORD\" }\n\
         [[auth.users]]\nuser = \"c\"\npassword = \"s3cret-c\"\n",
    );
    fs::create_dir_all(folder.0.join("sub")).expect("a folder");
    folder.write("metrics.token", 0o640, b"s3cret-m\n").write("a.password", 0o400, b"s3cret-a");
    let output = folder.check(&[("B_PASSWORD", Path::new("s3cret-b"))]);
    assert_status(&output, 0);
    let printed = String::from_utf8(output.stdout).expect("text");
    for line in [
        "\ntoken_file = \"metrics.token\"\n",
        "\npassword_file = \"sub/../a.password\"\n",
        "\npassword = { env = \"B_PASSWORD\" }\n",
        "\npassword = \"<not printed>\"\n",
        "\n# token = \"...\"\n",
    ] {
        assert!(printed.contains(line), "{line} is missing in {printed}");
    }
    assert!(!printed.contains("s3cret"), "{printed}");
}

#[test]
fn a_relative_path_is_looked_for_among_the_credentials_first() {
    let folder = Folder::new("credentials", "[auth]\ntoken_file = \"token\"\n");
    folder.write("token", 0o644, b"s3cret");
    let credentials = folder.0.join("credentials");
    fs::create_dir_all(&credentials).expect("a folder");
    folder.write("credentials/token", 0o400, b"s3cret");
    assert_status(&folder.check(&[("CREDENTIALS_DIRECTORY", &credentials)]), 0);
    let refused = "/token has mode 0644";
    assert_fails(&folder.check(&[]), refused);
    fs::remove_file(credentials.join("token")).expect("it is there");
    assert_fails(&folder.check(&[("CREDENTIALS_DIRECTORY", &credentials)]), refused);
}

/// Goal: each file that cannot have a secret is refused with its line, its name and what to do.
#[test]
fn a_file_that_cannot_have_a_secret_is_refused_with_what_to_do() {
    let folder = Folder::new("refused", "[auth]\ntoken_file = \"it's.token\"\n");
    let line =
        format!("{}/blipmq.toml:2: [auth] token_file = \"it's.token\": ", folder.0.display());
    let check = |expected: &str| {
        let output = folder.check(&[]);
        assert_fails(&output, &line);
        assert_fails(&output, expected);
        assert!(!stderr(&output).contains("s3cret"), "{}", stderr(&output));
    };
    check("it's.token: No such file or directory");
    folder.write("it's.token", 0o604, b"s3cret");
    check("has mode 0604");
    check(&format!("run chmod o-rwx '{}/it'\\''s.token'", folder.0.display()));
    for (bytes, expected) in [
        (&b""[..], "it's.token is empty"),
        (b"\n", "it's.token is empty"),
        (b"s3cret\ns3cret\n", "it's.token has several lines"),
        (b"s3cret\n\n", "it's.token has several lines"),
        (b"s3cret\xff", "it's.token is not UTF-8"),
        (&[b'x'; 1_025], "it's.token has more than the 1024 bytes"),
        (b"$2b$10$s3cret", "this begins like a bcrypt hash"),
        (b"<not printed>", "this is the printed placeholder"),
    ] {
        fs::remove_file(folder.0.join("it's.token")).expect("it is there");
        folder.write("it's.token", 0o600, bytes);
        check(expected);
    }
    fs::remove_file(folder.0.join("it's.token")).expect("it is there");
    let pipe = std::process::Command::new("mkfifo").arg(folder.0.join("it's.token")).status();
    assert!(pipe.expect("mkfifo starts").success());
    fs::set_permissions(folder.0.join("it's.token"), Permissions::from_mode(0o600))
        .expect("a mode");
    check("it's.token is not a regular file");
}

#[test]
fn a_secret_that_is_not_there_or_there_twice_is_refused() {
    for (config, expected) in [
        (
            "[auth]\ntoken = { env = \"BLIPMQ_NOT_SET\" }\n",
            ":2: [auth] token = <not printed>: the environment variable BLIPMQ_NOT_SET is not set",
        ),
        ("[auth]\ntoken = { env = \"A=B\" }\n", "this is no name of an environment variable"),
        ("[auth]\ntoken = { env = 5 }\n", ":2: [auth] token = <not printed> is a table, must be"),
        ("[auth]\ntoken = { file = \"s3cret\" }\n", "or { env = \"NAME\" }"),
        ("[auth]\ntoken = { env = \"HOME\", x = 1 }\n", "or { env = \"NAME\" }"),
        ("[auth]\ntoken_file = \"\"\n", "the path is empty"),
        ("[auth]\ntoken = \"s3cret\"\ntoken_file = \"f\"\n", "keep one of the two"),
        (
            "[[auth.users]]\nuser = \"u\"\npassword = \"s3cret\"\npassword_file = \"f\"\n",
            "[[auth.users]] password_file: there are password and password_file",
        ),
        (
            "[[auth.users]]\nuser = \"u\"\npassword_file = 5\n",
            "must be the path of a file in quotes",
        ),
        (
            "[metrics]\ntoken = \"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"\n",
            "a hash cannot stand for this secret",
        ),
    ] {
        let folder = Folder::new("absent", config);
        folder.write("f", 0o600, b"s3cret");
        let output = folder.check(&[]);
        assert_fails(&output, expected);
        assert!(!stderr(&output).contains("s3cret"), "{}", stderr(&output));
    }
}
