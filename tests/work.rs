//! A client costs only itself: what one client can make much of is done in many turns, of which each does
//! no more than it may.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::memory::Memory;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot};
use blipmq::config::Settings;
use blipmq::limits::{ENDS_PER_TURN, REPEATS_PER_TURN, REPLAY_TOPICS_PER_TURN};
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::{CoreId, RequestId, SubscriptionId, encode};

const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };
/// More than any turn does.
const MANY: usize = 10 * ENDS_PER_TURN;

/// A broker of one core whose clients read everything at once.
struct Driven {
    broker: Broker,
    memory: Memory,
    port: InMemory,
    /// A client that reads nothing: what it is sent stays under way.
    stalled: Option<ConnectionId>,
    /// What each connection was sent and nobody has looked at, by slot.
    received: Vec<Vec<u8>>,
}

impl Driven {
    fn new() -> Driven {
        let cluster = Cluster::new(1, 7, Arc::new(Settings::default()));
        let memory = cluster.memory.clone();
        let broker = Broker::new(CoreId(0), cluster, Arc::default());
        let (port, received) = (InMemory::default(), Vec::new());
        let mut driven = Driven { broker, memory, port, stalled: None, received };
        driven.turn();
        driven
    }

    fn connect(&mut self, slot: u32, generation: u32, protocol: Protocol) -> ConnectionId {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        let connection = ConnectionId { slot: Slot(slot), generation };
        self.broker.connected(NOW, connection, Peer { protocol, address }, true);
        self.received.resize(self.received.len().max(slot as usize + 1), Vec::new());
        connection
    }

    fn nats(&mut self, slot: u32) -> ConnectionId {
        let connection = self.connect(slot, 1, Protocol::Nats);
        self.say(connection, "CONNECT {\"verbose\":false}\r\n");
        self.run();
        self.take(connection);
        connection
    }

    fn blip(&mut self, slot: u32) -> ConnectionId {
        let connection = self.connect(slot, 1, Protocol::Blip);
        let hello_fields = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
        let mut hello = Vec::new();
        encode::hello(&mut hello, &hello_fields);
        self.broker.received(NOW, connection, &hello);
        self.run();
        connection
    }

    fn say(&mut self, connection: ConnectionId, text: &str) {
        self.broker.received(NOW, connection, text.as_bytes());
    }

    /// Subscribes with so many sids, from 1 on.
    fn subscribe(
        &mut self,
        connection: ConnectionId,
        subject: impl Fn(usize) -> String,
        to: usize,
    ) {
        let subs: Vec<String> =
            (1..=to).map(|sid| format!("SUB {} {sid}\r\n", subject(sid))).collect();
        self.say(connection, &subs.concat());
        self.run();
    }

    /// One turn that keeps its bounds; clients read what they are sent.
    fn turn(&mut self) -> bool {
        let mut busy = turn(&mut self.broker, NOW, &mut self.port);
        self.broker.audit();
        let work = self.broker.work();
        assert!(work.ends <= ENDS_PER_TURN, "{work:?}");
        assert!(work.replay_topics <= REPLAY_TOPICS_PER_TURN, "{work:?}");
        // The slice that passes the bound is given to all.
        assert!(work.repeats < REPEATS_PER_TURN + MANY, "{work:?}");
        for (connection, ranges) in std::mem::take(&mut self.port.sends) {
            if self.stalled == Some(connection) {
                continue;
            }
            self.received[connection.slot.index()].extend(ranges.concat());
            self.broker.sent(NOW, connection);
            busy = true;
        }
        busy
    }

    /// Turns until there is nothing to do; returns how many.
    fn run(&mut self) -> usize {
        let mut turns = 1;
        while self.turn() {
            turns += 1;
        }
        turns
    }

    /// What a connection was sent since the last look.
    fn take(&mut self, connection: ConnectionId) -> String {
        let received = std::mem::take(&mut self.received[connection.slot.index()]);
        String::from_utf8_lossy(&received).into_owned()
    }
}

/// SUBSCRIBEs that start with the first message, numbered from 1.
fn asks(count: u32, pattern: impl Fn(u32) -> &'static str) -> Vec<u8> {
    let mut asks = Vec::new();
    for number in 1..=count {
        let live = Subscribe::live(SubscriptionId(number), pattern(number));
        encode::subscribe(&mut asks, &Subscribe { start: 2, start_argument: 1, ..live });
    }
    asks
}

/// How often one text is in another.
fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Goal: the end of a connection with very many subscriptions delays nobody.
/// Method: others subscribe to the same subject; a witness is sent what is published in each of the turns
/// that it takes, and a connection that gets the slot meanwhile nothing of the one before.
#[test]
fn nobody_notices_the_end_of_a_connection_with_very_many_subscriptions() {
    let mut driven = Driven::new();
    let goes = driven.nats(0);
    let stays = driven.nats(1);
    driven.subscribe(goes, |_| "a.b".into(), MANY);
    driven.subscribe(stays, |_| "a.b".into(), 100);
    let (witness, publisher) = (driven.nats(2), driven.nats(3));
    driven.subscribe(witness, |_| "other".into(), 1);

    driven.broker.ended(NOW, goes);
    driven.turn();
    driven.broker.closed(goes);
    let next = driven.connect(0, 2, Protocol::Nats);
    driven.say(next, "CONNECT {\"verbose\":false}\r\nSUB a.b 7\r\n");
    let mut turns = 1;
    loop {
        driven.say(publisher, "PUB other 2\r\nhi\r\n");
        driven.turn();
        assert_eq!(count(&driven.take(witness), "MSG other 1 2\r\nhi\r\n"), 1, "turn {turns}");
        if driven.broker.work().ends == 0 {
            break;
        }
        turns += 1;
        if turns == 4 {
            driven.say(publisher, "PUB a.b 1\r\nx\r\n");
        }
        assert!(turns < 10 * MANY / ENDS_PER_TURN, "it takes too long");
    }
    // The turn before and what was reported after that have done their part.
    assert!(turns + 2 >= MANY / ENDS_PER_TURN, "it was done over many turns");
    assert_eq!(count(&driven.take(stays), "MSG a.b "), 100);
    let of_next = driven.take(next);
    assert_eq!((count(&of_next, "MSG "), count(&of_next, "MSG a.b 7 1\r\n")), (1, 1), "{of_next}");
}

/// Goal: a client that starts over with very many subscriptions delays nobody, and gets nothing for those
/// it had: what it says next waits until they have ended.
#[test]
fn a_client_that_starts_over_is_served_when_its_subscriptions_have_ended() {
    let mut driven = Driven::new();
    let (client, publisher) = (driven.nats(0), driven.nats(1));
    driven.subscribe(client, |sid| format!("a.{sid}"), MANY);
    driven.say(client, "CONNECT {\"verbose\":false}\r\nSUB a.* 1\r\nPING\r\n");
    for sid in [1, MANY / 2, MANY] {
        driven.say(publisher, &format!("PUB a.{sid} 1\r\nx\r\n"));
    }
    assert!(driven.run() > MANY / ENDS_PER_TURN, "it was done over many turns");
    assert_eq!(driven.take(client), "PONG\r\n", "it had no subscription when that was published");
    driven.say(publisher, "PUB a.1 1\r\nx\r\n");
    driven.run();
    assert_eq!(driven.take(client), "MSG a.1 1 1\r\nx\r\n");
}

/// Goal: a client that ends each of very many subscriptions by their maximum, at one message, is sent each
/// message once, in a time that grows with their number and not with its square, and over many turns. For
/// the client a subscription ends with its message: it may use the name again at once.
#[test]
fn a_message_that_ends_very_many_subscriptions_is_sent_to_each_once() {
    let mut driven = Driven::new();
    let (client, publisher) = (driven.nats(0), driven.nats(1));
    let text: Vec<String> =
        (1..=MANY).map(|sid| format!("SUB a.b {sid}\r\nUNSUB {sid} 1\r\n")).collect();
    driven.say(client, &text.concat());
    driven.run();
    driven.say(publisher, "PUB a.b 1\r\nx\r\nPUB a.b 1\r\ny\r\n");
    driven.turn();
    assert_eq!(driven.broker.work().ends, ENDS_PER_TURN, "the others are left for later turns");
    // Three that are still to be ended, as far as the broker is.
    let again = format!("SUB c {MANY}\r\nUNSUB {0} 9\r\nUNSUB {1}\r\n", MANY - 1, MANY - 2);
    driven.say(client, &again);
    driven.say(publisher, "PUB a.b 1\r\ny\r\n");
    assert!(driven.run() >= MANY / ENDS_PER_TURN - 2, "it was done over many turns");
    let received = driven.take(client);
    assert_eq!((count(&received, "\r\nx\r\n"), count(&received, "\r\ny\r\n")), (MANY, 0));
    driven.say(publisher, "PUB a.b 1\r\nz\r\nPUB c 1\r\nz\r\n");
    driven.run();
    assert_eq!(driven.take(client), format!("MSG c {MANY} 1\r\nz\r\n"));
    driven.broker.ended(NOW, client);
    assert_eq!(driven.run(), 1, "nothing is left to end");
}

/// Goal: a client that subscribes very often to the same costs a turn a bounded number of deliveries, and
/// is sent all messages, each subscription in the order of their publisher.
/// Method: the publisher subscribes as well, and its PONG comes behind its own messages.
#[test]
fn messages_that_one_client_gets_very_many_times_are_handed_out_over_many_turns_in_order() {
    const SUBSCRIPTIONS: usize = 500;
    const MESSAGES: usize = 100;
    let mut driven = Driven::new();
    let (client, publisher) = (driven.nats(0), driven.nats(1));
    driven.subscribe(client, |_| "t.*".into(), SUBSCRIPTIONS);
    driven.subscribe(publisher, |_| "t.*".into(), 1);
    // Each to a topic of its own, so that none joins the batch of another.
    let publishes: Vec<String> =
        (0..MESSAGES).map(|number| format!("PUB t.{number} 0\r\n\r\n")).collect();
    driven.say(publisher, &(publishes.concat() + "PING\r\nPUB t.last 0\r\n\r\n"));
    let turns = driven.run();
    assert!(turns >= MESSAGES * SUBSCRIPTIONS / REPEATS_PER_TURN, "{turns} turns");
    let own: Vec<String> = (0..MESSAGES).map(|n| format!("MSG t.{n} 1 0\r\n\r\n")).collect();
    let last = "PONG\r\nMSG t.last 1 0\r\n\r\n";
    assert_eq!(driven.take(publisher), own.concat() + last);
    let received = driven.take(client);
    for sid in 1..=SUBSCRIPTIONS {
        let of_sid = format!(" {sid} 0");
        let lines = received.lines().filter(|line| line.ends_with(&of_sid));
        let topics: Vec<&str> = lines.filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(topics.len(), MESSAGES + 1, "subscription {sid}");
        let is_in_order = |(at, topic): (usize, &&str)| *topic == format!("t.{at}");
        assert!(topics[..MESSAGES].iter().enumerate().all(is_in_order), "{topics:?}");
    }
}

/// Goal: very many subscriptions that ask for what topics retain delay nobody.
/// Method: each of them alone may look at every topic.
#[test]
fn a_turn_looks_at_a_bounded_number_of_topics_however_many_subscriptions_ask_for_replays() {
    let mut driven = Driven::new();
    let publisher = driven.nats(0);
    for topic in 0..2 * REPLAY_TOPICS_PER_TURN {
        driven.say(publisher, &format!("PUB t.{topic} 1\r\nx\r\n"));
    }
    driven.run();
    let asker = driven.blip(1);
    driven.take(asker);
    const ASKS: u32 = 20;
    // Of all kinds: a name that is there, one that is not, and patterns.
    let asks = asks(ASKS, |number| ["t.7", "none", "t.*", "u.*"][number as usize % 4]);
    driven.broker.received(NOW, asker, &asks);
    let work = driven.broker.work();
    assert!(work.replay_topics <= REPLAY_TOPICS_PER_TURN, "{work:?}");
    let turns = driven.run();
    assert!(turns >= 2 * ASKS as usize / 2, "every pattern looks at every topic: {turns} turns");

    // What it asks for is forgotten with it.
    let mut open = Vec::new();
    encode::open(&mut open, RequestId(1), "t.7");
    driven.broker.received(NOW, asker, &[asks, open].concat());
    driven.turn();
    driven.broker.ended(NOW, asker);
    assert!(driven.run() < 5, "nothing is looked at for a client that has gone");
}

/// Goal: replays that a client does not read hold little memory, however many it asks for, and all of them
/// arrive once it reads.
/// Method: a topic retains very many single messages; each of many subscriptions asks for all.
#[test]
fn replays_that_nobody_reads_wait_as_positions_in_the_log() {
    const MESSAGES: usize = 5_000;
    const ASKS: u32 = 40;
    let mut driven = Driven::new();
    let publisher = driven.nats(0);
    for _ in 0..MESSAGES {
        driven.say(publisher, "PUB t 7\r\nmessage\r\n");
        driven.turn();
    }
    let asker = driven.blip(1);
    driven.take(asker);
    let before = driven.memory.held();
    driven.stalled = Some(asker);
    driven.broker.received(NOW, asker, &asks(ASKS, |_| "t"));
    driven.run();
    let held = driven.memory.held() - before;
    let each = bytes_of_entries(MESSAGES);
    assert!(held < 6 * each, "{held} bytes for {ASKS} replays of {each}");

    driven.stalled = None;
    driven.broker.sent(NOW, asker);
    driven.run();
    // The first send was not kept: the rest shows that every replay went on.
    let received = driven.take(asker);
    let arrived = count(&received, "message");
    assert!(arrived > (ASKS as usize - 1) * MESSAGES, "{arrived} messages");
    let left = driven.memory.held() - before;
    assert!(
        left < u64::from(ASKS) * 1_024,
        "{left}: more than the subscriptions themselves is left"
    );
}

/// What the entries of a replay count for in the memory budget.
fn bytes_of_entries(messages: usize) -> u64 {
    messages as u64 * 96
}
