//! The stop: what was accepted is delivered, on all cores, before connections are closed.
//!
//! Each core stops taking input, hands out what it has, and says so to the others (*requests
//! drained*). When all others have said so, nothing is published any more, and it says that too
//! (*deliveries drained*). When all have, nothing is fanned out any more, and groups deal what they
//! have left; when members have sent all of it and none can come back (*groups drained*),
//! everywhere, it is quiet: each connection is closed once it has been sent everything.

use super::letter::{Delivery, Request};
use super::session::Phase;
use super::{Action, Broker, Outgoing};
use crate::protocol::{Reject, encode};

/// How far the stop is.
#[derive(Debug, Default)]
pub struct Drain {
    begun: bool,
    said_requests: bool,
    said_deliveries: bool,
    /// Other cores that send no more requests.
    pub requests_drained: u16,
    /// Other cores that send no more deliveries.
    pub deliveries_drained: u16,
    said_groups: bool,
    /// Other cores whose groups have dealt all they had.
    pub groups_drained: u16,
    quiet: bool,
}

impl Drain {
    /// Whether the stop has begun: nothing is taken in any more.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether nothing can be queued any more.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl Broker {
    /// Begins the stop: clients are told, and their input is not read any more.
    pub fn stop(&mut self) {
        self.drain.begun = true;
        self.backlog.clear();
        // They are read again, though nothing is served: that shows when a client has gone.
        for slot in std::mem::take(&mut self.paused) {
            let Some((connection, session)) = self.sessions.find(slot) else { continue };
            if session.paused.is_some() && session.phase != Phase::Closing && !session.ended {
                self.actions.push(Action::Resume(connection));
            }
        }
        for slot in self.sessions.slots_in_use() {
            let session = self.sessions.get(slot);
            session.in_backlog = false;
            session.paused = None;
            session.unparsed.clear();
            if let Some(nats) = &mut session.nats {
                nats.fence = None;
            }
            match session.phase {
                Phase::Open if session.nats.is_some() => self.tell_info(slot, true),
                Phase::AwaitHello => self.reject(slot, &Reject::Stopping),
                Phase::Open => self.answer(slot, |out| {
                    encode::goodbye(out, "the server is stopping: reconnect later or elsewhere");
                }),
                Phase::Finishing | Phase::Closing => {}
            }
            self.close_if_ended(slot);
        }
    }

    /// Whether everything was delivered and told. Connections may still be closing.
    pub fn is_stopped(&self) -> bool {
        self.drain.quiet && self.outgoing.iter().all(Outgoing::is_empty)
    }

    /// Takes the next step of the stop, if it is due.
    pub(super) fn drain_on(&mut self) {
        if !self.drain.begun || self.drain.quiet {
            return;
        }
        let others = self.cluster.cores - 1;
        if !self.drain.said_requests {
            self.drain.said_requests = true;
            for core in self.others() {
                self.outgoing[core].ask(Request::Drained);
            }
        }
        if !self.drain.said_deliveries && self.drain.requests_drained == others {
            self.drain.said_deliveries = true;
            for core in self.others() {
                self.outgoing[core].deliver(Delivery::Drained);
            }
        }
        let no_more_comes = self.drain.said_deliveries && self.drain.deliveries_drained == others;
        if !self.drain.said_groups && no_more_comes && self.groups.are_empty() {
            self.drain.said_groups = true;
            for core in self.others() {
                self.outgoing[core].deliver(Delivery::GroupsDrained);
            }
        }
        if self.drain.said_groups && self.drain.groups_drained == others {
            self.drain.quiet = true;
            for slot in self.sessions.slots_in_use() {
                self.finish_if_empty(slot);
            }
        }
    }
}
