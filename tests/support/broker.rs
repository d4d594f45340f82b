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
        Broker::try_start("127.0.0.1:0").expect("it serves before it ends")
    }

    /// Ends it at once, as a power cut would, and starts another at the same address.
    pub fn restart(mut self) -> Broker {
        self.end();
        // The kernel frees an io_uring's sockets some time after its process.
        let again = (0..1_000).find_map(|_| Broker::try_start(&self.addr));
        again.expect("the address is free some time")
    }

    /// Returns when it serves; `None` if it ended before.
    fn try_start(addr: &str) -> Option<Broker> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blipmq"));
        command.args(["--bind", addr, "--metrics-bind", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = loop {
            let Some(line) = lines.next() else {
                child.wait().expect("it has ended");
                return None;
            };
            if let Some((_, ready)) = line.expect("UTF-8").split_once(" is ready on ") {
                break ready.to_owned();
            }
        };
        let (addr, _) = ready.split_once(',').expect("the address, then the metrics");
        Some(Broker { addr: addr.to_owned(), child })
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
