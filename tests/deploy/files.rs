//! Files that are not scripts: sysctl values, the unit, the secrets of Compose and the seccomp profiles.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Folder, deploy, output, script};

#[test]
fn every_sysctl_key_exists_and_has_a_reason_above_it() {
    let text = fs::read_to_string(deploy().join("sysctl.d/60-blipmq.conf")).unwrap();
    let mut keys = 0;
    for paragraph in text.split("\n\n").skip(1) {
        assert!(paragraph.trim_start().starts_with("# "), "no reason for: {paragraph}");
        for line in paragraph.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(" = ").expect("key = value");
            assert!(value.split(' ').all(|number| number.parse::<u64>().is_ok()), "{line}");
            keys += 1;
            let path = Path::new("/proc/sys").join(key.replace('.', "/"));
            if !path.exists() && key.starts_with("net.") {
                // Kernels show some of these in the first network namespace only.
                eprintln!("skipped: {key} is not visible in this namespace");
                continue;
            }
            assert!(path.exists(), "{} is missing", path.display());
        }
    }
    assert_eq!(keys, 7);
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = fs::read_to_string(deploy().join("blipmq.service")).unwrap();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    // `verify` needs an existing program, and the broker may not be installed on this machine.
    let folder = Folder::new("unit");
    assert!(unit.contains("ExecStart=/usr/local/bin/blipmq "));
    folder.write(
        "blipmq.service",
        &unit.replace("/usr/local/bin/blipmq", env!("CARGO_BIN_EXE_blipmq")),
    );
    let (status, stdout, errors) =
        output(Command::new("systemd-analyze").arg("verify").arg(folder.0.join("blipmq.service")));
    // Other units of the machine may have problems too.
    let ours: Vec<&str> = stdout
        .lines()
        .chain(errors.lines())
        .filter(|line| line.contains("blipmq.service"))
        .collect();
    assert!(ours.is_empty(), "{status:?}: {ours:#?}");
}

#[test]
fn the_unit_has_the_lines_for_notify_watchdog_and_reload() {
    let unit = fs::read_to_string(deploy().join("blipmq.service")).unwrap();
    for line in [
        "Type=notify",
        "WatchdogSec=10",
        "ExecReload=/usr/local/bin/blipmq check-config /etc/blipmq/blipmq.toml",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "LimitNOFILE=1048576",
        "LimitMEMLOCK=infinity",
        "RestartPreventExitStatus=2",
        "Slice=blipmq.slice",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}

fn secrets(folder: &Folder, arguments: &[&str]) -> super::Outcome {
    let mut command = script("compose-secrets.sh");
    output(command.args(arguments).env("SECRETS", folder.0.join("secrets")))
}

#[test]
fn secrets_of_compose_are_made_once_match_and_can_be_removed() {
    let folder = Folder::new("secrets");
    let (status, stdout, errors) = secrets(&folder, &["--dry-run"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!((stdout.matches("would write ").count(), folder.files().len()), (3, 0), "{stdout}");

    let (status, stdout, errors) = secrets(&folder, &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    let token = folder.read("secrets/metrics-token");
    assert_eq!(token.len(), 64);
    let config = folder.read("secrets/blipmq.toml");
    let metrics = format!("[metrics]\nbind_addr = \"0.0.0.0:9090\"\ntoken = \"{token}\"");
    assert!(config.ends_with(&metrics), "{config}");
    let mode = fs::metadata(folder.0.join("secrets")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "others of this machine could read the token");
    let mut check = Command::new(env!("CARGO_BIN_EXE_blipmq"));
    let (status, _, errors) =
        output(check.arg("check-config").arg(folder.0.join("secrets/blipmq.toml")));
    assert_eq!((status, errors.as_str()), (Some(0), ""));

    let before = folder.files();
    let (status, stdout, _) = secrets(&folder, &[]);
    assert_eq!((status, stdout.matches(" is there already").count()), (Some(0), 3), "{stdout}");
    assert_eq!(folder.files(), before);

    let (status, stdout, _) = secrets(&folder, &["--dry-run", "--undo"]);
    assert_eq!((status, folder.files() == before), (Some(0), true), "{stdout}");
    let (status, stdout, errors) = secrets(&folder, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(!folder.0.join("secrets").exists());
    assert_eq!(secrets(&folder, &["--undo"]).0, Some(0));
}

#[test]
fn a_token_of_the_operator_is_used_unless_it_would_break_the_file() {
    let folder = Folder::new("secrets-given");
    folder.write("secrets/metrics-token", "given-by-the-operator\n");
    assert_eq!(secrets(&folder, &[]).0, Some(0));
    assert!(folder.read("secrets/blipmq.toml").contains("token = \"given-by-the-operator\""));
    assert_eq!(secrets(&folder, &["--undo"]).0, Some(0));

    folder.write("secrets/metrics-token", "sixteen letters \"\n");
    let (status, _, errors) = secrets(&folder, &[]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("one line of at least 16 letters, digits"), "{errors}");
    assert!(!folder.0.join("secrets/blipmq.toml").exists());
}

#[test]
fn seccomp_profiles_are_those_of_docker_with_three_calls_of_io_uring() {
    let (status, stdout, errors) =
        output(Command::new("python3").arg(deploy().join("make-seccomp.py")).arg("--check"));
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");

    // An edited profile is detected.
    let folder = Folder::new("seccomp");
    for name in ["make-seccomp.py", "seccomp.json", "kubernetes/seccomp.json"] {
        folder.write(name, &fs::read_to_string(deploy().join(name)).unwrap());
    }
    let text = folder.read("seccomp.json").replace("\"acct\"", "\"acct\", \"kexec_load\"");
    folder.write("seccomp.json", &text);
    let (status, _, errors) =
        output(Command::new("python3").arg(folder.0.join("make-seccomp.py")).arg("--check"));
    assert_eq!(status, Some(1));
    assert!(errors.contains("without our rule is not Docker's default"), "{errors}");
}
