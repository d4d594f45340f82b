//! A broker of one core over a port in memory: what it reports to operators, and how it stops.

mod certificates;
mod limits;
mod logins;
mod shares;
mod silence;
#[path = "../support/written.rs"]
mod written;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Event, Notice, Now, Peer, Protocol, Slot};
use blipmq::config::{OverflowPolicy, Settings};
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::{CoreId, encode};

const PEER: Peer =
    Peer { protocol: Protocol::Nats, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

/// Notices a turn has at most.
const NOTICES_MAX: usize = 64;

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Now {
    Now { monotonic_ns: ms * MS, unix_ns: 0 }
}

fn id(slot: u32) -> ConnectionId {
    ConnectionId { slot: Slot(slot), generation: 1 }
}

/// A broker that stops with so many clients that need no HELLO; what they were sent is complete.
fn stopping(settings: Settings, connections: u32, server_id: u64) -> (Broker, InMemory) {
    let cluster = Cluster::new(1, server_id, Arc::new(settings));
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let mut port = InMemory::default();
    for slot in 0..connections {
        broker.connected(at(0), id(slot), PEER, true);
    }
    broker.stop(at(0));
    while turn(&mut broker, at(0), &mut port) {}
    for (connection, _) in port.sends.drain(..) {
        broker.sent(at(0), connection);
    }
    (broker, port)
}

/// The connections that a turn at this time closes.
fn closed((broker, port): &mut (Broker, InMemory), now: Now) -> Vec<u32> {
    turn(broker, now, port);
    port.closes.drain(..).map(|(connection, _)| connection.slot.0).collect()
}

/// Every closing of a stop, with its millisecond.
fn closings(stopping: &mut (Broker, InMemory)) -> Vec<(u64, u32)> {
    let mut found: Vec<_> = closed(stopping, at(0)).into_iter().map(|slot| (0, slot)).collect();
    while let Some(next_ns) = stopping.0.next_deadline_ns().filter(|at| *at <= 60_000 * MS) {
        let now = Now { monotonic_ns: next_ns, unix_ns: 0 };
        found.extend(closed(stopping, now).into_iter().map(|slot| (next_ns / MS, slot)));
    }
    found
}

#[test]
fn closing_is_spread_evenly_in_an_order_of_each_start() {
    let of = |server_id| closings(&mut stopping(Settings::default(), 100, server_id));
    let one = of(1);
    let times: Vec<u64> = one.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, (0..100).collect::<Vec<u64>>());
    let order =
        |closings: &[(u64, u32)]| closings.iter().map(|(_, slot)| *slot).collect::<Vec<_>>();
    let mut all = order(&one);
    assert_eq!(one, of(1), "the same calls give the same result");
    assert_ne!(all, order(&of(2)));
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<u32>>(), "each is closed once");
}

#[test]
fn without_a_spread_all_are_closed_as_soon_as_they_have_everything() {
    let mut settings = Settings::default();
    settings.server.drain_spread_ms = 0;
    let closings = closings(&mut stopping(settings, 100, 1));
    assert_eq!(closings.len(), 100);
    assert!(closings.iter().all(|(at, _)| *at == 0));
}

#[test]
fn who_leaves_by_itself_is_not_waited_for() {
    let mut broker = stopping(Settings::default(), 100, 1);
    let first = closed(&mut broker, at(0));
    assert_eq!(first.len(), 1);
    for slot in (0..100).filter(|slot| !first.contains(slot)) {
        broker.0.ended(at(0), id(slot));
    }
    assert_eq!(closed(&mut broker, at(0)).len(), 99);
}

fn broker(config: &str) -> Broker {
    let settings = Settings::parse("blipmq.toml", config).expect(config);
    Broker::new(CoreId(0), Cluster::new(1, 1, Arc::new(settings)), Arc::default())
}

/// A client that sends this; what the broker sends stays under way.
fn connect(broker: &mut Broker, port: &mut InMemory, slot: u32, bytes: &[u8]) -> Peer {
    let peer = Peer { address: ([127, 0, 0, 1], slot as u16).into(), ..PEER };
    broker.connected(at(0), id(slot), peer, true);
    broker.received(at(0), id(slot), bytes);
    turn(broker, at(0), port);
    peer
}

#[test]
fn a_refused_login_is_noticed_once_and_without_its_secret() {
    let mut port = InMemory::default();
    let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
    let peer = connect(&mut broker, &mut port, 0, b"CONNECT {\"auth_token\":\"wr0ng\"}\r\n");
    assert_eq!(std::mem::take(&mut port.notices), [], "its refusal is held back");
    turn(&mut broker, at(1_000), &mut port);
    let found = std::mem::take(&mut port.notices);
    assert!(
        matches!(&found[..], [Notice { peer: of, event: Event::LoginRefused { why, .. } }]
            if *of == peer && !why.contains("wr0ng")),
        "{found:?}"
    );
    assert_eq!(std::mem::take(&mut port.notices), []);
}

#[test]
fn a_storm_of_refused_logins_leaves_few_notices() {
    let mut port = InMemory::default();
    let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
    for slot in 0..1_000 {
        broker.connected(at(0), id(slot), PEER, true);
        broker.received(at(0), id(slot), b"CONNECT {}\r\n");
    }
    turn(&mut broker, at(0), &mut port);
    assert_eq!(std::mem::take(&mut port.notices).len(), NOTICES_MAX);
}

#[test]
fn a_full_queue_is_noticed_the_first_time_only() {
    let mut port = InMemory::default();
    let mut broker = broker("[nats]\nsubscriber_capacity = 1\n");
    let peer =
        connect(&mut broker, &mut port, 0, b"CONNECT {\"verbose\":false}\r\nSUB a.> 1\r\nPING\r\n");
    // Its socket is busy with INFO, so its queue fills.
    let publish = b"CONNECT {\"verbose\":false}\r\nPUB a.b 1\r\nx\r\nPUB a.c 1\r\ny\r\n";
    for slot in 1..9 {
        connect(&mut broker, &mut port, slot, publish);
    }
    let event = Event::Overflow { pattern: "a.>".into(), policy: OverflowPolicy::DropOldest };
    assert_eq!(std::mem::take(&mut port.notices), [Notice { peer, event }]);
}

/// Completes every send but those of `stalled`, until nothing follows. Returns what each slot was sent.
fn exchange(broker: &mut Broker, port: &mut InMemory, stalled: &[u32]) -> BTreeMap<u32, String> {
    let mut texts: BTreeMap<u32, String> = BTreeMap::new();
    loop {
        let busy = turn(broker, at(0), port);
        let (stay, done): (Vec<_>, Vec<_>) =
            port.sends.drain(..).partition(|(id, _)| stalled.contains(&id.slot.0));
        port.sends.extend(stay);
        let is_idle = !busy && done.is_empty();
        for (id, ranges) in done {
            let text = texts.entry(id.slot.0).or_default();
            ranges.iter().for_each(|range| text.push_str(&String::from_utf8_lossy(range)));
            broker.sent(at(0), id);
        }
        if is_idle {
            return texts;
        }
    }
}

/// Goal: a report of missed messages reaches those only that may subscribe to what was missed, by name,
/// and the client that missed it.
/// Method: three users miss messages of subjects that some of them may not have, one subject retained and
/// one ephemeral; each listens to all reports, and as a group.
#[test]
fn what_others_missed_is_told_only_to_those_who_may_subscribe_to_it() {
    let users = "[auth]\n\
        [[auth.users]]\nuser = \"all\"\npassword = \"pw-all\"\n\
        [[auth.users]]\nuser = \"denied\"\npassword = \"pw-denied\"\nsubscribe_deny = [\"secret.>\"]\n\
        [[auth.users]]\nuser = \"few\"\npassword = \"pw-few\"\nsubscribe = [\"$SYS.>\", \"open.*\"]\n";
    let mut broker = broker(&format!("{users}[nats]\nsubscriber_capacity = 2\n"));
    let mut port = InMemory::default();
    let login = |user: &str, commands: &str| {
        format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"pw-{user}\"}}\r\n{commands}"
        )
    };
    let listen = "SUB $SYS.GAP.> 1\r\nSUB $SYS.GAP.* team 2\r\nSUB > 3\r\n";
    connect(&mut broker, &mut port, 0, login("all", "SUB secret.> 1\r\n").as_bytes());
    connect(
        &mut broker,
        &mut port,
        1,
        login("denied", &format!("{listen}SUB open.> 9\r\n")).as_bytes(),
    );
    connect(&mut broker, &mut port, 2, login("all", listen).as_bytes());
    connect(&mut broker, &mut port, 3, login("few", listen).as_bytes());
    exchange(&mut broker, &mut port, &[]);
    for subject in ["secret.merger.acme", "open.a"] {
        connect(&mut broker, &mut port, 9, login("all", "").as_bytes());
        exchange(&mut broker, &mut port, &[]);
        // One message is under way to each, two are queued, the others missed.
        let publish = format!("PUB {subject} 0\r\n\r\n");
        broker.received(at(0), id(9), publish.as_bytes());
        turn(&mut broker, at(0), &mut port);
        for _ in 0..5 {
            broker.received(at(0), id(9), publish.as_bytes());
            turn(&mut broker, at(0), &mut port);
        }
        let texts = exchange(&mut broker, &mut port, &[]);
        let reports = |slot: u32| {
            let text = texts.get(&slot).map(String::as_str).unwrap_or_default();
            text.lines()
                .filter(|line| line.contains("\"reason\"") && line.contains(subject))
                .count()
        };
        let is_secret = subject.starts_with("secret");
        assert_eq!(reports(1) == 0, is_secret, "{subject}: {texts:?}");
        assert!(reports(2) > 0, "{subject}: {texts:?}");
        assert_eq!(reports(3) == 0, is_secret, "{subject}: {texts:?}");
        for (slot, text) in &texts {
            let by_rest =
                text.lines().any(|line| line.starts_with("MSG $SYS.") && line.contains(" 3 "));
            assert!(!by_rest, "`>` of {slot} is sent reports: {text}");
        }
        broker.ended(at(0), id(9));
        exchange(&mut broker, &mut port, &[]);
        for (connection, _) in port.closes.drain(..) {
            broker.closed(connection);
        }
    }
}

/// Goal: a publisher that is held up by a subscriber is not taken for silent, however long that lasts; a
/// client that is read and says nothing is.
#[test]
fn a_client_whose_bytes_are_not_read_is_not_stale() {
    let config = "[nats]\nsubscriber_capacity = 4\nping_interval_ms = 1000\npings_max = 2\n\
        [queues]\noverflow_policy = \"block\"\nblock_timeout_ms = 3_600_000\n";
    let mut broker = broker(config);
    let mut port = InMemory::default();
    let login = "CONNECT {\"verbose\":false}\r\n";
    connect(&mut broker, &mut port, 0, format!("{login}SUB a.b 1\r\n").as_bytes());
    connect(&mut broker, &mut port, 1, login.as_bytes());
    connect(&mut broker, &mut port, 2, login.as_bytes());
    exchange(&mut broker, &mut port, &[0]);
    for _ in 0..20 {
        broker.received(at(0), id(1), b"PUB a.b 0\r\n\r\n");
        turn(&mut broker, at(0), &mut port);
    }
    assert_eq!(port.paused, [id(1)], "the publisher is held up");
    for second in 1..20 {
        // The subscriber reads nothing, and says PONG.
        broker.received(at(second * 1_000), id(0), b"PONG\r\n");
        while turn(&mut broker, at(second * 1_000), &mut port) {}
        let sent: Vec<_> = port.sends.drain(..).collect();
        for (connection, _) in sent {
            if connection != id(0) {
                broker.sent(at(second * 1_000), connection);
            }
        }
    }
    let closed: Vec<ConnectionId> = port.closes.iter().map(|(id, _)| *id).collect();
    assert_eq!(closed, [id(2)], "only the client that was silent is closed");
}

/// Goal: a client of BLIP/1 is told no name that is not a legal topic, whatever NATS clients publish to.
#[test]
fn subjects_that_are_no_topics_do_not_reach_clients_that_cannot_name_them() {
    let mut broker = broker("");
    let mut port = InMemory::default();
    let blip = Peer { protocol: Protocol::Blip, ..PEER };
    let mut hello = Vec::new();
    let anonymous = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
    encode::hello(&mut hello, &anonymous);
    for (subscription, group) in [(1, ""), (2, "team")] {
        let subscribe = Subscribe { group, ..written::wanting(subscription, ">") };
        encode::subscribe(&mut hello, &subscribe);
    }
    broker.connected(at(0), id(0), blip, true);
    broker.received(at(0), id(0), &hello);
    connect(&mut broker, &mut port, 1, b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\n");
    exchange(&mut broker, &mut port, &[]);
    let long = "x".repeat(1_025);
    let illegal = ["a.*", "b.>", "c\u{1}", "d.\u{7f}e", &long];
    let mut publishes = b"CONNECT {\"verbose\":false}\r\n".to_vec();
    for subject in illegal.iter().chain(&["fine"]) {
        publishes.extend_from_slice(format!("PUB {subject} 4\r\nbody\r\n").as_bytes());
    }
    connect(&mut broker, &mut port, 2, &publishes);
    let texts = exchange(&mut broker, &mut port, &[]);
    assert_eq!(texts[&1].matches("body").count(), illegal.len() + 1, "NATS clients get all");
    // As a plain subscriber and as a member: one TOPIC, and twice the message.
    assert_eq!(texts[&0].matches("body").count(), 2);
    assert!(texts[&0].contains("fine"));
    for subject in illegal {
        assert!(!texts[&0].contains(subject), "{subject:?} is named");
    }
}
