//! Checks what a client is sent against what every client may rely on.

use std::collections::HashMap;

use blipmq::protocol::decode::{self, ServerFrame};

/// What one connection was sent.
#[derive(Default)]
pub struct Reader {
    bytes: Vec<u8>,
    frames: u64,
    fatal: bool,
    /// The next sequence of each topic under plain subscriptions.
    next: HashMap<u32, u64>,
    /// Some subscription has ended, so sequences may be skipped without a GAP.
    unsubscribed: bool,
    named: HashMap<u32, String>,
    /// Number of live messages that were sent or reported.
    pub live_messages: u64,
}

impl Reader {
    /// Checks the next bytes that the broker has sent.
    pub fn read(&mut self, bytes: &[u8]) {
        assert!(!self.fatal, "nothing follows a fatal ERROR");
        self.bytes.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let frame = decode::next_frame(rest, u32::MAX).expect("a legal length");
            let frame = frame.expect("what is sent are whole frames");
            rest = &rest[frame.len()..];
            self.frame(decode::server_frame(frame).expect("a right frame"));
        }
    }

    fn frame(&mut self, frame: ServerFrame<'_>) {
        assert!(!self.fatal, "nothing follows a fatal ERROR");
        self.frames += 1;
        let is_first = self.frames == 1;
        match frame {
            ServerFrame::Error { fatal, code, text, .. } => {
                assert!((4_000..6_000).contains(&code) && !text.is_empty());
                assert!(fatal || !is_first, "before WELCOME every ERROR is fatal");
                self.fatal = fatal;
            }
            ServerFrame::Welcome(_) => assert!(is_first, "WELCOME is the first frame"),
            _ => assert!(!is_first, "nothing comes before WELCOME"),
        }
        match frame {
            ServerFrame::Messages(header) => {
                let (first, messages) = (header.sequence, u64::from(header.count));
                self.got(header.topic, header.subscription, first, messages);
            }
            ServerFrame::Gap { topic, subscription, first, messages, .. } => {
                assert!(messages > 0, "a gap has messages");
                self.got(topic.0, subscription, first.0, messages);
            }
            ServerFrame::Topic { topic, name, .. } => {
                let known = self.named.insert(topic.0, name.to_owned());
                assert!(known.is_none_or(|known| known == name), "an id belongs to one topic");
            }
            ServerFrame::Unsubscribed { .. } => self.unsubscribed = true,
            _ => {}
        }
    }

    fn got(&mut self, topic: u32, subscription: u32, first: u64, messages: u64) {
        assert!(first > 0, "sequences begin at 1");
        assert!(self.named.contains_key(&topic), "a TOPIC comes before its messages");
        if subscription != 0 {
            return;
        }
        let next = self.next.entry(topic).or_insert(first);
        assert!(*next <= first, "topic {topic}: {first} came, but {next} was next");
        assert!(
            *next == first || self.unsubscribed,
            "topic {topic}: {first} came, and {next} was not reported"
        );
        *next = first + messages;
        self.live_messages += messages;
    }
}
