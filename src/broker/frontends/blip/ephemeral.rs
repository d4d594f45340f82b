//! Topics that a client opened and that are not retained: names for answers. The client publishes under
//! an id that it alone was told; the broker passes the messages on under the name.
//!
//! # Always true
//! - A connection has at most [`EPHEMERAL_OPENS_MAX`] such ids. A client that uses an older one is told
//!   that the id is unknown, and opens the topic again.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{Client, Doors, EphemeralIds};
use crate::broker::ids::Slot;
use crate::broker::message::Destination;
use crate::limits::{EPHEMERAL_OPENS_MAX, TOPICS_RANGE};
use crate::protocol::{TopicId, messages};

/// The header that carries the topic to answer on.
const REPLY_TO: &[u8] = b"reply-to";

/// The ephemeral topics that one connection opened last.
#[derive(Debug, Default)]
pub(super) struct EphemeralOpens {
    names: HashMap<TopicId, Arc<str>>,
    /// Their ids, oldest first.
    ids: VecDeque<TopicId>,
}

impl EphemeralOpens {
    /// Gives a name an id.
    pub(super) fn add(&mut self, ids: &mut EphemeralIds, name: Arc<str>) -> TopicId {
        if self.ids.len() == EPHEMERAL_OPENS_MAX
            && let Some(oldest) = self.ids.pop_front()
        {
            self.names.remove(&oldest);
        }
        let id = ids.next();
        self.names.insert(id, name);
        self.ids.push_back(id);
        id
    }

    /// Where messages under an id go.
    pub(super) fn destination(&self, id: TopicId) -> Option<Destination> {
        Some(Destination::Ephemeral(self.names.get(&id)?.clone()))
    }
}

/// Whether an id is one of those that no topic has.
pub(super) fn is_ephemeral(id: TopicId) -> bool {
    u64::from(id.0) > *TOPICS_RANGE.end()
}

impl Client {
    /// Notes where the requests among some frames with headers are to be answered.
    pub(super) fn note_replies(doors: &mut Doors<'_>, slot: Slot, mut frames: &[u8]) {
        while !frames.is_empty() {
            let (frame, behind) = frames.split_at(messages::first_frame(frames).0);
            frames = behind;
            for record in messages::records(frame) {
                let mut headers = record.headers;
                if let Some((_, reply)) = headers.find(|(name, _)| *name == REPLY_TO)
                    && let Ok(reply) = std::str::from_utf8(reply)
                {
                    doors.note_reply(slot, reply);
                }
            }
        }
    }
}
