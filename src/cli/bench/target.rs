//! Targets of a measurement: parses URLs into protocol, address and login.
//!
//! Called by clap, as it parses the command line. Next on the path: `connect`.
//!
//! # Always true
//! - A displayed target contains no password and no token.

use std::fmt;
use std::str::FromStr;

/// The protocol of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Blip,
    Nats,
    Redis,
    /// Raw bytes, for `blipmq bench mirror`.
    Raw,
}

impl Protocol {
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::Blip => "blip",
            Protocol::Nats => "nats",
            Protocol::Redis => "redis",
            Protocol::Raw => "raw",
        }
    }
}

/// A broker to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub protocol: Protocol,
    /// host:port
    pub addr: String,
    pub login: Option<Login>,
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
        const KNOWN: &str =
            "give blip://host:port, nats://host:port, redis://host:port or raw://host:port";
        let (scheme, rest) = text.split_once("://").ok_or(KNOWN)?;
        let protocol = match scheme {
            "blip" => Protocol::Blip,
            "nats" => Protocol::Nats,
            "redis" => Protocol::Redis,
            "raw" => Protocol::Raw,
            _ => return Err(format!("`{scheme}` is not supported: {KNOWN}")),
        };
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
        Ok(Target { protocol, addr: addr.to_owned(), login })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.scheme(), self.addr)
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
    fn invalid_urls_are_refused() {
        for bad in ["h:1", "http://h:1", "blip://h", "blip://h:0", "blip://:1", "raw://a@h:1"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
