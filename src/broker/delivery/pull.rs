//! What a connection is sent next: slices and gaps of its subscriptions, in turn.
//!
//! Called by `frontends` once per turn for each connection that has something to send and a free
//! socket. A frontend pulls until nothing more comes, encodes each piece, and finishes the pull.
//!
//! # Always true
//! - Retained messages come before live ones, and a gap before any message behind what is missing.
//! - A message that has expired is not handed out; a gap says so in its place.

use super::Delivery;
use super::queue::{Entry, Place, Size};
use super::subscription::{State, Subscription};
use super::subscriptions::SubscriptionIndex;
use crate::broker::clock::Now;
use crate::broker::ids::Slot;
use crate::broker::message::{Gap, Slice};
use crate::limits::INGEST_BYTES_PER_TURN;
use crate::protocol::GapReason;

/// Subscriptions of a connection that [`Delivery::is_pressed`] looks at.
const PRESSED_LOOKS: usize = 16;

/// What a send still has room for.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Bytes.
    pub bytes: usize,
    /// It takes nothing more.
    pub is_full: bool,
    /// It has no message yet: a frame larger than the room is cut off and sent alone.
    pub is_empty: bool,
}

/// A piece of a send.
#[derive(Debug)]
pub enum Pulled {
    /// Messages.
    Slice {
        /// Of this subscription.
        index: SubscriptionIndex,
        /// The messages.
        slice: Slice,
        /// They were retained before the subscription asked for them.
        is_replay: bool,
    },
    /// Messages that are missing here.
    Gap {
        /// From this subscription.
        index: SubscriptionIndex,
        /// The gap.
        gap: Gap,
    },
    /// A subscription that was ended has nothing left.
    End {
        /// The subscription; freed when the pull is finished.
        index: SubscriptionIndex,
    },
}

/// A send under way.
#[derive(Debug)]
pub struct Pull {
    slot: Slot,
    /// Every slice is copied on its way out, so that little is to be taken when memory is short.
    copies: bool,
    current: Option<Current>,
    /// Subscriptions that publishers or groups wait for, with what was taken from them.
    served: Vec<(SubscriptionIndex, u32, u64)>,
    /// Subscriptions that have ended and were sent everything.
    done: Vec<SubscriptionIndex>,
}

/// The subscription that is pulled from, as it was before.
#[derive(Debug, Clone, Copy)]
struct Current {
    index: SubscriptionIndex,
    size: Size,
    messages: u64,
    replays: bool,
}

/// Why no more of a subscription goes into a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HowFar {
    /// The send has no room left.
    SendFull,
    /// The retained messages it asked for are in.
    Replayed,
    /// It has nothing left.
    Emptied,
}

impl Pull {
    /// Begins a send. `copies` says that the frontend copies every slice.
    pub fn new(slot: Slot, copies: bool) -> Pull {
        Pull { slot, copies, current: None, served: Vec::new(), done: Vec::new() }
    }
}

/// The queues of a connection as they were at some time, see [`Delivery::mark`].
#[derive(Debug)]
pub struct Mark(Vec<(SubscriptionIndex, u64, Place)>);

impl Delivery {
    /// Whether a connection has anything queued.
    pub fn has_queued(&self, slot: Slot) -> bool {
        self.outlets.has_to_send(slot)
    }

    /// Whether the next turn's messages might not fit into a queue of a connection. Queues that fill up
    /// are soon the first in turn.
    pub fn is_pressed(&self, slot: Slot) -> bool {
        // A turn brings so many from connections, and as many from the mesh.
        let (messages, bytes) =
            (2 * u64::from(self.turn_messages_max), 2 * INGEST_BYTES_PER_TURN as u64);
        self.queued_of(slot).take(PRESSED_LOOKS).any(|subscription| {
            let (queue, bounds) = (&subscription.queue, subscription.bounds);
            queue.messages() > 0
                && (queue.messages() + messages > u64::from(bounds.messages_max)
                    || queue.bytes() + bytes > bounds.bytes_max)
        })
    }

    /// The subscriptions of a connection with something to send, in turn.
    pub fn queued_of(&self, slot: Slot) -> impl Iterator<Item = &Subscription> {
        self.outlets.to_send(slot).filter_map(|index| self.subscriptions.at(index))
    }

    /// Marks the ends of what is queued for a connection now; nothing if no message is.
    pub fn mark(&self, slot: Slot) -> Option<Mark> {
        let queued = self.outlets.to_send(slot).filter_map(|index| {
            let subscription = self.get(index);
            let queue = &subscription.queue;
            (queue.messages() > 0).then(|| (index, subscription.number, queue.end()))
        });
        let queued: Vec<_> = queued.collect();
        (!queued.is_empty()).then_some(Mark(queued))
    }

    /// Whether everything before a mark was handed out. Subscriptions are sent in turn, each in its
    /// order: only their own places tell.
    pub fn has_passed(&self, mark: &Mark) -> bool {
        mark.0.iter().all(|(index, number, place)| {
            // One that is gone was sent everything before.
            let found = self.at(*index).filter(|found| found.number == *number);
            found.is_none_or(|found| found.queue.has_passed(*place))
        })
    }

    /// The next piece of a send; nothing if there is no more, or no more room.
    #[inline]
    pub fn pull(&mut self, now: Now, pull: &mut Pull, room: Room) -> Option<Pulled> {
        loop {
            let current = pull.current.or_else(|| self.begin(pull))?;
            let Current { index, replays, .. } = current;
            let subscription = self.subscriptions.get(index);
            if replays && !subscription.queue.has_replay() {
                if self.leave(pull, current, HowFar::Replayed) {
                    return Some(Pulled::End { index });
                }
                continue;
            }
            if room.is_full && !subscription.queue.is_empty() {
                self.leave(pull, current, HowFar::SendFull);
                return None;
            }
            // What is copied is taken frame by frame when no memory is left.
            let is_copied = pull.copies
                || subscription.queue.replay_bytes() > 0
                || subscription.group.is_some();
            let bytes_max = match is_copied && self.cluster.memory.is_full() {
                true => 0,
                false => room.bytes,
            };
            match subscription.queue.take_next(room.messages, bytes_max, room.is_empty) {
                None if subscription.queue.is_empty() => {
                    if self.leave(pull, current, HowFar::Emptied) {
                        return Some(Pulled::End { index });
                    }
                }
                None => {
                    self.leave(pull, current, HowFar::SendFull);
                    return None;
                }
                Some(Entry::Slice(slice)) if slice.is_expired(now) => {
                    let messages = u64::from(slice.messages);
                    self.counters.expired_in_queue_messages.add(messages);
                    subscription.lost.expired += messages;
                    self.note_lost(pull.slot, messages);
                    return Some(Pulled::Gap { index, gap: slice.gap(GapReason::Expired) });
                }
                Some(Entry::Gap(gap)) => return Some(Pulled::Gap { index, gap }),
                Some(Entry::Slice(slice)) => {
                    subscription.delivered_messages += u64::from(slice.messages);
                    return Some(Pulled::Slice { index, slice, is_replay: replays });
                }
            }
        }
    }

    /// Begins with the subscription whose turn it is.
    fn begin(&mut self, pull: &mut Pull) -> Option<Current> {
        let index = self.outlets.first_to_send(pull.slot)?;
        let queue = &self.subscriptions.get(index).queue;
        let current = Current {
            index,
            size: queue.size(),
            messages: queue.messages(),
            replays: queue.has_replay(),
        };
        pull.current = Some(current);
        pull.current
    }

    /// No more of a subscription goes into this send. Returns whether its client is owed its end.
    fn leave(&mut self, pull: &mut Pull, current: Current, how_far: HowFar) -> bool {
        pull.current = None;
        let index = current.index;
        let subscription = self.subscriptions.get(index);
        let took = current.messages - subscription.queue.messages();
        let took_bytes = current.size.bytes - subscription.queue.bytes();
        if subscription.blocking.is_some() || (subscription.group.is_some() && took > 0) {
            pull.served.push((index, took as u32, took_bytes));
        }
        if current.replays && !subscription.queue.has_replay() {
            self.end_replay(index);
        }
        let subscription = self.subscriptions.get(index);
        let state = subscription.state;
        let (is_empty, has_replay) =
            (subscription.queue.is_empty(), subscription.queue.has_replay());
        self.resized(index, current.size);
        if how_far == HowFar::Replayed && !is_empty {
            // What is live has its place behind what others were given before.
            self.list_by_rank(index);
        } else if how_far != HowFar::SendFull {
            self.outlets.unlist(index, self.subscriptions.get(index));
            if matches!(state, State::Ending | State::Closing) {
                pull.done.push(index);
            }
            return state == State::Ending;
        } else if state == State::Active && !has_replay {
            // One that ends or has retained messages keeps its turn, the others take turns.
            self.list_by_rank(index);
        }
        false
    }

    /// The send is made: makes room for others, and frees subscriptions that were sent everything.
    pub fn finish_pull(&mut self, pull: Pull) {
        for (index, took, took_bytes) in pull.served {
            self.unblock_if_half_empty(index);
            self.took(index, took, took_bytes);
        }
        self.unblock_connection(pull.slot);
        for index in pull.done {
            self.forget(index);
        }
    }
}
