//! Sockets that listen: what `launch` is given.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use std::{io, thread};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::error::StartError;

pub use crate::error::Purpose;

/// Connections that wait to be accepted; the kernel cuts this to net.core.somaxconn.
pub const BACKLOG: i32 = 16_384;

/// A port that is taken is tried again, for two seconds in all.
const BIND_RETRIES: u32 = 40;
const BIND_RETRY_REST: Duration = Duration::from_millis(50);

/// Binds and listens, and waits a moment for a port that is taken.
pub fn bind(address: SocketAddr, purpose: Purpose) -> Result<TcpListener, StartError> {
    let mut tries = 0;
    loop {
        match try_bind(address) {
            // A process that was killed is gone some milliseconds before its io_uring lets go of
            // the port; a restart need not fail for that.
            Err(source) if source.kind() == io::ErrorKind::AddrInUse && tries < BIND_RETRIES => {
                tries += 1;
                thread::sleep(BIND_RETRY_REST);
            }
            bound => {
                return bound.map_err(|source| {
                    let fix = listen_fix(source.kind());
                    StartError::Listen { address, purpose, source, fix }
                });
            }
        }
    }
}

/// Binds and listens, at once or not at all. Accepted sockets inherit the options set here.
///
/// `0.0.0.0` is every IPv4 address. `[::]` is every address of both families, whatever
/// net.ipv6.bindv6only says.
pub fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
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

/// What to do about an address that cannot be listened on; where the address is set comes after.
pub fn listen_fix(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "another process has this port, maybe a second instance: stop it or choose another"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: choose another"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: choose another"
        }
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: Purpose = Purpose { of: "clients", change: "--listen" };

    #[test]
    fn a_taken_port_is_an_error_that_says_how_to_choose_another() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), CLIENTS).expect("a free port");
        let taken = first.local_addr().expect("bound");
        let error = bind(taken, CLIENTS).expect_err("the port is taken").to_string();
        assert!(error.starts_with(&format!("cannot listen on {taken} for clients: ")), "{error}");
        assert!(error.ends_with("choose another with --listen"), "{error}");
    }

    /// Goal: `[::]` serves both families, whatever the machine's default, and `0.0.0.0` one.
    #[test]
    fn every_address_of_both_families_is_served_by_the_one_of_ipv6() {
        let any = |address: &str| try_bind(SocketAddr::new(address.parse().expect("one"), 0));
        let connects = |listener: &TcpListener, to: &str| {
            let port = listener.local_addr().expect("bound").port();
            std::net::TcpStream::connect((to, port)).is_ok()
        };
        let ipv4 = any("0.0.0.0").expect("a free port");
        assert!(connects(&ipv4, "127.0.0.1") && !connects(&ipv4, "::1"));
        match any("::") {
            Ok(both) => assert!(connects(&both, "127.0.0.1") && connects(&both, "::1")),
            Err(error) => eprintln!("SKIPPED: this machine has no IPv6: {error}"),
        }
    }
}
