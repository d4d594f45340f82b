//! The place that an admitted connection has, among those of its address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The place of an admitted connection: one of those of its address. The addresses of an IPv6 network
/// of 64 bits count as one, because whoever has one of them has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(IpAddr);

impl Place {
    pub(crate) fn of(peer: SocketAddr) -> Place {
        match peer.ip().to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Place(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Place(address),
        }
    }
}
