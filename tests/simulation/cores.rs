//! The cores of a world: each is the real relay and the real driver over the simulated ring of
//! `executors`. This file notes, and checks, what passes between broker and executor in a turn.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::mesh::DELIVERIES;
use blipmq::broker::{Broker, ConnectionId, Protocol};
use blipmq::protocol::decode::{self, ServerFrame};

use crate::conversation::BLOCK;
use crate::truth::{Moment, matches};
use crate::watch::Event;
use crate::wire::{Phase, Wire};
use crate::world::World;

/// The address of every client, which makes no difference here.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a world knows about one core.
#[derive(Default)]
pub struct Core {
    pub counters: Arc<Counters>,
    /// Connections that were given to the core and not accepted yet.
    accepted: VecDeque<usize>,
    /// Wires by slot.
    slots: Vec<Option<usize>>,
    /// Slices that were handed to the broker and may not have reached queues: topic id, next
    /// sequence.
    not_fanned_out: Vec<(u32, u64)>,
    stopping: bool,
}

impl Core {
    fn wire_of(&self, connection: ConnectionId) -> usize {
        self.slots[connection.slot.index()].expect("the relay names connections it has")
    }
}

impl World {
    pub fn broker(&self, core: usize) -> &Broker {
        &self.machine.cores()[core].service().broker
    }

    /// Gives a connection to a core; the new wire is the last one.
    pub fn open(&mut self, core: usize, protocol: Protocol, room: (bool, usize)) {
        let listener = Protocol::ALL.iter().position(|of| *of == protocol).expect("it is served");
        let socket = self.machine.connect_to(core, listener, ADDRESS);
        let kernel = self.machine.kernel().clone();
        let is_refused = kernel.is_closed(socket);
        let mut wire = Wire::new(kernel, socket, core, room);
        if is_refused {
            wire.phase = Phase::Gone;
        } else {
            self.cores[core].accepted.push_back(self.wires.len());
        }
        self.wires.push(wire);
    }

    /// One step of one core, which usually is a turn.
    pub fn turn(&mut self, core: usize) {
        self.turns += 1;
        let moment = Moment { turn: self.turns, now: self.clock.read() };
        self.machine.core(core).step();
        self.mesh.note(&self.machine, core, self.tick, &mut self.random);
        self.mesh.arrive(&self.machine, self.tick);
        let beside = std::mem::take(&mut self.machine.core(core).service_mut().beside);
        self.starved += beside.starved;
        self.passwords.ask(core, self.tick, &mut self.random, beside.checks);
        let events = beside.events;
        let (before, after) = events.into_iter().partition::<Vec<_>, _>(Event::is_input);
        before.into_iter().for_each(|event| self.came_in(core, moment, event));
        self.note_progress(core, moment);
        after.into_iter().for_each(|event| self.went_out(core, moment, event));
        self.broker(core).audit();
        self.check_work(core);
        self.check_sleep(core);
        for wire in &mut self.wires {
            if wire.fast && wire.core == core {
                wire.send_on(&mut self.random, self.is_quiescing);
            }
        }
    }

    /// Handles what came in from the executor in this turn.
    fn came_in(&mut self, core: usize, moment: Moment, event: Event) {
        let of_core = &mut self.cores[core];
        match event {
            Event::Connected { connection, admitted } => {
                let wire =
                    of_core.accepted.pop_front().expect("a connection was given to the core");
                let slots = of_core.slots.len().max(connection.slot.index() + 1);
                of_core.slots.resize(slots, None);
                let before = of_core.slots[connection.slot.index()].replace(wire);
                assert_eq!(before, None, "a slot is used once at a time");
                let socket = &mut self.wires[wire];
                (socket.id, socket.phase, socket.admitted) = (connection, Phase::Open, admitted);
            }
            Event::Received { connection, len } => {
                let wire = of_core.wire_of(connection);
                let conversation = &mut self.conversations[wire];
                conversation.ignores_input |= of_core.stopping || !self.wires[wire].admitted;
                conversation.hand_over(&mut self.truth, len, moment);
            }
            Event::Sent { connection } => {
                let wire = of_core.wire_of(connection);
                self.wires[wire].last_taken_ns = moment.now.monotonic_ns;
            }
            Event::Stopping => of_core.stopping = true,
            Event::Read { topic, next } => of_core.not_fanned_out.push((topic, next)),
            event => unreachable!("{event:?} goes out"),
        }
    }

    /// Notes what the turn has accepted, and what has reached queues.
    fn note_progress(&mut self, core: usize, moment: Moment) {
        if self.keeps_records {
            return self.cores[core].not_fanned_out.clear();
        }
        let broker = &self.machine.cores()[core].service().broker;
        for (topic, next) in broker.topics() {
            self.truth.note_accepted(&topic.name, topic.id.0, next.0, moment);
        }
        if broker.wants_message(DELIVERIES) {
            for (id, next) in self.cores[core].not_fanned_out.drain(..) {
                let topic = self.truth.by_id[&id];
                self.truth.topics[topic].note_fanned_out(core, next, moment.turn);
            }
        }
    }

    /// Handles what the broker sent out in this turn.
    fn went_out(&mut self, core: usize, moment: Moment, event: Event) {
        match event {
            Event::Sends { connection, bytes } => {
                let wire = self.cores[core].wire_of(connection);
                self.sends(wire, moment, &bytes);
            }
            Event::Pauses { connection } => {
                let wire = self.cores[core].wire_of(connection);
                assert_eq!(self.wires[wire].phase, Phase::Open);
                let why = self.broker(core).held_up_by(connection);
                self.note(|| format!("core {core} pauses {wire}, for {why:?}"));
                if let Some(topic) = why.filter(|_| !self.keeps_records) {
                    self.check_held_up(wire, topic.0);
                }
                self.pauses += 1;
                self.wires[wire].paused = true;
            }
            Event::Resumes { connection } => {
                let wire = self.cores[core].wire_of(connection);
                assert_eq!(self.wires[wire].phase, Phase::Open);
                self.note(|| format!("core {core} resumes {wire}"));
                self.wires[wire].paused = false;
            }
            Event::Closes { connection, last } => {
                let wire = self.cores[core].wire_of(connection);
                self.closes(wire, moment, &last);
                let socket = &mut self.wires[wire];
                assert_eq!(socket.phase, Phase::Open, "a connection is closed once");
                (socket.phase, socket.paused) = (Phase::Closing, false);
            }
            Event::Closed { connection } => {
                let of_core = &mut self.cores[core];
                let wire = of_core.wire_of(connection);
                of_core.slots[connection.slot.index()] = None;
                self.note(|| format!("{wire} is gone"));
                self.wires[wire].phase = Phase::Gone;
                // The connection was cut off before all that the broker sent was read.
                self.conversations[wire].abandoned |= !self.wires[wire].is_write_shut();
            }
            event => unreachable!("{event:?} comes in"),
        }
    }

    fn sends(&mut self, wire: usize, moment: Moment, bytes: &[u8]) {
        self.note(|| format!("{wire} is sent {} bytes", bytes.len()));
        self.digest_of(wire, bytes);
        assert!(self.wires[wire].phase == Phase::Open, "nothing is sent after the close");
        let conversation = &mut self.conversations[wire];
        conversation.gathered += bytes.len() as u64;
        conversation.gathers.push_back((conversation.gathered, moment));
        if let Some(record) = &mut self.wires[wire].record {
            record.sent.extend_from_slice(bytes);
        }
    }

    /// Checks a connection that is not read because a topic is blocked: the connection publishes to
    /// that topic, and some subscription blocks it.
    fn check_held_up(&self, wire: usize, topic: u32) {
        let topic = self.truth.by_id[&topic];
        let publishes =
            |frame: &crate::truth::Frame| frame.conversation == wire && frame.topic == topic;
        let name = &self.truth.topics[topic].name;
        let blocks = self.conversations.iter().any(|conversation| {
            conversation.subscriptions.values().any(|found| {
                found.handed && found.overflow == BLOCK && matches(&found.pattern, name)
            })
        });
        if !blocks || !self.truth.frames.iter().any(publishes) {
            self.fail(&format!(
                "{wire} is held up for `{name}`; some subscription blocks it: {blocks}"
            ));
        }
    }

    fn closes(&mut self, wire: usize, moment: Moment, last: &[u8]) {
        self.note(|| format!("{wire} is closed with {} last bytes", last.len()));
        self.digest_of(wire, last);
        if let Some(record) = &mut self.wires[wire].record {
            return record.sent.extend_from_slice(last);
        }
        let conversation = &mut self.conversations[wire];
        conversation.ignores_input = true;
        for subscription in conversation.subscriptions.values() {
            self.truth.note_left(subscription);
        }
        if last_error(last) == Some(4290) {
            let taken_ns = self.wires[wire].last_taken_ns;
            let timeout_ns = u64::from(self.plan.settings.queues.block_timeout_ms) * 1_000_000;
            let reclaims =
                |core: &crate::cores::Core| core.counters.reclaimed_connections.get() > 0;
            let is_by_rate = self.plan.settings.queues.block_min_rate > 0
                && String::from_utf8_lossy(last).contains("bytes a second (overflow block)");
            let may_go =
                is_by_rate || conversation.disconnects() || self.cores.iter().any(reclaims);
            if !may_go && taken_ns + timeout_ns > moment.now.monotonic_ns {
                self.fail(&format!(
                    "{wire} is disconnected as too slow, but accepted data at {taken_ns} ns"
                ));
            }
            // Input that waited to be read is lost.
            for frame in &mut self.truth.frames {
                frame.may_be_lost |= frame.conversation == wire;
            }
        }
        let conversation = &mut self.conversations[wire];
        if last_error(last) == Some(4010) {
            // Nothing was served before HELLO.
            for frame in &mut self.truth.frames {
                if frame.conversation == wire {
                    frame.handed = None;
                }
            }
        }
        conversation.gathered += last.len() as u64;
        conversation.gathers.push_back((conversation.gathered, moment));
    }
}

/// The code of the ERROR that a closing connection is sent last, if it is sent one.
fn last_error(mut bytes: &[u8]) -> Option<u16> {
    let mut code = None;
    while let Ok(Some(frame)) = decode::next_frame(bytes, u32::MAX) {
        code = match decode::server_frame(frame) {
            Ok(ServerFrame::Error { fatal: true, code, .. }) => Some(code),
            _ => None,
        };
        bytes = &bytes[frame.len()..];
        if bytes.is_empty() {
            break;
        }
    }
    code
}
