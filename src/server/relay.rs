//! The relay of one core: turns what its executor reports into calls of the broker, and what the
//! broker wants into requests of the executor.
//!
//! It decides nothing, and keeps nothing but the two ends it joins. What a process does besides, and
//! what it notes of all this, is its [`Beside`]: the server's is `desk`; the simulator includes this
//! file with one of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use blipmq::broker::mesh::{LANES, Message};
use blipmq::broker::port::Port;
use blipmq::broker::{
    Admission, Broker, ConnectionId, Notice, Now, PasswordCheck, Peer, Protocol, Slot, turn,
};
use blipmq::protocol::CoreId;
use bytes::Bytes;
use executors::{Io, Observed, Ring, Service};

/// What a process does on a core beside the broker. The first four methods act; the others only
/// hear what passes, in its order.
pub trait Beside {
    /// Runs before the broker's turn; returns whether there is more to do at once.
    fn turn<R: Ring>(&mut self, broker: &mut Broker, now: Now, io: &Io<Message, R>) -> bool;

    /// The broker has something for the operator.
    fn notice(&mut self, notice: Notice);

    /// The broker asks for a password to be compared; returned if there are too many.
    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck>;

    /// The executor did something.
    fn observe(&mut self, observed: Observed);

    /// The broker has memory that nobody holds any more.
    fn gives_back(&mut self) {}

    /// A connection begins.
    fn connected(&mut self, _connection: ConnectionId, _peer: Peer, _admitted: bool) {}

    /// Bytes arrive.
    fn received(&mut self, _connection: ConnectionId, _bytes: &[u8]) {}

    /// A send is complete.
    fn sent(&mut self, _connection: ConnectionId) {}

    /// The stop begins.
    fn stopping(&mut self) {}

    /// A mesh message is read.
    fn reads(&mut self, _message: &Message) {}

    /// The broker sends these ranges.
    fn sends(&mut self, _connection: ConnectionId, _ranges: &[Bytes]) {}

    /// The broker no longer reads a connection.
    fn pauses(&mut self, _connection: ConnectionId) {}

    /// The broker reads a connection again.
    fn resumes(&mut self, _connection: ConnectionId) {}

    /// The broker closes a connection behind these bytes.
    fn closes(&mut self, _connection: ConnectionId, _last: &Bytes) {}

    /// A connection is gone.
    fn closed(&mut self, _connection: ConnectionId, _peer: Peer, _why: &str) {}
}

/// The service of one core.
pub struct Relay<B> {
    pub broker: Broker,
    /// What each listener speaks, in the order of the executors' plan.
    pub protocols: Arc<[Protocol]>,
    pub beside: B,
}

/// What a turn of the broker asks of its executor.
struct Outside<'a, B, R: Ring> {
    now: executors::Now,
    io: &'a mut Io<Message, R>,
    beside: &'a mut B,
}

impl<B: Beside, R: Ring> Port for Outside<'_, B, R> {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        self.beside.sends(connection, ranges);
        self.io.send(outward(connection), ranges);
    }

    fn pause(&mut self, connection: ConnectionId) {
        self.beside.pauses(connection);
        self.io.pause(outward(connection));
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.beside.resumes(connection);
        self.io.resume(outward(connection));
    }

    fn close(&mut self, connection: ConnectionId, last: Bytes) {
        self.beside.closes(connection, &last);
        self.io.close(self.now, outward(connection), last);
    }

    fn abort(&mut self, connection: ConnectionId) {
        self.io.abort(outward(connection));
    }

    fn try_send(&mut self, to: CoreId, lane: usize, message: Message) -> Result<(), Message> {
        self.io.mesh().try_send(to.0.into(), lane, message)
    }

    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Message> {
        let message = self.io.mesh().try_recv(from.0.into(), lane)?;
        self.beside.reads(&message);
        Some(message)
    }

    fn notice(&mut self, notice: Notice) {
        self.beside.notice(notice);
    }

    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        self.beside.check_password(check)
    }

    fn give_back(&mut self) {
        self.beside.gives_back();
    }
}

impl<B: Beside> Service for Relay<B> {
    type Message = Message;

    const LANES: usize = LANES;

    fn connected(
        &mut self,
        now: executors::Now,
        connection: executors::ConnectionId,
        address: SocketAddr,
        listener: usize,
        admission: executors::Admission,
    ) {
        let peer = Peer { protocol: self.protocols[listener], address };
        let admission = match admission {
            executors::Admission::Admitted => Admission::Admitted,
            executors::Admission::Full => Admission::Full,
            executors::Admission::AddressFull => Admission::AddressFull,
            executors::Admission::AddressTooFast => Admission::AddressTooFast,
        };
        let admitted = admission == Admission::Admitted;
        self.beside.connected(inward(connection), peer, admitted);
        self.broker.connected(time(now), inward(connection), peer, admission);
    }

    fn received(&mut self, now: executors::Now, connection: executors::ConnectionId, bytes: &[u8]) {
        self.beside.received(inward(connection), bytes);
        self.broker.received(time(now), inward(connection), bytes);
    }

    fn sent(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.beside.sent(inward(connection));
        self.broker.sent(time(now), inward(connection));
    }

    fn broken(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.broken(time(now), inward(connection));
    }

    fn ended(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.ended(time(now), inward(connection));
    }

    fn vanished(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.vanished(time(now), inward(connection));
    }

    fn closed(&mut self, connection: executors::ConnectionId) {
        let (peer, why) = self.broker.closed(inward(connection));
        self.beside.closed(inward(connection), peer, &why);
    }

    fn wants_input(&self) -> bool {
        self.broker.wants_input()
    }

    fn go_on(&mut self, now: executors::Now) {
        self.broker.go_on(time(now));
    }

    fn turn<R: Ring>(&mut self, now: executors::Now, io: &mut Io<Message, R>) -> bool {
        let busy = self.beside.turn(&mut self.broker, time(now), io);
        let mut outside = Outside { now, io, beside: &mut self.beside };
        busy | turn::turn(&mut self.broker, time(now), &mut outside)
    }

    fn next_deadline(&self) -> Option<u64> {
        self.broker.next_deadline_ns()
    }

    fn stop(&mut self, now: executors::Now) {
        self.beside.stopping();
        self.broker.stop(time(now));
    }

    fn is_stopped(&self) -> bool {
        self.broker.is_stopped()
    }

    fn observe(&mut self, observed: Observed) {
        self.beside.observe(observed);
    }
}

fn time(now: executors::Now) -> Now {
    Now { monotonic_ns: now.monotonic_ns, unix_ns: now.unix_ns }
}

fn inward(connection: executors::ConnectionId) -> ConnectionId {
    ConnectionId { slot: Slot(connection.slot), generation: connection.generation }
}

fn outward(connection: ConnectionId) -> executors::ConnectionId {
    executors::ConnectionId { slot: connection.slot.0, generation: connection.generation }
}
