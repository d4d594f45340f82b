//! The counters of each core. Only the core writes its counters; the admin pages read them.
//!
//! # Always true
//! - Each counter has one writer, so an increment is a load and a store, not a locked instruction.
//! - Counters are never reset: readers compute rates.

pub use super::counter::Counter;
use super::histogram::Histogram;
use crate::config::OverflowPolicy;

/// The counters of one core. Aligned so that two cores never write one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Messages that topics of this core gave a sequence.
    pub published_messages: Counter,
    /// Frame bytes of those messages.
    pub published_bytes: Counter,
    /// Messages put into queues of this core, once per subscription.
    pub enqueued_messages: Counter,
    /// Messages whose send the kernel has completed, once per connection.
    pub delivered_messages: Counter,
    /// Messages that `drop_oldest` dropped from queues.
    pub dropped_oldest_messages: Counter,
    /// Messages that `drop_new` did not queue.
    pub dropped_new_messages: Counter,
    /// Messages dropped because the queues of their connection together were full.
    pub dropped_connection_full_messages: Counter,
    /// Messages dropped because memory was short, from the queues of those who held most.
    pub reclaimed_messages: Counter,
    /// Connections closed because memory was short and they held most.
    pub reclaimed_connections: Counter,
    /// Messages whose TTL ended before they were put into a queue, once per subscription.
    pub expired_before_enqueue_messages: Counter,
    /// Messages whose TTL ended in a queue, once per subscription.
    pub expired_in_queue_messages: Counter,
    /// Messages queued or being sent when their connection ended, or queued for a group in which no
    /// member may receive them.
    pub dropped_disconnected_messages: Counter,
    /// Messages refused because the OPEN of their topic was refused or the topic removed; and messages of
    /// topics that are not legal, once for each subscription whose protocol cannot name these.
    pub refused_messages: Counter,
    /// Slices of retained messages that were evicted under memory pressure.
    pub evicted_slices: Counter,
    /// Messages refused because the memory budget was used up.
    pub refused_for_memory_messages: Counter,
    /// Messages that `latest` replaced with newer ones.
    pub conflated_messages: Counter,
    /// Times that the first `block` subscription of this core began to block a topic.
    pub publishers_blocked: Counter,
    /// Topics of this core whose publishers wait now.
    pub blocked_topics: Counter,
    /// Times that messages found a queue full, by policy, see [`Counters::overflows_of`].
    pub queue_overflows: [Counter; 5],
    /// Vectored sends handed to the kernel.
    pub flushes: Counter,
    /// Bytes of those sends.
    pub flushed_bytes: Counter,
    /// Times that input of a connection was left for a later turn because the connection had had its
    /// share of the turn.
    pub input_deferred: Counter,
    /// Times that a connection was not read because it had published faster than it may.
    pub rate_limited: Counter,
    /// Connections that were closed because their peers took nothing for too long.
    pub send_timeouts: Counter,
    /// Connections that were closed because their clients did not answer.
    pub stale_connections: Counter,
    /// Errors sent to clients.
    pub errors_sent: Counter,
    /// Connections that failed to authenticate.
    pub logins_refused: Counter,
    /// Logins that failed or were not checked, by `auth::LoginFailure`.
    pub login_failures: [Counter; LOGIN_FAILURES],
    /// Microseconds from a message's arrival to the end of the turn that handed it to the kernel,
    /// once per connection. Replayed messages are not included.
    pub accept_to_send_us: Histogram,
    /// Messages per vectored send.
    pub send_messages: Histogram,
    /// Bytes per vectored send.
    pub send_bytes: Histogram,
    /// Requests that nobody listened to, and whose clients were notified of that.
    pub no_responders: Counter,
    /// Connections that were refused, or closed before their login, by [`Refused`].
    pub refused_connections: [Counter; 4],
    /// Connections that this core was given.
    pub connections_opened: Counter,
    /// Connections that ended.
    pub connections_closed: Counter,
    /// Connections opened by protocol, see [`Counters::opened_by`].
    opened_by_protocol: [Counter; PROTOCOLS_MAX],
    /// Connections closed by protocol, see [`Counters::closed_by`].
    closed_by_protocol: [Counter; PROTOCOLS_MAX],
    /// Current number of subscriptions.
    pub subscriptions: Counter,
    /// Current number of topics of this core.
    pub topics: Counter,
    /// Mesh messages sent to other cores.
    pub mesh_messages_sent: Counter,
    /// Times that the channel to another core was full.
    pub mesh_full: Counter,
}

/// Why a connection was refused, an index of [`Counters::refused_connections`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `server.max_connections` are open.
    Full,
    /// `limits.max_connections_per_address` of its address are.
    AddressFull,
    /// `limits.max_new_connections_per_address` of its address came within a second.
    AddressTooFast,
    /// Its client did not log in, and others waited for its place.
    BeforeLogin,
}

/// The kinds of `auth::LoginFailure`.
pub(super) const LOGIN_FAILURES: usize = 10;

/// The most protocols.
pub(super) const PROTOCOLS_MAX: usize = 8;

impl Counters {
    /// Connections of a protocol that this core was given.
    pub fn opened_by(&self, protocol: usize) -> &Counter {
        &self.opened_by_protocol[protocol]
    }

    /// Connections of a protocol that ended.
    pub fn closed_by(&self, protocol: usize) -> &Counter {
        &self.closed_by_protocol[protocol]
    }

    /// Times that messages found a queue with this policy full.
    pub fn overflows_of(&self, policy: OverflowPolicy) -> &Counter {
        &self.queue_overflows[policy as usize]
    }
}
