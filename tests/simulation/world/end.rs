//! How a world comes to rest and ends, and what must hold then.

use blipmq::broker::counters::Counters;
use executors::launch::Stopped;

use super::{World, machine};
use crate::cores::Core;
use crate::owed;
use crate::promises;
use crate::wire::{ClientEnd, Phase, Wire};

impl World {
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
