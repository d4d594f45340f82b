//! Tests of the manual: its commands run, and its names, texts, numbers and bytes are those of the broker.
//!
//! | about | read |
//! |---|---|
//! | commands that are run, and the marks of the others | `commands` |
//! | metrics, keys, files, errors and log lines that chapters name | `names` |
//! | sums and tables of numbers | `numbers` |
//! | layouts, codes and the session of the wire protocol | `protocol` |
//! | `blipmq help` | `help` |

#[path = "../../src/server/refusal.rs"]
mod refusal;
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod help;
mod names;
mod numbers;
mod protocol;

use std::path::Path;

/// The chapters for operators.
const CHAPTERS: [&str; 10] = [
    "tuning",
    "operations",
    "certificates",
    "identity",
    "tls",
    "capacity",
    "numa",
    "metrics",
    "troubleshooting",
    "profiling",
];

/// Reads a file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of a chapter, without the marks of a comment.
fn chapter(name: &str) -> String {
    let source = read(&format!("src/manual/{name}.rs"));
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// The text with single spaces instead of runs of white space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The code spans of a text, outside of code blocks.
fn spans(markdown: &str) -> Vec<String> {
    let mut is_code = false;
    let text: String = markdown
        .lines()
        .filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_fence && !is_code
        })
        .map(|line| format!("{line}\n"))
        .collect();
    text.split('`').skip(1).step_by(2).map(one_line).collect()
}
