//! PING from the broker to clients that are silent, and the end of those that stay silent.

use super::{Client, Doors, Shared};
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::broker::timers::Class;
use crate::nats::error::Offence;

impl Client {
    /// Looks at a connection again when it could have been silent for `nats.ping_interval_ms`.
    pub(super) fn expect_sign_of_life(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        let interval_ns = doors.settings().silence_max_ns();
        let at_ns = doors.now.monotonic_ns + interval_ns;
        doors.timers.set(Class::Silence, at_ns, doors.connections.id(slot));
    }

    /// Asks a client that was silent, or closes its connection if it was asked often enough.
    pub(super) fn check_silence(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        let connection = doors.connections.at(slot);
        if connection.phase() == Phase::Closing {
            return;
        }
        // Nobody is silent whose bytes are not read.
        if connection.is_held_back() || doors.connections.are_carried_over() {
            doors.connections.get(slot).hear(doors.now.monotonic_ns);
            return self.expect_sign_of_life(doors, slot);
        }
        let interval_ns = doors.settings().silence_max_ns();
        if doors.now.monotonic_ns - connection.heard_ns() >= interval_ns {
            if self.pings_out >= doors.settings().nats.pings_max {
                return self.offend(shared, doors, slot, &Offence::StaleConnection);
            }
            self.pings_out += 1;
            doors.answer(slot, |out| out.extend_from_slice(b"PING\r\n"));
        }
        self.expect_sign_of_life(doors, slot);
    }
}
