//! Delivery: subscriptions, their queues, and what happens at the bounds of those.
//!
//! In come requests to subscribe and to end, slices to fan out, and what delivery on other cores
//! asks and answers. Out go [`Effect`]s, in a vector that `turn` carries out; and, for each
//! connection with a free socket, the slices and gaps that are due (`pull`).
//!
//! # Always true
//! - A slow subscription fills only its own queue. It never delays its neighbours.
//! - Every message is queued, handed out, or in a gap that lies where the message was.
//! - This room knows no protocol: names that clients give to subscriptions pass through it unread.
//! - Nothing here waits: no clock, no socket. What takes long goes on by [`Effect::GoOn`].

mod announcements;
mod audit;
mod block;
mod cost;
mod deal;
mod effects;
mod fan_out;
pub mod gaps;
mod group;
mod groups;
mod held;
mod lists;
mod members;
mod membership;
mod outlets;
pub mod overflow;
mod pace;
mod pull;
pub mod queue;
mod reach;
mod reclaim;
mod replay;
mod retire;
mod subscribe;
mod subscription;
pub mod subscriptions;
mod waiting;
mod work;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use crate::broker::cluster::Cluster;
use crate::broker::counters::Counters;
use crate::broker::holders::Holders;
use crate::broker::ids::Slot;
use crate::broker::topics::ingest::messages_per_turn;
use crate::config::Settings;
use crate::protocol::{CoreId, TopicId};

use announcements::Announcements;
use block::Blocks;
pub use effects::{Effect, Reply, Request, Slowness, Work};
pub use group::GroupName;
pub use groups::GroupQueue;
use groups::Groups;
use held::{HOLDER_BYTES_MIN, Holder};
use members::LeftGroup;
use outlets::{Outlets, Rank};
pub use pull::{Mark, Pull, Pulled, Room};
use retire::Retired;
pub use subscribe::{Ended, NewSubscription};
pub use subscription::{State, Subscription, SubscriptionRef};
pub use subscriptions::SubscriptionIndex;
use subscriptions::Subscriptions;
pub use work::WorkDone;

/// Topics on which gaps are published for protocols that have no word for them.
pub const GAP_TOPICS: &str = "$SYS.GAP.*";

/// The subscriptions of one core, and the groups that it coordinates.
pub struct Delivery {
    core: CoreId,
    cluster: Cluster,
    counters: Arc<Counters>,
    subscriptions: Subscriptions,
    outlets: Outlets,
    announcements: Announcements,
    /// Topics whose publishers wait.
    blocks: Blocks,
    /// Groups that this core coordinates.
    groups: Groups,
    /// The groups of members that left, until their coordinators have confirmed that.
    left_groups: HashMap<u64, LeftGroup>,
    /// Subscriptions that are over.
    retired: Retired,
    /// What was done since the last turn.
    work: WorkDone,
    /// Entries that queues gained, less those they lost, since the budget was last updated.
    uncounted_entries: i64,
    /// Bytes that connections hold besides, more than the budget was last told.
    uncounted_bytes: i64,
    /// Messages handed to queues since the last flush.
    turn_messages: u32,
    turn_messages_max: u32,
    /// [`WorkDone::repeats`] since the last flush.
    turn_repeats: usize,
    effects: Vec<Effect>,
    /// Connections and groups by what they hold.
    holders: Holders<Holder>,
}

impl Delivery {
    /// The delivery of `core`.
    pub fn new(core: CoreId, cluster: Cluster, counters: Arc<Counters>) -> Delivery {
        Delivery {
            core,
            turn_messages_max: messages_per_turn(&cluster.settings),
            cluster,
            counters,
            subscriptions: Subscriptions::default(),
            outlets: Outlets::default(),
            announcements: Announcements::default(),
            blocks: Blocks::default(),
            groups: Groups::default(),
            left_groups: HashMap::new(),
            retired: Retired::default(),
            work: WorkDone::default(),
            uncounted_entries: 0,
            uncounted_bytes: 0,
            turn_messages: 0,
            turn_repeats: 0,
            effects: Vec::new(),
            holders: Holders::new(HOLDER_BYTES_MIN),
        }
    }

    /// Applies other settings. Subscriptions that there are keep the policy and bounds they have.
    pub fn reload(&mut self, settings: &Arc<Settings>) {
        self.cluster.settings = settings.clone();
        self.blocks.judge_all_at_once();
        // As `Ingest::reload`: never more than before.
        self.turn_messages_max = self.turn_messages_max.min(messages_per_turn(settings));
    }

    /// Whether effects wait to be carried out.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Exchanges the effects for an empty vector.
    pub fn swap_effects(&mut self, effects: &mut Vec<Effect>) {
        debug_assert!(effects.is_empty(), "effects are carried out before more are taken");
        std::mem::swap(&mut self.effects, effects);
    }

    /// Goes on with work that was cut.
    pub fn go_on(&mut self, now: crate::broker::clock::Now, work: Work) {
        match work {
            Work::Deal(group) => self.deal(now, group),
            Work::Sweep => self.sweep_next(),
            Work::Release(connection) => self.release_deferred(connection),
            Work::ForgetLeft(number) => drop(self.left_groups.remove(&number)),
        }
    }

    /// What was done since the turn began.
    pub fn work(&self) -> WorkDone {
        self.work
    }

    /// Whether this turn fans out more.
    pub fn has_room(&self) -> bool {
        self.turn_messages < self.turn_messages_max && self.has_repeats_left()
    }

    /// Whether this turn fans out more to connections that get each message many times.
    pub fn has_repeats_left(&self) -> bool {
        self.turn_repeats < self.cluster.repeats_per_turn
    }

    /// The queues are about to be flushed.
    pub fn begin_flush(&mut self) {
        self.turn_messages = 0;
        self.turn_repeats = 0;
    }

    /// Counts the entries of queues in the memory budget.
    pub fn count_memory(&mut self) {
        let entries = std::mem::take(&mut self.uncounted_entries);
        let bytes = std::mem::take(&mut self.uncounted_bytes);
        if entries != 0 || bytes != 0 {
            self.cluster.memory.count_entries(entries, bytes);
        }
    }

    /// A subscription, if the index is in use.
    pub fn at(&self, index: SubscriptionIndex) -> Option<&Subscription> {
        self.subscriptions.at(index)
    }

    /// The subscription that a reference means, if it is still there and not over.
    pub fn find(&self, of: SubscriptionRef) -> Option<&Subscription> {
        self.living(of)
    }

    /// A subscription that there is.
    pub fn get(&self, index: SubscriptionIndex) -> &Subscription {
        self.subscriptions.at(index).expect("the index is in use")
    }

    /// Places that are or were a subscription's.
    pub fn places(&self) -> usize {
        self.subscriptions.slots()
    }

    /// Places that are or were a group's.
    pub fn group_places(&self) -> usize {
        self.groups.slots()
    }

    /// The queue of the group in a place, if there is one.
    pub fn group_at(&self, place: usize) -> Option<GroupQueue<'_>> {
        self.groups.queue_at(place)
    }

    /// Whether every message of every group was sent by some member, so that none can come back.
    pub fn groups_are_empty(&self) -> bool {
        self.groups.are_empty()
    }

    /// The earliest active subscription of a connection that matches a topic.
    pub fn of_connection(&self, slot: Slot, topic: &str) -> Option<SubscriptionIndex> {
        let connection = self.outlets.at(slot).connection?;
        let found = self.subscriptions.of_connection(connection, topic);
        found.filter(|index| !self.is_over(*index))
    }

    /// Whether somebody of this core subscribes to a topic.
    pub fn wants(&self, topic: &str) -> bool {
        self.subscriptions.want(topic) || self.groups.want(topic)
    }

    /// Forgets a topic that its owner has removed.
    pub fn forget_topic(&mut self, topic: TopicId) {
        self.subscriptions.reach.forget(topic);
    }

    fn ask(&mut self, core: CoreId, request: Request) {
        self.effects.push(Effect::Ask(core, request));
    }

    fn reply(&mut self, core: CoreId, reply: Reply) {
        self.effects.push(Effect::Reply(core, reply));
    }

    /// Puts a subscription on the list of those its connection has something to send for.
    fn list(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        if subscription.listed.is_none() {
            let slot = subscription.connection.slot;
            self.outlets.list(index, subscription, Rank::InTurn);
            self.effects.push(Effect::Ready(slot));
        }
    }

    /// Frees a subscription that was ended. What it still had queued is lost, and counted.
    fn forget(&mut self, index: SubscriptionIndex) {
        self.unblock(index);
        self.end_replay(index);
        let lost = self.get(index).queue.messages_with_replay();
        self.counters.dropped_disconnected_messages.add(lost);
        self.empty_queue(index);
        let subscription = self.subscriptions.remove(index);
        self.subscription_holds(subscription.connection, -(subscription.held_bytes as i64));
        if !self.outlets.is_gone(&subscription) {
            let slot = subscription.connection.slot;
            if let Some(moved) = self.outlets.remove(slot, subscription.place) {
                self.subscriptions.get(moved).place = subscription.place;
            }
        }
        self.counters.subscriptions.sub(1);
        self.cluster.subscriptions.fetch_sub(1, Ordering::Relaxed);
        if subscription.hears_of_gaps() {
            self.cluster.gap_listeners.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
