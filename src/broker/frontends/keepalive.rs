//! Clients that are silent: each protocol sends them PING, and closes those that stay silent.
//!
//! A client that hangs keeps its connection: what it is sent counts as delivered as long as the kernel
//! takes that, and a group goes on to deal it messages. A peer that is cut off says nothing either.
//!
//! # Always true
//! - Whatever a client sends is its sign of life. So is that it makes room in a socket that was full.
//! - No client is silent whose bytes are not read, for whatever reason.

use super::{Doors, Frontends, Protocol};
use crate::broker::clock::ms_to_ns;
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::broker::timers::Class;
use crate::config::Settings;

/// How long clients of a protocol may be silent, and how often they are asked before the end.
struct Watch {
    class: Class,
    /// 0: for ever.
    interval_ns: u64,
    pings_max: u32,
}

/// What is to be done about a client that may have been silent for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing.
    Short,
    /// It is to be asked, and how often it is then since it last sent anything.
    Asked(u32),
    /// Its connection is to be closed: it was asked so often, and sent nothing for so long.
    TooLong {
        /// How often it was asked.
        pings: u32,
        /// Since when it sent nothing, in milliseconds.
        silent_ms: u64,
    },
}

impl Watch {
    fn of(protocol: Protocol, settings: &Settings) -> Watch {
        let Settings { server, nats, .. } = settings;
        let (class, interval_ms, pings_max) = match protocol {
            Protocol::Blip => (Class::NativeSilence, server.ping_interval_ms, server.pings_max),
            Protocol::Nats => (Class::Silence, nats.ping_interval_ms, nats.pings_max),
        };
        Watch { class, interval_ns: ms_to_ns(interval_ms), pings_max }
    }
}

impl Doors<'_> {
    /// Looks at a connection again when its client could have been silent for too long.
    pub fn expect_sign_of_life(&mut self, protocol: Protocol, slot: Slot) {
        let Watch { class, interval_ns, .. } = Watch::of(protocol, self.settings());
        if interval_ns > 0 {
            let at_ns = self.now.monotonic_ns + interval_ns;
            self.timers.set(class, at_ns, self.connections.id(slot));
        }
    }

    /// Looks at a client that may have been silent for too long; unless it was, it is looked at again.
    pub fn check_silence(&mut self, protocol: Protocol, slot: Slot) -> Silence {
        let Watch { interval_ns, pings_max, .. } = Watch::of(protocol, self.settings());
        let now_ns = self.now.monotonic_ns;
        let is_read = !self.connections.are_carried_over() && !self.drain.begun;
        let connection = self.connections.get(slot);
        if connection.look() || connection.is_held_back() || !is_read {
            connection.hear(now_ns);
        }
        let silent_ns = now_ns - connection.heard_ns();
        let silence = match silent_ns >= interval_ns {
            false => Silence::Short,
            true => match connection.ask(pings_max) {
                Some(pings) => Silence::Asked(pings),
                None => {
                    self.counters.stale_connections.add(1);
                    let silent_ms = silent_ns / 1_000_000;
                    return Silence::TooLong { pings: pings_max, silent_ms };
                }
            },
        };
        self.expect_sign_of_life(protocol, slot);
        silence
    }
}

impl Frontends {
    /// After a reload: clients are looked at when they would have been if the settings had always been
    /// these.
    pub fn reload_watches(&self, doors: &mut Doors<'_>, old: &Settings) {
        for protocol in Protocol::ALL {
            let old_ns = Watch::of(*protocol, old).interval_ns;
            let Watch { class, interval_ns, .. } = Watch::of(*protocol, doors.settings());
            match (old_ns, interval_ns) {
                (0, 0) => {}
                (0, _) => self.watch_all(doors, *protocol),
                (_, 0) => doors.timers.clear(class),
                _ => doors.timers.shift(class, old_ns, interval_ns),
            }
        }
    }

    /// Watches the clients of a protocol that have not been so far.
    fn watch_all(&self, doors: &mut Doors<'_>, protocol: Protocol) {
        for slot in doors.connections.table().slots_in_use() {
            let is_open = doors.connections.at(slot).phase() == Phase::Open;
            if is_open && self.protocol(slot) == protocol {
                doors.expect_sign_of_life(protocol, slot);
            }
        }
    }
}
