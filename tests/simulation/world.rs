//! The world: cores, mesh, connections, clients and clocks, all driven by one seed.
//!
//! A tick moves the clock, letters, bytes, clients and cores on, each as far as chance says.

mod clients;
mod end;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::mesh::{DELIVERIES, REQUESTS};
use blipmq::broker::{Broker, Cluster, Now, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::CoreId;
use executors::simulated::Machine;

use crate::conversation::Conversation;
use crate::cores::Core;
use crate::mesh::Mesh;
use crate::plan::Plan;
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
        let cluster = Cluster::new(plan.cores as u16, seed, Arc::new(plan.settings.clone()));
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

    pub fn mesh_messages_max(self, mesh_messages_max: usize) -> World {
        self.again(|plan| plan.mesh_messages_max = mesh_messages_max)
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
}

/// A machine that has just started.
fn machine(plan: &Plan, cluster: &Cluster, cores: &[Core]) -> Machine<Relay<Watch>> {
    Machine::new(plan.machine(), |core| {
        let counters = cores[core].counters.clone();
        let broker = Broker::new(CoreId(core as u16), cluster.clone(), counters);
        Relay { broker, protocols: Protocol::ALL.into(), beside: Watch::default() }
    })
}
