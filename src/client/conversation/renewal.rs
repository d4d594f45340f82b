//! The end of a connection, and what continues over the next one.
//!
//! # Always true
//! - Messages that the writer never took are sent over the next connection, in their order. Messages
//!   that it took and no PONG confirmed are reported as possibly lost, and never sent twice.
//! - Request numbers and subscription ids are the same on every connection.

use std::sync::Arc;

use std::collections::HashMap;

use super::subscriptions::{Entry, Progress, write_subscribe};
use super::{Conversation, PROVISIONAL};
use crate::{ClientError, ServerInfo};
use blipmq_protocol::{Start, SubscriptionId, name};

/// The sequences that one connection received of a topic, in frames for all plain subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// The first sequence; 0 if none came.
    pub(crate) first: u64,
    /// The sequence after the last one.
    pub(crate) next: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, first: u64, messages: u64) {
        if self.first == 0 {
            self.first = first;
        }
        self.next = self.next.max(first.saturating_add(messages));
    }
}

impl Conversation {
    /// Handles the end of a connection that another one will follow. Returns how many messages may be
    /// lost.
    pub(crate) fn disconnect(&mut self) -> u64 {
        self.writable = false;
        let messages = self.written.messages - self.taken.messages;
        let lost = ClientError::PossiblyLost { messages };
        while let Some((ping, _)) = self.pings.front()
            && *ping <= self.pings_written
        {
            self.pongs_received = *ping;
            self.pings.pop_front();
        }
        self.taken = self.written;
        let publish_ids_written = self.publish_ids_written;
        let unknown = ClientError::PossiblyLost { messages: 1 };
        self.fail_acks(&unknown, |publish_id, _| publish_id <= publish_ids_written);
        for entry in self.subscriptions.values_mut() {
            // The subscription has ended with the connection.
            if matches!(entry.progress, Progress::Ending) {
                entry.progress = Progress::Ended;
            }
        }
        if messages > 0 {
            self.fail(lost);
        }
        messages
    }

    /// Gives up what waits to be sent, because the caller closes while there is no connection.
    pub(crate) fn give_up_unsent(&mut self) {
        let messages = self.published.messages - self.written.messages;
        if messages > 0 {
            self.fail(ClientError::Unsent { messages });
        }
    }

    /// Continues over a new connection: everything that the broker has to learn again is sent first, then
    /// the messages that waited. `seen` returns what the connection before received of a topic.
    pub(crate) fn renew(&mut self, server: Arc<ServerInfo>, seen: impl Fn(&str) -> Option<Seen>) {
        let is_same_server = self.server.server_id == server.server_id;
        self.server = server;
        let numbers = self.topics.iter().map(|topic| (topic.id, PROVISIONAL | topic.request));
        let numbers: HashMap<u32, u32> = numbers.filter(|(id, _)| *id != 0).collect();
        let unsent = self.out.take_unsent(self.server.frame_len_max);
        self.topic_of_request.clear();
        for index in 0..self.topics.len() {
            let topic = &mut self.topics[index];
            if topic.refused.is_some() {
                continue;
            }
            topic.id = 0;
            let (request, name) = (topic.request, topic.name.clone());
            self.out.set_topic(index, PROVISIONAL | request);
            self.write_open(request, &name);
            self.topic_of_request.insert(request, index);
        }
        let mut ids: Vec<u32> = self.subscriptions.keys().copied().collect();
        // In the original order: the earliest subscription's options apply to a message.
        ids.sort_unstable();
        for id in ids {
            let entry = self.subscriptions.get_mut(&id).expect("its id was just found");
            let start = match entry.progress {
                Progress::Asked(_) => entry.options.start,
                Progress::Active | Progress::Renewing { .. } => {
                    let seen = seen(&entry.subscription.pattern);
                    let (start, resumed) = entry.start_again(is_same_server, seen);
                    entry.progress = Progress::Renewing { resumed };
                    if let Start::Sequence(next) = start {
                        entry.next = Some(next);
                    }
                    start
                }
                Progress::Ending | Progress::Ended | Progress::Refused(_) => continue,
            };
            write_subscribe(self.out.control(), entry, start);
        }
        let not_sent = self.out.put_back(unsent, |topic| match topic & PROVISIONAL {
            0 => numbers.get(&topic).copied(),
            _ => Some(topic),
        });
        if not_sent > 0 {
            self.fail(ClientError::Unsent { messages: not_sent });
        }
        self.epoch += 1;
        self.writable = true;
    }

    /// Returns whether a plain subscription receives the topic.
    pub(crate) fn receives(&self, topic: &str) -> bool {
        self.subscriptions.values().any(|entry| {
            entry.options.group.is_none()
                && matches!(entry.progress, Progress::Active | Progress::Renewing { .. })
                && matches(&entry.subscription.pattern, topic)
        })
    }

    /// Notes the sequence after a frame for one subscription alone.
    pub(crate) fn saw_addressed(&mut self, id: SubscriptionId, next: u64) {
        if let Some(entry) = self.subscriptions.get_mut(&id.0) {
            entry.next = entry.next.max(Some(next));
        }
    }
}

impl Entry {
    /// Returns where to continue, and whether that is behind the last message.
    fn start_again(&self, is_same_server: bool, seen: Option<Seen>) -> (Start, bool) {
        if !self.options.resume || self.options.group.is_some() {
            return (Start::Live, false);
        }
        if !is_same_server {
            // Every message of the new server is new.
            return (Start::Sequence(1), true);
        }
        if !name::is_literal(&self.subscription.pattern) {
            return (Start::Live, false);
        }
        let seen = seen.filter(|seen| seen.first > 0);
        let next = match (self.next, seen) {
            (None, seen) => seen.map(|seen| seen.next),
            // Live messages count once the retained ones have reached them.
            (Some(next), Some(seen)) if next >= seen.first => Some(next.max(seen.next)),
            (next, _) => next,
        };
        match (next, self.options.start) {
            (Some(next), _) => (Start::Sequence(next), true),
            (None, Start::Live) => (Start::Live, false),
            (None, start) => (start, true),
        }
    }
}

/// Returns whether a legal pattern matches a topic.
fn matches(pattern: &str, topic: &str) -> bool {
    let mut tokens = topic.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublishWindow;
    use crate::conversation::Asked;
    use crate::conversation::tests::conversation;
    use crate::outgoing::Record;
    use crate::{ServerError, SubscribeOptions, Subscription};
    use blipmq_protocol::decode::{ClientFrame, client_frame, next_frame};
    use blipmq_protocol::{RequestId, TopicId, messages};

    const WINDOW: PublishWindow = PublishWindow { messages: 4, bytes: 1 << 20 };

    fn plain(payload: &[u8]) -> Record<'_> {
        Record { headers: b"", payload, ttl_ms: 0, wants_ack: false }
    }

    /// Describes each frame of a batch in a few words.
    fn frames(mut batch: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        while !batch.is_empty() {
            let frame = next_frame(batch, u32::MAX).expect("legal").expect("whole");
            batch = &batch[frame.len()..];
            found.push(match client_frame(frame, u32::MAX).expect("legal") {
                ClientFrame::Open { request, topic } => format!("open {request} {topic}"),
                ClientFrame::Subscribe(asked) => {
                    format!("subscribe {} {} {}", asked.pattern, asked.start, asked.start_argument)
                }
                ClientFrame::Ping { opaque } => format!("ping {opaque}"),
                ClientFrame::Messages(header) => {
                    let payloads = messages::records(frame)
                        .map(|record| String::from_utf8_lossy(record.payload).into_owned());
                    let payloads: Vec<_> = payloads.collect();
                    format!("messages {:#x} {}", header.topic, payloads.join(" "))
                }
                other => format!("{other:?}"),
            });
        }
        found
    }

    /// Goal: messages that were never written are sent once, to the right topic; written ones are
    /// reported.
    /// Method: some messages are taken by the writer and confirmed, some taken, some neither, with
    /// an id of the first server in their frame.
    #[test]
    fn unsent_messages_go_over_the_next_connection_and_unconfirmed_ones_are_reported() {
        let mut conversation = conversation(Some(WINDOW));
        let (a, name) = conversation.open("a");
        conversation.publish(a, plain(b"confirmed")).unwrap();
        conversation.take_outgoing(&mut Vec::new());
        conversation.on_topic(RequestId(1), TopicId(12), &name).unwrap();
        conversation.on_pong(1).unwrap();
        let first_failure = conversation.failures_unreported();
        conversation.publish(a, plain(b"written")).unwrap();
        let flushed = conversation.ping();
        conversation.take_outgoing(&mut Vec::new());
        conversation.publish(a, plain(b"waits")).unwrap();
        let flushes = conversation.ping();
        conversation.publish(a, plain(b"waits too")).unwrap();

        assert_eq!(conversation.disconnect(), 1);
        assert!(conversation.is_ponged(flushed) && !conversation.is_ponged(flushes));
        let failure = conversation.report_failure(first_failure);
        assert!(matches!(failure, Some(ClientError::PossiblyLost { messages: 1 })), "{failure:?}");
        conversation.publish(a, plain(b"while away")).unwrap();
        conversation.renew(conversation.server.clone(), |_| None);
        let mut batch = Vec::new();
        conversation.take_outgoing(&mut batch);
        let sent = frames(&batch);
        assert_eq!(sent[0], "open 1 a");
        let messages: Vec<_> = sent.iter().filter(|frame| frame.starts_with("mess")).collect();
        assert_eq!(
            messages,
            [
                "messages 0x80000001 waits",
                "messages 0x80000001 waits too",
                "messages 0x80000001 while away"
            ]
        );
        let pings: Vec<u64> =
            sent.iter().filter_map(|f| f.strip_prefix("ping ")?.parse().ok()).collect();
        assert!(pings.contains(&flushes) && !pings.contains(&flushed));
        for ping in pings {
            conversation.on_pong(ping).unwrap();
        }
        assert!(conversation.has_room());
    }

    fn active(
        conversation: &mut Conversation,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Subscription {
        let subscription = conversation.subscribe(pattern, options, Asked::ByCall);
        conversation.on_subscribed(subscription.id).unwrap();
        subscription
    }

    fn asked_again(
        conversation: &mut Conversation,
        server_id: u64,
        seen: Option<Seen>,
    ) -> Vec<String> {
        conversation.take_outgoing(&mut Vec::new());
        conversation.disconnect();
        let server = ServerInfo { server_id, ..(*conversation.server).clone() };
        conversation.renew(Arc::new(server), |_| seen);
        let mut batch = Vec::new();
        conversation.take_outgoing(&mut batch);
        frames(&batch)
    }

    #[test]
    fn subscription_that_resumes_continues_behind_its_last_message() {
        let resume = || SubscribeOptions::new().resume(true);
        let from = |start| resume().start(start);
        let seen = |first, next| Some(Seen { first, next });
        let rows = [
            ("plain", SubscribeOptions::new(), None, seen(3, 9), "0 0"),
            ("nothing came", resume(), None, None, "0 0"),
            ("live ones came", resume(), None, seen(3, 9), "2 9"),
            ("its start still to come", from(Start::Last(5)), None, None, "1 5"),
            ("retained ones come", from(Start::Sequence(1)), Some(4), None, "2 4"),
            (
                "live ones of another came first",
                from(Start::Sequence(1)),
                Some(4),
                seen(30, 31),
                "2 4",
            ),
            ("live ones follow", from(Start::Sequence(1)), Some(4), seen(4, 9), "2 9"),
            ("of a group", resume().group("g"), Some(4), None, "0 0"),
        ];
        for (name, options, addressed, seen, expected) in rows {
            let mut conversation = conversation(None);
            let subscription = active(&mut conversation, "a", options.clone());
            if let Some(next) = addressed {
                conversation.saw_addressed(subscription.id, next);
            }
            let asked = asked_again(&mut conversation, 1, seen);
            assert_eq!(asked, [format!("subscribe a {expected}")], "{name}");
        }
        let mut conversation = conversation(None);
        active(&mut conversation, "a", resume());
        active(&mut conversation, "b.>", resume());
        active(&mut conversation, "c", SubscribeOptions::new());
        let asked = asked_again(&mut conversation, 1, seen(3, 9));
        assert_eq!(asked, ["subscribe a 2 9", "subscribe b.> 0 0", "subscribe c 0 0"]);
        let asked = asked_again(&mut conversation, 2, None);
        assert_eq!(asked, ["subscribe a 2 1", "subscribe b.> 2 1", "subscribe c 0 0"]);
    }

    #[test]
    fn broker_that_retains_nothing_is_asked_for_live_messages_instead() {
        let mut conversation = conversation(None);
        let subscription = active(&mut conversation, "a", SubscribeOptions::new().resume(true));
        asked_again(&mut conversation, 2, None);
        let refusal = ServerError { code: 4220, text: "start".to_owned() };
        assert!(conversation.on_error(subscription.id.0, refusal).is_none());
        let mut batch = Vec::new();
        conversation.take_outgoing(&mut batch);
        assert_eq!(frames(&batch), ["subscribe a 0 0"]);
    }

    #[test]
    fn patterns_match_as_the_broker_matches_them() {
        for (pattern, topic, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("a*", "ab", false),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }
}
