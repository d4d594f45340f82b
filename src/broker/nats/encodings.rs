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

use super::super::memory::Memory;
use super::super::portion::Portion;
use super::super::subscriptions::Subscription;
use super::NatsSession;
use crate::nats::message::{self, Variant};

/// Encodings remembered. Subscribers that keep up ask for the same within a turn or two.
const ENCODINGS_MAX: usize = 16;
/// Turns without a question after which all are forgotten: they hold memory.
const TURNS_UNUSED_MAX: u32 = 2;

/// The last encodings of a core.
#[derive(Debug, Default)]
pub struct Encodings {
    newest_first: VecDeque<Encoding>,
    /// Turns since something was asked for.
    turns_unused: u32,
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
        portion: &Portion,
        nats: &NatsSession,
        subscription: &Subscription,
        memory: &Memory,
    ) -> Bytes {
        self.turns_unused = 0;
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

    /// A turn has begun. Lets go of everything if nobody asked in a while.
    pub fn turn(&mut self) {
        self.turns_unused = self.turns_unused.saturating_add(1);
        if self.turns_unused > TURNS_UNUSED_MAX {
            self.clear();
        }
    }

    /// Lets go of everything: memory is short. Who asks again has it made again.
    pub fn clear(&mut self) {
        self.newest_first.clear();
    }
}
