//! How frames are cut, joined into runs, and addressed.

use super::*;
use crate::frame::{FLAG_ACK, FLAG_CRC, FLAG_HEADERS};

fn frame(flags: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let records: Vec<u8> = payloads
        .iter()
        .flat_map(|payload| [&(payload.len() as u32).to_le_bytes()[..], payload].concat())
        .collect();
    let header = Header {
        frame_len: (MESSAGES_HEADER_LEN + records.len()) as u32,
        flags,
        count: payloads.len() as u16,
        topic: 7,
        subscription: 0,
        sequence: 11,
        timestamp: 5,
        ttl_ms: 9,
        crc: 0xfeed,
    };
    [&header.to_bytes()[..], &records].concat()
}

#[test]
fn a_cut_frame_has_the_last_messages_their_sequence_and_no_crc() {
    let whole = frame(FLAG_CRC, &[b"a", b"", b"ccc"]);
    for (keep, sequence, payloads) in [(1, 13, vec![&b"ccc"[..]]), (2, 12, vec![b"", b"ccc"])] {
        let cut = last_messages(&whole, keep);
        let header = check(&cut, 100).expect("a right frame");
        assert_eq!((header.count, header.sequence, header.flags), (keep, sequence, 0));
        assert_eq!((header.topic, header.timestamp, header.ttl_ms), (7, 5, 9));
        assert_eq!(records(&cut).map(|record| record.payload).collect::<Vec<_>>(), payloads);
    }
}

#[test]
fn a_run_ends_before_the_first_frame_that_differs_is_cut_or_is_wrong() {
    let first = frame(FLAG_CRC, &[b"a", b"b"]);
    let header = check(&first, 100).expect("a right frame");
    let bounds =
        RunBounds { frame_len_max: 91, message_len_max: 9, messages_max: 6, bytes_max: 300 };
    let with = |at: usize, byte: u8| {
        let mut changed = frame(0, &[b"c"]);
        changed[at] = byte;
        changed
    };
    let same = with(SEQUENCE_AT, 99);
    let alone = (first.len(), 2);
    let both = (first.len() + same.len(), 3);
    let run_of = |parts: &[&[u8]]| run(&parts.concat(), &header, bounds);
    assert_eq!(run_of(&[&first]), alone);
    assert_eq!(run_of(&[&first, &same]), both);
    assert_eq!(run_of(&[&first, &same, &same[..same.len() - 1]]), both, "cut");
    assert_eq!(run_of(&[&first, &same, &same[..39]]), both, "cut in its header");
    for (what, other) in [
        ("another kind", with(KIND_AT, 7)),
        ("wants an ACK", with(FLAGS_AT, FLAG_ACK)),
        ("another topic", with(TOPIC_AT, 8)),
        ("another TTL", with(TTL_AT, 1)),
        ("no length", with(0, 0)),
        ("a length that no frame may have", with(3, 0xff)),
        ("too long a frame", frame(0, &[b"012345678".as_slice(); 4])),
        ("no messages", with(COUNT_AT, 0)),
        ("a record beyond its end", with(MESSAGES_HEADER_LEN, 2)),
        ("too long a message", frame(0, &[b"0123456789"])),
        ("too many messages", frame(0, &[b"".as_slice(); 5])),
    ] {
        assert_eq!(run_of(&[&first, &other, &same]), alone, "{what}");
    }
    assert_eq!(run_of(&[&first, &frame(0, &[b"".as_slice(); 4])]).1, 6, "as many as may be");
    let bytes_max = both.0;
    assert_eq!(
        run(&[&first[..], &same, &same].concat(), &header, RunBounds { bytes_max, ..bounds }),
        both
    );
    let header = Header { flags: FLAG_HEADERS, ..header };
    assert_eq!(run(&[&first[..], &same].concat(), &header, bounds), alone, "it has no headers");
    let header = Header { flags: FLAG_ACK, ..header };
    assert_eq!(run(&[&first[..], &same].concat(), &header, bounds), alone, "each ACK is its own");
}

#[test]
fn every_frame_of_a_run_is_addressed() {
    let mut run = [frame(0, &[b"a"]), frame(0, &[b"b", b"c"])].concat();
    address(&mut run, TopicId(8), 42);
    let (first_len, _) = first_frame(&run);
    assert_eq!(Header::read(&run).subscription, 42);
    let second = Header::read(&run[first_len..]);
    assert_eq!((second.topic, second.subscription), (8, 42));
}
