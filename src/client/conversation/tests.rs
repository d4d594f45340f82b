//! Topics, windows, failures and answers of one connection, without sockets.

use super::*;
use crate::SubscribeOptions;
use blipmq_protocol::SubscriptionId;

pub(super) fn conversation(window: Option<PublishWindow>) -> Conversation {
    let server = ServerInfo {
        server: String::new(),
        server_id: 1,
        core: 0,
        cores: 1,
        shards: 1,
        message_len_max: 1 << 19,
        frame_len_max: 1 << 20,
    };
    let mut options = ClientOptions::new().outgoing_bytes_max(1_000);
    options.publish_window = window;
    Conversation::new(Arc::new(server), &options, 1)
}

fn plain(payload: &[u8]) -> Record<'_> {
    Record { headers: b"", payload, ttl_ms: 0, wants_ack: false }
}

fn refusal() -> ServerError {
    ServerError { code: 4030, text: "not here".to_owned() }
}

#[test]
fn same_name_is_the_same_topic_and_opened_once() {
    let mut conversation = conversation(None);
    let (first, name) = conversation.open("orders.eu");
    let opened_len = conversation.out.len();
    assert_eq!(conversation.open("orders.eu"), (first, name));
    assert_eq!(conversation.out.len(), opened_len);
    assert_ne!(conversation.open("orders.us").0, first);
}

#[test]
fn room_ends_where_outgoing_bytes_reach_their_bound() {
    let mut conversation = conversation(None);
    let (topic, _) = conversation.open("a");
    conversation.publish(topic, plain(&[0; 2_000])).unwrap();
    assert!(!conversation.has_room());
    conversation.out.take(&mut Vec::new());
    assert!(conversation.has_room());
}

#[test]
fn window_is_pinged_in_quarters_and_opened_by_pongs() {
    let window = PublishWindow { messages: 8, bytes: 1_000 };
    let mut conversation = conversation(Some(window));
    let (topic, _) = conversation.open("a");
    for _ in 0..8 {
        assert!(conversation.has_room());
        conversation.publish(topic, plain(b"x")).unwrap();
    }
    assert!(!conversation.has_room());
    assert_eq!(conversation.pings_sent, 4);
    conversation.on_pong(1).unwrap();
    assert!(conversation.has_room());
    conversation.publish(topic, plain(b"x")).unwrap();
    conversation.publish(topic, plain(b"x")).unwrap();
    assert!(!conversation.has_room());
}

#[test]
fn one_message_above_the_window_is_sent_alone_and_pinged() {
    let window = PublishWindow { messages: 8, bytes: 100 };
    let mut conversation = conversation(Some(window));
    let (topic, _) = conversation.open("a");
    assert!(conversation.has_room());
    conversation.publish(topic, plain(&[0; 500])).unwrap();
    assert!(!conversation.has_room());
    conversation.on_pong(1).unwrap();
    conversation.out.take(&mut Vec::new());
    assert!(conversation.has_room());
}

#[test]
fn refused_topic_fails_the_next_flush_once_and_every_publish() {
    let mut conversation = conversation(None);
    let (topic, _) = conversation.open("a");
    conversation.publish(topic, plain(b"x")).unwrap();
    let (early, late) = (conversation.failures_unreported(), conversation.failures_unreported());
    assert!(matches!(
        conversation.on_error(1, refusal()),
        Some(Event::Error(ClientError::TopicRefused { .. }))
    ));
    for first in [early, late] {
        let failure = conversation.report_failure(first);
        assert!(matches!(failure, Some(ClientError::TopicRefused { .. })), "{failure:?}");
    }
    let next = conversation.failures_unreported();
    assert!(conversation.report_failure(next).is_none());
    let error = conversation.publish(topic, plain(b"x")).unwrap_err();
    assert_eq!(error.to_string(), "the broker refused topic `a`: error 4030: not here");
}

#[test]
fn failures_are_bounded_and_the_latest_are_kept() {
    let mut conversation = conversation(None);
    for code in 0..=FAILURES_MAX as u16 + 1 {
        conversation.on_error(0, ServerError { code, text: String::new() });
    }
    let first = conversation.failures_unreported();
    assert!(matches!(
        conversation.report_failure(first),
        Some(ClientError::RequestRefused(ServerError { code: 2, .. }))
    ));
    let first = conversation.failures_unreported();
    assert!(conversation.report_failure(first).is_none());
}

#[test]
fn abandoned_subscription_is_ended_and_its_late_answer_is_no_offence() {
    let mut conversation = conversation(None);
    let subscription = conversation.subscribe("a.>", SubscribeOptions::new(), Asked::ByCall);
    let asked_len = conversation.out.len();
    conversation.abandon(subscription.id);
    assert!(conversation.out.len() > asked_len);
    assert!(conversation.on_subscribed(subscription.id).unwrap().is_none());
    assert!(conversation.on_subscribed(SubscriptionId(99)).is_err());
}

#[test]
fn answers_to_nothing_are_offences() {
    let mut conversation = conversation(None);
    assert!(conversation.on_pong(1).is_err());
    conversation.ping();
    assert!(conversation.on_pong(2).is_err());
    assert!(conversation.on_topic(RequestId(1), TopicId(1), "a").is_err());
    conversation.open("a");
    assert!(conversation.on_topic(RequestId(1), TopicId(1), "b").is_err());
}
