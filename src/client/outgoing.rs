//! Published messages to MESSAGES frames: messages that are published during a write share frames, one
//! open frame per topic.
//!
//! Called by `conversation`, under its lock. Next on the path: `writer`.
//!
//! # Always true
//! - Messages of one topic leave in the order in which they were appended.
//! - A control frame leaves after everything that was appended before: open frames are sealed first.
//! - No frame exceeds `FRAME_BYTES_MAX` unless one message alone does.
//! - A frame asks for one ACK if any of its messages does: ACKs do not make batches smaller.

use blipmq_protocol::frame::{FLAG_ACK, FLAG_CRC, FLAG_HEADERS};
use blipmq_protocol::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use blipmq_protocol::messages::Header;
use blipmq_protocol::{Kind, encode};

#[cfg(test)]
mod tests;

/// Most bytes of a frame that messages share: beyond that the 40 bytes of header do not matter any
/// more, and a subscriber would wait longer for the first message.
const FRAME_BYTES_MAX: usize = 64 * 1_024;
/// A longer record gets a frame of its own: sharing would copy the record twice to save 40 bytes.
const SHARED_RECORD_MAX: usize = 16 * 1_024;
/// Buffers of sealed frames that are kept for further ones. Most clients have few open frames at once,
/// and a client with very many topics must not keep 64 KiB for each.
const SPARE_BUFFERS_MAX: usize = 16;

/// The frames that wait for the next write.
pub(crate) struct Outgoing {
    frame_len_max: usize,
    crc: bool,
    sealed: Vec<u8>,
    topics: Vec<OpenFrame>,
    /// Topics whose frame is open, in the order of opening.
    open: Vec<usize>,
    open_bytes: usize,
    spare: Vec<Vec<u8>>,
    publish_ids: u64,
}

/// The frame that the next message of a topic joins. `bytes` is empty without messages.
#[derive(Default)]
struct OpenFrame {
    head: Head,
    bytes: Vec<u8>,
}

/// The fields of a frame's header that the publisher writes.
#[derive(Default, Clone, Copy)]
struct Head {
    /// Provisional until the broker has named the id.
    topic: u32,
    count: u16,
    ttl_ms: u32,
    flags: u8,
    /// 0 if no message of the frame wants an ACK.
    publish_id: u64,
}

/// A message to append.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// A header block, or empty.
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) ttl_ms: u32,
    pub(crate) wants_ack: bool,
}

/// Where the ACK of a message is found. An ACK has the sequence of the frame's first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) publish_id: u64,
    pub(crate) index: u16,
}

impl Record<'_> {
    /// Returns the length of the record in a frame.
    pub(crate) fn len(&self) -> usize {
        let headers_len = if self.headers.is_empty() { 0 } else { 2 + self.headers.len() };
        RECORD_HEADER_LEN + headers_len + self.payload.len()
    }
}

impl Outgoing {
    pub(crate) fn new(frame_len_max: u32, crc: bool) -> Outgoing {
        Outgoing {
            frame_len_max: FRAME_BYTES_MAX.min(frame_len_max as usize),
            crc,
            sealed: Vec::new(),
            topics: Vec::new(),
            open: Vec::new(),
            open_bytes: 0,
            spare: Vec::new(),
            publish_ids: 0,
        }
    }

    /// Returns the number of bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + self.open_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the last publish id that was used.
    pub(crate) fn publish_ids(&self) -> u64 {
        self.publish_ids
    }

    /// Adds a topic and returns its index.
    pub(crate) fn add_topic(&mut self, topic: u32) -> usize {
        self.topics.push(OpenFrame::default());
        self.set_topic(self.topics.len() - 1, topic);
        self.topics.len() - 1
    }

    /// Sets the id that a topic's open frame and further ones carry.
    pub(crate) fn set_topic(&mut self, index: usize, topic: u32) {
        self.topics[index].head.topic = topic;
    }

    /// Appends one message. If the message wants an ACK, returns where to find it.
    pub(crate) fn append(&mut self, index: usize, record: Record<'_>) -> Option<Place> {
        let record_len = record.len();
        let shares = record_len <= SHARED_RECORD_MAX;
        let frame = &self.topics[index];
        // One frame has one time to live, one count of 16 bits, and a bound in bytes.
        let joins = frame.head.ttl_ms == record.ttl_ms
            && frame.head.count < u16::MAX
            && frame.bytes.len() + record_len <= self.frame_len_max
            && shares;
        if !joins && !frame.bytes.is_empty() {
            self.seal(index);
        }
        let frame = &mut self.topics[index];
        if frame.bytes.is_empty() {
            frame.head = Head { ttl_ms: record.ttl_ms, topic: frame.head.topic, ..Head::default() };
        }
        let place = record.wants_ack.then(|| {
            if frame.head.publish_id == 0 {
                self.publish_ids += 1;
                frame.head.publish_id = self.publish_ids;
                frame.head.flags |= FLAG_ACK;
            }
            Place { publish_id: frame.head.publish_id, index: frame.head.count }
        });
        if !record.headers.is_empty() {
            frame.head.flags |= FLAG_HEADERS;
        }
        frame.head.count += 1;
        if !shares || MESSAGES_HEADER_LEN + record_len > self.frame_len_max {
            let begin = self.sealed.len();
            self.sealed.resize(begin + MESSAGES_HEADER_LEN, 0);
            encode::record(&mut self.sealed, record.headers, record.payload);
            write_header(&mut self.sealed[begin..], frame.head, self.crc);
            return place;
        }
        if frame.bytes.is_empty() {
            frame.bytes = self.spare.pop().unwrap_or_default();
            frame.bytes.resize(MESSAGES_HEADER_LEN, 0);
            self.open.push(index);
            self.open_bytes += MESSAGES_HEADER_LEN;
        }
        encode::record(&mut frame.bytes, record.headers, record.payload);
        self.open_bytes += record_len;
        place
    }

    /// Returns where to append a control frame: behind everything appended so far.
    pub(crate) fn control(&mut self) -> &mut Vec<u8> {
        self.seal_all();
        &mut self.sealed
    }

    /// Takes everything that waits, in exchange for an empty buffer.
    pub(crate) fn take(&mut self, batch: &mut Vec<u8>) {
        assert!(batch.is_empty());
        self.seal_all();
        std::mem::swap(&mut self.sealed, batch);
    }

    /// Takes everything that waits, for `put_back` on the next connection.
    pub(crate) fn take_unsent(&mut self, frame_len_max: u32) -> Vec<u8> {
        self.seal_all();
        self.frame_len_max = FRAME_BYTES_MAX.min(frame_len_max as usize);
        std::mem::take(&mut self.sealed)
    }

    /// Appends what `take_unsent` returned: PINGs, and messages, whose old topic id `number` translates.
    /// Other control frames belonged to the connection before. Returns the number of messages whose
    /// topic does not exist any more.
    pub(crate) fn put_back(&mut self, unsent: Vec<u8>, number: impl Fn(u32) -> Option<u32>) -> u64 {
        let mut not_sent = 0;
        let mut rest = &unsent[..];
        while let Some(len) = rest.first_chunk::<4>() {
            let (frame, behind) = rest.split_at(u32::from_le_bytes(*len) as usize);
            rest = behind;
            if frame[4] == Kind::Ping as u8 {
                self.sealed.extend_from_slice(frame);
            } else if frame[4] == Kind::Messages as u8 {
                let header = Header::read(frame);
                match number(header.topic) {
                    Some(topic) => {
                        self.sealed.extend_from_slice(&Header { topic, ..header }.to_bytes());
                        self.sealed.extend_from_slice(&frame[MESSAGES_HEADER_LEN..]);
                    }
                    None => not_sent += u64::from(header.count),
                }
            }
        }
        not_sent
    }

    fn seal_all(&mut self) {
        for index in std::mem::take(&mut self.open) {
            self.move_to_sealed(index);
        }
    }

    fn seal(&mut self, index: usize) {
        // A full frame is most likely the one that was opened last.
        let at = self.open.iter().rposition(|open| *open == index).expect("the frame is open");
        self.open.remove(at);
        self.move_to_sealed(index);
    }

    fn move_to_sealed(&mut self, index: usize) {
        let frame = &mut self.topics[index];
        write_header(&mut frame.bytes, frame.head, self.crc);
        self.sealed.extend_from_slice(&frame.bytes);
        self.open_bytes -= frame.bytes.len();
        let mut bytes = std::mem::take(&mut frame.bytes);
        if self.spare.len() < SPARE_BUFFERS_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

/// Fills the room for the header in front of the records.
fn write_header(frame: &mut [u8], head: Head, crc: bool) {
    let header = Header {
        frame_len: u32::try_from(frame.len()).expect("the message was checked against WELCOME"),
        flags: head.flags | if crc { FLAG_CRC } else { 0 },
        count: head.count,
        topic: head.topic,
        subscription: 0,
        sequence: head.publish_id,
        timestamp: 0,
        ttl_ms: head.ttl_ms,
        crc: if crc { crc32c::crc32c(&frame[MESSAGES_HEADER_LEN..]) } else { 0 },
    };
    frame[..MESSAGES_HEADER_LEN].copy_from_slice(&header.to_bytes());
}
