//! Requests that a client was sent and may answer, though it may not publish where the answers go.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{Client, Doors};
use crate::broker::clock::ms_to_ns;
use crate::broker::ids::Slot;
use crate::broker::message::Slice;
use crate::limits::RESPONSES_TRACKED_MAX;
use crate::nats::message::REPLY_TO;
use crate::protocol::messages;

/// A request that may be answered.
#[derive(Debug, Clone, Copy)]
struct Request {
    sent_ns: u64,
    answers: u32,
}

/// Where a client may answer.
#[derive(Debug, Default)]
pub(super) struct Answerable {
    by_reply: HashMap<Box<str>, Request>,
    /// In the order in which they were sent; some may be gone, or have been sent again.
    order: VecDeque<(u64, Box<str>)>,
}

impl Answerable {
    fn add(&mut self, reply: &str, now_ns: u64, expires_ns: u64) {
        while let Some((sent_ns, _)) = self.order.front()
            && (sent_ns + expires_ns <= now_ns || self.order.len() >= RESPONSES_TRACKED_MAX)
        {
            let (sent_ns, reply) = self.order.pop_front().expect("there is a first one");
            if self.by_reply.get(&reply).is_some_and(|request| request.sent_ns == sent_ns) {
                self.by_reply.remove(&reply);
            }
        }
        self.by_reply.insert(reply.into(), Request { sent_ns: now_ns, answers: 0 });
        self.order.push_back((now_ns, reply.into()));
    }

    fn take(&mut self, reply: &str, now_ns: u64, expires_ns: u64, answers_max: u32) -> bool {
        let Some(request) = self.by_reply.get_mut(reply) else { return false };
        request.answers += 1;
        let is_allowed = request.answers <= answers_max && request.sent_ns + expires_ns > now_ns;
        if !is_allowed {
            self.by_reply.remove(reply);
        }
        is_allowed
    }
}

impl Client {
    /// Notes the requests of a slice that the client is about to be sent, if it may answer such.
    pub(super) fn note_requests(&mut self, doors: &Doors<'_>, slot: Slot, slice: &Slice) {
        let permissions = doors.connections.at(slot).permissions();
        let Some(responses) = permissions.responses() else { return };
        let mut frames = &slice.frames[..];
        while !frames.is_empty() {
            let (frame, behind) = frames.split_at(messages::first_frame(frames).0);
            frames = behind;
            for record in messages::records(frame) {
                let mut headers = record.headers;
                if let Some((_, reply)) = headers.find(|(name, _)| *name == REPLY_TO)
                    && let Ok(reply) = std::str::from_utf8(reply)
                    && !permissions.may_publish(reply)
                {
                    let expires_ns = ms_to_ns(responses.expires_ms);
                    let answerable = self.answerable.get_or_insert_default();
                    answerable.add(reply, doors.now.monotonic_ns, expires_ns);
                }
            }
        }
    }

    /// Whether the client may publish to a subject because it was sent a request that is answered there.
    /// Counts the answer.
    pub(super) fn may_respond(&mut self, doors: &Doors<'_>, slot: Slot, subject: &str) -> bool {
        let responses = doors.connections.at(slot).permissions().responses();
        let (Some(responses), Some(answerable)) = (responses, &mut self.answerable) else {
            return false;
        };
        let expires_ns = ms_to_ns(responses.expires_ms);
        answerable.take(subject, doors.now.monotonic_ns, expires_ns, responses.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_as_often_and_as_long_as_allowed() {
        let mut answerable = Answerable::default();
        answerable.add("a", 10, 100);
        assert!(!answerable.take("b", 10, 100, 2));
        assert_eq!([(); 3].map(|()| answerable.take("a", 20, 100, 2)), [true, true, false]);
        answerable.add("a", 30, 100);
        assert!(answerable.take("a", 129, 100, 2) && !answerable.take("a", 130, 100, 2));
        assert!(!answerable.take("a", 40, 100, 2), "it is forgotten");
    }

    #[test]
    fn the_oldest_requests_make_room_and_one_sent_again_counts_from_then() {
        let mut answerable = Answerable::default();
        answerable.add("again", 0, 1_000);
        answerable.add("first", 1, 1_000);
        answerable.add("again", 2, 1_000);
        for number in 0..RESPONSES_TRACKED_MAX - 1 {
            answerable.add(&number.to_string(), 3, 1_000);
        }
        assert_eq!(answerable.order.len(), RESPONSES_TRACKED_MAX);
        assert!(answerable.take("again", 4, 1_000, 1) && !answerable.take("first", 4, 1_000, 1));
        answerable.add("later", 1_003, 1_000);
        assert_eq!((answerable.order.len(), answerable.by_reply.len()), (1, 1));
    }
}
