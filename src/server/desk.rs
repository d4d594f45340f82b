//! What a core of the server does beside its broker: carries out commands of other threads, counts
//! its turns, logs.
//!
//! Called by `relay`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use blipmq::broker::inspect::{Answer, Inspection};
use blipmq::broker::mesh::Message;
use blipmq::broker::{Broker, ConnectionId, Event, Notice, Now, PasswordCheck, Peer};
use blipmq::config::Choice;
use executors::{Io, Observed, Ring};

use super::control::{Command, Fill, Reply};
use super::passwords::Passwords;
use super::relay::Beside;
use super::turns::Turns;

pub struct Desk {
    commands: Receiver<Command>,
    turns: Arc<Turns>,
    passwords: Passwords,
    /// Questions that take several turns.
    inspections: VecDeque<(Inspection, Reply<Answer>)>,
}

impl Desk {
    pub fn new(commands: Receiver<Command>, turns: Arc<Turns>, passwords: Passwords) -> Desk {
        Desk { commands, turns, passwords, inspections: VecDeque::new() }
    }

    fn carry_out<R: Ring>(
        &mut self,
        broker: &mut Broker,
        now: Now,
        io: &Io<Message, R>,
        command: Command,
    ) {
        match command {
            Command::Ping(reply) => reply(()),
            Command::Reload(settings, reply) => {
                broker.reload(now, settings);
                reply(());
            }
            Command::LameDuck(time_ms) => broker.begin_lame_duck(now, time_ms),
            Command::Fill(reply) => reply(Fill {
                mesh_waiting_messages: io.mesh().waiting(),
                receive_buffers_free: io.buffers_free(),
            }),
            Command::PasswordChecked(id, is_right) => broker.password_checked(now, id, is_right),
            Command::Inspect(question, reply) => {
                self.inspections.push_back((Inspection::new(question), reply));
            }
        }
    }
}

impl Beside for Desk {
    /// Carries out what came from other threads, and a slice of the oldest question.
    fn turn<R: Ring>(&mut self, broker: &mut Broker, now: Now, io: &Io<Message, R>) -> bool {
        self.turns.turns.add(1);
        while let Ok(command) = self.commands.try_recv() {
            self.carry_out(broker, now, io, command);
        }
        if let Some((inspection, _)) = self.inspections.front_mut()
            && broker.inspect(now, inspection)
            && let Some((inspection, reply)) = self.inspections.pop_front()
        {
            reply(inspection.into_answer());
        }
        !self.inspections.is_empty()
    }

    fn notice(&mut self, notice: Notice) {
        log(notice);
    }

    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        self.passwords.check(check)
    }

    #[cfg(feature = "mimalloc")]
    fn gives_back(&mut self) {
        executors::allocator::give_back();
    }

    fn observe(&mut self, observed: Observed) {
        if let Observed::Full { connections } = observed {
            tracing::warn!(
                connections,
                "server.max_connections is reached: new connections are refused"
            );
        }
        self.turns.observe(observed);
    }

    fn connected(&mut self, _: ConnectionId, Peer { protocol, address }: Peer, admitted: bool) {
        tracing::debug!(%address, protocol = protocol.name(), admitted, "connected");
    }

    fn closed(&mut self, _: ConnectionId, Peer { protocol, address }: Peer, why: &str) {
        tracing::debug!(%address, protocol = protocol.name(), %why, "closed");
    }
}

/// Logs what happened to a connection.
fn log(Notice { peer, event }: Notice) {
    let Peer { address, protocol } = peer;
    match event {
        Event::LoginRefused { why, failed } => {
            let (reason, user) = (failed.failure.name(), failed.user.as_deref());
            tracing::info!(%address, protocol = protocol.name(), reason, user, "login refused: {why}");
        }
        Event::Revoked => {
            tracing::info!(%address, protocol = protocol.name(), "closed: its user is gone or changed by a reload");
        }
        Event::TooSlow { why } => {
            tracing::info!(%address, protocol = protocol.name(), "disconnected: {why}");
        }
        Event::Overflow { pattern, policy } => {
            let policy = policy.name();
            tracing::info!(
                %address, protocol = protocol.name(), %pattern, policy,
                "the queue of a subscription is full, from now on only counted"
            );
        }
        Event::Reclaimed { held, share } => {
            tracing::warn!(
                %address, protocol = protocol.name(), held_bytes = held, fair_share_bytes = share,
                "memory is nearly used up: the connection that holds most of it loses messages"
            );
        }
        Event::ConnectionFull { connection_bytes } => {
            tracing::info!(
                %address, protocol = protocol.name(), connection_bytes,
                "the queues of a connection are full together, from now on only counted"
            );
        }
    }
}
