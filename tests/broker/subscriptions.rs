//! How many subscriptions there may be, and how many of them one message may reach.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Event, Peer, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::decode::Hello;
use blipmq::protocol::encode;

use super::limits::with_limits;
use super::written::wanting;
use super::{PEER, at, id};

/// A broker whose clients take what they are sent.
struct Scene {
    broker: Broker,
    port: InMemory,
    counters: Arc<Counters>,
}

impl Scene {
    fn new(limits: &str) -> Scene {
        let (broker, port, counters) = with_limits(&format!("[limits]\n{limits}\n"));
        Scene { broker, port, counters }
    }

    /// Runs all turns; returns what a client was sent.
    fn run(&mut self, slot: u32) -> String {
        let mut sent = Vec::new();
        loop {
            let mut busy = turn(&mut self.broker, at(0), &mut self.port);
            self.broker.audit();
            for (connection, ranges) in std::mem::take(&mut self.port.sends) {
                if connection == id(slot) {
                    sent.extend(ranges.concat());
                }
                self.broker.sent(at(0), connection);
                busy = true;
            }
            if !busy {
                return String::from_utf8_lossy(&sent).into_owned();
            }
        }
    }

    fn say(&mut self, slot: u32, text: &str) -> String {
        self.broker.received(at(0), id(slot), text.as_bytes());
        self.run(slot)
    }

    fn nats(&mut self, slot: u32) {
        self.broker.connected(at(0), id(slot), PEER, true);
        self.say(slot, "CONNECT {\"verbose\":false}\r\n");
    }

    fn blip(&mut self, slot: u32) {
        let peer = Peer { protocol: Protocol::Blip, ..PEER };
        self.broker.connected(at(0), id(slot), peer, true);
        let hello = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
        let mut bytes = Vec::new();
        encode::hello(&mut bytes, &hello);
        self.broker.received(at(0), id(slot), &bytes);
        self.run(slot);
    }

    fn subscribe(&mut self, slot: u32, number: u32) -> String {
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, &wanting(number, "a"));
        self.broker.received(at(0), id(slot), &bytes);
        self.run(slot)
    }

    fn refused(&self) -> u64 {
        self.counters.refused_subscriptions.get()
    }
}

const REFUSED: &str = "-ERR 'maximum subscriptions exceeded'\r\n";

#[test]
fn all_connections_together_have_max_subscriptions_and_places_of_those_that_end_are_used_again() {
    let mut scene = Scene::new("max_subscriptions = 3");
    (0..2).for_each(|slot| scene.nats(slot));
    scene.blip(2);
    assert_eq!(scene.say(0, "SUB a 1\r\nSUB a 2\r\n"), "");
    assert!(!scene.subscribe(2, 1).contains("exist, the limit"));
    // For every client, and for none that has its place.
    assert_eq!(scene.say(1, "SUB a 1\r\n"), REFUSED);
    assert_eq!(scene.say(0, "SUB a queue 3\r\n"), REFUSED);
    let error = scene.subscribe(2, 2);
    assert!(
        error.contains("3 subscriptions, over all connections, exist, the limit: subscribe later"),
        "{error}"
    );
    assert_eq!((scene.refused(), scene.port.closes.len()), (3, 0));
    let of_first = scene.say(0, "PUB a 1\r\nx\r\n");
    assert_eq!(of_first.matches("MSG a ").count(), 2);

    // The place of a subscription, and those of a connection that goes.
    scene.say(0, "UNSUB 2\r\n");
    assert_eq!(scene.say(1, "SUB a 1\r\n"), "");
    scene.broker.ended(at(0), id(0));
    scene.run(0);
    assert_eq!(scene.say(1, "SUB b 2\r\nSUB b 3\r\n"), REFUSED);
}

#[test]
fn a_reload_changes_how_many_subscriptions_there_may_be() {
    let mut scene = Scene::new("max_subscriptions = 1");
    scene.nats(0);
    assert_eq!(scene.say(0, "SUB a 1\r\nSUB a 2\r\n"), REFUSED);
    let text = "[limits]\nmax_subscriptions = 2\n";
    scene.broker.reload(at(0), Arc::new(Settings::parse("blipmq.toml", text).expect(text)));
    assert_eq!(scene.say(0, "SUB a 2\r\nSUB a 3\r\n"), REFUSED);
    assert_eq!(scene.refused(), 2);
}

#[test]
fn a_connection_of_which_a_message_reaches_too_many_subscriptions_is_closed_and_no_other() {
    let mut scene = Scene::new("max_fan_out_per_connection = 3");
    (0..3).for_each(|slot| scene.nats(slot));
    scene.blip(3);
    scene.say(0, "SUB a 1\r\nSUB * 2\r\nSUB > 3\r\nSUB a 4\r\nSUB b 5\r\n");
    scene.say(1, "SUB a 1\r\nSUB * 2\r\nSUB > 3\r\nSUB b 4\r\n");
    (1..=9).for_each(|number| drop(scene.subscribe(3, number)));
    // What reaches few enough is sent to all of them.
    assert_eq!(scene.say(0, "PUB b 1\r\nx\r\n").matches("MSG b ").count(), 3);
    scene.broker.received(at(0), id(2), b"PUB a 1\r\ny\r\n");
    assert_eq!(scene.run(1).matches("MSG a ").count(), 3);
    let closed: Vec<_> = scene.port.closes.iter().map(|(connection, _)| *connection).collect();
    assert_eq!((closed, scene.counters.fan_out_exceeded.get()), (vec![id(0)], 1));
    let last = String::from_utf8_lossy(&scene.port.closes[0].1).into_owned();
    assert!(last.ends_with(REFUSED), "{last}");
    // Nothing is lost without a trace: what its subscriptions were not sent is counted for each.
    assert_eq!(scene.counters.dropped_disconnected_messages.get(), 4);
    let says_why = |event: &Event| {
        let reason = "a message reaches 4 subscriptions of its connection, more than 3";
        matches!(event, Event::TooSlow { why } if why.contains(reason))
    };
    assert!(scene.port.notices.iter().any(|notice| says_why(&notice.event)));
    // A BLIP/1 client is sent each message once, whatever it subscribes to.
    scene.broker.received(at(0), id(2), b"PUB a 5\r\nthird\r\n");
    assert_eq!(scene.run(3).matches("third").count(), 1);
}
