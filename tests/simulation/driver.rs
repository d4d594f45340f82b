//! One simulated core: the real turn of the broker, and the work of `executors::driver` around it with
//! `Wire`s for sockets. Also when a core sleeps: a wake-up that the broker counts on and the real
//! driver would not give is missing here, too.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::letter::{DELIVERIES, Delivery, Letter};
use blipmq::broker::notice::Notice;
use blipmq::broker::port::Port;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Wire};
use blipmq::limits::LINGER_MS;
use blipmq::protocol::CoreId;
use blipmq::protocol::decode::{self, ServerFrame};
use bytes::Bytes;

use crate::conversation::BLOCK;
use crate::mesh::Mesh;
use crate::random::Random;
use crate::truth::{Moment, matches};
use crate::wire::Phase;
use crate::world::World;

/// Where it is changes nothing here.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What the ring tells a core.
pub enum Completion {
    Bytes { wire: usize, bytes: Vec<u8> },
    End { wire: usize },
    Sent { wire: usize, broken: bool },
}

/// What arrived and was not handed on yet.
enum Arrival {
    Bytes { wire: usize, bytes: Vec<u8> },
    End { wire: usize },
}

pub struct Driver {
    pub broker: Broker,
    pub counters: Arc<Counters>,
    pub completions: VecDeque<Completion>,
    pub accepted: VecDeque<usize>,
    arrivals: VecDeque<Arrival>,
    /// Wires by slot.
    slots: Vec<Option<usize>>,
    generations: Vec<u32>,
    released: Vec<usize>,
    /// Turns in a row that found nothing to do; after two a core sleeps.
    idle_turns: u32,
    /// What was handed to the broker and may not have reached its queues: topic id, next sequence.
    not_fanned_out: Vec<(u32, u64)>,
    pub stop_wanted: bool,
    stop_begun: bool,
}

impl Driver {
    pub fn new(core: usize, cluster: &Cluster) -> Driver {
        let counters: Arc<Counters> = Arc::default();
        Driver {
            broker: Broker::new(CoreId(core as u16), cluster.clone(), counters.clone()),
            counters,
            completions: VecDeque::new(),
            accepted: VecDeque::new(),
            arrivals: VecDeque::new(),
            slots: Vec::new(),
            generations: Vec::new(),
            released: Vec::new(),
            idle_turns: 0,
            not_fanned_out: Vec::new(),
            stop_wanted: false,
            stop_begun: false,
        }
    }

    pub fn wake(&mut self) {
        self.idle_turns = 0;
    }

    /// Whether it would take a turn now.
    pub fn is_awake(&self, monotonic_ns: u64) -> bool {
        self.idle_turns < 2
            || !self.completions.is_empty()
            || !self.accepted.is_empty()
            || self.stop_wanted != self.stop_begun
            || self.broker.next_deadline_ns().is_some_and(|deadline| deadline <= monotonic_ns)
    }

    /// The lowest free slot; generations count its uses.
    fn insert(&mut self, wire: usize) -> ConnectionId {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(wire);
        self.generations[slot] += 1;
        ConnectionId { slot: slot as u32, generation: self.generations[slot] }
    }

    fn wire_of(&self, connection: ConnectionId) -> usize {
        assert_eq!(self.generations[connection.slot as usize], connection.generation);
        self.slots[connection.slot as usize].expect("the broker names connections it has")
    }
}

impl World {
    /// One turn of one core.
    pub fn turn(&mut self, core: usize) {
        self.turns += 1;
        let moment = Moment { turn: self.turns, now: self.clock.read() };
        // What arrived keeps no core awake, only what is left of it or follows from it does.
        let mut busy = false;
        while let Some(completion) = self.drivers[core].completions.pop_front() {
            self.completed(moment.now, core, completion);
        }
        while let Some(wire) = self.drivers[core].accepted.pop_front() {
            // It is asked for bytes, and what is queued on the ring has to be submitted.
            busy = true;
            let id = self.drivers[core].insert(wire);
            self.wires[wire].id = id;
            self.wires[wire].phase = Phase::Open;
            let admitted = self.wires[wire].admitted;
            let record = self.wires[wire].record.as_ref();
            let protocol = record.map_or(Wire::Blip, |record| record.protocol);
            let peer = Peer { protocol, address: ADDRESS };
            self.drivers[core].broker.connected(moment.now, id, peer, admitted);
        }
        let driver = &mut self.drivers[core];
        if driver.stop_wanted && !driver.stop_begun {
            driver.stop_begun = true;
            driver.broker.stop(moment.now);
        }
        self.hand_on(core, moment);
        busy |= self.relay(core, moment);
        let driver = &self.drivers[core];
        busy |= !driver.arrivals.is_empty() && driver.broker.wants_input();
        busy |= self.cut_off(core, moment.now.monotonic_ns);
        busy |= self.remove_released(core);
        self.drivers[core].broker.audit();
        let driver = &mut self.drivers[core];
        driver.idle_turns = if busy { 0 } else { driver.idle_turns + 1 };
    }

    fn completed(&mut self, now: Now, core: usize, completion: Completion) {
        match completion {
            Completion::Bytes { wire, bytes } => {
                self.wires[wire].references += 1;
                self.drivers[core].arrivals.push_back(Arrival::Bytes { wire, bytes });
            }
            Completion::End { wire } => self.note_end(wire),
            Completion::Sent { wire, broken } => {
                let socket = &mut self.wires[wire];
                socket.in_flight = None;
                socket.sent_under_way = false;
                match socket.phase {
                    Phase::Open => {
                        let id = socket.id;
                        if broken {
                            self.drivers[core].broker.broken(now, id);
                            self.note_end(wire);
                        } else {
                            socket.last_taken_ns = now.monotonic_ns;
                            self.drivers[core].broker.sent(now, id);
                        }
                    }
                    Phase::Closing => self.advance_closing(wire),
                    phase => panic!("a send completes in phase {phase:?}"),
                }
            }
        }
    }

    fn note_end(&mut self, wire: usize) {
        let socket = &mut self.wires[wire];
        if !socket.ended {
            socket.ended = true;
            socket.references += 1;
            self.drivers[socket.core].arrivals.push_back(Arrival::End { wire });
        }
    }

    fn hand_on(&mut self, core: usize, moment: Moment) {
        while self.drivers[core].broker.wants_input()
            && let Some(arrival) = self.drivers[core].arrivals.pop_front()
        {
            let (wire, bytes) = match arrival {
                Arrival::Bytes { wire, bytes } => (wire, Some(bytes)),
                Arrival::End { wire } => (wire, None),
            };
            let socket = &mut self.wires[wire];
            socket.references -= 1;
            let (id, phase) = (socket.id, socket.phase);
            match (bytes, phase) {
                (Some(bytes), Phase::Open) => {
                    let conversation = &mut self.conversations[wire];
                    conversation.deaf |= self.drivers[core].stop_begun || !socket.admitted;
                    conversation.hand_over(&mut self.truth, bytes.len(), moment);
                    self.drivers[core].broker.received(moment.now, id, &bytes);
                }
                (None, Phase::Open) => self.drivers[core].broker.ended(moment.now, id),
                (None, Phase::Closing) => self.advance_closing(wire),
                _ => {}
            }
        }
    }

    /// The turn of the broker, over what this world has for an outside.
    fn relay(&mut self, core: usize, moment: Moment) -> bool {
        let mut outside = Outside {
            core,
            tick: self.tick,
            mesh: &mut self.mesh,
            random: &mut self.random,
            has_received: false,
            sends: Vec::new(),
            actions: Vec::new(),
            wakes: Vec::new(),
            received: Vec::new(),
        };
        let driver = &mut self.drivers[core];
        let mut busy = turn(&mut driver.broker, moment.now, &mut outside);
        let Outside { has_received, sends, actions, wakes, received, .. } = outside;
        busy |= has_received;
        driver.not_fanned_out.extend(received);
        for sender in wakes {
            self.drivers[sender].wake();
        }
        self.note_progress(core, moment);
        for (connection, bytes) in sends {
            busy = true;
            let wire = self.drivers[core].wire_of(connection);
            self.send(wire, moment, bytes);
        }
        for action in actions {
            busy |= self.carry_out(core, moment, action);
        }
        busy
    }

    /// Does what the broker wants done with a connection; returns whether that keeps the core awake.
    fn carry_out(&mut self, core: usize, moment: Moment, action: Action) -> bool {
        match action {
            Action::Pause(connection) => {
                let wire = self.drivers[core].wire_of(connection);
                assert_eq!(self.wires[wire].phase, Phase::Open);
                let why = self.drivers[core].broker.held_up_by(connection);
                self.note(|| format!("core {core} pauses {wire}, for {why:?}"));
                if let Some(topic) = why.filter(|_| !self.keeps_records) {
                    self.check_held_up(wire, topic.0);
                }
                self.pauses += 1;
                // Only what is asked of the ring keeps a core awake.
                !std::mem::replace(&mut self.wires[wire].paused, true)
            }
            Action::Resume(connection) => {
                let wire = self.drivers[core].wire_of(connection);
                assert_eq!(self.wires[wire].phase, Phase::Open);
                self.note(|| format!("core {core} resumes {wire}"));
                self.wires[wire].paused = false;
                true
            }
            Action::Close(connection, last) => {
                let wire = self.drivers[core].wire_of(connection);
                self.close_wire(wire, moment, last.to_vec());
                true
            }
        }
    }

    /// What the turn has accepted, and what has reached queues.
    fn note_progress(&mut self, core: usize, moment: Moment) {
        let driver = &mut self.drivers[core];
        if self.keeps_records {
            return driver.not_fanned_out.clear();
        }
        for (topic, next) in driver.broker.topics() {
            self.truth.note_accepted(&topic.name, topic.id.0, next.0, moment);
        }
        if driver.broker.wants_letter(DELIVERIES) {
            for (id, next) in driver.not_fanned_out.drain(..) {
                let topic = self.truth.by_id[&id];
                self.truth.topics[topic].note_fanned_out(core, next, moment.turn);
            }
        }
    }

    fn send(&mut self, wire: usize, moment: Moment, bytes: Vec<u8>) {
        self.note(|| format!("{wire} is sent {} bytes", bytes.len()));
        self.digest_of(wire, &bytes);
        let socket = &mut self.wires[wire];
        assert!(socket.phase == Phase::Open && socket.in_flight.is_none(), "one send at a time");
        let conversation = &mut self.conversations[wire];
        conversation.gathered += bytes.len() as u64;
        conversation.gathers.push_back((conversation.gathered, moment));
        if let Some(record) = &mut socket.record {
            record.sent.extend_from_slice(&bytes);
        }
        socket.in_flight = Some((bytes, 0));
        if socket.fast {
            self.send_on(wire);
        }
    }

    /// A connection is not read because of a subscriber: it publishes to that topic, and somebody
    /// wants its publishers to wait.
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
            self.fail(&format!("{wire} is held up for `{name}`; somebody blocks it: {blocks}"));
        }
    }

    fn close_wire(&mut self, wire: usize, moment: Moment, last: Vec<u8>) {
        self.note(|| format!("{wire} is closed with {} last bytes", last.len()));
        self.digest_of(wire, &last);
        if let Some(record) = &mut self.wires[wire].record {
            record.sent.extend_from_slice(&last);
            return self.begin_closing(wire, moment, last);
        }
        let conversation = &mut self.conversations[wire];
        conversation.deaf = true;
        for subscription in conversation.subscriptions.values() {
            self.truth.note_left(subscription);
        }
        if last_error(&last) == Some(4290) {
            let taken_ns = self.wires[wire].last_taken_ns;
            let timeout_ns = u64::from(self.plan.settings.queues.block_timeout_ms) * 1_000_000;
            if !conversation.disconnects() && taken_ns + timeout_ns > moment.now.monotonic_ns {
                self.fail(&format!("{wire} is too slow, but took something at {taken_ns} ns"));
            }
            // What waited to be read is lost.
            for frame in &mut self.truth.frames {
                frame.may_be_lost |= frame.conversation == wire;
            }
        }
        let conversation = &mut self.conversations[wire];
        if last_error(&last) == Some(4010) {
            // Nothing was served before HELLO.
            for frame in &mut self.truth.frames {
                if frame.conversation == wire {
                    frame.handed = None;
                }
            }
        }
        conversation.gathered += last.len() as u64;
        conversation.gathers.push_back((conversation.gathered, moment));
        self.begin_closing(wire, moment, last);
    }

    fn begin_closing(&mut self, wire: usize, moment: Moment, last: Vec<u8>) {
        let socket = &mut self.wires[wire];
        assert_eq!(socket.phase, Phase::Open, "a connection is closed once");
        socket.phase = Phase::Closing;
        socket.paused = false;
        socket.last_bytes = last;
        socket.linger_until_ns = moment.now.monotonic_ns + LINGER_MS * 1_000_000;
        self.advance_closing(wire);
    }

    /// The next step of a closing connection, if nothing is in its way.
    fn advance_closing(&mut self, wire: usize) {
        let socket = &mut self.wires[wire];
        if socket.in_flight.is_some() && !socket.broken {
            return;
        }
        if !socket.last_bytes.is_empty() && !socket.broken {
            socket.in_flight = Some((std::mem::take(&mut socket.last_bytes), 0));
            return;
        }
        socket.write_shut = true;
        if socket.ended || socket.broken {
            self.release(wire);
        }
    }

    fn release(&mut self, wire: usize) {
        let socket = &mut self.wires[wire];
        if socket.phase == Phase::Closing {
            socket.phase = Phase::Released;
            socket.in_flight = None;
            self.drivers[socket.core].released.push(wire);
        }
    }

    fn cut_off(&mut self, core: usize, monotonic_ns: u64) -> bool {
        let mut busy = false;
        for slot in 0..self.drivers[core].slots.len() {
            let Some(wire) = self.drivers[core].slots[slot] else { continue };
            let socket = &self.wires[wire];
            if socket.phase == Phase::Closing && socket.linger_until_ns <= monotonic_ns {
                busy = true;
                self.conversations[wire].abandoned |= !socket.at_end();
                self.release(wire);
            }
        }
        busy
    }

    fn remove_released(&mut self, core: usize) -> bool {
        let released = std::mem::take(&mut self.drivers[core].released);
        let busy = !released.is_empty();
        for wire in released {
            let socket = &mut self.wires[wire];
            let under_way = self.drivers[core].completions.iter().any(|completion| {
                matches!(completion, Completion::Bytes { wire: of, .. }
                    | Completion::End { wire: of }
                    | Completion::Sent { wire: of, .. } if *of == wire)
            });
            if socket.references > 0 || under_way {
                self.drivers[core].released.push(wire);
                continue;
            }
            socket.phase = Phase::Gone;
            self.drivers[core].slots[socket.id.slot as usize] = None;
            self.drivers[core].broker.closed(socket.id);
        }
        busy
    }
}

/// What the broker wants done with a connection.
enum Action {
    Pause(ConnectionId),
    Resume(ConnectionId),
    Close(ConnectionId, Bytes),
}

/// The outside of one turn: the mesh at once, everything else noted in its order.
struct Outside<'a> {
    core: usize,
    tick: u64,
    mesh: &'a mut Mesh,
    random: &'a mut Random,
    has_received: bool,
    sends: Vec<(ConnectionId, Vec<u8>)>,
    actions: Vec<Action>,
    /// Cores whose lane to this one was full until now.
    wakes: Vec<usize>,
    /// What came to be fanned out: topic id, next sequence.
    received: Vec<(u32, u64)>,
}

impl Port for Outside<'_> {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        self.sends.push((connection, ranges.drain(..).flatten().collect()));
    }

    fn pause(&mut self, connection: ConnectionId) {
        self.actions.push(Action::Pause(connection));
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.actions.push(Action::Resume(connection));
    }

    fn close(&mut self, connection: ConnectionId, last: Bytes) {
        self.actions.push(Action::Close(connection, last));
    }

    fn try_send(&mut self, to: CoreId, lane: usize, message: Letter) -> Result<(), Letter> {
        self.mesh.try_send(self.tick, self.random, (self.core, to.0.into(), lane), message)
    }

    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Letter> {
        let from = usize::from(from.0);
        let (message, was_full) = self.mesh.try_recv(self.tick, (from, self.core, lane))?;
        self.has_received = true;
        if was_full {
            self.wakes.push(from);
        }
        if let Letter::Deliveries(deliveries) = &message {
            for delivery in deliveries {
                if let Delivery::Portion(portion) = delivery {
                    self.received.push((portion.topic.id.0, portion.next().0));
                }
            }
        }
        Some(message)
    }

    fn notice(&mut self, _notice: Notice) {}
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
