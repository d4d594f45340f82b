//! Clients of BLIP/1 that say nothing: when they are asked, when they are closed, and who is not silent.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, Peer, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::decode::{self, Hello, ServerFrame, Subscribe};
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::{CoreId, RequestId, encode};

use super::written::{encode_messages, wanting};
use super::{PEER, at, id};

/// With this a client is asked after 1 and 2 seconds, and closed after 3.
const WATCHED: &str = "[server]\nping_interval_ms = 1000\npings_max = 2\nwrite_timeout_ms = 0\n";

/// With this nobody is asked.
const OFF: &str = "[server]\nping_interval_ms = 0\nwrite_timeout_ms = 0\n";

/// What a client was sent, without what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Ping(u64),
    Fatal(u16),
    /// MESSAGES of so many messages.
    Messages(u16),
}

/// A broker of one core, and clients that take what they are sent unless they are said not to.
struct Scene {
    broker: Broker,
    port: InMemory,
    counters: Arc<Counters>,
}

impl Scene {
    fn new(config: &str) -> Scene {
        let counters = Arc::<Counters>::default();
        let cluster = Cluster::new(1, 1, Arc::new(settings(config)));
        let broker = Broker::new(CoreId(0), cluster, counters.clone());
        Scene { broker, port: InMemory::default(), counters }
    }

    /// A client that logs in at 0 ms.
    fn connect(&mut self, slot: u32) {
        let peer = Peer { protocol: Protocol::Blip, ..PEER };
        self.broker.connected(at(0), id(slot), peer, true);
        let hello = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
        self.say(0, slot, |out| encode::hello(out, &hello));
        self.take(0, &[]);
    }

    fn say(&mut self, ms: u64, slot: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.broker.received(at(ms), id(slot), &bytes);
    }

    fn subscribe(&mut self, slot: u32, pattern: &str, group: &str) {
        let subscribe = Subscribe { group, ..wanting(1, pattern) };
        self.say(0, slot, |out| encode::subscribe(out, &subscribe));
        self.take(0, &[]);
    }

    /// A message of one byte to a topic that the client opened as 1.
    fn publish(&mut self, ms: u64, slot: u32) {
        self.say(ms, slot, |out| encode_messages(out, PROVISIONAL | 1, 0, &[b"x"]));
    }

    /// Turns at this time, until nothing follows: all but the `stalled` take what they are sent. Returns
    /// what they and closed ones were told.
    fn take(&mut self, ms: u64, stalled: &[u32]) -> Vec<(u32, Told)> {
        let mut told = Vec::new();
        loop {
            let busy = turn(&mut self.broker, at(ms), &mut self.port);
            let (stay, done): (Vec<_>, Vec<_>) =
                self.port.sends.drain(..).partition(|(id, _)| stalled.contains(&id.slot.0));
            self.port.sends = stay;
            let is_idle = !busy && done.is_empty();
            for (connection, ranges) in done {
                told.extend(told_by(connection.slot.0, &ranges.concat()));
                self.broker.sent(at(ms), connection);
            }
            if is_idle {
                break;
            }
        }
        for (connection, last) in self.port.closes.drain(..) {
            told.extend(told_by(connection.slot.0, &last));
            self.port.sends.retain(|(sending, _)| *sending != connection);
            self.broker.closed(connection);
        }
        told
    }

    /// The same at each of these seconds; returns them with what was told in each.
    fn seconds(
        &mut self,
        seconds: std::ops::RangeInclusive<u64>,
        stalled: &[u32],
    ) -> Vec<(u64, u32, Told)> {
        let mut told = Vec::new();
        for second in seconds {
            let of_second = self.take(second * 1_000, stalled);
            told.extend(of_second.into_iter().map(|(slot, told)| (second, slot, told)));
        }
        told
    }
}

fn settings(config: &str) -> Settings {
    Settings::parse("blipmq.toml", config).expect(config)
}

fn told_by(slot: u32, mut bytes: &[u8]) -> Vec<(u32, Told)> {
    let mut told = Vec::new();
    while let Some(frame) = decode::next_frame(bytes, u32::MAX).expect("a legal length") {
        match decode::server_frame(frame).expect("a server sends legal frames") {
            ServerFrame::Ping { opaque } => told.push((slot, Told::Ping(opaque))),
            ServerFrame::Error { fatal: true, code, .. } => told.push((slot, Told::Fatal(code))),
            ServerFrame::Messages(header) => told.push((slot, Told::Messages(header.count))),
            _ => {}
        }
        bytes = &bytes[frame.len()..];
    }
    told
}

#[test]
fn a_silent_client_is_asked_pings_max_times_and_then_closed_with_the_reason() {
    for pings_max in 1..=3 {
        let config = WATCHED.replace("pings_max = 2", &format!("pings_max = {pings_max}"));
        let mut scene = Scene::new(&config);
        scene.connect(0);
        assert_eq!(scene.take(999, &[]), []);
        for number in 1..=pings_max {
            assert_eq!(scene.take(number * 1_000, &[]), [(0, Told::Ping(number))]);
            assert_eq!(scene.take(number * 1_000 + 999, &[]), []);
        }
        assert_eq!(scene.counters.stale_connections.get(), 0);
        assert_eq!(scene.take((pings_max + 1) * 1_000, &[]), [(0, Told::Fatal(4080))]);
        assert_eq!(scene.counters.stale_connections.get(), 1);
        assert_eq!(scene.counters.errors_sent.get(), 1);
        assert_eq!(scene.broker.next_deadline_ns(), None, "nobody is waited for any more");
    }
}

/// Method: one client answers the last PING before its end, one sends a part of a frame then, one asks for
/// something; one says nothing at all.
#[test]
fn whatever_a_client_sends_is_a_sign_of_life() {
    let mut scene = Scene::new(WATCHED);
    (0..4).for_each(|slot| scene.connect(slot));
    for round in 0..5 {
        let began = round * 3;
        let told = scene.seconds(began + 1..=began + 2, &[]);
        let of = |slot| told.iter().filter(|(_, to, _)| *to == slot).count();
        assert_eq!([of(0), of(1), of(2)], [2, 2, 2], "round {round}: {told:?}");
        let ms = began * 1_000 + 2_500;
        scene.say(ms, 0, |out| encode::pong(out, 2));
        // A PONG of 16 bytes, in as many parts.
        let mut pong = Vec::new();
        encode::pong(&mut pong, 9);
        scene.broker.received(at(ms), id(1), &pong[round as usize..=round as usize]);
        scene.say(ms, 2, |out| encode::open(out, RequestId(round as u32 + 1), "a"));
        let silent = if round == 0 { vec![(3, Told::Fatal(4080))] } else { vec![] };
        assert_eq!(scene.take(began * 1_000 + 3_000, &[]), silent);
    }
    assert_eq!(scene.counters.stale_connections.get(), 1, "of the one that said nothing");
}

#[test]
fn a_client_that_is_heard_within_the_interval_is_not_asked() {
    let mut scene = Scene::new(WATCHED);
    scene.connect(0);
    for half_second in 1..20 {
        scene.say(half_second * 500, 0, |out| encode::pong(out, 1));
        assert_eq!(scene.take(half_second * 500, &[]), []);
    }
}

/// Goal: a publisher that is held up by a subscriber is not taken for silent, however long that lasts, nor
/// asked while its answer would not be read.
#[test]
fn a_client_whose_bytes_are_not_read_is_not_silent() {
    let config = format!(
        "{WATCHED}[queues]\nsubscriber_capacity = 4\noverflow_policy = \"block\"\n\
         block_timeout_ms = 3_600_000\n"
    );
    let mut scene = Scene::new(&config);
    (0..3).for_each(|slot| scene.connect(slot));
    scene.subscribe(0, "a.b", "");
    scene.say(0, 1, |out| encode::open(out, RequestId(1), "a.b"));
    scene.take(0, &[]);
    for _ in 0..20 {
        scene.publish(0, 1);
        scene.take(0, &[0]);
    }
    assert_eq!(scene.port.paused, [id(1)], "the publisher is held up");
    let mut told = Vec::new();
    for second in 1..20 {
        // The subscriber takes nothing, and says something.
        scene.say(second * 1_000, 0, |out| encode::pong(out, 1));
        told.extend(scene.take(second * 1_000, &[0]));
    }
    let (is_one, closed) = (Told::Fatal(4080), |slot| told.contains(&(slot, Told::Fatal(4080))));
    assert_eq!([closed(0), closed(1), closed(2)], [false, false, true], "{is_one:?}: {told:?}");
    assert!(told.iter().all(|(slot, _)| *slot == 2), "the others are not asked: {told:?}");
}

/// Goal: a slow reader that cannot have read its PING yet is not closed, one that takes nothing is.
/// Method: more is sent to both than a send takes; one takes a send every other second.
#[test]
fn a_client_that_makes_room_in_its_full_socket_is_not_silent() {
    let mut scene = Scene::new(&format!("{WATCHED}[delivery]\nmax_batch = 1\n"));
    (0..3).for_each(|slot| scene.connect(slot));
    scene.subscribe(0, "a.b", "");
    scene.subscribe(1, "a.b", "");
    scene.say(0, 2, |out| encode::open(out, RequestId(1), "a.b"));
    scene.take(0, &[]);
    (0..20).for_each(|_| scene.publish(0, 2));
    let mut closed = Vec::new();
    for half_second in 1..=20 {
        let ms = half_second * 500;
        scene.say(ms, 2, |out| encode::pong(out, 1));
        if half_second % 4 == 1 {
            // One send of its many, and the next is made at once.
            scene.port.sends.retain(|(to, _)| *to != id(0));
            scene.broker.sent(at(ms), id(0));
        }
        let told = scene.take(ms, &[0, 1]);
        closed.extend(told.into_iter().map(|(slot, told)| (ms, slot, told)));
    }
    // What it was not sent so far comes with the end.
    let last = [Told::Ping(1), Told::Ping(2), Told::Fatal(4080)];
    assert_eq!(closed, last.map(|told| (3_000, 1, told)));
}

#[test]
fn nobody_is_asked_or_closed_for_silence_while_the_broker_stops() {
    let mut scene = Scene::new(&format!("{WATCHED}drain_timeout_ms = 60_000\n"));
    (0..2).for_each(|slot| scene.connect(slot));
    assert_eq!(scene.seconds(1..=2, &[]).len(), 4, "both are asked twice");
    scene.broker.stop(at(2_500));
    // The first does not take its GOODBYE, so it is waited for.
    assert_eq!(scene.seconds(3..=30, &[0]), []);
    assert_eq!(scene.counters.stale_connections.get(), 0);
    assert_eq!(scene.port.sends.len(), 1, "it is there still");
}

#[test]
fn a_client_that_said_close_is_not_asked() {
    let mut scene = Scene::new(WATCHED);
    (0..2).for_each(|slot| scene.connect(slot));
    scene.subscribe(0, "a.b", "");
    scene.say(0, 1, |out| encode::open(out, RequestId(1), "a.b"));
    scene.take(0, &[]);
    (0..3).for_each(|_| {
        scene.publish(0, 1);
        scene.take(0, &[0]);
    });
    scene.say(0, 0, encode::close);
    let told = scene.seconds(1..=10, &[0]);
    assert!(told.iter().all(|(_, slot, _)| *slot == 1), "{told:?}");
    // What it is owed comes, and no PING among that.
    let owed = scene.take(11_000, &[]);
    assert_eq!(owed, [(0, Told::Messages(1)); 3]);
}

#[test]
fn without_an_interval_nobody_is_asked_and_no_turn_is_owed() {
    let mut scene = Scene::new(OFF);
    scene.connect(0);
    assert_eq!(scene.seconds(1..=1_000, &[]), []);
    assert_eq!(scene.broker.next_deadline_ns(), None);
}

#[test]
fn a_reload_changes_the_interval_for_connections_that_there_are() {
    let reload = |scene: &mut Scene, ms, config: &str| {
        scene.broker.reload(at(ms), Arc::new(settings(config)));
    };
    let mut scene = Scene::new(OFF);
    scene.connect(0);
    assert_eq!(scene.seconds(1..=10, &[]), []);
    reload(&mut scene, 10_500, WATCHED);
    assert_eq!(scene.take(11_499, &[]), []);
    assert_eq!(scene.take(11_500, &[]), [(0, Told::Ping(1))]);
    // Its next deadline moves with the interval.
    reload(&mut scene, 11_600, &WATCHED.replace("1000", "3000"));
    scene.say(11_600, 0, |out| encode::pong(out, 1));
    assert_eq!(scene.take(14_499, &[]), []);
    assert_eq!(scene.take(14_500, &[]), [], "it was heard less than three seconds before");
    assert_eq!(scene.take(17_500, &[]), [(0, Told::Ping(1))]);
    reload(&mut scene, 17_600, OFF);
    assert_eq!(scene.seconds(18..=100, &[]), []);
    assert_eq!(scene.broker.next_deadline_ns(), None);
    // Switched on again, it is watched once and not twice.
    reload(&mut scene, 100_500, WATCHED);
    assert_eq!(scene.take(101_500, &[]), [(0, Told::Ping(2))]);
    assert_eq!(scene.take(102_499, &[]), []);
}

/// Goal: what a member of a group that hangs was not sent yet goes to another one, and what was under way
/// to it counts as lost.
/// Method: nothing that the hung member is sent is taken; the other reads everything.
#[test]
fn what_waits_for_a_member_that_hangs_is_dealt_to_the_others() {
    let mut scene = Scene::new(WATCHED);
    (0..3).for_each(|slot| scene.connect(slot));
    scene.subscribe(0, "job", "g");
    scene.subscribe(1, "job", "g");
    scene.say(0, 2, |out| encode::open(out, RequestId(1), "job"));
    scene.take(0, &[]);
    let received = |told: &[(u32, Told)], of: u32| -> u64 {
        told.iter()
            .filter(|(slot, _)| *slot == of)
            .map(|(_, told)| if let Told::Messages(count) = told { u64::from(*count) } else { 0 })
            .sum()
    };
    let mut other = 0;
    for _ in 0..40 {
        scene.publish(0, 2);
        other += received(&scene.take(0, &[0]), 1);
    }
    assert!(other < 39, "the hung member has jobs of its own: the other has {other}");
    for second in 1..=2 {
        scene.say(second * 1_000, 1, |out| encode::pong(out, 1));
        scene.say(second * 1_000, 2, |out| encode::pong(out, 1));
        assert_eq!(scene.take(second * 1_000, &[0]), []);
    }
    scene.say(3_000, 1, |out| encode::pong(out, 1));
    scene.say(3_000, 2, |out| encode::pong(out, 1));
    let told = scene.take(3_000, &[0]);
    assert!(told.contains(&(0, Told::Fatal(4080))), "{told:?}");
    other += received(&told, 1);
    let lost = scene.counters.dropped_disconnected_messages.get();
    assert_eq!((other, lost), (39, 1), "all but the one that was under way");
    assert_eq!(scene.counters.delivered_messages.get(), 39);
}
