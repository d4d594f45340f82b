//! How messages share frames, and where frames end.

use super::*;
use blipmq_protocol::decode::next_frame;
use blipmq_protocol::messages;

/// Returns topic and payloads of each frame; a control frame has topic 0.
fn frames(mut bytes: &[u8]) -> Vec<(u32, Vec<Vec<u8>>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let frame = next_frame(bytes, u32::MAX).expect("legal").expect("whole");
        bytes = &bytes[frame.len()..];
        if frame[4] == blipmq_protocol::Kind::Messages as u8 {
            let header = messages::check(frame, u32::MAX).expect("records fit");
            let payloads = messages::records(frame).map(|record| record.payload.to_vec());
            found.push((header.topic, payloads.collect()));
        } else {
            found.push((0, Vec::new()));
        }
    }
    found
}

fn plain(payload: &[u8], ttl_ms: u32) -> Record<'_> {
    Record { headers: b"", payload, ttl_ms, wants_ack: false }
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
    let mut outgoing = Outgoing::new(1 << 20, false);
    let (a, b) = (outgoing.add_topic(7), outgoing.add_topic(9));
    for number in 0..3u8 {
        outgoing.append(a, plain(&[number], 0));
        outgoing.append(b, plain(&[number, number], 0));
    }
    let expected =
        vec![(7, vec![vec![0], vec![1], vec![2]]), (9, vec![vec![0, 0], vec![1, 1], vec![2, 2]])];
    assert_eq!(frames(&taken(&mut outgoing)), expected);
}

#[test]
fn control_frame_leaves_behind_what_was_appended_before_it() {
    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(7);
    outgoing.append(a, plain(b"before", 0));
    encode::ping(outgoing.control(), 1);
    outgoing.append(a, plain(b"after", 0));
    let expected = vec![(7, vec![b"before".to_vec()]), (0, vec![]), (7, vec![b"after".into()])];
    assert_eq!(frames(&taken(&mut outgoing)), expected);
}

#[test]
fn another_time_to_live_starts_another_frame() {
    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(7);
    for ttl_ms in [0, 0, 50, 50, 0] {
        outgoing.append(a, plain(b"x", ttl_ms));
    }
    let batch = taken(&mut outgoing);
    let counts: Vec<usize> = frames(&batch).iter().map(|(_, sent)| sent.len()).collect();
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(Header::read(&batch).ttl_ms, 0);
}

#[test]
fn large_message_goes_alone_and_in_its_place() {
    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(7);
    let large = vec![b'l'; SHARED_RECORD_MAX + 1];
    outgoing.append(a, plain(b"1", 0));
    outgoing.append(a, plain(&large, 0));
    outgoing.append(a, plain(b"2", 0));
    let expected = vec![(7, vec![b"1".to_vec()]), (7, vec![large]), (7, vec![b"2".to_vec()])];
    assert_eq!(frames(&taken(&mut outgoing)), expected);
}

#[test]
fn frame_ends_at_its_bounds_in_bytes_and_in_messages() {
    let mut outgoing = Outgoing::new(1_000, false);
    let a = outgoing.add_topic(7);
    for _ in 0..100 {
        outgoing.append(a, plain(&[0; 96], 0));
    }
    let sent = frames(&taken(&mut outgoing));
    assert!(sent.iter().all(|(_, payloads)| payloads.len() <= 9), "40 + 9 * 100 <= 1,000");
    assert_eq!(sent.iter().map(|(_, payloads)| payloads.len()).sum::<usize>(), 100);

    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(7);
    for _ in 0..40_000 {
        outgoing.append(a, plain(b"", 0));
    }
    let sent = frames(&taken(&mut outgoing));
    assert_eq!(sent.iter().map(|(_, payloads)| payloads.len()).sum::<usize>(), 40_000);
    assert_eq!(sent.len(), 3, "64 KiB hold 16,374 records without payload");
}

#[test]
fn messages_that_want_an_ack_share_a_frame_with_those_that_do_not() {
    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(7);
    let asking = Record { wants_ack: true, ..plain(b"x", 0) };
    assert_eq!(outgoing.append(a, plain(b"x", 0)), None);
    let place = |publish_id, index| Some(Place { publish_id, index });
    assert_eq!(outgoing.append(a, asking), place(1, 1));
    assert_eq!(outgoing.append(a, asking), place(1, 2));
    let batch = taken(&mut outgoing);
    let header = Header::read(&batch);
    assert_eq!((header.count, header.flags, header.sequence), (3, FLAG_ACK, 1));
    let large = vec![0; SHARED_RECORD_MAX];
    assert_eq!(outgoing.append(a, Record { payload: &large, ..asking }), place(2, 0));
    outgoing.append(a, plain(b"x", 0));
    let batch = taken(&mut outgoing);
    let large_header = Header::read(&batch);
    assert_eq!((large_header.flags, large_header.sequence), (FLAG_ACK, 2));
    let header = Header::read(&batch[large_header.frame_len as usize..]);
    assert_eq!((header.count, header.flags, header.sequence), (1, 0, 0));
}

#[test]
fn headers_and_the_checksum_are_in_the_frame_that_carries_them() {
    let mut outgoing = Outgoing::new(1 << 20, true);
    let a = outgoing.add_topic(7);
    let mut headers = Vec::new();
    encode::record_header(&mut headers, b"reply-to", b"b");
    outgoing.append(a, plain(b"1", 0));
    outgoing.append(a, Record { headers: &headers, ..plain(b"2", 0) });
    let batch = taken(&mut outgoing);
    let header = messages::check(&batch, u32::MAX).expect("records fit");
    assert_eq!(header.flags, FLAG_CRC | FLAG_HEADERS);
    assert_eq!(header.crc, crc32c::crc32c(&batch[MESSAGES_HEADER_LEN..]));
    let found: Vec<Vec<_>> = messages::records(&batch).map(|r| r.headers.collect()).collect();
    assert_eq!(found, [vec![], vec![(&b"reply-to"[..], &b"b"[..])]]);
}

#[test]
fn id_that_arrives_while_a_frame_is_open_is_what_the_frame_carries() {
    let mut outgoing = Outgoing::new(1 << 20, false);
    let a = outgoing.add_topic(0x8000_0001);
    outgoing.append(a, plain(b"x", 0));
    outgoing.set_topic(a, 12);
    assert_eq!(frames(&taken(&mut outgoing))[0].0, 12);
}
