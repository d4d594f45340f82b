//! Portions as NATS text, made once for all subscriptions that their clients call alike.
//!
//! Clients number their subscriptions from 1, so most subscribers of a busy subject share one
//! encoding, and its bytes. Used by `flush` for every portion that goes to a NATS client.
//!
//! # Always true
//! - An encoding is found only while the frames it was made of are held here: no other frames can
//!   lie where they do.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::super::Now;
use super::super::memory::Memory;
use super::super::portion::Portion;
use super::super::subscriptions::Subscription;
use super::NatsSession;
use crate::nats::message::{self, Variant};

/// Encodings remembered. Subscribers that keep up ask for the same within a turn or two.
const ENCODINGS_MAX: usize = 16;
/// How long they are kept when none is asked for: they hold memory, and the frames they were made of.
const KEPT_NS: u64 = 1_000_000_000;

/// The last encodings of a core.
#[derive(Debug, Default)]
pub struct Encodings {
    newest_first: VecDeque<Encoding>,
    used_ns: u64,
}

#[derive(Debug)]
struct Encoding {
    frames: Bytes,
    sid: Box<[u8]>,
    headers: bool,
    text: Bytes,
}

impl Encodings {
    /// A portion as the subscription's client reads it.
    pub fn of(
        &mut self,
        now: Now,
        portion: &Portion,
        nats: &NatsSession,
        subscription: &Subscription,
        memory: &Memory,
    ) -> Bytes {
        self.used_ns = now.monotonic_ns;
        let sid = subscription.sid.as_deref().expect("it is a NATS client's");
        let frames = &portion.frames;
        let found = self.newest_first.iter().find(|encoding| {
            encoding.frames.as_ptr() == frames.as_ptr()
                && encoding.frames.len() == frames.len()
                && encoding.headers == nats.headers
                && *encoding.sid == *sid
        });
        if let Some(encoding) = found {
            return encoding.text.clone();
        }
        let subject = portion.topic.name.as_bytes();
        let variant = Variant { subject, sid, headers: nats.headers };
        let mut text = BytesMut::new();
        message::encode(&mut text, frames, &variant);
        let text = memory.count(text);
        if self.newest_first.len() == ENCODINGS_MAX {
            self.newest_first.pop_back();
        }
        self.newest_first.push_front(Encoding {
            frames: frames.clone(),
            sid: sid.into(),
            headers: nats.headers,
            text: text.clone(),
        });
        text
    }

    /// When nobody has asked for any in a while.
    pub fn check_at_ns(&self) -> Option<u64> {
        (!self.newest_first.is_empty()).then_some(self.used_ns + KEPT_NS)
    }

    /// Lets go of everything: nobody asked for it in a while, or memory is short.
    pub fn clear(&mut self) {
        self.newest_first.clear();
    }
}
