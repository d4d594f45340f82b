//! The NATS codec compared with naive code, and in both directions.

use blipmq::nats::message::{self, Variant};
use blipmq::nats::{Bounds, Command, Offence, Publish, command};
use blipmq::protocol::messages;
use bytes::BytesMut;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { control_line_max: 64, payload_max: 100 };

/// Bytes that are nearly those of a client.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => prop::sample::select(vec![
            "PUB ", "pub\t", "HPUB ", "SUB ", "UNSUB ", "PING", "PONG", "CONNECT ", "INFO ", "+OK",
            "-ERR ", "a", "b.c", " ", "  ", "\t", "0", "1", "2", "12", "101", "\r\n", "\n", "\r",
            "{}", "x", "NATS/1.0\r\n", "K: v\r\n", "PUB a 1\r\nx\r\n", "PUB a r 2\r\nxy\r\n",
            "HPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\n", "SUB a q 1\r\n", "UNSUB 1 2\r\n", "PING\r\n",
        ]).prop_map(|text: &str| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => prop::collection::vec(Just(b'l'), 1..70),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn outcome(bytes: &[u8]) -> Result<Option<(String, usize)>, Offence> {
    Ok(command::parse(bytes, BOUNDS)?.map(|(command, consumed)| (format!("{command:?}"), consumed)))
}

/// Parses PUB only, by its definition, and only complete commands.
fn naive_publish(bytes: &[u8]) -> Option<(String, Option<String>, String)> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let (line, behind) = text.split_once('\n')?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    let arguments: Vec<&str> = line[4..].split([' ', '\t']).filter(|one| !one.is_empty()).collect();
    let (subject, reply, size) = match arguments[..] {
        [subject, size] => (subject, None, size),
        [subject, reply, size] => (subject, Some(reply.to_owned()), size),
        _ => return None,
    };
    let is_size = size.len() <= 9 && size.bytes().all(|digit| digit.is_ascii_digit());
    let size: usize = is_size.then(|| size.parse().expect("digits"))?;
    let behind: Vec<char> = behind.chars().collect();
    let payload: String = behind.get(..size)?.iter().collect();
    let blanks_len = line[4..].len() - line[4..].trim_start_matches([' ', '\t']).len();
    let fits = size <= BOUNDS.payload_max as usize
        && line[4..].chars().count() - blanks_len <= BOUNDS.control_line_max
        && blanks_len <= BOUNDS.control_line_max;
    (fits && behind[size..].starts_with(&['\r', '\n']))
        .then(|| (subject.to_owned(), reply, payload))
}

/// A header block that is nearly one of a NATS client.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        6 => "[A-Za-z-]{1,5}", 1 => Just("reply-to".to_owned()),
        1 => Just("nats-headers".to_owned()), 1 => "[a: \\r\\n]{0,3}",
    ];
    let value = prop_oneof![6 => "[ -~]{0,9}", 1 => "[a\\r\\n]{0,3}"];
    let separator = prop_oneof![9 => Just(": "), 1 => Just(":")];
    let line =
        (name, separator, value).prop_map(|(name, by, value)| format!("{name}{by}{value}\r\n"));
    let lines = prop::collection::vec(line, 0..4).prop_map(|lines| lines.concat());
    prop_oneof![
        2 => Just(Vec::new()),
        6 => lines.prop_map(|lines| format!("NATS/1.0\r\n{lines}\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..40),
    ]
}

/// The bytes that nats-server delivers.
fn naive_delivery(publish: &Publish<'_>, variant: &Variant<'_>) -> Vec<u8> {
    let with_headers = variant.headers && !publish.headers.is_empty();
    let headers = if with_headers { publish.headers } else { b"" };
    let mut line = if with_headers { b"HMSG ".to_vec() } else { b"MSG ".to_vec() };
    for argument in [Some(variant.subject), Some(variant.sid), publish.reply].into_iter().flatten()
    {
        line.extend_from_slice(argument);
        line.push(b' ');
    }
    if with_headers {
        line.extend_from_slice(format!("{} ", headers.len()).as_bytes());
    }
    let len = headers.len() + publish.payload.len();
    line.extend_from_slice(format!("{len}\r\n").as_bytes());
    [&line[..], headers, publish.payload, b"\r\n"].concat()
}

proptest! {
    #![proptest_config(super::config())]

    /// Goal: neither a command nor an offence depends on how many bytes have arrived behind it.
    #[test]
    fn splits_do_not_change_commands_or_offences(bytes in sent()) {
        let whole = outcome(&bytes);
        for len in 0..bytes.len() {
            let early = outcome(&bytes[..len]);
            prop_assert!(early == Ok(None) || early == whole, "{:?} became {:?}", early, whole);
        }
        if let Ok(Some((_, consumed))) = whole {
            prop_assert_eq!(outcome(&bytes[..consumed]), whole);
            prop_assert_eq!(outcome(&bytes[..consumed - 1]), Ok(None), "incomplete before its end");
        }
    }

    /// Goal: PUB is parsed as a naive implementation of its definition does.
    #[test]
    fn pub_is_parsed_by_its_definition(
        verb in prop::sample::select(vec!["PUB ", "pub\t", "PuB "]),
        behind in sent(),
    ) {
        let bytes = [verb.as_bytes(), &behind].concat();
        let found = match command::parse(&bytes, BOUNDS) {
            Ok(Some((Command::Publish(publish), _))) => {
                let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
                Some((text(publish.subject), publish.reply.map(text), text(publish.payload)))
            }
            Ok(Some((other, _))) => panic!("{other:?}"),
            Ok(None) | Err(_) => None,
        };
        prop_assert_eq!(found, naive_publish(&bytes));
    }

    /// Goal: a message of one NATS client reaches another as nats-server would deliver it.
    #[test]
    fn messages_are_delivered_as_published(
        published in prop::collection::vec(
            (prop::option::of("[a-z.]{1,9}"), block(), prop::collection::vec(any::<u8>(), 0..30)),
            1..6,
        ),
        sid in "[a-z0-9]{1,4}",
        headers in any::<bool>(),
    ) {
        let variant = Variant { subject: b"orders.eu", sid: sid.as_bytes(), headers };
        let mut frames = BytesMut::new();
        let mut expected = Vec::new();
        for (reply, headers, payload) in &published {
            let reply = reply.as_ref().map(|reply| reply.as_bytes());
            let publish = Publish { subject: variant.subject, reply, headers, payload };
            let start = frames.len();
            message::append_frame(&mut frames, &publish).expect("a message that fits");
            let header = messages::check(&frames[start..], 30).expect("a valid frame");
            prop_assert_eq!(header.frame_len as usize, frames.len() - start);
            prop_assert!(frames.len() - start <= message::frame_len(&publish));
            expected.extend_from_slice(&naive_delivery(&publish, &variant));
        }
        let mut out = BytesMut::from(&b"before"[..]);
        message::encode(&mut out, &frames, &variant);
        prop_assert_eq!(&out[..6], b"before");
        prop_assert_eq!(out[6..].escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
