//! How connections come in: from the completion of an accept to the core that gets the connection.

use std::io;

use crate::accept::{Accepted, Accepting};
use crate::clock::Now;
use crate::driver::Driver;
use crate::place::Place;
use crate::ring::Ring;
use crate::service::{Admission, Observed, Service, Shortage};

/// How long accepting rests after the process ran out of descriptors or memory.
const ACCEPT_REST_NS: u64 = 100_000_000;

impl<S: Service, R: Ring> Driver<S, R> {
    /// Gives a connection to one core, without regard to how many each has.
    pub(crate) fn deal_to(&mut self, socket: R::Socket, listener: usize, core: usize) {
        let now = self.io.ring.now();
        if let Some(accepting) = &mut self.accepting {
            let full = accepting.dealer.deal_to::<R>(now, socket, listener, core);
            self.observe_full(full);
        }
    }

    /// Closes the listeners, once that is wanted.
    pub(super) fn begin_refusing(&mut self) {
        if self.refuses || !self.stop.refuses() {
            return;
        }
        self.refuses = true;
        for listener in self.accepting.iter().flat_map(Accepting::listeners) {
            self.io.ring.cancel_accept(listener);
        }
    }

    /// Asks for connections of the listeners that rest, unless this core does not accept any more.
    pub(super) fn accept(&mut self) {
        if !self.refuses
            && let Some(accepting) = &mut self.accepting
        {
            for listener in accepting.wake() {
                self.io.ring.accept(listener);
            }
        }
    }

    pub(super) fn accept_completed(
        &mut self,
        now: Now,
        listener: u32,
        result: Result<R::Socket, i32>,
        more: bool,
    ) {
        if !more && let Some(accepting) = &mut self.accepting {
            accepting.ended(listener);
        }
        match result {
            Ok(socket) => {
                if !self.refuses
                    && let Some(accepting) = &mut self.accepting
                {
                    let full = accepting.dealer.deal::<R>(now, socket, listener as usize);
                    self.observe_full(full);
                }
            }
            Err(libc::ECANCELED) => {}
            Err(error) => {
                let error = io::Error::from_raw_os_error(error);
                tracing::warn!(%error, "accepting failed: raise the open-file limit or close connections");
                self.service.observe(Observed::Short { what: Shortage::Accept });
                self.accept_rests_until_ns = Some(now.monotonic_ns + ACCEPT_REST_NS);
                return;
            }
        }
        // Listeners that rest after an error wait for their time.
        if self.accept_rests_until_ns.is_none() {
            self.accept();
        }
    }

    pub(super) fn take_accepted(&mut self, now: Now) {
        while let Ok(accepted) = self.accepted.try_recv() {
            let Accepted { socket, peer, listener, admission } = accepted;
            let place = (admission == Admission::Admitted).then(|| Place::of(peer));
            let connection = self.io.open(socket, place);
            self.service.connected(now, connection, peer, listener, admission);
        }
    }

    fn observe_full(&mut self, connections: Option<u32>) {
        if let Some(connections) = connections {
            self.service.observe(Observed::Full { connections });
        }
    }
}
