//! The rows of each list: their sort keys, and their contents.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{ConnectionsBy, Found, Key, List, SubscriptionsBy, TopicsBy};
use crate::broker::connections::{Connection, Hold, Phase, Traffic};
use crate::broker::delivery::overflow::Lost;
use crate::broker::delivery::queue::{Bounds, Queue};
use crate::broker::delivery::{self, GroupQueue, Subscription, SubscriptionIndex};
use crate::broker::topics::Topic;
use crate::broker::{Broker, ConnectionId, Now, Protocol, Slot};
use crate::config::OverflowPolicy;
use crate::protocol::CoreId;

/// A row of any list.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// Row of the list of connections.
    Connection(ConnectionRow),
    /// Row of the list of subscriptions.
    Subscription(SubscriptionRow),
    /// Row of the list of topics.
    Topic(TopicRow),
}

/// The row of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRow {
    /// The core of the connection.
    pub core: CoreId,
    /// The connection on that core.
    pub connection: ConnectionId,
    /// Address of the client.
    pub address: SocketAddr,
    /// Protocol of the client.
    pub protocol: Protocol,
    /// The number that the protocol gives the client, if any.
    pub client_number: Option<u64>,
    /// Phase of the connection.
    pub phase: Phase,
    /// Why the connection is not read, if it is not.
    pub held_for: Option<Hold>,
    /// Time since the connection was opened, in nanoseconds.
    pub age_ns: u64,
    /// Number of subscriptions.
    pub subscriptions: usize,
    /// What all queues of the connection hold.
    pub queued: Queued,
    /// What the connection has sent and received.
    pub traffic: Traffic,
    /// Times that input of the connection waited for a later turn, since it had had its share of one.
    pub input_deferred: u64,
    /// Messages that the subscriptions of the connection missed.
    pub dropped_messages: u64,
}

/// State of a subscription, or of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not all cores know the pattern.
    Joining,
    /// Messages are delivered.
    Active,
    /// No more messages are queued, and the queued ones are still sent.
    Ending,
}

/// The row of a subscription, or of the queue of a group, which belongs to no connection.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRow {
    /// The core of the subscription.
    pub core: CoreId,
    /// The connection with its address and protocol; nothing for a group.
    pub connection: Option<(ConnectionId, SocketAddr, Protocol)>,
    /// The name that the client gave; empty for a group.
    pub name: String,
    /// The pattern.
    pub pattern: Arc<str>,
    /// The group that the subscription is a member of, or the group of this row.
    pub group: Option<Arc<str>>,
    /// What happens at the bound of the queue.
    pub policy: OverflowPolicy,
    /// Whether messages are delivered.
    pub state: State,
    /// What the queue holds.
    pub queued: Queued,
    /// The most that the queue may hold.
    pub bounds: Bounds,
    /// Messages that were sent.
    pub delivered_messages: u64,
    /// Messages that were missed.
    pub lost: Lost,
    /// Number of topics whose publishers wait for the subscription.
    pub blocked_topics: usize,
}

/// The row of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRow {
    /// The core that owns the topic.
    pub core: CoreId,
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Messages per second, over the last second or two.
    pub rate_per_second: f64,
    /// Messages ever published.
    pub published_messages: u64,
    /// Frame bytes of those.
    pub published_bytes: u64,
    /// Messages retained for replay.
    pub retained_messages: u64,
    /// Frame bytes of those.
    pub retained_bytes: u64,
    /// Whether publishers of the topic wait for a subscriber.
    pub blocked: bool,
    /// Time since the last message, in nanoseconds; nothing if there was none.
    pub idle_ns: Option<u64>,
}

/// Contents of one or more queues.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Messages, including retained ones to be replayed.
    pub messages: u64,
    /// Frame bytes of those.
    pub bytes: u64,
    /// Age of the oldest live message, in nanoseconds.
    pub lag_ns: u64,
}

/// An item of the list of subscriptions.
enum Either<'a> {
    Subscription(&'a Subscription),
    Group(GroupQueue<'a>),
}

impl Queued {
    fn of(queue: &Queue, now: Now) -> Queued {
        let lag_ns = match queue.oldest_received_ns() {
            // The core that received the message may have read its clock a moment later.
            Some(received_ns) => now.monotonic_ns.saturating_sub(received_ns),
            None => 0,
        };
        let (messages, bytes) =
            (queue.messages_with_replay(), queue.bytes() + queue.replay_bytes());
        Queued { messages, bytes, lag_ns }
    }

    fn and(self, other: Queued) -> Queued {
        Queued {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            lag_ns: self.lag_ns.max(other.lag_ns),
        }
    }
}

impl Broker {
    /// The next place to examine for a list, from this one on; the place may be empty.
    pub(super) fn place_from(&self, list: List, place: usize) -> Option<usize> {
        let places = match list {
            List::Connections(_) => self.connections.table().len(),
            List::Subscriptions(_) => self.delivery.places() + self.delivery.group_places(),
            // Topics come and go, and none takes the place of another.
            List::Topics(_) => return self.topics.from_place(place).map(|(place, _)| place),
        };
        (place < places).then_some(place)
    }

    /// The sort key of the item in a place, and a number that distinguishes the item from later
    /// ones in the same place; nothing if the place is empty.
    pub(super) fn key_of(&self, now: Now, list: List, place: usize) -> Option<(Key, u64)> {
        let (number, key) = match list {
            List::Connections(by) => {
                let (id, connection) = self.connections.table().at(Slot(place as u32))?;
                let queued = || self.queued_for(id.slot, now);
                let key = match by {
                    ConnectionsBy::QueuedBytes => queued().bytes,
                    ConnectionsBy::QueuedMessages => queued().messages,
                    ConnectionsBy::Lag => queued().lag_ns,
                    ConnectionsBy::Dropped => self.delivery.lost_of(id.slot),
                    ConnectionsBy::Published => connection.traffic().published_messages,
                    ConnectionsBy::Delivered => connection.traffic().delivered_messages,
                    ConnectionsBy::Subscriptions => {
                        self.frontends.describe(&self.delivery, id.slot).0 as u64
                    }
                    ConnectionsBy::InputDeferred => connection.input_deferred(),
                    ConnectionsBy::Age => {
                        now.monotonic_ns.saturating_sub(connection.connected_ns())
                    }
                };
                (u64::from(id.generation), key)
            }
            List::Subscriptions(by) => {
                let (number, queue, lost, delivered) = match self.subscription_or_group(place)? {
                    Either::Subscription(one) => {
                        (one.number, &one.queue, one.lost, one.delivered_messages)
                    }
                    Either::Group(group) => (0, group.queue, group.lost, 0),
                };
                let key = match by {
                    SubscriptionsBy::Dropped => lost.messages(),
                    SubscriptionsBy::Lag => Queued::of(queue, now).lag_ns,
                    SubscriptionsBy::QueuedBytes => Queued::of(queue, now).bytes,
                    SubscriptionsBy::QueuedMessages => Queued::of(queue, now).messages,
                    SubscriptionsBy::Delivered => delivered,
                };
                (number, key)
            }
            List::Topics(by) => {
                let topic = self.topics.at(place)?;
                let key = match by {
                    TopicsBy::Rate => (topic.rate.per_second(now.monotonic_ns) * 1e3) as u64,
                    TopicsBy::Published => topic.published_messages(),
                    TopicsBy::RetainedBytes => topic.log.bytes(),
                    TopicsBy::Name => return Some((Key::Name(topic.name.name.clone()), 0)),
                };
                (0, key)
            }
        };
        Some((Key::Number(key), number))
    }

    /// The row of what was found, if it is still there.
    pub(super) fn row_of(&self, now: Now, list: List, found: Found) -> Option<Row> {
        Some(match list {
            List::Connections(_) => {
                let slot = Slot(found.place as u32);
                let (id, connection) = self.connections.table().at(slot)?;
                if u64::from(id.generation) != found.number {
                    return None;
                }
                Row::Connection(self.connection_row(now, id, connection))
            }
            List::Subscriptions(_) => match self.subscription_or_group(found.place)? {
                Either::Subscription(subscription) if subscription.number != found.number => {
                    return None;
                }
                Either::Subscription(subscription) => {
                    Row::Subscription(self.subscription_row(now, subscription)?)
                }
                Either::Group(group) => Row::Subscription(self.group_row(now, &group)),
            },
            List::Topics(_) => Row::Topic(self.topic_row(now, self.topics.at(found.place)?)),
        })
    }

    fn connection_row(&self, now: Now, id: ConnectionId, of: &Connection) -> ConnectionRow {
        let (subscriptions, client_number) = self.frontends.describe(&self.delivery, id.slot);
        ConnectionRow {
            core: self.core,
            connection: id,
            address: of.address(),
            protocol: self.frontends.protocol(id.slot),
            client_number,
            phase: of.phase(),
            held_for: of.held_for(),
            age_ns: now.monotonic_ns.saturating_sub(of.connected_ns()),
            subscriptions,
            queued: self.queued_for(id.slot, now),
            traffic: of.traffic(),
            input_deferred: of.input_deferred(),
            dropped_messages: self.delivery.lost_of(id.slot),
        }
    }

    fn subscription_row(&self, now: Now, subscription: &Subscription) -> Option<SubscriptionRow> {
        let slot = subscription.connection.slot;
        let (id, connection) = self.connections.table().at(slot)?;
        if id != subscription.connection {
            return None;
        }
        let state = match subscription.state {
            delivery::State::Joining => State::Joining,
            delivery::State::Active => State::Active,
            delivery::State::Ending | delivery::State::Closing => State::Ending,
        };
        let name = match &subscription.name {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => subscription.id.0.to_string(),
        };
        Some(SubscriptionRow {
            core: self.core,
            connection: Some((id, connection.address(), self.frontends.protocol(slot))),
            name,
            pattern: subscription.pattern.clone(),
            group: subscription.group().map(|name| name.group.clone()),
            policy: subscription.policy,
            state,
            queued: Queued::of(&subscription.queue, now),
            bounds: subscription.bounds,
            delivered_messages: subscription.delivered_messages,
            lost: subscription.lost,
            blocked_topics: subscription.blocked_topics(),
        })
    }

    fn group_row(&self, now: Now, group: &GroupQueue<'_>) -> SubscriptionRow {
        let queues = &self.cluster.settings.queues;
        SubscriptionRow {
            core: self.core,
            connection: None,
            name: String::new(),
            pattern: group.pattern.clone(),
            group: Some(group.group.clone()),
            policy: group.policy,
            state: if group.is_active { State::Active } else { State::Joining },
            queued: Queued::of(group.queue, now),
            bounds: Bounds {
                messages_max: queues.subscriber_capacity,
                bytes_max: queues.subscriber_bytes,
            },
            delivered_messages: 0,
            lost: group.lost,
            blocked_topics: 0,
        }
    }

    fn topic_row(&self, now: Now, topic: &Topic) -> TopicRow {
        let has_messages = topic.published_messages() > 0;
        TopicRow {
            core: self.core,
            topic: topic.name.name.clone(),
            rate_per_second: topic.rate.per_second(now.monotonic_ns),
            published_messages: topic.published_messages(),
            published_bytes: topic.published_bytes,
            retained_messages: topic.log.messages(),
            retained_bytes: topic.log.bytes(),
            blocked: self.topics.is_blocked(topic.name.id),
            idle_ns: has_messages.then(|| now.monotonic_ns.saturating_sub(topic.used_ns)),
        }
    }

    /// What all queues of a connection hold together. Queues with nothing to send are skipped.
    fn queued_for(&self, slot: Slot, now: Now) -> Queued {
        let queued = self.delivery.queued_of(slot);
        queued.map(|one| Queued::of(&one.queue, now)).fold(Queued::default(), Queued::and)
    }

    fn subscription_or_group(&self, place: usize) -> Option<Either<'_>> {
        match place.checked_sub(self.delivery.places()) {
            None => {
                let subscription = self.delivery.at(SubscriptionIndex(place as u32))?;
                Some(Either::Subscription(subscription))
            }
            Some(place) => self.delivery.group_at(place).map(Either::Group),
        }
    }
}
