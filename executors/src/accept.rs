//! Accepting connections on core 0, of every listener, and giving each to the core with the fewest.
//!
//! `SO_REUSEPORT` would spread by a hash of addresses, which is uneven with few connections; here
//! the counts decide.

mod addresses;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::clock::Now;
use crate::control::Tuning;
use crate::place::Place;
use crate::ring::Ring;
use crate::service::Admission;
use crate::waker::Waker;
use addresses::Addresses;

/// Connections over the limit that the service refuses at the same time; one more is closed unheard.
const TURNED_AWAY_MAX: u32 = 64;

/// How often it is reported that connections are over the limit.
const REPORT_INTERVAL_NS: u64 = 1_000_000_000;

/// An accepted socket on its way to its core.
pub(crate) struct Accepted<S> {
    pub(crate) socket: S,
    pub(crate) peer: SocketAddr,
    /// Index of the listener it came by.
    pub(crate) listener: usize,
    pub(crate) admission: Admission,
}

/// How many connections each core has. Core 0 adds, the owners take away.
#[derive(Debug)]
pub(crate) struct Balance {
    /// Admitted ones, by core.
    connections: Vec<AtomicU32>,
    /// Those that are being refused, which keep no place from others.
    turned_away: AtomicU32,
    /// Admitted ones, by address.
    addresses: Mutex<Addresses>,
}

impl Balance {
    pub(crate) fn new(cores: usize) -> Arc<Balance> {
        let connections = (0..cores).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Balance {
            connections,
            turned_away: AtomicU32::new(0),
            addresses: Mutex::default(),
        })
    }

    fn total(&self) -> u32 {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn fewest(&self) -> usize {
        let counts = self.connections.iter().enumerate();
        counts.min_by_key(|(_, count)| count.load(Ordering::Relaxed)).expect("at least one core").0
    }

    fn came(&self, core: usize, place: Option<Place>) {
        match place {
            Some(_) => self.connections[core].fetch_add(1, Ordering::Relaxed),
            None => self.turned_away.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// A connection is gone, and its place free.
    pub(crate) fn left(&self, core: usize, place: Option<Place>) {
        match place {
            Some(place) => {
                self.connections[core].fetch_sub(1, Ordering::Relaxed);
                self.addresses().left(place);
            }
            None => drop(self.turned_away.fetch_sub(1, Ordering::Relaxed)),
        }
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().expect("no thread panics with it")
    }
}

/// The listeners of core 0, and where their connections go.
pub(crate) struct Accepting<S> {
    listeners: Vec<Listening>,
    pub(crate) dealer: Dealer<S>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listening {
    /// Open, without an accept under way.
    Resting,
    Accepting,
    Closed,
}

impl<S> Accepting<S> {
    /// Of so many listeners, which rest.
    pub(crate) fn new(listeners: usize, dealer: Dealer<S>) -> Accepting<S> {
        Accepting { listeners: vec![Listening::Resting; listeners], dealer }
    }

    /// The listeners that are open.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = u32> {
        let listeners = self.listeners.iter().enumerate();
        listeners.filter(|(_, state)| **state != Listening::Closed).map(|(index, _)| index as u32)
    }

    /// Notes that the accept of a listener ended.
    pub(crate) fn ended(&mut self, listener: u32) {
        let state = &mut self.listeners[listener as usize];
        if *state == Listening::Accepting {
            *state = Listening::Resting;
        }
    }

    /// The listeners that rest, for an accept of each: from now on none rests.
    pub(crate) fn wake(&mut self) -> impl Iterator<Item = u32> {
        let listeners = self.listeners.iter_mut().enumerate();
        listeners.filter(|(_, state)| **state == Listening::Resting).map(|(index, state)| {
            *state = Listening::Accepting;
            index as u32
        })
    }

    /// Notes that a listener is closed; returns whether all are.
    pub(crate) fn closed(&mut self, listener: u32) -> bool {
        self.listeners[listener as usize] = Listening::Closed;
        self.listeners.iter().all(|state| *state == Listening::Closed)
    }
}

/// Core 0's half: decides where a socket goes.
pub(crate) struct Dealer<S> {
    tuning: Arc<Tuning>,
    balance: Arc<Balance>,
    cores: Vec<Sender<Accepted<S>>>,
    wakers: Arc<[Arc<Waker>]>,
    reported_ns: Option<u64>,
}

impl<S> Dealer<S> {
    /// The dealer and each core's receiving end.
    pub(crate) fn new(
        tuning: Arc<Tuning>,
        balance: Arc<Balance>,
        wakers: Arc<[Arc<Waker>]>,
    ) -> (Dealer<S>, Vec<Receiver<Accepted<S>>>) {
        // What waits in them is bounded by `balance`, and rarely more than a few.
        let (cores, receivers) = wakers.iter().map(|_| unbounded()).unzip();
        (Dealer { tuning, balance, cores, wakers, reported_ns: None }, receivers)
    }

    /// Gives an accepted socket to the core with the fewest connections. Returns the number of
    /// connections if they are too many, at most once a second.
    pub(crate) fn deal<R: Ring<Socket = S>>(
        &mut self,
        now: Now,
        socket: S,
        listener: usize,
    ) -> Option<u32> {
        let core = self.balance.fewest();
        self.deal_to::<R>(now, socket, listener, core)
    }

    /// Gives an accepted socket to one core.
    pub(crate) fn deal_to<R: Ring<Socket = S>>(
        &mut self,
        now: Now,
        socket: S,
        listener: usize,
        core: usize,
    ) -> Option<u32> {
        // A peer that is gone already has no address.
        let peer = R::peer(&socket)?;
        let total = self.balance.total();
        let is_full = total >= self.tuning.connections_max();
        let report = if is_full { self.report(now, total) } else { None };
        let admission = match is_full {
            true => Admission::Full,
            false => self.balance.addresses().admit(now, Place::of(peer), &self.tuning),
        };
        let turned_away = self.balance.turned_away.load(Ordering::Relaxed);
        if admission != Admission::Admitted && turned_away >= TURNED_AWAY_MAX {
            return report;
        }
        let place = (admission == Admission::Admitted).then(|| Place::of(peer));
        self.balance.came(core, place);
        let accepted = Accepted { socket, peer, listener, admission };
        match self.cores[core].send(accepted) {
            Ok(()) => self.wakers[core].wake(),
            // That core has stopped, or never started: this one stops too.
            Err(_) => self.balance.left(core, place),
        }
        report
    }

    fn report(&mut self, now: Now, total: u32) -> Option<u32> {
        let rests = |at: u64| now.monotonic_ns - at <= REPORT_INTERVAL_NS;
        if self.reported_ns.is_some_and(rests) {
            return None;
        }
        self.reported_ns = Some(now.monotonic_ns);
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::ring::data::DataRing;

    fn listener() -> TcpListener {
        TcpListener::bind(("127.0.0.1", 0)).expect("a free port")
    }

    #[test]
    fn sockets_go_to_the_core_with_the_fewest_and_the_limit_counts_all_cores() {
        let listener = listener();
        let wakers: Arc<[_]> =
            (0..2).map(|_| Arc::new(Waker::new().expect("an eventfd"))).collect();
        let balance = Balance::new(2);
        let tuning = Tuning::new(3, Duration::ZERO);
        let (mut dealer, cores) = Dealer::new(tuning.clone(), balance.clone(), wakers);
        let local = Place::of(([127, 0, 0, 1], 1).into());
        let address = listener.local_addr().expect("bound");
        let mut clients = Vec::new();
        let mut deal = |dealer: &mut Dealer<_>| {
            clients.push(TcpStream::connect(address).expect("connects"));
            let socket = listener.accept().expect("accepts").0.into();
            dealer.deal::<DataRing>(Now { monotonic_ns: 7, unix_ns: 0 }, socket, 0)
        };
        deal(&mut dealer);
        deal(&mut dealer);
        assert_eq!((cores[0].len(), cores[1].len()), (1, 1));
        balance.left(1, Some(local));
        deal(&mut dealer);
        assert_eq!((cores[0].len(), cores[1].len()), (1, 2));
        assert_eq!(deal(&mut dealer), None);
        assert_eq!(deal(&mut dealer), Some(3), "one over the limit is reported");
        let admitted = || -> Vec<bool> {
            let accepted = cores.iter().flat_map(|core| core.try_iter());
            accepted.map(|accepted| accepted.admission == Admission::Admitted).collect()
        };
        assert_eq!(admitted().iter().filter(|admitted| !**admitted).count(), 1);
        assert_eq!(deal(&mut dealer), None, "the second one within a second is not");
        assert_eq!(admitted(), [false]);
        tuning.set_connections_max(3);
        balance.left(1, Some(local));
        deal(&mut dealer);
        assert_eq!(admitted(), [true], "those that are being refused keep no place");
    }

    #[test]
    fn a_socket_for_a_core_that_has_stopped_is_closed_and_not_counted() {
        let listener = listener();
        let wakers: Arc<[_]> = Arc::new([Arc::new(Waker::new().expect("an eventfd"))]);
        let balance = Balance::new(1);
        let tuning = Tuning::new(3, Duration::ZERO);
        let (mut dealer, cores) = Dealer::new(tuning, balance.clone(), wakers);
        drop(cores);
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("connects");
        let socket = listener.accept().expect("accepts").0.into();
        dealer.deal::<DataRing>(Now::read(), socket, 0);
        assert_eq!(balance.total(), 0);
        assert_eq!(std::io::Read::read(&mut client, &mut [0]).expect("its end"), 0);
    }
}
