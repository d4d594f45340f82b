//! `blipmq pub`: publishes one message from the command line or a file, or one per line of stdin.
//!
//! Called by `cli`. Next on the path: `blipmq_client`.
//!
//! # Always true
//! - Exit status 0 means that the broker accepted every message.
//! - The bytes of a line are the payload: nothing is decoded, trimmed or added.
//! - At most one window of messages is in flight, so that a fast subscriber with a default queue
//!   keeps up when a long file is piped in.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use blipmq_client::{ClientError, ClientOptions, PublishOptions, PublishWindow, Topic};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::{Outcome, Server, parse_duration};

pub const EXAMPLES: &str = "Examples:
  blipmq pub orders.eu 'one espresso'        one message
  blipmq pub orders.eu < orders.txt          one message per line
  blipmq pub images.raw --file photo.jpg     a whole file as one message
  blipmq pub quotes.acme 42.50 --ttl 500ms   a message that expires after 500 ms
  blipmq pub jobs.mail 7 --header trace=42   a message with a header

Exit status 0 means that the broker accepted every message.";

/// Half of a subscription's default queue (2,048 messages): a subscriber that keeps up loses nothing.
const WINDOW: PublishWindow = PublishWindow { messages: 1_024, bytes: 256 * 1_024 };
/// Delay before the progress bar appears: shorter runs end before anyone could read it.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);
/// Messages between two updates of the progress bar.
const PROGRESS_STEP: u64 = 256;

/// Publish messages to a topic.
#[derive(Debug, Args)]
pub struct Publish {
    /// The topic, such as orders.eu; no wildcards.
    topic: String,
    /// The message; without it and without --file, each line of stdin is a message.
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    message: Option<String>,
    /// Publish the bytes of a file as one message.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long the broker may deliver a message after accepting it: 500ms, 2s, or a number of
    /// milliseconds.
    #[arg(long, value_name = "DURATION", value_parser = parse_ttl)]
    ttl: Option<Duration>,
    /// A header for every message; can be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// The topic for replies, sent in the header `reply-to`.
    #[arg(long, value_name = "TOPIC")]
    reply_to: Option<String>,
    /// Send a checksum with each message, for subscribers to verify.
    #[arg(long)]
    crc: bool,
    #[command(flatten)]
    server: Server,
}

fn parse_header(error_text: &str) -> Result<(String, String), String> {
    match error_text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("give a name and a value, as in trace=42".to_owned()),
    }
}

fn parse_ttl(error_text: &str) -> Result<Duration, String> {
    match parse_duration(error_text)? {
        Duration::ZERO => Err(
            "a message with a time to live of 0 ms is never delivered: give more, or omit --ttl"
                .to_owned(),
        ),
        ttl if ttl.as_millis() > u128::from(u32::MAX) => {
            Err(format!("{} ms is too long, the limit is {} ms", ttl.as_millis(), u32::MAX))
        }
        ttl => Ok(ttl),
    }
}

impl Publish {
    pub fn run(self) -> Outcome {
        let options = self.options();
        let whole = match (&self.message, &self.file) {
            (Some(message), _) => Some(message.as_bytes().to_vec()),
            (None, Some(file)) => Some(fs::read(file).map_err(|error| {
                format!(
                    "cannot read {}: {error}; check the path and its permissions",
                    file.display()
                )
            })?),
            (None, None) => None,
        };
        let client_options =
            ClientOptions::new().name("blipmq pub").publish_window(WINDOW).crc(self.crc);
        let client = self.server.connect(client_options)?;
        let topic = client.topic(&self.topic).map_err(error_text)?;
        match whole {
            Some(message) => topic.publish_with(message, &options).map_err(error_text)?,
            None => {
                let message_len_max = client.server_info().message_len_max;
                publish_lines(&topic, &options, message_len_max)?;
            }
        }
        client.flush().map_err(error_text)
    }

    fn options(&self) -> PublishOptions {
        let mut options = PublishOptions::new();
        if let Some(ttl) = self.ttl {
            options = options.ttl(ttl);
        }
        for (name, value) in &self.headers {
            options = options.header(name, value);
        }
        if let Some(topic) = &self.reply_to {
            options = options.reply_to(topic);
        }
        options
    }
}

fn error_text(error: ClientError) -> String {
    error.to_string()
}

fn publish_lines(topic: &Topic, options: &PublishOptions, message_len_max: u32) -> Outcome {
    let stdin = io::stdin();
    let mut progress = Progress::new(file_len(&stdin));
    let mut lines = BufReader::with_capacity(64 * 1_024, stdin.lock());
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        // One byte over the limit, and the newline: enough to recognise a line that is too long
        // without reading a whole file that has no newlines into memory.
        let read = (&mut lines)
            .take(u64::from(message_len_max) + 2)
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("cannot read line {number} of stdin: {error}"))?;
        if read == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() > message_len_max as usize {
            return Err(format!(
                "line {number} of stdin exceeds the broker's limit of {message_len_max} bytes; the \
                 {} lines before it are published. Shorten the line, or raise \
                 `server.max_message_size_bytes`",
                number - 1
            ));
        }
        topic.publish_with(&line, options).map_err(error_text)?;
        progress.advance(read as u64);
    }
    Ok(())
}

/// Returns the length of stdin if stdin is a file.
fn file_len(stdin: &io::Stdin) -> Option<u64> {
    let file = File::from(stdin.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// A progress bar, shown on stderr if that is a terminal and the input is long.
struct Progress {
    started: Instant,
    messages: u64,
    bar: ProgressBar,
}

impl Progress {
    fn new(total_bytes: Option<u64>) -> Progress {
        let template = match total_bytes {
            Some(_) => "{wide_bar} {bytes}/{total_bytes} {msg} {eta}",
            None => "{spinner} {bytes} {bytes_per_sec} {msg}",
        };
        // Created hidden and shown later: the bar computes its rate from its creation.
        let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        // Cleared on failure too, so that the error is the last line on the screen.
        let bar = bar.with_style(style).with_finish(ProgressFinish::AndClear);
        Progress { started: Instant::now(), messages: 0, bar }
    }

    fn advance(&mut self, bytes: u64) {
        self.messages += 1;
        self.bar.inc(bytes);
        if !self.messages.is_multiple_of(PROGRESS_STEP) {
            return;
        }
        self.bar.set_message(format!("{} messages", self.messages));
        if self.bar.is_hidden() && self.started.elapsed() >= PROGRESS_AFTER {
            // The bar stays hidden if stderr is not a terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}
