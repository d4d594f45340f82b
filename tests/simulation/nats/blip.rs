//! The BLIP/1 clients of a NATS world: a witness, which subscribes to some subjects and so knows
//! the sequences, and a publisher.

use std::collections::{BTreeMap, BTreeSet};

use blipmq::limits::TOPIC_ID_MAX;
use blipmq::protocol::decode::{self, Hello, ServerFrame, Subscribe};
use blipmq::protocol::frame::{FLAG_ACK, FLAG_HEADERS, PROVISIONAL, RECORD_HAS_HEADERS};
use blipmq::protocol::messages::{self, Header, Record};
use blipmq::protocol::{RequestId, SubscriptionId, encode};

use super::ledger::{Ledger, Message, Verdict};

/// What the witness subscribes to.
pub const WITNESSED: [&str; 4] = ["a", "a.>", "b", "b.>"];

#[derive(Default)]
pub struct Blip {
    pub wire: usize,
    commands: u64,
    requests: BTreeMap<String, u32>,
    names: BTreeMap<u32, String>,
    /// By subject and sequence.
    witnessed: BTreeSet<(String, u64)>,
}

impl Blip {
    pub fn new(wire: usize) -> Blip {
        Blip { wire, ..Blip::default() }
    }

    pub fn hello(&mut self, out: &mut Vec<u8>) {
        let hello = Hello { auth_kind: 0, client_name: "sim", user: "", password: "" };
        encode::hello(out, &hello);
    }

    pub fn subscribe(&mut self, out: &mut Vec<u8>) {
        for (number, pattern) in (1..).zip(WITNESSED) {
            let subscribe = Subscribe {
                subscription: SubscriptionId(number),
                overflow: 1,
                start: 0,
                capacity: 0,
                start_argument: 0,
                pattern,
                group: "",
            };
            encode::subscribe(out, &subscribe);
        }
    }

    /// One message, at times with headers and a reply subject.
    pub fn publish(
        &mut self,
        out: &mut Vec<u8>,
        ledger: &mut Ledger,
        subject: &str,
        reply: Option<&str>,
        filler: &[u8],
    ) {
        self.commands += 1;
        let next = self.requests.len() as u32 + 1;
        let request = *self.requests.entry(subject.to_string()).or_insert_with(|| {
            encode::open(out, RequestId(next), subject);
            next
        });
        let written = ledger.tick();
        let headers = if reply.is_some() { &b"NATS/1.0\r\nkind: blip\r\n\r\n"[..] } else { b"" };
        let message = Message {
            publisher: self.wire,
            command: self.commands,
            subject: subject.to_string(),
            reply: reply.map(str::to_string),
            headers: headers.to_vec(),
            payload: Vec::new(),
            written,
            confirmed: None,
            seen: false,
            wants_responder: false,
            unheard: 0,
            sequence: None,
        };
        let number = ledger.message(message, filler);
        let mut block = Vec::new();
        if let Some(reply) = reply {
            for (name, value) in [("kind", "blip"), ("reply-to", reply)] {
                block.push(name.len() as u8);
                block.extend_from_slice(name.as_bytes());
                block.extend_from_slice(&(value.len() as u16).to_le_bytes());
                block.extend_from_slice(value.as_bytes());
            }
            block.splice(0..0, (block.len() as u16).to_le_bytes());
        }
        let payload = &ledger.messages[number].payload;
        let bit = if block.is_empty() { 0 } else { RECORD_HAS_HEADERS };
        let record_len = block.len() + payload.len();
        let header = Header {
            frame_len: (44 + record_len) as u32,
            flags: FLAG_ACK | if block.is_empty() { 0 } else { FLAG_HEADERS },
            count: 1,
            topic: PROVISIONAL | request,
            subscription: 0,
            sequence: number as u64,
            timestamp: 0,
            ttl_ms: 0,
            crc: 0,
        };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&(record_len as u32 | bit).to_le_bytes());
        out.extend_from_slice(&block);
        out.extend_from_slice(payload);
    }

    pub fn read(&mut self, ledger: &mut Ledger, unread: &mut Vec<u8>) -> Verdict {
        let mut consumed = 0;
        while let Some(frame) =
            decode::next_frame(&unread[consumed..], u32::MAX).map_err(|error| error.to_string())?
        {
            consumed += frame.len();
            ledger.tick();
            let decoded = decode::server_frame(frame).map_err(|error| error.to_string())?;
            match decoded {
                ServerFrame::Topic { topic, name, .. } => {
                    self.names.insert(topic.0, name.to_string());
                    if topic.0 > TOPIC_ID_MAX / 2 {
                        ledger.ephemeral.insert(name.to_string());
                    }
                }
                ServerFrame::Gap { messages, .. } => ledger.witness_missed += messages,
                ServerFrame::Ack { publish_id, .. } => {
                    let now = ledger.clock;
                    ledger.messages[publish_id as usize].confirmed.get_or_insert(now);
                }
                ServerFrame::Messages(header) => {
                    let name = self.names.get(&header.topic).ok_or("an unknown topic")?.clone();
                    for (sequence, record) in (header.sequence..).zip(messages::records(frame)) {
                        self.witness(ledger, &name, sequence, record)?;
                    }
                }
                _ => {}
            }
        }
        unread.drain(..consumed);
        Ok(())
    }

    fn witness(
        &mut self,
        ledger: &mut Ledger,
        name: &str,
        sequence: u64,
        record: Record<'_>,
    ) -> Verdict {
        let number = ledger.number_of(record.payload)?;
        let is_new = self.witnessed.insert((name.to_string(), sequence));
        if !is_new && !ledger.ephemeral.contains(name) {
            return Err(format!("{sequence} of `{name}` came twice"));
        }
        let message = &mut ledger.messages[number];
        let mut reply = None;
        let mut lines = Vec::new();
        for (header, value) in record.headers {
            match header {
                b"reply-to" => reply = Some(String::from_utf8_lossy(value).into_owned()),
                b"nats-headers" => lines.extend_from_slice(value),
                _ => {
                    if lines.is_empty() {
                        lines.extend_from_slice(b"NATS/1.0\r\n");
                    }
                    lines.extend_from_slice(&[header, b": ", value, b"\r\n"].concat());
                }
            }
        }
        if record
            .headers
            .into_iter()
            .any(|(name, _)| name != b"reply-to" && name != b"nats-headers")
        {
            lines.extend_from_slice(b"\r\n");
        }
        if message.subject != name
            || message.payload != record.payload
            || message.reply != reply
            || message.headers != lines
        {
            let lines = String::from_utf8_lossy(&lines);
            return Err(format!("{message:?} came as {reply:?} {lines} on {name}"));
        }
        message.seen = true;
        message.sequence = Some(sequence);
        Ok(())
    }
}
