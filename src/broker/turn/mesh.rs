//! What came from other cores, and what this turn brought for topics.

use crate::broker::cluster::CoreSet;
use crate::broker::delivery::{Reply, SubscriptionRef};
use crate::broker::ids::ConnectionId;
use crate::broker::mesh::{Delivery, Request};
use crate::broker::message::{Ack, Batch, Slice, Unheard};
use crate::broker::topics::replay::Answer;
use crate::broker::topics::{Ordered, Removed, polls};
use crate::broker::{Broker, Now};
use crate::limits::TOPICS_TENDED_PER_TURN;
use crate::protocol::{CoreId, TopicId};

impl Broker {
    /// Serves what other cores have delivered, as far as this turn has room.
    pub(super) fn serve_deliveries(&mut self, now: Now) {
        while self.delivery.has_room()
            && let Some((from, delivery)) = self.mesh.next_delivery()
        {
            self.serve_delivery(now, from, delivery);
            self.carry_out(now);
        }
    }

    fn serve_delivery(&mut self, now: Now, from: CoreId, delivery: Delivery) {
        match delivery {
            Delivery::Slice(slice) => {
                self.fan_out(now, &slice);
            }
            Delivery::Requests { slice, number } => {
                let messages = self.fan_out(now, &slice);
                self.mesh.ask(from, Request::Heard { number, messages });
            }
            Delivery::Delivery(reply) => self.serve_reply(now, from, reply),
            Delivery::NoResponders(unheard) => self.no_responders(now, &unheard),
            Delivery::PassFence { core, connection } => {
                self.mesh.deliver(core, Delivery::Fenced { connection });
            }
            Delivery::Fenced { connection } => self.fenced(now, self.core, connection),
            Delivery::Opened { connection, request, opened } => {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.opened(&mut doors, connection, request, opened);
            }
            Delivery::Removed(removed) => self.tell_removed(now, self.core, removed),
            Delivery::Forget(topic) => self.delivery.forget_topic(topic),
            Delivery::Acks { topic, acks } => self.acknowledge(now, topic, &acks),
            Delivery::GroupsDrained => self.drain.groups_drained += 1,
            Delivery::Drained => self.drain.deliveries_drained += 1,
        }
    }

    /// Serves what other cores have asked, as far as this turn has room.
    pub(super) fn serve_requests(&mut self, now: Now) {
        while self.delivery.has_room()
            && let Some((from, request)) = self.mesh.next_request()
        {
            self.serve_request(now, from, request);
            self.carry_out(now);
        }
    }

    fn serve_request(&mut self, now: Now, from: CoreId, request: Request) {
        match request {
            Request::Publish(batch) => self.order(now, from, batch),
            Request::NoteReply(name) => self.topics.note_reply(now, name),
            Request::Open { connection, request, topic } => {
                let opened = self.topics.open(now, &mut self.timers, &topic);
                self.mesh.deliver(from, Delivery::Opened { connection, request, opened });
            }
            Request::Delivery(request) => self.serve_delivery_request(now, from, request),
            // This turn keeps the budget anyway, once it is awake.
            Request::Evict => {}
            Request::GiveBack => self.give_back_as_asked(now),
            Request::Fence { connection, through } => {
                for core in through.iter().filter(|core| *core != self.core) {
                    self.mesh.deliver(core, Delivery::PassFence { core: from, connection });
                }
                if !self.polls.defer_fence(from, connection) {
                    self.fenced(now, from, connection);
                }
            }
            Request::Heard { number, messages } => self.heard(now, number, messages),
            Request::Drained => self.drain.requests_drained += 1,
        }
    }

    /// Hands out what this turn brought: each batch to its topic's owner, here or on another core. The
    /// next turn has the rest, if some connection gets each message very many times.
    pub(super) fn hand_out(&mut self, now: Now) {
        self.ingest.begin_hand_out();
        while let Some(batch) = self.ingest.take_next() {
            let owner = self.cluster.core_of(self.cluster.shard_of(&batch.destination));
            if owner == self.core {
                self.order(now, owner, batch);
                self.carry_out(now);
                // One at least, so that what other cores sent never keeps it waiting.
                if !self.delivery.has_repeats_left() {
                    return;
                }
            } else {
                self.mesh.ask(owner, Request::Publish(batch));
            }
        }
    }

    /// This core owns the topic: the batch gets its sequences and goes to every subscription.
    fn order(&mut self, now: Now, from: CoreId, batch: Batch) {
        let topic = TopicId(0);
        let Ordered { slice, wanted_by, acks, requests, removed } =
            self.topics.order(now, &mut self.timers, batch);
        let Some(slice) = slice else {
            self.send_acks(now, from, topic, acks);
            return removed.into_iter().for_each(|removed| self.tell_removed(now, from, removed));
        };
        if requests.is_empty() || wanted_by == CoreSet::default() {
            for core in wanted_by.iter() {
                self.mesh.deliver(core, Delivery::Slice(slice.clone()));
            }
            self.send_acks(now, from, slice.topic.id, acks);
            let heard = self.fan_out(now, &slice);
            return self.answer_requests(now, from, polls::unheard(&slice.topic, requests, heard));
        }
        let cores = 1 + wanted_by.len();
        let number = self.polls.begin(from, slice.topic.clone(), requests, cores);
        for core in wanted_by.iter() {
            self.mesh.deliver(core, Delivery::Requests { slice: slice.clone(), number });
        }
        self.send_acks(now, from, slice.topic.id, acks);
        let heard = self.fan_out(now, &slice);
        self.heard(now, number, heard);
    }

    /// Gives a slice to the groups and subscriptions of this core; returns how many of its messages,
    /// the first of them, some subscription takes.
    fn fan_out(&mut self, now: Now, slice: &Slice) -> u32 {
        let by_groups = self.delivery.fan_out_to_groups(now, slice);
        self.carry_out(now);
        let by_subscriptions = self.delivery.fan_out(now, &mut self.timers, slice);
        self.carry_out(now);
        by_groups.max(by_subscriptions)
    }

    /// A core says how many messages of a batch with requests reached somebody there.
    fn heard(&mut self, now: Now, number: u64, messages: u32) {
        let Some((core, unheard)) = self.polls.answer(number, messages) else { return };
        self.answer_requests(now, core, unheard);
        while let Some((core, connection)) = self.polls.take_fence() {
            self.fenced(now, core, connection);
        }
    }

    /// This core has served what a connection of some core sent before.
    fn fenced(&mut self, now: Now, core: CoreId, connection: ConnectionId) {
        if core == self.core {
            let (frontends, mut doors) = self.open_doors(now);
            frontends.fenced(&mut doors, connection);
        } else {
            self.mesh.deliver(core, Delivery::Fenced { connection });
        }
    }

    /// Nobody listens to these.
    fn answer_requests(&mut self, now: Now, to: CoreId, unheard: Vec<Unheard>) {
        for unheard in unheard {
            if to == self.core {
                self.no_responders(now, &unheard);
            } else {
                self.mesh.deliver(to, Delivery::NoResponders(unheard));
            }
        }
    }

    fn no_responders(&mut self, now: Now, unheard: &Unheard) {
        let (frontends, mut doors) = self.open_doors(now);
        frontends.no_responders(&mut doors, unheard);
    }

    fn send_acks(&mut self, now: Now, to: CoreId, topic: TopicId, acks: Vec<Ack>) {
        if acks.is_empty() {
            return;
        }
        if to == self.core {
            self.acknowledge(now, topic, &acks);
        } else {
            self.mesh.deliver(to, Delivery::Acks { topic, acks });
        }
    }

    fn acknowledge(&mut self, now: Now, topic: TopicId, acks: &[Ack]) {
        let (frontends, mut doors) = self.open_doors(now);
        frontends.acked(&mut doors, topic, acks);
        self.carry_out(now);
    }

    /// Publishers used the id of a topic that was removed.
    fn tell_removed(&mut self, now: Now, to: CoreId, removed: Removed) {
        if to == self.core {
            let (frontends, mut doors) = self.open_doors(now);
            frontends.removed(&mut doors, &removed);
            self.carry_out(now);
        } else {
            self.mesh.deliver(to, Delivery::Removed(removed));
        }
    }

    /// Removes topics that were idle for too long and that nobody subscribes to.
    pub(super) fn tend_topics(&mut self, now: Now) {
        let mut left = TOPICS_TENDED_PER_TURN;
        while let Some(topic) = self.topics.next_idle(now, &mut self.timers, &mut left) {
            let name = &topic.name;
            if !self.cluster.removes_idle_topics
                || self.delivery.wants(name)
                || self.topics.is_wanted_elsewhere(name)
            {
                self.topics.keep(now, &mut self.timers, &topic);
                continue;
            }
            self.topics.remove(&topic);
            self.delivery.forget_topic(topic.id);
            for core in self.cluster.others(self.core) {
                self.mesh.deliver(core, Delivery::Forget(topic.id));
            }
        }
    }

    /// Goes on with replays, those that have waited longest first.
    pub(super) fn go_on_with_replays(&mut self, now: Now) {
        // A stop waits for all replays.
        let unsent_max = match self.drain.begun {
            true => u64::MAX,
            false => self.cluster.replay_unsent_max,
        };
        self.replays.begin_turn(self.cluster.replay_topics_per_turn, unsent_max);
        while let Some(answer) = self.replays.go_on(&self.topics) {
            self.answer_replay(now, answer);
            self.carry_out(now);
        }
    }

    pub(super) fn answer_replay(&mut self, now: Now, answer: Answer<SubscriptionRef>) {
        let Answer { asker: (core, connection), waiter, replays, progress } = answer;
        let subscription = waiter;
        self.reply(now, core, Reply::Replay { subscription, connection, replays, progress });
    }
}
