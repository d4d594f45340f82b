//! Answers to requests: whatever a requester calls its inbox, and whoever answers, no topic is made of it.

use blipmq_client::{Client, Event, PublishOptions};

use super::on_one_and_two_cores;
use crate::support::nats::Nats;
use crate::support::running::Broker;

on_one_and_two_cores! {
    answers_make_no_topics_whatever_their_prefix,
    a_topic_that_is_named_for_answers_stays_a_topic,
}

const PREFIXES: [&str; 4] = ["_INBOX.", "$JS.whatever.", "my_prefix.", "a.b.c."];
const EACH: usize = 50;

/// Answers the requests that a client of BLIP/1 gets.
fn answer(replier: &Client, requests: usize) {
    let mut left = requests;
    while left > 0 {
        let Event::Messages(messages) = replier.recv().expect("a request") else {
            panic!("messages were due")
        };
        for message in messages.iter() {
            replier.reply(&message, message.payload).expect("a request");
            left -= 1;
        }
    }
    replier.flush().expect("no answer is refused");
}

/// Goal: with room for few topics, requests of both protocols are answered by both, under every prefix.
fn answers_make_no_topics_whatever_their_prefix(cores: &str) {
    let broker = Broker::start_with(cores, "[limits]\nmax_topics = 4\n");
    let addr = broker.nats.expect("NATS clients are served");
    let replier = Client::connect(&broker.server()).expect("the client connects");
    replier.subscribe("prices.blip", Default::default()).expect("permitted");
    let mut nats_replier = Nats::connect(addr);
    nats_replier.subscribe("prices.nats", "1");
    let mut asks = Nats::connect(addr);
    let blip_asks = Client::connect(&broker.server()).expect("the client connects");
    let to_nats = blip_asks.topic("prices.nats").expect("permitted");
    std::thread::scope(|scope| {
        scope.spawn(|| answer(&replier, EACH * PREFIXES.len()));
        for (sid, prefix) in PREFIXES.iter().enumerate() {
            asks.subscribe(&format!("{prefix}r.*"), &sid.to_string());
            for number in 0..EACH {
                let inbox = format!("{prefix}r.{number}");
                asks.publish_with("prices.blip", &inbox, b"", b"?");
                assert_eq!(asks.message().subject, inbox);
                asks.publish_with("prices.nats", &inbox, b"", b"?");
                let request = nats_replier.message();
                nats_replier.publish(request.reply.as_deref().expect("a request"), b"!");
                assert_eq!(asks.message().subject, inbox);
                // The same from a client of BLIP/1, which listens to nothing.
                let inbox = format!("{prefix}s.{number}");
                let options = PublishOptions::new().header("reply-to", &inbox);
                to_nats.publish_with("?", options).expect("permitted");
                let request = nats_replier.message();
                assert_eq!(request.reply.as_deref(), Some(&*inbox));
                nats_replier.publish(&inbox, b"!");
            }
        }
    });
    nats_replier.ping();
    assert_eq!(broker.metric("blipmq_topics", ""), 2, "prices.blip and prices.nats");
    assert_eq!(broker.metric("blipmq_errors_sent_total", ""), 0);
    drop((replier, nats_replier, asks, to_nats, blip_asks));
    broker.stop();
}

/// Goal: whoever names a topic for its answers takes nothing from that topic.
fn a_topic_that_is_named_for_answers_stays_a_topic(cores: &str) {
    let broker = Broker::start(cores);
    let client = Client::connect(&broker.server()).expect("the client connects");
    let topic = client.topic("orders.eu").expect("permitted");
    let first = topic.publish_acked("1", PublishOptions::new()).expect("permitted");
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.publish_with("nobody", "orders.eu", b"", b"?");
    nats.ping();
    let other = Client::connect(&broker.server()).expect("the client connects");
    let again = other.topic("orders.eu").expect("permitted");
    let second = again.publish_acked("2", PublishOptions::new()).expect("permitted");
    assert_eq!((first.sequence, second.sequence), (1, 2));
    // An answer is acknowledged as well, though it is no topic.
    nats.publish_with("nobody", "answers.1", b"", b"?");
    nats.ping();
    let passing = other.topic("answers.1").expect("permitted");
    for _ in 0..3 {
        passing.publish_acked("x", PublishOptions::new()).expect("permitted");
    }
    assert_eq!(broker.metric("blipmq_topics", ""), 2, "orders.eu and nobody");
    drop((client, nats, other, topic, again, passing));
    broker.stop();
}
