//! Any bytes as NATS commands: nothing panics, splits between reads make no difference, and a NATS
//! client reads a published message as it was sent. And any bytes as BLIP frames: their headers
//! never break the lines of NATS.
#![no_main]

use blipmq::nats::message::{self, Variant};
use blipmq::nats::{Bounds, Command, Offence, Publish, command, connect, subject};
use blipmq::protocol::messages;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

/// Small, so that inputs reach both bounds.
const BOUNDS: Bounds = Bounds { control_line_max: 64, payload_max: 1_024 };
/// Large enough for every delivery.
const LARGE: Bounds = Bounds { control_line_max: 1 << 20, payload_max: 1 << 24 };

fuzz_target!(|data: &[u8]| {
    splits_do_not_matter(data);
    frames_of_blip_keep_the_lines_whole(data);
    let mut rest = data;
    loop {
        match command::parse(rest, BOUNDS) {
            Ok(None) => break,
            Ok(Some((command, consumed))) => {
                match command {
                    Command::Publish(publish) => published_is_delivered(&publish),
                    Command::Connect(json) => drop(connect::parse(json).map_err(check_error)),
                    Command::Subscribe { subject, .. } => {
                        let _ = subject::is_valid_pattern(subject);
                    }
                    _ => {}
                }
                rest = &rest[consumed..];
            }
            Err(offence) => {
                check_error(offence);
                break;
            }
        }
    }
});

/// Checks that the error of an offence is one line.
fn check_error(offence: Offence) {
    let mut line = BytesMut::new();
    offence.encode(&mut line);
    assert_eq!(line.is_empty(), offence.is_silent());
    assert!(line.iter().filter(|byte| **byte == b'\n').count() <= 1);
    assert!(offence.closes(), "what the codec refuses ends a connection");
}

fn outcome(bytes: &[u8]) -> Result<Option<(Command<'_>, usize)>, Offence> {
    command::parse(bytes, BOUNDS)
}

fn splits_do_not_matter(bytes: &[u8]) {
    let whole = outcome(bytes);
    for len in 0..bytes.len().min(128) {
        let early = outcome(&bytes[..len]);
        assert!(early == Ok(None) || early == whole, "{early:?} became {whole:?}");
    }
    if let Ok(Some((_, consumed))) = whole {
        assert!(consumed > 0 && consumed <= bytes.len());
        assert_eq!(outcome(&bytes[..consumed]), whole);
        assert_eq!(outcome(&bytes[..consumed - 1]), Ok(None));
    }
}

/// Parses a line of the server as a command of a client: the arguments are the same except for the
/// `sid`.
fn read_delivery(bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, Vec<u8>, Vec<u8>, usize) {
    let has_headers = bytes.starts_with(b"HMSG ");
    let (verb, sent) = if has_headers { ("HPUB", &bytes[1..]) } else { ("PUB", bytes) };
    let behind = sent.strip_prefix(b"MSG a.b s1 ").expect("the subject and the sid");
    let command = [verb.as_bytes(), b" a.b ", behind].concat();
    match command::parse(&command, LARGE) {
        Ok(Some((Command::Publish(found), consumed))) => {
            let len = bytes.len() - (command.len() - consumed);
            let reply = found.reply.map(<[u8]>::to_vec);
            (found.subject.to_vec(), reply, found.headers.to_vec(), found.payload.to_vec(), len)
        }
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

fn published_is_delivered(publish: &Publish<'_>) {
    let _ = subject::is_valid_literal(publish.subject);
    let mut frames = BytesMut::new();
    message::append_frame(&mut frames, publish).expect("less than a header block holds");
    messages::check(&frames, BOUNDS.payload_max).expect("a right frame");
    assert!(frames.len() <= message::frame_len(publish));
    for headers in [true, false] {
        let variant = Variant { subject: b"a.b", sid: b"s1", headers };
        let mut out = BytesMut::new();
        message::encode(&mut out, &frames, &variant);
        let (_, reply, found_headers, payload, len) = read_delivery(&out);
        assert_eq!(len, out.len());
        let passes = |reply: &&[u8]| reply.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        assert_eq!(reply.as_deref(), publish.reply.filter(passes));
        assert_eq!(found_headers, if headers { publish.headers } else { b"" });
        assert_eq!(payload, publish.payload);
    }
}

fn frames_of_blip_keep_the_lines_whole(bytes: &[u8]) {
    let Ok(header) = messages::check(bytes, LARGE.payload_max) else { return };
    let mut frame = bytes.to_vec();
    let frame_len = frame.len() as u32;
    frame[..4].copy_from_slice(&frame_len.to_le_bytes());
    let mut out = BytesMut::new();
    message::encode(&mut out, &frame, &Variant { subject: b"a.b", sid: b"s1", headers: true });
    let mut rest = &out[..];
    for record in messages::records(&frame) {
        let (_, _, headers, payload, len) = read_delivery(rest);
        assert_eq!(payload, record.payload);
        let is_block = record.headers.into_iter().any(|(name, _)| name == message::NATS_HEADERS);
        if !headers.is_empty() && !is_block {
            lines_are_whole(&headers);
        }
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "{} messages, and no more", header.count);
}

fn lines_are_whole(block: &[u8]) {
    let lines = block.strip_prefix(b"NATS/1.0\r\n").expect("its first line");
    let lines = lines.strip_suffix(b"\r\n").expect("its last line");
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a whole line");
        assert!(!line.contains(&b'\r'));
        let name_len = line.iter().position(|byte| *byte == b':').expect("a name");
        assert!(name_len > 0 && line[name_len..].starts_with(b": "));
    }
}
