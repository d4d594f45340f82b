//! Faulty brokers, which lose, duplicate or swap messages, die or stall; and targets that are not
//! brokers.

use std::io::Write;
use std::net::TcpListener;

use blipmq::protocol::{GapReason, Sequence, TopicId, encode, messages};

use crate::fakes::{self, Fault};
use crate::support::Server;
use crate::{SHORT, bench, broker, document, number, stderr, stdout};

#[test]
fn lost_duplicated_and_swapped_messages_are_found() {
    let rows = [
        (Fault::Drop, "missing", "1 message missing"),
        (Fault::Duplicate, "duplicates", "1 message duplicated"),
        (Fault::Swap, "out_of_order", "1 message out of order"),
    ];
    for (fault, key, words) in rows {
        let url = format!("nats://{}", fakes::nats(fault));
        let options = ["latency", &url, "--rate", "500", "--json"];
        let output = bench(&[&options[..], &SHORT].concat());
        assert_eq!(output.status.code(), Some(1), "{fault:?}");
        let error = stderr(&output);
        assert!(error.contains("NOT CLEAN") && error.contains(words), "{fault:?}: {error}");
        let document = document(&output);
        assert_eq!(document["clean"], false);
        let trouble = document["targets"][0]["rounds"][0]["trouble"].as_object().cloned();
        for (kind, count) in trouble.expect("counts of faults") {
            assert_eq!(number(&count), u64::from(kind == key), "{fault:?}: {kind}");
        }
        let url = format!("nats://{}", fakes::nats(fault));
        let output = bench(&[&["latency", &url, "--rate", "500"], &SHORT[..]].concat());
        assert!(stdout(&output).contains("NOT CLEAN"), "{fault:?}: {}", stdout(&output));
    }
}

/// Goal: drops that the broker reports are counted in addition to drops that it hides.
/// Method: a scripted broker drops the tenth message with a GAP, and the twentieth without one.
#[test]
fn gaps_reported_by_the_broker_are_counted_beside_missing_messages() {
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
    assert!(stderr(&output).contains("1 message reported as dropped"), "{}", stderr(&output));
    server.join();
}

#[test]
fn broker_that_dies_is_reported_with_the_deliveries_so_far() {
    let url = format!("nats://{}", fakes::nats(Fault::Die));
    let output = bench(&[&url, "--secs", "30"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("deliveries had arrived"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn stall_is_reported_with_the_subscriber_and_the_message_it_waits_for() {
    let url = format!("nats://{}", fakes::nats(Fault::DropAll));
    let output = bench(&[&url, "--secs", "60", "--window", "4"]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("subscriber 0 waits for message 9 of publisher 0 on bench."), "{error}");
    assert!(error.contains("9 of 13 deliveries had arrived"), "{error}");
}

#[test]
fn targets_that_are_not_brokers_are_reported_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a listening socket").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = stream.expect("a connection").write_all(answer);
        }
    });
    let (broker, nats) = (broker(), fakes::nats(Fault::None));
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
        let error = stderr(&output);
        assert!(error.starts_with("blipmq: ") && error.lines().count() == 1, "{url}: {error}");
        assert!(error.contains(expected), "{url}: {error}");
    }
    broker.stop();
    let output = bench(&["blip://127.0.0.1:1"]);
    assert!(stderr(&output).contains("start one with `blipmq`"), "{}", stderr(&output));
}
