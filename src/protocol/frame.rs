//! The vocabulary of BLIP/1: kinds, flags, options, and the numbers that must not be swapped.
//!
//! Used by every other module of the protocol and by the broker. Nothing here reads or writes.

use std::fmt;

/// `BLIP`, the first body bytes of HELLO.
pub const MAGIC: [u8; 4] = *b"BLIP";
/// The one version of the protocol there is.
pub const VERSION: u16 = 1;

/// MESSAGES flag: the publisher wants an ACK.
pub const FLAG_ACK: u8 = 1;
/// MESSAGES flag: the `crc` field is set.
pub const FLAG_CRC: u8 = 1 << 1;
/// MESSAGES flag: some records carry headers.
pub const FLAG_HEADERS: u8 = 1 << 2;
/// ERROR flag: the connection closes after it.
pub const FLAG_FATAL: u8 = 1;

/// In the `topic` field of a publisher: the low bits are the request of an OPEN not answered yet.
pub const PROVISIONAL: u32 = 0x8000_0000;
/// In the `len` of a record: the low 31 bits count a header block and the payload.
pub const RECORD_HAS_HEADERS: u32 = 0x8000_0000;

/// What a frame is.
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
    /// Client: send what is queued, then close.
    Close = 0x07,
    /// Both: messages of one topic.
    Messages = 0x10,
    /// Server: answers HELLO.
    Welcome = 0x81,
    /// Server: names a topic id.
    Topic = 0x82,
    /// Server: a subscription is in force.
    Subscribed = 0x83,
    /// Server: a subscription has ended.
    Unsubscribed = 0x84,
    /// Server: a publish was given its sequence.
    Ack = 0x85,
    /// Server: messages this subscriber missed.
    Gap = 0x86,
    /// Server: what was wrong.
    Error = 0x8e,
    /// Server: it is draining.
    Goodbye = 0x8f,
}

impl Kind {
    /// The kind a byte stands for.
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

    /// The flag bits this kind may set.
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
    /// One topic, as long as the server runs: 1 to 2^31 - 1.
    TopicId,
    u32
);
number!(
    /// The place of a message in its topic, from 1.
    Sequence,
    u64
);
number!(
    /// An OPEN of one connection: 1 to 2^31 - 1, chosen by the client.
    RequestId,
    u32
);
number!(
    /// A subscription of one connection: not 0, chosen by the client.
    SubscriptionId,
    u32
);
number!(
    /// A core of this broker, from 0; not the machine's CPU number.
    CoreId,
    u16
);
number!(
    /// A shard of this broker, from 0.
    ShardId,
    u16
);

impl Sequence {
    /// The sequence `messages` later.
    pub fn plus(self, messages: u64) -> Sequence {
        Sequence(self.0 + messages)
    }
}

/// What happens when a subscription's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Overflow {
    /// As the server is configured.
    ServerDefault = 0,
    /// The oldest queued messages go.
    DropOldest = 1,
    /// New messages are not queued.
    DropNew = 2,
    /// The topic's publishers are slowed.
    Block = 3,
    /// The subscriber is disconnected.
    Disconnect = 4,
    /// Only the newest message of each topic stays.
    Latest = 5,
}

impl Overflow {
    /// The policy a byte stands for.
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

/// Which message a subscription begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The next one accepted.
    Live,
    /// At most this many kept messages before it.
    Last(u64),
    /// From this sequence, if it is still kept.
    Sequence(u64),
}

impl Start {
    /// The start a byte and its argument stand for.
    pub fn from_wire(byte: u8, argument: u64) -> Option<Start> {
        Some(match byte {
            0 => Start::Live,
            1 => Start::Last(argument),
            2 => Start::Sequence(argument),
            _ => return None,
        })
    }

    /// The byte and the argument of this start.
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
    /// Its queue was full.
    Overflow = 1,
    /// Their time to live was over.
    Expired = 2,
    /// The topic's log keeps them no longer.
    NoLongerKept = 3,
    /// A newer message took their place.
    Conflated = 4,
}

impl GapReason {
    /// The reason a byte stands for.
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
