//! The real binary for tests of the client, restarted at the same address.

use super::running::{self, blipmq};

/// A broker that is killed when dropped.
pub struct Broker {
    pub addr: String,
    running: running::Broker,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::at("127.0.0.1:0")
    }

    /// Kills the broker, as a power cut would, and starts another at the same address.
    pub fn restart(self) -> Broker {
        let Broker { addr, running } = self;
        drop(running);
        Broker::at(&addr)
    }

    fn at(addr: &str) -> Broker {
        let words = ["--bind", addr, "--nats-bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0"];
        let running = running::Broker::from_command(blipmq(&words));
        Broker { addr: running.addr.to_string(), running }
    }
}
