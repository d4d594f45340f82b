//! `blipmq reply`: answers each request of a pattern with a text, with itself, or with what a
//! command prints.
//!
//! Called by `cli`. Next on the path: `blipmq_client`.
//!
//! # Always true
//! - A command that fails is answered too, with what happened: the requester need not wait.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use blipmq_client::SubscribeOptions;
use blipmq_client::{Client, ClientError, ClientOptions, Event, Message, PublishOptions};
use clap::Args;

use super::{Outcome, Server, tell};

pub const EXAMPLES: &str = "Examples:
  blipmq reply prices.get --text 3.20              the same reply to each request
  blipmq reply 'echo.>' --echo                     the request itself
  blipmq reply jobs.upper --exec 'tr a-z A-Z'      a shell command: request in, reply out
  blipmq reply jobs.upper --exec 'tr a-z A-Z' --group upper   one of several that share the work

A command finds the topic in the environment as BLIPMQ_TOPIC. If it fails, the reply says so in the
header `error`. Messages that name no topic to reply to are told on stderr and not answered.";

/// Header of a reply that says why there is none.
pub const ERROR_HEADER: &str = "error";

/// Answer the requests of a pattern.
#[derive(Debug, Args)]
pub struct Reply {
    /// The topic or pattern of the requests.
    pattern: String,
    #[command(flatten)]
    answer: Answer,
    /// End after so many requests.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Share the requests with others that name the same group and pattern: each goes to one.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Do not say on stderr when the subscription is in force.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// Reply with this text.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Reply with what this shell command prints; it reads the request from stdin.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// Reply with the request.
    #[arg(long)]
    echo: bool,
}

impl Reply {
    pub fn run(self) -> Outcome {
        self.serve().map_err(|error| error.to_string())
    }

    fn serve(&self) -> Result<(), ClientError> {
        let client = self.server.connect(ClientOptions::new().name("blipmq reply"))?;
        let mut options = SubscribeOptions::new();
        if let Some(group) = &self.group {
            options = options.group(group.as_str());
        }
        client.subscribe(&self.pattern, options)?;
        if !self.quiet {
            tell(format_args!("replying to {}", self.pattern));
        }
        let mut left = self.count.unwrap_or(u64::MAX);
        loop {
            match client.recv()? {
                Event::Messages(messages) => {
                    for message in messages.iter() {
                        self.reply(&client, &message)?;
                        left -= 1;
                        if left == 0 {
                            return client.close();
                        }
                    }
                }
                Event::Gap(gap) => {
                    tell(format_args!("missed {} requests: {}", gap.messages, gap.reason));
                }
                Event::Error(error) => tell(format_args!("{error}")),
                Event::Goodbye { reason } => {
                    tell(format_args!("the broker says goodbye: {reason}"));
                }
                _ => {}
            }
        }
    }

    fn reply(&self, client: &Client, message: &Message<'_>) -> Result<(), ClientError> {
        if message.reply_to().is_none() {
            let (topic, sequence) = (message.topic, message.sequence);
            tell(format_args!("message {sequence} of {topic} names no topic to reply to"));
            return Ok(());
        }
        let mut options = PublishOptions::new();
        let answer = match (&self.answer.text, &self.answer.exec) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(command)) => execute(command, message).unwrap_or_else(|failure| {
                tell(format_args!("{failure}"));
                options = PublishOptions::new().header(ERROR_HEADER, failure);
                Vec::new()
            }),
            (None, None) => message.payload.to_vec(),
        };
        match client.reply_with(message, answer, options) {
            // What one requester asked for, or the size of one answer, ends nothing.
            Err(
                refused @ (ClientError::BadTopic { .. }
                | ClientError::TopicRefused { .. }
                | ClientError::MessageTooLong { .. }),
            ) => {
                tell(format_args!("no reply: {refused}"));
                Ok(())
            }
            replied => replied,
        }
    }
}

fn execute(command: &str, message: &Message<'_>) -> Result<Vec<u8>, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("BLIPMQ_TOPIC", message.topic);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| format!("cannot start `sh`: {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = thread::scope(|scope| {
        // From another thread: a command may print before it has read all.
        scope.spawn(move || {
            // A command need not read its input.
            let _ = stdin.write_all(message.payload);
        });
        child.wait_with_output()
    });
    match output {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(format!("`{command}` ended with {}", output.status)),
        Err(error) => Err(format!("cannot run `{command}`: {error}")),
    }
}
