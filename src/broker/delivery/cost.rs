//! What a subscription costs beside what it has queued: the one place that says so.
//!
//! Counted in the memory budget from `subscribe` until the subscription is forgotten, and for its
//! connection as long as that is there.

use super::group::{Group, Member};
use super::subscribe::NewSubscription;
use super::subscription::Subscription;
use crate::broker::pattern;

/// Its places in tables and lists, which double when they grow: of subscriptions, of those of its
/// connection, of those with something to send, and of what its client calls it.
const PLACES_LEN: usize = 96;
/// Its entry among what this core has announced, by pattern and by number.
const ANNOUNCED_LEN: usize = 384;
/// The lists of a group with one member.
const GROUP_LISTS_LEN: usize = 512;
/// What the allocator adds to a block.
const ROUNDING_LEN: usize = 16;

/// Estimated bytes that a subscription holds, of which so many other cores know the pattern.
pub(super) fn bytes_of(new: &NewSubscription, cores_told: usize) -> u64 {
    let block = |len: usize| (len + ROUNDING_LEN) as u64;
    let in_matcher = pattern::bytes_of(&new.pattern);
    let mut bytes = block(size_of::<Subscription>()) + PLACES_LEN as u64 + in_matcher;
    // With the counts of those that share it.
    bytes += block(new.pattern.len() + 2 * size_of::<usize>());
    // Once for the subscription, once for its client.
    bytes += new.name.as_ref().map_or(0, |name| 2 * block(name.len()));
    if cores_told > 0 {
        bytes += ANNOUNCED_LEN as u64 + cores_told as u64 * in_matcher;
    }
    if let Some(group) = &new.group {
        let of_group = size_of::<Group>() + size_of::<Member>() + GROUP_LISTS_LEN;
        bytes += block(of_group) + block(group.len()) + in_matcher;
    }
    bytes
}
