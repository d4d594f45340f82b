//! `blipmq sub`: prints one line on stdout per message.
//!
//! Called by `cli`. Next on the path: `output`, which writes a message.
//!
//! # Always true
//! - Output is flushed before each wait: no message stays in the buffer while no other arrives.
//! - A stdout that nobody reads any more ends the command at once, also while no message arrives.
//! - Missed messages are reported on stderr, never on stdout.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::thread;

use blipmq_client::{Client, ClientError, ClientOptions, Event, Overflow, Start, SubscribeOptions};
use clap::{Args, ValueEnum};

use rustix::event::{PollFd, PollFlags, poll};

use super::output::{self, Format};
use super::{Outcome, Server, print_stderr};

pub const EXAMPLES: &str = "Examples:
  blipmq sub orders.eu                       print payloads, one per line
  blipmq sub 'orders.*' 'payments.>'         `*` is one token, `>` one or more at the end
  blipmq sub 'orders.>' --format json        with topic, sequence and timestamp (ns)
  blipmq sub orders.eu --count 1             wait for one message
  blipmq sub 'prices.*' --overflow latest --last 1   always the newest value of each topic
  blipmq sub jobs.mail --group mailers --overflow block   one of several workers
  blipmq sub orders.eu --from 1200           retained messages from sequence 1200, then live ones

Exit status: 0 after --count messages, 1 if the broker closes the connection.";

/// The size of the output buffer.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1_024;

/// Print the messages that match one or more patterns.
#[derive(Debug, Args)]
pub struct Subscribe {
    /// Topics or patterns: `*` matches one token, `>` at the end one or more.
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    /// The format of a line: the unchanged payload; a JSON object; or topic, sequence and payload in
    /// hexadecimal.
    #[arg(long, value_enum, default_value_t = Format::Payload)]
    format: Format,
    /// Exit after N messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// What the broker does when messages arrive faster than this command prints them; the default
    /// is the broker's `queues.overflow_policy`.
    #[arg(long, value_enum, value_name = "POLICY")]
    overflow: Option<OverflowArg>,
    /// How many messages the broker may queue for this subscription; the default and the maximum
    /// are its `queues.subscriber_capacity`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// Start with at most N retained messages of each topic.
    #[arg(long, value_name = "N", conflicts_with = "from")]
    last: Option<u64>,
    /// Start with the retained message of this sequence, or the oldest one after it.
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// Share the messages with all subscribers of this group and pattern: each message goes to one.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Do not report on stderr that a subscription is active.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum OverflowArg {
    /// The oldest queued messages are dropped.
    DropOldest,
    /// New messages are dropped until there is room.
    DropNew,
    /// Publishers of the topic are paused until there is room.
    Block,
    /// The broker closes the connection.
    Disconnect,
    /// Only the newest message of each topic stays queued.
    Latest,
}

impl From<OverflowArg> for Overflow {
    fn from(choice: OverflowArg) -> Overflow {
        match choice {
            OverflowArg::DropOldest => Overflow::DropOldest,
            OverflowArg::DropNew => Overflow::DropNew,
            OverflowArg::Block => Overflow::Block,
            OverflowArg::Disconnect => Overflow::Disconnect,
            OverflowArg::Latest => Overflow::Latest,
        }
    }
}

/// Why printing stopped before --count was reached.
enum Stop {
    /// The reader closed the pipe early, as `head` does.
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
        let client = self.server.connect(options)?;
        thread::spawn(exit_once_stdout_is_closed);
        let mut out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock());
        let printed = self.print(&client, &mut out);
        // Messages that arrived before a failure are printed too.
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
            // Not `subscribe`: while it waited for one pattern, messages of the earlier patterns
            // would not be received.
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
                Event::Gap(gap) => print_stderr(format_args!(
                    "missed {} messages of {}, {} to {}: {}",
                    gap.messages,
                    gap.topic,
                    gap.first,
                    gap.last(),
                    gap.reason
                )),
                Event::Subscribed(subscription) if !self.quiet => {
                    print_stderr(format_args!("subscribed to {}", subscription.pattern()));
                }
                Event::Goodbye { reason } => {
                    print_stderr(format_args!("the broker sent GOODBYE: {reason}"));
                }
                Event::Error(error) => return Err(error.into()),
                _ => {}
            }
        }
    }
}

/// Ends the process, as a failed write would, once the reader of stdout is gone. Files and `/dev/null`
/// have no reader that can go.
fn exit_once_stdout_is_closed() {
    let stdout = io::stdout();
    loop {
        // No events are asked for: the kernel always reports these two.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                std::process::exit(0);
            }
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}
