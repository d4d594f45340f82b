//! What topics cost: those that nobody uses go, and one client does not take the room of others.

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::{RequestId, encode};
use blipmq_client::{Client, ClientError, Event, PublishOptions};

use crate::on_one_and_two_cores;
use crate::support::nats::{Nats, put};
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::wanting;

on_one_and_two_cores! {
    topics_that_nobody_uses_are_removed_and_a_client_opens_them_again,
    the_id_of_a_removed_topic_is_refused_as_an_unknown_one,
    a_connection_opens_so_many_topics_without_publishing_and_others_have_room,
    topics_fill_half_of_the_memory_budget_and_messages_have_the_rest,
    names_with_too_many_tokens_are_refused_in_both_protocols,
}

const TOPICS: &str = "blipmq_topics";

/// Goal: topics of both protocols go when they are idle, but for one that is subscribed to; a client that
/// publishes again gets a new topic, and never a sequence of the old one.
fn topics_that_nobody_uses_are_removed_and_a_client_opens_them_again(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\ntopic_idle_timeout_ms = 100\n");
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("kept.a", "1");
    let mut out = Vec::new();
    (0..1_000).for_each(|number| put(&mut out, &format!("s{number}.x"), b"x"));
    nats.write(&out);
    let client = Client::connect(&broker.server()).expect("the client connects");
    let kept = client.topic("kept.a").expect("permitted");
    let topic = client.topic("gone.a").expect("permitted");
    kept.publish_acked("1", PublishOptions::new()).expect("permitted");
    topic.publish("1").expect("permitted");
    for round in 0..3 {
        broker.wait_for_metric(TOPICS, "", |topics| topics == 1);
        // The first message is refused, and the next goes to a topic that is opened again.
        let taken = loop {
            match topic.publish_acked("2", PublishOptions::new()) {
                Err(ClientError::NotTaken { .. }) => {}
                taken => break taken.expect("the topic is opened again"),
            }
        };
        assert_eq!(taken.sequence, 1, "round {round}");
    }
    // The same without an ACK: the client is told of the message that is lost.
    broker.wait_for_metric(TOPICS, "", |topics| topics == 1);
    let mut refused = 0;
    topic.publish("3").expect("permitted");
    while refused == 0 {
        match client.recv().expect("the connection stays") {
            Event::Error(ClientError::RequestRefused(error)) if error.code == 4040 => refused += 1,
            Event::Error(_) | Event::Messages(_) => {}
            other => panic!("an error was due, got {other:?}"),
        }
    }
    assert_eq!(kept.publish_acked("2", PublishOptions::new()).expect("permitted").sequence, 2);
    drop((nats, client, kept, topic));
    broker.stop();
}

/// Goal: the answer to a removed id is that to one that was never told, once, and the connection goes on.
fn the_id_of_a_removed_topic_is_refused_as_an_unknown_one(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\ntopic_idle_timeout_ms = 100\n");
    let mut wire = Wire::connect(broker.addr);
    let (first, ..) = wire.open(1, "a.b");
    broker.wait_for_metric(TOPICS, "", |topics| topics == 0);
    let unknown = |wire: &mut Wire, topic: u32| {
        wire.publish(topic, &[b"x"]);
        let frame = wire.expect();
        match frame.decoded() {
            ServerFrame::Error { code, fatal, about, .. } => (code, fatal, about),
            other => panic!("ERROR was due, got {other:?}"),
        }
    };
    assert_eq!(unknown(&mut wire, first), (4040, false, 0));
    assert_eq!(unknown(&mut wire, first), (4040, false, 0));
    assert_eq!(unknown(&mut wire, 77_777), (4040, false, 0));
    let (second, next, _) = wire.open(1, "a.b");
    assert!(second != first && next == 1, "{first}, {second}");
    broker.stop();
}

fn a_connection_opens_so_many_topics_without_publishing_and_others_have_room(cores: &str) {
    let broker = Broker::start_with(cores, "[limits]\nmax_topics_per_connection = 5\n");
    let mut wire = Wire::connect(broker.addr);
    let ids: Vec<u32> =
        (1..=5).map(|number| wire.open(number, &format!("t{number}.x")).0).collect();
    wire.send(|out| encode::open(out, RequestId(6), "t6.x"));
    let frame = wire.expect();
    assert!(
        matches!(frame.decoded(), ServerFrame::Error { code: 4291, about: 6, fatal: false, .. }),
        "{:?}",
        frame.decoded()
    );
    Wire::connect(broker.addr).open(1, "t6.x");
    // A topic that is published to holds something, and is no longer the connection's alone.
    wire.publish(ids[2], &[b"x"]);
    wire.open(7, "t7.x");
    broker.stop();
}

/// Goal: topics count in the memory budget, and leave half of it to messages.
fn topics_fill_half_of_the_memory_budget_and_messages_have_the_rest(cores: &str) {
    const ROOM_FOR: u32 = (1 << 20) / 2 / 700;
    let broker = Broker::start_with(cores, "[limits]\nmemory_max = 1048576\n");
    let mut wire = Wire::connect(broker.addr);
    let held = || broker.metric("blipmq_memory_held_bytes", "");
    let before = held();
    let mut first = 0;
    for number in 1..=ROOM_FOR {
        let (id, ..) = wire.open(number, &format!("t.{number}"));
        first = if number == 1 { id } else { first };
        // A topic that is used is not the connection's alone, of which there may be a tenth.
        wire.publish(id, &[b"x"]);
    }
    assert!(held() - before >= u64::from(ROOM_FOR) * 700);
    wire.send(|out| encode::open(out, RequestId(9_999), "one.more"));
    let frame = wire.expect();
    match frame.decoded() {
        ServerFrame::Error { code: 4291, about: 9_999, fatal: false, text, .. } => {
            assert!(text.contains("limits.memory_max") && text.contains("748"), "{text}");
        }
        other => panic!("a refusal was due, got {other:?}"),
    }
    wire.publish(first, &[&[7; 100_000]]);
    wire.ping();
    broker.stop();
}

fn names_with_too_many_tokens_are_refused_in_both_protocols(cores: &str) {
    let broker = Broker::start_with(cores, "[limits]\nmax_pattern_tokens = 3\n");
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("a.b.>", "1");
    nats.send("SUB a.b.c.> 2\r\n");
    nats.expect_error("Permissions Violation for Subscription to \"a.b.c.>\", too many tokens");
    nats.send("PUB a.b.c.d 1\r\nx\r\n");
    nats.expect_error("Invalid Publish Subject");
    nats.publish("a.b.c", b"x");
    assert_eq!(nats.message().subject, "a.b.c");
    nats.ping();
    let mut wire = Wire::connect(broker.addr);
    wire.send(|out| {
        encode::open(out, RequestId(5), "a.b.c.d");
        encode::subscribe(out, &wanting(6, "a.*.c.>"));
    });
    for about in [5, 6] {
        let frame = wire.expect();
        match frame.decoded() {
            ServerFrame::Error { code: 4220, about: of, fatal: false, text, .. } => {
                assert!(of == about && text.contains("4 tokens, the limit is 3"), "{of}: {text}");
            }
            other => panic!("ERROR was due, got {other:?}"),
        }
    }
    drop(nats);
    broker.stop();
}
