//! Pieces of a send as frames. Slices go out as they are stored.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Client, Doors, Shared};
use crate::broker::delivery::SubscriptionIndex;
use crate::broker::frontends::Send;
use crate::broker::ids::Slot;
use crate::broker::memory::Memory;
use crate::broker::message::{Gap, Slice, TopicName};
use crate::protocol::{RequestId, Sequence, TopicId, encode, messages};

/// Stands for a name that is not a legal topic.
const ILLEGAL: &str = "$SYS.ILLEGAL";

impl Client {
    pub(super) fn put_slice(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        slice: Slice,
    ) {
        let id = self.announce(shared, doors, slot, send, &slice.topic, slice.first);
        shared.write_gap(send);
        send.push(addressed(slice, id, &doors.cluster.memory));
    }

    /// A gap is written once it is known where it ends: what follows may continue it.
    pub(super) fn put_gap(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        gap: Gap,
    ) {
        if let Some((_, last)) = &mut shared.gap
            && last.extend(&gap)
        {
            return;
        }
        shared.write_gap(send);
        let id = self.announce(shared, doors, slot, send, &gap.topic, gap.first);
        shared.gap = Some((id, gap));
    }

    /// UNSUBSCRIBED follows what was queued.
    pub(super) fn put_end(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        send: &mut Send<'_>,
        index: SubscriptionIndex,
    ) {
        let id = doors.delivery.get(index).id;
        self.subscriptions.remove(&id);
        shared.write_gap(send);
        encode::unsubscribed(&mut send.between, id);
    }

    /// The first time a connection receives a topic, TOPIC says which one that is. Returns the id
    /// that the client knows the topic by.
    fn announce(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        topic: &Arc<TopicName>,
        next: Sequence,
    ) -> TopicId {
        if let Some((last, id)) = &self.last_announced
            && last.key() == topic.key()
        {
            return *id;
        }
        shared.write_gap(send);
        let (id, is_new) = match topic.is_retained() {
            true => (topic.id, self.announced.insert(topic.id)),
            false => (shared.ephemeral_ids.next(), true),
        };
        self.last_announced = Some((topic.clone(), id));
        if is_new && topic.is_retained() {
            self.count_memory(doors, slot);
            let permissions = doors.connections.at(slot).permissions();
            if !permissions.may_publish(&topic.name) {
                self.only_receives.get_or_insert_default().insert(topic.id, topic.clone());
            }
        }
        if is_new {
            // Messages of other topics do not come here, but a group may tell what was missed of them.
            let name = if topic.is_legal() { &*topic.name } else { ILLEGAL };
            encode::topic(&mut send.between, RequestId(0), id, next, topic.owner, name);
        }
        id
    }
}

impl Shared {
    pub(super) fn write_gap(&mut self, send: &mut Send<'_>) {
        if let Some((id, Gap { subscription, first, messages, reason, .. })) = self.gap.take() {
            encode::gap(&mut send.between, id, subscription, first, messages, reason);
        }
    }
}

/// The frames of a slice for a client. Others share the bytes: a subscription that is meant, and a
/// topic that has no id of its own, are said in a copy.
fn addressed(slice: Slice, id: TopicId, memory: &Memory) -> Bytes {
    if slice.subscription == 0 && slice.topic.is_retained() {
        return slice.frames;
    }
    let mut frames = BytesMut::from(&slice.frames[..]);
    messages::address(&mut frames, id, slice.subscription);
    memory.count(frames)
}
