//! What a service may ask for: sending, pausing and closing connections, and the mesh.
//!
//! Called by services inside [`Service::turn`](crate::Service::turn); the driver calls the rest
//! when completions come. Nothing here waits and nothing enters the kernel: requests are queued on
//! the data ring and go out together when the turn ends.
//!
//! # Always true
//! - One send per socket is under way at a time, so bytes leave in the order they were given.
//! - Closing is: last bytes, shut the write side, wait for the peer, cancel, reap, free. What
//!   arrives meanwhile is thrown away, so no reset overtakes the last bytes.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::mesh::MeshEnd;
use crate::ring::data::DataRing;
use crate::socket::{Phase, Receive, SendOperation, Socket, Sockets};
use crate::{ConnectionId, Now};

/// Send operations kept for the next sends: more than can be useful within one turn's cache.
const SPARE_SENDS_MAX: usize = 256;

/// The service's view of its core.
pub struct Io<L> {
    pub(crate) ring: DataRing,
    pub(crate) sockets: Sockets,
    pub(crate) mesh: MeshEnd<L>,
    // Boxed because the kernel points into them: they move between here and sockets, their insides
    // must not.
    #[allow(clippy::vec_box)]
    spare_sends: Vec<Box<SendOperation>>,
    /// How long a closing connection's peer may take to close too.
    linger_ns: u64,
    /// When closing connections are cut off, soonest first.
    lingering: VecDeque<(u64, ConnectionId)>,
    /// Released connections whose last completion came.
    pub(crate) released: Vec<ConnectionId>,
}

impl<L> Io<L> {
    pub(crate) fn new(ring: DataRing, mesh: MeshEnd<L>, linger_ns: u64) -> Io<L> {
        Io {
            ring,
            sockets: Sockets::default(),
            mesh,
            spare_sends: Vec::new(),
            linger_ns,
            lingering: VecDeque::new(),
            released: Vec::new(),
        }
    }

    /// This core's end of the mesh.
    pub fn mesh(&self) -> &MeshEnd<L> {
        &self.mesh
    }

    /// Receive buffers the kernel may fill now.
    pub fn buffers_free(&self) -> usize {
        self.ring.buffers.kernel_has()
    }

    /// Sends `bytes` (left empty) on a connection that has no send in flight; `sent` tells when
    /// the kernel has taken all of them, `broken` that it cannot.
    pub fn send(&mut self, connection: ConnectionId, bytes: &mut Vec<Bytes>) {
        let socket = self.sockets.get(connection);
        assert!(socket.phase == Phase::Open, "nothing is sent after `close`");
        assert!(socket.in_flight.is_none(), "one send at a time");
        let mut operation = self.spare_sends.pop().unwrap_or_else(SendOperation::new);
        operation.fill(bytes);
        submit_send(&mut self.ring, connection.slot, socket, operation);
    }

    /// Stops reading a connection. Bytes that have arrived already are still handed on.
    pub fn pause(&mut self, connection: ConnectionId) {
        let socket = self.sockets.get(connection);
        // A closing connection is read whatever its service thought of it: its end must be seen.
        if socket.phase != Phase::Open {
            return;
        }
        socket.paused = true;
        if socket.receive == Receive::Armed {
            socket.receive = Receive::Stopping;
            socket.references += 1;
            self.ring.cancel_receive(connection.slot);
        }
    }

    /// Reads a paused connection again.
    pub fn resume(&mut self, connection: ConnectionId) {
        self.sockets.get(connection).paused = false;
        self.receive(connection.slot);
    }

    /// Ends a connection: after the send in flight `last` goes out, then the write side is shut.
    pub fn close(&mut self, now: Now, connection: ConnectionId, last: Bytes) {
        let socket = self.sockets.get(connection);
        assert!(socket.phase == Phase::Open, "a connection is closed once");
        socket.phase = Phase::Closing;
        socket.paused = false;
        socket.last_bytes = last;
        let linger_until_ns = now.monotonic_ns + self.linger_ns;
        self.lingering.push_back((linger_until_ns, connection));
        // The end of the peer is only seen by reading.
        self.receive(connection.slot);
        self.advance_closing(connection.slot);
    }

    /// Asks for bytes of a socket unless that is under way, unwanted, or over.
    pub(crate) fn receive(&mut self, slot: u32) {
        let (_, socket) = self.sockets.at(slot);
        let wanted = !socket.paused && !socket.ended && !socket.is_released();
        if wanted && socket.receive == Receive::Idle {
            socket.receive = Receive::Armed;
            socket.references += 1;
            self.ring.receive(slot, socket.raw_fd());
        }
    }

    /// A send has completed; returns whether the service may send again.
    pub(crate) fn send_completed(&mut self, slot: u32, result: Result<u32, i32>) -> bool {
        let (_, socket) = self.sockets.at(slot);
        socket.references -= 1;
        let mut operation = socket.in_flight.take().expect("a send that completes was in flight");
        let rest_remains = match result {
            Ok(sent) => !operation.advance(sent as usize),
            Err(_) => {
                socket.broken = true;
                false
            }
        };
        // A signal or short memory can end a send early even with MSG_WAITALL.
        if rest_remains && !socket.is_released() {
            submit_send(&mut self.ring, slot, socket, operation);
            return false;
        }
        operation.bytes.clear();
        if self.spare_sends.len() < SPARE_SENDS_MAX {
            self.spare_sends.push(operation);
        }
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
        if socket.in_flight.is_some() && !socket.broken {
            return;
        }
        if !socket.last_bytes.is_empty() && !socket.broken {
            let mut operation = self.spare_sends.pop().unwrap_or_else(SendOperation::new);
            operation.fill(&mut vec![std::mem::take(&mut socket.last_bytes)]);
            submit_send(&mut self.ring, slot, socket, operation);
            return;
        }
        if !socket.write_shut && !socket.broken {
            socket.write_shut = true;
            // A peer that is gone already cannot be told; that is no error here.
            let _ = socket2::SockRef::from(&socket.fd).shutdown(std::net::Shutdown::Write);
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
        socket.last_bytes = Bytes::new();
        if socket.receive != Receive::Idle || socket.in_flight.is_some() {
            socket.references += 1;
            self.ring.cancel_all(slot, socket.raw_fd());
        }
        self.finish_release(slot);
    }

    /// Notes a released connection whose last completion has come.
    pub(crate) fn finish_release(&mut self, slot: u32) {
        let (connection, socket) = self.sockets.at(slot);
        if socket.phase == Phase::Releasing && socket.references == 0 {
            socket.phase = Phase::Released;
            self.released.push(connection);
        }
    }

    /// Cuts off connections that have lingered long enough.
    pub(crate) fn cut_off(&mut self, now: Now) {
        while let Some(&(at, connection)) = self.lingering.front() {
            let over = match self.sockets.find(connection.slot) {
                Some((found, socket)) => found != connection || socket.is_released(),
                None => true,
            };
            if !over && at > now.monotonic_ns {
                return;
            }
            self.lingering.pop_front();
            if !over {
                self.release(connection.slot);
            }
        }
    }

    /// When `cut_off` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.lingering.front().map(|(at, _)| *at)
    }
}

fn submit_send(ring: &mut DataRing, slot: u32, socket: &mut Socket, operation: Box<SendOperation>) {
    let fd = socket.raw_fd();
    // Boxed and owned by the socket until its completion: the kernel may read it at any time.
    let operation = socket.in_flight.insert(operation);
    socket.references += 1;
    ring.send(slot, fd, operation);
}
