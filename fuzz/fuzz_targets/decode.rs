//! Any bytes as frames: nothing panics, what decodes re-encodes to the same bytes, and splits
//! between reads make no difference. The first byte sets the maximum length of a message.
#![no_main]

use blipmq::protocol::decode::{self, ClientFrame, ServerFrame};
use blipmq::protocol::messages::{self, Stamp};
use blipmq::protocol::{Reject, Sequence, TopicId, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((limit, bytes)) = data.split_first() else { return };
    let message_len_max = u32::from(*limit) * 8;
    let frame_len_max = blipmq::limits::frame_len_max(message_len_max);
    splits_do_not_matter(bytes, frame_len_max);
    check_messages(bytes, message_len_max);
    let mut rest = bytes;
    while let Ok(Some(frame)) = decode::next_frame(rest, frame_len_max) {
        if let Ok(decoded) = decode::client_frame(frame, message_len_max) {
            client_frame_is_written_as_it_was_read(frame, decoded);
        }
        if let Ok(decoded) = decode::server_frame(frame) {
            server_frame_is_written_as_it_was_read(frame, decoded);
        }
        rest = &rest[frame.len()..];
    }
});

/// The outcome of decoding. Texts of refusals may differ between splits, codes may not.
fn outcome(found: Result<Option<&[u8]>, Reject>) -> Result<Option<usize>, u16> {
    match found {
        Ok(frame) => Ok(frame.map(<[u8]>::len)),
        Err(reject) => {
            assert!(reject.is_fatal() && !reject.to_string().is_empty());
            Err(reject.code())
        }
    }
}

fn splits_do_not_matter(bytes: &[u8], frame_len_max: u32) {
    let hello = outcome(decode::next_hello(bytes));
    let frame = outcome(decode::next_frame(bytes, frame_len_max));
    for part in (0..bytes.len().min(64)).map(|len| &bytes[..len]) {
        let early = outcome(decode::next_frame(part, frame_len_max));
        assert!(early == frame || early == Ok(None), "{early:?} became {frame:?}");
        let early = outcome(decode::next_hello(part));
        assert!(early == hello || early == Ok(None), "{early:?} became {hello:?}");
    }
}

fn client_frame_is_written_as_it_was_read(frame: &[u8], decoded: ClientFrame<'_>) {
    let mut out = Vec::new();
    match decoded {
        ClientFrame::Hello(hello) => encode::hello(&mut out, &hello),
        ClientFrame::Open { request, topic } => encode::open(&mut out, request, topic),
        ClientFrame::Subscribe(subscribe) => encode::subscribe(&mut out, &subscribe),
        ClientFrame::Unsubscribe { subscription } => encode::unsubscribe(&mut out, subscription),
        ClientFrame::Ping { opaque } => encode::ping(&mut out, opaque),
        ClientFrame::Pong { opaque } => encode::pong(&mut out, opaque),
        ClientFrame::Close => encode::close(&mut out),
        ClientFrame::Messages(header) => {
            out.extend_from_slice(&header.to_bytes());
            out.extend_from_slice(&frame[out.len()..]);
        }
    }
    assert_eq!(out, frame);
}

fn server_frame_is_written_as_it_was_read(frame: &[u8], decoded: ServerFrame<'_>) {
    let mut out = Vec::new();
    match decoded {
        ServerFrame::Welcome(welcome) => encode::welcome(&mut out, &welcome),
        ServerFrame::Topic { request, topic, next_sequence, owner, name } => {
            encode::topic(&mut out, request, topic, next_sequence, owner, name);
        }
        ServerFrame::Subscribed { subscription } => encode::subscribed(&mut out, subscription),
        ServerFrame::Unsubscribed { subscription } => encode::unsubscribed(&mut out, subscription),
        ServerFrame::Ack { topic, publish_id, sequence, messages } => {
            encode::ack(&mut out, topic, publish_id, sequence, messages);
        }
        ServerFrame::Gap { topic, subscription, first, messages, reason } => {
            encode::gap(&mut out, topic, subscription, first, messages, reason);
        }
        ServerFrame::Goodbye { reason } => encode::goodbye(&mut out, reason),
        ServerFrame::Ping { opaque } => encode::ping(&mut out, opaque),
        ServerFrame::Pong { opaque } => encode::pong(&mut out, opaque),
        ServerFrame::Messages(header) => {
            out.extend_from_slice(&header.to_bytes());
            out.extend_from_slice(&frame[out.len()..]);
        }
        // Its text is made from a `Reject`, never given.
        ServerFrame::Error { .. } => return,
    }
    assert_eq!(out, frame);
}

/// Checks that what passes `check` can be read, stamped and cut, even if the bytes are no whole
/// frame.
fn check_messages(bytes: &[u8], message_len_max: u32) {
    let Ok(header) = messages::check(bytes, message_len_max) else { return };
    assert_eq!(messages::records(bytes).count(), usize::from(header.count));
    let mut records = Vec::new();
    for record in messages::records(bytes) {
        assert!(record.payload.len() <= message_len_max as usize);
        records.push((record.headers.collect::<Vec<_>>(), record.payload));
    }
    let mut stamped = bytes.to_vec();
    let len = stamped.len() as u32;
    stamped[..4].copy_from_slice(&len.to_le_bytes());
    let stamp = Stamp { topic: TopicId(5), sequence: Sequence(9), timestamp: 7, ttl_ms: 3 };
    let next = messages::stamp(&mut stamped, stamp);
    assert_eq!(next.0, 9 + u64::from(header.count));
    assert_eq!(stamped[40..], bytes[40..], "what the CRC covers stays");
    for keep in (1..header.count).take(8) {
        let cut = messages::last_messages(&stamped, keep);
        let header = messages::check(&cut, message_len_max).expect("a part is a right frame");
        assert_eq!((header.count, header.frame_len as usize), (keep, cut.len()));
        assert_eq!(header.sequence, next.0 - u64::from(keep));
        let kept = messages::records(&cut).map(|one| (one.headers.collect(), one.payload));
        let first = records.len() - usize::from(keep);
        assert_eq!(kept.collect::<Vec<_>>(), records[first..]);
    }
}
