//! The TLS options that all commands share.
//!
//! Called by the commands that connect to a server: over BLIP/1, to the admin API, and by `bench`.
//!
//! # Always true
//! - A command that was asked to use TLS never connects without it.
//! - Secrets are written only to the file that SSLKEYLOGFILE names, and stderr says so.

use std::path::PathBuf;
use std::sync::Once;

use blipmq_client::TlsOptions;
use clap::Args;
use clap::builder::FalseyValueParser;

use super::print_stderr;

/// How to connect over TLS.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Connect over TLS, which the other --tls options imply.
    #[arg(long, env = "BLIPMQ_TLS", value_parser = FalseyValueParser::new())]
    tls: bool,
    /// The certificates of the authorities to trust, a PEM file; default: those of the system.
    #[arg(long, value_name = "FILE", env = "BLIPMQ_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// The certificate to present to a server that asks for one, a PEM file.
    #[arg(long, value_name = "FILE", env = "BLIPMQ_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, a PEM file.
    #[arg(long, value_name = "FILE", env = "BLIPMQ_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that the server's certificate must have; default: the host of the address.
    #[arg(long, value_name = "NAME", env = "BLIPMQ_TLS_NAME")]
    tls_name: Option<String>,
}

/// Whether to use TLS, by the scheme of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    None,
    Plain,
    Tls,
}

impl TlsArgs {
    /// Decides whether to use TLS. `addr` is for the error.
    pub fn applies_to(&self, scheme: Scheme, addr: &str) -> Result<bool, String> {
        match scheme {
            Scheme::Tls => Ok(true),
            Scheme::Plain if self.tls => {
                Err(format!("{addr} is without TLS, and --tls asks for TLS: omit one of them"))
            }
            // The other options may come from an environment that serves several addresses.
            Scheme::Plain => Ok(false),
            Scheme::None => Ok(self.tls
                || self.tls_ca.is_some()
                || self.tls_cert.is_some()
                || self.tls_name.is_some()),
        }
    }

    /// Returns the options of a client.
    pub fn options(&self) -> TlsOptions {
        let mut options = TlsOptions::new().key_log(reports_key_log());
        if let Some(ca) = &self.tls_ca {
            options = options.ca(ca);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            options = options.certificate(certificate, key);
        }
        if let Some(name) = &self.tls_name {
            options = options.server_name(name);
        }
        options
    }
}

/// Returns whether SSLKEYLOGFILE names a file for the secrets, and says so once.
fn reports_key_log() -> bool {
    static SAID: Once = Once::new();
    let Some(file) = std::env::var_os("SSLKEYLOGFILE").filter(|file| !file.is_empty()) else {
        return false;
    };
    SAID.call_once(|| {
        print_stderr(format_args!(
            "blipmq: the secrets of TLS are appended to {}, because of SSLKEYLOGFILE: who reads that \
             file can read the traffic",
            file.display()
        ));
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_decides_and_without_one_any_option_does() {
        let none = TlsArgs::default();
        let ca = TlsArgs { tls_ca: Some("ca.pem".into()), ..TlsArgs::default() };
        let tls = TlsArgs { tls: true, ..TlsArgs::default() };
        for (args, scheme, expected) in [
            (&none, Scheme::None, false),
            (&none, Scheme::Plain, false),
            (&none, Scheme::Tls, true),
            (&ca, Scheme::None, true),
            (&ca, Scheme::Plain, false),
            (&tls, Scheme::None, true),
            (&tls, Scheme::Tls, true),
        ] {
            assert_eq!(args.applies_to(scheme, "h:1"), Ok(expected), "{args:?} {scheme:?}");
        }
        let contradiction = tls.applies_to(Scheme::Plain, "blip://h:1").expect_err("an error");
        assert!(contradiction.starts_with("blip://h:1 is without TLS"), "{contradiction}");
    }
}
