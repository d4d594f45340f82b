//! The checker, second half: what every client was owed, when its connection or the world has
//! ended; and whether the counters tell the same story.

use blipmq::broker::counters::Counters;
use blipmq::protocol::GapReason;

use crate::conversation::{Conversation, Stream};
use crate::truth::{Truth, matches};

type Verdict = Result<(), String>;

impl Conversation {
    /// `stopped` when the broker was told to stop: then input may have been left unread.
    pub fn owed(&self, truth: &Truth, stopped: bool) -> Verdict {
        // Whoever stays to the end is owed everything, others no hole in what they got.
        let to_the_end = !self.abandoned && self.fatal.is_none() && self.fatal_expected.is_none();
        for subscription in self.subscriptions.values() {
            let Some(subscribed) = subscription.subscribed else { continue };
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
                    if !covered && accepted > subscribed && reached_in_time {
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
        if to_the_end && !stopped { self.answered() } else { Ok(()) }
    }

    /// A message is not reported as expired before its time, or if it has no end.
    fn gaps_are_right(&self, truth: &Truth) -> Verdict {
        for (topic, stream) in &self.streams {
            let expired =
                stream.covers.iter().filter(|cover| cover.gap == Some(GapReason::Expired));
            for cover in expired {
                for sequence in cover.first..cover.first + cover.messages {
                    let place = truth.topics[*topic].frame_at[sequence as usize - 1];
                    let Some((number, _)) = place else { continue };
                    let frame = &truth.frames[number as usize];
                    let handed = frame.handed.expect("it was accepted").now.monotonic_ns;
                    let deadline_ns = handed + u64::from(frame.ttl_ms) * 1_000_000;
                    if frame.ttl_ms == 0 || cover.sent.now.monotonic_ns < deadline_ns {
                        return Err(format!("frame {number} was reported expired: {cover:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every question has its answer.
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
            // CLOSE does not wait for what other cores have still to say.
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

/// What publishers handed over was accepted, in their order.
pub fn publishers(truth: &Truth, conversations: usize, stopped: bool) -> Verdict {
    for (index, topic) in truth.topics.iter().enumerate() {
        let frames = truth.frames.iter();
        let frames = frames.filter(|frame| frame.topic == index && frame.handed.is_some());
        let handed: u64 = frames.clone().map(|frame| u64::from(frame.messages)).sum();
        let accepted = topic.accepted.len() as u64;
        // A topic that does not exist in the end was refused: the limit was reached.
        let right =
            if stopped || topic.id.is_none() { accepted <= handed } else { accepted == handed };
        if !right {
            let nowhere: Vec<_> = frames
                .filter(|frame| frame.sequence.is_none())
                .map(|frame| (frame.conversation, frame.messages, frame.handed))
                .collect();
            return Err(format!(
                "`{}`: {handed} handed over, {accepted} accepted; by connection, not seen by \
                 anyone: {nowhere:?}",
                topic.name
            ));
        }
        let mut last = vec![None; conversations];
        for (number, message) in topic.frame_at.iter().flatten().copied() {
            let last = &mut last[truth.frames[number as usize].conversation];
            if last.is_some_and(|last| last >= (number, message)) {
                return Err(format!("`{}`: {last:?} before frame {number}", topic.name));
            }
            *last = Some((number, message));
        }
    }
    Ok(())
}

/// With every connection gone, what was queued is accounted for on each core.
pub fn counters(core: usize, counters: &Counters) -> Verdict {
    let enqueued = counters.enqueued_messages.get();
    let left = [
        counters.delivered_messages.get(),
        counters.dropped_oldest_messages.get(),
        counters.expired_in_queue_messages.get(),
        counters.dropped_disconnected_messages.get(),
    ];
    if enqueued != left.iter().sum::<u64>() {
        return Err(format!(
            "core {core}: {enqueued} enqueued, but delivered, dropped_oldest, expired and \
             disconnected are {left:?}"
        ));
    }
    let (opened, closed) = (counters.connections_opened.get(), counters.connections_closed.get());
    let subscriptions = counters.subscriptions.get();
    if opened != closed || subscriptions != 0 {
        return Err(format!(
            "core {core}: {opened} opened, {closed} closed, {subscriptions} subscriptions left"
        ));
    }
    Ok(())
}
