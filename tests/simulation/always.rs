//! What is always true of a world, looked at as it moves on.

use std::collections::BTreeSet;

use blipmq::broker::mesh::{DELIVERIES, REQUESTS};

use crate::plan::Plan;
use crate::wire::Phase;
use crate::world::World;

/// More than a client of the simulator has.
const SUBSCRIPTIONS_MAX: usize = 64;

impl World {
    /// A connection that the broker has paused is not received on. A core that sleeps has submitted its
    /// cancel.
    pub fn check_pause(&self, wire: usize) {
        let socket = &self.wires[wire];
        let has_asked = !self.machine.cores()[socket.core].is_awake();
        if has_asked && socket.phase == Phase::Open && socket.is_read_though_paused() {
            self.fail(&format!("connection {wire} is received on though the broker has paused it"));
        }
    }

    /// No turn takes more steps for what clients can make many of than it may.
    pub fn check_work(&self, core: usize) {
        let work = self.broker(core).work();
        let Plan { ends_per_turn, repeats_per_turn, replay_topics_per_turn, .. } = self.plan;
        // What other cores sent and what this core brought may each pass the bound by one slice.
        let repeats_max = repeats_per_turn + 2 * SUBSCRIPTIONS_MAX;
        if work.ends > ends_per_turn || work.replay_topics > replay_topics_per_turn {
            self.fail(&format!("core {core} did too much in a turn: {work:?}"));
        }
        if work.repeats > repeats_max {
            self.fail(&format!("core {core} did too much in a turn: {work:?}"));
        }
    }

    /// A core does not fall asleep over mesh messages that it wants: a deadline may be long in coming.
    pub fn check_sleep(&self, core: usize) {
        let of_core = &self.machine.cores()[core];
        let wants = |lane| self.broker(core).wants_message(lane);
        let waiting = of_core.mesh_waiting();
        if waiting > 0 && !of_core.is_awake() && wants(REQUESTS) && wants(DELIVERIES) {
            self.fail(&format!("core {core} sleeps over {waiting} mesh messages"));
        }
    }

    /// While nothing is under way, publishers to a topic wait on every core if a subscription on any
    /// core wants them to, and on none otherwise.
    pub fn check_blocks(&self) {
        let cores = 0..self.cores.len();
        let blocks: Vec<_> = cores.clone().map(|core| self.broker(core).blocks()).collect();
        let wanted: BTreeSet<_> = blocks.iter().flat_map(|(_, wanted)| wanted).copied().collect();
        if let Some(core) = cores.into_iter().find(|core| blocks[*core].0 != wanted) {
            let waiting = &blocks[core].0;
            self.fail(&format!(
                "publishers to {wanted:?} have to wait, on core {core} those to {waiting:?} do"
            ));
        }
    }
}
