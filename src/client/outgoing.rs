//! Published messages to MESSAGES frames: what is published while a write is under way shares
//! frames, one open frame per topic.
//!
//! Called by `conversation`, under its lock; what is taken here goes to `writer`.
//!
//! # Always true
//! - Messages of one topic leave in the order they were appended in.
//! - A control frame leaves behind everything appended before it: open frames are sealed first.
//! - No frame exceeds `FRAME_BYTES_MAX` unless one message alone does.

use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::protocol::messages::Header;

/// Bytes of a frame that messages share: beyond this the 40 bytes of header are lost in the noise,
/// and a subscriber would wait longer for the first of them.
const FRAME_BYTES_MAX: usize = 64 * 1_024;
/// A longer payload gets a frame of its own: sharing one would copy it twice to save 40 bytes.
const SHARED_PAYLOAD_MAX: usize = 16 * 1_024;
/// Buffers of sealed frames kept for the next open ones. Few topics are open at once in most
/// clients, and a client of very many must not keep 64 KiB for each.
const SPARE_BUFFERS_MAX: usize = 16;

/// What waits for the next write.
pub(super) struct Outgoing {
    frame_len_max: usize,
    sealed: Vec<u8>,
    topics: Vec<OpenFrame>,
    /// Topics whose frame is open, in the order they were opened in.
    open: Vec<usize>,
    open_bytes: usize,
    spare: Vec<Vec<u8>>,
}

/// The frame that a topic's next message joins. Without messages, `bytes` is empty.
struct OpenFrame {
    /// The `topic` field: provisional until the broker gave the id.
    topic: u32,
    count: u16,
    ttl_ms: u32,
    bytes: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(frame_len_max: u32) -> Outgoing {
        Outgoing {
            frame_len_max: FRAME_BYTES_MAX.min(frame_len_max as usize),
            sealed: Vec::new(),
            topics: Vec::new(),
            open: Vec::new(),
            open_bytes: 0,
            spare: Vec::new(),
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.sealed.len() + self.open_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for a topic; the answer names it from here on.
    pub(super) fn add_topic(&mut self, topic: u32) -> usize {
        self.topics.push(OpenFrame { topic, count: 0, ttl_ms: 0, bytes: Vec::new() });
        self.topics.len() - 1
    }

    /// The broker gave the id: the frame that is open may already carry it.
    pub(super) fn set_topic(&mut self, index: usize, topic: u32) {
        self.topics[index].topic = topic;
    }

    /// Appends one message.
    pub(super) fn append(&mut self, index: usize, payload: &[u8], ttl_ms: u32) {
        let record_len = RECORD_HEADER_LEN + payload.len();
        let frame = &self.topics[index];
        // One frame has one time to live, one count of 16 bits, and a bound in bytes.
        let joins = frame.ttl_ms == ttl_ms
            && frame.count < u16::MAX
            && frame.bytes.len() + record_len <= self.frame_len_max
            && payload.len() <= SHARED_PAYLOAD_MAX;
        if !joins && !frame.bytes.is_empty() {
            self.seal(index);
        }
        let alone = payload.len() > SHARED_PAYLOAD_MAX
            || MESSAGES_HEADER_LEN + record_len > self.frame_len_max;
        let frame = &mut self.topics[index];
        if alone {
            let frame_len = MESSAGES_HEADER_LEN + record_len;
            self.sealed.extend_from_slice(&header(frame.topic, 1, ttl_ms, frame_len));
            append_record(&mut self.sealed, payload);
            return;
        }
        if frame.bytes.is_empty() {
            frame.bytes = self.spare.pop().unwrap_or_default();
            frame.bytes.resize(MESSAGES_HEADER_LEN, 0);
            frame.ttl_ms = ttl_ms;
            self.open.push(index);
            self.open_bytes += MESSAGES_HEADER_LEN;
        }
        frame.count += 1;
        append_record(&mut frame.bytes, payload);
        self.open_bytes += record_len;
    }

    /// Where a control frame is written: behind everything appended so far.
    pub(super) fn control(&mut self) -> &mut Vec<u8> {
        self.seal_all();
        &mut self.sealed
    }

    /// Everything that waits, in exchange for an empty buffer.
    pub(super) fn take(&mut self, batch: &mut Vec<u8>) {
        assert!(batch.is_empty());
        self.seal_all();
        std::mem::swap(&mut self.sealed, batch);
    }

    fn seal_all(&mut self) {
        for index in std::mem::take(&mut self.open) {
            self.move_to_sealed(index);
        }
    }

    fn seal(&mut self, index: usize) {
        // The topic being published to was most likely opened last.
        let at = self.open.iter().rposition(|open| *open == index).expect("the frame is open");
        self.open.remove(at);
        self.move_to_sealed(index);
    }

    fn move_to_sealed(&mut self, index: usize) {
        let frame = &mut self.topics[index];
        let header = header(frame.topic, frame.count, frame.ttl_ms, frame.bytes.len());
        frame.bytes[..MESSAGES_HEADER_LEN].copy_from_slice(&header);
        self.sealed.extend_from_slice(&frame.bytes);
        self.open_bytes -= frame.bytes.len();
        frame.count = 0;
        let mut bytes = std::mem::take(&mut frame.bytes);
        if self.spare.len() < SPARE_BUFFERS_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

fn header(topic: u32, count: u16, ttl_ms: u32, frame_len: usize) -> [u8; MESSAGES_HEADER_LEN] {
    let frame_len = u32::try_from(frame_len).expect("the payload was checked against WELCOME");
    Header {
        frame_len,
        flags: 0,
        count,
        topic,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms,
        crc: 0,
    }
    .to_bytes()
}

fn append_record(bytes: &mut Vec<u8>, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::decode::next_frame;
    use crate::protocol::{encode, messages};

    /// Topic and payloads of each frame; a control frame is topic 0.
    fn frames(mut bytes: &[u8]) -> Vec<(u32, Vec<Vec<u8>>)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let frame = next_frame(bytes, u32::MAX).expect("legal").expect("whole");
            bytes = &bytes[frame.len()..];
            if frame[4] == crate::protocol::Kind::Messages as u8 {
                let header = messages::check(frame, u32::MAX).expect("records fit");
                let payloads = messages::records(frame).map(|record| record.payload.to_vec());
                found.push((header.topic, payloads.collect()));
            } else {
                found.push((0, Vec::new()));
            }
        }
        found
    }

    fn taken(outgoing: &mut Outgoing) -> Vec<u8> {
        let expected = outgoing.len();
        let mut batch = Vec::new();
        outgoing.take(&mut batch);
        assert_eq!(batch.len(), expected, "`len` counts what `take` gives");
        assert!(outgoing.is_empty());
        batch
    }

    #[test]
    fn messages_of_interleaved_topics_share_one_frame_per_topic() {
        let mut outgoing = Outgoing::new(1 << 20);
        let (a, b) = (outgoing.add_topic(7), outgoing.add_topic(9));
        for number in 0..3u8 {
            outgoing.append(a, &[number], 0);
            outgoing.append(b, &[number, number], 0);
        }
        let expected = vec![
            (7, vec![vec![0], vec![1], vec![2]]),
            (9, vec![vec![0, 0], vec![1, 1], vec![2, 2]]),
        ];
        assert_eq!(frames(&taken(&mut outgoing)), expected);
    }

    #[test]
    fn control_frame_leaves_behind_what_was_appended_before_it() {
        let mut outgoing = Outgoing::new(1 << 20);
        let a = outgoing.add_topic(7);
        outgoing.append(a, b"before", 0);
        encode::ping(outgoing.control(), 1);
        outgoing.append(a, b"after", 0);
        let expected = vec![(7, vec![b"before".to_vec()]), (0, vec![]), (7, vec![b"after".into()])];
        assert_eq!(frames(&taken(&mut outgoing)), expected);
    }

    #[test]
    fn another_time_to_live_starts_another_frame() {
        let mut outgoing = Outgoing::new(1 << 20);
        let a = outgoing.add_topic(7);
        for ttl_ms in [0, 0, 50, 50, 0] {
            outgoing.append(a, b"x", ttl_ms);
        }
        let batch = taken(&mut outgoing);
        let counts: Vec<usize> = frames(&batch).iter().map(|(_, sent)| sent.len()).collect();
        assert_eq!(counts, [2, 2, 1]);
        assert_eq!(Header::read(&batch).ttl_ms, 0);
    }

    #[test]
    fn large_message_goes_alone_and_in_its_place() {
        let mut outgoing = Outgoing::new(1 << 20);
        let a = outgoing.add_topic(7);
        let large = vec![b'l'; SHARED_PAYLOAD_MAX + 1];
        outgoing.append(a, b"1", 0);
        outgoing.append(a, &large, 0);
        outgoing.append(a, b"2", 0);
        let expected = vec![(7, vec![b"1".to_vec()]), (7, vec![large]), (7, vec![b"2".to_vec()])];
        assert_eq!(frames(&taken(&mut outgoing)), expected);
    }

    #[test]
    fn frame_ends_at_its_bounds_in_bytes_and_in_messages() {
        let mut outgoing = Outgoing::new(1_000);
        let a = outgoing.add_topic(7);
        for _ in 0..100 {
            outgoing.append(a, &[0; 96], 0);
        }
        let sent = frames(&taken(&mut outgoing));
        assert!(sent.iter().all(|(_, payloads)| payloads.len() <= 9), "40 + 9 * 100 <= 1,000");
        assert_eq!(sent.iter().map(|(_, payloads)| payloads.len()).sum::<usize>(), 100);

        let mut outgoing = Outgoing::new(1 << 20);
        let a = outgoing.add_topic(7);
        for _ in 0..40_000 {
            outgoing.append(a, b"", 0);
        }
        let sent = frames(&taken(&mut outgoing));
        assert_eq!(sent.iter().map(|(_, payloads)| payloads.len()).sum::<usize>(), 40_000);
        assert_eq!(sent.len(), 3, "64 KiB hold 16,374 records without payload");
    }

    #[test]
    fn id_that_arrives_while_a_frame_is_open_is_what_the_frame_carries() {
        let mut outgoing = Outgoing::new(1 << 20);
        let a = outgoing.add_topic(0x8000_0001);
        outgoing.append(a, b"x", 0);
        outgoing.set_topic(a, 12);
        assert_eq!(frames(&taken(&mut outgoing))[0].0, 12);
    }
}
