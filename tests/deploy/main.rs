//! The scripts and files in `deploy/`: dry runs need no root, refusals are clear, and named things exist.
//! No test changes the machine: real runs get a system tree of their own.
//!
//! `check.py` in this folder checks the files that are not scripts; it needs downloaded tools.

mod files;
mod hugepages;
mod isolate;
mod numa;
mod sysctl;
mod test_ca;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exit status, stdout and stderr.
type Outcome = (Option<i32>, String, String);

/// All scripts of `deploy/` but `changes.sh`, which the others source.
fn scripts() -> Vec<String> {
    let names = fs::read_dir(deploy()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.ends_with(".sh") && name != "changes.sh").collect()
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(deploy().join(name));
    command
}

fn output(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.output().expect("bash is there");
    let text = |bytes| String::from_utf8(bytes).expect("scripts print UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder that is removed with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("deploy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap().trim().to_owned()
    }

    /// Every file in the folder, with its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = fs::read_to_string(&path).unwrap().trim().to_owned();
                    found.insert(path, text);
                }
            }
        }
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_script_is_executable_and_strict_and_has_help() {
    let names = scripts();
    assert!(names.len() >= 5, "{names:?}");
    for name in &names {
        let mode = fs::metadata(deploy().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} is not executable");
        let text = fs::read_to_string(deploy().join(name)).unwrap();
        assert!(text.contains("\nset -euo pipefail\n"), "{name}");
        let (status, help, errors) = output(script(name).arg("--help"));
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{name}");
        assert!(help.starts_with(&format!("Usage: {name} ")), "{help}");
        assert!(help.contains("--dry-run") && help.contains("--undo"), "{help}");
        let (status, _, errors) = output(script(name).arg("--wrong"));
        assert_eq!(status, Some(2), "{name}");
        assert!(errors.contains("--wrong; see --help"), "{errors}");
    }
}
