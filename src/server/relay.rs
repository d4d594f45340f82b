//! The relay of one core: turns what its executor reports into calls of the broker, and what the
//! broker wants into requests of the executor.
//!
//! It decides nothing, and keeps nothing but the two ends it joins. What a process does besides, and
//! what it notes of all this, is its [`Beside`]: the server's is `desk`; the simulator includes this
//! file with one of its own.

use std::borrow::Cow;
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
    /// What stands between sockets and broker.
    type Between: Between;

    /// Runs before the broker's turn; returns whether there is more to do at once.
    fn turn<R: Ring>(
        &mut self,
        broker: &mut Broker,
        between: &mut Self::Between,
        now: Now,
        io: &Io<Message, R>,
    ) -> bool;

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

/// What stands between the sockets of some connections and the broker: a layer that encrypts. All
/// methods but `connected` and those of turns concern connections that it [has](Between::has).
pub trait Between {
    /// A client has connected. Returns whether the layer takes the connection: then the layer tells the
    /// broker of it, now or later.
    fn connected(
        &mut self,
        broker: &mut Broker,
        now: Now,
        connection: ConnectionId,
        peer: Peer,
        arrival: (usize, Admission),
    ) -> bool;

    /// Whether a connection is the layer's.
    fn has(&self, connection: ConnectionId) -> bool;

    /// Bytes arrived.
    fn received(&mut self, broker: &mut Broker, now: Now, connection: ConnectionId, bytes: &[u8]);

    /// A send is complete.
    fn sent(&mut self, broker: &mut Broker, now: Now, connection: ConnectionId);

    /// A send failed.
    fn broken(&mut self, broker: &mut Broker, now: Now, connection: ConnectionId);

    /// The peer sends no more.
    fn ended(&mut self, broker: &mut Broker, now: Now, connection: ConnectionId);

    /// The peer of a connection that is not read is gone.
    fn vanished(&mut self, broker: &mut Broker, now: Now, connection: ConnectionId);

    /// A connection is gone. Returns whose it was, and why it was closed, if the broker was never told of
    /// the connection.
    fn closed(&mut self, connection: ConnectionId) -> Option<(Peer, Cow<'static, str>)>;

    /// The broker sends these ranges; leaves them empty.
    fn send<R: Ring>(
        &mut self,
        io: &mut Io<Message, R>,
        connection: ConnectionId,
        ranges: &mut Vec<Bytes>,
    );

    /// The broker closes a connection behind these bytes.
    fn close<R: Ring>(
        &mut self,
        io: &mut Io<Message, R>,
        now: executors::Now,
        connection: ConnectionId,
        last: Bytes,
    );

    /// Runs before the broker's turn. Returns whether there is more to do at once.
    fn begin_turn(&mut self, broker: &mut Broker, now: Now) -> bool;

    /// Runs behind the broker's turn.
    fn end_turn<R: Ring>(&mut self, io: &mut Io<Message, R>, now: executors::Now);

    /// When a turn has to run even if nothing happens.
    fn next_deadline(&self) -> Option<u64>;

    /// The stop begins.
    fn stop(&mut self, broker: &mut Broker, now: Now);
}

/// The service of one core.
pub struct Relay<B: Beside> {
    pub broker: Broker,
    /// What each listener speaks, in the order of the executors' plan.
    pub protocols: Arc<[Protocol]>,
    pub between: B::Between,
    pub beside: B,
}

/// What a turn of the broker asks of its executor.
struct Outside<'a, B: Beside, R: Ring> {
    now: executors::Now,
    io: &'a mut Io<Message, R>,
    between: &'a mut B::Between,
    beside: &'a mut B,
}

impl<B: Beside, R: Ring> Port for Outside<'_, B, R> {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        self.beside.sends(connection, ranges);
        match self.between.has(connection) {
            true => self.between.send(self.io, connection, ranges),
            false => self.io.send(outward(connection), ranges),
        }
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
        match self.between.has(connection) {
            true => self.between.close(self.io, self.now, connection, last),
            false => self.io.close(self.now, outward(connection), last),
        }
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
        let (now, connection) = (time(now), inward(connection));
        self.beside.connected(connection, peer, admitted);
        let Relay { broker, between, .. } = self;
        if !between.connected(broker, now, connection, peer, (listener, admission)) {
            broker.connected(now, connection, peer, admission);
        }
    }

    fn received(&mut self, now: executors::Now, connection: executors::ConnectionId, bytes: &[u8]) {
        let (now, connection) = (time(now), inward(connection));
        self.beside.received(connection, bytes);
        match self.between.has(connection) {
            true => self.between.received(&mut self.broker, now, connection, bytes),
            false => self.broker.received(now, connection, bytes),
        }
    }

    fn sent(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        let (now, connection) = (time(now), inward(connection));
        self.beside.sent(connection);
        match self.between.has(connection) {
            true => self.between.sent(&mut self.broker, now, connection),
            false => self.broker.sent(now, connection),
        }
    }

    fn broken(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        let (now, connection) = (time(now), inward(connection));
        match self.between.has(connection) {
            true => self.between.broken(&mut self.broker, now, connection),
            false => self.broker.broken(now, connection),
        }
    }

    fn ended(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        let (now, connection) = (time(now), inward(connection));
        match self.between.has(connection) {
            true => self.between.ended(&mut self.broker, now, connection),
            false => self.broker.ended(now, connection),
        }
    }

    fn vanished(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        let (now, connection) = (time(now), inward(connection));
        match self.between.has(connection) {
            true => self.between.vanished(&mut self.broker, now, connection),
            false => self.broker.vanished(now, connection),
        }
    }

    fn closed(&mut self, connection: executors::ConnectionId) {
        let connection = inward(connection);
        let of_layer = match self.between.has(connection) {
            true => self.between.closed(connection),
            false => None,
        };
        let (peer, why) = of_layer.unwrap_or_else(|| self.broker.closed(connection));
        self.beside.closed(connection, peer, &why);
    }

    fn wants_input(&self) -> bool {
        self.broker.wants_input()
    }

    fn go_on(&mut self, now: executors::Now) {
        self.broker.go_on(time(now));
    }

    fn turn<R: Ring>(&mut self, now: executors::Now, io: &mut Io<Message, R>) -> bool {
        let Relay { broker, between, beside, .. } = self;
        let mut busy = beside.turn(broker, between, time(now), io);
        busy |= between.begin_turn(broker, time(now));
        let mut outside = Outside { now, io, between, beside };
        busy |= turn::turn(broker, time(now), &mut outside);
        between.end_turn(io, now);
        busy
    }

    fn next_deadline(&self) -> Option<u64> {
        let deadlines = [self.broker.next_deadline_ns(), self.between.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn stop(&mut self, now: executors::Now) {
        self.beside.stopping();
        self.between.stop(&mut self.broker, time(now));
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

pub fn outward(connection: ConnectionId) -> executors::ConnectionId {
    executors::ConnectionId { slot: connection.slot.0, generation: connection.generation }
}
