//! Worlds of NATS clients, with a few BLIP/1 clients beside them, on the same cores, mesh and wires
//! as those of `behaviour`; their clients and their checker are simpler, and look from outside only.
//!
//! ```text
//! BLIPMQ_SIM_SEEDS=100000 cargo test --test simulation every_promise_to_nats
//! BLIPMQ_NATS_SEED=0x5eed cargo test --test simulation -- --nocapture every_promise_to_nats
//! ```
//!
//! | to learn | read |
//! |---|---|
//! | what clients do | here |
//! | what one client writes and reads | `client`, `blip` |
//! | what is checked when a message is read | `ledger` |
//! | what is checked at the end | `promises` |
//! | what the promises look like one by one | `scenarios` |

mod blip;
mod client;
mod ledger;
mod promises;
mod scenarios;
mod scenarios_sleep;

use blipmq::broker;
use blipmq::config::{OverflowPolicy, Settings};

use crate::plan::Plan;
use crate::random::Random;
use crate::wire::{ClientEnd, Phase, Record};
use crate::world::World;
use blip::Blip;
use client::{Client, Options, State};
use ledger::{GAP_PREFIX, Ledger};
use promises::Circumstances;

/// Seeds that are run when nobody asks for more.
const SEEDS: u64 = 300;

const SUBJECTS: [&str; 6] = ["a", "b", "a.b", "a.c", "b.c", "a.b.c"];
const PATTERNS: [&str; 10] = ["a", "b", "a.b", "a.*", "a.>", "*", ">", "*.*", "b.c", "a.b.c"];
const QUEUES: [&str; 3] = ["g", "h", "i"];
const QUEUE_PATTERNS: [&str; 3] = ["a", "a.>", "*.*"];

/// A world with the clients of it.
pub struct NatsWorld {
    pub world: World,
    pub ledger: Ledger,
    pub clients: Vec<Client>,
    blips: Vec<Blip>,
}

impl NatsWorld {
    fn of(world: World) -> NatsWorld {
        NatsWorld { world, ledger: Ledger::default(), clients: Vec::new(), blips: Vec::new() }
    }

    /// A connection whose client keeps a record.
    fn wire(&mut self, core: usize, fast: bool, room: usize, protocol: broker::Protocol) -> usize {
        let wire = self.world.connect_by(protocol, core, fast, room);
        self.world.wires[wire].record = Some(Record { sent: Vec::new(), unread: Vec::new() });
        wire
    }

    /// A new client; CONNECT is the caller's part. Returns its number.
    pub fn client(&mut self, core: usize, fast: bool, room: usize) -> usize {
        let wire = self.wire(core, fast, room, broker::Protocol::Nats);
        self.clients.push(Client::new(wire));
        self.clients.len() - 1
    }

    fn blip(&mut self, core: usize, fast: bool) -> usize {
        let wire = self.wire(core, fast, 1 << 20, broker::Protocol::Blip);
        self.blips.push(Blip::new(wire));
        self.write_blip(self.blips.len() - 1, |blip, _, out| blip.hello(out));
        self.blips.len() - 1
    }

    /// Writes what `write` says, as one write.
    pub fn write<T>(
        &mut self,
        client: usize,
        write: impl FnOnce(&mut Client, &mut Ledger, &mut Vec<u8>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let client = &mut self.clients[client];
        let result = write(client, &mut self.ledger, &mut out);
        self.world.note(|| format!("{} writes {}", client.wire, String::from_utf8_lossy(&out)));
        self.world.wires[client.wire].upstream.extend(out);
        result
    }

    fn write_blip(
        &mut self,
        blip: usize,
        write: impl FnOnce(&mut Blip, &mut Ledger, &mut Vec<u8>),
    ) {
        let mut out = Vec::new();
        let blip = &mut self.blips[blip];
        write(blip, &mut self.ledger, &mut out);
        self.world.wires[blip.wire].upstream.extend(out);
    }

    /// Everything moves on a little, and clients look at what they have read.
    pub fn step(&mut self) {
        self.world.step();
        self.look();
    }

    fn look(&mut self) {
        let stopping = self.world.stopping;
        for blip in &mut self.blips {
            let record = self.world.wires[blip.wire].record.as_mut().expect("it keeps one");
            let verdict = blip.read(&mut self.ledger, &mut record.unread);
            if let Err(broken) = verdict {
                self.world.fail(&format!("connection {}: {broken}", blip.wire));
            }
        }
        for client in &mut self.clients {
            if client.state != State::Open {
                continue;
            }
            let wire = &mut self.world.wires[client.wire];
            let ended = wire.at_end() && wire.phase != Phase::Accepted;
            let record = wire.record.as_mut().expect("it keeps one");
            let mut out = Vec::new();
            let mut verdict = Ok(());
            if !record.unread.is_empty() {
                verdict = client.read(&mut self.ledger, &mut record.unread, &mut out, stopping);
            }
            if verdict.is_ok() && ended {
                verdict = client.closed(&mut self.ledger, &record.unread, stopping);
            }
            wire.upstream.extend(out);
            if let Err(broken) = verdict {
                self.world.fail(&format!("connection {}: {broken}", client.wire));
            }
        }
    }

    pub fn run_until_idle(&mut self) {
        self.world.run_until_idle();
        self.look();
    }

    fn make_peace(&mut self) {
        self.world.make_peace();
        self.look();
    }

    /// What all cores have dropped, for whatever reason.
    fn dropped(&self) -> u64 {
        let of_core = |core: &crate::cores::Core| {
            let counters = &core.counters;
            [
                &counters.dropped_oldest_messages,
                &counters.dropped_new_messages,
                &counters.conflated_messages,
                &counters.expired_before_enqueue_messages,
                &counters.expired_in_queue_messages,
            ]
            .map(|counter| counter.get())
            .into_iter()
            .sum::<u64>()
        };
        self.world.cores.iter().map(of_core).sum()
    }

    /// The end of a world: peace, a PING of everybody, every promise looked at, and goodbye.
    pub fn end(&mut self) {
        self.make_peace();
        if !self.world.stopping {
            for client in 0..self.clients.len() {
                if self.clients[client].talks() {
                    self.write(client, |client, _, out| client.ping(out));
                }
            }
            self.make_peace();
            for client in self.clients.iter().filter(|client| client.state == State::Open) {
                if let Err(broken) = client.check_answered() {
                    self.world.fail(&format!("connection {}: {broken}", client.wire));
                }
            }
        }
        self.check();
        if !self.world.stopping {
            for wire in &mut self.world.wires {
                if wire.phase == Phase::Open {
                    wire.client_end = ClientEnd::Closed;
                }
            }
            for client in &mut self.clients {
                client.state = State::Vanished;
            }
            self.make_peace();
        }
        self.world.check_end();
    }

    fn check(&self) {
        let settings = &self.world.plan.settings;
        let sent = |wire: usize| {
            let record = self.world.wires[wire].record.as_ref();
            &record.expect("it keeps one").sent[..]
        };
        // Reports of one turn: where the newest counts, messages expire, or a subject has no sequences,
        // every message may have its own.
        let reports_max = match settings.queues.overflow_policy {
            OverflowPolicy::Latest => 1_000,
            _ if settings.limits.max_topics < 1_000 => 1_000,
            _ if settings.delivery.default_ttl_ms > 0 => 1_000,
            // And it is sent so few at a time.
            _ if settings.delivery.max_batch < 4 => 1_000,
            _ => 64,
        };
        let has_monitor =
            self.clients.iter().any(|client| client.is_monitor && client.state == State::Open);
        let verdict = Circumstances {
            ledger: &self.ledger,
            clients: &self.clients,
            sent: &sent,
            stopping: self.world.stopping,
            memory_is_tight: settings.limits.memory_max < 1 << 24,
            // Who is slow at a stop may miss something when the monitor is gone.
            monitor_gets_all: has_monitor
                && !self.world.stopping
                && settings.nats.subscriber_capacity >= reports_max,
            dropped: self.dropped(),
        }
        .hold();
        if let Err(broken) = verdict {
            self.world.fail(&broken);
        }
    }
}

fn plan(random: &mut Random) -> Plan {
    let mut settings = Settings::default();
    settings.nats.subscriber_capacity = random.pick(&[1, 4, 32, 64, 64, 1_000]);
    settings.queues.subscriber_capacity = random.pick(&[64, 64, 256, 1_024]);
    settings.queues.overflow_policy = random.pick(&[
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropNew,
        OverflowPolicy::Block,
        OverflowPolicy::Disconnect,
        OverflowPolicy::Latest,
    ]);
    settings.queues.topic_capacity = random.pick(&[0, 5, 10_000]);
    if random.chance(10) {
        settings.limits.memory_max = random.within(20_000..=60_000);
    }
    settings.delivery.max_batch = random.pick(&[1, 2, 4, 16]);
    settings.delivery.fanout_shards = random.pick(&[0, 0, 1, 3, 8]);
    settings.delivery.default_ttl_ms = random.pick(&[0, 0, 0, 0, 3]);
    settings.limits.max_topics = random.pick(&[2, 1_000, 1_000, 1_000]);
    let ticks = random.within(30..=250);
    Plan {
        cores: random.pick(&[1, 2, 2, 3, 4]),
        letters_max: random.pick(&[1, 1, 2, 8]),
        mesh_delay_ticks: random.pick(&[0, 0, 3])..=random.pick(&[3, 10, 50]),
        settings,
        clients: random.within(2..=8) as usize,
        ticks,
        stop_at: random.chance(30).then(|| random.within(ticks / 2..=ticks)),
        tick_ns: 1_000..=random.pick(&[10_000, 500_000, 2_000_000]),
        wall_jumps: random.chance(20),
        payload_len_max: random.pick(&[0, 20, 2_000]),
        frame_messages_max: 1,
        fault_percent: random.pick(&[0, 5, 15]),
        turn_percent: random.pick(&[20, 60, 100]),
        buffers: random.pick(&[1, 2, 32]),
        buffer_len: random.pick(&[300, 64 * 1_024]),
        replay_topics_per_turn: Plan::random_replay_topics(random),
    }
}

/// One who connects, does things, and comes back when its connection has ended.
#[derive(Default)]
struct Actor {
    client: Option<usize>,
}

impl Actor {
    fn act(&mut self, world: &mut NatsWorld) {
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
            12 => in_one_write(world, client),
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

fn filler(random: &mut Random, payload_len_max: usize) -> Vec<u8> {
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

/// A request where often nobody listens.
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

/// SUB and UNSUB with a number in one write, at times in a group.
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

/// PUB, SUB, PUB, UNSUB, PUB: what is between comes, and nothing else.
fn in_one_write(world: &mut NatsWorld, client: usize) {
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
            world.write(client, |client, ledger, out| client.offend(out, ledger, bytes, said));
        }
        _ => {}
    }
    if matches!(choice, 9..=11) {
        world.world.note(|| format!("{number} vanishes"));
        leave(world, client);
    }
}

/// A client has gone without a word.
fn leave(world: &mut NatsWorld, client: usize) {
    world.clients[client].state = State::Vanished;
    world.clients[client].leave_queues(&mut world.ledger);
}

/// The whole life of the world a seed stands for.
pub fn live(seed: u64) -> NatsWorld {
    let mut random = Random::with_seed(seed ^ 0x4e41_5453);
    let plan = plan(&mut random);
    let world = World::of_records(seed, plan, random, "BLIPMQ_NATS_SEED");
    let mut world = NatsWorld::of(world);
    let cores = world.world.plan.cores;
    let witness = world.blip(world.world.tick as usize % cores, true);
    world.write_blip(witness, |blip, _, out| blip.subscribe(out));
    let publisher_core = world.world.random.below(cores);
    let publisher = world.blip(publisher_core, false);
    let monitor_core = world.world.random.below(cores);
    let monitor = world.client(monitor_core, true, usize::MAX);
    world.clients[monitor].is_monitor = true;
    world.write(monitor, |client, ledger, out| {
        let options = Options { verbose: false, echo: true, headers: true, no_responders: false };
        client.connect(out, options);
        client.subscribe(out, ledger, &format!("{GAP_PREFIX}>"), None);
        client.ping(out);
    });
    world.run_until_idle();
    world.world.note(|| {
        let Plan { cores, settings, stop_at, .. } = &world.world.plan;
        let (queues, nats, limits) = (&settings.queues, &settings.nats, &settings.limits);
        let delivery = &settings.delivery;
        format!(
            "{cores} cores, stop at {stop_at:?}, {queues:?}, {delivery:?}, {nats:?}, {limits:?}"
        )
    });
    let mut actors: Vec<Actor> = (0..world.world.plan.clients).map(|_| Actor::default()).collect();
    for tick in 0..world.world.plan.ticks {
        if world.world.plan.stop_at == Some(tick) {
            world.world.stop();
        }
        for actor in &mut actors {
            if world.world.random.chance(50) {
                actor.act(&mut world);
            }
        }
        if world.world.random.chance(30) && !world.world.stopping {
            let subject = world.world.random.pick(&SUBJECTS);
            let filler = filler(&mut world.world.random, world.world.plan.payload_len_max);
            let reply = world.world.random.chance(30).then_some("re.ply");
            world.write_blip(publisher, |blip, ledger, out| {
                blip.publish(out, ledger, subject, reply, &filler);
            });
        }
        world.step();
    }
    world.end();
    world
}

/// Goal: every promise to NATS clients holds, whatever happens.
/// Method: many random worlds; `BLIPMQ_NATS_SEED` runs one of them and prints its steps.
#[test]
fn every_promise_to_nats_holds_for_all_seeds() {
    if let Some(seed) = crate::number_in("BLIPMQ_NATS_SEED") {
        crate::print_digest("nats", seed, &live(seed).world);
        return;
    }
    let first = crate::number_in("BLIPMQ_SIM_FIRST").unwrap_or(0);
    for seed in first..first + crate::number_in("BLIPMQ_SIM_SEEDS").unwrap_or(SEEDS) {
        crate::print_digest("nats", seed, &live(seed).world);
    }
}
