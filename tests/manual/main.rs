//! The manual for operators: its commands run, and what it says of names, texts and numbers is so.
//!
//! | to learn | read |
//! |---|---|
//! | which commands are run, and what marks the others | `commands` |
//! | metrics, keys, files, errors and log lines that chapters name | `names` |
//! | sums and tables of numbers | `numbers` |
//! | `blipmq help` | `help` |

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod help;
mod names;
mod numbers;
mod protocol;

use std::path::Path;

/// Chapters for whoever runs a broker.
const CHAPTERS: [&str; 7] =
    ["tuning", "operations", "capacity", "numa", "metrics", "troubleshooting", "profiling"];

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A chapter without what marks it as a comment.
fn chapter(name: &str) -> String {
    let source = read(&format!("src/manual/{name}.rs"));
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// The same with one space where there are several, or the end of a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is between single backticks, outside of code blocks.
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
