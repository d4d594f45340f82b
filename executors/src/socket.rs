//! The connections of one core: how far each has come, and what its core has asked the ring for.
//!
//! Used by `io` and `driver`. The descriptors and what is in flight are the ring's. A slot is
//! reused only when the ring has no completion of it to come.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::connection::ConnectionId;
use crate::place::Place;
use crate::ring::Filled;

/// Whether the kernel receives on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receive {
    /// No request is under way.
    Idle,
    /// A receive is under way.
    Armed,
    /// The receive was cancelled; its last completion is still to come.
    Stopping,
}

/// Buffers of one connection that wait to be handed on, at most: the connection is not received from
/// until half of them are. A quarter of a core's buffers, so that others find some.
pub(crate) const ARRIVED_MAX: usize = 8;

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The service has it.
    Open,
    /// The service closed the connection: the send in flight and the last bytes go out, then the
    /// write side is shut; what still arrives is thrown away until the peer closes too.
    Closing,
    /// Everything under way was cancelled; the last completions are still to come.
    Releasing,
    /// The last completion has come; the connection is removed at the end of the turn.
    Released,
}

pub(crate) struct Socket {
    pub(crate) phase: Phase,
    pub(crate) receive: Receive,
    /// The service wants no bytes at the moment.
    pub(crate) paused: bool,
    /// The peer has ended, or the connection broke.
    pub(crate) ended: bool,
    /// The end of the peer is watched for, without reading.
    pub(crate) watching: bool,
    /// The peer was seen to end while the connection was paused, and when that one is given up.
    pub(crate) leaves_at_ns: Option<u64>,
    /// The kernel was short of memory: the receive is to be asked for again.
    pub(crate) receive_rests: bool,
    /// The kernel was short of memory: the rest of the send in flight is to be sent again.
    pub(crate) send_rests: bool,
    /// Which place the connection has; one without is refused by the service.
    pub(crate) place: Option<Place>,
    /// Sends fail: nothing more can reach the peer.
    pub(crate) broken: bool,
    pub(crate) write_shut: bool,
    /// A send is in flight.
    pub(crate) sending: bool,
    /// What goes out after the send in flight, when closing. Boxed: few connections have any, and
    /// all pay for the room.
    pub(crate) last_bytes: Option<Box<Bytes>>,
    /// What arrived and was not handed on yet.
    pub(crate) arrived: VecDeque<Filled>,
    /// The peer's end arrived behind that, and was not handed on yet.
    pub(crate) end_arrived: bool,
    /// On the driver's list of connections that something arrived on.
    pub(crate) is_waiting: bool,
}

impl Socket {
    fn new(place: Option<Place>) -> Socket {
        Socket {
            phase: Phase::Open,
            receive: Receive::Idle,
            paused: false,
            ended: false,
            watching: false,
            leaves_at_ns: None,
            receive_rests: false,
            send_rests: false,
            place,
            broken: false,
            write_shut: false,
            sending: false,
            last_bytes: None,
            arrived: VecDeque::new(),
            end_arrived: false,
            is_waiting: false,
        }
    }

    /// Whether anything arrived and was not handed on yet.
    pub(crate) fn has_arrivals(&self) -> bool {
        self.end_arrived || !self.arrived.is_empty()
    }

    /// Whether nothing more is asked of the kernel for this connection.
    pub(crate) fn is_released(&self) -> bool {
        matches!(self.phase, Phase::Releasing | Phase::Released)
    }
}

/// The sockets of a core by slot.
#[derive(Default)]
pub(crate) struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
}

struct Slot {
    generation: u32,
    // Boxed: a slot that is free, or that few use, costs little.
    socket: Option<Box<Socket>>,
}

impl Sockets {
    /// A new connection, under a free slot.
    pub(crate) fn insert(&mut self, place: Option<Place>) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            (self.slots.len() - 1) as u32
        });
        self.open += 1;
        let of = &mut self.slots[slot as usize];
        of.socket = Some(Box::new(Socket::new(place)));
        ConnectionId { slot, generation: of.generation }
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Socket {
        let place = &mut self.slots[connection.slot as usize];
        assert!(place.generation == connection.generation, "an id is removed once");
        place.generation = place.generation.wrapping_add(1);
        self.free.push(connection.slot);
        self.open -= 1;
        *place.socket.take().expect("an id that was inserted has a socket")
    }

    /// The socket of a completion: its slot cannot have been reused before the completion came.
    pub(crate) fn at(&mut self, slot: u32) -> (ConnectionId, &mut Socket) {
        self.find(slot).expect("a slot with completions to come has a socket")
    }

    /// The socket of a slot that may be free.
    pub(crate) fn find(&mut self, slot: u32) -> Option<(ConnectionId, &mut Socket)> {
        let place = &mut self.slots[slot as usize];
        let socket = place.socket.as_mut()?;
        Some((ConnectionId { slot, generation: place.generation }, socket))
    }

    /// The socket of a service's id.
    pub(crate) fn get(&mut self, connection: ConnectionId) -> &mut Socket {
        let (found, socket) = self.at(connection.slot);
        assert!(found == connection, "the service knows that this id is void");
        socket
    }

    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot.socket.is_some());
        used.map(|(index, slot)| ConnectionId { slot: index as u32, generation: slot.generation })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_reused_under_another_generation() {
        let mut sockets = Sockets::default();
        let first = sockets.insert(None);
        sockets.remove(first);
        let second = sockets.insert(None);
        assert_eq!(first.slot, second.slot);
        assert_ne!(first.generation, second.generation);
        assert_eq!(sockets.ids(), [second]);
    }
}
