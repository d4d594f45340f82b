//! Bytes of a connection to frames, and each frame to whoever serves it.
//!
//! First step of every message's path. Next: `publish` for MESSAGES, `subscribe` for subscriptions.
//!
//! # Always true
//! - Frames of one connection are served in order, however its bytes were split.
//! - A connection that must wait keeps its own bytes; no other connection waits for it.

use bytes::{Buf, BytesMut};

use super::auth::Credentials;
use super::session::{Paused, Phase};
use super::{Broker, ConnectionId, Now};
use crate::limits;
use crate::protocol::decode::{self, ClientFrame, Hello};
use crate::protocol::{Reject, encode};

/// `unparsed` memory above this is given back when it is empty.
const UNPARSED_KEPT: usize = 64 * 1_024;

impl Broker {
    /// Bytes arrived.
    pub fn received(&mut self, now: Now, connection: ConnectionId, bytes: &[u8]) {
        self.now = now;
        let slot = connection.slot;
        let session = self.sessions.get(slot);
        if let Some(nats) = &mut session.nats {
            nats.heard_ns = now.monotonic_ns;
        }
        match session.phase {
            // It said its last word, or was told ours.
            Phase::Finishing | Phase::Closing => {}
            _ if self.drain.has_begun() => {}
            _ if session.waits_to_parse() => session.unparsed.extend_from_slice(bytes),
            _ if session.unparsed.is_empty() => {
                let consumed = self.parse(now, slot, bytes);
                let session = self.sessions.get(slot);
                if session.phase != Phase::Closing {
                    session.unparsed.extend_from_slice(&bytes[consumed..]);
                }
            }
            _ => {
                session.unparsed.extend_from_slice(bytes);
                self.parse_unparsed(now, slot);
            }
        }
    }

    /// Serves the frames a connection was left with.
    pub(super) fn parse_unparsed(&mut self, now: Now, slot: u32) {
        let mut unparsed = std::mem::take(&mut self.sessions.get(slot).unparsed);
        let consumed = self.parse(now, slot, &unparsed);
        let session = self.sessions.get(slot);
        if session.phase == Phase::Closing {
            return;
        }
        unparsed.advance(consumed);
        if unparsed.is_empty() && unparsed.capacity() > UNPARSED_KEPT {
            unparsed = BytesMut::new();
        }
        session.unparsed = unparsed;
    }

    /// Goes on with connections that were left for a later turn.
    pub(super) fn parse_backlog(&mut self, now: Now) {
        for _ in 0..self.backlog.len() {
            if !self.ingest.has_room() {
                return;
            }
            let slot = self.backlog.pop_front().expect("its length was asked for");
            let Some((_, session)) = self.sessions.find(slot) else { continue };
            // The slot may have another connection by now.
            if !std::mem::take(&mut session.in_backlog) || session.paused.is_some() {
                continue;
            }
            if matches!(session.phase, Phase::AwaitHello | Phase::Open) {
                self.parse_unparsed(now, slot);
            }
            self.close_if_ended(slot);
        }
    }

    /// Goes on with paused connections whose reason is over.
    pub(super) fn resume_paused(&mut self, now: Now) {
        for slot in std::mem::take(&mut self.paused) {
            let Some((_, session)) = self.sessions.find(slot) else { continue };
            let Some(reason) = session.paused else { continue };
            let holds = match reason {
                Paused::Answers => session.is_full_of_answers(),
                Paused::Fence => session.nats().fence.is_some(),
                Paused::Blocked(topic) => self.blocks.publishers_wait(topic),
                Paused::Mesh(core) => self.outgoing[usize::from(core.0)].requests_are_full(),
            };
            if holds && session.phase != Phase::Closing {
                self.paused.push(slot);
                continue;
            }
            session.paused = None;
            if matches!(session.phase, Phase::AwaitHello | Phase::Open) {
                self.parse_unparsed(now, slot);
            }
            let connection = self.sessions.id(slot);
            let session = self.sessions.get(slot);
            if session.paused.is_none() && session.phase != Phase::Closing && !session.ended {
                self.actions.push(super::Action::Resume(connection));
            }
            self.close_if_ended(slot);
        }
    }

    /// Serves whole frames at the start of `bytes`; returns how many bytes they were.
    fn parse(&mut self, now: Now, slot: u32, bytes: &[u8]) -> usize {
        if self.sessions.get(slot).nats.is_some() {
            return self.parse_nats(now, slot, bytes);
        }
        let message_len_max = self.cluster.settings.server.max_message_size_bytes;
        let frame_len_max = limits::frame_len_max(message_len_max);
        let mut consumed = 0;
        loop {
            let rest = &bytes[consumed..];
            if rest.is_empty() || self.must_wait(slot, rest, frame_len_max) {
                return consumed;
            }
            let found = match self.sessions.get(slot).phase {
                Phase::AwaitHello => decode::next_hello(rest),
                Phase::Open => decode::next_frame(rest, frame_len_max),
                Phase::Finishing | Phase::Closing => return bytes.len(),
            };
            let served = found.and_then(|frame| match frame {
                None => Ok(None),
                Some(frame) => {
                    let decoded = decode::client_frame(frame, message_len_max)?;
                    self.serve(now, slot, rest, frame.len(), decoded)
                }
            });
            match served {
                Ok(Some(frame_len)) => consumed += frame_len,
                Ok(None) => return consumed,
                Err(reject) => {
                    self.reject(slot, &reject);
                    if reject.is_fatal() {
                        return bytes.len();
                    }
                    // A refused frame was whole: its length is right, only its wish was not.
                    let frame = decode::next_frame(rest, frame_len_max).ok().flatten();
                    consumed += frame.expect("refusals that go on are of whole frames").len();
                }
            }
        }
    }

    /// Whether a connection's next frame has to wait, and if so puts it where it waits.
    fn must_wait(&mut self, slot: u32, rest: &[u8], frame_len_max: u32) -> bool {
        let has_room = self.ingest.has_room();
        if matches!(self.sessions.get(slot).phase, Phase::Finishing | Phase::Closing) {
            return false;
        }
        self.pause_if_full_of_answers(slot);
        if self.sessions.get(slot).paused.is_some() {
            return true;
        }
        // A frame that is not whole yet waits by itself; one that is too long will never be.
        let is_whole = matches!(decode::next_frame(rest, frame_len_max), Ok(Some(_)) | Err(_));
        if !has_room && is_whole {
            self.leave_for_later(slot);
        }
        !has_room
    }

    /// Stops reading a connection until the reason is over, see `resume_paused`.
    pub(super) fn pause(&mut self, slot: u32, reason: Paused) {
        let connection = self.sessions.id(slot);
        let session = self.sessions.get(slot);
        if session.paused.is_none() {
            session.paused = Some(reason);
            self.paused.push(slot);
            self.actions.push(super::Action::Pause(connection));
        }
    }

    /// A client that asks without listening slows itself.
    pub(super) fn pause_if_full_of_answers(&mut self, slot: u32) {
        if self.sessions.get(slot).is_full_of_answers() {
            self.pause(slot, Paused::Answers);
        }
    }

    /// What is left of a connection's bytes is served in a later turn.
    pub(super) fn leave_for_later(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        if !session.in_backlog {
            session.in_backlog = true;
            self.backlog.push_back(slot);
        }
    }

    /// Serves the frame at the start of `rest`. Returns how many bytes were served, for MESSAGES
    /// those of a whole run; `None` if the frame has to wait.
    fn serve(
        &mut self,
        now: Now,
        slot: u32,
        rest: &[u8],
        frame_len: usize,
        decoded: ClientFrame<'_>,
    ) -> Result<Option<usize>, Reject> {
        match decoded {
            ClientFrame::Messages(header) => return self.publish(now, slot, rest, &header),
            ClientFrame::Hello(hello) => self.hello(slot, &hello)?,
            ClientFrame::Open { request, topic } => self.open(slot, request, topic)?,
            ClientFrame::Subscribe(subscribe) => self.subscribe(slot, subscribe)?,
            ClientFrame::Unsubscribe { subscription } => self.unsubscribe(slot, subscription)?,
            ClientFrame::Ping { opaque } => self.answer(slot, |out| encode::pong(out, opaque)),
            // The broker does not ask yet; an answer to no question does no harm.
            ClientFrame::Pong { .. } => {}
            ClientFrame::Close => {
                self.sessions.get(slot).phase = Phase::Finishing;
                self.finishing.push(slot);
            }
        }
        Ok(Some(frame_len))
    }

    /// HELLO: who it is decides what it may do.
    fn hello(&mut self, slot: u32, hello: &Hello<'_>) -> Result<(), Reject> {
        if self.sessions.get(slot).phase != Phase::AwaitHello {
            return Err(Reject::SecondHello);
        }
        let kind = hello.auth_kind;
        if kind != 0 && !self.auth.is_required() {
            return Err(Reject::AuthNotConfigured { kind });
        }
        let (credentials, refusal) = match kind {
            0 => (Credentials::None, Reject::AuthRequired),
            1 => (Credentials::Token(hello.user), Reject::AuthFailed { kind, what: "a token" }),
            _ => (
                Credentials::Password { user: hello.user, password: hello.password },
                Reject::AuthFailed { kind, what: "user and password" },
            ),
        };
        let permissions = self.auth.check(&credentials).ok_or(refusal)?;
        let session = self.sessions.get(slot);
        session.permissions = permissions;
        session.phase = Phase::Open;
        let welcome = self.welcome();
        self.answer(slot, |out| encode::welcome(out, &welcome));
        Ok(())
    }
}
