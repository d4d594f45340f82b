//! What an operator may want to hear of as it happens, for whoever drives the broker to log: the broker
//! itself writes nothing.
//!
//! # Always true
//! - Never single messages: those are counted.
//! - A bounded number per turn: what is beyond it shows in the counters alone.
//! - No secret is in a notice.

use std::sync::Arc;

use super::{Broker, Peer};
use crate::config::OverflowPolicy;

/// Notices a turn has at most.
const NOTICES_MAX: usize = 64;

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whose connection it is.
    pub peer: Peer,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It did not prove who it is, and is closed.
    LoginRefused {
        /// What it was told.
        why: String,
    },
    /// Whoever it proved to be is gone or changed with a reload, and it is closed.
    Revoked,
    /// It reads too slowly, and is closed.
    TooSlow {
        /// What it was told.
        why: String,
    },
    /// The queue of one of its subscriptions was full for the first time.
    Overflow {
        /// What the subscription asks for.
        pattern: Arc<str>,
        /// What happens there.
        policy: OverflowPolicy,
    },
}

impl Broker {
    /// What happened since they were last taken.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Notes that something happened to the connection of a slot.
    pub(super) fn notice(&mut self, slot: u32, event: Event) {
        if self.notices.len() < NOTICES_MAX {
            let peer = self.sessions.get(slot).peer;
            self.notices.push(Notice { peer, event });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Cluster, ConnectionId, Now, Wire};
    use crate::config::Settings;
    use crate::protocol::CoreId;

    fn broker(config: &str) -> Broker {
        let settings = Settings::parse("blipmq.toml", config).expect(config);
        Broker::new(CoreId(0), Cluster::new(1, 1, Arc::new(settings)), Arc::default())
    }

    const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };

    /// A NATS client that says this.
    fn connect(broker: &mut Broker, slot: u32, says: &[u8]) -> Peer {
        let peer = Peer { protocol: Wire::Nats, address: ([127, 0, 0, 1], slot as u16).into() };
        let connection = ConnectionId { slot, generation: 1 };
        broker.connected(NOW, connection, peer, true);
        broker.received(NOW, connection, says);
        broker.take_in(NOW);
        peer
    }

    #[test]
    fn a_refused_login_is_noticed_once_and_without_its_secret() {
        let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
        let peer = connect(&mut broker, 0, b"CONNECT {\"auth_token\":\"wr0ng\"}\r\n");
        let notices = broker.take_notices();
        assert!(
            matches!(&notices[..], [Notice { peer: of, event: Event::LoginRefused { why } }]
                if *of == peer && !why.contains("wr0ng")),
            "{notices:?}"
        );
        assert_eq!(broker.take_notices(), []);
    }

    #[test]
    fn a_storm_of_refused_logins_leaves_few_notices() {
        let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
        for slot in 0..1_000 {
            connect(&mut broker, slot, b"CONNECT {}\r\n");
        }
        assert_eq!(broker.take_notices().len(), NOTICES_MAX);
    }

    #[test]
    fn a_full_queue_is_noticed_the_first_time_only() {
        let mut broker = broker("[nats]\nsubscriber_capacity = 1\n");
        let peer = connect(&mut broker, 0, b"CONNECT {\"verbose\":false}\r\nSUB a.> 1\r\nPING\r\n");
        // Nothing is gathered for it, so its queue fills.
        let publish = b"CONNECT {\"verbose\":false}\r\nPUB a.b 1\r\nx\r\nPUB a.c 1\r\ny\r\n";
        connect(&mut broker, 1, publish);
        for slot in 2..9 {
            connect(&mut broker, slot, publish);
        }
        let pattern = Arc::from("a.>");
        let event = Event::Overflow { pattern, policy: OverflowPolicy::DropOldest };
        assert_eq!(broker.take_notices(), [Notice { peer, event }]);
    }
}
