//! Polls: what the owner of a topic asks other cores about requests, to know which of them nobody
//! listens to.
//!
//! Begun by `turn` when a batch with requests goes to other cores; answered by each of those cores, and
//! by this one, with how many messages of the batch reached somebody. Next on the path: the answer "no
//! responders", on the core of the requester.
//!
//! # Always true
//! - A subscription that takes only some messages of a batch takes the first of them, so one number
//!   says which messages reached somebody.
//! - A fence waits for all polls that were begun before it: the answers to requests come first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::broker::ids::ConnectionId;
use crate::broker::message::{Requester, TopicName, Unheard};
use crate::protocol::CoreId;

/// A poll that not all cores have answered.
#[derive(Debug)]
struct Poll {
    /// The core of the requesters.
    of: CoreId,
    topic: Arc<TopicName>,
    requests: Vec<Requester>,
    unanswered: u16,
    /// The first messages of the batch, which reached somebody.
    heard: u32,
}

/// The polls of one core.
#[derive(Debug, Default)]
pub struct Polls {
    /// The number of the last poll.
    last: u64,
    open: BTreeMap<u64, Poll>,
    /// Fences that wait for polls up to a number, in the order in which they came.
    fences: VecDeque<(u64, CoreId, ConnectionId)>,
}

impl Polls {
    /// Begins a poll among so many cores. Returns the number that they answer under.
    pub fn begin(
        &mut self,
        of: CoreId,
        topic: Arc<TopicName>,
        requests: Vec<Requester>,
        cores: u16,
    ) -> u64 {
        self.last += 1;
        self.open.insert(self.last, Poll { of, topic, requests, unanswered: cores, heard: 0 });
        self.last
    }

    /// Takes the answer of one core: so many messages of the batch reached somebody there. Returns the
    /// requests that reached nobody, with the core of their publishers, once all cores have answered.
    pub fn answer(&mut self, number: u64, heard: u32) -> Option<(CoreId, Vec<Unheard>)> {
        let poll = self.open.get_mut(&number).expect("each core answers a poll once");
        poll.heard = poll.heard.max(heard);
        poll.unanswered -= 1;
        if poll.unanswered > 0 {
            return None;
        }
        let poll = self.open.remove(&number)?;
        Some((poll.of, unheard(&poll.topic, poll.requests, poll.heard)))
    }

    /// Makes the fence of a connection of some core wait for the polls under way; returns whether there
    /// are any.
    pub fn defer_fence(&mut self, core: CoreId, connection: ConnectionId) -> bool {
        let waits = !self.open.is_empty();
        if waits {
            self.fences.push_back((self.last, core, connection));
        }
        waits
    }

    /// Takes the next fence that no poll holds up any more.
    pub fn take_fence(&mut self) -> Option<(CoreId, ConnectionId)> {
        let (last, core, connection) = *self.fences.front()?;
        let is_free = self.open.first_key_value().is_none_or(|(first, _)| *first > last);
        if is_free {
            self.fences.pop_front();
        }
        is_free.then_some((core, connection))
    }
}

/// The requests of a batch that reached nobody, if its first messages up to `heard` reached somebody.
pub fn unheard(topic: &TopicName, requests: Vec<Requester>, heard: u32) -> Vec<Unheard> {
    let rest = requests.into_iter().filter(|requester| requester.message >= heard);
    rest.map(|requester| Unheard { topic: topic.name.clone(), requester }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::ids::Slot;
    use crate::broker::message::tests::named;

    const CORE: CoreId = CoreId(3);
    const CONNECTION: ConnectionId = ConnectionId { slot: Slot(1), generation: 1 };

    fn begin(polls: &mut Polls, messages: u32, cores: u16) -> u64 {
        let requester = |message| Requester { connection: CONNECTION, reply: "r".into(), message };
        polls.begin(CORE, named(1), (0..messages).map(requester).collect(), cores)
    }

    #[test]
    fn a_request_is_unheard_if_every_core_says_so() {
        let mut polls = Polls::default();
        let number = begin(&mut polls, 4, 3);
        assert!(polls.answer(number, 1).is_none());
        assert!(polls.answer(number, 3).is_none());
        let (core, unheard) = polls.answer(number, 0).expect("all have answered");
        assert_eq!((core, unheard.len()), (CORE, 1));
        assert_eq!(unheard[0].requester.message, 3);
    }

    #[test]
    fn a_fence_waits_for_polls_begun_before_it_and_for_no_others() {
        let mut polls = Polls::default();
        assert!(!polls.defer_fence(CORE, CONNECTION));
        let first = begin(&mut polls, 1, 1);
        let second = begin(&mut polls, 1, 1);
        assert!(polls.defer_fence(CORE, CONNECTION));
        let third = begin(&mut polls, 1, 1);
        assert!(polls.answer(second, 1).is_some());
        assert_eq!(polls.take_fence(), None);
        assert!(polls.answer(first, 1).is_some());
        assert_eq!(polls.take_fence(), Some((CORE, CONNECTION)));
        assert_eq!(polls.take_fence(), None);
        assert!(polls.answer(third, 1).is_some());
    }
}
