//! How a connection ends: what is sent last, why, and when.

use std::borrow::Cow;

use bytes::Bytes;

use super::connection::Connection;

/// How a connection ends.
#[derive(Default)]
pub(super) struct Ending {
    /// Sent behind everything else, before the connection is closed.
    last_words: Bytes,
    why: Cow<'static, str>,
    /// When the broker stops: not to be closed before, though it was sent everything.
    close_at_ns: u64,
}

impl Connection {
    fn ending(&mut self) -> &mut Ending {
        self.ending.get_or_insert_default()
    }

    /// Notes what is sent behind everything else, before the connection is closed.
    pub fn set_last_words(&mut self, last_words: Bytes) {
        self.ending().last_words = last_words;
    }

    /// Takes what is sent behind everything else.
    pub fn take_last_words(&mut self) -> Bytes {
        self.ending
            .as_mut()
            .map(|ending| std::mem::take(&mut ending.last_words))
            .unwrap_or_default()
    }

    /// Why it is being closed, once it is.
    pub fn why_closed(&self) -> &str {
        self.ending.as_ref().map_or("", |ending| &ending.why)
    }

    /// Notes why it is being closed.
    pub fn set_why_closed(&mut self, why: Cow<'static, str>) {
        self.ending().why = why;
    }

    /// When the stop may close it.
    pub fn close_at_ns(&self) -> u64 {
        self.ending.as_ref().map_or(0, |ending| ending.close_at_ns)
    }

    /// Sets when the stop may close it.
    pub fn set_close_at_ns(&mut self, at_ns: u64) {
        self.ending().close_at_ns = at_ns;
    }

    /// Takes why it was closed.
    pub fn into_why_closed(self) -> Cow<'static, str> {
        self.ending.map(|ending| ending.why).unwrap_or_default()
    }
}
