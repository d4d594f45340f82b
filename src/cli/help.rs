//! `blipmq help TOPIC`: prints a chapter of the manual.
//!
//! Called by `cli` for command lines that clap does not recognise; clap answers `help` and
//! `help COMMAND`. Next on the path: `chapter`, which turns the source of a chapter into plain text.
//!
//! # Always true
//! - The printed text is the text that `cargo doc` shows: there is no second copy to maintain.
//! - No topic has the name of a command.

mod chapter;

use std::io::{self, IsTerminal, Write};
use std::process::{Command as Process, Stdio};

use clap::Command;
use clap::error::ErrorKind;

use super::Outcome;

/// The argument that lists the topics.
const LIST: &str = "topics";
/// Exit status of a shell that does not find a command.
const NOT_FOUND: i32 = 127;

/// A topic of `blipmq help`: a chapter of the manual, in one or more files.
struct Topic {
    name: &'static str,
    sources: &'static [&'static str],
}

impl Topic {
    fn title(&self) -> String {
        chapter::title(self.sources[0])
    }

    fn text(&self) -> String {
        self.sources.iter().map(|source| chapter::text(source)).collect::<Vec<_>>().join("\n")
    }
}

/// The chapters for operators and for authors of clients, in the order to read them.
const TOPICS: &[Topic] = &[
    Topic { name: "tuning", sources: &[include_str!("../manual/tuning.rs")] },
    Topic { name: "operations", sources: &[include_str!("../manual/operations.rs")] },
    Topic { name: "identity", sources: &[include_str!("../manual/identity.rs")] },
    Topic { name: "tls", sources: &[include_str!("../manual/tls.rs")] },
    Topic { name: "capacity", sources: &[include_str!("../manual/capacity.rs")] },
    Topic { name: "numa", sources: &[include_str!("../manual/numa.rs")] },
    Topic { name: "metrics", sources: &[include_str!("../manual/metrics.rs")] },
    Topic { name: "certificates", sources: &[include_str!("../manual/certificates.rs")] },
    Topic { name: "troubleshooting", sources: &[include_str!("../manual/troubleshooting.rs")] },
    Topic { name: "profiling", sources: &[include_str!("../manual/profiling.rs")] },
    Topic { name: "performance", sources: &[include_str!("../manual/performance.rs")] },
    Topic { name: "nats", sources: &[include_str!("../manual/nats.rs")] },
    Topic {
        name: "protocol",
        sources: &[
            include_str!("../manual/protocol.rs"),
            include_str!("../manual/protocol_session.rs"),
        ],
    },
    Topic { name: "architecture", sources: &[include_str!("../manual/architecture.rs")] },
    Topic { name: "decisions", sources: &[include_str!("../manual/decisions.rs")] },
];

/// The text below the help of all commands.
pub fn after_help(examples: &str) -> String {
    format!("{examples}\n\nThe manual, by `blipmq help TOPIC`:\n{}", list().trim_end())
}

/// Answers a command line that clap does not recognise: `help` with a topic instead of a command.
pub fn answer(error: clap::Error, command: Command) -> Outcome {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["help", ref asked @ ..]
            if error.kind() == ErrorKind::InvalidSubcommand
                && !asked.iter().any(|word| word.starts_with('-')) =>
        {
            match TOPICS.iter().find(|topic| asked == [topic.name]) {
                Some(topic) => show(&topic.text()),
                None if asked == [LIST] => {
                    show(&format!("{}\nblipmq help TOPIC prints one.\n", list()))
                }
                None => unknown(command, asked),
            }
        }
        // Help, version, or a mistake: clap has the text and the status.
        _ => error.exit(),
    }
}

/// Ends with status 2, as for every command line that is wrong.
fn unknown(mut command: Command, asked: &[&str]) -> ! {
    command.build();
    let text = find(&command, asked).expect_err("clap did not find it either");
    command.error(ErrorKind::InvalidSubcommand, text).exit()
}

/// Looks for a command, and commands below it, by these names. The error is for the user.
fn find(command: &Command, words: &[&str]) -> Result<(), String> {
    let Some((word, rest)) = words.split_first() else { return Ok(()) };
    if let Some(found) = command.find_subcommand(word) {
        return find(found, rest);
    }
    let is_first = command.get_name() == "blipmq";
    let kind = if is_first { "command or topic" } else { "command" };
    Err(match nearest(command, is_first, word) {
        Some(known) => format!("there is no {kind} '{word}', did you mean '{known}'?"),
        None => format!("there is no {kind} '{word}': `blipmq help` lists them"),
    })
}

/// The known name that is most like `word`, if any is like it.
fn nearest(command: &Command, is_first: bool, word: &str) -> Option<String> {
    let commands = command.get_subcommands().map(Command::get_name);
    let topics = TOPICS.iter().map(|topic| topic.name).chain([LIST]).filter(|_| is_first);
    let (distance, known) =
        commands.chain(topics).map(|known| (strsim::osa_distance(word, known), known)).min()?;
    (distance <= known.chars().count() / 2).then(|| known.to_owned())
}

/// One line per topic.
fn list() -> String {
    TOPICS.iter().map(|topic| format!("  {:<17}{}\n", topic.name, topic.title())).collect()
}

/// Prints through `$PAGER` if that is set and stdout is a terminal, else directly.
fn show(text: &str) -> Outcome {
    let pager = std::env::var("PAGER").unwrap_or_default();
    if !pager.is_empty() && io::stdout().is_terminal() && page(&pager, text) {
        return Ok(());
    }
    ignore_closed_pipe(io::stdout().lock().write_all(text.as_bytes()))
}

/// Runs the pager; `false` if the shell does not find it.
fn page(pager: &str, text: &str) -> bool {
    let started = Process::new("sh").args(["-c", pager]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = started else { return false };
    let mut stdin = child.stdin.take().expect("it is piped");
    // A user who quits the pager early leaves the rest unread.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    child.wait().is_ok_and(|status| status.code() != Some(NOT_FOUND))
}

fn ignore_closed_pipe(written: io::Result<()>) -> Outcome {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to stdout: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::CommandFactory;

    use super::super::CommandLine;
    use super::*;

    /// Chapters for developers of the broker, who have `cargo doc` at hand.
    const NOT_TOPICS: [&str; 2] = ["simulator", "fuzzing"];
    /// Files that are printed behind the first file of their topic.
    const SECOND_PARTS: [&str; 1] = ["protocol_session"];

    #[test]
    fn every_chapter_of_the_manual_is_a_topic_or_is_for_developers() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual");
        let files = std::fs::read_dir(folder).expect("the manual is there");
        let chapters: HashSet<String> = files
            .filter_map(|file| {
                let name = file.expect("it is read").file_name().into_string().expect("UTF-8");
                Some(name.strip_suffix(".rs")?.to_owned())
            })
            .filter(|name| name != "mod")
            .collect();
        let known = TOPICS.iter().map(|topic| topic.name).chain(NOT_TOPICS).chain(SECOND_PARTS);
        assert_eq!(chapters, known.map(str::to_owned).collect());
        let parts = TOPICS.iter().map(|topic| topic.sources.len() - 1).sum::<usize>();
        assert_eq!(parts, SECOND_PARTS.len());
    }

    #[test]
    fn no_topic_has_the_name_of_a_command() {
        let command = CommandLine::command();
        for name in TOPICS.iter().map(|topic| topic.name).chain([LIST]) {
            assert!(command.find_subcommand(name).is_none(), "{name}");
        }
    }

    #[test]
    fn titles_of_topics_fit_their_line() {
        for line in list().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn nearly_right_words_get_a_suggestion() {
        let mut command = CommandLine::command();
        command.build();
        for (words, meant) in [
            (&["tunning"][..], Some("tuning")),
            (&["trubleshooting"], Some("troubleshooting")),
            (&["topic"], Some("topics")),
            (&["publ"], Some("pub")),
            (&["bench", "latencyy"], Some("latency")),
            // Topics are not below commands.
            (&["bench", "tuning"], None),
            (&["xyzzyx"], None),
        ] {
            let error = find(&command, words).unwrap_err();
            match meant {
                Some(meant) => {
                    assert!(error.contains(&format!("did you mean '{meant}'?")), "{error}")
                }
                None => assert!(error.contains("`blipmq help` lists them"), "{error}"),
            }
        }
    }
}
