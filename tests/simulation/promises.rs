//! The checker, second half: whether every client got what was owed when its connection or the
//! world ended, and whether the counters agree.

use blipmq::broker::counters::{Counter, Counters};
use blipmq::protocol::GapReason;
use blipmq::protocol::frame::FLAG_ACK;

use crate::conversation::{Conversation, Stream};
use crate::owed;
use crate::plan::Plan;
use crate::truth::{Truth, matches};

type Verdict = Result<(), String>;

impl Conversation {
    /// Checks that the client got what was owed. After a stop, input may have been left unread.
    pub fn owed(&self, truth: &Truth, plan: &Plan, stopped: bool) -> Verdict {
        // A client that stays to the end is owed everything, others are owed no hole in what they
        // got.
        let to_the_end = self.stays();
        self.replays_owed(truth, plan)?;
        for subscription in self.subscriptions.values() {
            let Some(subscribed) = subscription.subscribed else { continue };
            if !subscription.group.is_empty() {
                continue;
            }
            for (index, topic) in truth.topics.iter().enumerate() {
                if !matches(&subscription.pattern, &topic.name) {
                    continue;
                }
                let nothing = Stream::default();
                let stream = self.streams.get(&index).unwrap_or(&nothing);
                let end = match to_the_end {
                    true => topic.accepted.len() as u64 + 1,
                    false => stream.next.unwrap_or(1),
                };
                // From here on everything is live: after the replay.
                let replayed = subscription.addressed.get(&index);
                let live_from = owed::live_from(
                    subscription,
                    replayed.map_or(&[], |replayed| &replayed[..]),
                    plan,
                )
                .filter(|_| to_the_end && subscription.ended.is_none());
                let mut covers = stream.covers.iter().peekable();
                for sequence in 1..end {
                    while covers.next_if(|cover| cover.first + cover.messages <= sequence).is_some()
                    {
                    }
                    let covered = covers.peek().is_some_and(|cover| cover.first <= sequence);
                    let accepted = topic.accepted[sequence as usize - 1].turn;
                    let reached_in_time =
                        match (subscription.ended, topic.fanned_out(self.core, sequence)) {
                            (None, _) => true,
                            (Some(ended), Some(fanned_out)) => fanned_out < ended,
                            (Some(_), None) => false,
                        };
                    let owed = accepted > subscribed && reached_in_time
                        || live_from.is_some_and(|live_from| live_from <= sequence);
                    if !covered && owed {
                        return Err(format!(
                            "{sequence} of `{}`, accepted in turn {accepted}, neither came nor \
                             was reported to {subscription:?}; its stream is {:?}",
                            topic.name, stream.covers,
                        ));
                    }
                }
            }
        }
        self.gaps_are_right(truth)?;
        if to_the_end && !stopped {
            self.acknowledged(truth)?;
            self.answered()
        } else {
            Ok(())
        }
    }

    /// Checks that no message was reported as expired before its time, or without a TTL.
    fn gaps_are_right(&self, truth: &Truth) -> Verdict {
        for (topic, stream) in &self.streams {
            let expired =
                stream.covers.iter().filter(|cover| cover.gap == Some(GapReason::Expired));
            for cover in expired {
                for sequence in cover.first..cover.first + cover.messages {
                    let place = truth.topics[*topic].frame_at[sequence as usize - 1];
                    let Some((number, _)) = place else { continue };
                    let frame = &truth.frames[number as usize - 1];
                    let handed = frame.handed.expect("the frame was accepted").now.monotonic_ns;
                    let deadline_ns = handed + u64::from(frame.ttl_ms) * 1_000_000;
                    if frame.ttl_ms == 0 || cover.sent.now.monotonic_ns < deadline_ns {
                        return Err(format!("frame {number} was reported expired: {cover:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that every accepted frame that wants an ACK has one.
    fn acknowledged(&self, truth: &Truth) -> Verdict {
        let refused = |request: u32| self.opens[&request].refused;
        let own = truth.frames.iter().filter(|frame| {
            frame.conversation == self.number
                && frame.handed.is_some()
                && !frame.request.is_some_and(refused)
        });
        let missing: Vec<_> = own
            .filter(|frame| frame.flags & FLAG_ACK != 0 && !frame.acked)
            .map(|frame| (frame.topic, frame.handed, frame.sequence))
            .collect();
        if missing.len() as u64 > self.refused_for_memory {
            return Err(format!("no ACK of {missing:?}"));
        }
        Ok(())
    }

    /// Checks that every request has its answer.
    fn answered(&self) -> Verdict {
        if !self.pings.is_empty() || !self.errors_expected.is_empty() {
            let errors = &self.errors_expected;
            return Err(format!("no PONG to {:?}, no ERROR {errors:?}", self.pings));
        }
        if self.hello_handed && !self.welcomed {
            return Err("HELLO without WELCOME".to_string());
        }
        for (id, subscription) in &self.subscriptions {
            let answered = subscription.subscribed.is_some() || subscription.refused;
            // CLOSE does not wait for answers of other cores.
            let awaited = !self.close_handed && !subscription.unsubscribe_handed;
            if subscription.handed && !answered && awaited {
                return Err(format!("no answer to SUBSCRIBE {id}: {subscription:?}"));
            }
            if subscription.unsubscribe_handed && !subscription.unsubscribed {
                return Err(format!("no answer to UNSUBSCRIBE {id}: {subscription:?}"));
            }
        }
        let unanswered = self.opens.iter().find(|(_, open)| open.handed && !open.answered);
        match unanswered {
            Some((request, open)) if !self.close_handed => {
                Err(format!("no answer to OPEN {request}: {open:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that what publishers sent was accepted in their order. `refused` messages were not,
/// because the memory budget was used up.
pub fn publishers(truth: &Truth, conversations: usize, stopped: bool, refused: u64) -> Verdict {
    for (index, topic) in truth.topics.iter().enumerate() {
        let frames = truth.frames.iter();
        let frames = frames.filter(|frame| frame.topic == index && frame.handed.is_some());
        let handed: u64 = frames.clone().map(|frame| u64::from(frame.messages)).sum();
        let certain = frames.clone().filter(|frame| !frame.may_be_lost);
        let certain: u64 = certain.map(|frame| u64::from(frame.messages)).sum();
        let accepted = topic.accepted.len() as u64;
        // A topic that does not exist at the end was refused, because the limit was reached.
        let may_be_less = stopped || topic.id.is_none() || refused > 0;
        let right = accepted <= handed && (may_be_less || accepted >= certain);
        if !right {
            let unseen: Vec<_> = frames
                .filter(|frame| frame.sequence.is_none())
                .map(|frame| (frame.conversation, frame.messages, frame.handed))
                .collect();
            return Err(format!(
                "`{}`: {handed} handed over, {accepted} accepted; by connection, not seen by \
                 anyone: {unseen:?}",
                topic.name
            ));
        }
        let mut last = vec![None; conversations];
        for (number, message) in topic.frame_at.iter().flatten().copied() {
            let last = &mut last[truth.frames[number as usize - 1].conversation];
            if last.is_some_and(|last| last >= (number, message)) {
                return Err(format!("`{}`: {last:?} before frame {number}", topic.name));
            }
            *last = Some((number, message));
        }
    }
    Ok(())
}

/// Checks that everything queued is accounted for once every connection is gone. Messages of a
/// group are queued on one core and delivered by others, so only the sums agree.
pub fn queued(counters: &[&Counters]) -> Verdict {
    let sum = |of: fn(&Counters) -> &Counter| -> u64 {
        counters.iter().map(|counters| of(counters).get()).sum()
    };
    let enqueued = sum(|counters| &counters.enqueued_messages);
    let left = [
        sum(|counters| &counters.delivered_messages),
        sum(|counters| &counters.dropped_oldest_messages),
        sum(|counters| &counters.dropped_connection_full_messages),
        sum(|counters| &counters.reclaimed_messages),
        sum(|counters| &counters.conflated_messages),
        sum(|counters| &counters.expired_in_queue_messages),
        sum(|counters| &counters.dropped_disconnected_messages),
    ];
    if enqueued != left.iter().sum::<u64>() {
        return Err(format!(
            "{enqueued} enqueued, but delivered, dropped_oldest, connection_full, \
             reclaimed, conflated, expired and \
             disconnected are {left:?}"
        ));
    }
    Ok(())
}

/// Checks that every connection opened was closed.
pub fn connections(core: usize, counters: &Counters) -> Verdict {
    let (opened, closed) = (counters.connections_opened.get(), counters.connections_closed.get());
    let subscriptions = counters.subscriptions.get();
    if opened != closed || subscriptions != 0 {
        return Err(format!(
            "core {core}: {opened} opened, {closed} closed, {subscriptions} subscriptions left"
        ));
    }
    Ok(())
}
