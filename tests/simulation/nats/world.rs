//! A world with NATS clients, and how it moves on and ends.

use blipmq::broker;

use super::blip::Blip;
use super::client::{Client, State};
use super::ledger::Ledger;
use super::promises::Circumstances;
use crate::wire::{ClientEnd, Phase, Record};
use crate::world::World;

/// A world with its clients.
pub struct NatsWorld {
    pub world: World,
    pub ledger: Ledger,
    pub clients: Vec<Client>,
    blips: Vec<Blip>,
}

impl NatsWorld {
    pub fn of(world: World) -> NatsWorld {
        NatsWorld { world, ledger: Ledger::default(), clients: Vec::new(), blips: Vec::new() }
    }

    /// Opens a connection whose client has a record.
    fn wire(&mut self, core: usize, fast: bool, room: usize, protocol: broker::Protocol) -> usize {
        let wire = self.world.connect_by(protocol, core, fast, room);
        self.world.wires[wire].record = Some(Record { sent: Vec::new(), unread: Vec::new() });
        wire
    }

    /// Connects a client and returns its number; the caller sends CONNECT.
    pub fn client(&mut self, core: usize, fast: bool, room: usize) -> usize {
        let wire = self.wire(core, fast, room, broker::Protocol::Nats);
        self.clients.push(Client::new(wire));
        self.clients.len() - 1
    }

    pub fn blip(&mut self, core: usize, fast: bool) -> usize {
        let wire = self.wire(core, fast, 1 << 20, broker::Protocol::Blip);
        self.blips.push(Blip::new(wire));
        self.write_blip(self.blips.len() - 1, |blip, _, out| blip.hello(out));
        self.blips.len() - 1
    }

    /// Sends what `write` writes, as one write.
    pub fn write<T>(
        &mut self,
        client: usize,
        write: impl FnOnce(&mut Client, &mut Ledger, &mut Vec<u8>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let client = &mut self.clients[client];
        let result = write(client, &mut self.ledger, &mut out);
        self.world.note(|| format!("{} writes {}", client.wire, String::from_utf8_lossy(&out)));
        self.world.wires[client.wire].upstream.extend(out);
        result
    }

    pub fn write_blip(
        &mut self,
        blip: usize,
        write: impl FnOnce(&mut Blip, &mut Ledger, &mut Vec<u8>),
    ) {
        let mut out = Vec::new();
        let blip = &mut self.blips[blip];
        write(blip, &mut self.ledger, &mut out);
        self.world.wires[blip.wire].upstream.extend(out);
    }

    /// One tick; then clients process what they have read.
    pub fn step(&mut self) {
        self.world.step();
        self.process_reads();
    }

    fn process_reads(&mut self) {
        let stopping = self.world.stopping;
        for blip in &mut self.blips {
            let record =
                self.world.wires[blip.wire].record.as_mut().expect("the wire has a record");
            let verdict = blip.read(&mut self.ledger, &mut record.unread);
            if let Err(broken) = verdict {
                self.world.fail(&format!("connection {}: {broken}", blip.wire));
            }
        }
        for client in &mut self.clients {
            if client.state != State::Open {
                continue;
            }
            let wire = &mut self.world.wires[client.wire];
            let ended = wire.at_end() && wire.phase != Phase::Accepted;
            let record = wire.record.as_mut().expect("the wire has a record");
            let mut out = Vec::new();
            let mut verdict = Ok(());
            if !record.unread.is_empty() {
                verdict = client.read(&mut self.ledger, &mut record.unread, &mut out, stopping);
            }
            if verdict.is_ok() && ended {
                verdict = client.closed(&mut self.ledger, &record.unread, stopping);
            }
            wire.upstream.extend(out);
            if let Err(broken) = verdict {
                self.world.fail(&format!("connection {}: {broken}", client.wire));
            }
        }
    }

    pub fn run_until_idle(&mut self) {
        self.world.run_until_idle();
        self.process_reads();
    }

    fn quiesce(&mut self) {
        self.world.quiesce();
        self.process_reads();
    }

    /// Number of messages that all cores have dropped, expired or conflated.
    fn dropped(&self) -> u64 {
        let of_core = |core: &crate::cores::Core| {
            let counters = &core.counters;
            [
                &counters.dropped_oldest_messages,
                &counters.dropped_new_messages,
                &counters.dropped_connection_full_messages,
                &counters.reclaimed_messages,
                &counters.conflated_messages,
                &counters.expired_before_enqueue_messages,
                &counters.expired_in_queue_messages,
            ]
            .map(|counter| counter.get())
            .into_iter()
            .sum::<u64>()
        };
        self.world.cores.iter().map(of_core).sum()
    }

    /// Ends a world: faults end, every client sends PING, every promise is checked, and clients
    /// leave.
    pub fn end(&mut self) {
        self.quiesce();
        if !self.world.stopping {
            for client in 0..self.clients.len() {
                if self.clients[client].talks() {
                    self.write(client, |client, _, out| client.ping(out));
                }
            }
            self.quiesce();
            for client in self.clients.iter().filter(|client| client.state == State::Open) {
                if let Err(broken) = client.check_answered() {
                    self.world.fail(&format!("connection {}: {broken}", client.wire));
                }
            }
        }
        self.check();
        if !self.world.stopping {
            for wire in &mut self.world.wires {
                if wire.phase == Phase::Open {
                    wire.client_end = ClientEnd::Closed;
                }
            }
            for client in &mut self.clients {
                client.state = State::Vanished;
            }
            self.quiesce();
        }
        self.world.check_end();
    }

    fn check(&self) {
        let settings = &self.world.plan.settings;
        let sent = |wire: usize| {
            let record = self.world.wires[wire].record.as_ref();
            &record.expect("the wire has a record").sent[..]
        };
        let monitors = self.clients.iter().filter(|client| client.is_monitor);
        let mut monitors = monitors.filter(|client| client.state == State::Open);
        let loses_none = |monitor: &Client| {
            let wire = &self.world.wires[monitor.wire];
            self.world.broker(wire.core).lost_by(wire.id) == 0
        };
        let monitor_gets_all = monitors.any(loses_none);
        let verdict = Circumstances {
            ledger: &self.ledger,
            clients: &self.clients,
            sent: &sent,
            stopping: self.world.stopping,
            memory_is_tight: settings.limits.memory_max < 1 << 24,
            // At a stop a slow client may miss something after the monitor is gone.
            monitor_gets_all: monitor_gets_all && !self.world.stopping,
            dropped: self.dropped(),
        }
        .hold();
        if let Err(broken) = verdict {
            self.world.fail(&broken);
        }
    }
}
