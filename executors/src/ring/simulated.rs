//! The simulated ring: requests go to a [`Kernel`] in memory, and its caller decides when and how
//! each of them completes.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

use super::kernel::state::{ListenerState, Posted, Request, Sending, SocketState};
use super::kernel::{Cancel, Deferred, Kernel, SocketId};
use super::send::SpareSends;
use super::{Completion, Filled, Ring, Tally, is_shortage};
use crate::clock::Now;

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
        let is_full = bytes.len() == self.kernel.0.borrow().cores[self.core].buffer_len;
        self.filled[buffer] = Some(bytes);
        Filled { buffer: buffer as u16, len, is_full }
    }

    fn sent(&mut self, socket: SocketId, result: Result<usize, i32>) -> Result<bool, i32> {
        let send = &mut self.kernel.0.borrow_mut().sockets[socket.0].send;
        let operation = &mut send.as_mut().expect("a send was in flight").operation;
        let whole = operation.completed(result.unwrap_or(0));
        let over = whole || result.is_err_and(|error| !is_shortage(error));
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

    fn enter(&mut self) -> io::Result<bool> {
        self.tally.calls += 1;
        let state = &mut *self.kernel.0.borrow_mut();
        let short = &mut state.cores[self.core].enters_short;
        if *short > 0 {
            *short -= 1;
            return Ok(false);
        }
        self.queued.drain(..).for_each(|request| state.submit(self.core, request));
        state.cores[self.core].deferred.take_if(|deferred| *deferred == Deferred::Work);
        Ok(true)
    }

    fn has_queued(&mut self) -> bool {
        !self.queued.is_empty()
    }

    fn has_deferred(&mut self) -> bool {
        self.kernel.0.borrow().cores[self.core].deferred.is_some()
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
            Posted::Watched { slot, result } => {
                self.slots[slot as usize].under_way -= 1;
                Completion::Watched { slot, result }
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
        self.begin(slot, |socket| Request::Receive { socket, once: false });
    }

    fn receive_once(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::Receive { socket, once: true });
    }

    fn cancel_receive(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::Cancel { socket, what: Cancel::Receive });
    }

    fn watch_end(&mut self, slot: u32) {
        self.begin(slot, |socket| Request::WatchEnd { socket });
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

    fn is_delivered(&self, slot: u32) -> bool {
        self.kernel.socket(self.id(slot), |socket| socket.write_shut && socket.delivered)
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
