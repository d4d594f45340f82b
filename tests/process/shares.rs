//! What one connection may hold, however many subscriptions it has, and what those who hold most lose
//! when memory is short.

use std::io::Write;

use blipmq::protocol::frame::Kind;

use super::on_one_and_two_cores;
use crate::support::nats::{CONNECT, Nats, ServerLine, put};
use crate::support::running::Broker;
use crate::support::wire::Wire;

on_one_and_two_cores! {
    one_connection_with_many_subscriptions_holds_no_more_than_its_bound,
    a_full_connection_with_the_policy_disconnect_is_closed_and_told_why,
    those_who_hold_most_lose_it_and_others_lose_nothing,
    under_the_policy_disconnect_those_who_hold_most_are_closed,
    unfinished_messages_hold_no_more_than_the_budget,
    subscriptions_hold_no_more_than_the_budget,
}

const DROPPED: &str = "blipmq_dropped_messages_total";
const REFUSED: &str = "reason=\"refused_for_memory\"";
const RECLAIMED: &str = "reason=\"reclaimed\"";
const CONNECTION_FULL: &str = "reason=\"connection_full\"";

fn nats(broker: &Broker) -> std::net::SocketAddr {
    broker.nats.expect("NATS clients are served")
}

/// A client that subscribes to many subjects and reads nothing more.
fn stalled(broker: &Broker, subjects: u64) -> Nats {
    let mut stalled = Nats::narrow(nats(broker)).logged_in(CONNECT);
    for subject in 0..subjects {
        stalled.subscribe(&format!("many.{subject}"), &subject.to_string());
    }
    stalled
}

/// Publishes to each subject in turn, and waits until all of it has taken effect.
fn flood(publisher: &mut Nats, subjects: u64, rounds: u64, len: usize) {
    let payload = vec![b'x'; len];
    for _ in 0..rounds {
        let mut out = Vec::new();
        (0..subjects).for_each(|subject| put(&mut out, &format!("many.{subject}"), &payload));
        publisher.write(&out);
        publisher.ping();
    }
}

/// What the row of the connection that holds most says under a name.
fn of_largest(broker: &Broker, name: &str) -> u64 {
    let page = broker.json("/api/v1/connections?sort=queued_bytes&limit=1");
    page["rows"][0][name].as_u64().expect("a number")
}

/// Goal: the bound holds over all subscriptions; what is dropped is reported and counted, to the message.
fn one_connection_with_many_subscriptions_holds_no_more_than_its_bound(cores: &str) {
    const BYTES_MAX: u64 = 1 << 20;
    const SUBJECTS: u64 = 40;
    const ROUNDS: u64 = 30;
    let config = format!("[queues]\nconnection_bytes = {BYTES_MAX}\n");
    let broker = Broker::start_with(cores, &config);
    let mut slow = stalled(&broker, SUBJECTS);
    let mut monitor = Nats::connect(nats(&broker));
    monitor.subscribe(&format!("$SYS.GAP.{}", slow.client_id()), "gaps");
    let mut publisher = Nats::connect(nats(&broker));
    flood(&mut publisher, SUBJECTS, ROUNDS, 8 * 1_024);
    let queued = of_largest(&broker, "queued_bytes");
    assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&queued), "{queued}");
    let dropped = broker.metric(DROPPED, CONNECTION_FULL);
    assert_eq!(of_largest(&broker, "dropped_messages"), dropped);
    let got = slow.messages().len() as u64;
    assert_eq!(got + dropped, SUBJECTS * ROUNDS, "each is delivered or counted");
    let mut reported = 0;
    while reported < dropped {
        let report: serde_json::Value =
            serde_json::from_slice(&monitor.message().payload).expect("JSON");
        reported += report["messages"].as_u64().expect("a number");
    }
    assert_eq!((reported, broker.metric(DROPPED, "")), (dropped, dropped));
    monitor.ping();
    drop((slow, monitor, publisher));
    let log = broker.stop();
    assert!(log.contains("the queues of a connection are full together"), "{log}");
}

fn a_full_connection_with_the_policy_disconnect_is_closed_and_told_why(cores: &str) {
    let config = "[queues]\noverflow_policy = \"disconnect\"\nconnection_bytes = 1_048_576\n";
    let broker = Broker::start_with(cores, config);
    let mut slow = stalled(&broker, 40);
    let mut publisher = Nats::connect(nats(&broker));
    flood(&mut publisher, 40, 30, 8 * 1_024);
    while let ServerLine::Message(_) = slow.expect() {}
    broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 1);
    publisher.ping();
    drop((slow, publisher));
    let log = broker.stop();
    assert!(log.contains("the queues of its connection, which hold 1048576 bytes"), "{log}");
}

/// Goal: one client that subscribes to much and reads nothing stops nobody else: it loses what it holds
/// beyond its share, and is named.
fn those_who_hold_most_lose_it_and_others_lose_nothing(cores: &str) {
    const SUBJECTS: u64 = 40;
    const MIB: u64 = 1 << 20;
    let config = "[limits]\nmemory_max = 67_108_864\n[queues]\nsubscriber_bytes = 2_097_152\n";
    let broker = Broker::start_with(cores, config);
    let before = broker.resident_bytes();
    let greedy = stalled(&broker, SUBJECTS);
    let mut publisher = Nats::connect(nats(&broker));
    flood(&mut publisher, SUBJECTS, 70, 32 * 1_024);
    let mut reads = Nats::connect(nats(&broker));
    reads.subscribe("ok", "1");
    for number in 0..20 {
        publisher.publish("ok", &[number]);
    }
    publisher.ping();
    for number in 0..20 {
        assert_eq!(reads.message().payload, [number]);
    }
    assert_eq!(broker.metric(DROPPED, REFUSED), 0);
    let reclaimed = broker.metric(DROPPED, RECLAIMED);
    assert!(reclaimed > 0);
    assert!(of_largest(&broker, "dropped_messages") >= reclaimed);
    let held = broker.metric("blipmq_memory_held_bytes", "");
    assert!(held < 64 * MIB, "{held}");
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB / 4 * 5, "{grown} bytes more than before");
    drop((greedy, publisher, reads));
    let log = broker.stop();
    assert!(log.contains("the connection that holds most of it loses messages"), "{log}");
}

fn under_the_policy_disconnect_those_who_hold_most_are_closed(cores: &str) {
    let config = "[limits]\nmemory_max = 16_777_216\n\
                  [queues]\noverflow_policy = \"disconnect\"\n";
    let broker = Broker::start_with(cores, config);
    let mut greedy = stalled(&broker, 40);
    let mut modest = Nats::connect(nats(&broker));
    modest.subscribe("ok", "1");
    let mut publisher = Nats::connect(nats(&broker));
    flood(&mut publisher, 40, 20, 32 * 1_024);
    publisher.publish("ok", b"still");
    assert_eq!(modest.message().text(), "still");
    while let ServerLine::Message(_) = greedy.expect() {}
    broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 2);
    assert_eq!(broker.metric("blipmq_reclaimed_connections_total", ""), 1);
    assert_eq!(broker.metric(DROPPED, REFUSED), 0);
    drop((greedy, modest, publisher));
    let log = broker.stop();
    assert!(log.contains("more than a fair share of "), "{log}");
}

/// Goal: messages that have not come in full count, and who holds most of that is closed; nobody else
/// notices.
fn unfinished_messages_hold_no_more_than_the_budget(cores: &str) {
    const CONNECTIONS: usize = 60;
    const SENT: usize = 900 * 1_024;
    const MEMORY_MAX: u64 = 16 << 20;
    let broker = Broker::start_with(cores, &format!("[limits]\nmemory_max = {MEMORY_MAX}\n"));
    let before = broker.resident_bytes();
    let mut reads = Nats::connect(nats(&broker));
    reads.subscribe("ok", "1");
    let mut begun = vec![0; SENT];
    begun[..4].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    begun[4] = Kind::Messages as u8;
    let mut unfinished = Vec::new();
    for _ in 0..CONNECTIONS {
        let wire = Wire::connect(broker.addr);
        // The broker may close it meanwhile.
        drop(wire.writer().write_all(&begun));
        unfinished.push(wire);
        reads.publish("ok", b"still");
        assert_eq!(reads.message().text(), "still");
    }
    let reclaimed = broker.wait_for_metric("blipmq_reclaimed_connections_total", "", |n| n > 30);
    assert!(reclaimed < CONNECTIONS as u64);
    let grown = broker.resident_bytes().saturating_sub(before);
    // Limit: buffers grow by doubling, and two cores keep what each has freed: more than a quarter of a
    // budget as small as this.
    assert!(grown < MEMORY_MAX + (40 << 20), "{grown} bytes more than before");
    drop((unfinished, reads));
    let log = broker.stop();
    assert!(log.contains("unfinished messages"), "{log}");
}

/// Goal: subscriptions count, and the connection that holds most of the memory for them is closed and told
/// why; nobody else notices.
fn subscriptions_hold_no_more_than_the_budget(cores: &str) {
    const CONNECTIONS: u64 = 5;
    const SUBSCRIPTIONS: u64 = 40_000;
    const MEMORY_MAX: u64 = 16 << 20;
    let broker = Broker::start_with(cores, &format!("[limits]\nmemory_max = {MEMORY_MAX}\n"));
    let before = broker.resident_bytes();
    let mut reads = Nats::connect(nats(&broker));
    reads.subscribe("ok", "1");
    for connection in 1..=CONNECTIONS {
        let mut greedy = Nats::connect(nats(&broker));
        let mut asks = String::new();
        for sid in 0..SUBSCRIPTIONS {
            asks += &format!("SUB of.{connection}.{sid} {sid}\r\n");
        }
        // The broker may close the connection meanwhile.
        drop(greedy.writer().write_all(asks.as_bytes()));
        broker.wait_for_metric("blipmq_reclaimed_connections_total", "", |n| n == connection);
        drop(greedy.try_next());
        reads.publish("ok", b"still");
        assert_eq!(reads.message().text(), "still");
    }
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 1);
    broker.wait_for_metric("blipmq_memory_held_bytes", "", |held| held < 1 << 20);
    // What nobody needs goes back to the operating system, if not at once.
    broker.wait_for_resident_bytes(before + MEMORY_MAX + (24 << 20));
    drop(reads);
    let log = broker.stop();
    assert!(log.contains("subscriptions, more than a fair share"), "{log}");
}
