//! A gap: messages that a subscription did not get, and why.

use std::sync::Arc;

use super::TopicName;
use crate::protocol::{GapReason, Sequence};

/// Consecutive messages of one topic, missed for one reason; or messages of ephemeral topics, where
/// `topic` is the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: Arc<TopicName>,
    /// 0 for every plain subscription of a connection that matches; else the one that missed them.
    pub subscription: u32,
    /// Sequence of the first missed message.
    pub first: Sequence,
    /// Number of missed messages.
    pub messages: u64,
    /// Reason of the loss.
    pub reason: GapReason,
}

impl Gap {
    /// Joins `next` to this gap if it continues it; returns whether it did.
    pub fn extend(&mut self, next: &Gap) -> bool {
        let continues = self.topic.run_key() == next.topic.run_key()
            && self.subscription == next.subscription
            && self.reason == next.reason
            && (!self.topic.is_retained() || self.first.plus(self.messages) == next.first);
        if continues {
            self.messages += next.messages;
        }
        continues
    }
}
