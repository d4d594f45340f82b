//! Messages of one protocol are delivered to clients of the other.

use bytes::{BufMut, BytesMut};

use super::delivery::Decimal;
use super::framing::put_entry;
use super::*;
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::nats::command::Publish;
use crate::nats::error::Offence;
use crate::protocol::frame::{FLAG_HEADERS, RECORD_HAS_HEADERS};
use crate::protocol::messages::{self, Header};

const RECIPIENT: Variant<'static> = Variant { subject: b"a.b", sid: b"s1", headers: true };

fn publish<'a>(reply: Option<&'a [u8]>, headers: &'a [u8], payload: &'a [u8]) -> Publish<'a> {
    Publish { subject: b"a.b", reply, headers, payload }
}

fn frame_of(publish: &Publish<'_>) -> BytesMut {
    let mut frames = BytesMut::new();
    append_frame(&mut frames, publish).expect("it fits");
    let header = messages::check(&frames, publish.payload.len() as u32).expect("a valid frame");
    assert_eq!((header.count, header.frame_len as usize), (1, frames.len()));
    assert_eq!((header.topic, header.subscription, header.sequence), (0, 0, 0));
    assert_eq!((header.timestamp, header.ttl_ms, header.crc), (0, 0, 0));
    assert!(frames.len() <= frame_len(publish));
    frames
}

fn delivered(frames: &[u8], variant: &Variant<'_>) -> String {
    let mut out = BytesMut::new();
    encode(&mut out, frames, variant);
    out.escape_ascii().to_string()
}

fn round_trip(publish: &Publish<'_>) -> String {
    delivered(&frame_of(publish), &RECIPIENT)
}

/// Names and values, and the payload.
type BlipRecord<'a> = (&'a [(&'a [u8], &'a [u8])], &'a [u8]);

/// A frame of a BLIP client.
fn blip_frame(records: &[BlipRecord<'_>]) -> Vec<u8> {
    let mut body = BytesMut::new();
    for (headers, payload) in records {
        if headers.is_empty() {
            body.put_u32_le(payload.len() as u32);
        } else {
            let mut block = BytesMut::new();
            for (name, value) in *headers {
                assert!(put_entry(&mut block, name, value));
            }
            body.put_u32_le((2 + block.len() + payload.len()) as u32 | RECORD_HAS_HEADERS);
            body.put_u16_le(block.len() as u16);
            body.put_slice(&block);
        }
        body.put_slice(payload);
    }
    let header = Header {
        frame_len: (MESSAGES_HEADER_LEN + body.len()) as u32,
        flags: FLAG_HEADERS,
        count: records.len() as u16,
        topic: 1,
        subscription: 0,
        sequence: 1,
        timestamp: 1,
        ttl_ms: 0,
        crc: 0,
    };
    let frame = [&header.to_bytes()[..], &body].concat();
    messages::check(&frame, 1 << 20).expect("a valid frame");
    frame
}

fn headers_of(frame: &[u8]) -> Vec<(String, String)> {
    let record = messages::records(frame).next().expect("one record");
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    record.headers.map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn a_plain_message_has_no_header_block_and_its_length_is_known() {
    for payload in [&b""[..], b"x", &[b'y'; 1_000]] {
        let publish = publish(None, b"", payload);
        let frame = frame_of(&publish);
        assert_eq!(Header::read(&frame).flags, 0);
        assert_eq!(frame.len(), frame_len(&publish));
        assert_eq!(&frame[MESSAGES_HEADER_LEN + RECORD_HEADER_LEN..], payload);
    }
    assert_eq!(round_trip(&publish(None, b"", b"x")), "MSG a.b s1 1\\r\\nx\\r\\n");
    assert_eq!(round_trip(&publish(None, b"", b"")), "MSG a.b s1 0\\r\\n\\r\\n");
}

#[test]
fn the_reply_subject_is_the_first_header() {
    let block = b"NATS/1.0\r\nA: 1\r\n\r\n";
    let with_headers = publish(Some(b"r.1"), block, b"x");
    let frame = frame_of(&with_headers);
    let expected = [("reply-to", "r.1"), ("A", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(headers_of(&frame), expected);
    assert_eq!(
        round_trip(&with_headers),
        "HMSG a.b s1 r.1 18 19\\r\\nNATS/1.0\\r\\nA: 1\\r\\n\\r\\nx\\r\\n"
    );
    assert_eq!(round_trip(&publish(Some(b"r"), b"", b"x")), "MSG a.b s1 r 1\\r\\nx\\r\\n");
}

#[test]
fn lines_become_headers_if_they_give_the_same_block_again() {
    for (block, names) in [
        (&b"NATS/1.0\r\nA: 1\r\nb-c:  two: \r\nA: \r\n\r\n"[..], vec!["A", "b-c", "A"]),
        (b"NATS/1.0\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0 503\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA:1\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA: 1\n\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA: 1\rx\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA: 1\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA: 1\r\n\r\nx", vec!["nats-headers"]),
        (b"NATS/1.0\r\n: 1\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nA b: 1\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nreply-to: 1\r\n\r\n", vec!["nats-headers"]),
        (b"NATS/1.0\r\nnats-headers: 1\r\n\r\n", vec!["nats-headers"]),
        (b"nats/1.0\r\nA: 1\r\n\r\n", vec!["nats-headers"]),
        (b"any bytes", vec!["nats-headers"]),
    ] {
        let publish = publish(None, block, b"payload");
        let frame = frame_of(&publish);
        let found: Vec<String> = headers_of(&frame).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, names, "{}", block.escape_ascii());
        let expected = [
            format!("HMSG a.b s1 {} {}\r\n", block.len(), block.len() + 7).as_bytes(),
            block,
            b"payload\r\n",
        ]
        .concat();
        assert_eq!(round_trip(&publish), expected.escape_ascii().to_string());
    }
}

#[test]
fn names_of_255_bytes_are_kept_and_longer_ones_go_with_the_whole_block() {
    for (len, name) in [(255, None), (256, Some("nats-headers"))] {
        let block = format!("NATS/1.0\r\n{}: v\r\n\r\n", "n".repeat(len));
        let publish = publish(None, block.as_bytes(), b"");
        let found = headers_of(&frame_of(&publish));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, name.map_or("n".repeat(len), str::to_owned));
        let line = format!("HMSG a.b s1 {0} {0}\r\n{block}\r\n", block.len());
        assert_eq!(round_trip(&publish), line.as_bytes().escape_ascii().to_string());
    }
}

#[test]
fn headers_too_long_for_a_record_are_refused_and_append_nothing() {
    let refused = Err(Offence::MaximumPayloadViolation);
    // As one unchanged part: 65,535 bytes, less the 15 bytes of its entry.
    let longest = vec![b'x'; 65_520];
    frame_of(&publish(None, &longest, b"x"));
    let mut frames = BytesMut::from(&b"before"[..]);
    for (reply, block) in [
        (None, vec![b'x'; 65_521]),
        (Some(&b"r"[..]), longest),
        (None, vec![b'x'; 70_000]),
        (None, [b"NATS/1.0\r\nA: ", &[b'v'; 65_535][..], b"\r\n\r\n"].concat()),
        (
            None,
            [b"NATS/1.0\r\n".to_vec(), b"A: 0123456789\r\n".repeat(5_000), b"\r\n".to_vec()]
                .concat(),
        ),
    ] {
        assert_eq!(append_frame(&mut frames, &publish(reply, &block, b"x")), refused);
        assert_eq!(&frames[..], b"before");
    }
    let long_reply = vec![b'r'; 65_536];
    assert_eq!(append_frame(&mut frames, &publish(Some(&long_reply), b"", b"x")), refused);
    assert_eq!(&frames[..], b"before");
}

#[test]
fn clients_without_headers_get_the_payload_alone() {
    let variant = Variant { headers: false, ..RECIPIENT };
    let frame = frame_of(&publish(Some(b"r"), b"NATS/1.0\r\nA: 1\r\n\r\n", b"x"));
    assert_eq!(delivered(&frame, &variant), "MSG a.b s1 r 1\\r\\nx\\r\\n");
}

#[test]
fn every_record_of_every_frame_is_delivered_in_order() {
    let long = [b'z'; 100];
    let frames = [
        blip_frame(&[(&[], b"a"), (&[], b""), (&[(b"reply-to", b"r")], b"bb"), (&[], b"c")]),
        blip_frame(&[(&[(b"N", b"v")], b"d")]),
        blip_frame(&[(&[], &long), (&[], &long)]),
    ]
    .concat();
    let z = "z".repeat(100);
    assert_eq!(
        delivered(&frames, &RECIPIENT),
        format!(
            "MSG a.b s1 1\\r\\na\\r\\nMSG a.b s1 0\\r\\n\\r\\nMSG a.b s1 r 2\\r\\nbb\\r\\n\
             MSG a.b s1 1\\r\\nc\\r\\nHMSG a.b s1 18 19\\r\\nNATS/1.0\\r\\nN: v\\r\\n\\r\\nd\\r\\n\
             MSG a.b s1 100\\r\\n{z}\\r\\nMSG a.b s1 100\\r\\n{z}\\r\\n"
        )
    );
    assert_eq!(delivered(b"", &RECIPIENT), "");
}

#[test]
fn lines_of_any_length_are_written() {
    for len in [1, 100, 105, 106, 107, 108, 109, 110, 111, 112, 113, 200, 4_000] {
        let subject = "s".repeat(len);
        let variant = Variant { subject: subject.as_bytes(), sid: b"s1", headers: true };
        let frames =
            blip_frame(&[(&[], b"a"), (&[(b"reply-to", b"r")], b""), (&[], &[b'b'; 1_000])]);
        let payload = "b".repeat(1_000);
        assert_eq!(
            delivered(&frames, &variant),
            format!(
                "MSG {subject} s1 1\\r\\na\\r\\nMSG {subject} s1 r 0\\r\\n\\r\\n\
                 MSG {subject} s1 1000\\r\\n{payload}\\r\\n"
            )
        );
    }
}

#[test]
fn a_message_with_an_empty_header_block_is_delivered_without_headers() {
    let mut frame = blip_frame(&[(&[(b"N", b"")], b"x")]);
    // A BLIP client may send a block of length 0.
    frame.truncate(MESSAGES_HEADER_LEN);
    frame.extend_from_slice(&(3 | RECORD_HAS_HEADERS).to_le_bytes());
    frame.extend_from_slice(&[0, 0, b'x']);
    let len = frame.len() as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    messages::check(&frame, 1).expect("a valid frame");
    assert_eq!(delivered(&frame, &RECIPIENT), "MSG a.b s1 1\\r\\nx\\r\\n");
}

#[test]
fn a_reply_subject_that_would_break_the_line_is_dropped() {
    for reply in [&b""[..], b"a b", b"a\r\nPING", b"a\tb", b"a\x00", b"a\x7f"] {
        let frame = blip_frame(&[(&[(b"reply-to", reply)], b"x")]);
        assert_eq!(delivered(&frame, &RECIPIENT), "MSG a.b s1 1\\r\\nx\\r\\n");
    }
}

#[test]
fn only_the_first_reply_to_is_the_reply_subject() {
    let frame = blip_frame(&[(&[(b"A", b"1"), (b"reply-to", b"r"), (b"reply-to", b"q")], b"x")]);
    assert_eq!(
        delivered(&frame, &RECIPIENT),
        "HMSG a.b s1 r 31 32\\r\\nNATS/1.0\\r\\nA: 1\\r\\nreply-to: q\\r\\n\\r\\nx\\r\\n"
    );
}

#[test]
fn bytes_of_names_and_values_that_would_break_the_block_are_replaced() {
    let frame = blip_frame(&[(&[(b"a:b\r\nc \x7f", b"v\r\nw: x"), (b"", b"")], b"x")]);
    assert_eq!(
        delivered(&frame, &RECIPIENT),
        "HMSG a.b s1 36 37\\r\\nNATS/1.0\\r\\na_b__c__: v  w: x\\r\\n_: \\r\\n\\r\\nx\\r\\n"
    );
}

#[test]
fn a_block_in_parts_is_joined_and_one_among_other_headers_is_a_header() {
    let parts = blip_frame(&[(&[(NATS_HEADERS, b"NATS/1.0\r"), (NATS_HEADERS, b"\n\r\n")], b"x")]);
    assert_eq!(delivered(&parts, &RECIPIENT), "HMSG a.b s1 12 13\\r\\nNATS/1.0\\r\\n\\r\\nx\\r\\n");
    let mixed = blip_frame(&[(&[(b"A", b"1"), (NATS_HEADERS, b"x\r\ny")], b"x")]);
    assert_eq!(
        delivered(&mixed, &RECIPIENT),
        "HMSG a.b s1 38 39\\r\\nNATS/1.0\\r\\nA: 1\\r\\nnats-headers: x  y\\r\\n\\r\\nx\\r\\n"
    );
    let nothing = blip_frame(&[(&[(NATS_HEADERS, b"")], b"x")]);
    assert_eq!(delivered(&nothing, &RECIPIENT), "MSG a.b s1 1\\r\\nx\\r\\n");
}

#[test]
fn numbers_are_written_in_decimal() {
    for number in [0, 9, 10, 99, 100, 65_535, 999_999_999, 4_294_967_295] {
        assert_eq!(Decimal::new(number).digits(), number.to_string().as_bytes());
    }
}
