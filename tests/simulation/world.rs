//! The world: cores, mesh, connections, clients and clocks, all driven by one seed.
//!
//! In a tick the clock, mesh messages, bytes, clients and cores make progress, each as far as
//! chance allows.

mod clients;
mod end;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::mesh::{DELIVERIES, REQUESTS};
use blipmq::broker::{Broker, Cluster, Now, Protocol};
use blipmq::config::{Secret, Settings};
use blipmq::limits::REPLAY_TOPICS_PER_TURN;
use blipmq::protocol::CoreId;
use executors::simulated::Machine;

use crate::conversation::Conversation;
use crate::cores::Core;
use crate::mesh::Mesh;
use crate::passwords::{Passwords, TOKEN_HASH};
use crate::plan::Plan;
use crate::random::Random;
use crate::receive::Circumstances;
use crate::relay::Relay;
use crate::silence::Patience;
use crate::truth::Truth;
use crate::watch::Watch;
use crate::wire::{ClientEnd, Phase, Wire};

/// Ticks without faults after which everything must be at rest. Many, because in a world of NATS
/// clients each gap is reported to each slow subscription to `>`.
const TICKS_TO_REST: u64 = 100_000;

/// Longer than any world lasts, so a stop that does not drain never ends.
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
    pub passwords: Passwords,
    /// All connections ever made, and what their clients know about them.
    pub wires: Vec<Wire>,
    pub conversations: Vec<Conversation>,
    pub truth: Truth,
    pub stopping: bool,
    /// Times that the broker paused a connection.
    pub pauses: u64,
    /// Times a connection found no receive buffer.
    pub starved: u64,
    /// Faults have ended: all clients read, and nothing is delayed.
    pub is_quiescing: bool,
    /// Each client has a `Record`, which `nats` checks, and there is no `truth`.
    pub keeps_records: bool,
    collects_seen: bool,
    /// Digest of every byte that clients were sent, see `digest_of`.
    pub digest: u64,
    /// The variable that sets the seed, for `log` and for the rerun line of a failure.
    seed_variable: &'static str,
    log: bool,
}

impl World {
    /// A world of one core for a scenario; the builder methods below change its plan.
    pub fn with_seed(seed: u64) -> World {
        let mut world = World::of(seed, Plan::default(), Random::with_seed(seed));
        world.collects_seen = true;
        world
    }

    /// The random world of a seed.
    pub fn random(seed: u64) -> World {
        let mut random = Random::with_seed(seed);
        let plan = Plan::random(&mut random);
        World::of(seed, plan, random)
    }

    /// The same, where clients need a token that is compared with a hash.
    pub fn random_with_hashes(seed: u64) -> World {
        let mut random = Random::with_seed(seed);
        let mut plan = Plan::random(&mut random);
        plan.settings.auth.token = Some(Secret::new(TOKEN_HASH));
        World::of(seed, plan, random)
    }

    fn of(seed: u64, plan: Plan, random: Random) -> World {
        let mut cluster = Cluster::new(plan.cores as u16, seed, Arc::new(plan.settings.clone()));
        cluster.replay_topics_per_turn = plan.replay_topics_per_turn;
        // Limit: the checker counts on one life of each topic; `process/topics.rs` has those that go.
        cluster.removes_idle_topics = false;
        cluster.ends_per_turn = plan.ends_per_turn;
        // Few slices as well, where replays look at few topics a turn.
        let unsent_max = cluster.replay_unsent_max;
        cluster.replay_unsent_max = match plan.replay_topics_per_turn {
            REPLAY_TOPICS_PER_TURN => unsent_max,
            few => few as u64,
        };
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
            passwords: Passwords::default(),
            plan,
            wires: Vec::new(),
            conversations: Vec::new(),
            truth: Truth::default(),
            stopping: false,
            pauses: 0,
            starved: 0,
            is_quiescing: false,
            keeps_records: false,
            collects_seen: false,
            digest: 0xcbf2_9ce4_8422_2325,
            seed_variable: "BLIPMQ_SEED",
            log: std::env::var_os("BLIPMQ_SEED").is_some(),
        }
    }

    /// A world whose clients have a `Record` each.
    pub fn of_records(seed: u64, plan: Plan, random: Random, seed_variable: &'static str) -> World {
        let mut world = World::of(seed, plan, random);
        world.keeps_records = true;
        world.seed_variable = seed_variable;
        world.log = std::env::var_os(seed_variable).is_some();
        world
    }

    fn rebuilt(self, change: impl FnOnce(&mut Plan)) -> World {
        assert!(self.wires.is_empty(), "a plan is changed before the first connection");
        let mut plan = self.plan;
        change(&mut plan);
        let mut world = World::of(self.seed, plan, self.random);
        world.collects_seen = true;
        world
    }

    pub fn cores(self, cores: usize) -> World {
        self.rebuilt(|plan| plan.cores = cores)
    }

    pub fn mesh_delay_ticks(self, ticks: RangeInclusive<u64>) -> World {
        self.rebuilt(|plan| plan.mesh_delay_ticks = ticks)
    }

    pub fn mesh_messages_max(self, mesh_messages_max: usize) -> World {
        self.rebuilt(|plan| plan.mesh_messages_max = mesh_messages_max)
    }

    pub fn replay_topics_per_turn(self, topics: usize) -> World {
        self.rebuilt(|plan| plan.replay_topics_per_turn = topics)
    }

    pub fn ends_per_turn(self, ends: usize) -> World {
        self.rebuilt(|plan| plan.ends_per_turn = ends)
    }

    pub fn settings(self, change: impl FnOnce(&mut Settings)) -> World {
        self.rebuilt(|plan| change(&mut plan.settings))
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.log {
            eprintln!("tick {} turn {}: {}", self.tick, self.turns, text());
        }
    }

    /// Adds what a connection is sent to the digest of this world. A refactoring of the broker must
    /// leave the digests of all seeds unchanged.
    pub fn digest_of(&mut self, wire: usize, bytes: &[u8]) {
        for byte in (wire as u32).to_le_bytes().iter().chain(bytes) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Panics because a promise is broken, and prints how to run the world again.
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

    /// One tick.
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
            if self.is_quiescing || self.random.chance(50) {
                self.machine.kernel().carry_out_accept_cancel(listener);
            }
        }
        for wire in 0..self.wires.len() {
            // A client reads what was sent even after the server has closed.
            let socket = &self.wires[wire];
            if socket.phase != Phase::Gone || !socket.downstream.is_empty() {
                self.network(wire);
                self.check_pause(wire);
            }
        }
        self.compare_passwords();
        let first = self.random.below(self.cores.len());
        for core in 0..self.cores.len() {
            let core = (first + core) % self.cores.len();
            if self.machine.cores()[core].is_awake()
                && (self.is_quiescing || self.random.chance(self.plan.turn_percent))
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

    /// Lets bytes of one connection make progress.
    fn network(&mut self, wire: usize) {
        self.wires[wire].network(&mut self.random, self.is_quiescing);
        let bytes = self.wires[wire].reading(&mut self.random);
        if let Some(record) = &mut self.wires[wire].record {
            record.unread.extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            let circumstances = Circumstances {
                stopping: self.stopping,
                admitted: self.wires[wire].admitted,
                patience: Patience::of(&self.plan.settings),
                collects_seen: self.collects_seen,
            };
            let conversation = &mut self.conversations[wire];
            let verdict = conversation.receive(&mut self.truth, circumstances, &bytes);
            conversation.answer(&mut self.wires[wire]);
            self.hold(verdict, wire);
        }
        let socket = &mut self.wires[wire];
        if socket.at_end() && socket.phase != Phase::Accepted && !socket.stalled {
            self.conversations[wire].at_end = true;
            if socket.client_end != ClientEnd::Closed {
                // The server has shut its half, so the client shuts its own.
                socket.client_end = ClientEnd::Closed;
                socket.upstream.clear();
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let mut cores = self.machine.cores().iter();
        self.mesh.is_empty() && cores.all(|core| !core.is_awake() && core.mesh_waiting() == 0)
    }

    /// Runs until everything is at rest. Stalled clients stay stalled.
    pub fn run_until_idle(&mut self) {
        let end = self.tick + TICKS_TO_REST;
        let mut at_rest = 0;
        // Completions arrive in `step` before the turns: one more tick shows that there were none.
        while at_rest < 2 {
            self.step();
            let wires_rest = self.wires.iter().all(|wire| {
                // A paused connection may stay paused; the caller judges that.
                let is_never_read = wire.broken || wire.client_end == ClientEnd::Closed;
                let is_read = wire.downstream.is_empty() || is_never_read;
                let waits = wire.paused && !wire.is_sending() && is_read;
                wire.stalled || waits || wire.is_quiet()
            });
            at_rest = if self.is_at_rest() && wires_rest { at_rest + 1 } else { 0 };
            if self.tick > end {
                self.fail(&format!("no rest in {TICKS_TO_REST} ticks: {}", self.describe_busy()));
            }
        }
    }

    /// Describes what keeps the world from coming to rest.
    fn describe_busy(&self) -> String {
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
                let wanted = [REQUESTS, DELIVERIES].map(|lane| broker.wants_message(lane));
                let waiting = (core.is_awake(), core.mesh_waiting());
                (waiting, wanted, broker.wants_input())
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
