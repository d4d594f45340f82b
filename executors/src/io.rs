//! What a service may ask for: sending, pausing and closing connections, and the mesh.
//!
//! Called by services inside [`Service::turn`](crate::Service::turn); the driver calls the rest
//! when completions come. Nothing here waits and nothing enters the kernel: requests are queued on
//! the ring and go out together when the turn ends.
//!
//! # Always true
//! - One send per socket is under way at a time, so bytes leave in the order they were given.
//! - Closing is: last bytes, shut the write side, wait for the peer, cancel, reap, free. What
//!   arrives meanwhile is thrown away, so no reset overtakes the last bytes.
//! - A connection that is not read is watched for the end of its peer.
//! - A connection has at most `ARRIVED_MAX` receive buffers that were not handed on, or those
//!   that one receive fills before it can be stopped.

mod waiting;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::clock::Now;
use crate::connection::ConnectionId;
use crate::mesh::MeshEnd;
use crate::place::Place;
use crate::ring::{Ring, is_shortage};
use crate::socket::{ARRIVED_MAX, Phase, Receive, Sockets};
use waiting::Waiting;

/// The service's view of its core. `M` is the mesh message, `R` the ring of the core.
pub struct Io<M, R: Ring> {
    pub(crate) ring: R,
    pub(crate) sockets: Sockets,
    pub(crate) mesh: MeshEnd<M>,
    /// Connections that wait for a receive buffer, in turn.
    pub(crate) starved: VecDeque<ConnectionId>,
    /// What is done later, unless something makes it needless.
    waiting: Waiting,
    /// Released connections whose last completion came.
    pub(crate) released: Vec<ConnectionId>,
}

impl<M, R: Ring> Io<M, R> {
    pub(crate) fn new(ring: R, mesh: MeshEnd<M>, linger_ns: u64) -> Io<M, R> {
        Io {
            ring,
            sockets: Sockets::default(),
            mesh,
            starved: VecDeque::new(),
            waiting: Waiting::new(linger_ns),
            released: Vec::new(),
        }
    }

    /// This core's end of the mesh.
    pub fn mesh(&self) -> &MeshEnd<M> {
        &self.mesh
    }

    /// Receive buffers the kernel may fill now.
    pub fn buffers_free(&self) -> usize {
        self.ring.buffers_free()
    }

    /// Sends `bytes` (left empty) on a connection that has no send in flight. The service is called
    /// back when the kernel has taken all of them (`sent`) or cannot (`broken`).
    pub fn send(&mut self, connection: ConnectionId, bytes: &mut Vec<Bytes>) {
        let socket = self.sockets.get(connection);
        assert!(socket.phase == Phase::Open, "nothing is sent after `close`");
        assert!(!socket.sending, "one send at a time");
        socket.sending = true;
        self.ring.send(connection.slot, bytes);
    }

    /// Stops reading a connection. Bytes that have arrived already are still handed on.
    pub fn pause(&mut self, connection: ConnectionId) {
        let socket = self.sockets.get(connection);
        // A closing connection is read whatever its service thought of it: its end must be seen.
        if socket.phase != Phase::Open {
            return;
        }
        socket.paused = true;
        self.stop_receive(connection.slot);
        self.watch_end(connection);
    }

    /// Reads a paused connection again.
    pub fn resume(&mut self, connection: ConnectionId) {
        let socket = self.sockets.get(connection);
        socket.paused = false;
        socket.leaves_at_ns = None;
        self.receive(connection.slot);
    }

    /// Ends a connection: after the send in flight `last` goes out, then the write side is shut.
    pub fn close(&mut self, now: Now, connection: ConnectionId, last: Bytes) {
        let socket = self.sockets.get(connection);
        assert!(socket.phase == Phase::Open, "a connection is closed once");
        socket.phase = Phase::Closing;
        socket.paused = false;
        socket.last_bytes = (!last.is_empty()).then(|| Box::new(last));
        self.waiting.linger(now, connection);
        // The end of the peer is only seen by reading.
        self.receive(connection.slot);
        self.advance_closing(connection.slot);
    }

    /// Gives up what a closed connection still sends: the peer reads a reset, or an end before the last
    /// bytes.
    pub fn abort(&mut self, connection: ConnectionId) {
        let socket = self.sockets.get(connection);
        assert!(socket.phase != Phase::Open, "a connection is closed before it is given up");
        self.release(connection.slot);
    }

    /// Takes an accepted socket, and reads it.
    pub(crate) fn open(&mut self, socket: R::Socket, place: Option<Place>) -> ConnectionId {
        let connection = self.sockets.insert(place);
        self.ring.open(connection.slot, socket);
        self.receive(connection.slot);
        connection
    }

    /// Asks for bytes of a socket unless that is under way, unwanted, or over; returns whether it
    /// did.
    pub(crate) fn receive(&mut self, slot: u32) -> bool {
        let (_, socket) = self.sockets.at(slot);
        let has_room = socket.arrived.len() < ARRIVED_MAX;
        let wanted = has_room
            && !socket.paused
            && !socket.ended
            && !socket.receive_rests
            && !socket.is_released();
        let asks = wanted && socket.receive == Receive::Idle;
        if asks {
            socket.receive = Receive::Armed;
            // While some wait for a buffer each takes one at a time.
            match self.starved.is_empty() {
                true => self.ring.receive(slot),
                false => self.ring.receive_once(slot),
            }
        }
        asks
    }

    /// Stops the receive of a socket, if one is under way.
    pub(crate) fn stop_receive(&mut self, slot: u32) {
        let (_, socket) = self.sockets.at(slot);
        if socket.receive == Receive::Armed {
            socket.receive = Receive::Stopping;
            self.ring.cancel_receive(slot);
        }
    }

    /// Notes that a send has completed; returns whether the service may send again.
    pub(crate) fn send_completed(&mut self, slot: u32, result: Result<bool, i32>) -> bool {
        let (_, socket) = self.sockets.at(slot);
        match result {
            Ok(true) => {}
            // A signal or short memory can end a send early even with MSG_WAITALL.
            Ok(false) if !socket.is_released() => {
                self.ring.send_rest(slot);
                return false;
            }
            Ok(false) => self.ring.drop_send(slot),
            Err(error) if is_shortage(error) && !socket.is_released() => {
                socket.send_rests = true;
                self.rest(slot);
                return false;
            }
            Err(error) => {
                socket.broken = true;
                if is_shortage(error) {
                    self.ring.drop_send(slot);
                }
            }
        }
        let (_, socket) = self.sockets.at(slot);
        socket.sending = false;
        match socket.phase {
            Phase::Open => true,
            Phase::Closing => {
                self.advance_closing(slot);
                false
            }
            Phase::Releasing | Phase::Released => {
                self.finish_release(slot);
                false
            }
        }
    }

    /// The next step of a closing connection, if nothing is in its way.
    pub(crate) fn advance_closing(&mut self, slot: u32) {
        let (_, socket) = self.sockets.at(slot);
        if socket.sending && !socket.broken {
            return;
        }
        if let Some(last) = socket.last_bytes.take_if(|_| !socket.broken) {
            socket.sending = true;
            self.ring.send(slot, &mut vec![*last]);
            return;
        }
        if !socket.write_shut && !socket.broken {
            socket.write_shut = true;
            self.ring.shut_write(slot);
        }
        if socket.ended || socket.broken {
            self.release(slot);
        }
    }

    /// Cancels whatever is under way; the connection is gone with its last completion.
    pub(crate) fn release(&mut self, slot: u32) {
        let (_, socket) = self.sockets.at(slot);
        if socket.is_released() {
            return;
        }
        socket.phase = Phase::Releasing;
        socket.last_bytes = None;
        if std::mem::take(&mut socket.send_rests) {
            socket.sending = false;
            self.ring.drop_send(slot);
        }
        let (_, socket) = self.sockets.at(slot);
        if socket.receive != Receive::Idle || socket.sending || socket.watching {
            self.ring.cancel_all(slot);
        }
        self.finish_release(slot);
    }

    /// Notes a released connection whose last completion has come.
    pub(crate) fn finish_release(&mut self, slot: u32) {
        let (connection, socket) = self.sockets.at(slot);
        let is_over = !socket.has_arrivals() && !self.ring.is_busy(slot);
        if socket.phase == Phase::Releasing && is_over {
            socket.phase = Phase::Released;
            self.released.push(connection);
        }
    }

    /// Removes a released connection, and closes its socket; returns the place it had.
    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Option<Place> {
        let socket = self.sockets.remove(connection);
        assert!(
            !socket.has_arrivals(),
            "arrivals are handed on before their connection is removed"
        );
        self.ring.close(connection.slot);
        socket.place
    }
}
