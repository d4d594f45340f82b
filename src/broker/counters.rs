//! What each core counts. The core alone writes its counters; the metrics page reads them.
//!
//! # Always true
//! - One writer per counter, so a bump is a load and a store, not a locked instruction.
//! - Nothing here is ever reset: rates are the reader's business.

pub use super::counter::Counter;
use super::histogram::Histogram;
use crate::config::OverflowPolicy;

/// The counters of one core. Aligned so that two cores never write one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Messages that topics of this core gave a sequence.
    pub published_messages: Counter,
    /// Frame bytes of those.
    pub published_bytes: Counter,
    /// Messages put into queues of this core, once per subscription.
    pub enqueued_messages: Counter,
    /// Messages whose send the kernel has completed, once per connection.
    pub delivered_messages: Counter,
    /// Messages `drop_oldest` took from queues.
    pub dropped_oldest_messages: Counter,
    /// Messages `drop_new` kept out of queues.
    pub dropped_new_messages: Counter,
    /// Messages whose TTL ended before they were put into a queue, once per subscription.
    pub expired_before_enqueue_messages: Counter,
    /// Messages whose TTL ended in a queue, once per subscription.
    pub expired_in_queue_messages: Counter,
    /// Messages queued or being sent when their connection ended, or queued for a group of which no
    /// member may have them.
    pub dropped_disconnected_messages: Counter,
    /// Messages whose OPEN was refused.
    pub refused_messages: Counter,
    /// Portions of kept messages that gave way to the memory budget.
    pub evicted_portions: Counter,
    /// Publishes refused because the memory budget was used up, in messages.
    pub refused_for_memory_messages: Counter,
    /// Messages that gave way to newer ones under `latest`.
    pub conflated_messages: Counter,
    /// Times a subscription with `block` began to hold a topic's publishers up.
    pub publishers_blocked: Counter,
    /// Topics of this core whose publishers wait now.
    pub blocked_topics: Counter,
    /// Times a queue was full when messages came, by its policy, see [`Counters::overflows_of`].
    pub queue_overflows: [Counter; 5],
    /// Vectored sends handed to the kernel.
    pub flushes: Counter,
    /// Bytes of those.
    pub flushed_bytes: Counter,
    /// Errors sent to clients.
    pub errors_sent: Counter,
    /// Connections that did not prove who they are.
    pub logins_refused: Counter,
    /// Microseconds from a message's arrival to the end of the turn that handed it to the kernel, once
    /// per connection. Kept messages that somebody asked for are not in here.
    pub accept_to_send_us: Histogram,
    /// Messages of each vectored send.
    pub send_messages: Histogram,
    /// Bytes of each vectored send.
    pub send_bytes: Histogram,
    /// Requests that nobody listened to, and whose clients were notified of that.
    pub no_responders: Counter,
    /// Connections this core was given.
    pub connections_opened: Counter,
    /// Connections that ended.
    pub connections_closed: Counter,
    /// Of the first, by protocol, see [`Counters::opened_by`].
    opened_by_protocol: [Counter; PROTOCOLS_MAX],
    /// Of the second, likewise.
    closed_by_protocol: [Counter; PROTOCOLS_MAX],
    /// Subscriptions in force now.
    pub subscriptions: Counter,
    /// Topics this core owns now.
    pub topics: Counter,
    /// Letters sent to other cores.
    pub mesh_letters_sent: Counter,
    /// Times another core's channel was full.
    pub mesh_full: Counter,
}

/// Protocols there may be.
pub(super) const PROTOCOLS_MAX: usize = 8;

impl Counters {
    /// Connections of a protocol this core was given.
    pub fn opened_by(&self, protocol: usize) -> &Counter {
        &self.opened_by_protocol[protocol]
    }

    /// Connections of a protocol that ended.
    pub fn closed_by(&self, protocol: usize) -> &Counter {
        &self.closed_by_protocol[protocol]
    }

    /// Times a queue with this policy was full when messages came.
    pub fn overflows_of(&self, policy: OverflowPolicy) -> &Counter {
        &self.queue_overflows[policy as usize]
    }
}
