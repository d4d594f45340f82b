//! The checker, first half: checks every frame when a client reads it.

use blipmq::limits;
use blipmq::protocol::decode::{self, ServerFrame};
use blipmq::protocol::frame::FLAG_ACK;
use blipmq::protocol::messages::{self, Header};
use blipmq::protocol::{CoreId, RequestId, Sequence, SubscriptionId, TopicId};

use crate::conversation::{Conversation, Cover, Seen, Stream};
use crate::silence::Patience;
use crate::truth::{Moment, Truth, matches};

type Verdict = Result<(), String>;

/// What the world knows, and a conversation does not.
#[derive(Clone, Copy)]
pub struct Circumstances {
    pub stopping: bool,
    pub admitted: bool,
    pub patience: Patience,
    /// Collect what came, for scenarios.
    pub collects_seen: bool,
}

impl Conversation {
    /// Checks bytes that the client has read.
    pub fn receive(
        &mut self,
        truth: &mut Truth,
        circumstances: Circumstances,
        bytes: &[u8],
    ) -> Verdict {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        loop {
            let found = decode::next_frame(rest, u32::MAX).map_err(|error| error.to_string())?;
            let Some(frame) = found else { break };
            // The turn that sent the last byte of a frame is the one that sent the frame.
            self.read += frame.len() as u64;
            while self.gathers.front().is_some_and(|(end, _)| *end < self.read) {
                self.gathers.pop_front();
            }
            let (_, sent) = *self.gathers.front().ok_or("more came than was sent")?;
            self.frame(truth, circumstances, sent, frame)?;
            rest = &rest[frame.len()..];
        }
        self.unread = rest.to_vec();
        Ok(())
    }

    fn frame(
        &mut self,
        truth: &mut Truth,
        circumstances: Circumstances,
        sent: Moment,
        frame: &[u8],
    ) -> Verdict {
        let decoded = decode::server_frame(frame).map_err(|error| error.to_string())?;
        if let Some(code) = self.fatal {
            return Err(format!("{decoded:?} after the fatal ERROR {code}"));
        }
        if !self.welcomed && !matches!(decoded, ServerFrame::Welcome(_) | ServerFrame::Error { .. })
        {
            return Err(format!("{decoded:?} before WELCOME"));
        }
        match decoded {
            ServerFrame::Welcome(_) => self.welcome(),
            ServerFrame::Topic { request, topic, next_sequence, owner, name } => {
                self.topic(truth, sent, (request, topic, next_sequence, owner), name)
            }
            ServerFrame::Subscribed { subscription } => self.subscribed(subscription, sent),
            ServerFrame::Unsubscribed { subscription } => self.unsubscribed(subscription),
            ServerFrame::Pong { opaque } => match self.pings.pop_front() {
                Some(expected) if expected == opaque => Ok(()),
                expected => Err(format!("PONG {opaque} where {expected:?} is due")),
            },
            ServerFrame::Ping { opaque } => self.asked(circumstances.patience, sent, opaque),
            ServerFrame::Error { fatal, about, code, text } => {
                self.error(circumstances, sent, (fatal, code, about), text)
            }
            ServerFrame::Goodbye { .. } if circumstances.stopping && !self.goodbye => {
                self.goodbye = true;
                Ok(())
            }
            ServerFrame::Ack { topic, publish_id, sequence, messages } => {
                self.ack(truth, (topic.0, publish_id, sequence.0, messages))
            }
            ServerFrame::Messages(header) => {
                self.messages(truth, circumstances, sent, header, frame)
            }
            ServerFrame::Gap { topic, subscription, first, messages, reason } => {
                let gap = Cover { first: first.0, messages, gap: Some(reason), sent };
                self.gap(truth, circumstances, (topic, subscription), gap)
            }
            decoded => Err(format!("{decoded:?} is not due")),
        }
    }

    fn welcome(&mut self) -> Verdict {
        if self.welcomed || !self.hello_handed {
            return Err("a WELCOME without a HELLO".to_string());
        }
        self.welcomed = true;
        Ok(())
    }

    fn subscribed(&mut self, SubscriptionId(id): SubscriptionId, sent: Moment) -> Verdict {
        match self.subscriptions.get_mut(&id) {
            Some(found) if found.handed && found.subscribed.is_none() && !found.refused => {
                found.subscribed = Some(sent.turn);
                Ok(())
            }
            found => Err(format!("SUBSCRIBED {id} to {found:?}")),
        }
    }

    fn unsubscribed(&mut self, SubscriptionId(id): SubscriptionId) -> Verdict {
        match self.subscriptions.get_mut(&id) {
            Some(found) if found.unsubscribe_handed && !found.unsubscribed => {
                found.unsubscribed = true;
                Ok(())
            }
            found => Err(format!("UNSUBSCRIBED {id} to {found:?}")),
        }
    }

    fn gap(
        &mut self,
        truth: &mut Truth,
        circumstances: Circumstances,
        (topic, subscription): (TopicId, u32),
        gap: Cover,
    ) -> Verdict {
        let topic = self.known_topic(truth, topic.0)?;
        let Cover { first, messages, .. } = gap;
        if messages == 0 {
            return Err("a GAP of no messages".to_string());
        }
        if circumstances.collects_seen {
            let reason = gap.gap.expect("the cover is a gap");
            self.seen.push(Seen::Gap { first, messages, reason });
        }
        self.gap_is_due(truth, topic, subscription, gap)?;
        self.cover_for(truth, topic, subscription, gap)
    }

    fn topic(
        &mut self,
        truth: &mut Truth,
        sent: Moment,
        (request, topic, next, owner): (RequestId, TopicId, Sequence, CoreId),
        name: &str,
    ) -> Verdict {
        let index = *truth.by_name.get(name).ok_or(format!("TOPIC of an unknown `{name}`"))?;
        let known = &truth.topics[index];
        if known.id != Some(topic.0) || usize::from(owner.0) != known.owner {
            return Err(format!("TOPIC `{name}` is {topic} on core {owner}, not {:?}", known.id));
        }
        if next.0 > known.accepted.len() as u64 + 1 {
            return Err(format!("`{name}` has not reached {next}"));
        }
        if request.0 == 0 {
            if self.ids.contains_key(&index) {
                return Err(format!("TOPIC `{name}` was announced twice"));
            }
            self.streams.entry(index).or_default().announced_next = Some(next.0);
        } else {
            let open = self.opens.get_mut(&request.0).ok_or(format!("TOPIC for {request}"))?;
            if open.topic != index || open.answered || !open.handed {
                return Err(format!("TOPIC `{name}` for {open:?}"));
            }
            open.answered = true;
            let accepted_then =
                known.accepted.iter().filter(|accepted| accepted.turn <= sent.turn).count();
            if next.0 > accepted_then as u64 + 1 {
                return Err(format!("TOPIC `{name}` says {next}, {accepted_then} are accepted"));
            }
        }
        self.ids.insert(index, topic.0);
        Ok(())
    }

    fn error(
        &mut self,
        circumstances: Circumstances,
        sent: Moment,
        (fatal, code, about): (bool, u16, u32),
        text: &str,
    ) -> Verdict {
        if fatal {
            self.fatal = Some(code);
            return match code {
                5030 if circumstances.stopping => Ok(()),
                4010 if !self.welcomed => Ok(()),
                4080 => self.was_silent(circumstances.patience, sent),
                4291 if !circumstances.admitted => Ok(()),
                4290 if self.may_be_too_slow() => Ok(()),
                // Nothing that it holds can be dropped: retained messages, or too many gaps.
                4290 if text.contains("more than a fair share") => Ok(()),
                _ if self.fatal_expected == Some(code) => Ok(()),
                _ => Err(format!("fatal ERROR {code} where {:?}: {text}", self.fatal_expected)),
            };
        }
        let expected = self.errors_expected.iter().position(|error| *error == (code, about));
        if let Some(expected) = expected {
            self.errors_expected.remove(expected);
            return Ok(());
        }
        // A limit is reached, which only the server can know.
        if code == 4291 {
            if about == 0 {
                self.refused_for_memory += 1;
                return Ok(());
            }
            if let Some(open) = self.opens.get_mut(&about).filter(|open| !open.answered) {
                open.answered = true;
                open.refused = true;
                return Ok(());
            }
            let subscription = self.subscriptions.get_mut(&about);
            if let Some(subscription) = subscription.filter(|found| found.subscribed.is_none()) {
                subscription.refused = true;
                return Ok(());
            }
        }
        if code == 4040
            && let Some(subscription) = self.subscriptions.get_mut(&about)
            && subscription.refused
            && subscription.unsubscribe_handed
        {
            subscription.unsubscribed = true;
            return Ok(());
        }
        Err(format!("ERROR {code} about {about} is not due: {text}"))
    }

    fn known_topic(&self, truth: &Truth, id: u32) -> Result<usize, String> {
        let topic = *truth.by_id.get(&id).ok_or(format!("topic id {id} does not exist"))?;
        match self.ids.get(&topic) {
            Some(_) => Ok(topic),
            None => Err(format!("no TOPIC before the first of `{}`", truth.topics[topic].name)),
        }
    }

    fn messages(
        &mut self,
        truth: &mut Truth,
        circumstances: Circumstances,
        sent: Moment,
        header: Header,
        bytes: &[u8],
    ) -> Verdict {
        let topic = self.known_topic(truth, header.topic)?;
        let first = header.sequence;
        let records = &bytes[limits::MESSAGES_HEADER_LEN..];
        let number = match header.crc {
            0 => truth.find_cut(topic, &header, records)?,
            number => number,
        };
        let frame = truth.frames.get((number as usize).wrapping_sub(1));
        let frame = frame.ok_or(format!("frame {number} does not exist"))?;
        let whole = header.crc == number;
        let right = frame.topic == topic
            && frame.ttl_ms == header.ttl_ms
            && (!whole || frame.flags == header.flags)
            && (!whole || frame.messages == header.count)
            && (!whole || frame.records == records);
        if !right {
            return Err(format!("frame {number} came altered: {header:?}"));
        }
        if frame.handed.is_none() {
            return Err(format!(
                "frame {number} came although its publisher had been ended before"
            ));
        }
        if whole {
            truth.note_received(number, first)?;
        }
        let frame = truth.frame(number);
        let ttl_ms = frame.ttl_ms;
        let accepted = truth.topics[topic].accepted.get(first as usize - 1);
        let accepted = accepted.ok_or(format!("{first} is not accepted yet"))?;
        if header.timestamp != accepted.now.unix_ns {
            return Err(format!("frame {number} has the timestamp {}", header.timestamp));
        }
        let deadline_ns = accepted.now.monotonic_ns + u64::from(ttl_ms) * 1_000_000;
        if ttl_ms > 0 && sent.now.monotonic_ns >= deadline_ns {
            return Err(format!("frame {number} was sent after its time to live"));
        }
        if circumstances.collects_seen {
            self.seen.extend(
                messages::records(bytes).map(|record| {
                    Seen::Message(String::from_utf8_lossy(record.payload).into_owned())
                }),
            );
        }
        let cover = Cover { first, messages: header.count.into(), gap: None, sent };
        self.cover_for(truth, topic, header.subscription, cover)
    }

    fn ack(
        &mut self,
        truth: &mut Truth,
        (topic, publish_id, sequence, messages): (u32, u64, u64, u32),
    ) -> Verdict {
        let topic = self.known_topic(truth, topic)?;
        let number = (publish_id >> 32) as u32;
        let frame = truth.frames.get_mut((number as usize).wrapping_sub(1));
        let frame = frame.ok_or(format!("an ACK of {publish_id:#x}, which does not exist"))?;
        let due = frame.conversation == self.number
            && frame.topic == topic
            && frame.flags & FLAG_ACK != 0
            && frame.handed.is_some()
            && !frame.acked
            && u32::from(frame.messages) == messages
            && publish_id == crate::conversation::publish_id(number);
        if !due {
            return Err(format!("an ACK of frame {number} that is not due"));
        }
        frame.acked = true;
        let before = self.acked.insert(topic, number);
        if before.is_some_and(|before| before > number) {
            return Err(format!("ACKs of one topic: frame {before:?} before {number}"));
        }
        truth.note_received(number, sequence)
    }

    /// Checks messages or a gap: in order, once, and only while subscribed.
    pub fn cover(&mut self, truth: &Truth, topic: usize, cover: Cover) -> Verdict {
        let name = &truth.topics[topic].name;
        let wanted = self.subscriptions.values().any(|subscription| {
            subscription.group.is_empty()
                && subscription.subscribed.is_some()
                && !subscription.unsubscribed
                && matches(&subscription.pattern, name)
        });
        if !wanted {
            return Err(format!("`{name}` comes without a subscription: {cover:?}"));
        }
        if cover.first + cover.messages - 1 > truth.topics[topic].accepted.len() as u64 {
            return Err(format!("`{name}` has not accepted this yet: {cover:?}"));
        }
        let stream: &mut Stream = self.streams.entry(topic).or_default();
        if let Some(announced) = stream.announced_next.take()
            && announced != cover.first
        {
            return Err(format!("TOPIC `{name}` announced {announced} as the next, not {cover:?}"));
        }
        if let Some(next) = stream.next
            && cover.first < next
        {
            return Err(format!("`{name}` goes back from {next}: {cover:?}"));
        }
        stream.next = Some(cover.first + cover.messages);
        stream.covers.push(cover);
        for subscription in self.subscriptions.values_mut() {
            if subscription.subscribed.is_some() {
                subscription.live_since.insert(topic);
            }
        }
        Ok(())
    }
}
