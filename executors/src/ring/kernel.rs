//! The kernel under a simulated ring, played by its caller.

pub(super) mod state;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::clock::Now;
use state::{CoreState, ListenerState, Posted, SocketState, State};

/// A connection of a simulated kernel. Numbers are given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub usize);

/// What a core asks to be cancelled of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The receive.
    Receive,
    /// The receive, the send, and the watch for the end of the peer.
    Everything,
}

/// What became of bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// So many bytes are in a receive buffer; the others wait.
    Taken(usize),
    /// No receive is under way on the socket: the bytes wait.
    NotRead,
    /// There was no receive buffer: the receive has ended, and the bytes wait.
    Starved,
}

/// Why a core finds that its kernel has put work off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferred {
    /// The next enter does the work, which ends in no completion.
    Work,
    /// A report that outlived its work: no enter takes it back.
    Stale,
}

/// The kernel under simulated cores, played by its caller: every request of a core waits here until
/// the caller completes it, with whatever result.
///
/// Cloning gives another handle of the same kernel.
#[derive(Clone)]
pub struct Kernel(pub(super) Rc<RefCell<State>>);

impl Kernel {
    pub(crate) fn new(cores: usize, listeners: usize, buffers: usize, buffer_len: usize) -> Kernel {
        let core = || CoreState { buffers_free: buffers, buffer_len, ..CoreState::default() };
        Kernel(Rc::new(RefCell::new(State {
            now: Now { monotonic_ns: 0, unix_ns: 0 },
            cores: (0..cores).map(|_| core()).collect(),
            listeners: (0..listeners).map(|_| ListenerState::default()).collect(),
            sockets: Vec::new(),
        })))
    }

    pub(super) fn socket<T>(&self, socket: SocketId, look: impl FnOnce(&SocketState) -> T) -> T {
        look(&self.0.borrow().sockets[socket.0])
    }

    // --- Time ---

    /// Sets the clocks of all cores; timeouts that are due complete.
    pub fn set_now(&self, now: Now) {
        let state = &mut *self.0.borrow_mut();
        assert!(
            now.monotonic_ns >= state.now.monotonic_ns,
            "the monotonic clock is never set back"
        );
        state.now = now;
        (0..state.cores.len()).for_each(|core| state.expire(core));
    }

    /// When the timeout of a core comes, if one is under way.
    pub fn timeout_at_ns(&self, core: usize) -> Option<u64> {
        self.0.borrow().cores[core].timeout_at_ns
    }

    /// Reports to a core that work was put off, or takes a report back.
    pub fn defer(&self, core: usize, deferred: Option<Deferred>) {
        self.0.borrow_mut().cores[core].deferred = deferred;
    }

    /// Lets the next enters of a core fail for want of memory: what they were to submit stays queued.
    pub fn fail_enters(&self, core: usize, enters: u32) {
        self.0.borrow_mut().cores[core].enters_short = enters;
    }

    /// Whether a core has completions to reap.
    pub fn has_completions(&self, core: usize) -> bool {
        !self.0.borrow().cores[core].completions.is_empty()
    }

    // --- Listeners, all of core 0 ---

    /// Whether connections of a listener can be accepted now.
    pub fn is_accepting(&self, listener: usize) -> bool {
        self.0.borrow().listeners[listener].accepting
    }

    /// Whether a listener is closed.
    pub fn is_listener_closed(&self, listener: usize) -> bool {
        self.0.borrow().listeners[listener].closed
    }

    /// A socket of a connection from `peer`; none stands for one that is gone already.
    pub(crate) fn socket_of(&self, peer: Option<SocketAddr>) -> SocketId {
        let sockets = &mut self.0.borrow_mut().sockets;
        sockets.push(SocketState { peer, ..SocketState::default() });
        SocketId(sockets.len() - 1)
    }

    /// Accepts a connection; the accept goes on if `more`.
    pub fn accept(&self, listener: usize, peer: Option<SocketAddr>, more: bool) -> SocketId {
        let socket = self.socket_of(peer);
        self.accepted(listener, Ok(socket), more);
        socket
    }

    /// Ends the accept of a listener with an error.
    pub fn fail_accept(&self, listener: usize, error: i32) {
        self.accepted(listener, Err(error), false);
    }

    fn accepted(&self, listener: usize, result: Result<SocketId, i32>, more: bool) {
        let state = &mut *self.0.borrow_mut();
        let accepting = &mut state.listeners[listener].accepting;
        assert!(*accepting, "no accept is under way on listener {listener}");
        *accepting = more;
        state.post(0, Posted::Accepted { listener: listener as u32, result, more });
    }

    /// Whether a cancel of a listener's accept waits to be carried out.
    pub fn is_accept_cancelled(&self, listener: usize) -> bool {
        self.0.borrow().listeners[listener].cancels > 0
    }

    /// Completes the cancel of an accept. The accept itself is for the caller to end, before or
    /// after, unless it has ended.
    pub fn answer_accept_cancel(&self, listener: usize) {
        let state = &mut *self.0.borrow_mut();
        assert!(state.listeners[listener].cancels > 0, "no cancel waits");
        state.listeners[listener].cancels -= 1;
        state.post(0, Posted::AcceptCancelled { listener: listener as u32 });
    }

    // --- Sockets ---

    /// The core that has a socket, once it has taken the socket, and until it closes it.
    pub fn core_of(&self, socket: SocketId) -> Option<usize> {
        self.socket(socket, |socket| socket.at.map(|(core, _)| core))
    }

    /// Whether a core receives on a socket.
    pub fn is_receiving(&self, socket: SocketId) -> bool {
        self.socket(socket, |socket| socket.receiving)
    }

    /// Whether the write side was shut: the peer reads an end behind the last bytes.
    pub fn is_write_shut(&self, socket: SocketId) -> bool {
        self.socket(socket, |socket| socket.write_shut)
    }

    /// Whether the socket was closed.
    pub fn is_closed(&self, socket: SocketId) -> bool {
        self.socket(socket, |socket| socket.closed)
    }

    /// Bytes arrive: as many as a receive buffer holds are taken. The receive goes on if `more`.
    pub fn deliver(&self, socket: SocketId, bytes: &[u8], more: bool) -> Delivery {
        let state = &mut *self.0.borrow_mut();
        let place = &mut state.sockets[socket.0];
        assert!(!bytes.is_empty(), "an end is another call");
        let Some((core, slot)) = place.at.filter(|_| place.receiving) else {
            return Delivery::NotRead;
        };
        let of_core = &mut state.cores[core];
        if of_core.buffers_free == 0 {
            place.receiving = false;
            state.post(core, Posted::Received { slot, result: Err(libc::ENOBUFS), more: false });
            return Delivery::Starved;
        }
        of_core.buffers_free -= 1;
        let more = more && !place.receives_once;
        place.receiving = more;
        let len = bytes.len().min(of_core.buffer_len);
        let result = Ok(Some(bytes[..len].to_vec()));
        state.post(core, Posted::Received { slot, result, more });
        Delivery::Taken(len)
    }

    /// The peer's end arrives; false if no receive is under way.
    pub fn deliver_end(&self, socket: SocketId) -> bool {
        self.end_receive(socket, Ok(None))
    }

    /// Ends the receive with an error; false if there is none.
    pub fn fail_receive(&self, socket: SocketId, error: i32) -> bool {
        self.end_receive(socket, Err(error))
    }

    fn end_receive(&self, socket: SocketId, result: Result<Option<Vec<u8>>, i32>) -> bool {
        let state = &mut *self.0.borrow_mut();
        let place = &mut state.sockets[socket.0];
        let Some((core, slot)) = place.at.filter(|_| place.receiving) else { return false };
        place.receiving = false;
        state.post(core, Posted::Received { slot, result, more: false });
        true
    }

    /// Whether a core watches for the end of a socket's peer.
    pub fn is_watching(&self, socket: SocketId) -> bool {
        self.socket(socket, |socket| socket.watching)
    }

    /// The watch for the end of the peer sees that the peer has ended, or that the connection broke;
    /// false if no watch is under way.
    pub fn hang_up(&self, socket: SocketId) -> bool {
        self.end_watch(socket, Ok(()))
    }

    /// Ends the watch for the end of the peer as a cancel does; false if there is none.
    pub fn cancel_watch(&self, socket: SocketId) -> bool {
        self.end_watch(socket, Err(libc::ECANCELED))
    }

    fn end_watch(&self, socket: SocketId, result: Result<(), i32>) -> bool {
        let state = &mut *self.0.borrow_mut();
        let place = &mut state.sockets[socket.0];
        let Some((core, slot)) = place.at.filter(|_| place.watching) else { return false };
        place.watching = false;
        state.post(core, Posted::Watched { slot, result });
        true
    }

    /// The kernel of the peer acknowledges all that was sent, and the end if the write side was shut.
    pub fn acknowledge(&self, socket: SocketId) {
        self.0.borrow_mut().sockets[socket.0].delivered = true;
    }

    /// Bytes of the send under way that have not left; none if no send is under way.
    pub fn sending(&self, socket: SocketId) -> Option<usize> {
        self.socket(socket, |socket| {
            let send = socket.send.as_ref().filter(|send| send.under_way)?;
            Some(send.operation.submitted().map(<[u8]>::len).sum::<usize>() - send.taken)
        })
    }

    /// Lets up to `len` bytes of the send under way leave. They are counted when it completes.
    pub fn take(&self, socket: SocketId, len: usize) -> Vec<u8> {
        let state = &mut *self.0.borrow_mut();
        let send = state.sockets[socket.0].send.as_mut().filter(|send| send.under_way);
        let Some(send) = send else { return Vec::new() };
        let mut bytes = Vec::new();
        let mut taken = send.taken;
        for piece in send.operation.submitted() {
            let rest = &piece[taken.min(piece.len())..];
            taken -= piece.len() - rest.len();
            bytes.extend_from_slice(&rest[..rest.len().min(len - bytes.len())]);
            if bytes.len() == len {
                break;
            }
        }
        send.taken += bytes.len();
        bytes
    }

    /// Completes the send under way with the bytes that have left, all of them or not; false if
    /// there is none.
    pub fn complete_send(&self, socket: SocketId) -> bool {
        self.end_send(socket, Ok)
    }

    /// Ends the send under way with an error; false if there is none.
    pub fn fail_send(&self, socket: SocketId, error: i32) -> bool {
        self.end_send(socket, |_| Err(error))
    }

    /// Ends the send under way as a cancel does: with the number of bytes that have left, or with an
    /// error if none has; false if there is none.
    pub fn cancel_send(&self, socket: SocketId) -> bool {
        self.end_send(socket, |taken| if taken > 0 { Ok(taken) } else { Err(libc::ECANCELED) })
    }

    fn end_send(&self, socket: SocketId, result: impl FnOnce(usize) -> Result<usize, i32>) -> bool {
        let state = &mut *self.0.borrow_mut();
        let place = &mut state.sockets[socket.0];
        let Some(send) = place.send.as_mut().filter(|send| send.under_way) else { return false };
        send.under_way = false;
        let result = result(send.taken);
        let (core, slot) = place.at.expect("a core sends on sockets it has");
        state.post(core, Posted::Sent { socket, slot, result });
        true
    }

    /// The oldest cancel of a socket that waits to be carried out.
    pub fn cancel_of(&self, socket: SocketId) -> Option<Cancel> {
        self.socket(socket, |socket| socket.cancels.front().copied())
    }

    /// Completes the oldest cancel of a socket. What it cancels is for the caller to end, before or
    /// after, unless it has ended.
    pub fn answer_cancel(&self, socket: SocketId) {
        let state = &mut *self.0.borrow_mut();
        let place = &mut state.sockets[socket.0];
        place.cancels.pop_front().expect("a cancel waits");
        let (core, slot) = place.at.expect("a core cancels on sockets it has");
        state.post(core, Posted::Cancelled { slot });
    }

    /// Carries out the oldest cancel of a socket as Linux mostly does: what is under way ends, then
    /// the cancel completes. A send of which bytes have left completes with their number.
    pub fn carry_out_cancel(&self, socket: SocketId) -> bool {
        let Some(cancel) = self.cancel_of(socket) else { return false };
        self.fail_receive(socket, libc::ECANCELED);
        if cancel == Cancel::Everything {
            self.cancel_send(socket);
            self.cancel_watch(socket);
        }
        self.answer_cancel(socket);
        true
    }

    /// Carries out the cancel of a listener's accept, as Linux does.
    pub fn carry_out_accept_cancel(&self, listener: usize) -> bool {
        if !self.is_accept_cancelled(listener) {
            return false;
        }
        if self.is_accepting(listener) {
            self.fail_accept(listener, libc::ECANCELED);
        }
        self.answer_accept_cancel(listener);
        true
    }
}
