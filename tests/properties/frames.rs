//! Frames whose records name their message, and the operations on such frames.

use std::sync::Arc;

use blipmq::broker::message::{Slice, TopicName};
use blipmq::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use blipmq::protocol::frame::FLAG_CRC;
use blipmq::protocol::messages::{self, Header, Stamp};
use blipmq::protocol::{CoreId, Sequence, TopicId, decode};
use proptest::prelude::*;

/// Payload bytes that name a message.
const NAME_LEN: usize = 12;
/// Stands for a CRC: it must stay, or be removed together with its flag.
const CRC: u32 = 0x0fee_dc4c;

/// The frames of a slice: for each, the padding behind every message's name.
pub type Shape = Vec<Vec<usize>>;

pub fn shapes() -> impl Strategy<Value = Shape> {
    let frame = prop::collection::vec(prop_oneof![4 => 0usize..8, 1 => 0usize..200], 1..5);
    prop::collection::vec(frame, 1..5)
}

/// A topic under a number.
pub fn named(id: u32) -> Arc<TopicName> {
    let name = format!("topic.{id}").into();
    Arc::new(TopicName { id: TopicId(id), owner: CoreId(0), name })
}

/// A slice of this shape, with the sequence and timestamp of the broker.
pub fn slice(topic: u32, first: u64, shape: &Shape) -> Slice {
    let mut frames = Vec::new();
    let mut sequence = first;
    for paddings in shape {
        let mut records = Vec::new();
        for padding in paddings {
            records.extend_from_slice(&((NAME_LEN + padding) as u32).to_le_bytes());
            records.extend_from_slice(&topic.to_le_bytes());
            records.extend_from_slice(&sequence.to_le_bytes());
            records.resize(records.len() + padding, 0xaa);
            sequence += 1;
        }
        let header = Header {
            frame_len: (MESSAGES_HEADER_LEN + records.len()) as u32,
            flags: FLAG_CRC,
            count: paddings.len() as u16,
            topic: 0,
            subscription: 0,
            sequence: 0,
            timestamp: 0,
            ttl_ms: 0,
            crc: CRC,
        };
        frames.extend_from_slice(&header.to_bytes());
        frames.extend_from_slice(&records);
    }
    let (topic, first) = (named(topic), Sequence(first));
    let stamp = Stamp { topic: topic.id, sequence: first, timestamp: 7, ttl_ms: 9 };
    let next = messages::stamp(&mut frames, stamp);
    assert_eq!(next.0, sequence);
    Slice {
        topic,
        subscription: 0,
        first,
        messages: (next.0 - first.0) as u32,
        received_ns: 0,
        deadline_ns: u64::MAX,
        not_to: None,
        frames: frames.into(),
    }
}

/// The frame length of a single message with this padding.
pub fn frame_len(paddings: &[usize]) -> usize {
    let records = paddings.iter().map(|padding| RECORD_HEADER_LEN + NAME_LEN + padding);
    MESSAGES_HEADER_LEN + records.sum::<usize>()
}

/// Reads a slice like a subscriber; returns the number of messages of each frame. Checks that every
/// message is the one of its sequence, and that the sums of the slice are right.
pub fn read(slice: &Slice) -> Vec<u32> {
    let mut counts = Vec::new();
    let mut sequence = slice.first.0;
    let mut rest = &slice.frames[..];
    while !rest.is_empty() {
        let frame = decode::next_frame(rest, u32::MAX).expect("legal").expect("whole");
        let header = messages::check(frame, u32::MAX).expect("a right frame");
        assert_eq!((header.topic, header.sequence), (slice.topic.id.0, sequence));
        assert_eq!((header.timestamp, header.ttl_ms), (7, 9), "the stamp stays");
        let crc = if header.flags & FLAG_CRC != 0 { CRC } else { 0 };
        assert_eq!(header.crc, crc, "a CRC goes with its flag");
        for record in messages::records(frame) {
            let name = [&slice.topic.id.0.to_le_bytes()[..], &sequence.to_le_bytes()].concat();
            assert_eq!(record.payload[..NAME_LEN], name);
            sequence += 1;
        }
        counts.push(u32::from(header.count));
        rest = &rest[frame.len()..];
    }
    assert_eq!(slice.next().0, sequence, "a slice counts what its frames count");
    counts
}

/// The number of messages in frames that still carry their CRC.
fn with_crc(slice: &Slice) -> usize {
    let mut rest = slice.clone();
    let mut count = 0;
    while !rest.frames.is_empty() {
        let frame = rest.split_first_frame();
        if Header::read(&frame.frames).flags & FLAG_CRC != 0 {
            count += frame.messages as usize;
        }
    }
    count
}

proptest! {
    #![proptest_config(super::config())]

    /// Goal: a slice cut to its last messages has exactly these, and only a cut frame loses its CRC.
    #[test]
    fn keep_last_keeps_the_last_messages_and_cuts_one_frame_at_most(
        shape in shapes(),
        keep in 0u32..20,
    ) {
        let whole = slice(3, 11, &shape);
        let mut kept = whole.clone();
        kept.keep_last(keep);
        let counts: Vec<u32> = shape.iter().map(|frame| frame.len() as u32).collect();
        let mut expected = Vec::new();
        let mut left = keep.min(whole.messages);
        prop_assert_eq!(kept.messages, left);
        for count in counts.iter().rev() {
            if left > 0 {
                expected.insert(0, left.min(*count));
                left -= left.min(*count);
            }
        }
        prop_assert_eq!(read(&kept), expected.clone());
        prop_assert_eq!(kept.next(), whole.next());
        let uncut: u32 = counts.iter().rev().zip(expected.iter().rev())
            .filter(|(whole, kept)| whole == kept).map(|(_, kept)| kept).sum();
        prop_assert_eq!(with_crc(&kept), uncut as usize);
        if keep == 1 {
            prop_assert_eq!(&whole.newest().frames, &kept.frames);
        }
    }

    /// Goal: the frames of a slice together are the slice.
    #[test]
    fn split_frames_are_the_slice(shape in shapes()) {
        let whole = slice(3, 11, &shape);
        prop_assert_eq!(whole.is_one_frame(), shape.len() == 1);
        let mut rest = whole.clone();
        let mut bytes = Vec::new();
        for paddings in &shape {
            let frame = rest.split_first_frame();
            prop_assert!(frame.is_one_frame());
            prop_assert_eq!(frame.frames.len(), frame_len(paddings));
            prop_assert_eq!(read(&frame), vec![paddings.len() as u32]);
            prop_assert_eq!(frame.next(), rest.first);
            bytes.extend_from_slice(&frame.frames);
        }
        prop_assert!(rest.frames.is_empty() && rest.messages == 0);
        prop_assert_eq!(&bytes[..], &whole.frames[..]);
    }

    /// Goal: a frame cut to its last messages is a valid frame of these, without a CRC.
    #[test]
    fn last_messages_of_a_frame_are_its_last_records(
        paddings in prop::collection::vec(0usize..40, 2..20),
        keep in any::<prop::sample::Index>(),
    ) {
        let whole = slice(3, 11, &vec![paddings.clone()]);
        let keep = 1 + keep.index(paddings.len() - 1) as u16;
        let cut = messages::last_messages(&whole.frames, keep);
        prop_assert_eq!(cut.len(), frame_len(&paddings[paddings.len() - usize::from(keep)..]));
        let first = whole.next().0 - u64::from(keep);
        let kept = Slice {
            first: Sequence(first),
            messages: u32::from(keep),
            frames: cut.into(),
            ..whole
        };
        prop_assert_eq!(read(&kept), vec![u32::from(keep)]);
        prop_assert_eq!(with_crc(&kept), 0);
    }
}
