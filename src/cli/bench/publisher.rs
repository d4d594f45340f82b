//! One publishing connection: its schedule or window, and the bytes it sends.
//!
//! Called by `worker`. Next on the path: the socket.
//!
//! # Always true
//! - With a window, no topic has more messages in flight than the window, over all its publishers.
//! - On a schedule, every message carries the instant it was due, however late it is sent.
//! - `out` holds whole messages only, so an answer can be appended at any time.

use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::codec::Envelope;
use super::connect::Connection;
use super::shared::{Pace, Shared};
use super::tracker::{HEADER_LEN, Header};
use super::worker::Strays;

/// The number of buffered bytes at which no further message is appended.
const OUT_BYTES_MAX: usize = 256 * 1_024;
/// Messages sent later than this are reported as late.
const LATE_NS: u64 = 1_000_000;

/// One topic of a publisher.
#[derive(Debug)]
pub struct Lane {
    /// The number of the stream.
    pub stream: u32,
    pub cells: Range<usize>,
    /// The most messages in flight: this publisher's part of the topic's window.
    pub window: u32,
    pub envelope: Envelope,
    pub sent: u64,
    /// Messages that the window still allows, as of the last read of the cells.
    room: u32,
}

impl Lane {
    pub fn new(stream: usize, cells: Range<usize>, window: u32, envelope: Envelope) -> Lane {
        Lane { stream: stream as u32, cells, window, envelope, sent: 0, room: window }
    }

    /// Returns the number of messages in flight to the slowest subscriber.
    fn in_flight(&self, cells: &[AtomicU32]) -> u32 {
        let sent = self.sent as u32;
        let cells = cells[self.cells.clone()].iter();
        cells.map(|cell| sent.wrapping_sub(cell.load(Ordering::Relaxed))).max().unwrap_or(0)
    }
}

/// How late messages were sent, relative to the schedule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lateness {
    /// The number of messages sent more than a millisecond late.
    pub messages: u64,
    pub max_ns: u64,
}

/// The outcome of one call of [`Publisher::publish`].
pub struct Step {
    pub published: u64,
    pub owed: u64,
    /// The instant of the next call that can publish something.
    pub next_ns: u64,
}

#[derive(Debug)]
pub struct Publisher {
    pub number: usize,
    /// The number of all publishers, for the schedule.
    pub publishers: usize,
    pub connection: Connection,
    pub lanes: Vec<Lane>,
    pub lateness: Lateness,
    payload: Vec<u8>,
    batch: usize,
    next_lane: usize,
    /// Messages sent so far, over all lanes.
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
        assert!(payload_len >= HEADER_LEN, "the range of --size starts at the header's length");
        let unit_len = lanes[0].envelope.publish_len(payload_len, batch);
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
            out: Vec::with_capacity(OUT_BYTES_MAX + 2 * unit_len),
            written: 0,
            blocked: false,
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub fn describe_error(&self, error: &str) -> String {
        format!("publisher {}: {error}", self.number)
    }

    /// Ends the round trip if all subscribers have received its message, and returns the instant at
    /// which the message was sent.
    pub fn finish_round_trip(&mut self, cells: &[AtomicU32]) -> Option<u64> {
        self.round_trip_since?;
        if self.lanes[0].in_flight(cells) > 0 {
            return None;
        }
        self.round_trip_since.take()
    }

    /// Appends the messages that are due or allowed to the output.
    pub fn publish(&mut self, shared: &Shared, now: u64) -> Step {
        match shared.pace {
            Pace::Rate { messages_per_s, .. } => self.publish_due(shared, messages_per_s, now),
            Pace::Window(_) | Pace::RoundTrip => self.publish_allowed(shared, now),
        }
    }

    fn publish_allowed(&mut self, shared: &Shared, now: u64) -> Step {
        let mut step = Step { published: 0, owed: 0, next_ns: u64::MAX };
        if self.blocked {
            return step;
        }
        for lane in &mut self.lanes {
            lane.room = lane.window.saturating_sub(lane.in_flight(&shared.cells));
        }
        // One batch per lane in turn, until no lane has room.
        let mut without_room = 0;
        while without_room < self.lanes.len() {
            if self.out.len() >= OUT_BYTES_MAX {
                step.next_ns = now;
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
            step.published += self.batch as u64;
            step.owed += (self.batch * lane.cells.len()) as u64;
            append(&mut self.out, lane, &mut self.payload, self.batch, now);
        }
        if shared.pace == Pace::RoundTrip && step.published > 0 {
            self.round_trip_since = Some(now);
        }
        step
    }

    fn publish_due(&mut self, shared: &Shared, messages_per_s: u64, now: u64) -> Step {
        let mut step = Step { published: 0, owed: 0, next_ns: u64::MAX };
        loop {
            // Publishers take turns: message n, over all publishers, is due at n / rate.
            let number = self.sent * self.publishers as u64 + self.number as u64;
            let due_after = u128::from(number) * 1_000_000_000 / u128::from(messages_per_s);
            let due = shared.times.start + due_after as u64;
            if due > now || due >= shared.times.stop {
                step.next_ns = due;
                return step;
            }
            if self.out.len() - self.written >= OUT_BYTES_MAX {
                // The socket is full: the messages stay due.
                return step;
            }
            let late = now - due;
            self.lateness.max_ns = self.lateness.max_ns.max(late);
            self.lateness.messages += u64::from(late > LATE_NS);
            self.sent += 1;
            let lane = self.next_lane;
            self.next_lane = if lane + 1 == self.lanes.len() { 0 } else { lane + 1 };
            let lane = &mut self.lanes[lane];
            step.published += 1;
            step.owed += lane.cells.len() as u64;
            append(&mut self.out, lane, &mut self.payload, 1, due);
        }
    }

    /// Writes as much as the socket takes.
    pub fn flush(&mut self) -> Result<(), String> {
        self.blocked = false;
        while self.written < self.out.len() {
            match self.connection.wire.write(&self.out[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    if self.written >= OUT_BYTES_MAX {
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
        match self.connection.wire.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(format!("the connection is lost: {error}")),
            Ok(()) => Ok(()),
        }
    }

    /// Reads once from the connection. Returns the number of messages received, which should be 0.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<u64, String> {
        let Some(len) = self.connection.read(buffer)? else { return Ok(0) };
        let mut strays = Strays::default();
        self.connection.decode(&buffer[..len], &mut strays)?;
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
