//! One TCP connection: a client's bytes on their way to a core, a core's sends on their way to the
//! client, and the finite buffer between them. This file plays the kernel: what the driver of the
//! core has requested completes late, in part, or with an error.

use std::collections::VecDeque;

use blipmq::broker::ConnectionId;
use executors::simulated::{Cancel, Delivery, Kernel, SocketId};

use crate::random::Random;

// Error numbers of Linux.
const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;
const ENOBUFS: i32 = 105;
const ETIMEDOUT: i32 = 110;
const ECANCELED: i32 = 125;

/// Phase of the broker's half of a connection, as the relay sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Given to a core that has not accepted the connection yet.
    Accepted,
    Open,
    /// The broker has called `close`.
    Closing,
    /// The broker's `closed` was called.
    Gone,
}

/// How the client's half ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEnd {
    /// The client has not ended its half.
    No,
    /// The client sends no more, and goes on reading.
    HalfClosed,
    /// The client has closed the socket, and reads no more.
    Closed,
}

/// What passed over a wire whose client keeps no `Conversation`.
pub struct Record {
    /// What the broker has sent, whether the client has read it or not.
    pub sent: Vec<u8>,
    /// What the client has read and not parsed yet.
    pub unread: Vec<u8>,
}

pub struct Wire {
    kernel: Kernel,
    socket: SocketId,
    pub core: usize,
    /// For clients of the module `nats`, of both protocols.
    pub record: Option<Record>,
    /// Known once the core has accepted the connection.
    pub admitted: bool,
    pub phase: Phase,
    /// Set when the core has accepted the connection.
    pub id: ConnectionId,
    /// Written by the client, and not arrived yet.
    pub upstream: VecDeque<u8>,
    pub client_end: ClientEnd,
    /// Reset, or written to after the client had closed.
    pub broken: bool,
    /// A send has failed, and nothing else shows that the client is gone.
    fails_silently: bool,
    /// The broker has paused reading.
    pub paused: bool,
    /// A cancel that has completed before the operation that it cancels.
    cancelled: Option<Cancel>,
    /// Sends that completed with a part of their bytes.
    pub short_sends: u64,
    /// Cancels that completed before what they cancelled.
    pub early_cancels: u64,
    /// When a send was last completed.
    pub last_taken_ns: u64,
    /// The socket buffer: sent by the broker, and not read by the client yet.
    pub downstream: VecDeque<u8>,
    pub downstream_len_max: usize,
    /// Sends complete at once, and the client reads at once.
    pub fast: bool,
    /// The client does not read.
    pub stalled: bool,
}

impl Wire {
    pub fn new(
        kernel: Kernel,
        socket: SocketId,
        core: usize,
        (fast, downstream_len_max): (bool, usize),
    ) -> Wire {
        Wire {
            kernel,
            socket,
            core,
            record: None,
            admitted: true,
            phase: Phase::Accepted,
            id: ConnectionId { slot: blipmq::broker::Slot(u32::MAX), generation: 0 },
            upstream: VecDeque::new(),
            client_end: ClientEnd::No,
            broken: false,
            fails_silently: false,
            paused: false,
            cancelled: None,
            short_sends: 0,
            early_cancels: 0,
            last_taken_ns: 0,
            downstream: VecDeque::new(),
            downstream_len_max,
            fast,
            stalled: false,
        }
    }

    /// The kernel's part of a tick.
    pub fn network(&mut self, random: &mut Random, is_quiescing: bool) {
        self.arrive(random);
        self.end(random);
        self.send_on(random, is_quiescing);
        self.cancel(random, is_quiescing);
    }

    /// The next bytes arrive at the core, if any do now.
    fn arrive(&mut self, random: &mut Random) {
        if self.broken || self.upstream.is_empty() || !self.kernel.is_receiving(self.socket) {
            return;
        }
        let some = match random.below(4) {
            0 => random.below(12) + 1,
            1 => random.below(200) + 1,
            _ => 1 << 20,
        };
        let len = some.min(self.upstream.len());
        let bytes: Vec<u8> = self.upstream.iter().take(len).copied().collect();
        let more = !random.chance(3);
        if let Delivery::Taken(len) = self.kernel.deliver(self.socket, &bytes, more) {
            self.upstream.drain(..len);
        }
    }

    /// The end of the client arrives, or the receive ends for another reason.
    fn end(&mut self, random: &mut Random) {
        if !self.kernel.is_receiving(self.socket) {
            if self.broken && !self.fails_silently && random.chance(10) {
                // The watch of a paused connection, if there is one.
                self.kernel.hang_up(self.socket);
            }
            return;
        }
        if self.fails_silently || (self.broken && self.is_sending() && self.may_fail_silently()) {
            // The failed send is all that the core gets to know.
        } else if self.broken {
            let error = random.pick(&[ECONNRESET, ECONNRESET, ETIMEDOUT]);
            self.kernel.fail_receive(self.socket, error);
        } else if self.client_end != ClientEnd::No && self.upstream.is_empty() {
            self.kernel.deliver_end(self.socket);
        } else if random.chance(1) {
            // A buffer was missing for a moment, or there is no reason at all.
            self.kernel.fail_receive(self.socket, random.pick(&[ENOBUFS, ECANCELED]));
        }
    }

    /// Of every second connection only the sends fail.
    fn may_fail_silently(&self) -> bool {
        self.socket.0.is_multiple_of(2)
    }

    /// Makes progress with the send under way.
    pub fn send_on(&mut self, random: &mut Random, is_quiescing: bool) {
        let Some(left) = self.kernel.sending(self.socket) else { return };
        if self.client_end == ClientEnd::Closed {
            // The first bytes are answered with a reset.
            self.broken = true;
        }
        if self.broken {
            let error = random.pick(&[ECONNRESET, EPIPE]);
            self.kernel.fail_send(self.socket, error);
            self.fails_silently = self.may_fail_silently();
            return;
        }
        let room = self.downstream_len_max.saturating_sub(self.downstream.len());
        let mut len = left.min(room);
        if !self.fast && len > 1 && random.chance(20) {
            len = random.below(len) + 1;
        }
        self.downstream.extend(self.kernel.take(self.socket, len));
        let completes = match len == left {
            // The completion may be late.
            true => self.fast || is_quiescing || !random.chance(15),
            // A signal has ended the send early.
            false => len > 0 && random.chance(5),
        };
        if completes {
            self.short_sends += u64::from(len < left);
            self.kernel.complete_send(self.socket);
        }
    }

    /// Carries out cancels: late, and before or after the operations that they cancel.
    fn cancel(&mut self, random: &mut Random, is_quiescing: bool) {
        if is_quiescing || random.chance(50) {
            self.end_cancelled();
        }
        while let Some(cancel) = self.kernel.cancel_of(self.socket) {
            match random.below(4) {
                0 if !is_quiescing => return,
                1 => {
                    self.end_cancelled();
                    self.kernel.answer_cancel(self.socket);
                    self.cancelled = Some(cancel);
                    self.early_cancels += 1;
                }
                2 => {
                    self.kernel.answer_cancel(self.socket);
                    self.end_under_way(cancel);
                }
                _ => {
                    self.kernel.carry_out_cancel(self.socket);
                }
            }
        }
    }

    fn end_cancelled(&mut self) {
        if let Some(cancel) = self.cancelled.take() {
            self.end_under_way(cancel);
        }
    }

    fn end_under_way(&mut self, cancel: Cancel) {
        self.kernel.fail_receive(self.socket, ECANCELED);
        if cancel == Cancel::Everything {
            self.kernel.cancel_send(self.socket);
            self.kernel.cancel_watch(self.socket);
        }
    }

    /// What the client reads now.
    pub fn reading(&mut self, random: &mut Random) -> Vec<u8> {
        let reads = !self.stalled && !self.broken && self.client_end != ClientEnd::Closed;
        if !reads || self.downstream.is_empty() {
            return Vec::new();
        }
        let len = match random.below(4) {
            0 => random.below(12) + 1,
            _ => self.downstream.len(),
        };
        let len = len.min(self.downstream.len());
        self.downstream.drain(..len).collect()
    }

    /// Whether the core receives on a connection that the broker has paused, and does not cancel that.
    pub fn is_read_though_paused(&self) -> bool {
        let is_cancelled = self.cancelled.is_some() || self.kernel.cancel_of(self.socket).is_some();
        self.paused && self.kernel.is_receiving(self.socket) && !is_cancelled
    }

    /// Whether a send of the core is under way.
    pub fn is_sending(&self) -> bool {
        self.kernel.sending(self.socket).is_some()
    }

    /// Whether the server has ended its half: the client has its end behind all that was sent.
    pub fn is_write_shut(&self) -> bool {
        self.kernel.is_write_shut(self.socket)
    }

    /// Whether the client has read everything up to the server's end.
    pub fn at_end(&self) -> bool {
        self.broken || (self.is_write_shut() && !self.is_sending() && self.downstream.is_empty())
    }

    /// Whether anything is left to move.
    pub fn is_quiet(&self) -> bool {
        let is_never_read = self.broken || self.client_end == ClientEnd::Closed;
        let is_never_received = self.broken || matches!(self.phase, Phase::Closing | Phase::Gone);
        // The end of the client's half, after what the client sent.
        let has_ended = self.broken || self.client_end != ClientEnd::No;
        let is_receiving = self.kernel.is_receiving(self.socket);
        let end_is_to_come = has_ended && is_receiving && !self.fails_silently;
        let is_cancelled = self.phase != Phase::Gone
            && (self.cancelled.is_some() || self.kernel.cancel_of(self.socket).is_some());
        !self.is_sending()
            && !end_is_to_come
            && !is_cancelled
            && (self.downstream.is_empty() || is_never_read)
            && (self.upstream.is_empty() || is_never_received)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("phase", &self.phase)
            .field("client_end", &self.client_end)
            .field("broken", &self.broken)
            .field("paused", &self.paused)
            .field("stalled", &self.stalled)
            .field("upstream", &self.upstream.len())
            .field("is_receiving", &self.kernel.is_receiving(self.socket))
            .field("cancel", &(self.kernel.cancel_of(self.socket), self.cancelled))
            .field("sending", &self.kernel.sending(self.socket))
            .field("downstream", &self.downstream.len())
            .finish()
    }
}
