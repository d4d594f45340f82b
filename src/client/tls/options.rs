//! The TLS options of a client, with their defaults.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use super::TlsError;
use super::config::Files;

/// How a client recognises its server, and the certificate that the client presents. The files are PEM.
/// They are read at each connection, so that a client that reconnects presents a renewed certificate.
///
/// ```no_run
/// use blipmq_client::{ClientOptions, TlsOptions};
///
/// let tls = TlsOptions::new().ca("/etc/blipmq/ca.pem");
/// let client = ClientOptions::new().tls(tls).connect("blips://broker.example.com:7878")?;
/// # Ok::<(), blipmq_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) server_name: Option<String>,
    pub(super) key_log: bool,
    pub(super) resumption: Resumption,
}

/// Whether a further connection resumes the TLS session of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Resumption {
    #[default]
    Allowed,
    Off,
}

impl TlsOptions {
    /// Returns the defaults: servers whose certificate an authority of the system has signed, for the
    /// host of the address; no certificate of the client.
    pub fn new() -> TlsOptions {
        TlsOptions::default()
    }

    /// Trusts the authorities in this file, and only these; default are those of the system.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Presents a certificate to servers that ask for one; default none. The first file has the
    /// certificate and those of the authorities in between, the second its private key, which may be the
    /// same file.
    pub fn certificate(mut self, file: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((file.into(), key.into()));
        self
    }

    /// Sets the name that the certificate of the server must have; default is the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Appends the secrets of each connection to the file that the environment variable `SSLKEYLOGFILE`
    /// names, for programs such as Wireshark; default no. Who reads that file can read the traffic.
    pub fn key_log(mut self, key_log: bool) -> Self {
        self.key_log = key_log;
        self
    }

    /// Sets whether further connections of a client may resume the TLS session of an earlier one, which
    /// spares the server a signature; default yes.
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.resumption = if resumption { Resumption::Allowed } else { Resumption::Off };
        self
    }

    /// Reads the files, and makes the configuration of rustls. Not part of the API, because the types of
    /// rustls change: this is how other clients of `blipmq` take the same options.
    #[doc(hidden)]
    pub fn client_config(&self, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
        Files::read(self)?.config(self, protocols)
    }

    /// Returns whether the client has a certificate to present.
    #[doc(hidden)]
    pub fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// Returns the name that the certificate of the server must have, for an address of `host:port`.
    #[doc(hidden)]
    pub fn name_of(&self, addr: &str) -> Result<rustls::pki_types::ServerName<'static>, TlsError> {
        let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = self.server_name.as_deref().unwrap_or(host);
        let parsed = rustls::pki_types::ServerName::try_from(name.to_owned());
        parsed.map_err(|_| TlsError::BadName { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_to_look_for_is_the_host_unless_another_is_given() {
        let name = |options: &TlsOptions, addr| {
            options.name_of(addr).map(|name| name.to_str().into_owned()).map_err(|_| ())
        };
        let none = TlsOptions::new();
        assert_eq!(name(&none, "broker.test:7878").as_deref(), Ok("broker.test"));
        assert_eq!(name(&none, "127.0.0.1:7878").as_deref(), Ok("127.0.0.1"));
        assert_eq!(name(&none, "[::1]:7878").as_deref(), Ok("::1"));
        let other = TlsOptions::new().server_name("elsewhere.test");
        assert_eq!(name(&other, "127.0.0.1:7878").as_deref(), Ok("elsewhere.test"));
        for bad in ["", "two words", "a/b"] {
            assert!(name(&TlsOptions::new().server_name(bad), "h:1").is_err(), "{bad}");
        }
    }
}
