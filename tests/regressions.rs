//! Bugs found by fuzzing, property tests, the simulator and comparison with nats-server, one test each.

#[path = "support/written.rs"]
mod written;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::delivery::overflow::is_nearly_full;
use blipmq::broker::delivery::queue::{Bounds, Queue};
use blipmq::broker::message::{Slice, TopicName};
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot};
use blipmq::config::Settings;
use blipmq::protocol::decode::{Hello, ServerFrame, Subscribe};
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::messages::Header;
use blipmq::protocol::{CoreId, RequestId, Sequence, SubscriptionId, TopicId, decode, encode};

use written::{encode_messages, wanting};

/// The tests do not depend on the peer.
const PEER: Peer =
    Peer { protocol: Protocol::Blip, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

/// A HELLO too short for its magic was refused with 4000 or 4001, depending on whether more bytes had
/// arrived.
#[test]
fn refusal_of_a_hello_without_magic_does_not_depend_on_what_follows_it() {
    let hello = [8, 0, 0, 0, 1, 0, 0, 0];
    let followed = [&hello[..], b"more"].concat();
    assert_eq!(decode::next_hello(&hello), Ok(Some(&hello[..])));
    assert_eq!(decode::next_hello(&followed), Ok(Some(&hello[..])));
}

/// Three quarters of five were six: publishers continued until the queue was beyond its bound.
#[test]
fn a_short_queue_is_nearly_full_before_it_is_full() {
    let (id, owner) = (TopicId(1), CoreId(0));
    let topic = Arc::new(TopicName { id, owner, name: "full".into() });
    for messages_max in 1..100 {
        let full = Slice {
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
const CLIENT: ConnectionId = ConnectionId { slot: Slot(0), generation: 0 };

/// A broker of one core, and one client that has sent HELLO.
fn broker_with_a_client() -> (Broker, InMemory) {
    let mut broker = Broker::new(CoreId(0), Cluster::new(1, 7, Arc::default()), Arc::default());
    let mut port = InMemory::default();
    broker.connected(NOW, CLIENT, PEER, true);
    let mut hello = Vec::new();
    let hello_fields = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
    encode::hello(&mut hello, &hello_fields);
    take_in(&mut broker, &mut port, &hello);
    (broker, port)
}

/// Hands bytes to the broker; what it sends stays under way.
fn take_in(broker: &mut Broker, port: &mut InMemory, bytes: &[u8]) {
    broker.received(NOW, CLIENT, bytes);
    while turn(broker, NOW, port) {}
    broker.audit();
}

/// Completes the send under way; returns the next one, which is under way then.
fn send(broker: &mut Broker, port: &mut InMemory) -> Vec<u8> {
    port.sends.clear();
    broker.sent(NOW, CLIENT);
    while turn(broker, NOW, port) {}
    port.sends.drain(..).flat_map(|(_, ranges)| ranges.concat()).collect()
}

fn subscribe(id: u32, start: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let subscribe = Subscribe { start, start_argument: 10, ..wanting(id, "a") };
    encode::subscribe(&mut out, &subscribe);
    out
}

/// One empty message to the topic of request 1.
fn publish() -> Vec<u8> {
    let mut out = Vec::new();
    encode_messages(&mut out, PROVISIONAL | 1, 0, &[b""]);
    out
}

/// Fuzz target `session`: a subscription with a replay came before one that ended with queued messages, so
/// live messages of the new one overtook those of the old one.
#[test]
fn messages_of_an_ended_subscription_come_before_those_of_a_later_one_with_a_replay() {
    let (mut broker, mut port) = broker_with_a_client();
    assert_eq!(port.sends.len(), 1, "WELCOME is under way");
    let mut open = Vec::new();
    encode::open(&mut open, RequestId(1), "a");
    take_in(&mut broker, &mut port, &[open, subscribe(1, 0)].concat());
    take_in(&mut broker, &mut port, &publish());
    let mut unsubscribe = Vec::new();
    encode::unsubscribe(&mut unsubscribe, SubscriptionId(1));
    take_in(&mut broker, &mut port, &[unsubscribe, subscribe(2, 1)].concat());
    take_in(&mut broker, &mut port, &publish());
    assert_eq!(port.sends.len(), 1, "everything else is queued behind WELCOME");
    let mut received = Vec::new();
    loop {
        let sent = send(&mut broker, &mut port);
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

/// A broker of one core with NATS clients, numbered from 0.
struct Nats {
    broker: Broker,
    port: InMemory,
    clients: Vec<ConnectionId>,
}

impl Nats {
    fn new(config: &str) -> Nats {
        let settings = Settings::parse("test.toml", config).expect("legal");
        let cluster = Cluster::new(1, 7, Arc::new(settings));
        let broker = Broker::new(CoreId(0), cluster, Arc::default());
        Nats { broker, port: InMemory::default(), clients: Vec::new() }
    }

    fn connect(&mut self, options: &str) -> usize {
        let client = ConnectionId { slot: Slot(self.clients.len() as u32), generation: 0 };
        self.broker.connected(NOW, client, Peer { protocol: Protocol::Nats, ..PEER }, true);
        self.clients.push(client);
        let number = self.clients.len() - 1;
        let connect = format!("CONNECT {{\"verbose\":false,\"pedantic\":false,{options}}}\r\n");
        assert!(self.exchange(number, &connect).starts_with("INFO "));
        number
    }

    /// Sends text on a connection; returns the bytes that this connection is sent once the text has taken
    /// effect.
    fn exchange(&mut self, number: usize, text: &str) -> String {
        self.say(number, text);
        let mut received = Vec::new();
        loop {
            for (connection, ranges) in std::mem::take(&mut self.port.sends) {
                self.broker.sent(NOW, connection);
                if connection == self.clients[number] {
                    received.extend(ranges.concat());
                }
            }
            let busy = turn(&mut self.broker, NOW, &mut self.port);
            if !busy && self.port.sends.is_empty() {
                return String::from_utf8(received).expect("text");
            }
        }
    }

    /// Sends text on a connection; what follows stays under way.
    fn say(&mut self, number: usize, text: &str) {
        self.broker.received(NOW, self.clients[number], text.as_bytes());
        while turn(&mut self.broker, NOW, &mut self.port) {}
        self.broker.audit();
    }

    /// Sends text on a connection; returns the subjects of the 503s that it is sent.
    fn subjects_without_responders(&mut self, number: usize, text: &str) -> Vec<String> {
        let received = self.exchange(number, text);
        let subject = |line: &str| line.strip_prefix("Nats-Subject: ").map(str::to_owned);
        received.lines().filter_map(subject).collect()
    }
}

const WITH_NO_RESPONDERS: &str = r#""headers":true,"no_responders":true"#;

/// Compared with nats-server: a SUB in one read with an earlier request received its 503; an UNSUB
/// suppressed it.
#[test]
fn a_503_goes_to_subscriptions_from_before_the_request() {
    let mut nats = Nats::new("");
    let requester = nats.connect(WITH_NO_RESPONDERS);
    let request = "PUB nobody r.1 1\r\nx\r\n";
    assert_eq!(
        nats.subjects_without_responders(requester, &format!("{request}SUB r.* 1\r\n")),
        [""; 0]
    );
    assert_eq!(
        nats.subjects_without_responders(requester, &format!("{request}UNSUB 1\r\n")),
        ["nobody"]
    );
}

/// Compared with nats-server: of two requests the second got its 503 first, if its subject was invalid.
#[test]
fn requests_without_responders_get_their_503s_in_order() {
    let mut nats = Nats::new("");
    let requester = nats.connect(WITH_NO_RESPONDERS);
    let requests = "SUB r 1\r\nPUB a r 0\r\n\r\nPUB b..c r 0\r\n\r\nPUB $SYS.d r 0\r\n\r\n";
    assert_eq!(nats.subjects_without_responders(requester, requests), ["a", "b..c", "$SYS.d"]);
}

/// Compared with nats-server: a reply subject with an empty token, which no message can have as its
/// subject, matched patterns.
#[test]
fn an_invalid_reply_subject_matches_no_subscription() {
    let mut nats = Nats::new("");
    let requester = nats.connect(WITH_NO_RESPONDERS);
    assert_eq!(nats.subjects_without_responders(requester, "SUB > 1\r\nUNSUB 1 9\r\n"), [""; 0]);
    let other = nats.connect(&format!("{WITH_NO_RESPONDERS},\"echo\":false"));
    let requests = "SUB a.> 1\r\nPUB $SYS.x a..b 0\r\n\r\nPUB $SYS.x a.b 0\r\n\r\n";
    assert_eq!(nats.subjects_without_responders(other, requests), ["$SYS.x"]);
}

/// Compared with nats-server: a group whose only member was the publisher itself, without echo, counted as
/// a responder.
#[test]
fn a_group_without_a_member_that_may_receive_a_request_is_no_responder() {
    let mut nats = Nats::new("");
    let requester = nats.connect(&format!("{WITH_NO_RESPONDERS},\"echo\":false"));
    assert!(nats.exchange(requester, "SUB r 1\r\nSUB a q 2\r\nPING\r\n").contains("PONG"));
    assert_eq!(nats.subjects_without_responders(requester, "PUB a r 0\r\n\r\n"), ["a"]);
    let member = nats.connect(WITH_NO_RESPONDERS);
    assert!(nats.exchange(member, "SUB a q 2\r\nPING\r\n").contains("PONG"));
    assert_eq!(nats.subjects_without_responders(requester, "PUB a r 0\r\n\r\n"), [""; 0]);
}

/// Compared with nats-server: of groups of one name over several patterns, one was chosen that could not
/// receive the message, and the message was lost.
#[test]
fn of_groups_of_one_name_one_that_may_receive_the_message_is_chosen() {
    let mut nats = Nats::new("");
    let publisher = nats.connect(r#""echo":false"#);
    assert!(nats.exchange(publisher, "SUB a.* q 1\r\nPING\r\n").contains("PONG"));
    let other = nats.connect(r#""echo":true"#);
    assert!(nats.exchange(other, "SUB > q 1\r\nPING\r\n").contains("PONG"));
    for round in 0..6 {
        nats.broker.received(NOW, nats.clients[publisher], b"PUB a.b 1\r\nx\r\n");
        assert!(nats.exchange(other, "").contains("MSG a.b 1 1"), "round {round}");
    }
}

/// Compared with nats-server: a client without permission learned that a subject is invalid.
#[test]
fn a_missing_permission_is_reported_before_an_invalid_subject() {
    let user = "[[auth.users]]\nuser = \"u\"\npassword = \"p\"\nsubscribe = [\"open.>\"]\n";
    let mut nats = Nats::new(user);
    let client = nats.connect(r#""user":"u","pass":"p""#);
    assert!(nats.exchange(client, "SUB a..b 1\r\n").contains("Permissions Violation"));
    assert!(nats.exchange(client, "SUB open.. 1\r\n").contains("Invalid Subject"));
}

/// Compared with nats-server: messages queued for the last member of a group were lost when it sent UNSUB,
/// and so were messages of every worker that drained.
#[test]
fn the_last_member_of_a_group_is_sent_its_queued_messages_after_unsub() {
    let mut nats = Nats::new("");
    let member = nats.connect(r#""echo":true"#);
    assert!(nats.exchange(member, "SUB a q 1\r\nPING\r\n").contains("PONG"));
    let publisher = nats.connect(r#""echo":true"#);
    // The socket is busy with this PONG, so the message is queued.
    nats.say(member, "PING\r\n");
    nats.say(publisher, "PUB a 1\r\nx\r\n");
    nats.say(member, "UNSUB 1\r\n");
    assert_eq!(nats.exchange(member, "PING\r\n"), "PONG\r\nMSG a 1 1\r\nx\r\nPONG\r\n");
}
