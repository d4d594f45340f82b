//! `blipmq pub`: one message from the command line or a file, or one for each line of stdin.
//!
//! Called by `cli`. Next on the path: `blipmq_client`.
//!
//! # Always true
//! - Exit status 0 means that the broker took every message.
//! - The bytes of a line are the payload: nothing is decoded, trimmed or added.
//! - No more than the window is ahead of the broker, so that a fast subscriber with the default
//!   queue keeps up with a file poured through a pipe.

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
  blipmq pub orders.eu < orders.txt          one for each line
  blipmq pub images.raw --file photo.jpg     a whole file as one message
  blipmq pub quotes.acme 42.50 --ttl 500ms   not delivered later than that
  blipmq pub jobs.mail 7 --header trace=42   with a header

Exit status 0 means that the broker took every message.";

/// Half of a subscriber's default queue (2,048 messages): the one who keeps up loses nothing.
const WINDOW: PublishWindow = PublishWindow { messages: 1_024, bytes: 256 * 1_024 };
/// Shorter work is over before a progress bar could be read.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);
/// Messages between looks at the clock.
const PROGRESS_STEP: u64 = 256;

/// Publish messages to a topic.
#[derive(Debug, Args)]
pub struct Publish {
    /// The topic, such as orders.eu; no wildcards.
    topic: String,
    /// The message; without it, and without --file, each line of stdin is one.
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    message: Option<String>,
    /// Publish the bytes of a file as one message.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Messages are not delivered later than this after the broker took them: 500ms, 2s, or plain
    /// milliseconds.
    #[arg(long, value_name = "DURATION", value_parser = parse_ttl)]
    ttl: Option<Duration>,
    /// A header of every message; may be given more than once.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// The topic on which an answer is awaited, sent in the header `reply-to`.
    #[arg(long, value_name = "TOPIC")]
    reply_to: Option<String>,
    /// Send checksums, which subscribers check.
    #[arg(long)]
    crc: bool,
    #[command(flatten)]
    server: Server,
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("give a name and a value, as in trace=42".to_owned()),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => {
            Err("nothing is delivered within 0 ms: give more, or no --ttl".to_owned())
        }
        ttl if ttl.as_millis() > u128::from(u32::MAX) => {
            Err(format!("it is {} ms, the limit is {}", ttl.as_millis(), u32::MAX))
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
        let client = self.server.connect(client_options).map_err(text)?;
        let topic = client.topic(&self.topic).map_err(text)?;
        match whole {
            Some(message) => topic.publish_with(message, &options).map_err(text)?,
            None => {
                let message_len_max = client.server_info().message_len_max;
                publish_lines(&topic, &options, message_len_max)?;
            }
        }
        client.flush().map_err(text)
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

fn text(error: ClientError) -> String {
    error.to_string()
}

fn publish_lines(topic: &Topic, options: &PublishOptions, message_len_max: u32) -> Outcome {
    let stdin = io::stdin();
    let mut progress = Progress::new(file_len(&stdin));
    let mut lines = BufReader::with_capacity(64 * 1_024, stdin.lock());
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        // One byte more than fits, and the newline: enough to know that a line is too long,
        // without keeping a file that has no lines at all.
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
                "line {number} of stdin is longer than the {message_len_max} bytes the broker \
                 takes; the {} before it are published. Shorten it, or raise \
                 `server.max_message_size_bytes`",
                number - 1
            ));
        }
        topic.publish_with(&line, options).map_err(text)?;
        progress.advance(read as u64);
    }
    Ok(())
}

/// The length of stdin if it is a file, to show how much is left.
fn file_len(stdin: &io::Stdin) -> Option<u64> {
    let file = File::from(stdin.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// A bar on stderr, if somebody looks at it and the work takes long enough.
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
        // Hidden at first, and not made later: its rate counts from where it begins.
        let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        // Cleared also when a failure ends it: the failure's line is the last on the screen.
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
            // It stays hidden where stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}
