//! What the owner of a queue lost, by reason.

use crate::broker::counters::Counters;

/// Which bound messages were dropped at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// That of their queue.
    #[default]
    Queue,
    /// That of all queues of their connection.
    Connection,
    /// That of the whole broker.
    Memory,
}

impl Cause {
    /// Counts messages that were queued before and dropped at the bound.
    pub fn count(self, messages: u64, counters: &Counters, lost: &mut Lost) {
        match self {
            Cause::Queue => {
                counters.dropped_oldest_messages.add(messages);
                lost.overflow_oldest += messages;
            }
            Cause::Connection => {
                counters.dropped_connection_full_messages.add(messages);
                lost.connection_full += messages;
            }
            Cause::Memory => {
                counters.reclaimed_messages.add(messages);
                lost.reclaimed += messages;
            }
        }
    }
}

/// Number of messages that the owner of a queue did not get, by reason.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Dropped by `drop_oldest`.
    pub overflow_oldest: u64,
    /// Not queued by `drop_new`.
    pub overflow_new: u64,
    /// Dropped because the queues of their connection together were full.
    pub connection_full: u64,
    /// Dropped because memory was short, and the owner held more than its fair share.
    pub reclaimed: u64,
    /// Replaced with newer ones by `latest`.
    pub conflated: u64,
    /// Expired: the time to live was over.
    pub expired: u64,
}

impl Lost {
    /// The sum over all reasons.
    pub fn messages(&self) -> u64 {
        self.overflow_oldest
            + self.overflow_new
            + self.connection_full
            + self.reclaimed
            + self.conflated
            + self.expired
    }
}
