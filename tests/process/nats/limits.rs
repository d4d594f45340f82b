//! Limits and offences: each with the words of nats-server, and whether the connection stays open.

use super::on_one_and_two_cores;
use crate::support::nats::{CONNECT, Nats, put};
use crate::support::running::Broker;

on_one_and_two_cores! {
    a_connection_over_the_limit_gets_info_and_an_error,
    a_subscription_over_the_limit_is_refused_and_the_connection_continues,
    errors_that_end_a_connection_have_the_words_of_nats_server,
    errors_of_one_command_are_reported_and_the_connection_continues,
    messages_published_before_an_offence_are_delivered,
}

fn a_connection_over_the_limit_gets_info_and_an_error(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nmax_connections = 3\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut places: Vec<Nats> = (0..3).map(|_| Nats::connect(addr)).collect();
    for _ in 0..4 {
        let mut refused = Nats::silent(addr);
        assert_eq!(refused.info["max_payload"], 1 << 20);
        refused.expect_last_error("maximum connections exceeded");
    }
    // The place of a connection that ends is used again.
    places.pop();
    broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 2);
    places.push(Nats::connect(addr));
    places.iter_mut().for_each(Nats::ping);
    assert_eq!(broker.metric("blipmq_errors_sent_total", ""), 4);
    drop(places);
    broker.stop();
}

fn a_subscription_over_the_limit_is_refused_and_the_connection_continues(cores: &str) {
    let config = "[limits]\nmax_subscriptions_per_connection = 2\n";
    let broker = Broker::start_with(cores, config);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("a", "1");
    nats.join("b", "queue", "2");
    for refused in ["SUB c 3\r\n", "SUB d queue 4\r\n"] {
        nats.send(refused);
        nats.expect_error("maximum subscriptions exceeded");
    }
    for subject in ["a", "b", "c", "d"] {
        nats.publish(subject, b"x");
    }
    let mut found: Vec<String> = nats.messages().into_iter().map(|one| one.subject).collect();
    found.sort();
    assert_eq!(found, ["a", "b"]);
    nats.send("UNSUB 1\r\n");
    nats.subscribe("c", "3");
    nats.publish("c", b"x");
    assert_eq!(nats.messages().len(), 1);
    drop(nats);
    broker.stop();
}

fn errors_that_end_a_connection_have_the_words_of_nats_server(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nmax_message_size_bytes = 131072\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut witness = Nats::connect(addr);
    assert_eq!(witness.info["max_payload"], 131_072);
    let long = "x".repeat(4_097);
    let headers =
        format!("HPUB a 66000 66000\r\nNATS/1.0\r\nA: {}\r\n\r\n\r\n", "x".repeat(65_983));
    let offences = [
        ("PUB a 131073\r\n".to_owned(), "Maximum Payload Violation"),
        ("HPUB a 12 131073\r\n".to_owned(), "Maximum Payload Violation"),
        (headers, "Maximum Payload Violation"),
        (format!("PUB {long}"), "maximum control line exceeded"),
        (format!("SUB {long} 1\r\n"), "maximum control line exceeded"),
        (format!("CONNECT {{\"name\":\"{long}\"}}\r\n"), "maximum control line exceeded"),
        ("NONSENSE\r\n".to_owned(), "Unknown Protocol Operation"),
        ("PUB a 1\r\nxyz\r\n".to_owned(), "Unknown Protocol Operation"),
        ("\r\n".to_owned(), "Unknown Protocol Operation"),
        (r#"CONNECT {"protocol":2}"#.to_owned() + "\r\n", "invalid client protocol"),
        (
            r#"CONNECT {"no_responders":true,"headers":false}"#.to_owned() + "\r\n",
            "no responders requires headers support",
        ),
        (r#"CONNECT {"account":"a"}"#.to_owned() + "\r\n", "Authorization Violation"),
    ];
    let errors = offences.len() as u64;
    for (offence, text) in offences {
        let mut nats = Nats::connect(addr);
        nats.send(&offence);
        nats.expect_last_error(text);
        witness.ping();
    }
    // These close silently, as in nats-server.
    for offence in ["PUB a\r\n", "SUB a\r\n", "PUB a x\r\n", "CONNECT {\r\n", "-ERR 'no'\r\n"] {
        let mut nats = Nats::connect(addr);
        nats.send(offence);
        assert_eq!(nats.next(), None, "{offence}");
        witness.ping();
    }
    let mut without = Nats::connect_as(addr, r#"{"verbose":false}"#);
    without.send("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    assert_eq!(without.next(), None, "headers it never said it knows");
    assert!(broker.metric("blipmq_errors_sent_total", "") >= errors);
    // Exactly at the limits there is no error.
    witness.subscribe(&"s".repeat(4_000), "1");
    witness.publish("a", &[0; 131_072]);
    witness.ping();
    drop((witness, without));
    broker.stop();
}

fn errors_of_one_command_are_reported_and_the_connection_continues(cores: &str) {
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let pedantic = CONNECT.replace(r#""pedantic":false"#, r#""pedantic":true"#);
    let mut nats = Nats::connect_as(addr, &pedantic);
    for subject in ["a..b", ".a", "a.", "a.>.b"] {
        nats.send(&format!("SUB {subject} 1\r\n"));
        nats.expect_error("Invalid Subject");
    }
    for subject in ["a.*", ">", "a..b"] {
        nats.publish(subject, b"x");
        nats.expect_error("Invalid Publish Subject");
    }
    nats.publish("$SYS.GAP.1", b"a lie");
    nats.expect_error("Permissions Violation for Publish to \"$SYS.GAP.1\"");
    nats.subscribe("fine", "2");
    nats.publish("fine", b"x");
    assert_eq!(nats.message().text(), "x");
    drop(nats);
    broker.stop();
}

/// Method: everything in one write, the offence last; the own subscription gets all, then the error.
fn messages_published_before_an_offence_are_delivered(cores: &str) {
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let mut other = Nats::connect(addr);
    other.subscribe("before.*", "1");
    let mut nats = Nats::connect(addr);
    nats.subscribe("before.*", "1");
    let mut out = Vec::new();
    for number in 0..100 {
        put(&mut out, &format!("before.{}", number % 5), b"in time");
    }
    out.extend_from_slice(b"WHAT\r\nPUB before.1 8\r\ntoo late\r\n");
    nats.write(&out);
    for nats in [&mut nats, &mut other] {
        for _ in 0..100 {
            assert_eq!(nats.message().text(), "in time");
        }
    }
    nats.expect_last_error("Unknown Protocol Operation");
    other.ping();
    drop((nats, other));
    broker.stop();
}
