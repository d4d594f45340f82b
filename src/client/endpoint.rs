//! The server of a client: an address, and whether the connection uses TLS.
//!
//! Made by `connect` from what the caller gave, and kept for each further connection.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use crate::link::Link;
#[cfg(feature = "tls")]
use crate::tls::Connector;
use crate::{ClientError, ClientOptions};

pub(crate) struct Endpoint {
    /// What the caller gave, for errors.
    pub(crate) addr: String,
    /// host:port
    pub(crate) host_and_port: String,
    #[cfg(feature = "tls")]
    tls: Option<Connector>,
}

impl Endpoint {
    /// Parses `host:port`, `blip://host:port` or `blips://host:port`.
    pub(crate) fn new(options: &ClientOptions, addr: &str) -> Result<Endpoint, ClientError> {
        let bad = |reason: &str| ClientError::BadAddress {
            addr: addr.to_owned(),
            cause: Arc::new(io::Error::new(io::ErrorKind::InvalidInput, reason)),
        };
        let (wants_tls, rest) = match addr.split_once("://") {
            None => (options.has_tls(), addr),
            Some(("blips", rest)) => (true, rest),
            Some(("blip", _)) if options.has_tls() => {
                return Err(bad("`blip://` is without TLS, and TLS options are given"));
            }
            Some(("blip", rest)) => (false, rest),
            Some(_) => return Err(bad("only `blip://` and, with TLS, `blips://` are known")),
        };
        let host_and_port = rest.trim_end_matches('/').to_owned();
        #[cfg(not(feature = "tls"))]
        if wants_tls {
            return Err(bad("`blips://` needs the feature `tls` of `blipmq-client`"));
        }
        Ok(Endpoint {
            addr: addr.to_owned(),
            #[cfg(feature = "tls")]
            tls: match wants_tls {
                true => {
                    let tls = options.tls.clone().unwrap_or_default();
                    let connector = Connector::new(tls, &host_and_port);
                    Some(connector.map_err(|fault| no_tls(addr, fault))?)
                }
                false => None,
            },
            host_and_port,
        })
    }

    /// Makes a connected socket ready for frames.
    pub(crate) fn link(
        &self,
        stream: TcpStream,
        options: &ClientOptions,
    ) -> Result<Link, ClientError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let session = tls.begin().map_err(|fault| no_tls(&self.addr, fault))?;
            let shaken = session.shake_hands(&stream, options.connect_timeout);
            shaken.map_err(|fault| no_tls(&self.addr, fault))?;
            return Ok(Link::secured(stream, session));
        }
        // Only handshakes have options.
        let _ = options;
        Ok(Link::plain(stream))
    }

    /// Says what an error is that came before WELCOME: a server that refuses a certificate says so after
    /// the client has taken the handshake for done.
    pub(crate) fn explain(&self, error: ClientError) -> ClientError {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.explain(&self.addr, error);
        }
        error
    }
}

#[cfg(feature = "tls")]
fn no_tls(addr: &str, fault: crate::TlsError) -> ClientError {
    ClientError::Tls { addr: addr.to_owned(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_scheme_name_the_same_host() {
        for addr in ["h:1", "blip://h:1", "blip://h:1/"] {
            let endpoint = Endpoint::new(&ClientOptions::new(), addr).expect("an address");
            assert_eq!(endpoint.host_and_port, "h:1");
            assert_eq!(endpoint.addr, addr);
        }
        for bad in ["nats://h:1", "http://h:1", "://h:1"] {
            let refused = Endpoint::new(&ClientOptions::new(), bad).err().expect(bad);
            assert!(matches!(refused, ClientError::BadAddress { .. }), "{bad}: {refused}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_is_used_whenever_it_was_asked_for_and_never_otherwise() {
        use crate::TlsOptions;
        let with_options = ClientOptions::new().tls(TlsOptions::new());
        let uses_tls = |options: &ClientOptions, addr| {
            Endpoint::new(options, addr).map(|endpoint| endpoint.tls.is_some())
        };
        assert!(!uses_tls(&ClientOptions::new(), "h:1").expect("an address"));
        assert!(uses_tls(&ClientOptions::new(), "blips://h:1").expect("an address"));
        assert!(uses_tls(&with_options, "h:1").expect("an address"));
        assert!(uses_tls(&with_options, "blips://h:1").expect("an address"));
        let refused = uses_tls(&with_options, "blip://h:1").expect_err("a contradiction");
        assert!(refused.to_string().contains("without TLS"), "{refused}");
    }
}
