//! Kernel settings: raised and put back by `sysctl.sh`.

use super::{Folder, Said, output, script};

fn tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    for (key, value) in [
        ("fs/nr_open", "1048576"),
        ("fs/file-max", "9223372036854775807"),
        ("net/core/rmem_max", "212992"),
        // More than what is asked for.
        ("net/core/wmem_max", "67108864"),
        ("net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
        // The second is more, the third is less.
        ("net/ipv4/tcp_wmem", "4096\t65536\t4194304"),
    ] {
        folder.write(&format!("proc/sys/{key}"), &format!("{value}\n"));
    }
    folder
}

fn sysctl(tree: &Folder, arguments: &[&str]) -> Said {
    let mut command = script("sysctl.sh");
    command
        .args(arguments)
        .env("PROCFS", tree.0.join("proc"))
        .env("STATE_DIR", tree.0.join("state"));
    output(&mut command)
}

#[test]
fn sysctl_raises_lowers_nothing_and_leaves_out_what_this_kernel_does_not_show() {
    let tree = tree("sysctl");
    let (status, said, errors) = sysctl(&tree, &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("fs.nr_open was 1048576, is 2097152\n"), "{said}");
    assert!(said.contains("fs.file-max is 9223372036854775807 already\n"), "{said}");
    assert!(said.contains("net.core.somaxconn is not to be seen from in here"), "{said}");
    assert_eq!(tree.read("proc/sys/net/core/rmem_max"), "16777216");
    assert_eq!(tree.read("proc/sys/net/core/wmem_max"), "67108864");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_rmem"), "4096 131072 33554432");
    assert_eq!(tree.read("proc/sys/net/ipv4/tcp_wmem"), "4096 65536 33554432");
}

#[test]
fn sysctl_run_twice_changes_nothing_more_and_undo_puts_all_back() {
    let tree = tree("sysctl-undo");
    let before = tree.files();
    let (status, said, errors) = sysctl(&tree, &["--dry-run"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let path = tree.0.join("proc/sys/fs/nr_open");
    assert!(said.contains(&format!("would write 2097152 to {}", path.display())), "{said}");
    assert_eq!(tree.files(), before);

    assert_eq!(sysctl(&tree, &[]).0, Some(0));
    let once = tree.files();
    assert_ne!(once, before);
    let (status, said, _) = sysctl(&tree, &[]);
    assert_eq!((status, said.contains(" was ")), (Some(0), false), "{said}");
    assert_eq!(tree.files(), once);

    let (status, said, errors) = sysctl(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    // The kernel puts tabs between numbers whatever was written.
    let spaces = |files: std::collections::BTreeMap<_, String>| -> Vec<_> {
        files.into_iter().map(|(path, text)| (path, text.replace('\t', " "))).collect()
    };
    assert_eq!(spaces(tree.files()), spaces(before));
}

#[test]
fn sysctl_refuses_a_file_of_which_it_understands_only_half() {
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
