//! What fuzzing, property tests and the simulator have found, one test each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::overflow::is_nearly_full;
use blipmq::broker::portion::Portion;
use blipmq::broker::queue::{Bounds, Queue};
use blipmq::broker::topic::TopicName;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Wire};
use blipmq::config::Settings;
use blipmq::protocol::decode::{Hello, ServerFrame, Subscribe};
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::messages::Header;
use blipmq::protocol::{CoreId, RequestId, Sequence, SubscriptionId, TopicId, decode, encode};

/// Who it is changes nothing here.
const PEER: Peer =
    Peer { protocol: Wire::Blip, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

/// A HELLO too short for its magic was told 4000 or 4001, by whether more bytes had arrived.
#[test]
fn refusal_of_a_hello_without_magic_does_not_depend_on_what_follows_it() {
    let hello = [8, 0, 0, 0, 1, 0, 0, 0];
    let followed = [&hello[..], b"more"].concat();
    assert_eq!(decode::next_hello(&hello), Ok(Some(&hello[..])));
    assert_eq!(decode::next_hello(&followed), Ok(Some(&hello[..])));
}

/// Three quarters of five were six: publishers went on until the queue was beyond its bound.
#[test]
fn a_short_queue_is_nearly_full_before_it_is_full() {
    let (id, owner) = (TopicId(1), CoreId(0));
    let topic = Arc::new(TopicName { id, owner, name: "full".into() });
    for messages_max in 1..100 {
        let full = Portion {
            topic: topic.clone(),
            subscription: 0,
            first: Sequence(1),
            messages: messages_max,
            received_ns: 0,
            deadline_ns: u64::MAX,
            not_to: None,
            frames: (&[0; 40][..]).into(),
        };
        let mut queue = Queue::default();
        queue.push(full);
        assert!(is_nearly_full(&queue, Bounds { messages_max, bytes_max: 1 << 20 }));
    }
}

const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };
const CLIENT: ConnectionId = ConnectionId { slot: 0, generation: 0 };

/// A broker of one core, and one client that has said HELLO.
fn broker_with_a_client() -> Broker {
    let mut broker = Broker::new(CoreId(0), Cluster::new(1, 7, Arc::default()), Arc::default());
    broker.connected(NOW, CLIENT, PEER, true);
    let mut hello = Vec::new();
    let greets = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
    encode::hello(&mut hello, &greets);
    take_in(&mut broker, &hello);
    broker
}

fn take_in(broker: &mut Broker, bytes: &[u8]) {
    broker.received(NOW, CLIENT, bytes);
    while broker.take_in(NOW) {}
    broker.audit();
}

/// Sends once; the socket is not free again until `sent`.
fn send(broker: &mut Broker) -> Vec<u8> {
    let mut gathered = Vec::new();
    if let Some(connection) = broker.next_ready() {
        broker.gather(NOW, connection, &mut gathered);
    }
    gathered.concat()
}

fn subscribe(id: u32, start: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let subscribe = Subscribe {
        subscription: SubscriptionId(id),
        overflow: 0,
        start,
        capacity: 0,
        start_argument: 10,
        pattern: "a",
        group: "",
    };
    encode::subscribe(&mut out, &subscribe);
    out
}

/// One empty message to the topic of request 1.
fn publish() -> Vec<u8> {
    let header = Header {
        frame_len: 44,
        flags: 0,
        count: 1,
        topic: PROVISIONAL | 1,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms: 0,
        crc: 0,
    };
    [&header.to_bytes()[..], &[0; 4]].concat()
}

/// Fuzz target `session`: a subscription that asked for kept messages came before one that ended
/// with messages queued, so live messages of the new one overtook those of the old one.
#[test]
fn messages_of_a_subscription_that_ends_come_before_those_of_one_that_replays() {
    let mut broker = broker_with_a_client();
    let mut open = Vec::new();
    encode::open(&mut open, RequestId(1), "a");
    take_in(&mut broker, &[open, subscribe(1, 0)].concat());
    assert!(!send(&mut broker).is_empty(), "WELCOME is under way");
    take_in(&mut broker, &publish());
    let mut unsubscribe = Vec::new();
    encode::unsubscribe(&mut unsubscribe, SubscriptionId(1));
    take_in(&mut broker, &[unsubscribe, subscribe(2, 1)].concat());
    take_in(&mut broker, &publish());
    let mut received = Vec::new();
    loop {
        broker.sent(NOW, CLIENT);
        let sent = send(&mut broker);
        if sent.is_empty() {
            break;
        }
        received.extend(sent);
    }
    let mut live = Vec::new();
    let mut rest = &received[..];
    while let Ok(Some(frame)) = decode::next_frame(rest, u32::MAX) {
        if let Ok(ServerFrame::Messages(Header { subscription: 0, sequence, .. })) =
            decode::server_frame(frame)
        {
            live.push(sequence);
        }
        rest = &rest[frame.len()..];
    }
    assert_eq!(live, [1, 2]);
}

/// A broker of one core for what NATS clients send, connections 0, 1...
struct Nats {
    broker: Broker,
    clients: Vec<ConnectionId>,
}

impl Nats {
    fn new(config: &str) -> Nats {
        let settings = Settings::parse("test.toml", config).expect("legal");
        let cluster = Cluster::new(1, 7, Arc::new(settings));
        Nats { broker: Broker::new(CoreId(0), cluster, Arc::default()), clients: Vec::new() }
    }

    fn connect(&mut self, options: &str) -> usize {
        let client = ConnectionId { slot: self.clients.len() as u32, generation: 0 };
        self.broker.connected(NOW, client, Peer { protocol: Wire::Nats, ..PEER }, true);
        self.clients.push(client);
        let number = self.clients.len() - 1;
        let connect = format!("CONNECT {{\"verbose\":false,\"pedantic\":false,{options}}}\r\n");
        assert!(self.says(number, &connect).starts_with("INFO "));
        number
    }

    /// What one connection is sent once all it says has taken effect.
    fn says(&mut self, number: usize, text: &str) -> String {
        self.broker.received(NOW, self.clients[number], text.as_bytes());
        while self.broker.take_in(NOW) {}
        self.broker.audit();
        let mut heard = Vec::new();
        while let Some(connection) = self.broker.next_ready() {
            let mut gathered = Vec::new();
            self.broker.gather(NOW, connection, &mut gathered);
            self.broker.sent(NOW, connection);
            if connection == self.clients[number] {
                heard.extend(gathered.concat());
            }
        }
        String::from_utf8(heard).expect("all of these are text")
    }

    /// Sids and subjects of 503s.
    fn unheard(&mut self, number: usize, text: &str) -> Vec<String> {
        let heard = self.says(number, text);
        let subject = |line: &str| line.strip_prefix("Nats-Subject: ").map(str::to_owned);
        heard.lines().filter_map(subject).collect()
    }
}

const ASKS: &str = r#""headers":true,"no_responders":true"#;

/// Beside nats-server: SUB in one read with an earlier request was told that nobody serves it; UNSUB
/// kept that from being told.
#[test]
fn no_responders_is_told_to_subscriptions_from_before_the_request() {
    let mut nats = Nats::new("");
    let asker = nats.connect(ASKS);
    let request = "PUB nobody r.1 1\r\nx\r\n";
    assert_eq!(nats.unheard(asker, &format!("{request}SUB r.* 1\r\n")), [""; 0]);
    assert_eq!(nats.unheard(asker, &format!("{request}UNSUB 1\r\n")), ["nobody"]);
}

/// Beside nats-server: of two requests the second was told first that nobody serves it, if its
/// subject was none.
#[test]
fn requests_are_told_in_their_order_that_nobody_serves_them() {
    let mut nats = Nats::new("");
    let asker = nats.connect(ASKS);
    let requests = "SUB r 1\r\nPUB a r 0\r\n\r\nPUB b..c r 0\r\n\r\nPUB $SYS.d r 0\r\n\r\n";
    assert_eq!(nats.unheard(asker, requests), ["a", "b..c", "$SYS.d"]);
}

/// Beside nats-server: a reply with an empty token, which no message can have as its subject,
/// matched patterns.
#[test]
fn a_reply_that_is_no_subject_reaches_nobody() {
    let mut nats = Nats::new("");
    let asker = nats.connect(ASKS);
    assert_eq!(nats.unheard(asker, "SUB > 1\r\nUNSUB 1 9\r\n"), [""; 0]);
    let other = nats.connect(&format!("{ASKS},\"echo\":false"));
    let requests = "SUB a.> 1\r\nPUB $SYS.x a..b 0\r\n\r\nPUB $SYS.x a.b 0\r\n\r\n";
    assert_eq!(nats.unheard(other, requests), ["$SYS.x"]);
}

/// Beside nats-server: a group whose only member was the publisher, who hears no echo, counted as
/// somebody who listens.
#[test]
fn a_group_nobody_of_which_may_have_a_request_is_no_responder() {
    let mut nats = Nats::new("");
    let asker = nats.connect(&format!("{ASKS},\"echo\":false"));
    assert!(nats.says(asker, "SUB r 1\r\nSUB a q 2\r\nPING\r\n").contains("PONG"));
    assert_eq!(nats.unheard(asker, "PUB a r 0\r\n\r\n"), ["a"]);
    let member = nats.connect(ASKS);
    assert!(nats.says(member, "SUB a q 2\r\nPING\r\n").contains("PONG"));
    assert_eq!(nats.unheard(asker, "PUB a r 0\r\n\r\n"), [""; 0]);
}

/// Beside nats-server: of groups of one name over several patterns, one was chosen that could not
/// have the message, and it was lost.
#[test]
fn of_groups_of_a_name_one_that_may_have_the_message_is_chosen() {
    let mut nats = Nats::new("");
    let publisher = nats.connect(r#""echo":false"#);
    assert!(nats.says(publisher, "SUB a.* q 1\r\nPING\r\n").contains("PONG"));
    let other = nats.connect(r#""echo":true"#);
    assert!(nats.says(other, "SUB > q 1\r\nPING\r\n").contains("PONG"));
    for round in 0..6 {
        nats.broker.received(NOW, nats.clients[publisher], b"PUB a.b 1\r\nx\r\n");
        assert!(nats.says(other, "").contains("MSG a.b 1 1"), "round {round}");
    }
}

/// Beside nats-server: who may not subscribe to anything learned that a subject is invalid.
#[test]
fn what_may_not_be_subscribed_to_is_refused_before_what_cannot() {
    let user = "[[auth.users]]\nuser = \"u\"\npassword = \"p\"\nsubscribe = [\"open.>\"]\n";
    let mut nats = Nats::new(user);
    let client = nats.connect(r#""user":"u","pass":"p""#);
    assert!(nats.says(client, "SUB a..b 1\r\n").contains("Permissions Violation"));
    assert!(nats.says(client, "SUB open.. 1\r\n").contains("Invalid Subject"));
}

/// Beside nats-server: what the last member of a group had waiting when it said UNSUB was lost, and
/// so were messages of every worker that drained.
#[test]
fn the_last_of_a_group_is_sent_what_it_was_dealt_before_unsub() {
    let mut nats = Nats::new("");
    let member = nats.connect(r#""echo":true"#);
    assert!(nats.says(member, "SUB a q 1\r\nPING\r\n").contains("PONG"));
    let publisher = nats.connect(r#""echo":true"#);
    nats.broker.received(NOW, nats.clients[publisher], b"PUB a 1\r\nx\r\n");
    while nats.broker.take_in(NOW) {}
    assert_eq!(nats.says(member, "UNSUB 1\r\nPING\r\n"), "MSG a 1 1\r\nx\r\nPONG\r\n");
}
