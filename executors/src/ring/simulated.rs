//! The simulated ring: requests go to a [`Kernel`] in memory, and its caller decides when and how
//! each of them completes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;

use super::send::{SendOperation, SpareSends};
use super::{Completion, Filled, Ring, Tally};
use crate::clock::Now;

/// A connection of a simulated kernel. Numbers are given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub usize);

/// What a core asks to be cancelled of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The receive.
    Receive,
    /// The receive and the send.
    Everything,
}

/// What became of bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The first so many are in a receive buffer; the others wait.
    Taken(usize),
    /// Nobody receives on the socket: they wait.
    NotRead,
    /// There was no receive buffer: the receive ended, the bytes wait.
    Starved,
}

/// The kernel under simulated cores, played by its caller: every request of a core waits here until
/// the caller completes it, with whatever result.
///
/// Cloning gives another handle of the same kernel.
#[derive(Clone)]
pub struct Kernel(Rc<RefCell<State>>);

struct State {
    now: Now,
    cores: Vec<CoreState>,
    listeners: Vec<ListenerState>,
    sockets: Vec<SocketState>,
}

#[derive(Default)]
struct CoreState {
    completions: VecDeque<Posted>,
    buffers_free: usize,
    buffer_len: usize,
    timeout_at_ns: Option<u64>,
}

#[derive(Default)]
struct ListenerState {
    accepting: bool,
    cancels: u32,
    closed: bool,
}

#[derive(Default)]
struct SocketState {
    /// Core and slot, once a core has it.
    at: Option<(usize, u32)>,
    peer: Option<SocketAddr>,
    receiving: bool,
    send: Option<Sending>,
    cancels: VecDeque<Cancel>,
    write_shut: bool,
    closed: bool,
}

struct Sending {
    operation: Box<SendOperation>,
    /// Submitted and not completed.
    under_way: bool,
    /// Bytes that have left, of those submitted.
    taken: usize,
}

/// A completion before the core reaps it.
enum Posted {
    Accepted { listener: u32, result: Result<SocketId, i32>, more: bool },
    AcceptCancelled { listener: u32 },
    Received { slot: u32, result: Result<Option<Vec<u8>>, i32>, more: bool },
    Sent { socket: SocketId, slot: u32, result: Result<usize, i32> },
    Cancelled { slot: u32 },
    Timeout,
}

/// A request before it is submitted.
#[derive(Clone, Copy)]
enum Request {
    Accept { listener: u32 },
    CancelAccept { listener: u32 },
    Receive { socket: SocketId },
    Send { socket: SocketId },
    Cancel { socket: SocketId, what: Cancel },
    Timeout { at_ns: u64 },
    MoveTimeout { at_ns: u64 },
}

impl State {
    fn post(&mut self, core: usize, posted: Posted) {
        self.cores[core].completions.push_back(posted);
    }

    fn submit(&mut self, core: usize, request: Request) {
        match request {
            Request::Accept { listener } => self.listeners[listener as usize].accepting = true,
            Request::CancelAccept { listener } => self.listeners[listener as usize].cancels += 1,
            Request::Receive { socket } => {
                let receiving = &mut self.sockets[socket.0].receiving;
                assert!(!*receiving, "one receive at a time");
                *receiving = true;
            }
            Request::Send { socket } => {
                let send = self.sockets[socket.0].send.as_mut().expect("a send was begun");
                (send.under_way, send.taken) = (true, 0);
            }
            Request::Cancel { socket, what } => self.sockets[socket.0].cancels.push_back(what),
            Request::Timeout { at_ns } => {
                assert!(self.cores[core].timeout_at_ns.is_none(), "one timeout at a time");
                self.cores[core].timeout_at_ns = Some(at_ns);
                self.expire(core);
            }
            Request::MoveTimeout { at_ns } => {
                if let Some(timeout) = &mut self.cores[core].timeout_at_ns {
                    *timeout = at_ns;
                    self.expire(core);
                }
            }
        }
    }

    fn expire(&mut self, core: usize) {
        let due = |at_ns: &mut u64| *at_ns <= self.now.monotonic_ns;
        if self.cores[core].timeout_at_ns.take_if(due).is_some() {
            self.post(core, Posted::Timeout);
        }
    }
}

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

    fn socket<T>(&self, socket: SocketId, look: impl FnOnce(&SocketState) -> T) -> T {
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
        assert!(*accepting, "nobody accepts on listener {listener}");
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
        place.receiving = more;
        let len = bytes.len().min(of_core.buffer_len);
        let result = Ok(Some(bytes[..len].to_vec()));
        state.post(core, Posted::Received { slot, result, more });
        Delivery::Taken(len)
    }

    /// The peer's end arrives; false if nobody receives on the socket.
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

/// A socket of a simulated kernel: closed when it is dropped.
pub(crate) struct Socket {
    kernel: Kernel,
    id: SocketId,
}

impl Socket {
    pub(crate) fn new(kernel: Kernel, id: SocketId) -> Socket {
        Socket { kernel, id }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let socket = &mut self.kernel.0.borrow_mut().sockets[self.id.0];
        *socket = SocketState {
            peer: socket.peer,
            write_shut: socket.write_shut,
            closed: true,
            ..SocketState::default()
        };
    }
}

/// What the ring knows of a slot.
#[derive(Default)]
struct Slot {
    socket: Option<Socket>,
    under_way: u32,
}

/// The ring of one simulated core.
pub(crate) struct SimulatedRing {
    kernel: Kernel,
    core: usize,
    queued: Vec<Request>,
    slots: Vec<Slot>,
    listeners: Vec<u32>,
    /// Bytes of buffers that were filled and not put back.
    filled: Vec<Option<Vec<u8>>>,
    spare_sends: SpareSends,
    tally: Tally,
}

impl SimulatedRing {
    pub(crate) fn new(kernel: Kernel, core: usize) -> SimulatedRing {
        let buffers = kernel.0.borrow().cores[core].buffers_free;
        SimulatedRing {
            kernel,
            core,
            queued: Vec::new(),
            slots: Vec::new(),
            listeners: Vec::new(),
            filled: vec![None; buffers],
            spare_sends: SpareSends::default(),
            tally: Tally::default(),
        }
    }

    fn begin(&mut self, slot: u32, request: impl FnOnce(SocketId) -> Request) {
        let place = &mut self.slots[slot as usize];
        place.under_way += 1;
        let socket = place.socket.as_ref().expect("the slot has a socket").id;
        self.queued.push(request(socket));
    }

    fn id(&self, slot: u32) -> SocketId {
        self.slots[slot as usize].socket.as_ref().expect("the slot has a socket").id
    }

    fn fill(&mut self, bytes: Vec<u8>) -> Filled {
        let buffer = self.filled.iter().position(Option::is_none).expect("buffers are counted");
        let len = bytes.len() as u32;
        self.filled[buffer] = Some(bytes);
        Filled { buffer: buffer as u16, len }
    }

    fn sent(&mut self, socket: SocketId, result: Result<usize, i32>) -> Result<bool, i32> {
        let send = &mut self.kernel.0.borrow_mut().sockets[socket.0].send;
        let operation = &mut send.as_mut().expect("a send was in flight").operation;
        let whole = operation.completed(result.unwrap_or(0));
        let over = whole || result.is_err();
        if over && let Some(send) = send.take() {
            self.spare_sends.recycle(send.operation);
        }
        result.map(|_| whole)
    }
}

/// Ends what is under way, as a real ring does.
impl Drop for SimulatedRing {
    fn drop(&mut self) {
        self.slots.clear();
        let state = &mut *self.kernel.0.borrow_mut();
        for listener in &self.listeners {
            state.listeners[*listener as usize] =
                ListenerState { accepting: false, cancels: 0, closed: true };
        }
        state.cores[self.core].completions.clear();
        state.cores[self.core].timeout_at_ns = None;
    }
}

impl Ring for SimulatedRing {
    type Socket = Socket;
    type Listener = ();

    fn now(&self) -> Now {
        self.kernel.0.borrow().now
    }

    fn peer(socket: &Socket) -> Option<SocketAddr> {
        socket.kernel.socket(socket.id, |socket| socket.peer)
    }

    fn enter(&mut self) -> io::Result<()> {
        self.tally.calls += 1;
        let state = &mut *self.kernel.0.borrow_mut();
        self.queued.drain(..).for_each(|request| state.submit(self.core, request));
        Ok(())
    }

    fn has_queued(&mut self) -> bool {
        !self.queued.is_empty()
    }

    fn ready(&mut self) -> usize {
        self.kernel.0.borrow().cores[self.core].completions.len()
    }

    fn reap(&mut self) -> Option<Completion<Socket>> {
        let posted = self.kernel.0.borrow_mut().cores[self.core].completions.pop_front()?;
        Some(match posted {
            Posted::Accepted { listener, result, more } => {
                let result = result.map(|id| Socket::new(self.kernel.clone(), id));
                Completion::Accepted { listener, result, more }
            }
            Posted::AcceptCancelled { listener } => Completion::AcceptCancelled { listener },
            Posted::Received { slot, result, more } => {
                self.slots[slot as usize].under_way -= u32::from(!more);
                let result = result.map(|bytes| bytes.map(|bytes| self.fill(bytes)));
                Completion::Received { slot, result, more }
            }
            Posted::Sent { socket, slot, result } => {
                self.slots[slot as usize].under_way -= 1;
                Completion::Sent { slot, result: self.sent(socket, result) }
            }
            Posted::Cancelled { slot } => {
                self.slots[slot as usize].under_way -= 1;
                Completion::Cancelled { slot }
            }
            Posted::Timeout => Completion::Timeout,
        })
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn listen(&mut self, listener: u32, (): ()) {
        self.listeners.push(listener);
    }

    fn accept(&mut self, listener: u32) {
        assert!(self.listeners.contains(&listener), "the listener is open");
        self.queued.push(Request::Accept { listener });
    }

    fn cancel_accept(&mut self, listener: u32) {
        self.queued.push(Request::CancelAccept { listener });
    }

    fn close_listener(&mut self, listener: u32) {
        self.listeners.retain(|open| *open != listener);
        self.kernel.0.borrow_mut().listeners[listener as usize].closed = true;
    }

    fn open(&mut self, slot: u32, socket: Socket) {
        let places = self.slots.len().max(slot as usize + 1);
        self.slots.resize_with(places, Slot::default);
        self.kernel.0.borrow_mut().sockets[socket.id.0].at = Some((self.core, slot));
        let free = self.slots[slot as usize].socket.replace(socket).is_none();
        assert!(free, "a slot has one socket at a time");
    }

    fn is_busy(&self, slot: u32) -> bool {
        self.slots[slot as usize].under_way > 0
    }

    fn close(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        assert!(place.under_way == 0, "the kernel is done with a socket before it is closed");
        let socket = place.socket.take().expect("the slot has a socket");
        let sends = socket.kernel.socket(socket.id, |socket| socket.send.is_some());
        assert!(!sends, "a send has ended, or its rest was dropped");
    }

    fn receive(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::Receive { socket });
    }

    fn cancel_receive(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::Cancel { socket, what: Cancel::Receive });
    }

    fn cancel_all(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::Cancel { socket, what: Cancel::Everything });
    }

    fn send(&mut self, slot: u32, bytes: &mut Vec<Bytes>) {
        let operation = self.spare_sends.fill(bytes);
        let sending = Sending { operation, under_way: false, taken: 0 };
        let socket = self.id(slot);
        let before = self.kernel.0.borrow_mut().sockets[socket.0].send.replace(sending);
        assert!(before.is_none(), "one send at a time");
        self.send_rest(slot);
    }

    fn send_rest(&mut self, slot: u32) {
        let socket = self.id(slot);
        let sending = |send: &mut Option<Sending>| {
            send.as_mut().expect("a send was begun").operation.submit();
        };
        sending(&mut self.kernel.0.borrow_mut().sockets[socket.0].send);
        self.tally.sends += 1;
        self.begin(slot, |socket| Request::Send { socket });
    }

    fn drop_send(&mut self, slot: u32) {
        let socket = self.id(slot);
        let send = self.kernel.0.borrow_mut().sockets[socket.0].send.take();
        self.spare_sends.recycle(send.expect("a send was begun").operation);
    }

    fn shut_write(&mut self, slot: u32) {
        let socket = self.id(slot);
        self.kernel.0.borrow_mut().sockets[socket.0].write_shut = true;
    }

    fn buffers_free(&self) -> usize {
        self.kernel.0.borrow().cores[self.core].buffers_free
    }

    fn bytes(&self, filled: &Filled) -> &[u8] {
        let bytes = self.filled[usize::from(filled.buffer)].as_ref();
        &bytes.expect("a filled buffer")[..filled.len as usize]
    }

    fn put_back(&mut self, filled: Filled) {
        self.filled[usize::from(filled.buffer)].take().expect("a buffer is put back once");
        self.kernel.0.borrow_mut().cores[self.core].buffers_free += 1;
    }

    fn timeout(&mut self, at_ns: u64) {
        self.queued.push(Request::Timeout { at_ns });
    }

    fn move_timeout(&mut self, at_ns: u64) {
        self.queued.push(Request::MoveTimeout { at_ns });
    }
}
