//! Accepting connections on core 0, of every listener, and giving each to the core with the fewest.
//!
//! `SO_REUSEPORT` would spread by a hash of addresses, which is uneven with few connections; here
//! the counts decide.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{io, thread};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::launch::Tuning;
use crate::mesh::Waker;
use crate::preflight::listen_error;
use crate::{StartError, clock};

/// Connections over the limit that are told so at the same time; one more is closed unheard.
const TURNED_AWAY_MAX: u32 = 64;
/// Connections that wait to be accepted; the kernel cuts this to net.core.somaxconn, for which
/// `deploy/sysctl.d/60-blipmq.conf` has the same number.
pub const BACKLOG: i32 = 16_384;

/// A port that is taken is tried again, for two seconds in all.
const BIND_RETRIES: u32 = 40;
const BIND_RETRY_REST: Duration = Duration::from_millis(50);

/// What a listener is for, in the words of its error.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// Whose connections it takes, such as "clients".
    pub of: &'static str,
    /// What changes its address, such as "--bind or server.bind_addr", and how to do without it
    /// if one can.
    pub change: &'static str,
}

/// Binds and listens, and waits a moment for a port that is taken.
pub fn bind(address: SocketAddr, purpose: Purpose) -> Result<TcpListener, StartError> {
    let mut tries = 0;
    loop {
        match try_bind(address) {
            // A process that was killed is gone some milliseconds before its io_uring lets go of
            // the port; whoever restarts a broker at once need not notice.
            Err(source) if source.kind() == io::ErrorKind::AddrInUse && tries < BIND_RETRIES => {
                tries += 1;
                thread::sleep(BIND_RETRY_REST);
            }
            bound => return bound.map_err(|source| listen_error(address, purpose, source)),
        }
    }
}

/// Binds and listens, at once or not at all. Accepted sockets inherit the options set here.
pub fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Batches are made in user space; the kernel must not hold the last one back.
    socket.set_tcp_nodelay(true)?;
    // A peer whose machine vanished holds memory until this finds out: after about 2 minutes.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4),
    )?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// An accepted socket on its way to its core.
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: SocketAddr,
    /// Index of the listener it came by.
    pub(crate) listener: usize,
    pub(crate) admitted: bool,
}

/// How many connections each core has. Core 0 adds, the owners take away.
#[derive(Debug)]
pub(crate) struct Balance {
    connections: Vec<AtomicU32>,
}

impl Balance {
    pub(crate) fn new(cores: usize) -> Arc<Balance> {
        Arc::new(Balance { connections: (0..cores).map(|_| AtomicU32::new(0)).collect() })
    }

    fn total(&self) -> u32 {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn fewest(&self) -> usize {
        let counts = self.connections.iter().enumerate();
        counts.min_by_key(|(_, count)| count.load(Ordering::Relaxed)).expect("at least one core").0
    }

    pub(crate) fn left(&self, core: usize) {
        self.connections[core].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The listeners of core 0, and where their connections go.
pub(crate) struct Accepting {
    /// `None` once it is closed.
    listeners: Vec<Option<Listening>>,
    pub(crate) dealer: Dealer,
}

struct Listening {
    socket: TcpListener,
    /// No accept is under way.
    rests: bool,
}

impl Accepting {
    pub(crate) fn new(listeners: Vec<TcpListener>, dealer: Dealer) -> Accepting {
        let listeners = listeners.into_iter();
        let listeners = listeners.map(|socket| Some(Listening { socket, rests: true })).collect();
        Accepting { listeners, dealer }
    }

    /// The listeners that are open.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = u32> {
        let listeners = self.listeners.iter().enumerate();
        listeners.filter(|(_, listening)| listening.is_some()).map(|(index, _)| index as u32)
    }

    /// The accept of a listener ended.
    pub(crate) fn rests(&mut self, listener: u32) {
        if let Some(listening) = &mut self.listeners[listener as usize] {
            listening.rests = true;
        }
    }

    /// Those that rest, for an accept of each: from now on they do not.
    pub(crate) fn wake(&mut self) -> impl Iterator<Item = (u32, RawFd)> {
        self.listeners.iter_mut().enumerate().filter_map(|(index, listening)| {
            let listening = listening.as_mut().filter(|listening| listening.rests)?;
            listening.rests = false;
            Some((index as u32, listening.socket.as_raw_fd()))
        })
    }

    /// Closes a listener; whether it was the last.
    pub(crate) fn stopped(&mut self, listener: u32) -> bool {
        self.listeners[listener as usize] = None;
        self.listeners.iter().all(Option::is_none)
    }
}

/// Core 0's half: decides where a socket goes.
pub(crate) struct Dealer {
    tuning: Arc<Tuning>,
    balance: Arc<Balance>,
    cores: Vec<Sender<Accepted>>,
    wakers: Arc<[Arc<Waker>]>,
    turned_away_last_warning_ns: u64,
}

impl Dealer {
    /// The dealer and each core's receiving end.
    pub(crate) fn new(
        tuning: Arc<Tuning>,
        balance: Arc<Balance>,
        wakers: Arc<[Arc<Waker>]>,
    ) -> (Dealer, Vec<Receiver<Accepted>>) {
        // What waits in them is bounded by `balance`, and rarely more than a few.
        let (cores, receivers) = wakers.iter().map(|_| unbounded()).unzip();
        let dealer = Dealer { tuning, balance, cores, wakers, turned_away_last_warning_ns: 0 };
        (dealer, receivers)
    }

    /// Gives an accepted socket to the core with the fewest connections.
    pub(crate) fn deal(&mut self, socket: OwnedFd, listener: usize) {
        let total = self.balance.total();
        let connections_max = self.tuning.connections_max.load(Ordering::Relaxed);
        if total >= connections_max {
            self.warn_of_limit(total);
            if total >= connections_max + TURNED_AWAY_MAX {
                return;
            }
        }
        let peer = SockRef::from(&socket).peer_addr().ok().and_then(|address| address.as_socket());
        // A peer that is gone already has no address.
        let Some(peer) = peer else { return };
        let core = self.balance.fewest();
        self.balance.connections[core].fetch_add(1, Ordering::Relaxed);
        let admitted = total < connections_max;
        let accepted = Accepted { socket, peer, listener, admitted };
        match self.cores[core].send(accepted) {
            Ok(()) => self.wakers[core].wake(),
            // That core has stopped, or never started: this one stops too.
            Err(_) => self.balance.left(core),
        }
    }

    fn warn_of_limit(&mut self, total: u32) {
        let now_ns = clock::Now::read().monotonic_ns;
        if now_ns - self.turned_away_last_warning_ns > 1_000_000_000 {
            self.turned_away_last_warning_ns = now_ns;
            tracing::warn!(
                connections = total,
                "server.max_connections is reached: new connections are refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: Purpose = Purpose { of: "clients", change: "--bind or server.bind_addr" };

    #[test]
    fn sockets_go_to_the_core_with_the_fewest_and_the_limit_counts_all_cores() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), CLIENTS).expect("a free port");
        let wakers: Arc<[_]> =
            (0..2).map(|_| Arc::new(Waker::new().expect("an eventfd"))).collect();
        let balance = Balance::new(2);
        let tuning = Tuning::new(3, Duration::ZERO);
        let (mut dealer, cores) = Dealer::new(tuning.clone(), balance.clone(), wakers);
        let address = listener.local_addr().expect("bound");
        let mut clients = Vec::new();
        let mut deal = |dealer: &mut Dealer| {
            clients.push(std::net::TcpStream::connect(address).expect("connects"));
            dealer.deal(listener.accept().expect("accepts").0.into(), 0);
        };
        deal(&mut dealer);
        deal(&mut dealer);
        assert_eq!((cores[0].len(), cores[1].len()), (1, 1));
        balance.left(1);
        deal(&mut dealer);
        assert_eq!((cores[0].len(), cores[1].len()), (1, 2));
        deal(&mut dealer);
        deal(&mut dealer);
        let admitted = || -> Vec<bool> {
            let accepted = cores.iter().flat_map(|core| core.try_iter());
            accepted.map(|accepted| accepted.admitted).collect()
        };
        assert_eq!(admitted().iter().filter(|admitted| !**admitted).count(), 1);
        tuning.set_connections_max(6);
        deal(&mut dealer);
        assert_eq!(admitted(), [true], "there is room again");
    }

    #[test]
    fn a_socket_for_a_core_that_has_stopped_is_closed_and_not_counted() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), CLIENTS).expect("a free port");
        let wakers: Arc<[_]> = Arc::new([Arc::new(Waker::new().expect("an eventfd"))]);
        let balance = Balance::new(1);
        let (mut dealer, cores) =
            Dealer::new(Tuning::new(3, Duration::ZERO), balance.clone(), wakers);
        drop(cores);
        let address = listener.local_addr().expect("bound");
        let mut client = std::net::TcpStream::connect(address).expect("connects");
        dealer.deal(listener.accept().expect("accepts").0.into(), 0);
        assert_eq!(balance.total(), 0);
        assert_eq!(std::io::Read::read(&mut client, &mut [0]).expect("its end"), 0);
    }

    #[test]
    fn a_taken_port_is_an_error_that_says_how_to_choose_another() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), CLIENTS).expect("a free port");
        let taken = first.local_addr().expect("bound");
        let error = bind(taken, CLIENTS).expect_err("the port is taken").to_string();
        assert!(error.starts_with(&format!("cannot listen on {taken} for clients: ")), "{error}");
        assert!(error.ends_with("choose another with --bind or server.bind_addr"), "{error}");
    }
}
