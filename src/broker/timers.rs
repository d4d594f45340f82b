//! The deadlines of a core, in one table: when a turn has to run even if nothing happens.
//!
//! Set by the rooms that wait for something; looked at by `turn`, which asks each class in its place.
//!
//! # Always true
//! - Most deadlines of one class wait equally long, so each class is a queue, soonest first.
//! - A deadline may outlive what it was set for: its owner looks whether it still holds.

use std::collections::VecDeque;

use super::clock::Now;
use super::ids::ConnectionId;
use crate::protocol::TopicId;

/// Deadlines that many connections have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The client has to authenticate.
    Login,
    /// The client may have been silent for too long.
    Silence,
    /// The client may have been silent for too long, and speaks the native protocol, which has a time of
    /// its own for that.
    NativeSilence,
    /// The stop may close the connection.
    Closing,
    /// The client may publish again.
    Rate,
    /// The peer may have taken nothing for too long.
    Send,
    /// The refusal of a wrong login has been held back long enough. These wait for different times.
    Refusal,
}

impl Class {
    /// How many there are.
    const ALL: usize = Class::Refusal as usize + 1;
}

/// Deadlines that there is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single {
    /// A subscriber that holds publishers up may have taken nothing for too long.
    Blocked,
    /// Texts made for subscribers may be unused.
    Texts,
    /// Memory that publishes wait for may have been reclaimed.
    Memory,
    /// Clients may keep places without logging in.
    Strangers,
    /// Memory may not have been needed for a while.
    GiveBack,
}

impl Single {
    /// How many there are.
    const ALL: usize = Single::GiveBack as usize + 1;
}

/// All deadlines of a core.
#[derive(Debug, Default)]
pub struct Timers {
    connections: [VecDeque<(u64, ConnectionId)>; Class::ALL],
    /// Topics by when they may have been idle for too long.
    topics: VecDeque<(u64, TopicId)>,
    singles: [Option<u64>; Single::ALL],
}

impl Timers {
    /// The earliest deadline, in nanoseconds of `Now::monotonic_ns`.
    pub fn next_ns(&self) -> Option<u64> {
        let connections = self.connections.iter().filter_map(|class| Some(class.front()?.0));
        let topics = self.topics.front().map(|(at, _)| *at);
        let singles = self.singles.iter().flatten().copied();
        connections.chain(topics).chain(singles).min()
    }

    /// Sets a deadline of a connection.
    pub fn set(&mut self, class: Class, at_ns: u64, connection: ConnectionId) {
        let deadlines = &mut self.connections[class as usize];
        // The last, unless a reload has made the class wait shorter, or its deadlines differ.
        let place = match deadlines.back() {
            Some((last, _)) if *last > at_ns => deadlines.partition_point(|(at, _)| *at <= at_ns),
            _ => deadlines.len(),
        };
        deadlines.insert(place, (at_ns, connection));
    }

    /// The earliest deadline of a class, due or not.
    pub fn first(&self, class: Class) -> Option<(u64, ConnectionId)> {
        self.connections[class as usize].front().copied()
    }

    /// Drops the earliest deadline of a class.
    pub fn drop_first(&mut self, class: Class) {
        self.connections[class as usize].pop_front();
    }

    /// Takes the earliest deadline of a class, if that is due.
    pub fn take_due(&mut self, now: Now, class: Class) -> Option<ConnectionId> {
        take_due(&mut self.connections[class as usize], now)
    }

    /// Drops all deadlines of a class.
    pub fn clear(&mut self, class: Class) {
        self.connections[class as usize].clear();
    }

    /// A class waits for another time from now on: its deadlines move with it and stay in order.
    pub fn shift(&mut self, class: Class, old_ns: u64, new_ns: u64) {
        for (at, _) in &mut self.connections[class as usize] {
            *at = at.saturating_sub(old_ns) + new_ns;
        }
    }

    /// Sets the time at which a topic may have been idle for too long.
    pub fn set_topic(&mut self, at_ns: u64, topic: TopicId) {
        self.topics.push_back((at_ns, topic));
    }

    /// Takes the first topic that may have been idle for too long.
    pub fn take_due_topic(&mut self, now: Now) -> Option<TopicId> {
        take_due(&mut self.topics, now)
    }

    /// Topics wait for another time from now on.
    pub fn shift_topics(&mut self, old_ns: u64, new_ns: u64) {
        for (at, _) in &mut self.topics {
            *at = at.saturating_sub(old_ns) + new_ns;
        }
    }

    /// Sets or clears a deadline that there is one of.
    pub fn set_single(&mut self, single: Single, at_ns: Option<u64>) {
        self.singles[single as usize] = at_ns;
    }

    /// The deadline that there is one of.
    pub fn single(&self, single: Single) -> Option<u64> {
        self.singles[single as usize]
    }

    /// Whether a deadline that there is one of has come.
    pub fn is_due(&self, now: Now, single: Single) -> bool {
        self.single(single).is_some_and(|at| at <= now.monotonic_ns)
    }
}

fn take_due<K>(deadlines: &mut VecDeque<(u64, K)>, now: Now) -> Option<K> {
    let is_due = deadlines.front().is_some_and(|(at, _)| *at <= now.monotonic_ns);
    if is_due { deadlines.pop_front().map(|(_, key)| key) } else { None }
}
