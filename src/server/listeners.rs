//! The listeners of the broker: at which address which protocol is served.
//!
//! Called by `server` at the start. The bound table is then shared: `relay` finds the protocol of a
//! connection in it, the ready line and the admin pages print its addresses.
//!
//! # Always true
//! - A connection carries the index of the socket that accepted it, and [`Bound`] makes sockets and
//!   rows in one loop: the row at that index is the row of that socket, whichever endpoints are
//!   disabled.
//! - A further protocol is one more row of [`ENDPOINTS`].

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use blipmq::broker::Protocol;
use blipmq::config::Settings;
use executors::listener::{self, Purpose};

/// An endpoint that the settings can enable.
pub struct Endpoint {
    /// The name in the admin API.
    pub name: &'static str,
    /// The name in the ready line.
    title: &'static str,
    /// The protocol that is spoken there.
    frontend: Protocol,
    /// The words of the error when the address cannot be listened on.
    purpose: Purpose,
    /// The configured address, `None` if the endpoint is disabled.
    address: fn(&Settings) -> Option<SocketAddr>,
}

/// Every endpoint, in the order in which they are bound and printed.
pub static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        name: "blip",
        title: "BLIP",
        frontend: Protocol::Blip,
        purpose: Purpose { of: "clients", change: "--bind or `[server] bind_addr`" },
        address: |settings| Some(settings.server.bind_addr),
    },
    Endpoint {
        name: "nats",
        title: "NATS",
        frontend: Protocol::Nats,
        purpose: Purpose {
            of: "NATS clients",
            change: "--nats-bind or `[nats] bind_addr`, or do without NATS: `[nats] enabled = false`",
        },
        address: |settings| settings.nats.enabled.then_some(settings.nats.bind_addr),
    },
];

/// A row of the table: an address at which clients are accepted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The name in the admin API.
    pub name: &'static str,
    /// The name in the ready line.
    pub title: &'static str,
    /// The bound address: the port that the system chose if the settings say port 0.
    pub address: SocketAddr,
    /// The protocol of the connections that this listener accepts.
    pub frontend: Protocol,
}

/// The listeners of a broker that starts.
pub struct Bound {
    /// The sockets, for the executors.
    pub sockets: Vec<TcpListener>,
    /// The row of each socket, in the same order.
    pub rows: Arc<[Listener]>,
}

impl Bound {
    /// Binds every enabled endpoint.
    pub fn bind(
        endpoints: impl IntoIterator<Item = &'static Endpoint>,
        settings: &Settings,
    ) -> Result<Bound, Box<dyn Error>> {
        let mut sockets = Vec::new();
        let mut rows = Vec::new();
        for endpoint in endpoints {
            let Some(configured) = (endpoint.address)(settings) else { continue };
            let socket = listener::bind(configured, endpoint.purpose)?;
            let address = socket.local_addr()?;
            let Endpoint { name, title, frontend, .. } = *endpoint;
            sockets.push(socket);
            rows.push(Listener { name, title, address, frontend });
        }
        Ok(Bound { sockets, rows: rows.into() })
    }
}

/// Where the broker listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The listeners of clients.
    pub clients: Arc<[Listener]>,
    /// The admin pages, if they are served.
    pub metrics: Option<SocketAddr>,
    /// Whether the admin pages are served over TLS.
    pub metrics_tls: bool,
}

impl Addresses {
    /// The address of an endpoint, `None` if it is disabled.
    pub fn of(&self, endpoint: &Endpoint) -> Option<SocketAddr> {
        let row = self.clients.iter().find(|listener| listener.name == endpoint.name);
        row.map(|listener| listener.address)
    }
}

/// What an address that stands for several serves, `None` for any other.
pub fn families(address: SocketAddr) -> Option<&'static str> {
    match (address.ip().is_unspecified(), address.is_ipv4()) {
        (false, _) => None,
        (true, true) => Some("every IPv4 address, and no IPv6 address"),
        (true, false) => Some("every IPv6 and every IPv4 address"),
    }
}

impl fmt::Display for Addresses {
    /// Prints the first address alone, and the others behind their titles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Listener { title, address, .. }) in self.clients.iter().enumerate() {
            match index {
                0 => write!(f, "{address}")?,
                _ => write!(f, ", {title} on {address}")?,
            }
        }
        if let Some(metrics) = self.metrics {
            let scheme = if self.metrics_tls { "https" } else { "http" };
            let pages = format_args!("{scheme}://{metrics}/");
            write!(f, ", metrics on {pages}metrics, dashboard on {pages}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn settings(nats_enabled: bool) -> Settings {
        let mut settings = Settings::default();
        settings.server.bind_addr = ANY_PORT;
        settings.nats.bind_addr = ANY_PORT;
        settings.nats.enabled = nats_enabled;
        settings
    }

    /// The endpoints of the broker, and one more behind them.
    fn endpoints_and_another() -> Vec<&'static Endpoint> {
        static ANOTHER: Endpoint = Endpoint {
            name: "another",
            title: "another",
            frontend: Protocol::Blip,
            purpose: Purpose { of: "other clients", change: "nothing" },
            address: |_| Some(ANY_PORT),
        };
        ENDPOINTS.iter().chain([&ANOTHER]).collect()
    }

    fn frontends(bound: &Bound) -> Vec<(&'static str, Protocol)> {
        bound.rows.iter().map(|listener| (listener.name, listener.frontend)).collect()
    }

    /// Goal: a connection is served by the protocol of the socket that accepted it.
    /// Method: an endpoint behind NATS takes the index of NATS when NATS is disabled.
    #[test]
    fn a_row_behind_a_disabled_one_keeps_its_own_protocol_and_address() {
        for nats_enabled in [true, false] {
            let bound = Bound::bind(endpoints_and_another(), &settings(nats_enabled)).unwrap();
            let mut expected = vec![("blip", Protocol::Blip), ("another", Protocol::Blip)];
            if nats_enabled {
                expected.insert(1, ("nats", Protocol::Nats));
            }
            assert_eq!(frontends(&bound), expected);
            let sockets = bound.sockets.iter().map(|socket| socket.local_addr().unwrap());
            let addresses = bound.rows.iter().map(|listener| listener.address);
            assert_eq!(sockets.collect::<Vec<_>>(), addresses.collect::<Vec<_>>());
        }
    }

    #[test]
    fn addresses_are_printed_and_found_only_for_enabled_endpoints() {
        for nats_enabled in [true, false] {
            let bound = Bound::bind(ENDPOINTS, &settings(nats_enabled)).unwrap();
            let rows = bound.rows;
            let metrics = Some(SocketAddr::from(([127, 0, 0, 1], 9090)));
            let mut addresses = Addresses { clients: rows.clone(), metrics, metrics_tls: false };
            let nats = rows.get(1).map(|listener| listener.address);
            assert_eq!(nats.is_some(), nats_enabled);
            let [blip_endpoint, nats_endpoint, ..] = ENDPOINTS else { panic!("both are served") };
            assert_eq!(addresses.of(blip_endpoint), Some(rows[0].address));
            assert_eq!(addresses.of(nats_endpoint), nats);
            let nats = nats.map_or(String::new(), |nats| format!(", NATS on {nats}"));
            let pages = ", metrics on http://127.0.0.1:9090/metrics, dashboard on \
                         http://127.0.0.1:9090/";
            assert_eq!(addresses.to_string(), format!("{}{nats}{pages}", rows[0].address));
            addresses.metrics_tls = true;
            let pages = pages.replace("http:", "https:");
            assert_eq!(addresses.to_string(), format!("{}{nats}{pages}", rows[0].address));
        }
    }

    #[test]
    fn names_of_endpoints_differ() {
        let mut names: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENDPOINTS.len());
    }
}
