//! Who a client is, and what that changes while it is connected: calls of the right protocol.

use std::sync::Arc;

use super::{Client, Doors, Frontend, Frontends, Refusal, notice};
use crate::broker::auth::Failed;
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::broker::permissions::Permissions;

impl Frontends {
    /// Refuses a client; nothing if its connection closes already.
    pub fn refuse(&mut self, doors: &mut Doors<'_>, slot: Slot, why: &Refusal) {
        if doors.connections.at(slot).phase() == Phase::Closing {
            return;
        }
        match why {
            Refusal::TooSlow { .. } => {
                let event = notice::Event::TooSlow { why: why.to_string() };
                doors.notice(slot, self.protocol(slot), event);
            }
            Refusal::Revoked => doors.notice(slot, self.protocol(slot), notice::Event::Revoked),
            _ => {}
        }
        client!(self, slot, |client, shared| client.refuse(shared, doors, slot, why));
    }

    /// The user of an open connection has other permissions to publish.
    pub fn publishes_otherwise(&mut self, slot: Slot) {
        client!(self, slot, |client, _shared| client.publishes_otherwise());
    }

    /// The login that waits of a client is over.
    pub fn login_answered(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        answer: Result<Arc<Permissions>, Failed>,
    ) {
        client!(self, slot, |client, shared| client.login_answered(shared, doors, slot, answer));
    }
}
