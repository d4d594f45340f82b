//! Brokers that lose, repeat or swap messages, die or stall, and targets that are no brokers.

use std::io::Write;
use std::net::TcpListener;

use blipmq::protocol::{GapReason, Sequence, TopicId, encode, messages};

use crate::fakes::{self, Deed};
use crate::support::Server;
use crate::{SHORT, bench, broker, document, number, stderr, stdout};

#[test]
fn lost_doubled_and_swapped_messages_are_found() {
    let rows = [
        (Deed::Drop, "missing", "1 message missing"),
        (Deed::Double, "duplicates", "1 message doubled"),
        (Deed::Swap, "out_of_order", "1 message out of order"),
    ];
    for (deed, key, words) in rows {
        let url = format!("nats://{}", fakes::nats(deed));
        let options = ["latency", &url, "--rate", "500", "--json"];
        let output = bench(&[&options[..], &SHORT].concat());
        assert_eq!(output.status.code(), Some(1), "{deed:?}");
        let told = stderr(&output);
        assert!(told.contains("NOT CLEAN") && told.contains(words), "{deed:?}: {told}");
        let document = document(&output);
        assert_eq!(document["clean"], false);
        let trouble = document["targets"][0]["rounds"][0]["trouble"].as_object().cloned();
        for (kind, count) in trouble.expect("it is told") {
            assert_eq!(number(&count), u64::from(kind == key), "{deed:?}: {kind}");
        }
        let url = format!("nats://{}", fakes::nats(deed));
        let output = bench(&[&["latency", &url, "--rate", "500"], &SHORT[..]].concat());
        assert!(stdout(&output).contains("NOT CLEAN"), "{deed:?}: {}", stdout(&output));
    }
}

/// Goal: what a broker says it dropped is told, and is not all that is looked at.
/// Method: a scripted broker drops the tenth message and says so, and the twentieth and does not.
#[test]
fn gaps_that_the_broker_tells_are_counted_beside_what_is_missing() {
    let server = Server::listening(|listener| {
        let mut subscriber = listener.accept();
        subscriber.welcome();
        subscriber.accept_subscribe();
        let mut publisher = listener.accept();
        publisher.welcome();
        publisher.accept_open(7);
        let mut sequence = 0;
        while let Some(frame) = publisher.next() {
            for record in messages::records(&frame) {
                sequence += 1;
                match sequence {
                    10 => subscriber.send(|out| {
                        let (topic, first) = (TopicId(7), Sequence(sequence));
                        encode::gap(out, topic, 0, first, 1, GapReason::Overflow);
                    }),
                    20 => {}
                    _ => subscriber.deliver(7, sequence, &[record.payload]),
                }
            }
        }
    });
    let url = format!("blip://{}", server.addr);
    let output = bench(&[&["latency", &url, "--rate", "500", "--json"], &SHORT[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let document = document(&output);
    let trouble = &document["targets"][0]["rounds"][0]["trouble"];
    assert_eq!((number(&trouble["missing"]), number(&trouble["told_gaps"])), (2, 1), "{trouble}");
    assert!(stderr(&output).contains("the broker says it dropped"), "{}", stderr(&output));
    server.join();
}

#[test]
fn broker_that_dies_is_told_with_what_had_arrived() {
    let url = format!("nats://{}", fakes::nats(Deed::Die));
    let output = bench(&[&url, "--secs", "30"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("deliveries had arrived"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn stall_ends_with_who_waits_for_what() {
    let url = format!("nats://{}", fakes::nats(Deed::Swallow));
    let output = bench(&[&url, "--secs", "60", "--window", "4"]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("subscriber 0 waits for message 9 of publisher 0 on bench."), "{told}");
    assert!(told.contains("9 of 13 deliveries had arrived"), "{told}");
}

#[test]
fn targets_that_are_no_brokers_are_told_in_a_line() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it listens").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = stream.expect("a connection").write_all(answer);
        }
    });
    let (broker, nats) = (broker(), fakes::nats(Deed::Deliver));
    let rows = [
        (format!("blip://{addr}"), "no BLIP/1"),
        (format!("nats://{addr}"), "no NATS"),
        (format!("redis://{addr}"), "no Redis"),
        (format!("raw://{addr}"), "is it a mirror?"),
        (format!("blip://{nats}"), "use nats://"),
        (format!("redis://{}", broker.addr), "use blip://"),
    ];
    for (url, expected) in rows {
        let output = bench(&[&url]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        let told = stderr(&output);
        assert!(told.starts_with("blipmq: ") && told.lines().count() == 1, "{url}: {told}");
        assert!(told.contains(expected), "{url}: {told}");
    }
    broker.stop();
    let output = bench(&["blip://127.0.0.1:1"]);
    assert!(stderr(&output).contains("start one with `blipmq`"), "{}", stderr(&output));
}
