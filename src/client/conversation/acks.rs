//! ACKs: the frames that wait for one, and their outcome.
//!
//! A frame asks for one ACK for all its messages; the ticket of each message keeps the frame's
//! [`Answer`] and the message's place in the frame.

use std::sync::{Arc, OnceLock};

use super::Conversation;
use crate::ClientError;
use crate::outgoing::Place;

/// The outcome of a frame, once that is known.
pub(crate) type Answer = Arc<OnceLock<Result<Taken, ClientError>>>;

/// The contents of an ACK.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// The sequence of the frame's first message.
    pub(crate) sequence: u64,
    pub(crate) messages: u32,
}

pub(super) struct PendingAck {
    topic: usize,
    answer: Answer,
}

impl Conversation {
    /// Returns the answer to the frame of a message that was just published.
    pub(crate) fn answer_of(&mut self, topic: usize, place: Place) -> Answer {
        let pending = self.acks.entry(place.publish_id);
        pending.or_insert_with(|| PendingAck { topic, answer: Answer::default() }).answer.clone()
    }

    /// Handles an ACK: the messages of a frame have their sequences.
    pub(crate) fn on_ack(&mut self, publish_id: u64, taken: Taken) -> Result<(), ClientError> {
        let Some(pending) = self.acks.remove(&publish_id) else {
            let text = format!("ACK for publish {publish_id}, and none was asked for");
            return Err(ClientError::Unexpected(text));
        };
        if taken.messages == 0 {
            // The broker has removed the topic, because nobody used it for long.
            self.open_again(pending.topic);
        }
        // An answer is set here or by a failure, and both remove it from the map first.
        let _ = pending.answer.set(Ok(taken));
        Ok(())
    }

    /// Fails the frames of a topic that the broker refused: no ACK comes for them.
    pub(super) fn fail_acks_of(&mut self, topic: usize, failure: &ClientError) {
        self.fail_acks(failure, |_, pending| pending.topic == topic);
    }

    pub(super) fn fail_acks(
        &mut self,
        failure: &ClientError,
        fails: impl Fn(u64, &PendingAck) -> bool,
    ) {
        self.acks.retain(|publish_id, pending| {
            let fails = fails(*publish_id, pending);
            if fails {
                let _ = pending.answer.set(Err(failure.clone()));
            }
            !fails
        });
    }
}
