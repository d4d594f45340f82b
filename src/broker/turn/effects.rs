//! Effects of delivery, carried out.

use crate::broker::delivery::{Effect, Reply, Request, Slowness};
use crate::broker::frontends::Refusal;
use crate::broker::frontends::notice::Event;
use crate::broker::ids::Slot;
use crate::broker::message::TopicName;
use crate::broker::{Broker, Now, mesh};
use crate::protocol::{CoreId, SubscriptionId};

/// A peer takes nothing, if a send to it has been with the kernel for so long.
const STUCK_NS: u64 = 100_000_000;

impl Broker {
    /// Carries out what followed from calls of delivery, in order, and what follows from that.
    #[inline]
    pub(in crate::broker) fn carry_out(&mut self, now: Now) {
        if self.delivery.has_effects() {
            self.carry_out_all(now);
        }
    }

    fn carry_out_all(&mut self, now: Now) {
        let mut effects = self.spare_effects.pop().unwrap_or_default();
        self.delivery.swap_effects(&mut effects);
        for effect in effects.drain(..) {
            self.carry_out_one(now, effect);
            // What follows from one comes before the next.
            self.carry_out(now);
        }
        self.spare_effects.push(effects);
    }

    fn carry_out_one(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Ready(slot) => self.connections.mark_ready(slot),
            Effect::Ask(core, request) if core == self.core => {
                self.serve_delivery_request(now, core, request);
            }
            Effect::Ask(core, request) => {
                self.mesh.ask(core, mesh::Request::Delivery(request));
            }
            Effect::Reply(core, reply) if core == self.core => self.serve_reply(now, core, reply),
            Effect::Reply(core, reply) => {
                self.mesh.deliver(core, mesh::Delivery::Delivery(reply));
            }
            Effect::Known(of) => {
                if self.delivery.find(of).is_some() {
                    let (frontends, mut doors) = self.open_doors(now);
                    frontends.known(&mut doors, of.index);
                }
            }
            Effect::Satisfied(of) => {
                if self.delivery.find(of).is_some() {
                    let (frontends, mut doors) = self.open_doors(now);
                    frontends.satisfied(&mut doors, of.index);
                }
            }
            Effect::Retired { connection, id, was_pending, is_to_end } => {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.retired(&mut doors, connection, (id, was_pending, is_to_end));
            }
            Effect::Swept(connection) => {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.swept(&mut doors, connection);
            }
            Effect::TooSlow { slot, subscription, why } => {
                self.disconnect(now, slot, subscription, why);
            }
            Effect::Overflowed { slot, pattern, policy } => {
                let (frontends, mut doors) = self.open_doors(now);
                let protocol = frontends.protocol(slot);
                doors.notice(slot, protocol, Event::Overflow { pattern, policy });
            }
            Effect::ConnectionFull { slot, connection_bytes } => {
                let (frontends, mut doors) = self.open_doors(now);
                let protocol = frontends.protocol(slot);
                doors.notice(slot, protocol, Event::ConnectionFull { connection_bytes });
            }
            Effect::Reclaimed { slot, held, share } => {
                let (frontends, mut doors) = self.open_doors(now);
                let protocol = frontends.protocol(slot);
                doors.notice(slot, protocol, Event::Reclaimed { held, share });
            }
            Effect::GoOn(work) => self.delivery.go_on(now, work),
        }
    }

    /// What delivery of some core asks: of the topics of this core, or of its delivery.
    pub(super) fn serve_delivery_request(&mut self, now: Now, from: CoreId, request: Request) {
        match request {
            Request::Announce { number, pattern } => {
                self.topics.announced(from, &pattern);
                self.reply(now, from, Reply::Announced { number });
            }
            Request::Withdraw { pattern } => self.topics.withdrawn(from, &pattern),
            Request::Replay { subscription, connection, pattern, start } => {
                let (topics, asker) = (&self.topics, (from, connection));
                if let Some(answer) =
                    self.replays.begin(topics, asker, subscription, pattern, start)
                {
                    self.answer_replay(now, answer);
                }
            }
            Request::ReplaySent { connection, slices } => {
                self.replays.sent((from, connection), slices);
            }
            Request::ForgetReplays { connection } => self.replays.forget((from, connection)),
            Request::JoinGroup { name, joins } => {
                self.delivery.member_joins(now, from, name, joins);
            }
            Request::Took { name, member, messages, bytes } => {
                self.delivery.member_took(now, &name, from, member, (messages, bytes));
            }
            Request::LimitMember { name, member, messages_max } => {
                self.delivery.limit_member(&name, from, member, messages_max);
            }
            Request::LeaveGroup { name, leaves } => {
                self.delivery.member_leaves(now, &name, from, leaves);
            }
            Request::Block { topic, blocked } => {
                let Some(topic) = self.topics.block(topic, blocked) else { return };
                self.publishers_wait(&topic, blocked);
                for core in self.cluster.others(self.core) {
                    let topic = topic.clone();
                    self.reply(now, core, Reply::PublishersWait { topic, blocked });
                }
            }
        }
    }

    /// A subscriber has to be disconnected.
    fn disconnect(&mut self, now: Now, slot: Slot, subscription: SubscriptionId, why: Slowness) {
        let since_ns = self.connections.at(slot).sending_since_ns();
        let is_stuck = since_ns.is_some_and(|since| now.monotonic_ns - since >= STUCK_NS);
        let (frontends, mut doors) = self.open_doors(now);
        frontends.refuse(&mut doors, slot, &Refusal::TooSlow { subscription, why });
        // Why it goes would stand behind bytes that its peer does not take, and those are memory.
        if is_stuck && why.frees_memory() {
            self.connections.abort_closed(slot);
        }
    }

    /// What delivery or topics of some core answer delivery of this core.
    pub(super) fn serve_reply(&mut self, now: Now, from: CoreId, reply: Reply) {
        match reply {
            Reply::Announced { number } => self.delivery.announced(now, number),
            Reply::Replay { subscription, connection, replays, progress } => {
                let waiter = (subscription, connection);
                self.delivery.replayed(from, waiter, replays, progress);
            }
            Reply::JoinedGroup { member } => self.delivery.joined_group(member),
            Reply::Dealt { member, entry } => self.delivery.dealt(member, entry),
            Reply::LeftGroup { member } => self.delivery.left_group(member),
            Reply::PublishersWait { topic, blocked } => self.publishers_wait(&topic, blocked),
        }
    }

    /// Publishers of a topic have to wait, or need not any more.
    fn publishers_wait(&mut self, topic: &TopicName, blocked: bool) {
        self.delivery.publishers_wait(topic, blocked);
        if !blocked {
            self.connections.release_topic(topic.id);
        }
    }

    pub(super) fn reply(&mut self, now: Now, core: CoreId, reply: Reply) {
        if core == self.core {
            self.serve_reply(now, core, reply);
        } else {
            self.mesh.deliver(core, mesh::Delivery::Delivery(reply));
        }
    }
}
