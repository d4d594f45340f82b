//! Frames to bytes.
//!
//! Used by the broker for everything but messages, which it forwards as they came, and by the client
//! for all that it sends. Each function appends one whole frame to `out`, [`record`] and
//! [`record_header`] a part of one.

use bytes::BufMut;

use crate::decode::{Hello, Subscribe, Welcome};
use crate::frame::{self, FLAG_FATAL, GapReason, Kind};
use crate::limits::FRAME_HEADER_LEN;
use crate::reject::Reject;
use crate::{CoreId, RequestId, Sequence, SubscriptionId, TopicId};

/// Length of a GAP frame, in bytes.
pub const GAP_LEN: usize = FRAME_HEADER_LEN + 4 + 4 + 8 + 8 + 1;

/// Appends HELLO, the first frame of a client.
pub fn hello(out: &mut impl BufMut, hello: &Hello<'_>) {
    let strings = [hello.client_name, hello.user, hello.password];
    let body_len = 4 + 2 + 2 + strings.iter().map(|string| string16_len(string)).sum::<usize>();
    header(out, Kind::Hello, 0, body_len);
    out.put_slice(&frame::MAGIC);
    out.put_u16_le(frame::VERSION);
    out.put_u16_le(hello.auth_kind);
    for string in strings {
        string16(out, string);
    }
}

/// Appends OPEN, which asks for the id of a topic.
pub fn open(out: &mut impl BufMut, request: RequestId, topic: &str) {
    header(out, Kind::Open, 0, 4 + string16_len(topic));
    out.put_u32_le(request.0);
    string16(out, topic);
}

/// Appends SUBSCRIBE, which asks for the messages of a pattern.
pub fn subscribe(out: &mut impl BufMut, subscribe: &Subscribe<'_>) {
    let strings_len = string16_len(subscribe.pattern) + string16_len(subscribe.group);
    header(out, Kind::Subscribe, 0, 4 + 1 + 1 + 2 + 4 + 8 + strings_len);
    out.put_u32_le(subscribe.subscription.0);
    out.put_u8(subscribe.overflow);
    out.put_u8(subscribe.start);
    out.put_u16_le(0);
    out.put_u32_le(subscribe.capacity);
    out.put_u64_le(subscribe.start_argument);
    string16(out, subscribe.pattern);
    string16(out, subscribe.group);
}

/// Appends UNSUBSCRIBE, which ends a subscription.
pub fn unsubscribe(out: &mut impl BufMut, subscription: SubscriptionId) {
    header(out, Kind::Unsubscribe, 0, 4);
    out.put_u32_le(subscription.0);
}

/// Appends PING. The answer carries the same number.
pub fn ping(out: &mut impl BufMut, opaque: u64) {
    header(out, Kind::Ping, 0, 8);
    out.put_u64_le(opaque);
}

/// Appends PONG, the answer to a PING with the same number.
pub fn pong(out: &mut impl BufMut, opaque: u64) {
    header(out, Kind::Pong, 0, 8);
    out.put_u64_le(opaque);
}

/// Appends CLOSE, which asks the server to send what is queued, then to close.
pub fn close(out: &mut impl BufMut) {
    header(out, Kind::Close, 0, 0);
}

/// Appends WELCOME, the answer to HELLO.
pub fn welcome(out: &mut impl BufMut, welcome: &Welcome<'_>) {
    header(out, Kind::Welcome, 0, 2 * 4 + 4 * 2 + 8 + string16_len(welcome.server));
    out.put_u16_le(welcome.version);
    out.put_u16_le(welcome.core.0);
    out.put_u16_le(welcome.cores);
    out.put_u16_le(welcome.shards);
    out.put_u32_le(welcome.message_len_max);
    out.put_u32_le(welcome.frame_len_max);
    out.put_u64_le(welcome.server_id);
    string16(out, welcome.server);
}

/// Appends TOPIC, which names a topic id. `request` is 0 if no OPEN is answered.
pub fn topic(
    out: &mut impl BufMut,
    request: RequestId,
    topic: TopicId,
    next_sequence: Sequence,
    owner: CoreId,
    name: &str,
) {
    header(out, Kind::Topic, 0, 4 + 4 + 8 + 2 + string16_len(name));
    out.put_u32_le(request.0);
    out.put_u32_le(topic.0);
    out.put_u64_le(next_sequence.0);
    out.put_u16_le(owner.0);
    string16(out, name);
}

/// Appends SUBSCRIBED: the subscription is active from here on.
pub fn subscribed(out: &mut impl BufMut, subscription: SubscriptionId) {
    header(out, Kind::Subscribed, 0, 4);
    out.put_u32_le(subscription.0);
}

/// Appends UNSUBSCRIBED: no message for the subscription follows.
pub fn unsubscribed(out: &mut impl BufMut, subscription: SubscriptionId) {
    header(out, Kind::Unsubscribed, 0, 4);
    out.put_u32_le(subscription.0);
}

/// Appends ACK: the frame with this publish id was accepted, its first message got `sequence`.
pub fn ack(
    out: &mut impl BufMut,
    topic: TopicId,
    publish_id: u64,
    sequence: Sequence,
    messages: u32,
) {
    header(out, Kind::Ack, 0, 4 + 8 + 8 + 4);
    out.put_u32_le(topic.0);
    out.put_u64_le(publish_id);
    out.put_u64_le(sequence.0);
    out.put_u32_le(messages);
}

/// Appends GAP: messages that the subscriber missed.
pub fn gap(
    out: &mut impl BufMut,
    topic: TopicId,
    subscription: u32,
    first: Sequence,
    messages: u64,
    reason: GapReason,
) {
    header(out, Kind::Gap, 0, GAP_LEN - FRAME_HEADER_LEN);
    out.put_u32_le(topic.0);
    out.put_u32_le(subscription);
    out.put_u64_le(first.0);
    out.put_u64_le(messages);
    out.put_u8(reason as u8);
}

/// Appends ERROR, with the text of the refusal.
pub fn error(out: &mut impl BufMut, reject: &Reject) {
    let text = reject.to_string();
    let text = cut_to_string16(&text);
    let flags = if reject.is_fatal() { FLAG_FATAL } else { 0 };
    header(out, Kind::Error, flags, 4 + 2 + string16_len(text));
    out.put_u32_le(reject.about());
    out.put_u16_le(reject.code());
    string16(out, text);
}

/// Appends GOODBYE: the server is stopping.
pub fn goodbye(out: &mut impl BufMut, reason: &str) {
    header(out, Kind::Goodbye, 0, string16_len(reason));
    string16(out, reason);
}

/// Appends one record of a MESSAGES frame. `headers` is a header block or empty.
///
/// # Panics
/// If the header block has more than 65,535 bytes.
pub fn record(out: &mut impl BufMut, headers: &[u8], payload: &[u8]) {
    if headers.is_empty() {
        out.put_u32_le(payload.len() as u32);
    } else {
        assert!(headers.len() <= usize::from(u16::MAX), "the caller checked the header block");
        out.put_u32_le((2 + headers.len() + payload.len()) as u32 | frame::RECORD_HAS_HEADERS);
        out.put_u16_le(headers.len() as u16);
        out.put_slice(headers);
    }
    out.put_slice(payload);
}

/// Appends one header to a header block.
///
/// # Panics
/// If the name has more than 255 bytes or the value more than 65,535.
pub fn record_header(block: &mut impl BufMut, name: &[u8], value: &[u8]) {
    assert!(name.len() <= usize::from(u8::MAX) && value.len() <= usize::from(u16::MAX));
    block.put_u8(name.len() as u8);
    block.put_slice(name);
    block.put_u16_le(value.len() as u16);
    block.put_slice(value);
}

fn header(out: &mut impl BufMut, kind: Kind, flags: u8, body_len: usize) {
    out.put_u32_le((FRAME_HEADER_LEN + body_len) as u32);
    out.put_u8(kind as u8);
    out.put_u8(flags);
    out.put_u16_le(0);
}

fn string16_len(text: &str) -> usize {
    2 + text.len()
}

fn string16(out: &mut impl BufMut, text: &str) {
    assert!(text.len() <= usize::from(u16::MAX), "the caller checked or cut the text");
    out.put_u16_le(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// An error text may quote what a client sent, and must still fit its frame.
fn cut_to_string16(text: &str) -> &str {
    &text[..text.floor_char_boundary(usize::from(u16::MAX))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{ClientFrame, ServerFrame, client_frame, next_frame, server_frame};

    fn whole(bytes: &[u8]) -> &[u8] {
        let frame = next_frame(bytes, u32::MAX).expect("a legal length").expect("a whole frame");
        assert_eq!(frame.len(), bytes.len(), "frame_len counts every byte");
        frame
    }

    #[test]
    fn every_client_frame_is_read_back_as_it_was_written() {
        let hello_sent =
            Hello { auth_kind: 2, client_name: "app", user: "u", password: "pässword" };
        let mut out = Vec::new();
        hello(&mut out, &hello_sent);
        assert_eq!(client_frame(whole(&out), 64), Ok(ClientFrame::Hello(hello_sent)));

        let mut out = Vec::new();
        open(&mut out, RequestId(7), "orders.eu");
        let expected = ClientFrame::Open { request: RequestId(7), topic: "orders.eu" };
        assert_eq!(client_frame(whole(&out), 64), Ok(expected));

        let subscribe_sent = Subscribe {
            subscription: SubscriptionId(9),
            overflow: 2,
            start: 1,
            capacity: 100,
            start_argument: 5,
            pattern: "orders.>",
            group: "billing",
        };
        let mut out = Vec::new();
        subscribe(&mut out, &subscribe_sent);
        assert_eq!(client_frame(whole(&out), 64), Ok(ClientFrame::Subscribe(subscribe_sent)));

        let mut out = Vec::new();
        unsubscribe(&mut out, SubscriptionId(9));
        let expected = ClientFrame::Unsubscribe { subscription: SubscriptionId(9) };
        assert_eq!(client_frame(whole(&out), 64), Ok(expected));

        let mut out = Vec::new();
        ping(&mut out, 1 << 60);
        assert_eq!(client_frame(whole(&out), 64), Ok(ClientFrame::Ping { opaque: 1 << 60 }));

        let mut out = Vec::new();
        close(&mut out);
        assert_eq!(client_frame(whole(&out), 64), Ok(ClientFrame::Close));
    }

    #[test]
    fn every_server_frame_is_read_back_as_it_was_written() {
        let welcome_sent = Welcome {
            version: 1,
            core: CoreId(3),
            cores: 4,
            shards: 8,
            message_len_max: 1 << 20,
            frame_len_max: 1 << 21,
            server_id: 0xfeed,
            server: "blipmq/0.1.0",
        };
        let mut out = Vec::new();
        welcome(&mut out, &welcome_sent);
        assert_eq!(server_frame(whole(&out)), Ok(ServerFrame::Welcome(welcome_sent)));

        let mut out = Vec::new();
        topic(&mut out, RequestId(7), TopicId(11), Sequence(1), CoreId(1), "orders.eu");
        assert_eq!(
            server_frame(whole(&out)),
            Ok(ServerFrame::Topic {
                request: RequestId(7),
                topic: TopicId(11),
                next_sequence: Sequence(1),
                owner: CoreId(1),
                name: "orders.eu",
            })
        );

        let mut out = Vec::new();
        ack(&mut out, TopicId(11), 99, Sequence(5), 3);
        assert_eq!(
            server_frame(whole(&out)),
            Ok(ServerFrame::Ack {
                topic: TopicId(11),
                publish_id: 99,
                sequence: Sequence(5),
                messages: 3,
            })
        );

        let mut out = Vec::new();
        gap(&mut out, TopicId(11), 0, Sequence(5), 3, GapReason::Expired);
        assert_eq!(out.len(), GAP_LEN);
        assert_eq!(
            server_frame(whole(&out)),
            Ok(ServerFrame::Gap {
                topic: TopicId(11),
                subscription: 0,
                first: Sequence(5),
                messages: 3,
                reason: GapReason::Expired,
            })
        );

        let mut out = Vec::new();
        goodbye(&mut out, "draining");
        assert_eq!(server_frame(whole(&out)), Ok(ServerFrame::Goodbye { reason: "draining" }));
    }

    #[test]
    fn an_error_text_longer_than_a_string16_is_cut_and_still_utf8() {
        let reject = Reject::BadTopic {
            request: 1,
            topic: "é".repeat(40_000),
            error: crate::name::NameError::TooLong { len: 80_000 },
        };
        let mut out = Vec::new();
        error(&mut out, &reject);
        let Ok(ServerFrame::Error { fatal, about, code, text }) = server_frame(whole(&out)) else {
            panic!("an ERROR frame");
        };
        assert_eq!((fatal, about, code), (false, 1, 4220));
        assert!(text.len() > 65_000);
    }
}
