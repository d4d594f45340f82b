//! `blipmq request`: sends one request and prints its reply on stdout.
//!
//! Called by `cli`. Next on the path: `blipmq_client`.

use std::io::{self, Read, Write};
use std::time::Duration;

use blipmq_client::ClientOptions;
use clap::Args;

use super::reply::ERROR_HEADER;
use super::{Outcome, Server, parse_duration};

pub const EXAMPLES: &str = "Examples:
  blipmq request prices.get espresso            print the reply
  blipmq request jobs.resize < photo.jpg        send all of stdin as the request
  blipmq request prices.get tea --timeout 500ms

Exit status 1: no reply arrived in time, or the replier reported a failure.";

/// Publish a request and print its reply.
#[derive(Debug, Args)]
pub struct Request {
    /// The topic, such as prices.get; no wildcards.
    topic: String,
    /// The request; without it, all of stdin.
    #[arg(allow_negative_numbers = true)]
    message: Option<String>,
    /// How long to wait for the reply: 500ms, 2s, or a number of milliseconds.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    server: Server,
}

impl Request {
    pub fn run(self) -> Outcome {
        let payload = match self.message {
            Some(message) => message.into_bytes(),
            None => {
                let mut bytes = Vec::new();
                let read = io::stdin().lock().read_to_end(&mut bytes);
                read.map_err(|error| format!("cannot read stdin: {error}"))?;
                bytes
            }
        };
        let options = ClientOptions::new().name("blipmq request");
        let client = self.server.connect(options)?;
        let reply = client
            .request(&self.topic, payload, self.timeout)
            .map_err(|error| error.to_string())?;
        if let Some(error) = reply.as_message().header(ERROR_HEADER) {
            return Err(format!("the replier failed: {}", String::from_utf8_lossy(error)));
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(&reply.payload).and_then(|()| out.write_all(b"\n"));
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot write to stdout: {error}"))
            }
            _ => Ok(()),
        }
    }
}
