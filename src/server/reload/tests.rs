//! What a reload takes from a file, and cores that do not answer.

use std::sync::mpsc::Receiver;

use super::*;
use crate::server::control;

fn settings(text: &str) -> Settings {
    Settings::parse("blipmq.toml", text).expect(text)
}

/// What a broker without TLS accepts.
fn accept_plain(old: &Settings, new: &Settings) -> Result<Accepted, Vec<String>> {
    accept(old, new, &Active::default(), |_| Ok(Active::default()))
}

#[test]
fn keys_that_need_a_restart_are_named_and_keep_their_values() {
    let new = settings("[delivery]\nmax_batch = 7\nfanout_shards = 4\n");
    let accepted = accept_plain(&Settings::default(), &new).expect("the new settings are valid");
    assert_eq!(accepted.applied, ["delivery.max_batch"]);
    assert_eq!(accepted.needs_restart, ["delivery.fanout_shards"]);
    assert_eq!(*accepted.settings, settings("[delivery]\nmax_batch = 7\n"));
}

#[test]
fn keys_that_conflict_until_a_restart_are_refused() {
    let old = settings("[metrics]\nbind_addr = \"0.0.0.0:9090\"\ntoken = \"t\"\n");
    let new = settings("[metrics]\nbind_addr = \"127.0.0.1:9090\"\n");
    let errors =
        accept_plain(&old, &new).expect_err("metrics would be open to everybody until then");
    assert!(errors.len() == 1 && errors[0].contains("[metrics] token"), "{errors:?}");
}

#[test]
fn reloads_are_counted_and_the_last_one_is_remembered() {
    let configuration = Configuration::new(None, Settings::default(), Active::default());
    assert_eq!(configuration.snapshot().last, None);
    let accepted = accept_plain(&Settings::default(), &settings("[delivery]\nmax_batch = 7\n"));
    let first = configuration.record(accepted);
    assert_eq!((first.number, first.outcome()), (1, "applied"));
    let second = configuration.record(Err(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!((second.number, second.outcome()), (2, "refused"));
    assert_eq!(second.to_string(), "nothing was changed: a; b");
    let snapshot = configuration.snapshot();
    assert_eq!((snapshot.applied, snapshot.refused), (1, 1));
    assert_eq!((snapshot.loaded, snapshot.last), (first.at, Some(second)));
    assert_eq!(configuration.settings().delivery.max_batch, 7);
}

/// The control of cores; a thread plays each core that is to answer.
fn cores(answering: &[bool]) -> (Control, Vec<Receiver<Command>>) {
    let (senders, receivers) = control::channels(answering.len());
    let mut stuck = Vec::new();
    for (answers, receiver) in answering.iter().zip(receivers) {
        if !answers {
            stuck.push(receiver);
            continue;
        }
        std::thread::spawn(move || {
            for command in receiver {
                if let Command::Ping(reply) = command {
                    reply(());
                }
            }
        });
    }
    (Control::new(senders, |_| {}), stuck)
}

#[test]
fn cores_that_do_not_answer_are_named() {
    let (control, _stuck) = cores(&[true, false, true]);
    let timeout = Duration::from_millis(100);
    assert_eq!(command_all_cores(&control, timeout, Command::Ping), [1]);
    let (control, _) = cores(&[true, true]);
    assert_eq!(command_all_cores(&control, ANSWER_TIMEOUT, Command::Ping), [0; 0]);
}

#[test]
fn a_command_to_a_core_that_has_ended_is_tried_until_the_timeout() {
    let (control, stuck) = cores(&[true, false]);
    drop(stuck);
    let start = Instant::now();
    let timeout = Duration::from_millis(20);
    assert_eq!(command_all_cores(&control, timeout, Command::Ping), [1]);
    assert!(start.elapsed() >= timeout, "the command is sent again until then");
}
