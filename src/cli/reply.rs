//! `blipmq reply`: answers each request on a pattern with a fixed text, with the request itself, or
//! with the output of a command.
//!
//! Called by `cli`. Next on the path: `command`, which runs a command, and `blipmq_client`.
//!
//! # Always true
//! - A failing command and a reply that is too long are answered too, with the reason in a header: no
//!   requester waits in vain.

mod command;

use blipmq_client::SubscribeOptions;
use blipmq_client::{Client, ClientError, ClientOptions, Event, Message, PublishOptions};
use clap::Args;

use super::{Outcome, Server, print_stderr};
use command::execute;

pub const EXAMPLES: &str = "Examples:
  blipmq reply prices.get --text 3.20              send the same reply to each request
  blipmq reply 'echo.>' --echo                     send each request back
  blipmq reply jobs.upper --exec 'tr a-z A-Z'      run a shell command: stdin is the request,
                                                   stdout the reply
  blipmq reply jobs.upper --exec 'tr a-z A-Z' --group upper   share the requests with other members

A command gets the topic in the environment variable BLIPMQ_TOPIC; its reply ends when it ends, also
if it leaves processes running. If a command fails or its reply is too long, the reply has the reason
in the header `error`. Messages without a reply topic are reported on stderr and not
answered.";

/// The header with the reason why a request failed.
pub const ERROR_HEADER: &str = "error";

/// Answer requests on a topic or pattern.
#[derive(Debug, Args)]
pub struct Reply {
    /// The topic or pattern of the requests.
    pattern: String,
    #[command(flatten)]
    answer: Answer,
    /// Exit after N requests.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Share the requests with all subscribers of this group and pattern: each request goes to one.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Do not report on stderr that the subscription is active.
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
    /// Reply with the output of this shell command, which gets the request on stdin.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// Reply with the request.
    #[arg(long)]
    echo: bool,
}

impl Reply {
    pub fn run(self) -> Outcome {
        let client = self.server.connect(ClientOptions::new().name("blipmq reply"))?;
        self.serve(&client).map_err(|error| error.to_string())
    }

    fn serve(&self, client: &Client) -> Result<(), ClientError> {
        let mut options = SubscribeOptions::new();
        if let Some(group) = &self.group {
            options = options.group(group.as_str());
        }
        client.subscribe(&self.pattern, options)?;
        if !self.quiet {
            print_stderr(format_args!("replying to {}", self.pattern));
        }
        let mut left = self.count.unwrap_or(u64::MAX);
        loop {
            match client.recv()? {
                Event::Messages(messages) => {
                    for message in messages.iter() {
                        self.reply(client, &message)?;
                        left -= 1;
                        if left == 0 {
                            return client.close();
                        }
                    }
                }
                Event::Gap(gap) => {
                    print_stderr(format_args!("missed {} requests: {}", gap.messages, gap.reason));
                }
                Event::Error(error) => print_stderr(format_args!("{error}")),
                Event::Goodbye { reason } => {
                    print_stderr(format_args!("the broker sent GOODBYE: {reason}"));
                }
                _ => {}
            }
        }
    }

    fn reply(&self, client: &Client, message: &Message<'_>) -> Result<(), ClientError> {
        if message.reply_to().is_none() {
            let (topic, sequence) = (message.topic, message.sequence);
            print_stderr(format_args!("message {sequence} of {topic} has no reply topic"));
            return Ok(());
        }
        let mut options = PublishOptions::new();
        let answer = match (&self.answer.text, &self.answer.exec) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(command)) => {
                let reply_len_max = client.server_info().message_len_max as usize;
                let (topic, request) = (message.topic, message.payload);
                execute(command, topic, request, reply_len_max).unwrap_or_else(|failure| {
                    print_stderr(format_args!("{failure}"));
                    options = PublishOptions::new().header(ERROR_HEADER, failure);
                    Vec::new()
                })
            }
            (None, None) => message.payload.to_vec(),
        };
        match client.reply_with(message, answer, options) {
            Err(
                too_long @ (ClientError::MessageTooLong { .. } | ClientError::FrameTooLong { .. }),
            ) => {
                print_stderr(format_args!("{too_long}"));
                let options = PublishOptions::new().header(ERROR_HEADER, too_long.to_string());
                unless_refused(client.reply_with(message, Vec::new(), options))
            }
            replied => unless_refused(replied),
        }
    }
}

/// A bad reply topic concerns one request: the others go on.
fn unless_refused(replied: Result<(), ClientError>) -> Result<(), ClientError> {
    match replied {
        Err(refused @ (ClientError::BadTopic { .. } | ClientError::TopicRefused { .. })) => {
            print_stderr(format_args!("no reply: {refused}"));
            Ok(())
        }
        replied => replied,
    }
}
