//! Kernel settings: raised and restored by `sysctl.sh`.

use super::{Folder, Outcome, output, script};

fn tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    for (key, value) in [
        ("fs/nr_open", "1048576"),
        ("fs/file-max", "9223372036854775807"),
        ("net/core/rmem_max", "212992"),
        // More than the file asks for.
        ("net/core/wmem_max", "67108864"),
        ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
        // The second number is more, the third is less.
        ("net/ipv4/tcp_wmem", "4096\t65536\t4194304"),
    ] {
        folder.write(&format!("proc/sys/{key}"), &format!("{value}\n"));
    }
    folder
}

fn sysctl(tree: &Folder, arguments: &[&str]) -> Outcome {
    let mut command = script("sysctl.sh");
    command
        .args(arguments)
        .env("PROCFS", tree.0.join("proc"))
        .env("STATE_DIR", tree.0.join("state"));
    output(&mut command)
}

#[test]
fn sysctl_raises_values_lowers_none_and_skips_invisible_keys() {
    let tree = tree("sysctl");
    let (status, stdout, errors) = sysctl(&tree, &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("fs.nr_open was 1048576, is 2097152\n"), "{stdout}");
    assert!(stdout.contains("fs.file-max is 9223372036854775807 already\n"), "{stdout}");
    assert!(stdout.contains("net.core.somaxconn is not visible in this namespace"), "{stdout}");
    assert_eq!(tree.read("proc/sys/net/core/rmem_max"), "16777216");
    assert_eq!(tree.read("proc/sys/net/core/wmem_max"), "67108864");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_rmem"), "4096 131072 33554432");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_wmem"), "4096 65536 33554432");
}

#[test]
fn a_second_run_of_sysctl_changes_nothing_and_undo_restores_everything() {
    let tree = tree("sysctl-undo");
    let before = tree.files();
    let (status, stdout, errors) = sysctl(&tree, &["--dry-run"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let path = tree.0.join("proc/sys/fs/nr_open");
    assert!(stdout.contains(&format!("would write 2097152 to {}", path.display())), "{stdout}");
    assert_eq!(tree.files(), before);

    assert_eq!(sysctl(&tree, &[]).0, Some(0));
    let once = tree.files();
    assert_ne!(once, before);
    let (status, stdout, _) = sysctl(&tree, &[]);
    assert_eq!((status, stdout.contains(" was ")), (Some(0), false), "{stdout}");
    assert_eq!(tree.files(), once);

    let (status, stdout, errors) = sysctl(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    // The kernel prints tabs between numbers, whatever was written.
    let spaces = |files: std::collections::BTreeMap<_, String>| -> Vec<_> {
        files.into_iter().map(|(path, text)| (path, text.replace('\t', " "))).collect()
    };
    assert_eq!(spaces(tree.files()), spaces(before));
}

#[test]
fn sysctl_refuses_a_file_with_a_bad_line_and_changes_nothing() {
    let tree = tree("sysctl-bad");
    tree.write("bad.conf", "fs.nr_open = 2097152\nnet.core.rmem_max = much\n");
    let before = tree.files();
    let bad = tree.0.join("bad.conf");
    let (status, _, errors) = sysctl(&tree, &[bad.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("\"net.core.rmem_max = much\" is not KEY = NUMBERS"), "{errors}");
    assert_eq!(tree.files(), before);
    let (status, _, errors) = sysctl(&tree, &["--undo", "bad.conf"]);
    assert_eq!((status, errors.contains("--undo takes no file")), (Some(2), true), "{errors}");
}
