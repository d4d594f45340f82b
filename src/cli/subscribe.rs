//! `blipmq sub`: one line on stdout for each message of the patterns.
//!
//! Called by `cli`. Next on the path: `output`, which writes a message.
//!
//! # Always true
//! - What is printed is flushed before waiting for more: nobody waits for a full buffer.
//! - Missed messages are told on stderr, never on stdout.

use std::io::{self, BufWriter, StdoutLock, Write};

use blipmq_client::{Client, ClientError, ClientOptions, Event, Overflow, Start, SubscribeOptions};
use clap::{Args, ValueEnum};

use super::output::{self, Format};
use super::{Outcome, Server, tell};

pub const EXAMPLES: &str = "Examples:
  blipmq sub orders.eu                       payloads, a line each
  blipmq sub 'orders.*' 'payments.>'         `*` is one token, `>` is all that follow
  blipmq sub 'orders.>' --format json        with topic, sequence and timestamp (ns)
  blipmq sub orders.eu --count 1             wait for one message
  blipmq sub 'prices.*' --overflow latest --last 1   the newest value of each, from now on
  blipmq sub jobs.mail --group mailers --overflow block   one of several workers
  blipmq sub orders.eu --from 1200           kept messages from sequence 1200, then live ones

It ends with status 0 after --count messages, with status 1 when the broker closes.";

/// Bytes of output gathered at most before they are written.
const OUTPUT_BYTES: usize = 64 * 1_024;

/// Print the messages of one or more patterns.
#[derive(Debug, Args)]
pub struct Subscribe {
    /// Topics or patterns: `*` stands for one token, `>` at the end for one or more.
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// What a line shows: the payload as it is; a JSON object; or topic, sequence and payload in
    /// hexadecimal.
    #[arg(long, value_enum, default_value_t = Format::Payload)]
    format: Format,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// What the broker does when messages come faster than this prints; default is the broker's
    /// `queues.overflow_policy`.
    #[arg(long, value_enum, value_name = "POLICY")]
    overflow: Option<OverflowChoice>,
    /// Messages the broker may keep for this; default, and most, is its
    /// `queues.subscriber_capacity`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// Begin with so many kept messages of each topic, at most.
    #[arg(long, value_name = "N", conflicts_with = "from")]
    last: Option<u64>,
    /// Begin with the kept message of this sequence, or the oldest after it.
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// Share the messages with others that name the same group and pattern: each goes to one.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Do not say on stderr when a subscription is in force.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum OverflowChoice {
    /// The oldest that wait are lost.
    DropOldest,
    /// New ones are lost until there is room.
    DropNew,
    /// Publishers of the topic wait until there is room.
    Block,
    /// The broker closes the connection.
    Disconnect,
    /// Only the newest of each topic waits.
    Latest,
}

impl From<OverflowChoice> for Overflow {
    fn from(choice: OverflowChoice) -> Overflow {
        match choice {
            OverflowChoice::DropOldest => Overflow::DropOldest,
            OverflowChoice::DropNew => Overflow::DropNew,
            OverflowChoice::Block => Overflow::Block,
            OverflowChoice::Disconnect => Overflow::Disconnect,
            OverflowChoice::Latest => Overflow::Latest,
        }
    }
}

/// Why printing ended before its time.
enum Stop {
    /// Whoever read the output has seen enough.
    OutputClosed,
    Failed(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::OutputClosed,
            _ => Stop::Failed(format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Stop {
        Stop::Failed(error.to_string())
    }
}

impl Subscribe {
    pub fn run(self) -> Outcome {
        let options = ClientOptions::new().name("blipmq sub");
        let client = self.server.connect(options).map_err(|error| error.to_string())?;
        let mut out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
        let printed = self.print(&client, &mut out);
        // What came before a failure is not less true for it.
        let flushed = out.flush().map_err(Stop::from);
        match printed.and(flushed) {
            Ok(()) | Err(Stop::OutputClosed) => Ok(()),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    fn options(&self) -> SubscribeOptions {
        let mut options = SubscribeOptions::new();
        if let Some(overflow) = self.overflow {
            options = options.overflow(overflow.into());
        }
        if let Some(capacity) = self.capacity {
            options = options.capacity(capacity);
        }
        if let Some(messages) = self.last {
            options = options.start(Start::Last(messages));
        }
        if let Some(sequence) = self.from {
            options = options.start(Start::Sequence(sequence));
        }
        if let Some(group) = &self.group {
            options = options.group(group.as_str());
        }
        options
    }

    fn print(&self, client: &Client, out: &mut BufWriter<StdoutLock<'_>>) -> Result<(), Stop> {
        let options = self.options();
        for pattern in &self.patterns {
            // Not `subscribe`: while it waited nobody would take the messages of the ones before.
            client.begin_subscribe(pattern, options.clone())?;
        }
        let mut left = self.count.unwrap_or(u64::MAX);
        loop {
            let event = match client.try_recv()? {
                Some(event) => event,
                None => {
                    out.flush()?;
                    client.recv()?
                }
            };
            match event {
                Event::Messages(messages) => {
                    for message in messages.iter() {
                        output::write(out, self.format, &message)?;
                        left -= 1;
                        if left == 0 {
                            return Ok(());
                        }
                    }
                }
                Event::Gap(gap) => tell(format_args!(
                    "missed {} messages of {}, {} to {}: {}",
                    gap.messages,
                    gap.topic,
                    gap.first,
                    gap.last(),
                    gap.reason
                )),
                Event::Subscribed(subscription) if !self.quiet => {
                    tell(format_args!("subscribed to {}", subscription.pattern()));
                }
                Event::Goodbye { reason } => {
                    tell(format_args!("the broker says goodbye: {reason}"));
                }
                Event::Error(error) => return Err(error.into()),
                _ => {}
            }
        }
    }
}
