//! Which certificate a client gets: by the name that the client asks for, and by the signatures it takes.
//!
//! Called by rustls in each full handshake.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate, and the DNS names in it.
pub struct Named {
    pub names: Vec<String>,
    pub certified: Arc<CertifiedKey>,
}

/// All certificates.
#[derive(Debug)]
pub struct Chooser {
    /// By name in lower case; `*.example.com` stands for all names one label longer than `example.com`.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or for a name that no certificate has.
    others: Arc<CertifiedKey>,
}

impl Chooser {
    /// Takes at least one certificate. The first one is also for clients that ask for no known name.
    pub fn new(certificates: Vec<Named>) -> Chooser {
        let others = certificates[0].certified.clone();
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for Named { names, certified } in certificates {
            for name in names {
                by_name.entry(name.to_ascii_lowercase()).or_default().push(certified.clone());
            }
        }
        Chooser { by_name, others }
    }

    /// The certificates for a name, the best ones first.
    fn named(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let exact = self.by_name.get(&name);
        let wild = wildcard.and_then(|wildcard| self.by_name.get(&wildcard));
        exact.into_iter().chain(wild).flatten()
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs = |certified: &&Arc<CertifiedKey>| {
            certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let mut named = hello.server_name().into_iter().flat_map(|name| self.named(name));
        // Where no signature fits, rustls says so to the client.
        Some(named.find(signs).unwrap_or(&self.others).clone())
    }
}
