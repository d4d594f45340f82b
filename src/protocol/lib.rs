//! BLIP/1, the native wire protocol: frames to values and back, without I/O.
//!
//! Used by the broker on the server's side and by `blipmq-client` on the other. The bytes a publisher
//! sends are the bytes a subscriber receives: the broker stamps a few header fields in place.
//!
//! | to learn | read |
//! |---|---|
//! | what a frame looks like | [`frame`] |
//! | how bytes become frames, and what is refused | [`decode`], [`reject`] |
//! | how frames become bytes | [`encode`] |
//! | what is inside a MESSAGES frame | [`messages`] |
//! | which topics and patterns are legal | [`name`] |
//! | how long frames, topics and messages may be | [`limits`] |

pub mod decode;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod messages;
pub mod name;
pub mod reject;

pub use frame::{
    CoreId, GapReason, Kind, Overflow, RequestId, Sequence, ShardId, Start, SubscriptionId, TopicId,
};
pub use reject::Reject;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct Readme;
