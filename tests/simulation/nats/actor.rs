//! What the clients of a random NATS world do.

use super::client::{Options, State};
use super::world::NatsWorld;
use crate::random::Random;
use crate::wire::ClientEnd;

pub const SUBJECTS: [&str; 6] = ["a", "b", "a.b", "a.c", "b.c", "a.b.c"];
const PATTERNS: [&str; 10] = ["a", "b", "a.b", "a.*", "a.>", "*", ">", "*.*", "b.c", "a.b.c"];
const QUEUES: [&str; 3] = ["g", "h", "i"];
const QUEUE_PATTERNS: [&str; 3] = ["a", "a.>", "*.*"];

/// A client that connects, acts, and connects again when its connection has ended.
#[derive(Default)]
pub struct Actor {
    client: Option<usize>,
}

impl Actor {
    pub fn act(&mut self, world: &mut NatsWorld) {
        let Some(client) = self.client.filter(|client| world.clients[*client].state == State::Open)
        else {
            if !world.world.stopping {
                self.client = Some(connect(world));
            }
            return;
        };
        if world.world.random.chance(world.world.plan.fault_percent) {
            return fault(world, client);
        }
        let wire = world.clients[client].wire;
        let upstream_len_max = 8_192 + 4 * world.world.plan.payload_len_max;
        if !world.clients[client].talks()
            || world.world.wires[wire].client_end != ClientEnd::No
            || world.world.wires[wire].upstream.len() > upstream_len_max
        {
            return;
        }
        if let Some(reply) = world.clients[client].asked.pop() {
            publish_to(world, client, &reply, None);
        }
        match world.world.random.below(20) {
            0..=5 => publish(world, client),
            6 => {
                for _ in 0..world.world.random.below(60) {
                    publish(world, client);
                }
            }
            7..=8 => {
                let pattern = world.world.random.pick(&PATTERNS);
                world.write(client, |client, ledger, out| {
                    client.subscribe(out, ledger, pattern, None);
                });
            }
            9 => {
                let queue = world.world.random.pick(&QUEUES);
                let pattern = match queue {
                    "g" => "a.>",
                    "h" => ">",
                    _ => world.world.random.pick(&QUEUE_PATTERNS),
                };
                world.write(client, |client, ledger, out| {
                    client.subscribe(out, ledger, pattern, Some(queue));
                });
            }
            10 => unsubscribe(world, client),
            11 => limited(world, client),
            12 => commands_in_one_write(world, client),
            13 => ask(world, client),
            14 if world.world.random.chance(30) => {
                world.write(client, |client, ledger, out| {
                    client.subscribe(out, ledger, "q.1", None);
                });
            }
            15 => world.write(client, |client, _, out| client.refused(out)),
            16..=18 => world.write(client, |client, _, out| client.ping(out)),
            _ => {}
        }
    }
}

fn connect(world: &mut NatsWorld) -> usize {
    let random = &mut world.world.random;
    let core = random.below(world.world.plan.cores);
    let fast = random.chance(30);
    let room = if fast { usize::MAX } else { random.pick(&[1, 60, 500, 20_000]) };
    let headers = random.chance(70);
    let options = Options {
        verbose: random.chance(30),
        echo: random.chance(80),
        headers,
        no_responders: headers && random.chance(80),
    };
    let says_nothing = random.chance(5);
    let client = world.client(core, fast, room);
    let inbox = format!("_INBOX.{}.*", world.clients[client].wire);
    world.write(client, |client, ledger, out| {
        if !says_nothing {
            client.connect(out, options);
        }
        client.subscribe(out, ledger, &inbox, None);
    });
    client
}

pub fn filler(random: &mut Random, payload_len_max: usize) -> Vec<u8> {
    let len = random.below(payload_len_max + 1);
    let some = random.pick(&[&b"x"[..], b"\r\n", b"\r\nMSG a 1 2\r\n", b"\0\xff"]);
    some.iter().copied().cycle().take(len).collect()
}

fn publish(world: &mut NatsWorld, client: usize) {
    let subject = world.world.random.pick(&SUBJECTS);
    publish_to(world, client, subject, None);
}

fn publish_to(world: &mut NatsWorld, client: usize, subject: &str, reply: Option<&str>) {
    let random = &mut world.world.random;
    let filler = filler(random, world.world.plan.payload_len_max);
    let may_have_headers = world.clients[client].options.headers;
    let headers: &[u8] = match random.below(6) {
        0 if may_have_headers => b"NATS/1.0\r\nk: v\r\nk: w\r\n\r\n",
        1 if may_have_headers => b"NATS/1.0\r\nodd\r\n\r\n",
        _ => b"",
    };
    let reply = reply.or_else(|| random.chance(10).then_some("re.ply"));
    world.write(client, |client, ledger, out| {
        client.publish(out, ledger, subject, reply, headers, &filler);
    });
}

/// A request to a subject that often has no subscription.
fn ask(world: &mut NatsWorld, client: usize) {
    let subject = world.world.random.pick(&["q.1", "q.2", "q.3"]);
    let (wire, number) = (world.clients[client].wire, world.ledger.messages.len());
    let reply = format!("_INBOX.{wire}.{number}");
    publish_to(world, client, subject, Some(&reply));
}

fn unsubscribe(world: &mut NatsWorld, client: usize) {
    let ledger = &world.ledger;
    let own: Vec<usize> = world.clients[client].sids.values().copied().collect();
    let ends = |index: &usize| {
        let subscription = &ledger.subscriptions[*index];
        subscription.ended.is_none() && !subscription.pattern.starts_with("_INBOX")
    };
    let own: Vec<usize> = own.into_iter().filter(ends).collect();
    if !own.is_empty() {
        let index = world.world.random.pick(&own);
        world.write(client, |client, ledger, out| client.unsubscribe(out, ledger, index));
    }
}

/// SUB and UNSUB with a maximum in one write, at times in a group.
fn limited(world: &mut NatsWorld, client: usize) {
    let random = &mut world.world.random;
    let (pattern, queue) = match random.below(3) {
        0 => ("a.>", Some("g")),
        _ => (random.pick(&PATTERNS), None),
    };
    let max = random.pick(&[1, 2, 5, 30]);
    world.write(client, |client, ledger, out| {
        let index = client.subscribe(out, ledger, pattern, queue);
        client.limit(out, ledger, index, max);
    });
}

/// PUB, SUB, PUB, PUB, UNSUB, PUB: only what is between SUB and UNSUB may come.
fn commands_in_one_write(world: &mut NatsWorld, client: usize) {
    let subject = world.world.random.pick(&SUBJECTS);
    let pings = world.world.random.chance(50);
    world.write(client, |client, ledger, out| {
        client.publish(out, ledger, subject, None, b"", b"");
        let index = client.subscribe(out, ledger, subject, None);
        client.publish(out, ledger, subject, None, b"", b"");
        client.publish(out, ledger, subject, None, b"", b"");
        client.unsubscribe(out, ledger, index);
        client.publish(out, ledger, subject, None, b"", b"");
        if pings {
            client.ping(out);
        }
    });
}

fn fault(world: &mut NatsWorld, client: usize) {
    let number = world.clients[client].wire;
    let may_write =
        world.clients[client].talks() && world.world.wires[number].client_end == ClientEnd::No;
    let choice = world.world.random.below(16);
    let wire = &mut world.world.wires[number];
    match choice {
        0..=8 => wire.stalled = !wire.stalled,
        9 => wire.broken = true,
        10 => wire.client_end = ClientEnd::Closed,
        11 => wire.client_end = ClientEnd::HalfClosed,
        12..=13 if may_write => {
            let (bytes, said): (&[u8], _) = match world.world.random.below(4) {
                0 => (b"NONSENSE\r\n", Some("Unknown Protocol Operation")),
                1 => (b"PUB a\r\n", None),
                2 => (b"-ERR 'no'\r\n", None),
                _ => (b"CONNECT {\r\n", None),
            };
            world
                .write(client, |client, ledger, out| client.send_offence(out, ledger, bytes, said));
        }
        _ => {}
    }
    if matches!(choice, 9..=11) {
        world.world.note(|| format!("{number} vanishes"));
        leave(world, client);
    }
}

/// Notes that a client has vanished.
pub fn leave(world: &mut NatsWorld, client: usize) {
    world.clients[client].state = State::Vanished;
    world.clients[client].leave_queues(&mut world.ledger);
}
