//! The terms of each listener and of the admin pages, made from settings and files.
//!
//! Called at the start, and by a reload with the terms before it. Next on the path: the cores, which
//! begin each handshake with the terms of that moment.
//!
//! # Always true
//! - A ticket is good at the listener that issued it, and only as long as nothing changes that a full
//!   handshake would check: a client that resumes shows no certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::Protocol;
use blipmq::config::{
    Choice, ClientCerts, Login, NatsHandshakeFirst, Settings, Tls, TlsMode, TlsVersion,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use sha2::{Digest, Sha256};

use super::certificates::{Certificates, provider};
use super::expiry::Dated;
use super::fault::{Fault, WrongFile};
use super::terms::{ClientCertificates, HandshakeFirst, Listeners, Need, Terms};
use crate::server::listeners::Listener;

/// The protocol that a BLIP/1 client names in its hello.
const BLIP_ALPN: &[u8] = b"blip/1";
/// How long a NATS client may be silent before it gets INFO in plain text, as in nats-server.
const SILENCE_BEFORE_INFO: Duration = Duration::from_millis(50);
/// The protocol of the admin pages, named so that a browser does not ask for HTTP/2.
const PAGES_ALPN: &[u8] = b"http/1.1";
/// What TLS adds to the bytes of a record, as far as rustls counts them.
const RECORD_HEADER_LEN: usize = 5;

/// The active terms of all listeners; by default those of a broker without TLS.
#[derive(Debug, Default)]
pub struct Active {
    pub listeners: Listeners,
    /// The terms of the admin pages, `None` for pages in plain text.
    pub pages: Option<Arc<ServerConfig>>,
    /// What ends on some day.
    pub dated: Vec<Dated>,
    /// A digest of all files, to tell whether a reload changed any.
    digest: [u8; 32],
    /// The tickets of each listener.
    tickets: Vec<Option<Tickets>>,
    /// The tickets of the admin pages.
    tickets_of_pages: Option<Tickets>,
}

/// The tickets of a listener.
#[derive(Debug, Clone)]
struct Tickets {
    /// What they must not outlive.
    policy: [u8; 32],
    ticketer: Arc<dyn ProducesTickets>,
}

impl Active {
    /// Reads all files and makes the terms. Relative paths begin at `folder`. Tickets of `before` stay
    /// good where nothing changed that they would skip.
    pub fn read(
        settings: &Settings,
        folder: &Path,
        protocols: &[Protocol],
        before: Option<&Active>,
    ) -> Result<Active, Vec<WrongFile>> {
        let Some(certificates) = Certificates::read(settings, folder)? else {
            let listeners = protocols.iter().map(|_| None).collect();
            let tickets = vec![None; protocols.len()];
            return Ok(Active { listeners, tickets, ..Active::default() });
        };
        let (mut listeners, mut tickets) = (Vec::new(), Vec::new());
        for (index, protocol) in protocols.iter().enumerate() {
            let mode = mode(&settings.tls, *protocol);
            let before = before.and_then(|before| before.tickets.get(index)?.as_ref());
            let of_listener = match mode {
                TlsMode::Off => None,
                _ => Some(Tickets::renewed(before, policy(settings, &certificates, mode))?),
            };
            let terms = of_listener.as_ref().map(|tickets: &Tickets| {
                Arc::new(terms(settings, &certificates, *protocol, tickets.ticketer.clone()))
            });
            listeners.push(terms);
            tickets.push(of_listener);
        }
        let before = before.and_then(|before| before.tickets_of_pages.as_ref());
        let tickets_of_pages = match settings.metrics.tls {
            false => None,
            true => Some(Tickets::renewed(before, policy_of_pages(settings, &certificates))?),
        };
        let pages = tickets_of_pages.as_ref().map(|tickets: &Tickets| {
            Arc::new(pages(settings, &certificates, tickets.ticketer.clone()))
        });
        let Certificates { dated, digest, .. } = certificates;
        Ok(Active { listeners: listeners.into(), pages, dated, digest, tickets, tickets_of_pages })
    }

    /// Whether other files, or files with another content, were read for `other`.
    pub fn has_other_files(&self, other: &Active) -> bool {
        self.digest != other.digest
    }
}

/// Logs which listeners have TLS, and what their clients have to do.
pub fn log(listeners: &Listeners, rows: &[Listener]) {
    for (terms, Listener { title, address, frontend, .. }) in listeners.iter().zip(rows) {
        let Some(terms) = terms else { continue };
        let need = match terms.need {
            Need::Optional => "optional",
            Need::Required => "required",
        };
        let client_certificates = match terms.client_certificates {
            ClientCertificates::None => "none",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        };
        tracing::info!(client_certificates, "{title} on {address}: TLS is {need}");
        if terms.need == Need::Optional && *frontend == Protocol::Nats {
            tracing::warn!(
                "tls.nats = \"optional\": some clients, nats-py among them, speak plain text without a \
                 warning although they could use TLS"
            );
        }
    }
}

impl Tickets {
    /// The tickets before, or new ones where those would let clients in that a handshake would not.
    fn renewed(before: Option<&Tickets>, policy: [u8; 32]) -> Result<Tickets, Vec<WrongFile>> {
        if let Some(before) = before.filter(|before| before.policy == policy) {
            return Ok(before.clone());
        }
        let ticketer = Ticketer::new().map_err(|error| {
            let fault = Fault::Other(format!("no key for tickets: {error}"));
            vec![WrongFile { key: "[tls] cert_file", path: Default::default(), fault }]
        })?;
        Ok(Tickets { policy, ticketer })
    }
}

/// What clients of a protocol have to do.
fn mode(tls: &Tls, protocol: Protocol) -> TlsMode {
    match protocol {
        Protocol::Blip => tls.blip_mode(),
        Protocol::Nats => tls.nats_mode(),
    }
}

/// A digest of all that decides which clients a full handshake lets in.
fn policy(settings: &Settings, certificates: &Certificates, mode: TlsMode) -> [u8; 32] {
    let mut policy = Sha256::new();
    policy.update(certificates.policy);
    policy.update(mode.name());
    policy.update(settings.tls.min_version.name());
    for user in &settings.auth.users {
        if let Login::Certificate { certificate, user, .. } = &user.login {
            for text in [certificate.text(), user.as_deref().unwrap_or_default()] {
                policy.update((text.len() as u64).to_le_bytes());
                policy.update(text);
            }
        }
    }
    policy.finalize().into()
}

/// A digest of all that decides whose handshake for the pages is accepted.
fn policy_of_pages(settings: &Settings, certificates: &Certificates) -> [u8; 32] {
    let mut policy = Sha256::new();
    if certificates.clients_of_pages.is_some() {
        policy.update(certificates.policy);
        policy.update(settings.metrics.client_certs.name());
    }
    policy.update(settings.tls.min_version.name());
    policy.finalize().into()
}

/// The terms of the admin pages, on which a token or a certificate says who may read.
fn pages(
    settings: &Settings,
    certificates: &Certificates,
    ticketer: Arc<dyn ProducesTickets>,
) -> ServerConfig {
    let mut config = new_config(&settings.tls, certificates, certificates.clients_of_pages.clone());
    config.ticketer = ticketer;
    config.alpn_protocols = vec![PAGES_ALPN.to_vec()];
    config
}

fn terms(
    settings: &Settings,
    certificates: &Certificates,
    protocol: Protocol,
    ticketer: Arc<dyn ProducesTickets>,
) -> Terms {
    let tls = &settings.tls;
    let record_bytes = tls.record_bytes as usize;
    let mut config = new_config(tls, certificates, certificates.clients.clone());
    config.max_fragment_size = Some(record_bytes + RECORD_HEADER_LEN);
    config.ticketer = ticketer;
    if protocol == Protocol::Blip {
        config.alpn_protocols = vec![BLIP_ALPN.to_vec()];
    }
    Terms {
        config: Arc::new(config),
        need: match mode(tls, protocol) {
            TlsMode::Optional => Need::Optional,
            TlsMode::Required | TlsMode::Off => Need::Required,
        },
        first: match (protocol, tls.nats_handshake_first) {
            (Protocol::Blip, _) | (Protocol::Nats, NatsHandshakeFirst::Always) => {
                HandshakeFirst::Always
            }
            (Protocol::Nats, NatsHandshakeFirst::Auto) => HandshakeFirst::Auto(SILENCE_BEFORE_INFO),
            (Protocol::Nats, NatsHandshakeFirst::Never) => HandshakeFirst::Never,
        },
        client_certificates: match tls.client_certs {
            ClientCerts::None => ClientCertificates::None,
            ClientCerts::Optional => ClientCertificates::Optional,
            ClientCerts::Required => ClientCertificates::Required,
        },
        handshake_timeout_ns: u64::from(tls.handshake_timeout_ms) * 1_000_000,
        record_bytes,
    }
}

/// A configuration for rustls, without what differs by listener. `clients` checks the certificates of
/// clients, if they are asked for one.
fn new_config(
    tls: &Tls,
    certificates: &Certificates,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> ServerConfig {
    let versions = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let config = ServerConfig::builder_with_provider(provider().into())
        .with_protocol_versions(versions)
        .expect("the provider has suites of both versions");
    let config = match clients {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_cert_resolver(certificates.chooser.clone());
    config.ignore_client_order = true;
    // Sessions are in tickets alone: what rustls would store is behind a lock of all cores.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    config
}

#[cfg(test)]
mod tests;
