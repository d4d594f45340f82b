//! PING: answered once everything its connection sent before has taken effect.
//!
//! Clients take the PONG for a promise: what they subscribed to is active, what they published is with
//! its subscribers, and their own messages have come back before it. So the next commands wait until
//! this core has handed out what the connection published, and every other core has said that it
//! served what came before. What comes back through a group takes a way over three cores: from the owner
//! of the subject to the coordinator of the group, and from there to the member. The fence of a member
//! takes the same way, behind its messages. Then the PONG goes behind what is queued for the connection.

use super::{Client, Doors, Send, Shared};
use crate::broker::cluster::CoreSet;
use crate::broker::connections::{Hold, Phase};
use crate::broker::delivery::Mark;
use crate::broker::ids::Slot;
use crate::broker::mesh::{Delivery, Request};

/// A command that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    /// Answers that have not come; `None` before other cores were asked.
    unanswered: Option<u32>,
    /// It is a PING, which wants a PONG.
    is_ping: bool,
    /// Its PONG waits for what is queued, and the next command for that.
    awaits_pong: bool,
}

impl Fence {
    /// Whether other cores were asked, if any have to be.
    pub(super) fn was_asked(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether other cores have said all they have to.
    pub(super) fn is_over(&self, pending: u32) -> bool {
        self.unanswered == Some(0) && pending == 0
    }
}

/// PONGs that may wait for what is queued before the next command waits as well: each holds a place
/// in every queue that is not empty.
const PONGS_MAX: usize = 4;

/// A PONG that waits until what was queued before it is on its way.
#[derive(Debug)]
pub(super) struct Pong(Mark);

const PONG: &[u8] = b"PONG\r\n";

impl Client {
    /// The next command waits until what was sent before has taken effect; with `is_ping` a PONG says
    /// that it has.
    pub(super) fn begin_fence(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        is_ping: bool,
    ) {
        self.fence = Some(Fence { unanswered: None, is_ping, awaits_pong: false });
        doors.connections.get(slot).fence();
        shared.fencing.push(slot);
    }

    /// Asks the other cores, now that what was published before is on its way to them.
    pub(super) fn ask_fence(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        let Some(fence @ Fence { unanswered: None, .. }) = &mut self.fence else { return };
        if doors.connections.at(slot).phase() == Phase::Closing {
            return;
        }
        let connection = doors.connections.id(slot);
        let mut unanswered = u32::from(doors.polls.defer_fence(doors.core, connection));
        if self.publishes_elsewhere || fence.is_ping {
            let mut through = CoreSet::default();
            if self.publishes_to_groups {
                through = self.coordinators;
                through.remove(doors.core);
            }
            for core in doors.cluster.others(doors.core) {
                doors.mesh.ask(core, Request::Fence { connection, through });
            }
            for core in through.iter() {
                doors.mesh.deliver(core, Delivery::PassFence { core: doors.core, connection });
            }
            // Each of the others answers, and each of these once for each of the others.
            unanswered += u32::from(doors.cluster.cores - 1) * (1 + u32::from(through.len()));
        }
        fence.unanswered = Some(unanswered);
        self.pass_fence(shared, doors, slot);
        let connection = doors.connections.at(slot);
        if connection.phase() != Phase::Closing && connection.is_fenced() {
            doors.connections.hold(slot, Hold::Fence);
        }
    }

    /// Another core has served what the connection sent before.
    pub(super) fn fence_answered(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
    ) {
        if doors.connections.at(slot).phase() == Phase::Closing {
            return;
        }
        if let Some(Fence { unanswered: Some(unanswered), .. }) = &mut self.fence {
            *unanswered -= 1;
            self.pass_fence(shared, doors, slot);
        }
    }

    /// Goes on with a connection if nothing is left to wait for.
    pub(super) fn pass_fence(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        let Some(Fence { unanswered: Some(0), is_ping, awaits_pong: false }) = self.fence else {
            return;
        };
        if doors.connections.at(slot).pending() > 0 {
            return;
        }
        self.publishes_to_groups &= !(is_ping || self.publishes_elsewhere);
        self.publishes_elsewhere = false;
        if is_ping && !self.pong(doors, slot) {
            return;
        }
        self.end_fence(shared, doors, slot);
    }

    /// The next command may come.
    pub(super) fn end_fence(&mut self, _: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.fence = None;
        doors.connections.release_fence(slot);
        match doors.connections.at(slot).phase() {
            Phase::Finishing => doors.connections.note_finishing(slot),
            _ => doors.close_if_ended(slot),
        }
    }

    /// Nothing more reaches the peer: no PONG waits for what it will not be sent.
    pub(super) fn forget_pongs(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.pongs.clear();
        if self.fence.is_some_and(|fence| fence.awaits_pong) {
            self.end_fence(shared, doors, slot);
        }
    }

    /// PONG, behind what is queued. Returns whether the next command may come: a client that counts
    /// answers gets them in the order of its commands.
    fn pong(&mut self, doors: &mut Doors<'_>, slot: Slot) -> bool {
        let is_broken = doors.connections.at(slot).is_broken();
        let Some(mark) = doors.delivery.mark(slot).filter(|_| !is_broken) else {
            doors.answer(slot, |out| out.extend_from_slice(PONG));
            return true;
        };
        self.pongs.push_back(Pong(mark));
        let waits = self.options.verbose || self.pongs.len() >= PONGS_MAX;
        if let Some(fence) = &mut self.fence {
            fence.awaits_pong = waits;
        }
        !waits
    }

    /// The PONGs that waited for the messages of this send. Returns whether the next command waits
    /// for that.
    pub(super) fn put_pongs(&mut self, doors: &Doors<'_>, slot: Slot, send: &mut Send<'_>) -> bool {
        while let Some(Pong(mark)) = self.pongs.front()
            && (!doors.delivery.has_queued(slot) || doors.delivery.has_passed(mark))
        {
            self.pongs.pop_front();
            send.between.extend_from_slice(PONG);
        }
        self.pongs.is_empty() && self.fence.is_some_and(|fence| fence.awaits_pong)
    }
}
