//! The vocabulary of BLIP/1: kinds, flags, options, and a type for each number that could be swapped
//! with another one.

use std::fmt;

/// `BLIP`, the first bytes of the body of HELLO.
pub const MAGIC: [u8; 4] = *b"BLIP";
/// The only version of the protocol so far.
pub const VERSION: u16 = 1;

/// MESSAGES flag: the publisher wants an ACK.
pub const FLAG_ACK: u8 = 1;
/// MESSAGES flag: the `crc` field is set.
pub const FLAG_CRC: u8 = 1 << 1;
/// MESSAGES flag: some records carry headers.
pub const FLAG_HEADERS: u8 = 1 << 2;
/// ERROR flag: the connection closes after it.
pub const FLAG_FATAL: u8 = 1;

/// Bit of the `topic` field that a publisher writes: the other bits are the request of an OPEN that
/// is not answered yet.
pub const PROVISIONAL: u32 = 0x8000_0000;
/// Bit of the `len` of a record: the other bits count a header block and the payload.
pub const RECORD_HAS_HEADERS: u32 = 0x8000_0000;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: the first frame.
    Hello = 0x01,
    /// Client: asks for the id of a topic, to publish to it.
    Open = 0x02,
    /// Client: asks for the messages of a pattern.
    Subscribe = 0x03,
    /// Client: ends a subscription.
    Unsubscribe = 0x04,
    /// Both: asks for a PONG.
    Ping = 0x05,
    /// Both: answers a PING.
    Pong = 0x06,
    /// Client: asks the server to send what is queued, then to close.
    Close = 0x07,
    /// Both: messages of one topic.
    Messages = 0x10,
    /// Server: answers HELLO.
    Welcome = 0x81,
    /// Server: names a topic id.
    Topic = 0x82,
    /// Server: a subscription is active.
    Subscribed = 0x83,
    /// Server: a subscription has ended.
    Unsubscribed = 0x84,
    /// Server: messages were accepted and have their sequences.
    Ack = 0x85,
    /// Server: messages that this subscriber missed.
    Gap = 0x86,
    /// Server: something was refused.
    Error = 0x8e,
    /// Server: the server is stopping.
    Goodbye = 0x8f,
}

impl Kind {
    /// Returns the kind that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            0x01 => Kind::Hello,
            0x02 => Kind::Open,
            0x03 => Kind::Subscribe,
            0x04 => Kind::Unsubscribe,
            0x05 => Kind::Ping,
            0x06 => Kind::Pong,
            0x07 => Kind::Close,
            0x10 => Kind::Messages,
            0x81 => Kind::Welcome,
            0x82 => Kind::Topic,
            0x83 => Kind::Subscribed,
            0x84 => Kind::Unsubscribed,
            0x85 => Kind::Ack,
            0x86 => Kind::Gap,
            0x8e => Kind::Error,
            0x8f => Kind::Goodbye,
            _ => return None,
        })
    }

    /// Returns the flag bits that this kind may set.
    pub fn flags_allowed(self) -> u8 {
        match self {
            Kind::Messages => FLAG_ACK | FLAG_CRC | FLAG_HEADERS,
            Kind::Error => FLAG_FATAL,
            _ => 0,
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The id of a topic, valid as long as the server runs: 1 to 2^31 - 1.
    TopicId,
    u32
);
number!(
    /// The place of a message in its topic, counted from 1.
    Sequence,
    u64
);
number!(
    /// The number of an OPEN on its connection: 1 to 2^31 - 1, chosen by the client.
    RequestId,
    u32
);
number!(
    /// The number of a subscription on its connection: not 0, chosen by the client.
    SubscriptionId,
    u32
);
number!(
    /// A core of the broker, counted from 0; not the machine's CPU number.
    CoreId,
    u16
);
number!(
    /// A shard of the broker, counted from 0.
    ShardId,
    u16
);

impl Sequence {
    /// Returns the sequence that is `messages` later.
    pub fn plus(self, messages: u64) -> Sequence {
        Sequence(self.0 + messages)
    }
}

/// What happens when a subscription's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Overflow {
    /// The server's `queues.overflow_policy`.
    ServerDefault = 0,
    /// The oldest queued messages are dropped.
    DropOldest = 1,
    /// New messages are not queued until there is room.
    DropNew = 2,
    /// The publishers of the topic are slowed until there is room.
    Block = 3,
    /// The subscriber is disconnected.
    Disconnect = 4,
    /// Only the newest message of each topic stays queued.
    Latest = 5,
}

impl Overflow {
    /// Returns the policy that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<Overflow> {
        Some(match byte {
            0 => Overflow::ServerDefault,
            1 => Overflow::DropOldest,
            2 => Overflow::DropNew,
            3 => Overflow::Block,
            4 => Overflow::Disconnect,
            5 => Overflow::Latest,
            _ => return None,
        })
    }
}

/// The message that a subscription begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The next message that the broker accepts.
    Live,
    /// At most this many retained messages, then live ones.
    Last(u64),
    /// The message with this sequence if it is still retained, else the oldest retained one.
    Sequence(u64),
}

impl Start {
    /// Returns the start that a byte and its argument stand for.
    pub fn from_wire(byte: u8, argument: u64) -> Option<Start> {
        Some(match byte {
            0 => Start::Live,
            1 => Start::Last(argument),
            2 => Start::Sequence(argument),
            _ => return None,
        })
    }

    /// Returns the byte and the argument of this start.
    pub fn to_wire(self) -> (u8, u64) {
        match self {
            Start::Live => (0, 0),
            Start::Last(messages) => (1, messages),
            Start::Sequence(sequence) => (2, sequence),
        }
    }
}

/// Why a subscriber missed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GapReason {
    /// The queue of the subscription was full.
    Overflow = 1,
    /// The time to live of the messages was over.
    Expired = 2,
    /// The topic no longer retains the messages.
    NoLongerKept = 3,
    /// A newer message of the topic took the place of the messages.
    Conflated = 4,
}

impl GapReason {
    /// Returns the reason that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<GapReason> {
        Some(match byte {
            1 => GapReason::Overflow,
            2 => GapReason::Expired,
            3 => GapReason::NoLongerKept,
            4 => GapReason::Conflated,
            _ => return None,
        })
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapReason::Overflow => "queue overflow",
            GapReason::Expired => "expired",
            GapReason::NoLongerKept => "no longer kept",
            GapReason::Conflated => "conflated",
        })
    }
}
