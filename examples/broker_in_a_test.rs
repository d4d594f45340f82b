//! How your own tests start a broker: a real one, on a free port, that no other test shares.
//!
//! ```sh
//! cargo build --release
//! BLIPMQ_BIN=target/release/blipmq cargo run --example broker_in_a_test
//! ```
//!
//! The broker keeps everything in memory and is ready within milliseconds, so each test can have one.
//! Copy `Broker` into your tests; the test itself is here `main`, so that it can be run as it is.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use blipmq_client::{Client, ClientError, Event, SubscribeOptions};

/// A broker process that ends with this value, also when the test panics.
struct Broker {
    /// Where clients connect: `127.0.0.1` and the port that the system chose.
    addr: String,
    process: Child,
    /// Open as long as the process runs, so that the broker can always write.
    _stdout: BufReader<ChildStdout>,
}

impl Broker {
    /// Starts `blipmq` from the PATH, or the file that the variable `BLIPMQ_BIN` names.
    fn start() -> Broker {
        let binary = std::env::var_os("BLIPMQ_BIN").unwrap_or_else(|| "blipmq".into());
        let mut process = Command::new(binary)
            // Port 0 is any port that is free, for each of the three listeners.
            .args(["--bind", "127.0.0.1:0"])
            .args(["--nats-bind", "127.0.0.1:0"])
            .args(["--metrics-bind", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("blipmq is on the PATH, or BLIPMQ_BIN names it");
        // The first line of stdout comes when clients can connect, and says where. A broker that
        // cannot start ends instead, with the reason on stderr.
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("the line is UTF-8");
        let (_, rest) = ready.split_once(" is ready on ").expect("the broker starts");
        let addr = rest.split(',').next().expect("an address").trim().to_owned();
        Broker { addr, process, _stdout: stdout }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // By its handle, never by name: other tests have brokers too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is tested, in your case: a part of your program that uses the broker.
fn publish_total(client: &Client, amounts: &[u32]) -> Result<(), ClientError> {
    let total: u32 = amounts.iter().sum();
    client.topic("totals.eu")?.publish(total.to_string())?;
    client.flush()
}

// #[test]
// fn total_is_published() {
fn main() {
    let broker = Broker::start();
    let client = Client::connect(&broker.addr).expect("the broker is ready");
    // Subscribe first: `subscribe` returns when every later message is sure to arrive.
    client.subscribe("totals.*", SubscribeOptions::new()).expect("the broker accepts the pattern");

    publish_total(&client, &[1, 2, 39]).expect("the broker accepts the message");

    // A bound on the wait turns a message that never comes into a failure instead of a hang.
    match client.recv_timeout(Duration::from_secs(10)).expect("the connection holds") {
        Some(Event::Messages(messages)) => {
            let message = messages.iter().next().expect("a frame has at least one message");
            assert_eq!((message.topic, message.payload), ("totals.eu", &b"42"[..]));
        }
        other => panic!("a message was due, got {other:?}"),
    }
    println!("the total went through the broker on {}", broker.addr);
}
