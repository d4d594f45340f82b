//! Many connections, many subjects, an exhausted memory budget.

use std::collections::HashMap;

use blipmq::protocol::decode::ServerFrame;

use super::on_one_and_two_cores;
use crate::support::nats::{CONNECT, Message, Nats, ServerLine, put};
use crate::support::running::{Broker, cores};
use crate::support::wire::Wire;
use crate::support::written::wanting;

on_one_and_two_cores! {
    reply_subjects_leave_no_state_behind,
    subjects_beyond_the_limit_of_topics_reach_their_subscribers,
    beyond_the_memory_budget_a_stalled_subscriber_loses_messages_and_nobody_else,
}

/// The limit on open files of this process.
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("/proc is mounted");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft =
        line.and_then(|line| line.split_whitespace().next()).expect("every Linux has this line");
    soft.parse().unwrap_or(usize::MAX)
}

/// Goal: an idle client with a subscription costs little.
/// Method: 5,000 clients if this process may open as many files; memory is measured after the first 200.
#[test]
fn every_idle_connection_costs_little_memory() {
    const FIRST: usize = 200;
    let broker = Broker::start(&cores(1).expect("there is a core"));
    let addr = broker.nats.expect("NATS clients are served");
    // Other tests open files as well.
    let count = 5_000.min(files_max().saturating_sub(2_000) / 2).max(300);
    let mut clients: Vec<Nats> = Vec::with_capacity(count);
    let add = |clients: &mut Vec<Nats>, count: usize| {
        let from = clients.len();
        while clients.len() < count {
            let number = clients.len();
            let mut nats = Nats::silent(addr);
            nats.send(&format!("CONNECT {CONNECT}\r\nSUB idle.{number} 1\r\nPING\r\n"));
            nats.free_buffer();
            clients.push(nats);
        }
        for nats in &mut clients[from..] {
            assert_eq!(nats.expect(), ServerLine::Pong);
            nats.free_buffer();
        }
    };
    add(&mut clients, FIRST);
    let before = broker.resident_bytes();
    add(&mut clients, count);
    let grown = broker.resident_bytes().saturating_sub(before);
    let each = grown / (count - FIRST) as u64;
    eprintln!("{count} idle NATS connections: {each} bytes each");
    assert!(each < 16 * 1_024, "{each} bytes for each idle connection");
    assert_eq!(broker.metric("blipmq_nats_connections", ""), count as u64);
    // All are served, and only the addressed client gets a message.
    let last = count - 1;
    let (first, rest) = clients.split_at_mut(1);
    first[0].publish(&format!("idle.{last}"), b"wake up");
    assert_eq!(rest[last - 1].message().text(), "wake up");
    rest[0].ping();
    drop(clients);
    broker.stop();
}

/// Goal: 100,000 inboxes create no topics, and memory does not grow after the first of them.
fn reply_subjects_leave_no_state_behind(cores: &str) {
    const STEP: usize = 1_000;
    const STEPS: usize = 100;
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let mut asks = Nats::connect(addr);
    asks.subscribe("_INBOX.x.*", "1");
    let mut answers = Nats::connect(addr);
    answers.publish("a.topic", b"x");
    answers.ping();
    let topics = broker.metric("blipmq_topics", "");
    assert_eq!(topics, 1);
    let mut before = 0;
    let inboxes =
        |step| (step * STEP..(step + 1) * STEP).map(|number| format!("_INBOX.x.{number}"));
    for step in 0..STEPS {
        let mut out = Vec::new();
        inboxes(step).for_each(|inbox| put(&mut out, &inbox, &[b'x'; 32]));
        answers.write(&out);
        // Subjects of two cores have no order between them.
        let mut subjects: Vec<String> = (0..STEP).map(|_| asks.message().subject).collect();
        subjects.sort();
        let mut expected: Vec<String> = inboxes(step).collect();
        expected.sort();
        assert_eq!(subjects, expected);
        if step == STEPS / 10 {
            before = broker.resident_bytes();
        }
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    eprintln!("{} inboxes: {grown} bytes more than after a tenth of them", STEP * STEPS);
    assert!(grown < 8 << 20, "{grown} bytes more than the {before} after a tenth of them");
    assert_eq!(broker.metric("blipmq_topics", ""), topics);
    drop((asks, answers));
    broker.stop();
}

/// Topic and text of this many messages, in the order of their arrival.
fn frame_texts(wire: &mut Wire, count: usize) -> Vec<(String, String)> {
    let mut names = HashMap::new();
    let mut found = Vec::new();
    while found.len() < count {
        let frame = wire.expect();
        if let ServerFrame::Topic { topic, name, .. } = frame.decoded() {
            names.insert(topic.0, name.to_owned());
            continue;
        }
        let (header, payloads) = frame.messages().expect("nothing else comes");
        for payload in payloads {
            let text = String::from_utf8(payload.to_vec()).expect("text was published");
            found.push((names[&header.topic].clone(), text));
        }
    }
    found
}

/// Goal: subscribers of both protocols receive the messages in order; only retention has a limit.
fn subjects_beyond_the_limit_of_topics_reach_their_subscribers(cores: &str) {
    const SUBJECTS: usize = 200;
    let broker = Broker::start_with(cores, "[limits]\nmax_topics = 10\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut nats = Nats::connect(addr);
    nats.subscribe("many.*", "1");
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe_to(&wanting(1, "many.>"));
    let mut group = Nats::connect(addr);
    group.join("many.*", "team", "1");
    let mut publisher = Nats::connect(addr);
    let expected: Vec<(String, String)> = (0..2 * SUBJECTS)
        .map(|number| (format!("many.{}", number % SUBJECTS), number.to_string()))
        .collect();
    let mut out = Vec::new();
    for (subject, text) in &expected {
        put(&mut out, subject, text.as_bytes());
    }
    publisher.write(&out);
    publisher.ping();
    let sorted = |mut messages: Vec<(String, String)>| {
        messages.sort();
        messages
    };
    let named = |message: &Message| (message.subject.clone(), message.text().to_owned());
    let found: Vec<_> = (0..2 * SUBJECTS).map(|_| named(&nats.message())).collect();
    // Each subject has its order; between subjects of two cores there is none.
    for number in 0..SUBJECTS {
        let subject = format!("many.{number}");
        let texts: Vec<&String> =
            found.iter().filter(|(name, _)| *name == subject).map(|(_, text)| text).collect();
        assert_eq!(texts, [&number.to_string(), &(number + SUBJECTS).to_string()]);
    }
    let expected = sorted(expected);
    assert_eq!(sorted(found), expected);
    let found = (0..2 * SUBJECTS).map(|_| named(&group.message())).collect();
    assert_eq!(sorted(found), expected);
    assert_eq!(sorted(frame_texts(&mut blip, 2 * SUBJECTS)), expected);
    assert_eq!(broker.metric("blipmq_topics", ""), 10);
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    // A request to such a subject is answered like any other.
    nats.subscribe("_INBOX.y", "2");
    nats.publish_with("beyond.nobody", "_INBOX.y", b"", b"?");
    assert!(nats.message().headers.starts_with(b"NATS/1.0 503"));
    drop((nats, blip, group, publisher));
    broker.stop();
}

/// Goal: under the budget's pressure the subscriber that holds most loses messages, not the publisher and
/// not a subscriber that reads; everything is accounted for.
fn beyond_the_memory_budget_a_stalled_subscriber_loses_messages_and_nobody_else(cores: &str) {
    const STEP: u64 = 20;
    let broker = Broker::start_with(cores, "[limits]\nmemory_max = 1_048_576\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut stalled = Nats::narrow(addr).logged_in(CONNECT);
    stalled.subscribe("flood", "1");
    let mut reads = Nats::connect(addr);
    reads.subscribe("flood", "1");
    let mut publisher = Nats::connect(addr);
    let lost = |reason| broker.metric("blipmq_dropped_messages_total", reason);
    let mut published = 0;
    let mut step = |publisher: &mut Nats, reads: &mut Nats| {
        for _ in 0..STEP {
            publisher.publish("flood", &[b'x'; 8 * 1_024]);
        }
        publisher.ping();
        published += STEP;
        for _ in 0..STEP {
            reads.message();
        }
        published
    };
    while lost("reclaimed") == 0 {
        let published = step(&mut publisher, &mut reads);
        assert!(published < 10_000, "80 MiB are more than the budget");
    }
    for _ in 0..20 {
        step(&mut publisher, &mut reads);
    }
    let published = step(&mut publisher, &mut reads);
    let got = stalled.messages().len() as u64;
    assert_eq!(got + lost("reclaimed"), published, "each is delivered or counted");
    assert_eq!((lost("refused_for_memory"), broker.metric("blipmq_errors_sent_total", "")), (0, 0));
    // Meanwhile the connection can do everything else.
    publisher.subscribe("other", "1");
    publisher.send("UNSUB 1\r\n");
    publisher.ping();
    drop((stalled, reads, publisher));
    broker.stop();
}
