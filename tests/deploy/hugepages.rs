//! Huge pages: reserved and released by `hugepages.sh`.

use super::{Folder, Outcome, output, script};

const PAGES: &str = "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const TRANSPARENT: &str = "kernel/mm/transparent_hugepage/enabled";

fn huge_page_tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(PAGES, "3\n");
    folder.write(TRANSPARENT, "[always] madvise never\n");
    folder.write("meminfo", "MemTotal: 9000000 kB\nMemAvailable: 1048576 kB\n");
    folder
}

fn hugepages(tree: &Folder, arguments: &[&str]) -> Outcome {
    let mut command = script("hugepages.sh");
    command
        .args(arguments)
        .env("SYSFS", &tree.0)
        .env("MEMINFO", tree.0.join("meminfo"))
        .env("STATE_DIR", tree.0.join("state"));
    output(&mut command)
}

#[test]
fn a_dry_run_of_hugepages_prints_every_change_and_makes_none() {
    let tree = huge_page_tree("pages-dry");
    let (status, stdout, errors) = hugepages(&tree, &["--dry-run", "100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert!(
        stdout.contains("before: 3 huge pages reserved (6 MiB), transparent huge pages: always")
    );
    assert!(stdout.contains(&format!("would write 100 to {}", tree.0.join(PAGES).display())));
    assert!(
        stdout.contains(&format!("would write madvise to {}", tree.0.join(TRANSPARENT).display()))
    );
    assert_eq!(tree.read(PAGES), "3");
    assert_eq!(tree.read(TRANSPARENT), "[always] madvise never");
}

#[test]
fn hugepages_reserves_pages_sets_madvise_and_shows_both_before_and_after() {
    let tree = huge_page_tree("pages");
    let (status, stdout, errors) = hugepages(&tree, &["100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("before: 3 huge pages reserved (6 MiB)"), "{stdout}");
    assert!(stdout.contains("after: 100 huge pages reserved (200 MiB)"), "{stdout}");
    assert_eq!((tree.read(PAGES).as_str(), tree.read(TRANSPARENT).as_str()), ("100", "madvise"));
    // The kernel puts brackets around the written mode.
    tree.write(TRANSPARENT, "always [madvise] never\n");
    let (status, stdout, _) = hugepages(&tree, &["100"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("reserved already: 100 pages"), "{stdout}");
    assert!(stdout.contains("at madvise already"), "{stdout}");
}

#[test]
fn hugepages_refuses_more_pages_than_memory_and_bad_numbers() {
    let tree = huge_page_tree("pages-bad");
    let (status, _, errors) = hugepages(&tree, &["600"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("600 pages need 1194 MiB more, 1024 MiB are available"), "{errors}");
    for wrong in ["many", "1.5", "08"] {
        let (status, _, errors) = hugepages(&tree, &[wrong]);
        assert_eq!(status, Some(2), "{wrong}");
        assert!(errors.contains(&format!("\"{wrong}\" is not a number of pages")), "{errors}");
    }
    assert_eq!(tree.read(PAGES), "3");
}

#[test]
fn undo_of_hugepages_restores_the_settings_from_before_the_first_run() {
    let tree = huge_page_tree("pages-undo");
    let (status, stdout, _) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, stdout.contains("nothing to undo")), (Some(0), true), "{stdout}");

    assert_eq!(hugepages(&tree, &["100"]).0, Some(0));
    tree.write(TRANSPARENT, "always [madvise] never\n");
    assert_eq!(hugepages(&tree, &["200"]).0, Some(0));
    let before = tree.files();
    let (status, stdout, _) = hugepages(&tree, &["--dry-run", "--undo"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains(&format!("would write \"3\" to {}", tree.0.join(PAGES).display())));
    assert_eq!(tree.files(), before);

    let (status, stdout, errors) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!((tree.read(PAGES).as_str(), tree.read(TRANSPARENT).as_str()), ("3", "always"));
    let (status, stdout, _) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, stdout.contains("nothing to undo")), (Some(0), true), "{stdout}");

    let (status, _, errors) = hugepages(&tree, &["--undo", "5"]);
    assert_eq!((status, errors.contains("--undo takes no number of pages")), (Some(2), true));
}
