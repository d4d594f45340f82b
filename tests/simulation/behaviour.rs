//! What clients of a random world do: connect, subscribe, publish, misbehave, stall, vanish,
//! return.

use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::frame::{FLAG_ACK, FLAG_CRC, PROVISIONAL};
use blipmq::protocol::messages::Header;
use blipmq::protocol::{RequestId, SubscriptionId, encode};

use crate::conversation::{Asks, LATEST, Publish, Sent};
use crate::wire::ClientEnd;
use crate::world::World;

const TOPICS: [&str; 8] = ["a", "b", "a.b", "a.c", "b.c", "a.b.c", "x.y.z", "orders.eu"];
const PATTERNS: [&str; 12] =
    ["a", "b", "a.b", "a.c", "orders.eu", ">", "*", "a.*", "a.>", "*.*", "*.b.*", "x.*.z"];

/// Members share a group only if they name the same pattern.
const GROUP_PATTERNS: [&str; 3] = ["a", "a.>", ">"];
const POLICIES: [&[u8]; 6] = [&[0, 1, 2], &[3], &[3], &[4], &[5], &[0, 1, 2, 3, 4, 5]];

/// Numbers of requests and subscriptions that the broker is to refuse.
const REFUSED_FIRST: u32 = 2_000_000;

/// A client, which has at most one connection at a time.
pub struct Behaviour {
    number: Option<usize>,
    publishes: bool,
    subscribes: bool,
    /// Overflow policies that the client uses: most clients use only one.
    policies: &'static [u8],
    refused: u32,
}

impl Behaviour {
    pub fn random(world: &mut World) -> Behaviour {
        let (publishes, subscribes) =
            world.random.pick(&[(true, false), (false, true), (false, true), (true, true)]);
        let policies = world.random.pick(&POLICIES);
        Behaviour { number: None, publishes, subscribes, policies, refused: REFUSED_FIRST }
    }

    /// Does one action, or nothing.
    pub fn act(&mut self, world: &mut World) {
        let Some(number) = self.number else {
            if !world.stopping {
                self.connect(world);
            }
            return;
        };
        if world.conversations[number].at_end {
            self.number = None;
            return;
        }
        if world.random.chance(world.plan.fault_percent) {
            return self.fault(world, number);
        }
        // After CLOSE a client sends nothing more, and a client that is not read stops at some
        // point.
        let upstream_len_max = 8_192 + 4 * world.plan.payload_len_max;
        let is_full = world.wires[number].upstream.len() > upstream_len_max;
        if world.conversations[number].close_written || is_full {
            return;
        }
        let topic = random_topic(world);
        match world.random.below(20) {
            0..=8 if self.publishes => publish(world, number, topic),
            9 if self.publishes && world.plan.payload_len_max < 10_000 => {
                // A burst to one topic that takes several turns, and opens the topic again at
                // times.
                for _ in 0..world.random.below(60) {
                    publish(world, number, topic);
                    if world.random.chance(5) {
                        open(world, number, topic);
                    }
                }
            }
            0..=3 if self.subscribes => subscribe(world, number, self.policies),
            4..=5 if self.subscribes => unsubscribe(world, number),
            10 => open(world, number, topic),
            11 => {
                let opaque = world.random.next();
                world.conversations[number].ping(&mut world.wires[number].upstream, opaque);
            }
            12 if world.random.chance(20) => {
                world.note(|| format!("{number} sends CLOSE"));
                world.conversations[number].close(&mut world.wires[number].upstream);
                if world.random.chance(30) {
                    world.wires[number].client_end = ClientEnd::HalfClosed;
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, world: &mut World) {
        let core = world.random.below(world.plan.cores);
        let fast = world.random.chance(30);
        let room = if fast { usize::MAX } else { world.random.pick(&[1, 60, 500, 20_000]) };
        let number = world.connect_to(core, fast, room);
        self.number = Some(number);
        let conversation = &mut world.conversations[number];
        let upstream = &mut world.wires[number].upstream;
        match world.random.below(100) {
            0..=2 => self.number = None,
            3 => conversation.raw(upstream, b"GET ", Sent::Fatal(4001)),
            4 => conversation.raw(upstream, &[16, 0, 0, 0, 5], Sent::Fatal(4001)),
            5 => {
                let mut bytes = Vec::new();
                let hello = Hello { auth_kind: 1, client_name: "", user: "", password: "" };
                encode::hello(&mut bytes, &hello);
                conversation.raw(upstream, &bytes, Sent::Fatal(4010));
            }
            _ => conversation.hello(upstream),
        }
    }

    fn fault(&mut self, world: &mut World, number: usize) {
        let wire = &mut world.wires[number];
        match world.random.below(16) {
            0..=5 => wire.stalled = !wire.stalled,
            6 => {
                wire.broken = true;
                self.leave(world, number, "resets");
            }
            7 => {
                wire.client_end = ClientEnd::Closed;
                self.leave(world, number, "closes its socket");
            }
            8 if world.random.chance(50) => {
                wire.client_end = ClientEnd::HalfClosed;
                self.leave(world, number, "shuts its half");
            }
            9 if !world.conversations[number].close_written => {
                let (bytes, code) = fatal(world, number);
                world.note(|| format!("{number} sends what is refused with {code}"));
                let upstream = &mut world.wires[number].upstream;
                world.conversations[number].raw(upstream, &bytes, Sent::Fatal(code));
            }
            10..=14 if !world.conversations[number].close_written => self.refused(world, number),
            15 if world.random.chance(20) => {
                for _ in 0..80 {
                    self.refused_long(world, number);
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, world: &mut World, number: usize, how: &str) {
        world.note(|| format!("{number} {how}"));
        world.conversations[number].abandoned = true;
        self.number = None;
    }

    /// Sends a frame that is refused with one ERROR, after which the connection continues.
    fn refused(&mut self, world: &mut World, number: usize) {
        self.refused += 1;
        let about = self.refused;
        let mut bytes = Vec::new();
        let mut subscribe = Subscribe::live(SubscriptionId(about), "a");
        let (code, about) = match world.random.below(8) {
            0 => {
                encode::open(&mut bytes, RequestId(about), "a..b");
                (4220, about)
            }
            1 => {
                encode::open(&mut bytes, RequestId(about), "$SYS.cores");
                (4030, about)
            }
            choice @ 2..=5 => {
                match choice {
                    2 => subscribe.pattern = ">.a",
                    3 => subscribe.overflow = 9,
                    4 => subscribe.start = 7,
                    _ => (subscribe.group, subscribe.start) = ("g", 1),
                }
                encode::subscribe(&mut bytes, &subscribe);
                (4220, about)
            }
            6 => {
                encode::unsubscribe(&mut bytes, SubscriptionId(about));
                (4040, about)
            }
            _ if world.random.chance(50) => {
                bytes.extend(messages(0x7000_0000, 0));
                (4040, 0)
            }
            _ => {
                bytes.extend(messages(PROVISIONAL | about, 0));
                (4040, about)
            }
        };
        let upstream = &mut world.wires[number].upstream;
        world.conversations[number].raw(upstream, &bytes, Sent::Bad(code, about));
    }

    /// Sends a frame that is refused with an ERROR of more than a thousand bytes: many fill the
    /// output.
    fn refused_long(&mut self, world: &mut World, number: usize) {
        if world.conversations[number].close_written {
            return;
        }
        self.refused += 1;
        let mut bytes = Vec::new();
        encode::open(&mut bytes, RequestId(self.refused), &"a".repeat(1_100));
        let upstream = &mut world.wires[number].upstream;
        world.conversations[number].raw(upstream, &bytes, Sent::Bad(4220, self.refused));
    }
}

fn publish(world: &mut World, number: usize, topic: usize) {
    let messages = world.random.below(world.plan.frame_messages_max) + 1;
    let payload_len_max = world.plan.payload_len_max;
    let payloads: Vec<Vec<u8>> = (0..messages)
        .map(|_| vec![world.random.next() as u8; world.random.below(payload_len_max + 1)])
        .collect();
    let publish = Publish {
        topic,
        by_id: world.random.chance(70),
        payloads: &payloads,
        ttl_ms: world.random.pick(&[0, 0, 0, 1, 5, 1_000]),
        flags: world.random.pick(&[0, FLAG_CRC, FLAG_ACK, FLAG_ACK | FLAG_CRC]),
    };
    world.write_publish(number, publish);
}

fn open(world: &mut World, number: usize, topic: usize) {
    world.conversations[number].open(&mut world.wires[number].upstream, &world.truth, topic);
}

fn random_topic(world: &mut World) -> usize {
    let name = world.random.pick(&TOPICS);
    world.topic(name)
}

fn subscribe(world: &mut World, number: usize, policies: &[u8]) {
    let mut asks = Asks {
        overflow: world.random.pick(policies),
        capacity: world.random.pick(&[0, 0, 1, 3, 10]),
        ..Asks::default()
    };
    let mut pattern = world.random.pick(&PATTERNS);
    match world.random.below(6) {
        0..=1 => {
            asks.start = 1;
            asks.argument = world.random.pick(&[0, 1, 3, 20, 1_000]);
        }
        2 => {
            asks.start = 2;
            asks.argument = world.random.pick(&[0, 1, 2, 10, 50]);
        }
        3 => {
            asks.group = world.random.pick(&["g", "h"]);
            asks.overflow = world.random.pick(&[1, 2, 5]);
            pattern = world.random.pick(&GROUP_PATTERNS);
        }
        _ => {}
    }
    let policy = world.plan.settings.queues.overflow_policy;
    let conversation = &mut world.conversations[number];
    let upstream = &mut world.wires[number].upstream;
    let id = conversation.subscribe(upstream, policy, pattern, asks);
    // A client that asks for a smaller queue than the server's may lose messages. So may a client
    // that waits for a replay.
    let spares = asks.capacity == 0 && asks.start == 0;
    let latest = conversation.subscriptions[&id].overflow == LATEST;
    conversation.loses_nothing &= spares && !latest;
    world.note(|| format!("{number} subscribes {id} to {pattern} ({asks:?})"));
}

fn unsubscribe(world: &mut World, number: usize) {
    let subscriptions = world.conversations[number].subscriptions.iter();
    let own: Vec<u32> = subscriptions
        .filter(|(_, subscription)| !subscription.unsubscribe_written)
        .map(|(id, _)| *id)
        .collect();
    if !own.is_empty() {
        let id = world.random.pick(&own);
        world.note(|| format!("{number} unsubscribes {id}"));
        world.conversations[number].unsubscribe(&mut world.wires[number].upstream, id);
    }
}

fn messages(topic: u32, flags: u8) -> Vec<u8> {
    let header = Header {
        frame_len: 44,
        flags,
        count: 1,
        topic,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms: 0,
        crc: u32::MAX,
    };
    [&header.to_bytes()[..], &[0; 4]].concat()
}

/// A frame that ends the connection, and the code of the ERROR. The frame ends where the broker
/// detects the fault.
fn fatal(world: &mut World, number: usize) -> (Vec<u8>, u16) {
    let mut ping = Vec::new();
    encode::ping(&mut ping, 7);
    let mut open = Vec::new();
    encode::open(&mut open, RequestId(1), "abc");
    let payload_len = world.plan.settings.server.max_message_size_bytes + 1;
    match world.random.below(11) {
        0 => (vec![3, 0, 0, 0], 4000),
        1 => (vec![0xff; 4], 4130),
        2 => {
            ping[4] = 0x55;
            (ping, 4000)
        }
        3 => {
            ping[4] = 0x82;
            (ping, 4000)
        }
        4 => {
            ping[5] = 1;
            (ping, 4000)
        }
        5 => {
            ping[6] = 1;
            (ping, 4000)
        }
        6 => {
            ping[0] = 12;
            ping.truncate(12);
            (ping, 4000)
        }
        7 => {
            *open.last_mut().expect("the frame has a topic") = 0xff;
            (open, 4000)
        }
        8 if world.conversations[number].welcomed => {
            let mut bytes = Vec::new();
            let hello = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
            encode::hello(&mut bytes, &hello);
            (bytes, 4000)
        }
        9 => {
            let mut bytes = messages(1, 0);
            bytes[40] = 9;
            (bytes, 4000)
        }
        _ => {
            let mut bytes = messages(1, 0);
            bytes[..4].copy_from_slice(&(44 + payload_len).to_le_bytes());
            bytes[40..44].copy_from_slice(&payload_len.to_le_bytes());
            bytes.resize(44 + payload_len as usize, 0);
            (bytes, 4130)
        }
    }
}

/// Runs the world of a seed to its end.
pub fn run_seed(seed: u64) -> World {
    run(World::random(seed))
}

/// Runs the world of a seed in which logins wait for hashes.
pub fn run_seed_with_hashes(seed: u64) -> World {
    run(World::random_with_hashes(seed))
}

fn run(mut world: World) -> World {
    let mut clients: Vec<Behaviour> =
        (0..world.plan.clients).map(|_| Behaviour::random(&mut world)).collect();
    for tick in 0..world.plan.ticks {
        if world.plan.stop_at == Some(tick) {
            world.stop();
        }
        for client in &mut clients {
            if world.random.chance(50) {
                client.act(&mut world);
            }
        }
        if world.stopping {
            // A stop leaves CLOSE unread, so a half that the client has shut is the end.
            for wire in 0..world.wires.len() {
                let half = world.wires[wire].client_end == ClientEnd::HalfClosed;
                world.conversations[wire].abandoned |= half;
            }
        }
        world.step();
    }
    world.end();
    world
}
