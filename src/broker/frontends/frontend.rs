//! What a protocol does for one of its connections.
//!
//! Implemented by each protocol's client; called by [`Frontends`](super::Frontends) alone.

use std::sync::Arc;

use super::{Admission, Clients, Doors, Refusal, Send};
use crate::broker::auth::Failed;
use crate::broker::connections::Connections;
use crate::broker::delivery::{Delivery, Pulled, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::message::{Ack, TopicName, Unheard};
use crate::broker::permissions::Permissions;
use crate::broker::topics::TopicsFull;
use crate::protocol::{RequestId, Sequence, SubscriptionId, TopicId};

/// What this server calls itself.
pub const SERVER_NAME: &str = concat!("blipmq/", env!("CARGO_PKG_VERSION"));

/// How far the serving of a connection's bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// So many bytes were served.
    Took(usize),
    /// The next frame is not whole yet, or has to wait.
    Waits,
    /// Nothing more of the connection is served.
    Discards,
}

/// A client of one protocol: the state of its connection, and its half of every conversation.
pub trait Frontend: Sized {
    /// What all connections of the protocol share on a core.
    type Shared: Default;

    /// Every slice is copied on its way out.
    const COPIES: bool;

    /// A client has connected.
    fn new(shared: &mut Self::Shared, doors: &mut Doors<'_>, slot: Slot) -> Self;

    /// Welcomes the client, or refuses it if it is not admitted or the broker stops:
    /// [`Doors::refusal_of_new`] says which. A protocol without a login authenticates and opens the
    /// connection here, and one with a login calls [`Doors::expect_login`].
    fn begin(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        admission: Admission,
    );

    /// Serves what is whole at the start of `bytes`: at least one frame, if it can be served. A
    /// connection that is held back waits, and a frame that has to wait is held or left for later
    /// before [`Served::Waits`] is returned, unless it is not whole yet.
    fn serve(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
    ) -> Served;

    /// The length of the frame at the start of `bytes`, which is not whole, if they say so.
    fn frame_len(&self, bytes: &[u8]) -> Option<usize>;

    /// Refuses the client, and ends its connection.
    fn refuse(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        why: &Refusal,
    );

    /// A subscription is active on all cores that have to know it: what was pending since
    /// `Delivery::subscribe` is not any more.
    fn known(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    );

    /// A subscription was given all that its client asked for, and ends.
    fn satisfied(
        &mut self,
        _shared: &mut Self::Shared,
        _doors: &mut Doors<'_>,
        _slot: Slot,
        _index: SubscriptionIndex,
    ) {
        unreachable!("this frontend limits no subscription");
    }

    /// The login that waits of the client is over: it may do this, or is refused.
    fn login_answered(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        answer: Result<Arc<Permissions>, Failed>,
    );

    /// The client's user has other permissions to publish.
    fn publishes_otherwise(&mut self) {}

    /// A subscription is not allowed any more: it ends, and the client is told.
    fn lost(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    );

    /// The owner of a topic has answered a request to open it.
    fn opened(
        &mut self,
        _shared: &mut Self::Shared,
        _doors: &mut Doors<'_>,
        _slot: Slot,
        _request: RequestId,
        _opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    ) {
        unreachable!("this frontend opens no topics");
    }

    /// A frame whose publisher wants an ACK was ordered, or refused.
    fn acked(&mut self, _doors: &mut Doors<'_>, _slot: Slot, _topic: TopicId, _ack: &Ack) {
        unreachable!("this frontend asks for no ACKs");
    }

    /// The client published under the id of a topic that was removed.
    fn removed(&mut self, _doors: &mut Doors<'_>, _slot: Slot, _topic: TopicId) {
        unreachable!("this frontend publishes by name");
    }

    /// Nobody listens to a request of the client.
    fn no_responders(&mut self, _doors: &mut Doors<'_>, _slot: Slot, _unheard: &Unheard) {
        unreachable!("this frontend asks for no responders");
    }

    /// Another core has served what the connection sent before.
    fn fenced(&mut self, _shared: &mut Self::Shared, _doors: &mut Doors<'_>, _slot: Slot) {
        unreachable!("this frontend has no fences");
    }

    /// Asks other cores for fences that were begun in this turn.
    fn ask_fences(_clients: &mut Clients<'_, Self>, _doors: &mut Doors<'_>) {}

    /// Encodes a piece of a send.
    fn put(
        &mut self,
        shared: &mut Self::Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        piece: Pulled,
    );

    /// Everything that has room is in a send; what was kept back for what might follow goes into
    /// [`Send::between`] now. Returns whether `sent` is to be called.
    fn complete(
        &mut self,
        _shared: &mut Self::Shared,
        _doors: &mut Doors<'_>,
        _slot: Slot,
        _send: &mut Send<'_>,
    ) -> bool {
        false
    }

    /// A send was made, and `complete` asked for this.
    fn sent(&mut self, _shared: &mut Self::Shared, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// A subscription has ended with all others of its connection. What was pending since
    /// `Delivery::subscribe` is not any more; `is_to_end` says that the client had asked for its end.
    fn retired(
        &mut self,
        _shared: &mut Self::Shared,
        _doors: &mut Doors<'_>,
        _slot: Slot,
        _id: SubscriptionId,
        _is_to_end: bool,
    ) {
    }

    /// All subscriptions that the connection had when it started over have ended.
    fn swept(&mut self, _shared: &mut Self::Shared, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// Nothing more reaches the client.
    fn broken(&mut self, _shared: &mut Self::Shared, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// The client may have been silent for too long.
    fn silent(&mut self, _shared: &mut Self::Shared, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// The broker will stop: a client that can leave by itself is told to.
    fn lame_duck(&mut self, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// The broker will stop, and closes the connection once everything is sent.
    fn leave(&mut self, _doors: &mut Doors<'_>, _slot: Slot) {}

    /// The broker stops: nothing more of the client is served, and other cores are not waited for.
    fn stop(&mut self) {}

    /// The broker stops: a client that has authenticated is notified.
    fn stopping(&mut self, doors: &mut Doors<'_>, slot: Slot);

    /// How many subscriptions the client can name.
    fn subscriptions(&self, delivery: &Delivery, slot: Slot) -> usize;

    /// The number that the protocol calls the client by, if it has one.
    fn number(&self) -> Option<u64> {
        None
    }

    /// Asserts what is always true of a client.
    fn audit(&self, _shared: &Self::Shared, _audited: &Audited<'_>, _slot: Slot) {}
}

/// What the audit of a client looks at.
pub struct Audited<'a> {
    /// The connections.
    pub connections: &'a Connections,
    /// Their subscriptions.
    pub delivery: &'a Delivery,
}
