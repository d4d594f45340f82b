//! The real binary, serving on one core.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A broker that is killed when dropped.
pub struct Broker {
    pub addr: String,
    child: Child,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::start_at("127.0.0.1:0")
    }

    /// Returns when it serves.
    pub fn start_at(addr: &str) -> Broker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blipmq"));
        command.args(["--bind", addr, "--metrics-bind", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = loop {
            let line = lines.next().expect("it serves before it ends").expect("UTF-8");
            if let Some((_, ready)) = line.split_once(" is ready on ") {
                break ready.to_owned();
            }
        };
        let (addr, _) = ready.split_once(',').expect("the address, then the metrics");
        Broker { addr: addr.to_owned(), child }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> String {
        self.end();
        self.addr.clone()
    }

    fn end(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}
