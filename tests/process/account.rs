//! Accounts of the messages that subscribers received, and windows that keep publishers from running ahead.

use std::sync::{Condvar, Mutex};

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::{GapReason, TopicId};

use crate::support::wire::{Frame, PATIENCE, Wire};

/// The messages of one topic at one subscriber. Every sequence comes once: in a message or in a gap.
#[derive(Debug)]
pub struct Account {
    topic: u32,
    next: u64,
    pub delivered: u64,
    pub gaps: Vec<(u64, u64, GapReason)>,
}

impl Account {
    /// `next` is the sequence that must come first.
    pub fn new(topic: u32, next: u64) -> Account {
        Account { topic, next, delivered: 0, gaps: Vec::new() }
    }

    /// Accounts for a MESSAGES or GAP frame of the topic; returns its payloads with their sequences.
    #[track_caller]
    pub fn take<'a>(&mut self, frame: &'a Frame) -> Vec<(u64, &'a [u8])> {
        if let Some((header, payloads)) = frame.messages() {
            assert_eq!((header.topic, header.sequence), (self.topic, self.next), "{header:?}");
            self.next += payloads.len() as u64;
            self.delivered += payloads.len() as u64;
            return (header.sequence..).zip(payloads).collect();
        }
        match frame.decoded() {
            ServerFrame::Gap { topic, first, messages, reason, .. } => {
                assert_eq!(
                    (topic, first.0),
                    (TopicId(self.topic), self.next),
                    "a gap in its place"
                );
                assert!(messages > 0, "a gap of something");
                self.next += messages;
                self.gaps.push((first.0, messages, reason));
                Vec::new()
            }
            other => panic!("messages or a gap were due, got {other:?}"),
        }
    }

    /// Reads until the sequence `last` was delivered or is in a gap; `check` sees each message.
    pub fn take_until(&mut self, wire: &mut Wire, last: u64, mut check: impl FnMut(u64, &[u8])) {
        while self.next <= last {
            let frame = wire.expect();
            if let ServerFrame::Topic { request, topic, .. } = frame.decoded() {
                assert_eq!((request.0, topic.0), (0, self.topic), "a name nobody asked for");
                continue;
            }
            for (sequence, payload) in self.take(&frame) {
                check(sequence, payload);
            }
        }
        assert_eq!(self.next, last + 1, "no message beyond the last");
    }

    /// Messages in all gaps of a reason.
    pub fn missed(&self, reason: GapReason) -> u64 {
        let of_it = self.gaps.iter().filter(|(_, _, found)| *found == reason);
        of_it.map(|(_, messages, _)| messages).sum()
    }
}

/// A bound on how far publishers are ahead of the slowest subscriber that reads.
pub struct Window {
    outstanding: Mutex<Vec<u64>>,
    moved: Condvar,
    messages_max: u64,
}

impl Window {
    pub fn new(subscribers: usize, messages_max: u64) -> Window {
        let outstanding = Mutex::new(vec![0; subscribers]);
        Window { outstanding, moved: Condvar::new(), messages_max }
    }

    /// Waits until each of these subscribers has room for messages, and takes the room.
    pub fn publish(&self, subscribers: &[usize], messages: u64) {
        let outstanding = self.outstanding.lock().expect("no other thread has failed");
        let is_full = |outstanding: &mut Vec<u64>| {
            subscribers.iter().any(|&index| outstanding[index] + messages > self.messages_max)
        };
        let waited = self.moved.wait_timeout_while(outstanding, PATIENCE, is_full);
        let (mut outstanding, waited) = waited.expect("no other thread has failed");
        assert!(!waited.timed_out(), "subscribers get nothing: {outstanding:?} are on their way");
        for &index in subscribers {
            outstanding[index] += messages;
        }
    }

    /// A subscriber has received messages.
    pub fn received(&self, subscriber: usize, messages: u64) {
        self.outstanding.lock().expect("no other thread has failed")[subscriber] -= messages;
        self.moved.notify_all();
    }
}
