//! Tidy: rules about the source itself that neither rustc nor clippy keeps.
//!
//! | rule | read |
//! |---|---|
//! | functions of at most 70 lines, files of at most 400 | `lengths` |
//! | runtimes stay in `executors/`, protocols in their frontends | `names` |
//! | the rooms of the broker form no cycle, and describe themselves | `rooms`, from the `paths` in their files |
//! | what may break a rule, and why | `exceptions` |
//!
//! Each rule is a function over a list of files, with tests of its own over files made up for it.
//! Lists of exceptions name a reason each, and can only shrink: an exception that nothing needs
//! fails.

mod exceptions;
mod lengths;
mod names;
mod paths;
mod rooms;
mod tokens;

use std::fs;
use std::path::Path;

/// A file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

const FOLDERS: [&str; 7] = ["benches", "deploy", "examples", "executors", "fuzz", "src", "tests"];

/// Endings of files that people write.
const ENDINGS: [&str; 7] = [".css", ".html", ".js", ".mjs", ".py", ".rs", ".sh"];

/// All source files and manifests of the repository, sorted by path.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec!["Cargo.toml".to_owned()];
    for folder in FOLDERS {
        add_paths(root, folder, &mut paths);
    }
    paths.sort();
    let text = |path: &str| fs::read_to_string(root.join(path)).expect("it can be read");
    paths.iter().map(|path| file(path, &text(path))).collect()
}

/// Folders of what a build or a run leaves behind.
const NOT_SOURCE: [&str; 5] = ["target", "corpus", "artifacts", "coverage", "node_modules"];

fn add_paths(root: &Path, folder: &str, paths: &mut Vec<String>) {
    // `examples/` is younger than this rule.
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("the folder can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = format!("{folder}/{name}");
        if entry.file_type().expect("it has a type").is_dir() {
            if !NOT_SOURCE.contains(&name.as_str()) && !name.starts_with('.') {
                add_paths(root, &path, paths);
            }
        } else if name == "Cargo.toml" || ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            paths.push(path);
        }
    }
}

/// Fails with everything that a rule found.
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n{}\n", found.join("\n"));
}

#[test]
fn the_rules_see_the_source() {
    let files = files();
    for path in ["Cargo.toml", "src/lib.rs", "executors/Cargo.toml", "executors/src/lib.rs"] {
        assert!(files.iter().any(|file| file.path == path), "{path}");
    }
    for folder in ["benches/", "fuzz/", "src/broker/", "tests/tidy/"] {
        assert!(files.iter().any(|file| file.path.starts_with(folder)), "{folder}");
    }
}

#[test]
fn functions_have_at_most_70_lines() {
    none(
        "longer than 70 lines, from `fn` to the closing brace:",
        &lengths::long_functions(&files(), exceptions::LONG_FUNCTIONS),
    );
}

#[test]
fn files_have_at_most_400_lines() {
    none("longer than 400 lines:", &lengths::long_files(&files(), exceptions::LONG_FILES));
}

#[test]
fn only_executors_name_the_runtimes() {
    none("runtimes are for executors/ alone:", &names::runtimes(&files(), exceptions::RUNTIMES));
}

/// The graph of the broker's rooms.
fn graph_of_rooms() -> rooms::Graph {
    rooms::graph(&files(), BROKER, &["broker"])
}

const BROKER: &str = "src/broker";

/// Modules that put all rooms together, as `broker/mod.rs` does.
const ABOVE_ALL: [&str; 2] = ["turn", "inspect"];

#[test]
fn protocols_are_named_only_in_their_frontends() {
    none(
        "the broker names protocols only in its frontends:",
        &names::protocols(&files(), BROKER, exceptions::PROTOCOLS),
    );
}

#[test]
fn the_rooms_of_the_broker_form_no_cycle() {
    if let Some(cycle) = rooms::cycle(&graph_of_rooms()) {
        panic!("a cycle: {cycle}");
    }
}

#[test]
fn rooms_use_neither_the_turn_nor_the_broker_around_them() {
    none("rooms are handed what they need:", &rooms::uses_of_above(&graph_of_rooms(), &ABOVE_ALL));
}

#[test]
fn rooms_of_the_broker_describe_themselves_in_3_to_20_lines() {
    none(
        "a room says what comes in, what goes out and what is always true:",
        &rooms::undescribed(&files(), BROKER),
    );
}

#[test]
fn other_modules_form_no_cycle_either() {
    let files = files();
    for folder in
        ["src", "src/cli", "src/config", "src/nats", "src/protocol", "src/server", "executors/src"]
    {
        // A crate of its own begins at its folder.
        let is_crate = files.iter().any(|file| file.path == format!("{folder}/Cargo.toml"));
        let module = folder.strip_prefix("src/").filter(|_| !is_crate);
        if let Some(cycle) = rooms::cycle(&rooms::graph(&files, folder, module.as_slice())) {
            panic!("a cycle in {folder}: {cycle}");
        }
    }
}
