//! BLIP/1 for the generator: the library's frames, with a fast path for messages.
//!
//! Called by `codec`. Next on the path: `blipmq::protocol`.

use blipmq::limits::{FRAME_HEADER_LEN, MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use blipmq::protocol::decode::{self, ServerFrame};
use blipmq::protocol::frame::RECORD_HAS_HEADERS;
use blipmq::protocol::messages::Header;
use blipmq::protocol::{Kind, encode};

use super::codec::{Answer, Envelope, Sink, describe_unexpected};

/// A longer frame must be another protocol: the generator never sends that much.
const FRAME_LEN_MAX: usize = 1 << 30;

pub fn decode_frames(bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
    let mut rest = bytes;
    while let Some(frame_len) = rest.first_chunk::<4>() {
        let frame_len = u32::from_le_bytes(*frame_len) as usize;
        if !(FRAME_HEADER_LEN..=FRAME_LEN_MAX).contains(&frame_len) {
            return Err(format!("received no BLIP/1 frame: {}", describe_unexpected(rest)));
        }
        let Some((frame, behind)) = rest.split_at_checked(frame_len) else { break };
        if frame[4] == Kind::Messages as u8 {
            read_messages(frame, sink)?;
        } else {
            read_other(frame, sink)?;
        }
        rest = behind;
    }
    Ok(bytes.len() - rest.len())
}

fn read_messages(frame: &[u8], sink: &mut impl Sink) -> Result<(), String> {
    let bad = || format!("a MESSAGES frame of {} bytes is malformed", frame.len());
    let count = u16::from_le_bytes([frame[6], frame[7]]);
    let mut rest = frame.get(MESSAGES_HEADER_LEN..).ok_or_else(bad)?;
    for _ in 0..count {
        let (len, behind) = rest.split_first_chunk::<RECORD_HEADER_LEN>().ok_or_else(bad)?;
        let len = u32::from_le_bytes(*len);
        if len & RECORD_HAS_HEADERS != 0 {
            return Err(
                "received a message with headers, but none was published with headers".to_owned()
            );
        }
        let (payload, behind) = behind.split_at_checked(len as usize).ok_or_else(bad)?;
        sink.message(payload);
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(bad()) }
}

fn read_other(frame: &[u8], sink: &mut impl Sink) -> Result<(), String> {
    let decoded = decode::server_frame(frame).map_err(|reject| {
        format!("received no BLIP/1 frame: {}; {reject}", describe_unexpected(frame))
    })?;
    match decoded {
        ServerFrame::Welcome(_) => sink.answer(Answer::Greeting),
        ServerFrame::Topic { request, topic, .. } => {
            sink.answer(Answer::Topic { request: request.0, id: topic.0 });
        }
        ServerFrame::Subscribed { .. } => sink.answer(Answer::Subscribed),
        ServerFrame::Pong { .. } => sink.answer(Answer::Pong),
        ServerFrame::Ack { .. } => sink.answer(Answer::Published),
        ServerFrame::Gap { messages, .. } => sink.gap(messages),
        ServerFrame::Ping { opaque } => {
            let mut pong = Vec::new();
            encode::pong(&mut pong, opaque);
            sink.reply(&pong);
        }
        ServerFrame::Error { code, text, .. } => {
            return Err(format!("the broker answered: error {code}: {text}"));
        }
        ServerFrame::Goodbye { reason } => {
            return Err(format!("the broker sent GOODBYE: {reason}"));
        }
        ServerFrame::Unsubscribed { .. } | ServerFrame::Messages(_) => {}
    }
    Ok(())
}

/// Builds a MESSAGES frame around `batch` records.
pub fn envelope(topic_id: u32, payload_len: usize, batch: usize) -> Envelope {
    let records_len = batch * (RECORD_HEADER_LEN + payload_len);
    let header = Header {
        frame_len: (MESSAGES_HEADER_LEN + records_len) as u32,
        flags: 0,
        count: batch as u16,
        topic: topic_id,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms: 0,
        crc: 0,
    };
    Envelope {
        before: header.to_bytes().to_vec(),
        before_each: (payload_len as u32).to_le_bytes().to_vec(),
        after: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use blipmq::protocol::{CoreId, GapReason, RequestId, Sequence, SubscriptionId, TopicId};

    use super::super::codec::tests::{assert_decoded, published, refusal};
    use super::super::target::Protocol;
    use super::*;

    #[test]
    fn frames_are_decoded_wherever_reads_split_them() {
        let mut bytes = Vec::new();
        encode::topic(&mut bytes, RequestId(3), TopicId(9), Sequence(1), CoreId(0), "a");
        encode::subscribed(&mut bytes, SubscriptionId(1));
        bytes.extend(published(&envelope(9, 2, 1), &[b"m1"]));
        bytes.extend(published(&envelope(9, 2, 3), &[b"m2", b"m3", b"m4"]));
        encode::gap(&mut bytes, TopicId(9), 0, Sequence(5), 12, GapReason::Overflow);
        encode::ping(&mut bytes, 1);
        let expected = [
            "Topic { request: 3, id: 9 }",
            "Subscribed",
            "message m1",
            "message m2",
            "message m3",
            "message m4",
            "gap 12",
            "reply \\x10\\x00\\x00\\x00\\x06\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00",
        ];
        assert_decoded(Protocol::Blip, &bytes, &expected);
    }

    #[test]
    fn published_frames_are_valid() {
        let frame = published(&envelope(9, 2, 2), &[b"m1", b"m2"]);
        let decoded = decode::client_frame(&frame, 2).expect("a valid frame");
        assert!(matches!(decoded, decode::ClientFrame::Messages(header) if header.count == 2));
    }

    #[test]
    fn other_protocols_and_malformed_frames_are_refused() {
        assert!(refusal(Protocol::Blip, b"INFO {\"server_id\"").contains("use nats://"));
        assert!(refusal(Protocol::Blip, b"-ERR unknown command").contains("use redis://"));
        let mut frame = published(&envelope(9, 2, 2), &[b"m1", b"m2"]);
        frame[6] = 1;
        assert!(refusal(Protocol::Blip, &frame).contains("malformed"));
        frame[6] = 3;
        assert!(refusal(Protocol::Blip, &frame).contains("malformed"));
    }
}
