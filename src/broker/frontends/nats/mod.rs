//! NATS clients: what their commands mean here. The codec is [`crate::nats`]; topics, queues, groups
//! and everything else are the same as for BLIP/1, so each protocol reaches subscribers of both.
//!
//! | step | file |
//! |---|---|
//! | bytes become commands, each goes to what serves it | `serve` |
//! | CONNECT, INFO, and errors | `hello`, `errors` |
//! | PUB and HPUB: a MESSAGES frame joins its subject's batch of this turn | `publish` |
//! | SUB and UNSUB | `subscribe` |
//! | PING is answered when everything before it has taken effect on all cores | `fence` |
//! | requests that a client may answer though it may not publish there | `responses` |
//! | slices become MSG and HMSG; what a subscription missed is published on a subject | `put` |
//! | silent connections are asked, and closed if they stay silent | `mod`, with `frontends::keepalive` |
//!
//! # Always true
//! - A message is stored as a BLIP/1 frame, whoever published it; NATS text is made when it is sent.

mod errors;
mod fence;
mod hello;
mod publish;
mod put;
mod responses;
mod serve;
mod subscribe;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::keepalive::Silence;
use super::{Admission, Audited, Clients, Doors, Frontend, Protocol, Refusal, Send, Served};
use crate::broker::auth::Failed;
use crate::broker::cluster::CoreSet;
use crate::broker::connections::Phase;
use crate::broker::delivery::{Delivery, Pulled, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::message::Unheard;
use crate::broker::permissions::Permissions;
use crate::broker::topics::ingest::Place;
use crate::nats::command;
use crate::nats::error::Offence;
use crate::protocol::SubscriptionId;
use fence::{Fence, Pong};
use put::Missed;
use responses::Answerable;

/// A client.
pub struct Client {
    /// As INFO says it; no other connection of this broker has it while it runs.
    client_id: u64,
    options: Options,
    /// Its subscriptions, as it calls them.
    sids: HashMap<Box<[u8]>, SubscriptionIndex>,
    /// Its subscriptions so far.
    subscriptions_made: u32,
    /// Memberships that their coordinators have not confirmed.
    joining_groups: u32,
    /// Where its last message went in this turn.
    place: Place,
    /// It has published to subjects of other cores, which have not said that they served that.
    publishes_elsewhere: bool,
    /// It has published since other cores said that they served everything: what it published to
    /// subjects of this core may be on its way to groups of theirs.
    publishes_to_groups: bool,
    /// Cores that coordinate groups it has joined: what it publishes may come back through these.
    coordinators: CoreSet,
    /// Subscriptions from before its last CONNECT have still to end.
    starts_over: bool,
    /// A command that waits for other cores.
    fence: Option<Fence>,
    /// PONGs that wait for messages queued before them, oldest first.
    pongs: VecDeque<Pong>,
    /// Requests that it may answer though it may not publish there. Boxed: most clients have no such right.
    answerable: Option<Box<Answerable>>,
    /// What its CONNECT said, while its login waits.
    connecting: Option<Box<Options>>,
    /// What it was given to sign.
    nonce: Option<Box<str>>,
}

/// What CONNECT says.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// The client has said CONNECT.
    is_connected: bool,
    /// Every command is answered with +OK.
    verbose: bool,
    /// Subjects of publishes are checked.
    pedantic: bool,
    /// The client wants its own messages, if it subscribes to them.
    echo: bool,
    /// The client understands messages with headers.
    headers: bool,
    /// The client wants to be notified at once when nobody listens to a request.
    no_responders: bool,
}

/// What clients share.
#[derive(Default)]
pub struct Shared {
    /// Clients this core has had.
    clients: u64,
    /// Clients whose next command waits for other cores, to be asked this turn.
    fencing: Vec<Slot>,
    /// What the subscriptions of the connection that is sent to missed.
    missed: Vec<Missed>,
}

impl Frontend for Client {
    type Shared = Shared;

    const COPIES: bool = true;

    fn new(shared: &mut Shared, doors: &mut Doors<'_>, _: Slot) -> Client {
        shared.clients += 1;
        let cores = u64::from(doors.cluster.cores);
        Client {
            client_id: (shared.clients - 1) * cores + u64::from(doors.core.0) + 1,
            // What holds before CONNECT.
            options: Options {
                is_connected: false,
                verbose: true,
                pedantic: true,
                echo: true,
                headers: false,
                no_responders: false,
            },
            sids: HashMap::new(),
            subscriptions_made: 0,
            joining_groups: 0,
            place: Place::default(),
            publishes_elsewhere: false,
            publishes_to_groups: false,
            coordinators: CoreSet::default(),
            starts_over: false,
            fence: None,
            pongs: VecDeque::new(),
            answerable: None,
            connecting: None,
            nonce: None,
        }
    }

    fn begin(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        admission: Admission,
    ) {
        self.welcome(shared, doors, slot, admission);
    }

    fn serve(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
    ) -> Served {
        self.serve_command(shared, doors, slot, bytes)
    }

    fn frame_len(&self, bytes: &[u8]) -> Option<usize> {
        command::len_of_publish(bytes)
    }

    fn refuse(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot, why: &Refusal) {
        self.say_refusal(shared, doors, slot, why);
    }

    fn login_answered(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        answer: Result<Arc<Permissions>, Failed>,
    ) {
        self.answer_login(shared, doors, slot, answer);
    }

    fn lost(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.end_lost_subscription(shared, doors, slot, index);
    }

    fn known(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.subscribed(shared, doors, slot, index);
    }

    fn satisfied(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.end_subscription(shared, doors, slot, index);
    }

    fn retired(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        _: SubscriptionId,
        _: bool,
    ) {
        self.pass_fence_if_open(shared, doors, slot);
    }

    fn swept(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.started_over(shared, doors, slot);
    }

    fn no_responders(&mut self, doors: &mut Doors<'_>, slot: Slot, unheard: &Unheard) {
        self.answer_no_responders(doors, slot, &unheard.topic, &unheard.requester.reply);
    }

    fn fenced(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.fence_answered(shared, doors, slot);
    }

    fn ask_fences(clients: &mut Clients<'_, Client>, doors: &mut Doors<'_>) {
        for slot in std::mem::take(&mut clients.shared.fencing) {
            // The slot may have another connection by now.
            if let Some((client, shared)) = clients.get(slot) {
                client.ask_fence(shared, doors, slot);
            }
        }
    }

    fn put(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        piece: Pulled,
    ) {
        match piece {
            Pulled::Slice { index, slice, .. } => {
                self.put_slice(doors, send, (slot, index), &slice);
            }
            Pulled::Gap { index, gap } => {
                Missed::note(&mut shared.missed, doors.delivery.get(index), gap);
            }
            // No word follows what is queued for a subscription that was ended.
            Pulled::End { .. } => {}
        }
    }

    fn complete(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
    ) -> bool {
        let fence_is_over = self.put_pongs(doors, slot, send);
        self.publish_missed(shared, doors, slot);
        fence_is_over
    }

    fn sent(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.end_fence(shared, doors, slot);
    }

    fn broken(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        self.forget_pongs(shared, doors, slot);
    }

    fn silent(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        if doors.connections.at(slot).phase() == Phase::Closing {
            return;
        }
        match doors.check_silence(Protocol::Nats, slot) {
            Silence::Short => {}
            Silence::Asked(_) => doors.answer(slot, |out| out.extend_from_slice(b"PING\r\n")),
            Silence::TooLong { .. } => self.offend(shared, doors, slot, &Offence::StaleConnection),
        }
    }

    fn lame_duck(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        self.send_info(doors, slot, true);
    }

    fn stopping(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        if !doors.drain.is_lame_duck {
            self.send_info(doors, slot, true);
        }
    }

    fn stop(&mut self) {
        self.fence = None;
        self.connecting = None;
    }

    fn subscriptions(&self, _: &Delivery, _: Slot) -> usize {
        self.sids.len()
    }

    fn number(&self) -> Option<u64> {
        Some(self.client_id)
    }

    fn audit(&self, shared: &Shared, audited: &Audited<'_>, slot: Slot) {
        self.audit_client(shared, audited, slot);
    }
}

impl Client {
    /// Asserts that what the connection waits for will come.
    fn audit_client(&self, shared: &Shared, audited: &Audited<'_>, slot: Slot) {
        use crate::broker::delivery::State;

        let connection = audited.connections.at(slot);
        let (mut pending, mut joins, mut named) = (u32::from(self.starts_over), 0, 0);
        for index in audited.delivery.all_of(slot) {
            let subscription = audited.delivery.get(index);
            let sid = subscription.name.as_deref().expect("its client named it");
            pending += u32::from(subscription.is_pending());
            if audited.delivery.find(subscription.reference(index)).is_none() {
                continue;
            }
            joins += u32::from(subscription.state == State::Joining);
            let gets_messages = matches!(subscription.state, State::Joining | State::Active);
            if gets_messages && !subscription.is_leaving_group() {
                named += 1;
                assert!(self.sids.get(sid) == Some(&index), "its client can name it");
                let is_to_end = audited.delivery.has_satisfied();
                assert!(is_to_end || !subscription.has_had_enough(), "one that had enough ends");
            }
        }
        // After its last words a client leaves all it has at once, and is not asked by name again.
        if connection.phase() == Phase::Open {
            assert!(self.sids.len() == named, "a name leads to a subscription that gets messages");
            assert!(self.joining_groups == joins, "memberships to come are counted");
        }
        assert!(connection.pending() == pending, "what other cores have to say is counted");
        assert!(
            self.pongs.is_empty() || audited.delivery.has_queued(slot),
            "a PONG waits for something that will be sent"
        );
        assert!(connection.is_fenced() == self.fence.is_some(), "both know of the fence");
        if let Some(fence) = &self.fence {
            assert!(fence.was_asked() || shared.fencing.contains(&slot), "other cores are asked");
            assert!(
                !fence.is_over(connection.pending()) || !self.pongs.is_empty(),
                "a fence ends when nothing is left to wait for"
            );
        }
    }
}
