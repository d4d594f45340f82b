//! The chapter on the protocol: its layouts are those of the codec, its session is what a broker does.

use std::collections::BTreeMap;

use blipmq::limits;
use blipmq::protocol::decode::{self, ClientFrame, ServerFrame};
use blipmq::protocol::frame::Kind;
use blipmq::protocol::messages;
use blipmq::protocol::{Reject, encode};

use super::support::running::{self, Broker};
use super::support::wire::{Frame, Wire};
use super::{chapter, one_line, read};

/// Longest payload of a broker with the defaults.
const MESSAGE_LEN_MAX: u32 = limits::MESSAGE_LEN_DEFAULT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// One frame of the session.
#[derive(Debug)]
struct Step {
    side: Side,
    name: String,
    bytes: Vec<u8>,
}

/// The first block of text of a chapter, below a heading.
fn block_of(name: &str, heading: &str) -> String {
    let chapter = chapter(name);
    let (_, below) = chapter.split_once(&format!("\n# {heading}\n")).expect("the heading");
    let (_, block) = below.split_once("\n```text\n").expect("a block of text");
    block.split_once("\n```").expect("the end of the block").0.to_owned()
}

/// The frames of the session: `client sends NAME` or `server sends NAME`, then lines of hex bytes,
/// each with an explanation behind `|`.
fn session() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block_of("protocol_session", "A session, byte by byte").lines() {
        if let Some((side, name)) = line.split_once(" sends ") {
            let side = match side {
                "client" => Side::Client,
                "server" => Side::Server,
                _ => panic!("neither client nor server: {line}"),
            };
            steps.push(Step { side, name: name.to_owned(), bytes: Vec::new() });
            continue;
        }
        let hex = line.split('|').next().expect("a first part");
        let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
        let step = steps.last_mut().expect("a frame has a first line");
        step.bytes.extend(bytes.map(|byte| byte.unwrap_or_else(|_| panic!("not hex: {line}"))));
    }
    steps
}

/// The frame that the codec writes for what it read.
fn written_again(step: &Step) -> Vec<u8> {
    let mut out = Vec::new();
    match step.side {
        Side::Client => match decode::client_frame(&step.bytes, MESSAGE_LEN_MAX) {
            Ok(ClientFrame::Hello(hello)) => encode::hello(&mut out, &hello),
            Ok(ClientFrame::Open { request, topic }) => encode::open(&mut out, request, topic),
            Ok(ClientFrame::Subscribe(subscribe)) => encode::subscribe(&mut out, &subscribe),
            Ok(ClientFrame::Unsubscribe { subscription }) => {
                encode::unsubscribe(&mut out, subscription)
            }
            Ok(ClientFrame::Close) => encode::close(&mut out),
            Ok(ClientFrame::Messages(header)) => write_messages(&mut out, &header, &step.bytes),
            other => panic!("{}: {other:?}", step.name),
        },
        Side::Server => match decode::server_frame(&step.bytes) {
            Ok(ServerFrame::Welcome(welcome)) => encode::welcome(&mut out, &welcome),
            Ok(ServerFrame::Topic { request, topic, next_sequence, owner, name }) => {
                encode::topic(&mut out, request, topic, next_sequence, owner, name)
            }
            Ok(ServerFrame::Subscribed { subscription }) => {
                encode::subscribed(&mut out, subscription)
            }
            Ok(ServerFrame::Ack { topic, publish_id, sequence, messages }) => {
                encode::ack(&mut out, topic, publish_id, sequence, messages)
            }
            Ok(ServerFrame::Error { about, .. }) => {
                encode::error(&mut out, &Reject::UnknownSubscription { subscription: about })
            }
            Ok(ServerFrame::Messages(header)) => write_messages(&mut out, &header, &step.bytes),
            other => panic!("{}: {other:?}", step.name),
        },
    }
    out
}

fn write_messages(out: &mut Vec<u8>, header: &messages::Header, frame: &[u8]) {
    out.extend_from_slice(&header.to_bytes());
    for record in messages::records(frame) {
        encode::record(out, record.headers.block(), record.payload);
    }
}

#[test]
fn session_of_the_chapter_is_what_the_codec_reads_and_writes() {
    let steps = session();
    for step in &steps {
        let frame = decode::next_frame(&step.bytes, u32::MAX).expect("a legal length");
        assert_eq!(frame, Some(&step.bytes[..]), "{}: one whole frame", step.name);
        let kind = Kind::from_byte(step.bytes[4]).expect("a known kind");
        assert_eq!(step.name, format!("{kind:?}").to_uppercase());
        assert_eq!(written_again(step), step.bytes, "{}", step.name);
    }
    let names = |side| {
        let of_side = steps.iter().filter(|step| step.side == side);
        of_side.map(|step| step.name.as_str()).collect::<Vec<_>>()
    };
    let sent = ["HELLO", "SUBSCRIBE", "OPEN", "MESSAGES", "UNSUBSCRIBE", "CLOSE"];
    assert_eq!(names(Side::Client), sent);
    assert_eq!(names(Side::Server), ["WELCOME", "SUBSCRIBED", "TOPIC", "ACK", "MESSAGES", "ERROR"]);
}

/// Goal: a client author who sends the bytes of the chapter receives the bytes of the chapter.
/// Method: a broker on one core, as the chapter says; only what differs from start to start (server
/// id, version, time) is left out of the comparison.
#[test]
fn broker_answers_the_session_of_the_chapter_byte_for_byte() {
    let cores = running::cores(1).expect("every process may use one core");
    let broker = Broker::start(&cores);
    let mut wire = Wire::silent(broker.addr);
    for step in session() {
        match step.side {
            Side::Client => wire.write(&step.bytes),
            Side::Server => {
                let expected = Frame(step.bytes);
                assert_eq!(comparable(&wire.expect()), comparable(&expected), "{}", step.name);
            }
        }
    }
    assert_eq!(wire.next(), None, "the broker closes after CLOSE");
    broker.stop();
}

/// A frame without what another start of the broker, or another version, has otherwise.
fn comparable(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.0.clone();
    match frame.decoded() {
        ServerFrame::Welcome(welcome) => {
            let (name, _) = welcome.server.split_once('/').expect("a name and a version");
            let comparable = decode::Welcome { server_id: 0, server: name, ..welcome };
            bytes.clear();
            encode::welcome(&mut bytes, &comparable);
        }
        ServerFrame::Messages(header) => {
            assert!(header.timestamp > 0, "the broker stamps its time");
            let comparable = messages::Header { timestamp: 0, ..header };
            bytes[..limits::MESSAGES_HEADER_LEN].copy_from_slice(&comparable.to_bytes());
        }
        _ => {}
    }
    bytes
}

/// The kinds of the chapter, each with a body of the fields that it lists.
fn bodies() -> BTreeMap<u8, (String, Vec<u8>)> {
    let mut bodies: BTreeMap<u8, (String, Vec<u8>)> = BTreeMap::new();
    let mut kind = 0;
    for line in block_of("protocol", "Kinds and their bodies").lines() {
        let mut words = line.split_whitespace();
        let first = words.next().expect("no line is empty");
        if let Some(hex) = first.strip_prefix("0x") {
            kind = u8::from_str_radix(hex, 16).expect("a kind in hex");
            let name = words.next().expect("a name").to_owned();
            assert!(bodies.insert(kind, (name, Vec::new())).is_none(), "twice: {line}");
            continue;
        }
        let text: Vec<&str> = words.collect();
        let (_, body) = bodies.get_mut(&kind).expect("a kind stands above its fields");
        let value: u8 = if text[0] == "reserved:" { 0 } else { 1 };
        match first {
            "u32" if text[0] == "magic:" => body.extend_from_slice(b"BLIP"),
            "u8" => body.push(value),
            "u16" => body.extend_from_slice(&u16::from(value).to_le_bytes()),
            "u32" => body.extend_from_slice(&u32::from(value).to_le_bytes()),
            "u64" => body.extend_from_slice(&u64::from(value).to_le_bytes()),
            "string16" => body.extend_from_slice(&[1, 0, b'a']),
            _ => panic!("no type of the chapter: {line}"),
        }
    }
    bodies
}

fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = ((8 + body.len()) as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&[kind, 0, 0, 0]);
    frame.extend_from_slice(body);
    frame
}

#[test]
fn chapter_names_every_kind_of_frame_and_no_other() {
    let bodies = bodies();
    for byte in 0..=u8::MAX {
        let known = Kind::from_byte(byte).map(|kind| format!("{kind:?}").to_uppercase());
        assert_eq!(bodies.get(&byte).map(|(name, _)| name.clone()), known, "kind {byte:#04x}");
    }
}

/// Goal: the fields of every kind, as the chapter lists them, are the whole body.
/// Method: the codec takes a body of these fields, and neither one of a byte less nor of a byte more.
#[test]
fn bodies_of_the_chapter_are_what_the_codec_takes() {
    for (kind, (name, body)) in bodies() {
        if kind == Kind::Messages as u8 {
            assert!(body.is_empty(), "its layout is a table");
            continue;
        }
        let takes = |body: &[u8]| {
            let frame = frame_of(kind, body);
            match kind {
                ..0x80 => decode::client_frame(&frame, MESSAGE_LEN_MAX).map(|_| ()),
                _ => decode::server_frame(&frame).map(|_| ()),
            }
        };
        assert_eq!(takes(&body), Ok(()), "{name}");
        let longer = [&body[..], &[0]].concat();
        assert!(takes(&longer).is_err(), "{name}: a byte more");
        if let Some((_, shorter)) = body.split_last() {
            assert!(takes(shorter).is_err(), "{name}: a byte less");
        }
    }
}

/// Goal: offsets and types of the table on MESSAGES are those of the codec.
/// Method: a header with a different number in each field, written by the codec, read by the table.
#[test]
fn header_of_messages_is_laid_out_as_the_table_says() {
    let header = messages::Header {
        frame_len: 0x0102_0304,
        flags: 5,
        count: 0x0607,
        topic: 0x0809_0a0b,
        subscription: 0x0c0d_0e0f,
        sequence: 0x1011_1213_1415_1617,
        timestamp: 0x1819_1a1b_1c1d_1e1f,
        ttl_ms: 0x2021_2223,
        crc: 0x2425_2627,
    };
    let bytes = header.to_bytes();
    let expected = [
        ("frame_len", u64::from(header.frame_len)),
        ("kind", Kind::Messages as u64),
        ("flags", u64::from(header.flags)),
        ("count", u64::from(header.count)),
        ("topic", u64::from(header.topic)),
        ("subscription", u64::from(header.subscription)),
        ("sequence", header.sequence),
        ("timestamp", header.timestamp),
        ("ttl_ms", u64::from(header.ttl_ms)),
        ("crc", u64::from(header.crc)),
    ];
    let chapter = chapter("protocol");
    let (_, below) = chapter.split_once("\n# MESSAGES\n").expect("the heading");
    for (field, value) in expected {
        let cell = format!(" | `{field}` | ");
        let row = below.lines().find(|line| line.contains(&cell)).expect(field);
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let at: usize = cells[1].parse().expect("an offset");
        let len = cells[2].strip_prefix('u').expect("a type").parse::<usize>().expect("bits") / 8;
        let mut number = [0; 8];
        number[..len].copy_from_slice(&bytes[at..at + len]);
        assert_eq!(u64::from_le_bytes(number), value, "{field}");
    }
    let records = format!("| {} | | records | ", limits::MESSAGES_HEADER_LEN);
    assert!(below.contains(&records), "{records}");
}

#[test]
fn error_codes_are_as_fatal_as_the_vectors_say() {
    let chapter = chapter("protocol");
    let (_, table) = chapter.split_once("\n# Error codes\n").expect("the heading");
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.parse::<u16>().ok()?, *cells.get(3)?))
    });
    let rows: BTreeMap<u16, &str> = rows.collect();
    let mut seen = 0;
    for file in ["protocol", "malformed", "refused", "auth"] {
        for answer in read(&format!("tests/vectors/{file}.txt")).split("ERROR ").skip(1) {
            let (fatal, rest) = match answer.strip_prefix("fatal ") {
                Some(rest) => ("yes", rest),
                None => ("no", answer),
            };
            let digits = rest.get(..4).unwrap_or_default();
            let Ok(code) = digits.parse::<u16>() else { continue };
            assert_eq!(rows.get(&code), Some(&fatal), "{code}");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} errors were looked at");
    // What no vector provokes: time, load, limits, TLS and a stop.
    for (code, fatal) in
        [(4080, "yes"), (4260, "yes"), (4290, "yes"), (4291, "both"), (5030, "yes")]
    {
        assert_eq!(rows.get(&code), Some(&fatal), "{code}");
    }
    assert_eq!(rows.len(), 13, "{rows:?}");
}

#[test]
fn bounds_that_the_chapter_names_are_those_of_the_broker() {
    let chapter = one_line(&chapter("protocol"));
    let grouped = |number: usize| match number {
        1_000_000.. => format!("{},{:03},000", number / 1_000_000, number / 1_000 % 1_000),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    };
    for said in [
        format!("The first frame has at most {} bytes", grouped(limits::HELLO_LEN_MAX as usize)),
        format!("A topic has 1 to {} bytes", grouped(limits::TOPIC_LEN_MAX)),
        format!("remembers {} numbers", grouped(limits::OPENS_PER_CONNECTION_MAX)),
        format!("more than {} separate gaps", grouped(limits::GAP_RUNS_MAX)),
        format!("1 to {} messages of one topic", grouped(usize::from(u16::MAX))),
    ] {
        assert!(chapter.contains(&said), "the chapter does not say: {said}");
    }
}
