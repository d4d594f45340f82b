//! The checker for what is addressed to one subscription: replays and groups; and for which gaps
//! may be reported to a subscription at all.

use blipmq::protocol::GapReason;
use blipmq::protocol::frame::FLAG_CRC;
use blipmq::protocol::messages::Header;

use crate::conversation::{BLOCK, Conversation, Cover, DISCONNECT, LATEST, Subscription};
use crate::truth::{Truth, matches};

type Verdict = Result<(), String>;

impl Conversation {
    /// Checks messages or a gap, for all plain subscriptions or for one.
    pub fn cover_for(
        &mut self,
        truth: &mut Truth,
        topic: usize,
        subscription: u32,
        cover: Cover,
    ) -> Verdict {
        if subscription == 0 {
            return self.cover(truth, topic, cover);
        }
        let name = &truth.topics[topic].name;
        let found = self.subscriptions.get_mut(&subscription).filter(|found| {
            found.subscribed.is_some() && !found.unsubscribed && matches(&found.pattern, name)
        });
        let found = found.ok_or(format!("`{name}` comes for {subscription}: {cover:?}"))?;
        if cover.first + cover.messages - 1 > truth.topics[topic].accepted.len() as u64 {
            return Err(format!("`{name}` has not accepted this yet: {cover:?}"));
        }
        let announced = self.streams.entry(topic).or_default().announced_next.take();
        if announced.is_some_and(|announced| announced != cover.first) {
            return Err(format!(
                "TOPIC `{name}` announced {announced:?} as the next, not {cover:?}"
            ));
        }
        let covers = found.addressed.entry(topic).or_default();
        let next = covers.last().map(|last| last.first + last.messages);
        covers.push(cover);
        if found.group.is_empty() {
            replayed(found, topic, next, cover)
        } else {
            dealt(truth, found, topic, next, cover)
        }
    }

    /// Checks that some matching subscription of the client may cause such a gap.
    pub fn gap_is_due(
        &self,
        truth: &Truth,
        topic: usize,
        subscription: u32,
        gap: Cover,
    ) -> Verdict {
        let reason = gap.gap.expect("the cover is a gap");
        let name = &truth.topics[topic].name;
        let mut meant = self.subscriptions.iter().filter(|(id, found)| {
            let meant =
                if subscription == 0 { found.group.is_empty() } else { **id == subscription };
            meant && found.handed && matches(&found.pattern, name)
        });
        let due = meant.any(|(_, found)| match reason {
            GapReason::Expired => true,
            // A replay has a bound in bytes under any policy.
            GapReason::Overflow if subscription != 0 => true,
            GapReason::Overflow => !matches!(found.overflow, BLOCK | DISCONNECT),
            GapReason::NoLongerKept => subscription != 0 && found.start == 2,
            GapReason::Conflated => {
                found.overflow == LATEST && (subscription == 0 || !found.group.is_empty())
                    || !found.group.is_empty()
            }
        });
        if !due {
            return Err(format!("no subscription to `{name}` may have such a gap: {gap:?}"));
        }
        if subscription == 0 && reason == GapReason::Overflow && self.loses_nothing {
            return Err(format!("an overflow although the client reads everything: {gap:?}"));
        }
        Ok(())
    }

    /// Whether the client may be disconnected as too slow. That a blocking client was stalled long
    /// enough is checked when the connection is closed.
    pub fn may_be_too_slow(&self) -> bool {
        let mut handed = self.subscriptions.values().filter(|subscription| subscription.handed);
        handed.any(|subscription| match subscription.overflow {
            BLOCK => true,
            DISCONNECT => !self.loses_nothing,
            _ => false,
        })
    }

    /// Whether the client may be disconnected as too slow at any time.
    pub fn disconnects(&self) -> bool {
        self.subscriptions.values().any(|found| found.handed && found.overflow == DISCONNECT)
    }
}

/// Checks replayed messages: once, in order, without holes, before everything live.
fn replayed(subscription: &Subscription, topic: usize, next: Option<u64>, cover: Cover) -> Verdict {
    if subscription.start == 0 {
        return Err(format!("a replay that was not asked for: {cover:?}"));
    }
    if next.is_some_and(|next| next != cover.first) {
        return Err(format!("a replay goes from {next:?} to {cover:?}"));
    }
    if next.is_some() && cover.gap == Some(GapReason::NoLongerKept) {
        return Err(format!("no longer retained, but what was before is: {cover:?}"));
    }
    if subscription.live_since.contains(&topic) {
        return Err(format!("replayed messages came after live ones: {cover:?}"));
    }
    Ok(())
}

/// Checks messages of a group: each goes to one member, or is reported to one.
fn dealt(
    truth: &mut Truth,
    subscription: &Subscription,
    topic: usize,
    next: Option<u64>,
    cover: Cover,
) -> Verdict {
    let group = truth.group_of(subscription).expect("the subscription is a member");
    if !group.left && next.is_some_and(|next| next > cover.first) {
        return Err(format!("a member goes back from {next:?} to {cover:?}"));
    }
    for sequence in cover.first..cover.first + cover.messages {
        if group.accounted.insert((topic, sequence), cover.gap.is_none()).is_some() {
            return Err(format!("{sequence} of topic {topic} came twice, now to {subscription:?}"));
        }
    }
    Ok(())
}

impl Truth {
    /// The frame that a frame without number was cut from: both end in the same records.
    pub fn find_cut(&self, topic: usize, header: &Header, records: &[u8]) -> Result<u32, String> {
        let last = header.sequence + u64::from(header.count) - 1;
        let place = self.topics[topic].frame_at.get(last as usize - 1).copied().flatten();
        let fits = |number: u32| {
            let frame = &self.frames[number as usize - 1];
            frame.topic == topic
                && frame.handed.is_some()
                && frame.messages > header.count
                && frame.flags & !FLAG_CRC == header.flags
                && frame.ttl_ms == header.ttl_ms
                && frame.records.ends_with(records)
        };
        let found = match place {
            Some((number, message)) => {
                let is_last = message + 1 == self.frames[number as usize - 1].messages;
                (is_last && fits(number)).then_some(number)
            }
            None => (1..=self.frames.len() as u32).find(|number| fits(*number)),
        };
        found.ok_or(format!("a cut frame of no frame: {header:?}"))
    }
}
