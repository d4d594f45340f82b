//! Lists for operators: the first connections, subscriptions or topics of a core by some measure.
//!
//! Called by the owner of the broker between turns, one step at a time; rows are in `rows`. Each
//! core answers for itself, and [`merge`] combines the answers.
//!
//! # Always true
//! - A step examines a bounded number of items, however many there are, so a question delays
//!   messages only by one step.
//! - An item that is added or removed while a list is made may be missing; no item is listed twice.

mod rows;

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Broker, Now};
use crate::config::Choice;

pub use super::connections::{Hold, Phase, Traffic};
pub use super::delivery::overflow::Lost;
pub use super::delivery::queue::Bounds;
pub use rows::{ConnectionRow, Row, State, SubscriptionRow, TopicRow};

/// The most items examined, or rows written, per step.
const STEP_ITEMS: usize = 512;

/// What to list, and by which measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Connections.
    Connections(ConnectionsBy),
    /// Subscriptions, and the queues of groups.
    Subscriptions(SubscriptionsBy),
    /// Topics that are retained.
    Topics(TopicsBy),
}

/// What connections are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionsBy {
    /// Bytes queued for the connection.
    QueuedBytes,
    /// Messages queued for the connection.
    QueuedMessages,
    /// Age of the oldest message queued for the connection.
    Lag,
    /// Messages that were not delivered.
    Dropped,
    /// Messages that the connection published.
    Published,
    /// Messages that were delivered.
    Delivered,
    /// Number of subscriptions.
    Subscriptions,
    /// Times that input of the connection waited for a later turn.
    InputDeferred,
    /// Time since the connection was opened.
    Age,
}

impl Choice for ConnectionsBy {
    const NAMES: &'static [(&'static str, ConnectionsBy)] = &[
        ("queued_bytes", ConnectionsBy::QueuedBytes),
        ("queued_messages", ConnectionsBy::QueuedMessages),
        ("lag", ConnectionsBy::Lag),
        ("dropped", ConnectionsBy::Dropped),
        ("published", ConnectionsBy::Published),
        ("delivered", ConnectionsBy::Delivered),
        ("subscriptions", ConnectionsBy::Subscriptions),
        ("input_deferred", ConnectionsBy::InputDeferred),
        ("age", ConnectionsBy::Age),
    ];
}

/// What subscriptions are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionsBy {
    /// Messages that were not delivered.
    Dropped,
    /// Age of the oldest queued message.
    Lag,
    /// Bytes queued.
    QueuedBytes,
    /// Messages queued.
    QueuedMessages,
    /// Messages that were delivered.
    Delivered,
}

impl Choice for SubscriptionsBy {
    const NAMES: &'static [(&'static str, SubscriptionsBy)] = &[
        ("dropped", SubscriptionsBy::Dropped),
        ("lag", SubscriptionsBy::Lag),
        ("queued_bytes", SubscriptionsBy::QueuedBytes),
        ("queued_messages", SubscriptionsBy::QueuedMessages),
        ("delivered", SubscriptionsBy::Delivered),
    ];
}

/// What topics are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicsBy {
    /// Messages per second, over the last second or two.
    Rate,
    /// Messages ever.
    Published,
    /// Bytes retained for replay.
    RetainedBytes,
    /// Name of the topic.
    Name,
}

impl Choice for TopicsBy {
    const NAMES: &'static [(&'static str, TopicsBy)] = &[
        ("rate", TopicsBy::Rate),
        ("published", TopicsBy::Published),
        ("kept_bytes", TopicsBy::RetainedBytes),
        ("name", TopicsBy::Name),
    ];
}

/// A request for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What to list.
    pub list: List,
    /// Whether the smallest is first; else the largest.
    pub ascending: bool,
    /// The most rows.
    pub rows_max: usize,
}

/// The value that a row is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The value of a numeric measure.
    Number(u64),
    /// The name, for lists in alphabetical order.
    Name(Arc<str>),
}

/// A row with its sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The sort key.
    pub key: Key,
    /// The row.
    pub row: Row,
}

/// The answer of one core, or of all cores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Number of all items; the rows are the first of them.
    pub total: usize,
    /// The rows, in order.
    pub rows: Vec<Ranked>,
}

/// An item: its place, and a number that distinguishes it from later items in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    place: usize,
    number: u64,
}

/// A question that a core is answering.
#[derive(Debug)]
pub struct Inspection {
    question: Question,
    /// The next place to examine; `None` after the last one.
    next: Option<usize>,
    total: usize,
    /// The first items so far, and some more that the next cut removes.
    best: Vec<(Key, Found)>,
    rows: Vec<Ranked>,
}

impl Inspection {
    /// An inspection that has examined nothing yet.
    pub fn new(question: Question) -> Inspection {
        Inspection { question, next: Some(0), total: 0, best: Vec::new(), rows: Vec::new() }
    }

    /// The answer, once `Broker::inspect` has returned true.
    pub fn into_answer(self) -> Answer {
        Answer { total: self.total, rows: self.rows }
    }

    fn consider(&mut self, key: Key, found: Found) {
        self.total += 1;
        self.best.push((key, found));
        // Cut rarely, because each cut examines all items.
        if self.best.len() >= 2 * self.question.rows_max.max(STEP_ITEMS) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let ascending = self.question.ascending;
        let order = |one: &(Key, Found), other: &(Key, Found)| {
            directed(ascending, one.0.cmp(&other.0)).then(one.1.cmp(&other.1))
        };
        if self.best.len() > self.question.rows_max {
            self.best.select_nth_unstable_by(self.question.rows_max, order);
            self.best.truncate(self.question.rows_max);
        }
    }

    /// Starts writing rows, in order, after every place was examined.
    fn begin_rows(&mut self) {
        self.cut();
        let ascending = self.question.ascending;
        // In reverse order, because items are popped from the end.
        self.best.sort_unstable_by(|one, other| {
            directed(ascending, other.0.cmp(&one.0)).then(other.1.cmp(&one.1))
        });
    }
}

fn directed(ascending: bool, order: Ordering) -> Ordering {
    if ascending { order } else { order.reverse() }
}

impl Broker {
    /// Does one step of an inspection; returns whether the answer is complete.
    pub fn inspect(&self, now: Now, inspection: &mut Inspection) -> bool {
        if let Some(next) = inspection.next {
            let list = inspection.question.list;
            let mut next = Some(next);
            for _ in 0..STEP_ITEMS {
                let Some(place) = next.and_then(|next| self.place_from(list, next)) else {
                    next = None;
                    break;
                };
                if let Some((key, number)) = self.key_of(now, list, place) {
                    inspection.consider(key, Found { place, number });
                }
                next = Some(place + 1);
            }
            inspection.next = next;
            if inspection.next.is_none() {
                inspection.begin_rows();
            }
            return false;
        }
        for _ in 0..STEP_ITEMS {
            let Some((key, found)) = inspection.best.pop() else { return true };
            if let Some(row) = self.row_of(now, inspection.question.list, found) {
                inspection.rows.push(Ranked { key, row });
            }
        }
        inspection.best.is_empty()
    }
}

/// Combines the answers of several cores to the same question.
pub fn merge(question: Question, answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut merged = Answer::default();
    for answer in answers {
        merged.total += answer.total;
        merged.rows.extend(answer.rows);
    }
    // A stable sort, so that equal rows stay in the order of cores.
    merged.rows.sort_by(|one, other| directed(question.ascending, one.key.cmp(&other.key)));
    merged.rows.truncate(question.rows_max);
    merged
}

#[cfg(test)]
mod tests;
