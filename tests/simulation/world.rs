//! The world: cores, mesh, connections, clients and clocks, all driven by one seed.
//!
//! A tick moves the clock, letters, bytes, clients and cores on, each as far as chance says.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::counters::Counters;
use blipmq::broker::mesh::{DELIVERIES, REQUESTS};
use blipmq::broker::{Broker, Cluster, Now, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::CoreId;
use executors::launch::Stopped;
use executors::simulated::Machine;

use crate::conversation::{Asks, Conversation, Publish, Seen};
use crate::cores::Core;
use crate::mesh::Mesh;
use crate::owed;
use crate::plan::Plan;
use crate::promises;
use crate::random::Random;
use crate::receive::Circumstances;
use crate::relay::Relay;
use crate::truth::Truth;
use crate::watch::Watch;
use crate::wire::{ClientEnd, Phase, Wire};

/// Ticks without faults after which everything must have come to rest. Many: a world of NATS clients
/// tells each of its gaps to each slow subscription to `>`.
const TICKS_TO_REST: u64 = 100_000;

/// Longer than any world lasts: a stop that is not drained never ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1_000_000);

/// A client of a scenario: the number of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub usize);

pub struct Clock {
    monotonic_ns: u64,
    unix_offset_ns: u64,
}

impl Clock {
    pub fn read(&self) -> Now {
        Now {
            monotonic_ns: self.monotonic_ns,
            unix_ns: self.unix_offset_ns.wrapping_add(self.monotonic_ns),
        }
    }
}

pub struct World {
    seed: u64,
    pub plan: Plan,
    pub random: Random,
    pub clock: Clock,
    pub tick: u64,
    pub turns: u32,
    pub cluster: Cluster,
    pub machine: Machine<Relay<Watch>>,
    pub cores: Vec<Core>,
    pub mesh: Mesh,
    /// All connections there ever were, with what their clients know of them.
    pub wires: Vec<Wire>,
    pub conversations: Vec<Conversation>,
    pub truth: Truth,
    pub stopping: bool,
    /// Times a connection was not read for a while.
    pub pauses: u64,
    /// Everybody reads, nothing is late.
    pub at_peace: bool,
    /// Clients keep a `Record` each, which `nats` looks at, and there is no `truth`.
    pub keeps_records: bool,
    keep_seen: bool,
    /// Of every byte that clients were sent, see `digest_of`.
    pub digest: u64,
    /// Names the seed for `log`, and for whoever wants to see a failure again.
    seed_variable: &'static str,
    log: bool,
}

impl World {
    /// A world of one core for a scenario; the methods below change it before anything happens.
    pub fn with_seed(seed: u64) -> World {
        let mut world = World::of(seed, Plan::default(), Random::with_seed(seed));
        world.keep_seen = true;
        world
    }

    /// The world a seed stands for.
    pub fn random(seed: u64) -> World {
        let mut random = Random::with_seed(seed);
        let plan = Plan::random(&mut random);
        World::of(seed, plan, random)
    }

    fn of(seed: u64, plan: Plan, random: Random) -> World {
        let mut cluster = Cluster::new(plan.cores as u16, seed, Arc::new(plan.settings.clone()));
        cluster.replay_topics_per_turn = plan.replay_topics_per_turn;
        let cores: Vec<Core> = (0..plan.cores).map(|_| Core::default()).collect();
        let machine = machine(&plan, &cluster, &cores);
        World {
            seed,
            random,
            clock: Clock { monotonic_ns: 1_000_000, unix_offset_ns: 1_700_000_000_000_000_000 },
            tick: 0,
            turns: 0,
            machine,
            cores,
            mesh: Mesh::new(plan.cores, plan.mesh_delay_ticks.clone()),
            cluster,
            plan,
            wires: Vec::new(),
            conversations: Vec::new(),
            truth: Truth::default(),
            stopping: false,
            pauses: 0,
            at_peace: false,
            keeps_records: false,
            keep_seen: false,
            digest: 0xcbf2_9ce4_8422_2325,
            seed_variable: "BLIPMQ_SEED",
            log: std::env::var_os("BLIPMQ_SEED").is_some(),
        }
    }

    /// A world for clients that keep a `Record` each.
    pub fn of_records(seed: u64, plan: Plan, random: Random, seed_variable: &'static str) -> World {
        let mut world = World::of(seed, plan, random);
        world.keeps_records = true;
        world.seed_variable = seed_variable;
        world.log = std::env::var_os(seed_variable).is_some();
        world
    }

    fn again(self, change: impl FnOnce(&mut Plan)) -> World {
        assert!(self.wires.is_empty(), "a world is changed before anything happens");
        let mut plan = self.plan;
        change(&mut plan);
        let mut world = World::of(self.seed, plan, self.random);
        world.keep_seen = true;
        world
    }

    pub fn cores(self, cores: usize) -> World {
        self.again(|plan| plan.cores = cores)
    }

    pub fn mesh_delay_ticks(self, ticks: RangeInclusive<u64>) -> World {
        self.again(|plan| plan.mesh_delay_ticks = ticks)
    }

    pub fn letters_max(self, letters_max: usize) -> World {
        self.again(|plan| plan.letters_max = letters_max)
    }

    pub fn replay_topics_per_turn(self, topics: usize) -> World {
        self.again(|plan| plan.replay_topics_per_turn = topics)
    }

    pub fn settings(self, change: impl FnOnce(&mut Settings)) -> World {
        self.again(|plan| change(&mut plan.settings))
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.log {
            eprintln!("tick {} turn {}: {}", self.tick, self.turns, text());
        }
    }

    /// Adds what a connection is sent to the digest of this world: a change of the broker that is meant
    /// to change nothing leaves the digests of all seeds as they are.
    pub fn digest_of(&mut self, wire: usize, bytes: &[u8]) {
        for byte in (wire as u32).to_le_bytes().iter().chain(bytes) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// A promise is broken: says so, and how to see it again.
    pub fn fail(&self, what: &str) -> ! {
        // CI sets it to `git rev-parse --short HEAD`.
        let commit = std::env::var("BLIPMQ_COMMIT");
        let commit = commit.map(|commit| format!("commit {commit}; ")).unwrap_or_default();
        let (variable, seed) = (self.seed_variable, self.seed);
        panic!("{what}; {commit}rerun: {variable}={seed:#x} cargo test --test simulation")
    }

    fn hold(&self, verdict: Result<(), String>, of: usize) {
        if let Err(broken) = verdict {
            self.fail(&format!("connection {of}: {broken}"));
        }
    }

    // --- clients ---

    /// A new connection; HELLO is the caller's part. Returns its number.
    pub fn connect_to(&mut self, core: usize, fast: bool, downstream_len_max: usize) -> usize {
        self.connect_by(Protocol::Blip, core, fast, downstream_len_max)
    }

    /// A new connection by the listener of a protocol. Returns its number.
    pub fn connect_by(
        &mut self,
        protocol: Protocol,
        core: usize,
        fast: bool,
        downstream_len_max: usize,
    ) -> usize {
        let number = self.wires.len();
        self.note(|| format!("{number} connects to core {core}, fast: {fast}"));
        self.open(core, protocol, (fast, downstream_len_max));
        self.conversations.push(Conversation {
            number,
            core,
            loses_nothing: fast && self.plan.spares_fast_readers(),
            ..Conversation::default()
        });
        number
    }

    pub fn topic(&mut self, name: &str) -> usize {
        self.truth.topic(&self.cluster, name)
    }

    /// A topic that this core owns.
    pub fn topic_on(&self, core: usize) -> String {
        let owner = |name: &String| {
            usize::from(self.cluster.core_of(self.cluster.shard_of_name(name)).0) == core
        };
        (0..).map(|number| format!("t{number}.t")).find(owner).expect("some name is hashed there")
    }

    /// Connects a client that has said HELLO.
    pub fn connect(&mut self, core: CoreId) -> Client {
        let number = self.connect_to(core.0.into(), false, 64 * 1_024);
        self.conversations[number].hello(&mut self.wires[number].upstream);
        Client(number)
    }

    /// A new client with a subscription in force.
    pub fn subscribe(&mut self, core: CoreId, pattern: &str) -> Client {
        let client = self.connect(core);
        self.add_subscription(client, pattern, 0, 0);
        self.run_until_idle();
        client
    }

    /// One more subscription; returns its number.
    pub fn add_subscription(
        &mut self,
        client: Client,
        pattern: &str,
        overflow: u8,
        capacity: u32,
    ) -> u32 {
        self.add(client, pattern, Asks { overflow, capacity, ..Asks::default() })
    }

    /// One more subscription with whatever options; returns its number.
    pub fn add(&mut self, client: Client, pattern: &str, asks: Asks<'_>) -> u32 {
        let upstream = &mut self.wires[client.0].upstream;
        let policy = self.plan.settings.queues.overflow_policy;
        self.conversations[client.0].subscribe(upstream, policy, pattern, asks)
    }

    pub fn unsubscribe(&mut self, client: Client, subscription: u32) {
        let upstream = &mut self.wires[client.0].upstream;
        self.conversations[client.0].unsubscribe(upstream, subscription);
    }

    /// A new client that publishes each payload in a frame of its own.
    pub fn publish_each<'a>(
        &mut self,
        core: CoreId,
        topic: &str,
        payloads: impl IntoIterator<Item = &'a str>,
    ) -> Client {
        let client = self.connect(core);
        for payload in payloads {
            self.publish(client, topic, payload, 0);
        }
        client
    }

    pub fn publish(&mut self, client: Client, topic: &str, payload: &str, ttl_ms: u32) {
        let topic = self.topic(topic);
        let payloads = [payload.as_bytes().to_vec()];
        let publish = Publish { topic, by_id: true, payloads: &payloads, ttl_ms, flags: 0 };
        self.write_publish(client.0, publish);
    }

    pub fn write_publish(&mut self, number: usize, publish: Publish<'_>) {
        self.conversations[number].publish(
            &mut self.wires[number].upstream,
            &mut self.truth,
            &self.plan.settings,
            publish,
        );
    }

    /// The client stops reading; what its socket buffer holds no room for stays with the broker.
    pub fn stall(&mut self, client: Client, downstream_len_max: usize) {
        self.wires[client.0].stalled = true;
        self.wires[client.0].downstream_len_max = downstream_len_max;
    }

    pub fn resume(&mut self, client: Client) {
        self.wires[client.0].stalled = false;
    }

    pub fn close(&mut self, client: Client) {
        self.conversations[client.0].close(&mut self.wires[client.0].upstream);
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.clock.monotonic_ns += ms * 1_000_000;
    }

    /// Tells every core to stop.
    pub fn stop(&mut self) {
        self.note(|| "stop".to_string());
        self.stopping = true;
        self.machine.stop_handle().stop(DRAIN_TIMEOUT);
    }

    /// What a client has read, in order.
    pub fn seen(&self, client: Client) -> &[Seen] {
        &self.conversations[client.0].seen
    }

    /// The payloads a client has read; there must have been no gaps.
    pub fn received(&self, client: Client) -> Vec<&str> {
        let seen = self.seen(client).iter();
        seen.map(|seen| match seen {
            Seen::Message(payload) => payload.as_str(),
            gap => panic!("{gap:?} where only messages were expected"),
        })
        .collect()
    }

    // --- time ---

    /// Everything moves on a little.
    pub fn step(&mut self) {
        self.tick += 1;
        self.clock.monotonic_ns += self.random.within(self.plan.tick_ns.clone());
        if self.plan.wall_jumps && self.random.chance(5) {
            let hours = self.random.within(0..=48);
            let unix_ns = &mut self.clock.unix_offset_ns;
            *unix_ns = *unix_ns + hours * 3_600_000_000_000 - 24 * 3_600_000_000_000;
        }
        let Now { monotonic_ns, unix_ns } = self.clock.read();
        self.machine.kernel().set_now(executors::Now { monotonic_ns, unix_ns });
        self.mesh.arrive(&self.machine, self.tick);
        for listener in 0..Protocol::ALL.len() {
            if self.at_peace || self.random.chance(50) {
                self.machine.kernel().carry_out_accept_cancel(listener);
            }
        }
        for wire in 0..self.wires.len() {
            // What was sent is read also after the server has closed.
            let socket = &self.wires[wire];
            if socket.phase != Phase::Gone || !socket.downstream.is_empty() {
                self.network(wire);
                self.check_pause(wire);
            }
        }
        let first = self.random.below(self.cores.len());
        for core in 0..self.cores.len() {
            let core = (first + core) % self.cores.len();
            if self.machine.cores()[core].is_awake()
                && (self.at_peace || self.random.chance(self.plan.turn_percent))
            {
                let turn = catch_unwind(AssertUnwindSafe(|| self.turn(core)));
                if turn.is_err() {
                    self.fail(&format!("core {core} panicked, see above"));
                }
            }
        }
        // A core that has stopped is notified of nothing more.
        if !self.stopping && self.is_at_rest() {
            self.check_blocks();
        }
    }

    /// Moves the bytes of one connection on.
    fn network(&mut self, wire: usize) {
        self.wires[wire].network(&mut self.random, self.at_peace);
        let bytes = self.wires[wire].reading(&mut self.random);
        if let Some(record) = &mut self.wires[wire].record {
            record.unread.extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            let circumstances = Circumstances {
                stopping: self.stopping,
                admitted: self.wires[wire].admitted,
                keep_seen: self.keep_seen,
            };
            let conversation = &mut self.conversations[wire];
            let verdict = conversation.receive(&mut self.truth, circumstances, &bytes);
            self.hold(verdict, wire);
        }
        let socket = &mut self.wires[wire];
        if socket.at_end() && socket.phase != Phase::Accepted && !socket.stalled {
            self.conversations[wire].at_end = true;
            if socket.client_end != ClientEnd::Closed {
                // The server has shut its half; the client answers with its own.
                socket.client_end = ClientEnd::Closed;
                socket.upstream.clear();
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let mut cores = self.machine.cores().iter();
        self.mesh.is_empty() && cores.all(|core| !core.is_awake() && core.mesh_waiting() == 0)
    }

    /// Runs until nothing moves any more. Who is stalled stays so.
    pub fn run_until_idle(&mut self) {
        let end = self.tick + TICKS_TO_REST;
        let mut at_rest = 0;
        // Completions come in `step`, before the cores: one more tick shows that none did.
        while at_rest < 2 {
            self.step();
            let wires_rest = self.wires.iter().all(|wire| {
                // One that is paused may well stay so: that is for the caller to judge.
                let nobody_reads = wire.broken || wire.client_end == ClientEnd::Closed;
                let is_read = wire.downstream.is_empty() || nobody_reads;
                let waits = wire.paused && !wire.is_sending() && is_read;
                wire.stalled || waits || wire.is_quiet()
            });
            at_rest = if self.is_at_rest() && wires_rest { at_rest + 1 } else { 0 };
            if self.tick > end {
                self.fail(&format!("no rest in {TICKS_TO_REST} ticks: {}", self.who_is_busy()));
            }
        }
    }

    /// Who keeps the world from coming to rest.
    fn who_is_busy(&self) -> String {
        let wires = self.wires.iter().enumerate();
        let wires: Vec<String> = wires
            .filter(|(_, wire)| !wire.is_quiet() || wire.paused)
            .map(|(number, wire)| format!("{number}: {wire:?}"))
            .collect();
        let cores: Vec<_> = self
            .machine
            .cores()
            .iter()
            .map(|core| {
                let broker = &core.service().broker;
                let letters = [REQUESTS, DELIVERIES].map(|lane| broker.wants_message(lane));
                let waiting = (core.is_awake(), core.mesh_waiting());
                (waiting, letters, broker.wants_input())
            })
            .collect();
        let mesh = self.mesh.is_empty();
        format!(
            "cores are awake, have messages, want messages, input: {cores:?}, nothing \
             under way: {mesh}, {wires:?}"
        )
    }

    /// Faults end: everybody reads, nothing is late, and everything must come to rest.
    pub fn make_peace(&mut self) {
        self.note(|| "peace".to_string());
        self.at_peace = true;
        self.mesh.hurry();
        for wire in &mut self.wires {
            wire.stalled = false;
            wire.downstream_len_max = usize::MAX;
        }
        self.run_until_idle();
        if self.stopping {
            // The stop gives each connection a millisecond at most.
            self.advance_ms(self.wires.len() as u64);
            self.run_until_idle();
        }
        // Who vanished while it was not read itself is found out after `block_timeout` only.
        for _ in 0..self.wires.len() {
            let vanished = |wire: &Wire| wire.broken || wire.client_end == ClientEnd::Closed;
            let zombie = |wire: &Wire| wire.paused && vanished(wire);
            if self.wires.iter().any(zombie) {
                self.advance_ms(u64::from(self.plan.settings.queues.block_timeout_ms));
                self.run_until_idle();
            }
        }
        if self.wires.iter().any(|wire| wire.paused || !wire.is_quiet()) {
            self.fail(&format!("everything sleeps, and not all is done: {}", self.who_is_busy()));
        }
    }

    /// The end of a world: peace, the last goodbyes, and every promise looked at.
    pub fn end(&mut self) {
        self.make_peace();
        self.check_promises();
        if !self.stopping {
            for wire in 0..self.wires.len() {
                let socket = &mut self.wires[wire];
                let talks = socket.phase == Phase::Open && socket.client_end == ClientEnd::No;
                let may_say_close = {
                    let conversation = &self.conversations[wire];
                    conversation.welcomed && !conversation.close_written
                };
                if talks && may_say_close && self.random.chance(50) {
                    self.conversations[wire].close(&mut socket.upstream);
                } else if talks {
                    socket.client_end = ClientEnd::Closed;
                    self.conversations[wire].abandoned = true;
                }
            }
            self.make_peace();
            self.check_promises();
        }
        self.check_end();
    }

    /// Everybody has gone, and nothing is left of them.
    pub fn check_end(&mut self) {
        for (core, of_core) in self.machine.cores().iter().enumerate() {
            if self.stopping && of_core.stopped() != Some(Stopped::Drained) {
                eprintln!(
                    "DEBUG now {} timeout {:?} deadline {:?} stopped {} {:?}",
                    self.clock.monotonic_ns,
                    self.machine.kernel().timeout_at_ns(core),
                    self.broker(core).next_deadline_ns(),
                    self.broker(core).is_stopped(),
                    self.wires
                        .iter()
                        .enumerate()
                        .filter(|w| w.1.phase != Phase::Gone)
                        .collect::<Vec<_>>()
                );
                self.fail(&format!("core {core} does not stop"));
            }
        }
        for (number, wire) in self.wires.iter().enumerate() {
            if wire.phase != Phase::Gone {
                self.fail(&format!("connection {number} does not end: it is {:?}", wire.phase));
            }
            let conversation = &self.conversations[number];
            let expected = conversation.fatal_expected;
            // A stop leaves input unread, also what would have been refused.
            let owed = expected.is_some() && !conversation.abandoned && !self.stopping;
            if owed && conversation.fatal.is_none() {
                self.fail(&format!("connection {number} was owed the fatal ERROR {expected:?}"));
            }
        }
        for (core, of_core) in self.cores.iter().enumerate() {
            if let Err(broken) = promises::connections(core, &of_core.counters) {
                self.fail(&broken);
            }
        }
        let counters: Vec<&Counters> = self.cores.iter().map(|core| &*core.counters).collect();
        if let Err(broken) = promises::queued(&counters) {
            self.fail(&broken);
        }
        self.check_memory();
    }

    /// With everybody gone the logs alone hold memory, and none once all topics are idle.
    fn check_memory(&mut self) {
        if self.stopping {
            return self.check_nothing_outlives_the_brokers();
        }
        for idle in [false, true] {
            if idle {
                self.advance_ms(u64::from(self.plan.settings.queues.topic_idle_timeout_ms));
            } else if self.keeps_records {
                // Until nobody is thought to ask for what NATS clients were sent.
                self.advance_ms(1_000);
            }
            for core in 0..self.cores.len() {
                self.machine.wake_handle().wake(core);
            }
            self.run_until_idle();
            let held = self.cluster.memory.held();
            let (mut portions, mut kept) = (0, 0);
            for core in 0..self.cores.len() {
                let (more_portions, bytes) = self.broker(core).retained();
                portions += more_portions;
                kept += bytes;
            }
            // Batches may have room that is not used, up to half of what is, or 1 KiB.
            let unused_max = kept / 2 + 1_024 * portions;
            if !(kept..=kept + unused_max).contains(&held) || (idle && held != 0) {
                self.fail(&format!("{held} bytes are held, {kept} kept; topics are idle: {idle}"));
            }
        }
    }

    /// Cores that have stopped take no turn in which a topic could become idle; but what they hold is
    /// theirs.
    fn check_nothing_outlives_the_brokers(&mut self) {
        self.machine = machine(&self.plan, &self.cluster, &self.cores);
        let held = self.cluster.memory.held();
        if held != 0 {
            self.fail(&format!("{held} bytes are held by nobody"));
        }
    }

    fn check_promises(&self) {
        for conversation in &self.conversations {
            let verdict = conversation.owed(&self.truth, &self.plan, self.stopping);
            self.hold(verdict, conversation.number);
        }
        let refused = |core: &Core| core.counters.refused_for_memory_messages.get();
        let refused = self.cores.iter().map(refused).sum();
        let publishers =
            promises::publishers(&self.truth, self.conversations.len(), self.stopping, refused);
        let told: u64 = self.conversations.iter().map(|one| one.refused_for_memory).sum();
        let refusals = match told > refused {
            true => Err(format!("{told} frames were refused for memory, {refused} counted")),
            false => Ok(()),
        };
        let groups = owed::groups(&self.truth, &self.conversations);
        for verdict in [publishers, refusals, groups] {
            if let Err(broken) = verdict {
                self.fail(&broken);
            }
        }
    }
}

/// A machine that has just started.
fn machine(plan: &Plan, cluster: &Cluster, cores: &[Core]) -> Machine<Relay<Watch>> {
    Machine::new(plan.machine(), |core| {
        let counters = cores[core].counters.clone();
        let broker = Broker::new(CoreId(core as u16), cluster.clone(), counters);
        Relay { broker, protocols: Protocol::ALL.into(), beside: Watch::default() }
    })
}
