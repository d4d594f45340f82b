//! Whose input is served when: what a connection may have served in one turn, what is left for a
//! later one, and what is held until a reason is over.
//!
//! Called by `turn` and by frontends. A connection whose input cannot be served is on a list of those
//! that wait for the same thing, and costs nothing until that happens.
//!
//! # Always true
//! - No connection has more than [`limits::COMMANDS_PER_TURN`] commands that publish nothing served in
//!   a turn. What is published is bounded by `ingest`.
//! - Connections that were left take turns.
//! - A connection whose bytes wait, and are many, is not read.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::connection::{Hold, LoginWait, Phase};
use super::{Action, Connections};
use crate::broker::ids::{ConnectionId, Slot};
use crate::limits::{self, TURN_COMMANDS_MAX, UNSERVED_BYTES_MAX};
use crate::protocol::{CoreId, TopicId};

/// The connections of a core whose input waits.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Number of the turn.
    turn: u64,
    /// Commands served in this turn that published nothing, and connections looked at in vain.
    commands: u32,
    /// Connections with bytes that were left for a later turn.
    backlog: VecDeque<ConnectionId>,
    /// Those that have had their share of this turn.
    later: VecDeque<ConnectionId>,
    /// Connections that wait until a subscriber of the topic takes its messages.
    for_topic: HashMap<TopicId, Vec<ConnectionId>>,
    /// Connections that wait until a core takes its requests.
    for_core: Vec<(CoreId, Vec<ConnectionId>)>,
    /// Connections that wait for memory.
    for_memory: Vec<ConnectionId>,
    /// Connections whose reason to wait may be over.
    released: VecDeque<ConnectionId>,
}

impl Connections {
    // --- what is served in a turn ---

    /// The next turn begins: each connection has its whole share again.
    pub fn begin_turn(&mut self) {
        let input = &mut self.input;
        input.turn += 1;
        input.commands = 0;
        input.backlog.append(&mut input.later);
    }

    /// Counts a command that has published nothing.
    pub fn count_command(&mut self, slot: Slot) {
        self.input.commands += 1;
        let turn = self.input.turn;
        self.table.get(slot).share.count(turn);
    }

    /// Whether a connection has had its share of this turn.
    pub fn is_spent(&self, slot: Slot) -> bool {
        self.at(slot).share.is_spent(self.input.turn)
    }

    /// Whether all connections together may have more commands served in this turn.
    pub fn have_commands_left(&self) -> bool {
        self.input.commands < TURN_COMMANDS_MAX
    }

    /// Whether half of that is left.
    pub fn have_half_their_commands_left(&self) -> bool {
        self.input.commands < TURN_COMMANDS_MAX / 2
    }

    // --- what is left for a later turn ---

    /// What is left of a connection's bytes is served in a later turn.
    pub fn leave_for_later(&mut self, slot: Slot) {
        let is_spent = self.is_spent(slot);
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if !connection.in_backlog {
            connection.in_backlog = true;
            let list = if is_spent { &mut self.input.later } else { &mut self.input.backlog };
            list.push_back(id);
        }
    }

    /// Whether bytes were left for a later turn, or input that was held can go on.
    pub fn has_backlog(&self) -> bool {
        let Input { backlog, later, released, .. } = &self.input;
        !(backlog.is_empty() && later.is_empty() && released.is_empty())
    }

    /// Takes the next connection whose bytes were left, if those can be served now; `None` if there
    /// is none for this turn.
    pub fn take_from_backlog(&mut self) -> Option<Option<Slot>> {
        let id = self.input.backlog.pop_front()?;
        self.input.commands += 1;
        if !self.is_open(id) {
            return Some(None);
        }
        let connection = self.table.get(id.slot);
        connection.in_backlog = false;
        let waits = connection.hold.is_some() || connection.is_fenced || connection.is_logging_in();
        Some((!waits).then_some(id.slot))
    }

    // --- what is held ---

    /// Holds the input of a connection until the reason is over.
    pub fn hold(&mut self, slot: Slot, hold: Hold) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if connection.hold.is_none() {
            connection.hold = Some(hold);
            self.wait(id, hold);
            self.decide_whether_to_read(slot);
        }
    }

    /// Puts a held connection on the list of those that wait for the same.
    fn wait(&mut self, id: ConnectionId, hold: Hold) {
        let input = &mut self.input;
        match hold {
            // What changes these is an event of the connection itself.
            Hold::Answers | Hold::Fence | Hold::Rate => {}
            Hold::Memory => input.for_memory.push(id),
            Hold::Blocked(topic) => input.for_topic.entry(topic).or_default().push(id),
            Hold::Mesh(core) => match input.for_core.iter_mut().find(|(of, _)| *of == core) {
                Some((_, waiting)) => waiting.push(id),
                None => input.for_core.push((core, vec![id])),
            },
        }
    }

    /// A client that asks without reading is not read.
    pub fn hold_if_full_of_answers(&mut self, slot: Slot) {
        if self.table.get(slot).is_full_of_answers() {
            self.hold(slot, Hold::Answers);
        }
    }

    /// A connection was sent answers, or waits for fewer: its input may go on.
    pub(super) fn release_if_not_full_of_answers(&mut self, slot: Slot) {
        if !self.at(slot).is_full_of_answers() {
            self.release(slot, Hold::Answers);
        }
    }

    /// The reason to hold the input of one connection may be over.
    pub fn release(&mut self, slot: Slot, reason: Hold) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if connection.hold == Some(reason) && !connection.is_released {
            connection.is_released = true;
            self.input.released.push_back(id);
        }
    }

    /// Publishers of a topic need not wait any more.
    pub fn release_topic(&mut self, topic: TopicId) {
        let waiting = self.input.for_topic.remove(&topic).unwrap_or_default();
        self.input.released.extend(waiting);
    }

    /// Whether some connection waits for a core to take its requests.
    pub fn waits_for_core(&self, core: CoreId) -> bool {
        self.input.for_core.iter().any(|(of, _)| *of == core)
    }

    /// The connections that wait for cores which have room again may go on.
    pub fn release_cores(&mut self, has_room: impl Fn(CoreId) -> bool) {
        let input = &mut self.input;
        for (_, waiting) in input.for_core.extract_if(.., |(core, _)| has_room(*core)) {
            input.released.extend(waiting);
        }
    }

    /// Whether some connection waits for memory.
    pub fn wait_for_memory(&self) -> bool {
        !self.input.for_memory.is_empty()
    }

    /// The connections that wait for memory may go on.
    pub fn release_memory(&mut self) {
        self.input.released.extend(self.input.for_memory.drain(..));
    }

    /// Takes the next held connection whose reason may be over, with that reason.
    pub fn next_released(&mut self) -> Option<(Slot, Hold)> {
        while let Some(id) = self.input.released.pop_front() {
            self.input.commands += 1;
            if self.is_open(id) {
                let connection = self.table.get(id.slot);
                connection.is_released = false;
                if let Some(hold) = connection.hold
                    && connection.phase != Phase::Closing
                {
                    return Some((id.slot, hold));
                }
            }
            if !self.have_commands_left() {
                break;
            }
        }
        None
    }

    /// The reason to hold a connection's input is not over after all.
    pub fn keep_held(&mut self, slot: Slot, hold: Hold) {
        self.wait(self.id(slot), hold);
    }

    /// The reason to hold a connection's input is over: what waits is served in its turn.
    pub fn end_hold(&mut self, slot: Slot) {
        self.table.get(slot).hold = None;
        self.serve_in_turn(slot);
    }

    /// The fence that held a connection's input is over: what waits is served in its turn.
    pub fn release_fence(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        connection.is_fenced = false;
        connection.hold.take_if(|hold| *hold == Hold::Fence);
        self.serve_in_turn(slot);
    }

    /// The login of a connection waits no longer: what waits behind it is served in its turn. Returns what
    /// the login waited for.
    pub fn end_login(&mut self, slot: Slot) -> LoginWait {
        let wait = std::mem::take(&mut self.table.get(slot).login);
        self.serve_in_turn(slot);
        wait
    }

    /// What waits of a connection is served in its turn, unless something else holds it; and the
    /// connection is read again, if that was why it was not.
    fn serve_in_turn(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        let goes_on = connection.phase != Phase::Finishing && connection.hold.is_none();
        if goes_on && !connection.unserved.is_empty() {
            self.leave_for_later(slot);
        }
        self.decide_whether_to_read(slot);
    }

    /// Reads a connection or not, after something changed that this depends on.
    pub fn decide_whether_to_read(&mut self, slot: Slot) {
        self.touch(slot);
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if connection.phase == Phase::Closing {
            return;
        }
        let unserved = connection.unserved.len();
        let bytes_max = match connection.is_read {
            true => UNSERVED_BYTES_MAX,
            false => UNSERVED_BYTES_MAX / 2,
        };
        // A frame that is not whole yet is no reason: the rest of it has to come.
        let has_too_many = connection.is_held_back() && unserved > bytes_max;
        let is_read = connection.hold.is_none() && !has_too_many;
        if is_read != connection.is_read {
            connection.is_read = is_read;
            let action = if is_read { Action::Resume(id) } else { Action::Pause(id) };
            self.actions.push(action);
        }
    }

    /// The stop begins: connections are read again, though nothing is served. That shows when a
    /// client has gone.
    pub fn stop(&mut self) {
        self.input = Input { turn: self.input.turn, ..Input::default() };
        for slot in self.table.slots_in_use() {
            let connection = self.table.get(slot);
            connection.in_backlog = false;
            connection.hold = None;
            connection.is_released = false;
            connection.is_fenced = false;
            connection.unserved.clear();
            connection.login = LoginWait::Nothing;
            self.decide_whether_to_read(slot);
        }
    }

    /// Whether a connection whose bytes were left, or whose input is held, is found again.
    pub(super) fn is_found_again(&self, id: ConnectionId) -> bool {
        let (connection, input) = (self.at(id.slot), &self.input);
        let is_left =
            !connection.in_backlog || input.backlog.contains(&id) || input.later.contains(&id);
        let waits = match connection.hold {
            None | Some(Hold::Fence | Hold::Rate) => true,
            Some(Hold::Answers) => connection.is_full_of_answers(),
            Some(Hold::Memory) => input.for_memory.contains(&id),
            Some(Hold::Blocked(topic)) => {
                input.for_topic.get(&topic).is_some_and(|all| all.contains(&id))
            }
            Some(Hold::Mesh(core)) => {
                input.for_core.iter().any(|(of, all)| *of == core && all.contains(&id))
            }
        };
        is_left && (waits || input.released.contains(&id))
    }
}

/// What one connection had served in the turn in which it was last served.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    turn: u64,
    commands: u32,
}

impl Share {
    fn count(&mut self, turn: u64) {
        if self.turn != turn {
            *self = Share { turn, commands: 0 };
        }
        self.commands += 1;
    }

    fn is_spent(self, turn: u64) -> bool {
        self.turn == turn && self.commands >= limits::COMMANDS_PER_TURN
    }
}
