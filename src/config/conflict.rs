//! Conflicts: keys that are each in range and still exclude each other.
//!
//! Called by `parse`, by the command line after its flags, and by a reload.

use std::fmt;
use std::net::SocketAddr;

use super::{Choice, ClientCerts, Login, Settings, User};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};

/// Two keys, each in range, that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Table and name of both keys.
    pub keys: [(&'static str, &'static str); 2],
    /// The error text: the conflict, the numbers, what to do.
    pub text: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Every conflict of the settings.
pub(super) fn conflicts(settings: &Settings) -> Vec<Conflict> {
    let mut conflicts = of_addresses(settings);
    conflicts.extend(of_token_and_users(settings));
    conflicts.extend(of_no_auth_user(settings));
    conflicts.extend(of_open_metrics(settings));
    conflicts.extend(of_metrics_without_certificate(settings));
    conflicts.extend(of_metrics_clients(settings));
    conflicts.extend(of_tls(settings));
    conflicts.extend(of_certified_users(settings));
    conflicts.extend(of_message_size_and_queue(settings));
    conflicts
}

/// Two listeners with one address.
fn of_addresses(settings: &Settings) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let listeners = settings.bind_addrs();
    let split = |key: &'static str| key.split_once('.').expect("a key has a table");
    for (index, &(later_key, later_addr)) in listeners.iter().enumerate() {
        for &(earlier_key, earlier_addr) in &listeners[..index] {
            if collide(earlier_addr, later_addr) {
                let keys = [split(earlier_key), split(later_key)];
                let [(earlier, _), (later, _)] = keys;
                conflicts.push(Conflict {
                    keys,
                    text: format!(
                        "[{later}] bind_addr = \"{later_addr}\" is taken by [{earlier}] bind_addr \
                         = \"{earlier_addr}\"; give one of them another port, or set [{later}] \
                         enabled = false"
                    ),
                });
            }
        }
    }
    conflicts
}

fn of_token_and_users(settings: &Settings) -> Option<Conflict> {
    let conflicts = settings.auth.token.is_some() && !settings.auth.users.is_empty();
    conflicts.then(|| Conflict {
        keys: [("auth", "token"), ("auth", "users")],
        text: "[auth] token excludes [[auth.users]], since clients with the token would have all \
               permissions; give these clients a user with a password instead of the token, or \
               remove the users"
            .to_owned(),
    })
}

/// A user for clients without credentials who does not exist.
fn of_no_auth_user(settings: &Settings) -> Option<Conflict> {
    let name = settings.nats.no_auth_user.as_ref()?;
    let is_user = |user: &User| match &user.login {
        Login::Password { user, .. } => user == name,
        Login::Nkey(nkey) => nkey.as_str() == name,
        // Nobody is that one without the certificate.
        Login::Certificate { .. } => false,
    };
    (!settings.auth.users.iter().any(is_user)).then(|| Conflict {
        keys: [("nats", "no_auth_user"), ("auth", "users")],
        text: format!(
            "[nats] no_auth_user = \"{name}\" is no user; add a table [[auth.users]] with that user or \
             nkey, or remove the line"
        ),
    })
}

/// Metrics that other machines can read without a token.
fn of_open_metrics(settings: &Settings) -> Option<Conflict> {
    let metrics = &settings.metrics;
    let is_login_needed = metrics.token.is_some() || metrics.client_certs == ClientCerts::Required;
    let is_open = metrics.enabled && !metrics.bind_addr.ip().is_loopback() && !is_login_needed;
    is_open.then(|| Conflict {
        keys: [("metrics", "bind_addr"), ("metrics", "token")],
        text: format!(
            "[metrics] bind_addr = \"{}\" can be reached from other machines, which could then read \
             topics and addresses of clients; set [metrics] token, or bind it to 127.0.0.1",
            metrics.bind_addr
        ),
    })
}

/// Admin pages over TLS without a certificate to show.
fn of_metrics_without_certificate(settings: &Settings) -> Option<Conflict> {
    let lacks_certificate = settings.metrics.tls && !settings.tls.is_configured();
    lacks_certificate.then(|| Conflict {
        keys: [("metrics", "tls"), ("tls", "cert_file")],
        text: "[metrics] tls = true has no certificate to show; add [tls] with cert_file = \"...\" and \
               key_file = \"...\", or remove the line"
            .to_owned(),
    })
}

/// Certificates that clients of the admin pages cannot show.
fn of_metrics_clients(settings: &Settings) -> Option<Conflict> {
    let Settings { metrics, tls, .. } = settings;
    let name = metrics.client_certs.name();
    let (other, lacks) = match () {
        () if metrics.client_certs == ClientCerts::None => return None,
        () if !metrics.tls => (("metrics", "tls"), "add tls = true, without which none is shown"),
        () if tls.client_ca_file.is_none() => (
            ("tls", "client_ca_file"),
            "add [tls] client_ca_file = \"...\" with the authorities that sign them",
        ),
        () => return None,
    };
    let text = format!("[metrics] client_certs = \"{name}\" cannot check any certificate; {lacks}");
    Some(Conflict { keys: [("metrics", "client_certs"), other], text })
}

/// Keys of `[tls]` that need each other.
fn of_tls(settings: &Settings) -> Vec<Conflict> {
    let tls = &settings.tls;
    let (has_key, has_authorities) = (tls.key_file.is_some(), tls.client_ca_file.is_some());
    let asks_clients = tls.client_certs != ClientCerts::None;
    let asks_any = asks_clients || settings.metrics.client_certs != ClientCerts::None;
    let name = tls.client_certs.name();
    let rows = [
        (
            !has_key,
            ["cert_file", "key_file"],
            "[tls] cert_file has no key_file; add key_file = \"...\" with the private key of the \
             certificate: it may be the same file"
                .to_owned(),
        ),
        (
            asks_clients && !has_authorities,
            ["client_certs", "client_ca_file"],
            format!(
                "[tls] client_certs = \"{name}\" has no client_ca_file, so no certificate of a client \
                 could be checked; add client_ca_file = \"...\" with the authorities that sign them"
            ),
        ),
        (
            has_authorities && !asks_any,
            ["client_ca_file", "client_certs"],
            "[tls] client_ca_file has no effect, because clients are not asked for certificates; set \
             client_certs = \"required\" or \"optional\", or remove client_ca_file"
                .to_owned(),
        ),
        (
            tls.crl_file.is_some() && !asks_any,
            ["crl_file", "client_certs"],
            "[tls] crl_file has no effect, because clients are not asked for certificates; set \
             client_certs = \"required\" or \"optional\", or remove crl_file"
                .to_owned(),
        ),
    ];
    let found = rows.into_iter().filter(|(conflicts, ..)| *conflicts && tls.is_configured());
    let conflict = |(_, names, text): (bool, [&'static str; 2], String)| Conflict {
        keys: names.map(|name| ("tls", name)),
        text,
    };
    found.map(conflict).collect()
}

/// Users with certificates that nobody is asked for.
fn of_certified_users(settings: &Settings) -> Option<Conflict> {
    let has_certificate = |user: &User| matches!(user.login, Login::Certificate { .. });
    let conflicts = settings.tls.client_certs == ClientCerts::None
        && settings.auth.users.iter().any(has_certificate);
    conflicts.then(|| Conflict {
        keys: [("auth", "users"), ("tls", "client_certs")],
        text: "[[auth.users]] certificate has no effect, because clients are not asked for certificates; \
               set [tls] client_certs = \"required\" or \"optional\""
            .to_owned(),
    })
}

/// A key of `[tls]` in a file without a certificate: its author expects TLS.
pub(super) fn of_key_without_certificate(key: (&'static str, &'static str)) -> Conflict {
    Conflict {
        keys: [key, ("tls", "cert_file")],
        text: format!(
            "[tls] {} has no effect without cert_file, and clients would talk in plain text; add \
             cert_file = \"...\" and key_file = \"...\", or remove the table",
            key.1
        ),
    }
}

/// A longest message that is accepted and then fits into no queue.
fn of_message_size_and_queue(settings: &Settings) -> Option<Conflict> {
    let message_len_max = settings.server.max_message_size_bytes;
    let queued_len = u64::from(message_len_max) + (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN) as u64;
    let subscriber_bytes = settings.queues.subscriber_bytes;
    (subscriber_bytes < queued_len).then(|| Conflict {
        keys: [("server", "max_message_size_bytes"), ("queues", "subscriber_bytes")],
        text: format!(
            "[queues] subscriber_bytes = {subscriber_bytes} is less than the {queued_len} bytes \
             that a message of [server] max_message_size_bytes = {message_len_max} takes with its \
             header, so the longest messages would reach no subscriber; raise the first or lower \
             the second"
        ),
    })
}

/// Whether the system refuses to listen on both addresses at once.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_collide_when_one_covers_the_other() {
        let collides =
            |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        assert!(collides("127.0.0.1:1", "127.0.0.1:1"));
        assert!(collides("0.0.0.0:1", "127.0.0.1:1"));
        assert!(collides("127.0.0.1:1", "[::]:1"));
        assert!(!collides("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!collides("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!collides("0.0.0.0:0", "0.0.0.0:0"));
    }
}
