//! The memory budget, kept: what is retained goes first, then what those hold who hold most.
//!
//! # Always true
//! - A turn evicts and reclaims so much at most; the rest follows in the next turns.

use crate::broker::mesh::Request;
use crate::broker::timers::Single;
use crate::broker::{Broker, Now};
use crate::limits::RECLAIMED_PER_TURN_MAX;

impl Broker {
    /// Keeps the memory budget, and tends topics that were idle for too long. Once per turn. Returns
    /// whether another turn has to follow for that.
    pub(super) fn tend_memory(&mut self, now: Now) -> bool {
        while let Some((connection, bytes)) = self.connections.next_touched() {
            self.delivery.connection_holds(connection, bytes);
        }
        self.delivery.count_memory();
        let memory = &self.cluster.memory;
        memory.note_leaving(self.core, self.delivery.is_sweeping());
        if self.timers.is_due(now, Single::Texts) || memory.is_nearly_full() {
            self.texts.clear(&mut self.timers);
        }
        // Before any is reclaimed, so that a shortage of one turn is seen.
        if self.give_back.is_due(now, &mut self.timers, memory, self.mesh.held_bytes()) {
            self.gives_back = true;
            // Each core can only give back what its own thread's heap has.
            for core in self.cluster.others(self.core) {
                self.mesh.ask(core, Request::GiveBack);
            }
        }
        self.shortage.look(now, &mut self.timers, memory);
        let has_more = memory.is_nearly_full() && self.reclaim(now);
        let memory = &self.cluster.memory;
        if memory.is_nearly_full() && memory.can_reclaim() && self.shortage.asks(now) {
            for core in self.cluster.others(self.core) {
                self.mesh.ask(core, Request::Evict);
            }
        }
        self.tend_topics(now);
        has_more
    }

    /// Another core gives back memory that nobody holds any more, and has this one do the same.
    pub(super) fn give_back_as_asked(&mut self, now: Now) {
        self.give_back.given(now, &self.cluster.memory);
        self.gives_back = true;
    }

    /// Returns whether more can be reclaimed in the next turn.
    pub(super) fn reclaim(&mut self, now: Now) -> bool {
        let (_, mut doors) = self.open_doors(now);
        if doors.evict() && self.cluster.memory.is_nearly_full() {
            return true;
        }
        // What others retain goes before what anybody's queue holds.
        if !self.cluster.memory.is_nearly_full() || self.cluster.memory.has_retained() {
            return false;
        }
        let mut left = RECLAIMED_PER_TURN_MAX;
        loop {
            let has_more = self.delivery.reclaim(now, &mut left);
            self.carry_out(now);
            if !has_more || left == 0 {
                return has_more;
            }
        }
    }
}
