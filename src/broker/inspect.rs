//! What an operator can ask a core about: its connections, subscriptions and topics, the first so
//! many by some measure.
//!
//! Called by whoever drives the broker, a slice at a time between turns; rows are in `rows`. Cores are
//! asked one by one, and [`merge`] makes one list of their answers.
//!
//! # Always true
//! - A slice looks at a bounded number of things, however many there are, so a question never delays
//!   messages by more than that.
//! - What comes or goes while a list is made may be missing from it; nothing is in it twice.

mod rows;

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Broker, Now};
use crate::config::Choice;

pub use rows::{ConnectionRow, Row, State, SubscriptionRow, TopicRow};

/// Things looked at, or rows written, per slice.
const SLICE: usize = 512;

/// What to list, and by which measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Connections.
    Connections(ConnectionsBy),
    /// Subscriptions, and the queues of groups.
    Subscriptions(SubscriptionsBy),
    /// Topics that are kept.
    Topics(TopicsBy),
}

/// What connections are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionsBy {
    /// Bytes queued for it.
    QueuedBytes,
    /// Messages queued for it.
    QueuedMessages,
    /// Age of the oldest message queued for it.
    Lag,
    /// Messages it lost.
    Dropped,
    /// Messages it published.
    Published,
    /// Messages it was sent.
    Delivered,
    /// Its subscriptions.
    Subscriptions,
    /// How long ago it came.
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
        ("age", ConnectionsBy::Age),
    ];
}

/// What subscriptions are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionsBy {
    /// Messages it lost.
    Dropped,
    /// Age of its oldest queued message.
    Lag,
    /// Bytes queued.
    QueuedBytes,
    /// Messages queued.
    QueuedMessages,
    /// Messages it was sent.
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
    /// Messages per second.
    Rate,
    /// Messages ever.
    Published,
    /// Bytes kept for replay.
    KeptBytes,
    /// The alphabet.
    Name,
}

impl Choice for TopicsBy {
    const NAMES: &'static [(&'static str, TopicsBy)] = &[
        ("rate", TopicsBy::Rate),
        ("published", TopicsBy::Published),
        ("kept_bytes", TopicsBy::KeptBytes),
        ("name", TopicsBy::Name),
    ];
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What to list.
    pub list: List,
    /// The smallest first; else the largest.
    pub ascending: bool,
    /// Rows wanted at most.
    pub rows_max: usize,
}

/// What a row is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A measure.
    Number(u64),
    /// A name.
    Name(Arc<str>),
}

/// A row, and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// What it is sorted by.
    pub key: Key,
    /// The row.
    pub row: Row,
}

/// What a core, or all of them, answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// How many there are, of which the rows are the first.
    pub total: usize,
    /// The first ones, in order.
    pub rows: Vec<Ranked>,
}

/// Something that has a row: its place, and what tells it from another in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    place: usize,
    number: u64,
}

/// A question that a core is answering.
#[derive(Debug)]
pub struct Inspection {
    question: Question,
    /// The next place to look at; `None` when all were.
    next: Option<usize>,
    total: usize,
    /// The first ones so far, and some that may be cut off.
    best: Vec<(Key, Found)>,
    rows: Vec<Ranked>,
}

impl Inspection {
    /// Begins to answer.
    pub fn new(question: Question) -> Inspection {
        Inspection { question, next: Some(0), total: 0, best: Vec::new(), rows: Vec::new() }
    }

    /// What was found, once `Broker::inspect` says that it is all.
    pub fn into_answer(self) -> Answer {
        Answer { total: self.total, rows: self.rows }
    }

    fn consider(&mut self, key: Key, found: Found) {
        self.total += 1;
        self.best.push((key, found));
        // Cut seldom: each cut looks at all of them.
        if self.best.len() >= 2 * self.question.rows_max.max(SLICE) {
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

    /// Everything was looked at: what is left gets its rows, in order.
    fn begin_rows(&mut self) {
        self.cut();
        let ascending = self.question.ascending;
        // The last first: rows are taken from the end.
        self.best.sort_unstable_by(|one, other| {
            directed(ascending, other.0.cmp(&one.0)).then(other.1.cmp(&one.1))
        });
    }
}

fn directed(ascending: bool, order: Ordering) -> Ordering {
    if ascending { order } else { order.reverse() }
}

impl Broker {
    /// Goes on answering; returns whether that is done.
    pub fn inspect(&self, now: Now, inspection: &mut Inspection) -> bool {
        if let Some(next) = inspection.next {
            let places = self.places(inspection.question.list);
            let end = places.min(next + SLICE);
            for place in next..end {
                if let Some((key, number)) = self.key_of(now, inspection.question.list, place) {
                    inspection.consider(key, Found { place, number });
                }
            }
            inspection.next = (end < places).then_some(end);
            if inspection.next.is_none() {
                inspection.begin_rows();
            }
            return false;
        }
        for _ in 0..SLICE {
            let Some((key, found)) = inspection.best.pop() else { return true };
            if let Some(row) = self.row_of(now, inspection.question.list, found) {
                inspection.rows.push(Ranked { key, row });
            }
        }
        inspection.best.is_empty()
    }
}

/// One list of what cores answered to the same question.
pub fn merge(question: Question, answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut merged = Answer::default();
    for answer in answers {
        merged.total += answer.total;
        merged.rows.extend(answer.rows);
    }
    // Stable, so that what is equal stays in the order of cores.
    merged.rows.sort_by(|one, other| directed(question.ascending, one.key.cmp(&other.key)));
    merged.rows.truncate(question.rows_max);
    merged
}

#[cfg(test)]
mod tests;
