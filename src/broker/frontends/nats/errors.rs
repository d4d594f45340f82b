//! What a client is told it did wrong, and what the broker refuses, in the words of nats-server.

use std::borrow::Cow;

use bytes::BytesMut;

use super::{Client, Doors, Protocol, Refusal, Shared};
use crate::broker::auth::LoginFailure;
use crate::broker::connections::Phase;
use crate::broker::delivery::Slowness;
use crate::broker::ids::Slot;
use crate::nats::error::Offence;

impl Client {
    /// Sends a client -ERR. Some offences end its connection, once it was sent what is queued for it.
    pub(super) fn offend(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        offence: &Offence,
    ) {
        if doors.connections.at(slot).is_over() {
            return;
        }
        if *offence == Offence::AuthenticationTimeout {
            let failed = LoginFailure::TooLate.into();
            doors.count_failed_login(slot, Protocol::Nats, offence.text().into_owned(), failed);
        }
        doors.counters.errors_sent.add(1);
        let connection = doors.connections.get(slot);
        let takes_what_is_queued = connection.phase() == Phase::Open
            && !connection.is_broken()
            && !matches!(offence, Offence::SlowConsumer | Offence::StaleConnection);
        if offence.closes() {
            connection.set_why_closed(Cow::Owned(offence.text().into_owned()));
        }
        if offence.closes() && takes_what_is_queued {
            let mut last_words = BytesMut::new();
            offence.encode(&mut last_words);
            connection.set_last_words(last_words.freeze());
            connection.finish();
            return self.begin_fence(shared, doors, slot, false);
        }
        doors.answer(slot, |out| offence.encode(out));
        if offence.closes() {
            doors.close_with_answers(slot);
        }
    }

    /// Says what the broker refuses whatever the protocol.
    pub(super) fn say_refusal(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        why: &Refusal,
    ) {
        let offence = match why {
            Refusal::TooManyConnections { .. }
            | Refusal::TooManyOfAddress { .. }
            | Refusal::TooFastOfAddress { .. } => Offence::MaximumConnectionsExceeded,
            Refusal::LoginTimeout { .. } | Refusal::LoginTooLate { .. } => {
                Offence::AuthenticationTimeout
            }
            // It was to be sent what is queued first; that has come to be too much.
            Refusal::TooSlow { .. } if doors.connections.at(slot).is_over() => {
                return doors.close_with_answers(slot);
            }
            Refusal::TooSlow { why: Slowness::SubscribesTooMuch { .. }, .. } => {
                return self.cut_off(doors, slot, &Offence::MaximumSubscriptionsExceeded);
            }
            Refusal::TooSlow { .. } => Offence::SlowConsumer,
            Refusal::Stopping | Refusal::PlainText => return doors.close_with_answers(slot),
            Refusal::Revoked => return self.cut_off(doors, slot, &Offence::AuthenticationRevoked),
        };
        self.offend(shared, doors, slot, &offence);
    }

    /// Ends a connection without what is queued for it.
    fn cut_off(&mut self, doors: &mut Doors<'_>, slot: Slot, offence: &Offence) {
        doors.counters.errors_sent.add(1);
        doors.connections.get(slot).set_why_closed(Cow::Owned(offence.text().into_owned()));
        doors.answer(slot, |out| offence.encode(out));
        doors.close_with_answers(slot);
    }
}
