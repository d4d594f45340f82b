//! Huge pages: reserved and given back by `hugepages.sh`.

use super::{Folder, Said, output, script};

const PAGES: &str = "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const TRANSPARENT: &str = "kernel/mm/transparent_hugepage/enabled";

fn huge_page_tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(PAGES, "3\n");
    folder.write(TRANSPARENT, "[always] madvise never\n");
    folder.write("meminfo", "MemTotal: 9000000 kB\nMemAvailable: 1048576 kB\n");
    folder
}

fn hugepages(tree: &Folder, arguments: &[&str]) -> Said {
    let mut command = script("hugepages.sh");
    command
        .args(arguments)
        .env("SYSFS", &tree.0)
        .env("MEMINFO", tree.0.join("meminfo"))
        .env("STATE_DIR", tree.0.join("state"));
    output(&mut command)
}

#[test]
fn hugepages_run_dry_names_what_it_would_write_and_writes_nothing() {
    let tree = huge_page_tree("pages-dry");
    let (status, said, errors) = hugepages(&tree, &["--dry-run", "100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert!(said.contains("before: 3 huge pages reserved (6 MiB), transparent huge pages: always"));
    assert!(said.contains(&format!("would write 100 to {}", tree.0.join(PAGES).display())));
    assert!(
        said.contains(&format!("would write madvise to {}", tree.0.join(TRANSPARENT).display()))
    );
    assert_eq!(tree.read(PAGES), "3");
    assert_eq!(tree.read(TRANSPARENT), "[always] madvise never");
}

#[test]
fn hugepages_reserves_sets_madvise_and_shows_both_before_and_after() {
    let tree = huge_page_tree("pages");
    let (status, said, errors) = hugepages(&tree, &["100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("before: 3 huge pages reserved (6 MiB)"), "{said}");
    assert!(said.contains("after: 100 huge pages reserved (200 MiB)"), "{said}");
    assert_eq!((tree.read(PAGES).as_str(), tree.read(TRANSPARENT).as_str()), ("100", "madvise"));
    // The kernel puts brackets around what was written.
    tree.write(TRANSPARENT, "always [madvise] never\n");
    let (status, said, _) = hugepages(&tree, &["100"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("reserved already: 100 pages"), "{said}");
    assert!(said.contains("at madvise already"), "{said}");
}

#[test]
fn hugepages_refuses_more_than_is_available_and_what_is_no_number() {
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
fn hugepages_undo_gives_back_what_was_before_the_first_of_several_runs() {
    let tree = huge_page_tree("pages-undo");
    let (status, said, _) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, said.contains("nothing to undo")), (Some(0), true), "{said}");

    assert_eq!(hugepages(&tree, &["100"]).0, Some(0));
    tree.write(TRANSPARENT, "always [madvise] never\n");
    assert_eq!(hugepages(&tree, &["200"]).0, Some(0));
    let before = tree.files();
    let (status, said, _) = hugepages(&tree, &["--dry-run", "--undo"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("would write \"3\" to {}", tree.0.join(PAGES).display())));
    assert_eq!(tree.files(), before);

    let (status, said, errors) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert_eq!((tree.read(PAGES).as_str(), tree.read(TRANSPARENT).as_str()), ("3", "always"));
    let (status, said, _) = hugepages(&tree, &["--undo"]);
    assert_eq!((status, said.contains("nothing to undo")), (Some(0), true), "{said}");

    let (status, _, errors) = hugepages(&tree, &["--undo", "5"]);
    assert_eq!((status, errors.contains("--undo takes no number of pages")), (Some(2), true));
}
