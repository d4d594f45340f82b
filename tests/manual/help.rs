//! `blipmq help` prints the help of commands, and chapters of the manual.

use std::process::Output;

use super::CHAPTERS;
use super::support::running::blipmq;

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = blipmq(words).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_of_a_command_is_what_its_flag_prints() {
    for words in [&[][..], &["pub"], &["serve"], &["bench"], &["bench", "latency"]] {
        let of_command = run(&[&["help"], words].concat());
        assert_eq!(of_command, run(&[words, &["--help"]].concat()), "{words:?}");
        assert_eq!((of_command.0, of_command.2.as_str()), (Some(0), ""), "{words:?}");
    }
    assert_eq!(run(&["help", "bench", "latency"]), run(&["bench", "help", "latency"]));
}

#[test]
fn topics_are_listed_on_their_own_and_below_the_commands() {
    let (status, topics, _) = run(&["help", "topics"]);
    assert_eq!(status, Some(0));
    let (_, help, _) = run(&["help"]);
    for name in CHAPTERS.iter().chain(&["nats"]) {
        let line = topics.lines().find(|line| line.starts_with(&format!("  {name} ")));
        let line = line.unwrap_or_else(|| panic!("{name} is missing in {topics}"));
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn a_topic_is_its_chapter_as_plain_text() {
    for name in CHAPTERS.iter().chain(&["nats", "protocol"]) {
        let (status, text, stderr) = run(&["help", name]);
        assert_eq!((status, stderr.as_str()), (Some(0), ""), "{name}");
        assert!(text.lines().count() > 30, "{name}: {text}");
        assert!(!text.contains("//!") && !text.contains("](") && !text.contains("```"), "{text}");
    }
    // Without a terminal the text goes to stdout, not to the pager.
    let output = blipmq(&["help", "tuning"]).env("PAGER", "false").output().expect("it runs");
    assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), run(&["help", "tuning"]).1);
}

#[test]
fn help_protocol_prints_the_contract_and_then_the_session() {
    let (status, text, _) = run(&["help", "protocol"]);
    assert_eq!(status, Some(0));
    let contract = text.find("0x10 MESSAGES").expect("the kinds of frames");
    let session = text.find("client sends HELLO").expect("the session");
    assert!(contract < session);
}

#[test]
fn unknown_topics_end_with_status_2_and_a_suggestion() {
    for (words, said) in [
        (
            &["help", "tunning"][..],
            "there is no command or topic 'tunning', did you mean 'tuning'?",
        ),
        (&["help", "xyzzyx"], "there is no command or topic 'xyzzyx': `blipmq help` lists them"),
        (&["help", "bench", "latencyy"], "there is no command 'latencyy', did you mean 'latency'?"),
    ] {
        let (status, stdout, stderr) = run(words);
        assert_eq!((status, stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
