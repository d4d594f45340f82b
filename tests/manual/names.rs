//! The names that chapters use exist, and the texts that they quote are in the source.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use blipmq::broker::inspect::{ConnectionsBy, SubscriptionsBy, TopicsBy};
use blipmq::config::Choice;
use executors::StartError;
use executors::listener::Purpose;

use super::support::running::blipmq;
use super::{CHAPTERS, chapter, one_line, read, refusal, spans};

/// Every word of a text that could be a metric name.
fn metric_names(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character: char| !is_part(character));
    // The name of the client's crate looks like that of a metric.
    let names = words.filter(|word| word.starts_with("blipmq_") && *word != "blipmq_client");
    names.map(str::to_owned).collect()
}

/// The metrics of the broker.
fn families() -> BTreeSet<String> {
    let files =
        ["families.rs", "families/certificates.rs", "families/per_core.rs", "families/tls.rs"];
    let text = |file: &str| read(&format!("src/server/admin/{file}"));
    files.iter().flat_map(|file| metric_names(&text(file))).collect()
}

#[test]
fn chapter_on_metrics_has_every_family_and_no_other() {
    let families = families();
    assert!(families.len() > 40, "{families:?}");
    let chapter = chapter("metrics");
    let tables: String = chapter.split("# Every metric").nth(1).expect("it has them").to_owned();
    let rows: Vec<String> = tables
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let described: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(described, families);
    assert_eq!(rows.len(), rows.iter().collect::<BTreeSet<_>>().len(), "each has one row");
}

#[test]
fn metrics_that_chapters_and_readme_name_exist() {
    let families = families();
    let texts = CHAPTERS.iter().map(|name| (*name, chapter(name)));
    for (place, text) in texts.chain([("README.md", read("README.md"))]) {
        for name in metric_names(&text) {
            // Series of a histogram, and prefixes that a command searches for.
            let family = name.trim_end_matches("_bucket");
            let is_known = families.contains(family);
            let is_beginning = families.iter().any(|known| known.starts_with(&format!("{name}_")));
            assert!(is_known || (name.ends_with('_') || is_beginning), "{place}: {name}");
        }
    }
}

#[test]
fn every_reason_for_a_drop_has_its_cause_and_remedy() {
    let source = read("src/server/admin/families/per_core.rs");
    let (_, table) = source.split_once("static REASONS").expect("it is there");
    let (table, _) = table.split_once("];").expect("it ends");
    let reasons: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert!(reasons.contains(&"overflow_oldest"), "{reasons:?}");
    let chapter = chapter("troubleshooting");
    for reason in reasons {
        assert!(chapter.contains(&format!("\n| `{reason}` | ")), "{reason} is missing");
    }
}

#[test]
fn chapter_on_metrics_has_every_sort_order_of_each_list() {
    fn row<C: Choice>(list: &str) -> String {
        let words: Vec<String> = C::NAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("| `{list}` | {} |\n", words.join(", "))
    }
    let chapter = chapter("metrics");
    for row in [
        row::<ConnectionsBy>("connections"),
        row::<SubscriptionsBy>("subscriptions"),
        row::<TopicsBy>("topics"),
    ] {
        assert!(chapter.contains(&row), "{row}");
    }
}

/// One error of each kind, with the numbers in the chapter.
fn start_errors() -> Vec<StartError> {
    let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
    let purpose = Purpose { of: "clients", change: "--bind" };
    let address = ([127, 0, 0, 1], 7878).into();
    let errors = vec![
        StartError::Kernel { found: "5.15.0".to_owned(), needed: (6, 1) },
        StartError::Disabled { setting: 2 },
        StartError::Forbidden { source: refused() },
        StartError::Memlock { found: 64 << 10, needed: 1 << 20 },
        StartError::OpenFiles {
            found: 1_024,
            needed: 10_192,
            connections_max: 10_000,
            fitting: 832,
        },
        StartError::CoreNotAllowed { cpu: 9, allowed: "0-3".to_owned() },
        StartError::CoresUnknown,
        StartError::TooManyCores { found: 300, cores_max: 256 },
        StartError::Pin { cpu: 3 },
        StartError::Listen { address, purpose, source: refused(), fix: "" },
        StartError::Core { cpu: 0, what: "the ring", source: refused() },
    ];
    for error in &errors {
        // The compiler asks for a row here when there is a new variant.
        match error {
            StartError::Kernel { .. } | StartError::Disabled { .. } => {}
            StartError::Forbidden { .. } | StartError::Memlock { .. } => {}
            StartError::OpenFiles { .. } | StartError::CoreNotAllowed { .. } => {}
            StartError::CoresUnknown | StartError::TooManyCores { .. } => {}
            StartError::Pin { .. } | StartError::Listen { .. } | StartError::Core { .. } => {}
        }
    }
    errors
}

#[test]
fn every_refusal_to_start_is_found_in_the_chapter_by_its_first_words() {
    let chapter = chapter("troubleshooting");
    let quoted: Vec<&str> = chapter
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0))
        .collect();
    for error in start_errors() {
        let text = refusal::text(&error);
        let found: Vec<&&str> = quoted.iter().filter(|words| text.starts_with(**words)).collect();
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].len() > 20, "{text}");
    }
}

#[test]
fn texts_that_the_chapter_quotes_are_in_the_source() {
    let chapter = one_line(&chapter("troubleshooting"));
    for (text, file) in [
        ("server.max_connections is reached: new connections are refused", "src/server/desk.rs"),
        (
            "accepting failed: raise the open-file limit or close connections",
            "executors/src/driver/accepting.rs",
        ),
        ("failed, the process cannot go on", "executors/src/launch.rs"),
        ("the queue of a subscription is full, from now on only counted", "src/server/desk.rs"),
        ("disconnected:", "src/server/desk.rs"),
        ("login refused:", "src/server/desk.rs"),
        ("nothing was changed:", "src/server/reload.rs"),
        ("changed, but needs a restart:", "src/server/reload.rs"),
        ("nothing to apply", "src/server/reload.rs"),
        (
            "stopped after server.drain_timeout_ms: subscribers that did not read were cut off",
            "src/server/mod.rs",
        ),
        ("cannot serve metrics on ", "src/server/admin.rs"),
        ("can be reached from other machines", "src/config/conflict.rs"),
        ("cannot read configuration", "src/cli/serve.rs"),
        ("expected HELLO as the first frame", "src/protocol/reject.rs"),
        ("maximum connections exceeded", "src/nats/error.rs"),
        ("Authorization Violation", "src/nats/error.rs"),
        ("Permissions Violation", "src/nats/error.rs"),
        ("bytes of messages, over all topics and queues", "src/broker/frontends/blip/publish.rs"),
        ("has no room", "src/broker/delivery/effects.rs"),
        ("it is behind by more than ", "src/broker/delivery/effects.rs"),
        ("while publishers waited for it", "src/broker/delivery/effects.rs"),
    ] {
        assert!(chapter.contains(text), "the chapter does not have: {text}");
        let source = read(file).replace("\\\n", "");
        assert!(one_line(&source).contains(text), "{file} does not say: {text}");
    }
}

#[test]
fn keys_of_the_configuration_that_chapters_name_exist() {
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for line in read("config/mixed.toml").lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{table}.{key}"));
        }
    }
    let is_table = |name: &str| keys.iter().any(|key| key.split('.').next() == Some(name));
    let mut found = 0;
    for name in CHAPTERS {
        for span in spans(&chapter(name)) {
            let key = span.split(" = ").next().expect("there is a first");
            let Some((table, _)) = key.split_once('.') else { continue };
            let is_path = key.contains(['/', ' ', '(', '[']) || key.ends_with(".toml");
            if is_table(table) && !is_path {
                assert!(keys.contains(key), "{name}: there is no {key}");
                found += 1;
            }
        }
    }
    assert!(found > 40, "only {found} keys were looked at");
}

/// Folders of the repository that texts name.
const FOLDERS: [&str; 9] = [
    ".ci/",
    "benches/",
    "config/",
    "deploy/",
    "examples/",
    "executors/",
    "fuzz/",
    "src/",
    "tests/",
];

/// Parts of paths that stand for several files.
const PLACEHOLDERS: [&str; 2] = ["*", "nodeN"];

/// The texts with paths: chapters for operators and developers, and the files beside them.
fn texts_with_paths() -> Vec<(String, String)> {
    let of_developers = ["architecture", "decisions", "fuzzing", "protocol", "simulator"];
    let chapters = CHAPTERS.iter().chain(&of_developers);
    let chapters = chapters.map(|name| ((*name).to_owned(), chapter(name)));
    let files = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
    let files = files.iter().map(|name| ((*name).to_owned(), read(name)));
    chapters.chain(files).collect()
}

/// The words of code spans and blocks of commands, and the targets of links.
fn words(markdown: &str) -> Vec<String> {
    let mut words: Vec<String> = spans(markdown);
    let blocks = markdown.split("```sh").skip(1);
    words.extend(blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned())));
    let mut words: Vec<String> =
        words.iter().flat_map(|text| text.split_whitespace()).map(without_mark).collect();
    let links = markdown.split("](").skip(1);
    words.extend(links.filter_map(|link| Some(link.split_once(')')?.0.to_owned())));
    words
}

/// The word without a mark of punctuation behind it.
fn without_mark(word: &str) -> String {
    word.trim_end_matches([',', ';']).to_owned()
}

/// Whether a word names a file of the repository: a path below a folder, or a file at the top.
fn is_path(word: &str) -> bool {
    let is_below = FOLDERS.iter().any(|folder| word.starts_with(folder));
    let is_at_top = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"].contains(&word)
        || ["Cargo.toml", "clippy.toml", "deny.toml"].contains(&word)
        || word.starts_with("LICENSE-");
    (is_below || is_at_top) && !PLACEHOLDERS.iter().any(|part| word.contains(part))
}

#[test]
fn files_that_chapters_and_the_files_beside_them_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for (place, text) in texts_with_paths() {
        let words = words(&text);
        let paths: BTreeSet<&String> = words.iter().filter(|word| is_path(word)).collect();
        let least = if place.ends_with(".md") { 5 } else { 0 };
        assert!(paths.len() >= least, "{place}: {paths:?}");
        let gone = paths.iter().filter(|path| !root.join(path).exists());
        missing.extend(gone.map(|path| format!("{place}: there is no {path}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Goal: the chapter `architecture` leads to the files that it names from the inside of a crate.
#[test]
fn files_that_the_architecture_names_without_their_crate_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_file = |word: &&String| word.contains('/') && word.ends_with(['s', '/']);
    let text = chapter("architecture");
    let words: Vec<String> = spans(&text).into_iter().filter(|span| !span.contains(' ')).collect();
    let files: BTreeSet<&String> = words.iter().filter(is_file).collect();
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let mut folders = ["", "src/broker", "executors/src"].iter();
        assert!(folders.any(|folder| root.join(folder).join(file).exists()), "there is no {file}");
    }
}

#[test]
fn commands_that_chapters_and_readme_name_exist() {
    let mut commands = BTreeSet::new();
    for (_, text) in texts_with_paths() {
        for span in spans(&text) {
            let Some(rest) = span.strip_prefix("blipmq ") else { continue };
            let word = rest.split(' ').next().expect("there is a first");
            if word.starts_with(|character: char| character.is_ascii_lowercase()) {
                commands.insert(word.to_owned());
            }
        }
    }
    assert!(commands.contains("bench"), "{commands:?}");
    for command in commands {
        let output = blipmq(&["help", &command]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "there is no command {command}");
    }
}
