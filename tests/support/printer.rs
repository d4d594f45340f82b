//! Frames of a server as lines of text, as the vectors have them.

use std::collections::HashMap;

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::frame::{FLAG_CRC, PROVISIONAL};
use blipmq::protocol::messages::{self, Header};

use super::wire::Frame;

/// Prints frames of a server as lines: with names for topic ids, and without the fields that differ from
/// one start of a broker to the next (ids, times, cores, texts), which are checked instead.
#[derive(Debug, Default)]
pub struct Printer {
    topics: HashMap<u32, String>,
}

impl Printer {
    /// The id of a topic that a TOPIC frame has named.
    pub fn id_of(&self, topic: &str) -> Option<u32> {
        self.topics.iter().find(|(_, name)| *name == topic).map(|(id, _)| *id)
    }

    /// Every topic that a TOPIC frame has named.
    pub fn topics(&self) -> impl Iterator<Item = (u32, &str)> {
        self.topics.iter().map(|(id, name)| (*id, name.as_str()))
    }

    fn name_of(&self, id: u32) -> &str {
        self.topics.get(&id).unwrap_or_else(|| panic!("topic id {id} without a TOPIC before it"))
    }

    pub fn print(&mut self, frame: &Frame) -> String {
        match frame.decoded() {
            ServerFrame::Welcome(welcome) => {
                assert!(welcome.core.0 < welcome.cores && welcome.shards > 0, "{welcome:?}");
                assert!(!welcome.server.is_empty(), "a server has a name");
                format!(
                    "WELCOME version={} message_len_max={} frame_len_max={}",
                    welcome.version, welcome.message_len_max, welcome.frame_len_max
                )
            }
            ServerFrame::Topic { request, topic, next_sequence, owner: _, name } => {
                assert!((1..PROVISIONAL).contains(&topic.0), "topic ids are 1 to 2^31 - 1");
                let known = self.topics.insert(topic.0, name.to_owned());
                assert!(known.is_none_or(|known| known == name), "ids are never used again");
                format!("TOPIC request={request} next={next_sequence} topic={name}")
            }
            ServerFrame::Subscribed { subscription } => format!("SUBSCRIBED {subscription}"),
            ServerFrame::Unsubscribed { subscription } => format!("UNSUBSCRIBED {subscription}"),
            ServerFrame::Ack { topic, publish_id, sequence, messages } => {
                let topic = self.name_of(topic.0);
                format!("ACK topic={topic} id={publish_id} seq={sequence} count={messages}")
            }
            ServerFrame::Gap { topic, subscription: _, first, messages, reason } => {
                let topic = self.name_of(topic.0);
                format!("GAP topic={topic} first={first} count={messages} reason={}", reason as u8)
            }
            ServerFrame::Error { fatal, about, code, text } => {
                assert!(!text.is_empty(), "an ERROR says what to do");
                let fatal = if fatal { "fatal " } else { "" };
                let about = if about == 0 { String::new() } else { format!(" about={about}") };
                format!("ERROR {fatal}{code}{about}")
            }
            ServerFrame::Goodbye { .. } => "GOODBYE".to_owned(),
            ServerFrame::Ping { opaque } => format!("PING {opaque}"),
            ServerFrame::Pong { opaque } => format!("PONG {opaque}"),
            ServerFrame::Messages(header) => self.print_messages(header, &frame.0),
        }
    }

    fn print_messages(&self, header: Header, frame: &[u8]) -> String {
        assert!(header.timestamp > 0, "the broker stamps its time");
        let topic = self.name_of(header.topic);
        let mut line = format!("MESSAGES topic={topic} seq={}", header.sequence);
        line += &format!(" count={}", header.count);
        if header.subscription != 0 {
            line += &format!(" subscription={}", header.subscription);
        }
        if header.ttl_ms != 0 {
            line += &format!(" ttl={}", header.ttl_ms);
        }
        if header.flags & FLAG_CRC != 0 {
            line += &format!(" crc={:08x}", header.crc);
        }
        for record in messages::records(frame) {
            for (name, value) in record.headers {
                line += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
            }
            line += &format!(" {}", text_of(record.payload));
        }
        line
    }
}

/// Bytes in quotes; a long run of one byte as `"a"*1000`.
fn text_of(payload: &[u8]) -> String {
    match payload {
        [first, .., _] if payload.len() > 64 && payload.iter().all(|byte| byte == first) => {
            format!("\"{}\"*{}", first.escape_ascii(), payload.len())
        }
        _ => format!("\"{}\"", payload.escape_ascii()),
    }
}
