//! The rows of each list: what is looked at for a row's place, and what a row says.

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
    /// Of connections.
    Connection(ConnectionRow),
    /// Of subscriptions.
    Subscription(SubscriptionRow),
    /// Of topics.
    Topic(TopicRow),
}

/// A connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionRow {
    /// The core it is on.
    pub core: CoreId,
    /// There.
    pub connection: ConnectionId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// The number that its protocol calls the client by, if it has one.
    pub client_number: Option<u64>,
    /// How far it is.
    pub phase: Phase,
    /// Why its input is held.
    pub held_for: Option<Hold>,
    /// How long ago it came, in nanoseconds.
    pub age_ns: u64,
    /// Its subscriptions.
    pub subscriptions: usize,
    /// What is queued for it.
    pub queued: Queued,
    /// What has come from it and gone to it.
    pub traffic: Traffic,
    /// Messages that its subscriptions were not sent.
    pub dropped_messages: u64,
}

/// How far a subscription is, or the queue of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not all cores know it.
    Joining,
    /// It gets messages.
    Active,
    /// It gets no more, and what is queued still goes out.
    Ending,
}

/// A subscription, or the queue of a group, which belongs to no connection.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionRow {
    /// The core it is on.
    pub core: CoreId,
    /// Its connection, and where that comes from.
    pub connection: Option<(ConnectionId, SocketAddr, Protocol)>,
    /// As its client calls it; nothing for a group.
    pub name: String,
    /// What it asks for.
    pub pattern: Arc<str>,
    /// The group it is a member of, or is.
    pub group: Option<Arc<str>>,
    /// At the bound of its queue.
    pub policy: OverflowPolicy,
    /// How far it is.
    pub state: State,
    /// What it has queued.
    pub queued: Queued,
    /// What it may have queued.
    pub bounds: Bounds,
    /// Messages it was sent.
    pub delivered_messages: u64,
    /// Messages it was not sent.
    pub lost: Lost,
    /// Topics whose publishers wait for it now.
    pub holds_up_topics: usize,
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRow {
    /// The core that orders it.
    pub core: CoreId,
    /// Its name.
    pub topic: Arc<str>,
    /// Messages per second, lately.
    pub rate_per_second: f64,
    /// Messages ever.
    pub published_messages: u64,
    /// Frame bytes of those.
    pub published_bytes: u64,
    /// Messages retained for replay.
    pub retained_messages: u64,
    /// Frame bytes of those.
    pub retained_bytes: u64,
    /// Its publishers wait for a subscriber.
    pub blocked: bool,
    /// How long ago its last message came, in nanoseconds; nothing if none did.
    pub idle_ns: Option<u64>,
}

/// What one or more queues hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Messages, kept ones that were asked for included.
    pub messages: u64,
    /// Frame bytes.
    pub bytes: u64,
    /// Age of the oldest live message, in nanoseconds.
    pub lag_ns: u64,
}

/// What has a row in the list of subscriptions.
enum Either<'a> {
    Subscription(&'a Subscription),
    Group(GroupQueue<'a>),
}

impl Queued {
    fn of(queue: &Queue, now: Now) -> Queued {
        let lag_ns = match queue.oldest_received_ns() {
            // Another core may have read its clock a moment later.
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
    /// Places to look at for a list; not all of them have something.
    pub(super) fn places(&self, list: List) -> usize {
        match list {
            List::Connections(_) => self.connections.table().len(),
            List::Subscriptions(_) => self.delivery.places() + self.delivery.group_places(),
            List::Topics(_) => self.topics.places(),
        }
    }

    /// What is in a place, if anything is: what it is sorted by, and what tells it from others there.
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
                    TopicsBy::KeptBytes => topic.log.bytes(),
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
            dropped_messages: self.delivery.lost_of(id.slot),
        }
    }

    fn subscription_row(&self, now: Now, subscription: &Subscription) -> Option<SubscriptionRow> {
        let slot = subscription.connection.slot;
        let (id, connection) = self.connections.table().at(slot)?;
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
            holds_up_topics: subscription.blocked_topics(),
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
            holds_up_topics: 0,
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
            idle_ns: has_messages.then(|| now.monotonic_ns.saturating_sub(topic.last_message_ns)),
        }
    }

    /// What all queues of a connection hold: those with nothing to send are not looked at.
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
