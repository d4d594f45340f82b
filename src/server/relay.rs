//! The relay of one core: turns what its executor tells into calls of the broker, and what the
//! broker wants into requests of the executor.
//!
//! It decides nothing, and keeps nothing but the two ends it joins and questions that other threads
//! have asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use blipmq::broker::inspect::{Answer, Inspection};
use blipmq::broker::letter::{LANES, Letter};
use blipmq::broker::notice::{Event, Notice};
use blipmq::broker::port::Port;
use blipmq::broker::{Broker, ConnectionId, Now, Peer, turn};
use blipmq::config::Choice;
use blipmq::protocol::CoreId;
use bytes::Bytes;
use executors::{Io, Observed, Service};

use super::control::{Command, Fill, Reply};
use super::listeners::Listener;
use super::turns::Turns;

pub struct Relay {
    broker: Broker,
    listeners: Arc<[Listener]>,
    commands: Receiver<Command>,
    turns: Arc<Turns>,
    /// Questions that take several turns.
    inspections: VecDeque<(Inspection, Reply<Answer>)>,
}

impl Relay {
    pub fn new(
        broker: Broker,
        listeners: Arc<[Listener]>,
        commands: Receiver<Command>,
        turns: Arc<Turns>,
    ) -> Relay {
        let inspections = VecDeque::new();
        Relay { broker, listeners, commands, turns, inspections }
    }

    /// Carries out what came from other threads, and a slice of the oldest question; returns whether
    /// there is more of it.
    fn obey(&mut self, now: executors::Now, io: &Io<Letter>) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Ping(reply) => reply(()),
                Command::Reload(settings, reply) => {
                    self.broker.reload(time(now), settings);
                    reply(());
                }
                Command::Fill(reply) => reply(Fill {
                    mesh_waiting_letters: io.mesh().waiting(),
                    receive_buffers_free: io.buffers_free(),
                }),
                Command::Inspect(question, reply) => {
                    self.inspections.push_back((Inspection::new(question), reply));
                }
            }
        }
        if let Some((inspection, _)) = self.inspections.front_mut()
            && self.broker.inspect(time(now), inspection)
            && let Some((inspection, reply)) = self.inspections.pop_front()
        {
            reply(inspection.into_answer());
        }
        !self.inspections.is_empty()
    }
}

/// What a turn of the broker asks of its executor.
struct Outside<'a> {
    now: executors::Now,
    io: &'a mut Io<Letter>,
}

impl Port for Outside<'_> {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        self.io.send(outward(connection), ranges);
    }

    fn pause(&mut self, connection: ConnectionId) {
        self.io.pause(outward(connection));
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.io.resume(outward(connection));
    }

    fn close(&mut self, connection: ConnectionId, last: Bytes) {
        self.io.close(self.now, outward(connection), last);
    }

    fn try_send(&mut self, to: CoreId, lane: usize, message: Letter) -> Result<(), Letter> {
        self.io.mesh().try_send(to.0.into(), lane, message)
    }

    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Letter> {
        self.io.mesh().try_recv(from.0.into(), lane)
    }

    fn notice(&mut self, notice: Notice) {
        log(notice);
    }
}

impl Service for Relay {
    type Letter = Letter;

    const LANES: usize = LANES;

    fn connected(
        &mut self,
        now: executors::Now,
        connection: executors::ConnectionId,
        address: SocketAddr,
        listener: usize,
        admitted: bool,
    ) {
        let protocol = self.listeners[listener].frontend;
        tracing::debug!(%address, ?protocol, admitted, "connected");
        let peer = Peer { protocol, address };
        self.broker.connected(time(now), inward(connection), peer, admitted);
    }

    fn received(&mut self, now: executors::Now, connection: executors::ConnectionId, bytes: &[u8]) {
        self.broker.received(time(now), inward(connection), bytes);
    }

    fn sent(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.sent(time(now), inward(connection));
    }

    fn broken(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.broken(time(now), inward(connection));
    }

    fn ended(&mut self, now: executors::Now, connection: executors::ConnectionId) {
        self.broker.ended(time(now), inward(connection));
    }

    fn closed(&mut self, connection: executors::ConnectionId) {
        let (peer, why) = self.broker.closed(inward(connection));
        tracing::debug!(address = %peer.address, protocol = ?peer.protocol, %why, "closed");
    }

    fn wants_input(&self) -> bool {
        self.broker.wants_input()
    }

    fn turn(&mut self, now: executors::Now, io: &mut Io<Letter>) -> bool {
        self.turns.turns.add(1);
        let busy = self.obey(now, io);
        busy | turn::turn(&mut self.broker, time(now), &mut Outside { now, io })
    }

    fn next_deadline(&self) -> Option<u64> {
        self.broker.next_deadline_ns()
    }

    fn stop(&mut self, now: executors::Now) {
        self.broker.stop(time(now));
    }

    fn is_stopped(&self) -> bool {
        self.broker.is_stopped()
    }

    fn observe(&mut self, observed: Observed) {
        self.turns.observe(observed);
    }
}

/// Tells an operator what happened to a connection.
fn log(Notice { peer, event }: Notice) {
    let Peer { address, protocol } = peer;
    match event {
        Event::LoginRefused { why } => {
            tracing::info!(%address, ?protocol, "login refused: {why}");
        }
        Event::Revoked => {
            tracing::info!(%address, ?protocol, "closed: its user is gone or changed by a reload");
        }
        Event::TooSlow { why } => {
            tracing::info!(%address, ?protocol, "disconnected: {why}");
        }
        Event::Overflow { pattern, policy } => {
            let policy = policy.name();
            tracing::info!(
                %address, ?protocol, %pattern, policy,
                "the queue of a subscription is full, from now on only counted"
            );
        }
    }
}

fn time(now: executors::Now) -> Now {
    Now { monotonic_ns: now.monotonic_ns, unix_ns: now.unix_ns }
}

fn inward(connection: executors::ConnectionId) -> ConnectionId {
    ConnectionId { slot: connection.slot, generation: connection.generation }
}

fn outward(connection: ConnectionId) -> executors::ConnectionId {
    executors::ConnectionId { slot: connection.slot, generation: connection.generation }
}
