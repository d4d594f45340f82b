//! What all connections of one user may take together, on whatever cores.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, Peer, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::decode::Hello;
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::{CoreId, RequestId, encode};

use super::written::encode_messages;
use super::{MS, PEER, at, id};

/// One of two cores.
struct Core {
    broker: Broker,
    port: InMemory,
    counters: Arc<Counters>,
}

/// Two cores of one broker; what they have for each other stays where it is.
fn cores(user: &str) -> [Core; 2] {
    let other = "[[auth.users]]\nuser = \"other\"\npassword = \"o\"\n";
    let text = format!("[[auth.users]]\nuser = \"u\"\npassword = \"p\"\n{user}\n{other}");
    let settings = Arc::new(Settings::parse("blipmq.toml", &text).expect(&text));
    let cluster = Cluster::new(2, 1, settings);
    [0, 1].map(|core| {
        let counters = Arc::<Counters>::default();
        let broker = Broker::new(CoreId(core), cluster.clone(), counters.clone());
        Core { broker, port: InMemory::default(), counters }
    })
}

fn login(protocol: Protocol, user: &str, password: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match protocol {
        Protocol::Blip => {
            encode::hello(&mut bytes, &Hello { auth_kind: 2, client_name: "", user, password });
        }
        Protocol::Nats => {
            let options = format!("\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"");
            bytes.extend(format!("CONNECT {{{options}}}\r\n").into_bytes());
        }
    }
    bytes
}

impl Core {
    /// Turns until there is nothing to do.
    fn run(&mut self, ms: u64) {
        while turn(&mut self.broker, at(ms), &mut self.port) {}
        self.broker.audit();
    }

    /// A client that logs in. Returns whether it was let in.
    fn log_in(&mut self, slot: u32, protocol: Protocol, user: &str, password: &str) -> bool {
        self.broker.connected(at(5_000), id(slot), Peer { protocol, ..PEER }, true);
        self.say(5_000, slot, &login(protocol, user, password));
        let is_closed = self.port.closes.iter().any(|(connection, _)| *connection == id(slot));
        !is_closed
    }

    fn say(&mut self, ms: u64, slot: u32, bytes: &[u8]) {
        self.broker.received(at(ms), id(slot), bytes);
        self.run(ms);
    }

    fn last_words(&self, slot: u32) -> String {
        let of = self.port.closes.iter().find(|(connection, _)| *connection == id(slot));
        String::from_utf8_lossy(&of.expect("it was closed").1).into_owned()
    }
}

#[test]
fn a_user_has_max_connections_over_all_cores_and_protocols_and_others_are_not_limited() {
    let [mut one, mut other] = cores("max_connections = 2");
    assert!(one.log_in(0, Protocol::Nats, "u", "p"));
    assert!(other.log_in(0, Protocol::Blip, "u", "p"));
    assert!(!one.log_in(1, Protocol::Nats, "u", "p"));
    assert!(!other.log_in(1, Protocol::Blip, "u", "p"));
    assert!(one.last_words(1).ends_with("-ERR 'maximum connections exceeded'\r\n"));
    let told = other.last_words(1);
    assert!(told.contains("2 connections of your user are open, the limit: close some"), "{told}");
    for core in [&one, &other] {
        assert_eq!(
            core.counters.refused_connections.each_ref().map(|of| of.get()),
            [0, 0, 0, 0, 1]
        );
    }
    assert!((2..5).all(|slot| one.log_in(slot, Protocol::Nats, "other", "o")));

    // A client that sends CONNECT again keeps its place; that of one that goes is used again.
    one.say(5_000, 0, &login(Protocol::Nats, "u", "p"));
    assert!(one.port.closes.iter().all(|(connection, _)| *connection != id(0)));
    other.broker.ended(at(5_000), id(0));
    other.run(5_000);
    other.broker.closed(id(0));
    assert!(one.log_in(5, Protocol::Nats, "u", "p"));
    assert!(!other.log_in(2, Protocol::Blip, "u", "p"));
    // Another user takes its place in turn.
    one.say(5_000, 5, &login(Protocol::Nats, "other", "o"));
    assert!(other.log_in(3, Protocol::Blip, "u", "p"));
}

#[test]
fn connections_of_a_user_that_publish_too_fast_together_wait_and_those_of_others_do_not() {
    for limit in ["max_publish_messages_per_second = 10", "max_publish_bytes_per_second = 150"] {
        let [mut one, mut other] = cores(limit);
        assert!(
            one.log_in(0, Protocol::Nats, "u", "p") && other.log_in(0, Protocol::Nats, "u", "p")
        );
        assert!(one.log_in(1, Protocol::Nats, "other", "o"));
        // 15 bytes each: what may be saved up, which the other core uses.
        other.say(5_000, 0, &b"PUB a 4\r\nhaha\r\n".repeat(10));
        assert_eq!(other.port.paused.len(), 0, "{limit}");
        one.say(5_000, 0, b"PUB a 4\r\nhaha\r\n");
        one.say(5_000, 1, &b"PUB a 4\r\nhaha\r\n".repeat(1_000));
        assert_eq!((&one.port.paused[..], one.counters.rate_limited.get()), (&[id(0)][..], 1));
        let next_ns = one.broker.next_deadline_ns().expect("the core wakes for it");
        assert!(next_ns <= 5_100 * MS, "{limit}: {next_ns}");
        // The next message of the user has to wait until a tenth of a second after that.
        other.say(5_050, 0, b"PUB a 4\r\nhaha\r\n");
        for (core, ms) in [(&mut one, 5_100), (&mut other, 5_200)] {
            core.run(ms - 1);
            assert_eq!(core.port.paused, [id(0)], "{limit}");
            core.run(ms);
            assert_eq!(core.port.paused, [], "{limit}");
        }
    }
}

#[test]
fn a_blip_client_that_publishes_faster_than_its_user_may_is_not_read_for_a_while() {
    let [mut core, _] = cores("max_publish_messages_per_second = 10");
    assert!(core.log_in(0, Protocol::Blip, "u", "p"));
    let mut bytes = Vec::new();
    encode::open(&mut bytes, RequestId(1), "a");
    encode_messages(&mut bytes, PROVISIONAL | 1, 0, &[&b"x"[..]; 25]);
    core.say(5_000, 0, &bytes);
    assert_eq!((&core.port.paused[..], core.counters.rate_limited.get()), (&[id(0)][..], 1));
    // A second was saved up.
    core.run(6_499);
    assert_eq!(core.port.paused.len(), 1);
    core.run(6_500);
    assert_eq!(core.port.paused.len(), 0);
}
