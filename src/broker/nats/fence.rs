//! PING: answered once everything its connection sent before has taken effect.
//!
//! Clients take the PONG for a promise: what they subscribed to is in force, what they published is
//! with whoever subscribed, and their own messages have come back before it. So the next commands
//! wait until this core has handed out what the connection published, and every other core has said
//! that it served what came before. Then the PONG goes behind what is queued for the connection.

use super::super::flush::Gather;
use super::super::letter::Request;
use super::super::queue::Place;
use super::super::session::{Paused, Phase, Session};
use super::super::subscriptions::{SubscriptionIndex, Subscriptions};
use super::super::{Action, Broker, ConnectionId};

/// A command that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Other cores that have not answered; `None` before they were asked.
    unanswered: Option<u16>,
    /// It is a PING, which wants a PONG.
    is_ping: bool,
    /// Its PONG waits for what is queued, and the next command for that.
    awaits_pong: bool,
}

impl Fence {
    fn new(is_ping: bool) -> Fence {
        Fence { unanswered: None, is_ping, awaits_pong: false }
    }

    /// Whether other cores were asked, if any have to be.
    pub fn was_asked(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether other cores have said all they have to.
    pub fn is_over(&self, pending_requests: u32) -> bool {
        self.unanswered == Some(0) && pending_requests == 0
    }
}

/// PONGs that may wait for what is queued before the next command waits as well: each holds a place
/// in every queue that is not empty.
const PONGS_MAX: usize = 4;

/// A PONG that waits until what was queued before it is on its way: for each subscription that had
/// something queued, its number and the place behind that.
#[derive(Debug)]
pub struct Pong(Vec<(SubscriptionIndex, u64, Place)>);

impl Pong {
    /// Subscriptions are sent in turn, each in its order: only their own places tell.
    fn is_due(&self, subscriptions: &Subscriptions) -> bool {
        self.0.iter().all(|(index, number, place)| {
            // One that is gone was sent everything before.
            let found = subscriptions.at(*index).filter(|found| found.number == *number);
            found.is_none_or(|found| found.queue.has_passed(*place))
        })
    }
}

impl Broker {
    /// PING.
    pub(super) fn begin_fence(&mut self, slot: u32) {
        self.sessions.get(slot).nats().fence = Some(Fence::new(true));
        self.fencing.push(slot);
    }

    /// The next command waits for the groups its connection has just joined, or for what it has just
    /// published.
    pub(super) fn begin_quiet_fence(&mut self, slot: u32) {
        self.sessions.get(slot).nats().fence = Some(Fence::new(false));
        self.fencing.push(slot);
    }

    /// The connection is closed when it was sent what follows from what it published.
    pub(super) fn begin_last_fence(&mut self, slot: u32) {
        self.sessions.get(slot).phase = Phase::Finishing;
        self.begin_quiet_fence(slot);
    }

    /// Asks the other cores, now that what was published before is on its way to them.
    pub(in crate::broker) fn ask_fences(&mut self) {
        for slot in std::mem::take(&mut self.fencing) {
            let Some((connection, session)) = self.sessions.find(slot) else { continue };
            // The slot may have another connection by now.
            let Some(nats) = &mut session.nats else { continue };
            let Some(fence @ Fence { unanswered: None, .. }) = &mut nats.fence else { continue };
            if session.phase == Phase::Closing {
                continue;
            }
            let asked = match nats.publishes_elsewhere || fence.is_ping {
                true => self.cluster.cores - 1,
                false => 0,
            };
            fence.unanswered = Some(asked);
            if asked > 0 {
                for core in self.others() {
                    self.outgoing[core].ask(Request::Fence { connection });
                }
            }
            self.pass_fence(slot);
            self.pause_for_fence(slot);
        }
    }

    fn pause_for_fence(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        if session.phase != Phase::Closing && session.is_fenced() {
            self.pause(slot, Paused::Fence);
        }
    }

    /// Another core has served what the connection sent before.
    pub(in crate::broker) fn fence_answered(&mut self, connection: ConnectionId) {
        // The connection may be gone by now.
        let Some(session) = self.sessions.find_id(connection) else { return };
        if session.phase == Phase::Closing {
            return;
        }
        if let Some(Fence { unanswered: Some(unanswered), .. }) = &mut session.nats().fence {
            *unanswered -= 1;
            self.pass_fence(connection.slot);
        }
    }

    /// Goes on with a connection if nothing is left to wait for.
    pub(super) fn pass_fence(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        let pending = session.pending_requests;
        let Some(Fence { unanswered: Some(0), is_ping, awaits_pong: false }) = session.nats().fence
        else {
            return;
        };
        if pending > 0 {
            return;
        }
        let nats = session.nats();
        nats.publishes_to_groups &= !(is_ping || nats.publishes_elsewhere);
        nats.publishes_elsewhere = false;
        if is_ping && !self.pong(slot) {
            return;
        }
        self.end_fence(slot);
    }

    /// The next command may come.
    pub(in crate::broker) fn end_fence(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        session.nats().fence = None;
        if session.paused == Some(Paused::Fence) {
            session.paused = None;
            let ended = session.ended;
            self.paused.retain(|paused| *paused != slot);
            if !ended {
                let connection = self.sessions.id(slot);
                self.actions.push(Action::Resume(connection));
            }
        }
        let session = self.sessions.get(slot);
        if session.phase == Phase::Finishing {
            self.finishing.push(slot);
        } else if session.paused.is_none() && !session.unparsed.is_empty() {
            self.leave_for_later(slot);
        } else {
            self.close_if_ended(slot);
        }
    }

    /// Nothing more reaches the peer: no PONG waits for what it will not be sent.
    pub(in crate::broker) fn forget_pongs(&mut self, slot: u32) {
        let nats = self.sessions.get(slot).nats();
        nats.pongs.clear();
        if nats.fence.is_some_and(|fence| fence.awaits_pong) {
            self.end_fence(slot);
        }
    }

    /// PONG, behind what is queued. Returns whether the next command may come: who counts answers
    /// gets them in the order of its commands.
    fn pong(&mut self, slot: u32) -> bool {
        let session = self.sessions.get(slot);
        let queued = session.to_send.iter().filter_map(|index| {
            let subscription = self.subscriptions.at(*index).expect("what is listed exists");
            let queue = &subscription.queue;
            (queue.messages() > 0).then(|| (*index, subscription.number, queue.end()))
        });
        let queued: Vec<_> = queued.collect();
        if queued.is_empty() || session.broken {
            self.answer(slot, |out| out.extend_from_slice(PONG));
            return true;
        }
        let nats = session.nats();
        nats.pongs.push_back(Pong(queued));
        let waits = nats.verbose || nats.pongs.len() >= PONGS_MAX;
        if let Some(fence) = &mut nats.fence {
            fence.awaits_pong = waits;
        }
        !waits
    }
}

const PONG: &[u8] = b"PONG\r\n";

impl Gather<'_> {
    /// The PONGs that waited for the messages of this send. Returns whether the next command waits
    /// for that.
    pub(in crate::broker) fn put_pongs(
        &mut self,
        session: &mut Session,
        subscriptions: &Subscriptions,
    ) -> bool {
        let Some(nats) = &mut session.nats else { return false };
        while let Some(pong) = nats.pongs.front()
            && (session.to_send.is_empty() || pong.is_due(subscriptions))
        {
            nats.pongs.pop_front();
            self.between.extend_from_slice(PONG);
        }
        self.put_between();
        nats.pongs.is_empty() && nats.fence.is_some_and(|fence| fence.awaits_pong)
    }
}
