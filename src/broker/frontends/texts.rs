//! Slices as text, made once for all subscriptions that their clients call alike.
//!
//! For frontends whose protocol is not what slices are stored in. Clients number their subscriptions
//! from 1, so most subscribers of a busy topic share one text, and its bytes.
//!
//! # Always true
//! - A text is found only while the frames it was made of are held here: no other frames can lie
//!   where they do.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Protocol;
use crate::broker::clock::Now;
use crate::broker::memory::Memory;
use crate::broker::message::Slice;
use crate::broker::timers::{Single, Timers};

/// Texts remembered. Subscribers that keep up ask for the same within a turn or two.
const TEXTS_MAX: usize = 16;
/// How long texts are remembered when none is asked for: they hold memory, and the frames they were
/// made of.
const UNUSED_NS: u64 = 1_000_000_000;

/// The last texts of a core.
#[derive(Debug, Default)]
pub struct Texts {
    newest_first: VecDeque<Text>,
}

#[derive(Debug)]
struct Text {
    frames: Bytes,
    protocol: Protocol,
    name: Box<[u8]>,
    variant: u8,
    text: Bytes,
}

impl Texts {
    /// A slice as a client of this protocol reads it that calls its subscription `name`. `variant`
    /// distinguishes texts of the same slice and name; `encode` makes one.
    pub fn of(
        &mut self,
        now: Now,
        timers: &mut Timers,
        memory: &Memory,
        slice: &Slice,
        (protocol, name, variant): (Protocol, &[u8], u8),
        encode: impl FnOnce(&mut BytesMut),
    ) -> Bytes {
        timers.set_single(Single::Texts, Some(now.monotonic_ns + UNUSED_NS));
        let frames = &slice.frames;
        let found = self.newest_first.iter().find(|text| {
            text.frames.as_ptr() == frames.as_ptr()
                && text.frames.len() == frames.len()
                && text.protocol == protocol
                && text.variant == variant
                && *text.name == *name
        });
        if let Some(text) = found {
            return text.text.clone();
        }
        let mut text = BytesMut::new();
        encode(&mut text);
        let text = memory.count(text);
        if self.newest_first.len() == TEXTS_MAX {
            self.newest_first.pop_back();
        }
        self.newest_first.push_front(Text {
            frames: frames.clone(),
            protocol,
            name: name.into(),
            variant,
            text: text.clone(),
        });
        text
    }

    /// Lets go of everything: nobody asked for it in a while, or memory is short.
    pub fn clear(&mut self, timers: &mut Timers) {
        self.newest_first.clear();
        timers.set_single(Single::Texts, None);
    }
}
