//! Each protocol reaches subscribers of the other, with everything a message has: its headers, its
//! reply subject, its payload.

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::frame::{FLAG_HEADERS, RECORD_HAS_HEADERS};
use blipmq::protocol::messages;

use super::on_one_and_two_cores;
use crate::support::nats::{Message, Nats};
use crate::support::running::Broker;
use crate::support::wire::{Frame, Wire};
use crate::support::written::encode_messages;

on_one_and_two_cores! {
    a_batch_of_blip_reaches_nats_subscribers_message_by_message,
    headers_of_blip_that_nats_cannot_represent_break_no_line,
    messages_of_nats_clients_reach_blip_subscribers_with_headers_and_reply,
    header_blocks_of_nats_are_delivered_unchanged,
    payloads_up_to_the_limit_cross_in_both_directions,
    info_has_what_clients_cannot_connect_without,
}

/// A header: name and value.
type Field<'a> = (&'a [u8], &'a [u8]);
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A MESSAGES frame with headers for those records that have some.
fn put_records(out: &mut Vec<u8>, topic: u32, records: &[(&[Field<'_>], &[u8])]) {
    let at = out.len();
    encode_messages(out, topic, 0, &[]);
    for (headers, payload) in records {
        let mut block = Vec::new();
        for (name, value) in *headers {
            block.push(name.len() as u8);
            block.extend_from_slice(name);
            block.extend_from_slice(&(value.len() as u16).to_le_bytes());
            block.extend_from_slice(value);
        }
        if block.is_empty() {
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        } else {
            let len = (2 + block.len() + payload.len()) as u32;
            out.extend_from_slice(&(len | RECORD_HAS_HEADERS).to_le_bytes());
            out.extend_from_slice(&(block.len() as u16).to_le_bytes());
            out.extend_from_slice(&block);
        }
        out.extend_from_slice(payload);
    }
    let frame_len = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&frame_len.to_le_bytes());
    out[at + 5] = FLAG_HEADERS;
    out[at + 6..at + 8].copy_from_slice(&(records.len() as u16).to_le_bytes());
}

/// Headers and payload of every message of a frame; none if it is a TOPIC.
pub(super) fn records(frame: &Frame) -> Vec<(Fields, Vec<u8>)> {
    match frame.decoded() {
        ServerFrame::Topic { .. } => Vec::new(),
        ServerFrame::Messages(_) => messages::records(&frame.0)
            .map(|record| {
                let headers = record.headers.map(|(name, value)| (name.to_vec(), value.to_vec()));
                (headers.collect(), record.payload.to_vec())
            })
            .collect(),
        other => panic!("messages were due, got {other:?}"),
    }
}

/// Reads this many messages, of any topics.
pub(super) fn take(wire: &mut Wire, count: usize) -> Vec<(Fields, Vec<u8>)> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(records(&wire.expect()));
    }
    assert_eq!(found.len(), count, "no message beyond the last");
    found
}

fn fields(expected: &[(&str, &str)]) -> Fields {
    expected.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect()
}

fn msg(subject: &str, sid: &str, payload: &str) -> Message {
    let (subject, sid) = (subject.to_owned(), sid.to_owned());
    let payload = payload.as_bytes().to_vec();
    Message { subject, sid, reply: None, headers: Vec::new(), payload }
}

/// Method: one frame with plain, empty and adorned messages; subscribers with and without headers.
fn a_batch_of_blip_reaches_nats_subscribers_message_by_message(cores: &str) {
    let broker = Broker::start(cores);
    let nats = broker.nats.expect("NATS clients are served");
    let mut knows_headers = Nats::connect(nats);
    let mut plain = Nats::connect_as(nats, r#"{"verbose":false,"pedantic":false}"#);
    knows_headers.subscribe("batch.*", "wide");
    plain.subscribe("batch.>", "1");
    let mut blip = Wire::connect(broker.addr);
    let (topic, ..) = blip.open(1, "batch.a");
    blip.send(|out| {
        put_records(
            out,
            topic,
            &[
                (&[], b"first"),
                (&[], b""),
                (&[(b"reply-to", b"answers.here")], b"asks"),
                (&[(b"Trace-Id", b"17"), (b"empty", b"")], b"traced"),
                (&[(b"a", b"1"), (b"reply-to", b"r"), (b"reply-to", b"s")], b""),
            ],
        );
    });
    blip.ping();
    let reply =
        |message: Message, reply: &str| Message { reply: Some(reply.to_owned()), ..message };
    let headers = |message: Message, block: &str| Message { headers: block.into(), ..message };
    assert_eq!(
        knows_headers.messages(),
        [
            msg("batch.a", "wide", "first"),
            msg("batch.a", "wide", ""),
            reply(msg("batch.a", "wide", "asks"), "answers.here"),
            headers(
                msg("batch.a", "wide", "traced"),
                "NATS/1.0\r\nTrace-Id: 17\r\nempty: \r\n\r\n"
            ),
            headers(
                reply(msg("batch.a", "wide", ""), "r"),
                "NATS/1.0\r\na: 1\r\nreply-to: s\r\n\r\n"
            ),
        ]
    );
    assert_eq!(
        plain.messages(),
        [
            msg("batch.a", "1", "first"),
            msg("batch.a", "1", ""),
            reply(msg("batch.a", "1", "asks"), "answers.here"),
            msg("batch.a", "1", "traced"),
            reply(msg("batch.a", "1", ""), "r"),
        ]
    );
    drop((knows_headers, plain, blip));
    broker.stop();
}

fn headers_of_blip_that_nats_cannot_represent_break_no_line(cores: &str) {
    let broker = Broker::start(cores);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("odd", "1");
    let mut blip = Wire::connect(broker.addr);
    let (topic, ..) = blip.open(1, "odd");
    blip.send(|out| {
        put_records(
            out,
            topic,
            &[
                (&[(b"a b:c\r\nd", b"x\r\n-ERR 'y'\r\n")], b"1"),
                (&[(b"", b"no name"), (b"\xff", b"\xfe")], b"2"),
                (&[(b"reply-to", b"two words")], b"3"),
                (&[(b"nats-headers", b"NATS/1.0 503\r\n\r\n")], b"4"),
            ],
        );
    });
    blip.ping();
    let found: Vec<_> = nats.messages().into_iter().map(|message| message.headers).collect();
    assert_eq!(found[0], b"NATS/1.0\r\na_b_c__d: x  -ERR 'y'  \r\n\r\n");
    assert_eq!(found[1], b"NATS/1.0\r\n_: no name\r\n\xff: \xfe\r\n\r\n");
    assert_eq!(found[2], b"", "a reply subject with a blank is none");
    assert_eq!(found[3], b"NATS/1.0 503\r\n\r\n");
    drop((nats, blip));
    broker.stop();
}

fn messages_of_nats_clients_reach_blip_subscribers_with_headers_and_reply(cores: &str) {
    let broker = Broker::start(cores);
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe(1, "up.>");
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.publish("up.a", b"plain");
    nats.publish("up.a", b"");
    nats.publish_with("up.a", "r.1", b"", b"asks");
    nats.publish_with("up.a", "", b"NATS/1.0\r\nName: a value\r\nname:  two\r\n\r\n", b"adorned");
    nats.publish_with("up.a", "r.2", b"NATS/1.0\r\nA: \r\n\r\n", b"");
    for odd in ODD {
        nats.publish_with("up.a", "", odd, b"odd");
    }
    nats.ping();
    let found = take(&mut blip, 5 + ODD.len());
    assert_eq!(
        found[..5],
        [
            (fields(&[]), b"plain".to_vec()),
            (fields(&[]), b"".to_vec()),
            (fields(&[("reply-to", "r.1")]), b"asks".to_vec()),
            (fields(&[("Name", "a value"), ("name", " two")]), b"adorned".to_vec()),
            (fields(&[("reply-to", "r.2"), ("A", "")]), b"".to_vec()),
        ]
    );
    for (odd, found) in ODD.iter().zip(&found[5..]) {
        let whole = vec![(b"nats-headers".to_vec(), odd.to_vec())];
        assert_eq!(*found, (whole, b"odd".to_vec()), "{}", odd.escape_ascii());
    }
    drop((nats, blip));
    broker.stop();
}

/// Header blocks that are not lines of `Name: value`, or not only.
const ODD: [&[u8]; 8] = [
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nA:b\r\n\r\n",
    b"NATS/1.0\r\nA: b\r\n",
    b"NATS/1.0\r\nreply-to: x\r\n\r\n",
    b"no header block at all",
    b"\x00\xff\r\n",
];

fn header_blocks_of_nats_are_delivered_unchanged(cores: &str) {
    let broker = Broker::start(cores);
    let nats = broker.nats.expect("NATS clients are served");
    let mut subscriber = Nats::connect(nats);
    subscriber.subscribe("same", "1");
    let mut publisher = Nats::connect(nats);
    let canonical: &[u8] = b"NATS/1.0\r\nA: b\r\nA: c\r\nB:  d \r\n\r\n";
    let long = [&b"NATS/1.0 200\r\nA: "[..], &[b'x'; 64_000], b"\r\n\r\n"].concat();
    let blocks: Vec<&[u8]> = ODD.into_iter().chain([canonical, &long]).collect();
    for block in &blocks {
        publisher.publish_with("same", "r", block, b"payload");
    }
    publisher.ping();
    let found = subscriber.messages();
    assert_eq!(found.len(), blocks.len());
    for (block, found) in blocks.iter().zip(found) {
        assert_eq!(found.headers, *block);
        assert_eq!((found.reply.as_deref(), found.text()), (Some("r"), "payload"));
    }
    drop((subscriber, publisher));
    broker.stop();
}

fn payloads_up_to_the_limit_cross_in_both_directions(cores: &str) {
    const LEN: usize = 1 << 20;
    let broker = Broker::start(cores);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    assert_eq!(nats.info["max_payload"], LEN as u64);
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe(1, "large.up");
    nats.subscribe("large.down", "1");
    let (topic, ..) = blip.open(1, "large.down");
    let payload: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    blip.publish(topic, &[&payload]);
    assert!(nats.message().payload == payload);
    nats.publish("large.up", &payload);
    assert!(take(&mut blip, 1)[0].1 == payload);
    drop((nats, blip));
    broker.stop();
}

/// Goal: a client that reads a field of INFO without asking whether it is there can connect. The Python
/// package `nats-core` reads these.
fn info_has_what_clients_cannot_connect_without(cores: &str) {
    let broker = Broker::start(cores);
    let info = Nats::connect(broker.nats.expect("NATS clients are served")).info;
    for text in ["server_id", "version", "go", "host"] {
        assert!(info[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {info}");
    }
    for number in ["port", "max_payload", "proto", "client_id"] {
        assert!(info[number].as_u64().is_some_and(|number| number > 0), "{number}: {info}");
    }
    assert_eq!(info["headers"], true);
    broker.stop();
}
