//! Targets of a measurement: parses URLs into protocol, address and login.
//!
//! Called by clap, as it parses the command line. Next on the path: `connect`.
//!
//! # Always true
//! - A displayed target contains no password and no token.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use blipmq_client::TlsError;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::super::tls::{Scheme, TlsArgs};

/// The protocol of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Blip,
    Nats,
    Redis,
    /// Raw bytes, for `blipmq bench mirror`.
    Raw,
}

/// Where TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    None,
    /// With the first byte.
    First,
    /// Behind the INFO of a NATS server.
    AfterInfo,
}

/// What the handshakes with a target need.
#[derive(Debug, Clone)]
pub struct Secure {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
    pub has_certificate: bool,
}

/// A broker to measure.
#[derive(Debug, Clone)]
pub struct Target {
    pub protocol: Protocol,
    pub security: Security,
    /// host:port
    pub addr: String,
    pub login: Option<Login>,
    /// Present once [`secured`] has read the files, for targets over TLS.
    pub secure: Option<Secure>,
}

const SCHEMES: [(&str, Protocol, Security); 8] = [
    ("blip", Protocol::Blip, Security::None),
    ("blips", Protocol::Blip, Security::First),
    ("nats", Protocol::Nats, Security::None),
    ("tls", Protocol::Nats, Security::AfterInfo),
    ("tls+first", Protocol::Nats, Security::First),
    ("redis", Protocol::Redis, Security::None),
    ("rediss", Protocol::Redis, Security::First),
    ("raw", Protocol::Raw, Security::None),
];

impl Target {
    pub fn scheme(&self) -> &'static str {
        let is_own =
            |row: &&(_, Protocol, Security)| (row.1, row.2) == (self.protocol, self.security);
        SCHEMES.iter().find(is_own).expect("targets come from the table").0
    }
}

/// Returns the targets with all that their handshakes need. The scheme of each decides about TLS.
pub fn secured(targets: &[Target], tls: &TlsArgs, resumption: bool) -> Result<Vec<Target>, String> {
    let mut targets = targets.to_vec();
    for target in &mut targets {
        let scheme = match target.security {
            Security::None => Scheme::Plain,
            Security::First | Security::AfterInfo => Scheme::Tls,
        };
        if tls.applies_to(scheme, &target.to_string())? {
            let secure = target.secure(tls, resumption);
            target.secure = Some(secure.map_err(|fault| format!("{target}: {fault}"))?);
        }
    }
    Ok(targets)
}

impl Target {
    fn secure(&self, tls: &TlsArgs, resumption: bool) -> Result<Secure, TlsError> {
        let options = tls.options().resumption(resumption);
        let protocols: &[&[u8]] = match self.protocol {
            Protocol::Blip => &[b"blip/1"],
            Protocol::Nats | Protocol::Redis | Protocol::Raw => &[],
        };
        Ok(Secure {
            config: options.client_config(protocols)?,
            name: options.name_of(&self.addr)?,
            has_certificate: options.has_certificate(),
        })
    }
}

/// The login before the `@` of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Token(String),
    User { name: String, password: String },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        const KNOWN: &str = "give blip://host:port, nats://host:port, redis://host:port or \
                             raw://host:port; over TLS blips://, tls:// (NATS), tls+first:// or rediss://";
        let (scheme, rest) = text.split_once("://").ok_or(KNOWN)?;
        let (_, protocol, security) = SCHEMES
            .into_iter()
            .find(|(name, ..)| *name == scheme)
            .ok_or_else(|| format!("`{scheme}` is not supported: {KNOWN}"))?;
        let (login, addr) = match rest.rsplit_once('@') {
            Some((login, addr)) => (Some(login), addr),
            None => (None, rest),
        };
        let addr = addr.trim_end_matches('/');
        let port = addr.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
            return Err(format!("`{addr}` has no host:port, as in {scheme}://127.0.0.1:7878"));
        }
        let login = login.map(|login| match login.split_once(':') {
            Some((name, password)) => {
                Login::User { name: name.to_owned(), password: password.to_owned() }
            }
            None => Login::Token(login.to_owned()),
        });
        if login.is_some() && protocol == Protocol::Raw {
            return Err(format!("{scheme}:// takes no login: omit the part before the `@`"));
        }
        Ok(Target { protocol, security, addr: addr.to_owned(), login, secure: None })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_displayed_without_secrets() {
        let target: Target = "nats://me:se:cret@h:4222".parse().expect("a valid URL");
        let login = Login::User { name: "me".into(), password: "se:cret".into() };
        assert_eq!((target.protocol, target.addr.as_str()), (Protocol::Nats, "h:4222"));
        assert_eq!(target.login, Some(login));
        assert_eq!(target.to_string(), "nats://h:4222");
        let target: Target = "nats://t0ken@h:1".parse().expect("a valid URL");
        assert_eq!(target.login, Some(Login::Token("t0ken".into())));
        let target: Target = "blip://me:pw@h:1".parse().expect("a valid URL");
        assert_eq!(target.login, Some(Login::User { name: "me".into(), password: "pw".into() }));
        let target: Target = "blip://[::1]:7878/".parse().expect("a valid URL");
        assert_eq!((target.addr.as_str(), target.login), ("[::1]:7878", None));
    }

    #[test]
    fn every_scheme_is_displayed_as_it_was_given() {
        for (scheme, protocol, security) in SCHEMES {
            let url = format!("{scheme}://h:1");
            let target: Target = url.parse().expect("a valid URL");
            assert_eq!((target.protocol, target.security), (protocol, security), "{url}");
            assert_eq!(target.to_string(), url);
        }
    }

    #[test]
    fn invalid_urls_are_refused() {
        for bad in ["h:1", "http://h:1", "blip://h", "blip://h:0", "blip://:1", "raw://a@h:1"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
