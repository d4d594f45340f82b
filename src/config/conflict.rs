//! Keys that are each in range but not possible together.
//!
//! Called by `parse`, by the command line after its flags, and by a reload.

use std::fmt;
use std::net::SocketAddr;

use super::Settings;
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};

/// Two keys, each in range, that are not possible together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Table and name of both keys.
    pub keys: [(&'static str, &'static str); 2],
    /// What happened, the numbers, what to do.
    pub text: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Keys that are each in range but not possible together.
pub(super) fn conflicts(settings: &Settings) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let listeners = [
        ("server", settings.server.bind_addr, true),
        ("nats", settings.nats.bind_addr, settings.nats.enabled),
        ("metrics", settings.metrics.bind_addr, settings.metrics.enabled),
    ];
    for (index, &(later, later_addr, later_enabled)) in listeners.iter().enumerate() {
        for &(earlier, earlier_addr, earlier_enabled) in &listeners[..index] {
            if later_enabled && earlier_enabled && collide(earlier_addr, later_addr) {
                conflicts.push(Conflict {
                    keys: [(earlier, "bind_addr"), (later, "bind_addr")],
                    text: format!(
                        "[{later}] bind_addr = \"{later_addr}\" is taken by [{earlier}] bind_addr \
                         = \"{earlier_addr}\"; give one of them another port, or set [{later}] \
                         enabled = false"
                    ),
                });
            }
        }
    }
    if settings.auth.token.is_some() && !settings.auth.users.is_empty() {
        conflicts.push(Conflict {
            keys: [("auth", "token"), ("auth", "users")],
            text:
                "[auth] token and [[auth.users]] do not go together, since whoever has the token \
                   could do what users may not; give the token's clients a user with a password, \
                   or take the users out"
                    .to_owned(),
        });
    }
    let metrics = &settings.metrics;
    if metrics.enabled && !metrics.bind_addr.ip().is_loopback() && metrics.token.is_none() {
        conflicts.push(Conflict {
            keys: [("metrics", "bind_addr"), ("metrics", "token")],
            text: format!(
                "[metrics] bind_addr = \"{}\" can be reached from other machines, and whoever does \
                 could read topics and addresses of clients; set [metrics] token, or bind it to \
                 127.0.0.1",
                metrics.bind_addr
            ),
        });
    }
    // Such a message would be accepted and then fit into no queue, whatever the subscriber does.
    let message_len_max = settings.server.max_message_size_bytes;
    let queued_len = u64::from(message_len_max) + (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN) as u64;
    let subscriber_bytes = settings.queues.subscriber_bytes;
    if subscriber_bytes < queued_len {
        conflicts.push(Conflict {
            keys: [("server", "max_message_size_bytes"), ("queues", "subscriber_bytes")],
            text: format!(
                "[queues] subscriber_bytes = {subscriber_bytes} is less than one message of \
                 [server] max_message_size_bytes = {message_len_max} takes ({queued_len} with its \
                 header), so the longest messages would reach nobody; raise the first or lower \
                 the second"
            ),
        });
    }
    conflicts
}

/// Whether both cannot be listened on at once.
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
