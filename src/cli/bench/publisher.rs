//! One publishing connection: which message is next, when, and its bytes.
//!
//! Called by `worker`. Next on the path: the socket.
//!
//! # Always true
//! - Under a window no topic has more messages on the way than its window, with all its publishers.
//! - By the clock every message carries the instant it was due at, however late it is sent.
//! - `out` holds whole messages: an answer may be put behind them at any time.

use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::account::{HEADER_LEN, Header};
use super::codec::Envelope;
use super::connect::Connection;
use super::shared::{Pace, Shared};
use super::worker::Strays;

/// Bytes gathered before they are written.
const OUT_BYTES: usize = 256 * 1_024;
/// Later than this behind the schedule is told.
const LATE_NS: u64 = 1_000_000;

/// One topic of a publisher.
#[derive(Debug)]
pub struct Lane {
    /// The number of the stream.
    pub stream: u32,
    pub cells: Range<usize>,
    /// Messages it may have on the way: its part of the topic's window.
    pub window: u32,
    pub envelope: Envelope,
    pub sent: u64,
    /// What the window still allows, as far as is known.
    room: u32,
}

impl Lane {
    pub fn new(stream: usize, cells: Range<usize>, window: u32, envelope: Envelope) -> Lane {
        Lane { stream: stream as u32, cells, window, envelope, sent: 0, room: window }
    }

    /// Messages on the way to the slowest subscriber.
    fn on_the_way(&self, cells: &[AtomicU32]) -> u32 {
        let sent = self.sent as u32;
        let cells = cells[self.cells.clone()].iter();
        cells.map(|cell| sent.wrapping_sub(cell.load(Ordering::Relaxed))).max().unwrap_or(0)
    }
}

/// How well the schedule was kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lateness {
    /// Messages sent more than a millisecond late.
    pub messages: u64,
    pub max_ns: u64,
}

/// What a call published, and when the next is worth it.
pub struct Batch {
    pub published: u64,
    pub owed: u64,
    pub next_at: u64,
}

#[derive(Debug)]
pub struct Publisher {
    pub number: usize,
    /// Out of so many, for the schedule.
    pub publishers: usize,
    pub connection: Connection,
    pub lanes: Vec<Lane>,
    pub lateness: Lateness,
    payload: Vec<u8>,
    batch: usize,
    next_lane: usize,
    /// Messages so far, over all lanes.
    sent: u64,
    round_trip_since: Option<u64>,
    out: Vec<u8>,
    written: usize,
    blocked: bool,
}

impl Publisher {
    pub fn new(
        number: usize,
        publishers: usize,
        connection: Connection,
        lanes: Vec<Lane>,
        payload_len: usize,
        batch: usize,
    ) -> Publisher {
        assert!(payload_len >= HEADER_LEN, "the command line was checked");
        let unit_len = lanes[0].envelope.bytes(payload_len, batch);
        Publisher {
            number,
            publishers,
            connection,
            lanes,
            lateness: Lateness::default(),
            payload: (0..payload_len).map(|at| b'a' + (at % 26) as u8).collect(),
            batch,
            next_lane: 0,
            sent: 0,
            round_trip_since: None,
            out: Vec::with_capacity(OUT_BYTES + 2 * unit_len),
            written: 0,
            blocked: false,
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub fn named(&self, error: &str) -> String {
        format!("publisher {}: {error}", self.number)
    }

    /// When the message on its way was sent, if all have it now.
    pub fn round_trip_ended(&mut self, cells: &[AtomicU32]) -> Option<u64> {
        self.round_trip_since?;
        if self.lanes[0].on_the_way(cells) > 0 {
            return None;
        }
        self.round_trip_since.take()
    }

    /// Appends what is due or allowed to what is to be written.
    pub fn publish(&mut self, shared: &Shared, now: u64) -> Batch {
        match shared.pace {
            Pace::Rate { messages_per_s, .. } => self.publish_due(shared, messages_per_s, now),
            Pace::Window(_) | Pace::RoundTrip => self.publish_allowed(shared, now),
        }
    }

    fn publish_allowed(&mut self, shared: &Shared, now: u64) -> Batch {
        let mut batch = Batch { published: 0, owed: 0, next_at: u64::MAX };
        if self.blocked {
            return batch;
        }
        for lane in &mut self.lanes {
            lane.room = lane.window.saturating_sub(lane.on_the_way(&shared.cells));
        }
        // In turn, a batch of each, until none has room.
        let mut without_room = 0;
        while without_room < self.lanes.len() {
            if self.out.len() >= OUT_BYTES {
                batch.next_at = now;
                break;
            }
            let lane = self.next_lane;
            self.next_lane = if lane + 1 == self.lanes.len() { 0 } else { lane + 1 };
            let lane = &mut self.lanes[lane];
            if (lane.room as usize) < self.batch {
                without_room += 1;
                continue;
            }
            without_room = 0;
            lane.room -= self.batch as u32;
            batch.published += self.batch as u64;
            batch.owed += (self.batch * lane.cells.len()) as u64;
            append(&mut self.out, lane, &mut self.payload, self.batch, now);
        }
        if shared.pace == Pace::RoundTrip && batch.published > 0 {
            self.round_trip_since = Some(now);
        }
        batch
    }

    fn publish_due(&mut self, shared: &Shared, messages_per_s: u64, now: u64) -> Batch {
        let mut batch = Batch { published: 0, owed: 0, next_at: u64::MAX };
        loop {
            // Publishers take turns: message n of all is due at n / rate.
            let number = self.sent * self.publishers as u64 + self.number as u64;
            let since = u128::from(number) * 1_000_000_000 / u128::from(messages_per_s);
            let due = shared.times.start + since as u64;
            if due > now || due >= shared.times.stop {
                batch.next_at = due;
                return batch;
            }
            if self.out.len() - self.written >= OUT_BYTES {
                // The socket takes nothing: they stay due.
                return batch;
            }
            let late = now - due;
            self.lateness.max_ns = self.lateness.max_ns.max(late);
            self.lateness.messages += u64::from(late > LATE_NS);
            self.sent += 1;
            let lane = self.next_lane;
            self.next_lane = if lane + 1 == self.lanes.len() { 0 } else { lane + 1 };
            let lane = &mut self.lanes[lane];
            batch.published += 1;
            batch.owed += lane.cells.len() as u64;
            append(&mut self.out, lane, &mut self.payload, 1, due);
        }
    }

    /// Writes as much as the socket takes.
    pub fn flush(&mut self) -> Result<(), String> {
        self.blocked = false;
        while self.written < self.out.len() {
            match self.connection.stream.write(&self.out[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    if self.written >= OUT_BYTES {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("the connection is lost: {error}")),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes what a broker says to its publishers; messages that came, which should be none.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<u64, String> {
        let Some(len) = self.connection.read(buffer)? else { return Ok(0) };
        let mut strays = Strays::default();
        self.connection.take(&buffer[..len], &mut strays)?;
        if !strays.replies.is_empty() {
            self.out.extend_from_slice(&strays.replies);
            if !self.blocked {
                self.flush()?;
            }
        }
        Ok(strays.messages)
    }
}

fn append(out: &mut Vec<u8>, lane: &mut Lane, payload: &mut [u8], batch: usize, time_ns: u64) {
    out.extend_from_slice(&lane.envelope.before);
    for _ in 0..batch {
        let header = Header { stream: lane.stream, sequence: lane.sent as u32, time_ns };
        payload[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        out.extend_from_slice(&lane.envelope.before_each);
        out.extend_from_slice(payload);
        lane.sent += 1;
    }
    out.extend_from_slice(&lane.envelope.after);
}
