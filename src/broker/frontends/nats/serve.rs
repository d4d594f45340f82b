//! Bytes of a client to commands, and each command to what serves it.

use super::{Client, Doors, Served, Shared};
use crate::broker::auth::LoginFailure;
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::limits::NATS_CONTROL_LINE_MAX;
use crate::nats::command::{self, Bounds, Command};
use crate::nats::error::Offence;

impl Client {
    /// Serves the command at the start of `bytes`, and for PUB those that can go with it.
    pub(super) fn serve_command(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
    ) -> Served {
        doors.connections.hold_if_full_of_answers(slot);
        let connection = doors.connections.at(slot);
        if connection.is_held_back() {
            return Served::Waits;
        }
        // A client that has to authenticate and begins otherwise is not waited for.
        if connection.phase() == Phase::AwaitHello && !command::begins_connect(bytes) {
            self.refuse_login(shared, doors, slot, LoginFailure::Missing.into());
            return Served::Discards;
        }
        let payload_max = doors.settings().server.max_message_size_bytes;
        let bounds = Bounds { control_line_max: NATS_CONTROL_LINE_MAX, payload_max };
        let (command, mut len) = match command::parse(bytes, bounds) {
            Ok(Some(found)) => found,
            Ok(None) => return Served::Waits,
            Err(offence) => {
                let unasked = command::begins_with_headers(bytes) && !self.options.headers;
                let offence = if unasked { Offence::HeadersNotSupported } else { offence };
                self.offend(shared, doors, slot, &offence);
                return Served::Discards;
            }
        };
        match self.serve_parsed(shared, doors, slot, &command) {
            Ok(true) => {
                if matches!(command, Command::Publish(_)) {
                    len += self.publish_more(doors, slot, &bytes[len..], bounds);
                }
            }
            Ok(false) => return Served::Waits,
            Err(offence) => self.offend(shared, doors, slot, &offence),
        }
        match doors.connections.at(slot).is_over() {
            true => Served::Discards,
            false => Served::Took(len),
        }
    }

    /// Serves a command; returns false if it has to wait.
    fn serve_parsed(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        command: &Command<'_>,
    ) -> Result<bool, Offence> {
        match command {
            Command::Publish(publish) => {
                if self.publish_waits(shared, doors, slot, publish) {
                    return Ok(false);
                }
                self.publish(shared, doors, slot, publish)?;
            }
            Command::Ping => {
                self.begin_fence(shared, doors, slot, true);
                return Ok(true);
            }
            Command::Subscribe { subject, queue, sid } => {
                if doors.hold_for_requests(slot)
                    || doors.hold_for_memory(slot)
                    || self.unsubscribe_waits(shared, doors, slot, sid)
                    || self.waits_for_publish(shared, doors, slot, subject)
                {
                    return Ok(false);
                }
                self.subscribe(doors, slot, subject, *queue, sid)?;
            }
            Command::Unsubscribe { sid, max } => {
                if doors.hold_for_requests(slot) || self.unsubscribe_waits(shared, doors, slot, sid)
                {
                    return Ok(false);
                }
                self.unsubscribe(shared, doors, slot, sid, *max);
            }
            Command::Connect(json) => {
                let again = self.options.is_connected;
                if again && self.waits_for_publish(shared, doors, slot, b">") {
                    return Ok(false);
                }
                if !self.connect(shared, doors, slot, json)? {
                    return Ok(true);
                }
            }
            Command::Err => return Err(Offence::ErrorFromClient),
            // Clients have no reason to send these; nats-server reads over them as well.
            Command::Info | Command::Ok => return Ok(true),
            // Whatever a client sends is its sign of life.
            Command::Pong => return Ok(true),
        }
        self.confirm(doors, slot);
        Ok(true)
    }
}
