//! A connection as its client sees it: what the client has written, and what must follow.
//!
//! What the client reads is checked in `receive`, what was owed in `promises`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use blipmq::config::{OverflowPolicy, Settings};
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::messages::Header;
use blipmq::protocol::{GapReason, RequestId, SubscriptionId, encode};

use crate::passwords::TOKEN;
use crate::truth::{Frame, Moment, Truth};

/// The first number of a subscription. Requests have lower numbers, because an ERROR does not say
/// which kind of number it has.
const SUBSCRIPTION_FIRST: u32 = 1_000_000;

/// Overflow policies in the encoding of SUBSCRIBE.
pub const BLOCK: u8 = 3;
pub const DISCONNECT: u8 = 4;
pub const LATEST: u8 = 5;

/// A frame on its way to the broker.
#[derive(Debug, Clone, Copy)]
pub enum Sent {
    Hello,
    Open(u32),
    Subscribe(u32),
    Unsubscribe(u32),
    Ping(u64),
    Pong,
    Publish(u32),
    Close,
    /// Refused with one ERROR of this code and number; the connection continues.
    Bad(u16, u32),
    /// Refused with one ERROR of this code; the connection ends.
    Fatal(u16),
}

#[derive(Debug)]
pub struct Open {
    pub topic: usize,
    /// The broker has received the OPEN, before any fatal frame or CLOSE.
    pub handed: bool,
    /// TOPIC came, or an ERROR.
    pub answered: bool,
    pub refused: bool,
}

/// Options of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asks<'a> {
    pub overflow: u8,
    pub capacity: u32,
    pub start: u8,
    pub argument: u64,
    pub group: &'a str,
}

#[derive(Debug)]
pub struct Subscription {
    pub pattern: String,
    /// The requested policy, or the server's.
    pub overflow: u8,
    pub start: u8,
    pub argument: u64,
    /// Empty for none.
    pub group: String,
    /// What came for this subscription alone, by topic.
    pub addressed: BTreeMap<usize, Vec<Cover>>,
    /// Topics with live messages since SUBSCRIBED.
    pub live_since: BTreeSet<usize>,
    pub handed: bool,
    /// The turn that received SUBSCRIBE.
    pub asked: u32,
    pub refused: bool,
    /// The turn that sent SUBSCRIBED.
    pub subscribed: Option<u32>,
    pub unsubscribe_written: bool,
    pub unsubscribe_handed: bool,
    /// The turn that received UNSUBSCRIBE, or CLOSE.
    pub ended: Option<u32>,
    /// UNSUBSCRIBED, or the ERROR instead, has come.
    pub unsubscribed: bool,
}

/// What a client got of one topic, in order.
#[derive(Debug, Default)]
pub struct Stream {
    /// The next sequence, once something has come.
    pub next: Option<u64>,
    /// The next sequence as an unsolicited TOPIC announced it.
    pub announced_next: Option<u64>,
    pub covers: Vec<Cover>,
}

/// Messages that came, or that a GAP reported.
#[derive(Debug, Clone, Copy)]
pub struct Cover {
    pub first: u64,
    pub messages: u64,
    pub gap: Option<GapReason>,
    /// The turn that sent the frame.
    pub sent: Moment,
}

/// What a client has read, for scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Message(String),
    Gap { first: u64, messages: u64, reason: GapReason },
}

#[derive(Default)]
pub struct Conversation {
    /// The broker wants a token.
    pub has_token: bool,
    pub number: usize,
    pub core: usize,
    pub written: u64,
    pub handed: u64,
    pub on_the_way: VecDeque<(u64, Sent)>,
    /// The broker accepts no further frame of this connection.
    pub ignores_input: bool,
    pub close_written: bool,
    pub close_handed: bool,
    pub hello_handed: bool,
    /// The client has gone, or ended its half without CLOSE, so nothing is owed.
    pub abandoned: bool,
    pub opens: BTreeMap<u32, Open>,
    pub subscriptions: BTreeMap<u32, Subscription>,
    /// By topic: the id that TOPIC announced.
    pub ids: BTreeMap<usize, u32>,
    pub pings: VecDeque<u64>,
    /// When the broker received something, in each turn in which it did.
    pub heard: Vec<Moment>,
    /// The number of the broker's last PING.
    pub asked: u64,
    /// Numbers of its PINGs that the client has not answered yet.
    pub pongs_due: Vec<u64>,
    /// By topic: the last frame that was acknowledged.
    pub acked: BTreeMap<usize, u32>,
    /// Number of ERRORs that refused a publish because the memory budget was used up.
    pub refused_for_memory: u64,
    pub errors_expected: Vec<(u16, u32)>,
    pub fatal_expected: Option<u16>,
    pub fatal: Option<u16>,
    pub welcomed: bool,
    pub goodbye: bool,
    /// Everything up to the server's end was read.
    pub at_end: bool,
    /// The client reads so fast that nothing may overflow.
    pub loses_nothing: bool,
    pub gathers: VecDeque<(u64, Moment)>,
    pub gathered: u64,
    pub unread: Vec<u8>,
    pub read: u64,
    pub streams: BTreeMap<usize, Stream>,
    pub seen: Vec<Seen>,
}

impl Conversation {
    fn write(&mut self, out: &mut VecDeque<u8>, bytes: &[u8], sent: Sent) {
        out.extend(bytes);
        self.written += bytes.len() as u64;
        self.on_the_way.push_back((self.written, sent));
    }

    /// Writes arbitrary bytes, with the effect that the caller expects.
    pub fn raw(&mut self, out: &mut VecDeque<u8>, bytes: &[u8], sent: Sent) {
        self.write(out, bytes, sent);
    }

    pub fn hello(&mut self, out: &mut VecDeque<u8>) {
        let mut bytes = Vec::new();
        let (auth_kind, user) = if self.has_token { (1, TOKEN) } else { (0, "") };
        let hello = Hello { auth_kind, client_name: "sim", user, password: "" };
        encode::hello(&mut bytes, &hello);
        self.write(out, &bytes, Sent::Hello);
    }

    /// Writes OPEN and returns the number of the request.
    pub fn open(&mut self, out: &mut VecDeque<u8>, truth: &Truth, topic: usize) -> u32 {
        let request = self.opens.len() as u32 + 1;
        let mut bytes = Vec::new();
        encode::open(&mut bytes, RequestId(request), &truth.topics[topic].name);
        let open = Open { topic, handed: false, answered: false, refused: false };
        self.opens.insert(request, open);
        self.write(out, &bytes, Sent::Open(request));
        request
    }

    /// Writes SUBSCRIBE and returns the number of the subscription.
    pub fn subscribe(
        &mut self,
        out: &mut VecDeque<u8>,
        policy: OverflowPolicy,
        pattern: &str,
        asks: Asks<'_>,
    ) -> u32 {
        let id = SUBSCRIPTION_FIRST + self.subscriptions.len() as u32;
        let mut bytes = Vec::new();
        let subscribe = Subscribe {
            subscription: SubscriptionId(id),
            overflow: asks.overflow,
            start: asks.start,
            capacity: asks.capacity,
            start_argument: asks.argument,
            pattern,
            group: asks.group,
        };
        encode::subscribe(&mut bytes, &subscribe);
        let subscription = Subscription {
            pattern: pattern.to_string(),
            overflow: match (asks.overflow, policy) {
                (0, OverflowPolicy::DropOldest) => 1,
                (0, OverflowPolicy::DropNew) => 2,
                (0, OverflowPolicy::Block) => BLOCK,
                (0, OverflowPolicy::Disconnect) => DISCONNECT,
                (0, OverflowPolicy::Latest) => LATEST,
                (asked, _) => asked,
            },
            start: asks.start,
            argument: asks.argument,
            group: asks.group.to_string(),
            addressed: BTreeMap::new(),
            live_since: BTreeSet::new(),
            handed: false,
            asked: 0,
            refused: false,
            subscribed: None,
            unsubscribe_written: false,
            unsubscribe_handed: false,
            ended: None,
            unsubscribed: false,
        };
        self.subscriptions.insert(id, subscription);
        self.write(out, &bytes, Sent::Subscribe(id));
        id
    }

    pub fn unsubscribe(&mut self, out: &mut VecDeque<u8>, id: u32) {
        let mut bytes = Vec::new();
        encode::unsubscribe(&mut bytes, SubscriptionId(id));
        let subscription = self.subscriptions.get_mut(&id).expect("the client's own");
        subscription.unsubscribe_written = true;
        self.write(out, &bytes, Sent::Unsubscribe(id));
    }

    pub fn ping(&mut self, out: &mut VecDeque<u8>, opaque: u64) {
        let mut bytes = Vec::new();
        encode::ping(&mut bytes, opaque);
        self.write(out, &bytes, Sent::Ping(opaque));
    }

    pub fn close(&mut self, out: &mut VecDeque<u8>) {
        let mut bytes = Vec::new();
        encode::close(&mut bytes);
        self.close_written = true;
        self.write(out, &bytes, Sent::Close);
    }

    /// Writes one MESSAGES frame: under the topic's id if `by_id` is set and the client knows the
    /// id, else under the number of an OPEN, which is written first if there is none.
    pub fn publish(
        &mut self,
        out: &mut VecDeque<u8>,
        truth: &mut Truth,
        settings: &Settings,
        publish: Publish<'_>,
    ) {
        let Publish { topic, by_id, payloads, ttl_ms, flags } = publish;
        let mut request = None;
        let wire_topic = match self.ids.get(&topic) {
            Some(id) if by_id => *id,
            _ => {
                // The newest OPEN: it may be under way while an older one has the id.
                let mut opens = self.opens.iter().rev();
                let open = opens.find(|(_, open)| open.topic == topic).map(|(number, _)| *number);
                let open = open.unwrap_or_else(|| self.open(out, truth, topic));
                request = Some(open);
                PROVISIONAL | open
            }
        };
        let mut records = Vec::new();
        for payload in payloads {
            records.extend((payload.len() as u32).to_le_bytes());
            records.extend_from_slice(payload);
        }
        // From 1, because a frame that was cut has 0 instead of its number.
        let number = truth.frames.len() as u32 + 1;
        let messages = payloads.len() as u16;
        let header = Header {
            frame_len: (40 + records.len()) as u32,
            flags,
            count: messages,
            topic: wire_topic,
            subscription: 0,
            sequence: publish_id(number),
            timestamp: 0,
            ttl_ms,
            crc: number,
        };
        out.extend(header.to_bytes());
        let records_len = records.len() as u64;
        out.extend(&records);
        self.written += 40 + records_len;
        self.on_the_way.push_back((self.written, Sent::Publish(number)));
        let ttl_ms = if ttl_ms == 0 { settings.delivery.default_ttl_ms } else { ttl_ms };
        truth.frames.push(Frame {
            conversation: self.number,
            topic,
            flags,
            messages,
            ttl_ms,
            records,
            request,
            handed: None,
            may_be_lost: false,
            acked: false,
            sequence: None,
        });
    }

    /// Notes that the broker has received bytes; the frames in them take effect now.
    pub fn hand_over(&mut self, truth: &mut Truth, len: usize, moment: Moment) {
        self.handed += len as u64;
        self.heard.push(moment);
        while let Some(&(end, sent)) = self.on_the_way.front()
            && end <= self.handed
        {
            self.on_the_way.pop_front();
            if !self.ignores_input {
                self.take_effect(truth, sent, moment);
            }
        }
    }

    fn take_effect(&mut self, truth: &mut Truth, sent: Sent, moment: Moment) {
        match sent {
            Sent::Hello => self.hello_handed = true,
            Sent::Open(request) => {
                self.opens.get_mut(&request).expect("written").handed = true;
            }
            Sent::Subscribe(id) => {
                let subscription = self.subscriptions.get_mut(&id).expect("written");
                subscription.handed = true;
                subscription.asked = moment.turn;
            }
            Sent::Unsubscribe(id) => {
                let subscription = self.subscriptions.get_mut(&id).expect("written");
                subscription.unsubscribe_handed = true;
                subscription.ended.get_or_insert(moment.turn);
                truth.note_left(subscription);
            }
            Sent::Ping(opaque) => self.pings.push_back(opaque),
            Sent::Pong => {}
            Sent::Publish(number) => truth.frame(number).handed = Some(moment),
            Sent::Close => {
                self.close_handed = true;
                self.ignores_input = true;
                for subscription in self.subscriptions.values_mut() {
                    subscription.ended.get_or_insert(moment.turn);
                    truth.note_left(subscription);
                }
            }
            Sent::Bad(code, about) => self.errors_expected.push((code, about)),
            Sent::Fatal(code) => {
                self.fatal_expected = Some(code);
                self.ignores_input = true;
            }
        }
    }
}

/// The publish id of a frame, which its ACK repeats.
pub fn publish_id(frame: u32) -> u64 {
    u64::from(frame) << 32 | 7
}

/// What `Conversation::publish` writes.
pub struct Publish<'a> {
    pub topic: usize,
    pub by_id: bool,
    pub payloads: &'a [Vec<u8>],
    pub ttl_ms: u32,
    pub flags: u8,
}
