//! Bytes of a NATS client to commands, and each command to whoever serves it.
//!
//! Called by `broker::receive`. Next: `publish` for PUB and HPUB, `subscribe` for SUB and UNSUB.

use super::super::session::Phase;
use super::super::{Broker, Now};
use crate::limits::NATS_CONTROL_LINE_MAX;
use crate::nats::command::{self, Bounds, Command};
use crate::nats::error::Offence;

/// Whether a command was served.
enum Served {
    Yes,
    /// It stays, and so does what follows it.
    Waits,
}

impl Broker {
    /// Serves whole commands at the start of `bytes`; returns how many bytes they were.
    pub(in crate::broker) fn parse_nats(&mut self, now: Now, slot: u32, bytes: &[u8]) -> usize {
        let payload_max = self.cluster.settings.server.max_message_size_bytes;
        let bounds = Bounds { control_line_max: NATS_CONTROL_LINE_MAX, payload_max };
        let mut consumed = 0;
        while consumed < bytes.len() && !self.nats_must_wait(slot) {
            // Who has to say who it is and begins otherwise is not waited for.
            if self.sessions.get(slot).phase == Phase::AwaitHello
                && !command::begins_connect(&bytes[consumed..])
            {
                self.offend(slot, &Offence::AuthorizationViolation);
                return bytes.len();
            }
            let (command, len) = match command::parse(&bytes[consumed..], bounds) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(offence) => {
                    let unasked_headers = command::begins_with_headers(&bytes[consumed..])
                        && !self.sessions.get(slot).nats().headers;
                    let offence = match unasked_headers {
                        true => Offence::HeadersNotSupported,
                        false => offence,
                    };
                    self.offend(slot, &offence);
                    return bytes.len();
                }
            };
            match self.serve_nats(now, slot, &command) {
                Ok(Served::Yes) => {
                    consumed += len;
                    if matches!(command, Command::Publish(_)) {
                        consumed += self.nats_publish_more(now, slot, &bytes[consumed..], bounds);
                    }
                }
                Ok(Served::Waits) => break,
                Err(offence) => {
                    self.offend(slot, &offence);
                    consumed += len;
                }
            }
            if matches!(self.sessions.get(slot).phase, Phase::Finishing | Phase::Closing) {
                return bytes.len();
            }
        }
        consumed
    }

    /// Whether the connection's next command has to wait, whatever it is.
    fn nats_must_wait(&mut self, slot: u32) -> bool {
        self.pause_if_full_of_answers(slot);
        self.sessions.get(slot).waits_to_parse()
    }

    fn serve_nats(
        &mut self,
        now: Now,
        slot: u32,
        command: &Command<'_>,
    ) -> Result<Served, Offence> {
        let session = self.sessions.get(slot);
        match command {
            Command::Publish(publish) => {
                if self.nats_publish_waits(slot, publish) {
                    return Ok(Served::Waits);
                }
                self.nats_publish(now, slot, publish)?;
            }
            Command::Ping => {
                self.begin_fence(slot);
                return Ok(Served::Yes);
            }
            Command::Pong => {
                session.nats().pings_out = 0;
                return Ok(Served::Yes);
            }
            Command::Subscribe { subject, queue, sid } => {
                if self.unsubscribe_waits(slot, sid) || self.follows_publish(slot, subject) {
                    return Ok(Served::Waits);
                }
                self.nats_subscribe(slot, subject, *queue, sid)?;
            }
            Command::Unsubscribe { sid, max } => {
                if self.unsubscribe_waits(slot, sid) {
                    return Ok(Served::Waits);
                }
                self.nats_unsubscribe(slot, sid, *max);
            }
            Command::Connect(json) => {
                if session.nats().is_connected && self.follows_publish(slot, b">") {
                    return Ok(Served::Waits);
                }
                self.nats_connect(slot, json)?;
            }
            Command::Err => return Err(Offence::ErrorFromClient),
            // Clients have no reason to send these; nats-server reads over them as well.
            Command::Info | Command::Ok => return Ok(Served::Yes),
        }
        if self.sessions.get(slot).nats().verbose {
            self.answer(slot, |out| out.extend_from_slice(b"+OK\r\n"));
        }
        Ok(Served::Yes)
    }
}
