//! How a world comes to rest and ends, and what must hold then.

use blipmq::broker::counters::Counters;
use blipmq::limits::LOGIN_DELAY_MS_MAX;
use executors::launch::Stopped;

use super::{World, machine};
use crate::cores::Core;
use crate::owed;
use crate::promises;
use crate::wire::{ClientEnd, Phase, Wire};

/// How long publishers wait for memory at most, once nothing is delayed: much less than the time after
/// which they are refused.
const MEMORY_WAIT_MS: u64 = 20;

impl World {
    /// Ends all faults: all clients read, nothing is delayed, and everything must come to rest.
    pub fn quiesce(&mut self) {
        self.note(|| "faults end".to_string());
        self.is_quiescing = true;
        self.mesh.hurry();
        for wire in &mut self.wires {
            wire.stalled = false;
            wire.downstream_len_max = usize::MAX;
        }
        self.run_until_idle();
        if self.stopping {
            // A stop takes at most a millisecond per connection.
            self.advance_ms(self.wires.len() as u64);
            self.run_until_idle();
        }
        // The refusal of a wrong login is held back.
        if self.plan.settings.auth.token.is_some() {
            self.advance_ms(LOGIN_DELAY_MS_MAX);
            self.run_until_idle();
        }
        // A core whose publishers wait for memory asks the others for it once per millisecond.
        for _ in 0..MEMORY_WAIT_MS {
            if self.wires.iter().any(|wire| wire.paused && wire.client_end == ClientEnd::No) {
                self.advance_ms(1);
                self.run_until_idle();
            }
        }
        // A client that vanished while it was paused is detected only after `block_timeout`.
        for _ in 0..self.wires.len() {
            let vanished = |wire: &Wire| wire.broken || wire.client_end == ClientEnd::Closed;
            let zombie = |wire: &Wire| wire.paused && vanished(wire);
            if self.wires.iter().any(zombie) {
                self.advance_ms(u64::from(self.plan.settings.queues.block_timeout_ms));
                self.run_until_idle();
            }
        }
        if self.wires.iter().any(|wire| wire.paused || !wire.is_quiet()) {
            self.fail(&format!("everything sleeps, but work is left: {}", self.describe_busy()));
        }
    }

    /// Ends a world: faults end, every promise is checked, and clients leave.
    pub fn end(&mut self) {
        self.quiesce();
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
            self.quiesce();
            self.check_promises();
        }
        self.check_end();
    }

    /// Checks that all connections are gone and nothing is left of them.
    pub fn check_end(&mut self) {
        for (core, of_core) in self.machine.cores().iter().enumerate() {
            if self.stopping && of_core.stopped() != Some(Stopped::Drained) {
                self.fail(&format!("core {core} does not stop"));
            }
        }
        for (number, wire) in self.wires.iter().enumerate() {
            if wire.phase != Phase::Gone {
                self.fail(&format!("connection {number} does not end: it is {:?}", wire.phase));
            }
            let conversation = &self.conversations[number];
            let expected = conversation.fatal_expected;
            // A stop leaves input unread, including what would have been refused.
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

    /// Checks that without connections only logs hold memory, and nothing once all topics are idle.
    fn check_memory(&mut self) {
        if self.stopping {
            return self.check_nothing_outlives_the_brokers();
        }
        for idle in [false, true] {
            if idle {
                self.advance_ms(u64::from(self.plan.settings.queues.topic_idle_timeout_ms));
            } else if self.keeps_records {
                // Until the bookkeeping of what NATS clients were sent has expired.
                self.advance_ms(1_000);
            }
            for core in 0..self.cores.len() {
                self.machine.wake_handle().wake(core);
            }
            self.run_until_idle();
            let held = self.cluster.memory.held();
            let (mut slices, mut retained) = (0, 0);
            for core in 0..self.cores.len() {
                let (more_slices, bytes) = self.broker(core).retained();
                slices += more_slices;
                retained += bytes;
            }
            // Batches may have unused capacity, up to half of what is used, or 1 KiB.
            let unused_max = retained / 2 + 1_024 * slices;
            if !(retained..=retained + unused_max).contains(&held) || (idle && held != 0) {
                self.fail(&format!(
                    "{held} bytes are held, {retained} retained; topics are idle: {idle}"
                ));
            }
        }
    }

    /// Checks that the brokers hold all memory: dropping them frees everything. Stopped cores take
    /// no turn in which a topic could become idle.
    fn check_nothing_outlives_the_brokers(&mut self) {
        self.machine = machine(&self.plan, &self.cluster, &self.cores);
        let held = self.cluster.memory.held();
        if held != 0 {
            self.fail(&format!("{held} bytes outlive the brokers"));
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
        let reported: u64 = self.conversations.iter().map(|one| one.refused_for_memory).sum();
        let refusals = match reported > refused {
            true => Err(format!("{reported} frames were refused for memory, {refused} counted")),
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
