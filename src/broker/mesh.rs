//! When what cores write to each other is read, and what follows from it. The words are in `letter`.
//!
//! # Always true
//! - Deliveries are read whatever else is full: they end in queues, which have their own bounds.
//!   Requests are read only while deliveries can be sent. So two cores never wait for each other.
//! - Nothing is dropped here. A lane that is full makes its core keep back, then stop reading the
//!   connections that feed it.

use std::sync::Arc;

use super::ingest::{Batch, WantsAck};
use super::interest::{CoreSet, Waiter};
use super::letter::{Ack, DELIVERIES, Delivery, Letter, Outgoing, REQUESTS, Request};
use super::nats::publish::{Requester, Unheard};
use super::shard::{self, Found, Shard, TopicsFull};
use super::topic::TopicName;
use super::{Broker, Now};
use crate::protocol::{CoreId, Sequence, ShardId, TopicId};

impl Broker {
    /// Serves this turn's input: what connections sent, what other cores sent, what was left over.
    /// Returns whether there is more to do at once.
    pub fn take_in(&mut self, now: Now) -> bool {
        self.now = now;
        self.sent_nothing = false;
        self.count_latencies(now);
        self.check_hello_deadlines(now);
        self.check_blocks(now);
        self.check_nats_pings(now);
        if self.carried_over == 0 {
            self.resume_paused(now);
            self.parse_backlog(now);
            self.serve_deliveries(now);
            self.serve_requests(now);
        }
        for batch in self.ingest.take() {
            self.hand_out(now, self.core, batch);
        }
        self.ask_fences();
        self.close_finishing();
        self.tend_memory(now);
        self.drain_on(now);
        !self.backlog.is_empty() || !self.inbox.deliveries.is_empty() || self.may_serve_requests()
    }

    /// Whether a letter of this lane may be read now.
    pub fn wants_letter(&self, lane: usize) -> bool {
        self.carried_over == 0
            && match lane {
                REQUESTS => self.inbox.requests.is_empty() && self.deliveries_can_be_sent(),
                _ => self.inbox.deliveries.is_empty(),
            }
    }

    /// A letter came.
    pub fn letter(&mut self, from: CoreId, letter: Letter) {
        match letter {
            Letter::Requests(requests) => {
                self.inbox.requests.extend(requests.into_iter().map(|request| (from, request)));
            }
            Letter::Deliveries(deliveries) => {
                let deliveries = deliveries.into_iter().map(|delivery| (from, delivery));
                self.inbox.deliveries.extend(deliveries);
            }
        }
    }

    /// What this core has for another on a lane.
    pub fn take_letter(&mut self, to: CoreId, lane: usize) -> Option<Letter> {
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        let letter = match lane {
            REQUESTS if !outgoing.requests.is_empty() => {
                Letter::Requests(std::mem::take(&mut outgoing.requests))
            }
            DELIVERIES if !outgoing.deliveries.is_empty() => {
                Letter::Deliveries(std::mem::take(&mut outgoing.deliveries))
            }
            _ => return None,
        };
        Some(letter)
    }

    /// The lane had a place: the letter is on its way. Returns whether something waited for that,
    /// so that there is more to do at once: nobody wakes this core for it.
    pub fn letter_sent(&mut self, to: CoreId, lane: usize) -> bool {
        self.counters.mesh_letters_sent.add(1);
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        match lane {
            REQUESTS => {
                let was_full = outgoing.requests_are_full();
                outgoing.request_bytes = 0;
                was_full && !self.paused.is_empty()
            }
            _ => {
                let were_full = outgoing.deliveries_are_full();
                outgoing.delivery_bytes = 0;
                were_full && !self.inbox.requests.is_empty()
            }
        }
    }

    /// The lane was full: the letter is kept, and grows until there is a place.
    pub fn keep_letter(&mut self, to: CoreId, letter: Letter) {
        self.counters.mesh_full.add(1);
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        match letter {
            Letter::Requests(requests) => outgoing.requests = requests,
            Letter::Deliveries(deliveries) => outgoing.deliveries = deliveries,
        }
    }

    /// A batch goes to its topic's shard, here or on another core.
    fn hand_out(&mut self, now: Now, from: CoreId, batch: Batch) {
        let shard = self.cluster.shard_of(&batch.destination);
        let owner = self.cluster.core_of(shard);
        if owner == self.core {
            self.order(now, from, shard, batch);
        } else {
            self.outgoing[usize::from(owner.0)].ask(Request::Publish(batch));
        }
    }

    /// This core owns the topic: the batch gets its sequences and goes to whoever wants it.
    fn order(&mut self, now: Now, from: CoreId, shard: ShardId, mut batch: Batch) {
        let messages = u64::from(batch.messages);
        let wants_ack = std::mem::take(&mut batch.acks);
        let requests = std::mem::take(&mut batch.requests);
        let memory = &self.cluster.memory;
        // Not `shard_mut`: the topic is held while other fields are used.
        let shard = &mut self.shards[usize::from(shard.0 / self.cluster.cores)];
        let (portion, wanted_by, kept_before) = match shard.find(&batch.destination) {
            Found::Kept(topic) => {
                let portion = shard::stamp(&topic.name, topic.next_sequence, now, batch, memory);
                topic.next_sequence = portion.next();
                topic.published_bytes += portion.frames.len() as u64;
                topic.rate.add(now.monotonic_ns, portion.messages);
                let kept_before = topic.log.portions();
                topic.log.append(portion.clone(), &self.cluster.settings.queues);
                (portion, self.interest.wanted_by(topic), Some(kept_before))
            }
            Found::Passing(name) => {
                let portion = shard::stamp(&name, Sequence(1), now, batch, memory);
                (portion, self.interest.wanted_by_name(&name.name), None)
            }
            Found::Refused => {
                self.counters.refused_messages.add(messages);
                return self.send_acks(from, TopicId(0), None, &wants_ack);
            }
        };
        self.counters.published_messages.add(messages);
        self.counters.published_bytes.add(portion.frames.len() as u64);
        for core in wanted_by.iter() {
            self.outgoing[usize::from(core.0)].deliver(Delivery::Portion(portion.clone()));
        }
        let topic = portion.topic.id;
        if let Some(kept_before) = kept_before {
            self.kept(now, topic, portion.first, kept_before);
        }
        self.send_acks(from, topic, Some(portion.first), &wants_ack);
        let reached = self.fan_out(now, &portion);
        if !reached && wanted_by == CoreSet::default() {
            self.answer_requests(from, &portion.topic.name, requests);
        }
    }

    /// Nobody listens to these.
    fn answer_requests(&mut self, to: CoreId, subject: &Arc<str>, requests: Vec<Requester>) {
        for requester in requests {
            let unheard = Unheard { subject: subject.clone(), requester };
            if to == self.core {
                self.no_responders(&unheard);
            } else {
                let delivery = Delivery::NoResponders(unheard);
                self.outgoing[usize::from(to.0)].deliver(delivery);
            }
        }
    }

    fn send_acks(
        &mut self,
        to: CoreId,
        topic: TopicId,
        first: Option<Sequence>,
        wants_ack: &[WantsAck],
    ) {
        if wants_ack.is_empty() {
            return;
        }
        let ack = |wants: &WantsAck| Ack {
            connection: wants.connection,
            publish_id: wants.publish_id,
            first: first.map(|first| first.plus(u64::from(wants.messages_before))),
            messages: wants.messages,
        };
        let acks: Vec<Ack> = wants_ack.iter().map(ack).collect();
        if to == self.core {
            self.acknowledge(topic, &acks);
        } else {
            self.outgoing[usize::from(to.0)].deliver(Delivery::Acks { topic, acks });
        }
    }

    pub(super) fn shard_mut(&mut self, shard: ShardId) -> &mut Shard {
        &mut self.shards[usize::from(shard.0 / self.cluster.cores)]
    }

    fn deliveries_can_be_sent(&self) -> bool {
        !self.outgoing.iter().any(Outgoing::deliveries_are_full)
    }

    fn may_serve_requests(&self) -> bool {
        !self.inbox.requests.is_empty() && self.deliveries_can_be_sent()
    }

    fn turn_has_room(&self) -> bool {
        self.turn_messages < self.ingest.messages_max()
    }

    fn serve_deliveries(&mut self, now: Now) {
        while self.turn_has_room()
            && let Some((from, delivery)) = self.inbox.deliveries.pop_front()
        {
            match delivery {
                Delivery::Portion(portion) => {
                    self.fan_out(now, &portion);
                }
                Delivery::NoResponders(unheard) => self.no_responders(&unheard),
                Delivery::Fenced { connection } => self.fence_answered(connection),
                Delivery::Opened { connection, request, opened } => {
                    self.opened(connection, request, opened);
                }
                Delivery::Acks { topic, acks } => self.acknowledge(topic, &acks),
                Delivery::Replay { asker, replays } => self.replayed(from, asker, replays),
                Delivery::JoinedGroup { member } => self.joined_group(member),
                Delivery::Dealt { member, entry } => self.dealt(member, entry),
                Delivery::LeftGroup { member } => self.left_group(member),
                Delivery::GroupsDrained => self.drain.groups_drained += 1,
                Delivery::Block { topic, blocked } => self.publishers_wait(&topic, blocked),
                Delivery::Announced { number } => {
                    for waiter in self.interest.answered(number) {
                        match waiter {
                            Waiter::Group(index) => self.put_group_in_force(index),
                            // One that asked for kept messages waits for those as well.
                            Waiter::Subscription(index) => {
                                if self.subscriptions.get(index).unanswered == 0 {
                                    self.come_in_force(index);
                                }
                            }
                        }
                    }
                }
                Delivery::Drained => self.drain.deliveries_drained += 1,
            }
        }
    }

    fn serve_requests(&mut self, now: Now) {
        while self.turn_has_room()
            && self.deliveries_can_be_sent()
            && let Some((from, request)) = self.inbox.requests.pop_front()
        {
            match request {
                Request::Publish(batch) => self.hand_out(now, from, batch),
                Request::Open { connection, request, topic } => {
                    let shard = self.cluster.shard_of_name(&topic);
                    let opened = self.open_topic(shard, &topic);
                    let delivery = Delivery::Opened { connection, request, opened };
                    self.outgoing[usize::from(from.0)].deliver(delivery);
                }
                Request::Announce { number, pattern } => {
                    self.interest.add(from, &pattern);
                    let delivery = Delivery::Announced { number };
                    self.outgoing[usize::from(from.0)].deliver(delivery);
                }
                Request::Withdraw { pattern } => self.interest.remove(from, &pattern),
                Request::Replay { asker, pattern, start } => {
                    self.answer_replay(from, asker, &pattern, start);
                }
                Request::JoinGroup { name, joins } => self.member_joins(from, name, joins),
                Request::Took { name, member, messages, bytes } => {
                    self.member_took(&name, from, member, (messages, bytes));
                }
                Request::LeaveGroup { name, leaves } => self.member_leaves(&name, from, leaves),
                Request::GiveUpKept => self.give_up_kept(),
                Request::Block { topic, blocked } => self.core_blocks(topic, blocked),
                Request::Fence { connection } => {
                    let delivery = Delivery::Fenced { connection };
                    self.outgoing[usize::from(from.0)].deliver(delivery);
                }
                Request::Drained => self.drain.requests_drained += 1,
            }
        }
    }

    /// Finds or makes a topic of this core.
    pub(super) fn open_topic(
        &mut self,
        shard: ShardId,
        topic: &Arc<str>,
    ) -> Result<(Arc<TopicName>, Sequence), TopicsFull> {
        self.shard_mut(shard).open(topic)
    }
}
