//! The command line: the commands and their shared options.
//!
//! Called by `main`. Each command has a file in this folder. `serve` continues in `server`; the
//! other commands use the library's client or the admin API.
//!
//! # Always true
//! - Exit status 0 is success, 1 a failure, 2 an invalid command line.
//! - A failure is one line on stderr: what happened, the numbers, what to do.
//! - Stdout carries only the output that the user asked for.

mod admin;
mod bench;
mod check_config;
mod doctor;
mod hash_password;
mod help;
mod output;
mod publish;
mod reload;
mod reply;
mod request;
mod secrets;
mod serve;
mod subscribe;
mod top;
mod units;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use blipmq_client::{Client, ClientError, ClientOptions};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::printable;

/// A thread-per-core publish/subscribe broker for Linux on io_uring.
///
/// Without a command, blipmq runs a broker, by default on 127.0.0.1:7878.
#[derive(Debug, Parser)]
#[command(
    name = "blipmq",
    version,
    args_conflicts_with_subcommands = true,
    after_help = help::after_help("Examples:
  blipmq                                     run a broker with the defaults
  blipmq --config /etc/blipmq.toml           run a broker with a file: remote clients, TLS, users
  blipmq sub 'orders.>'                      print messages as they arrive
  blipmq pub orders.eu 'one espresso'        publish a message
  blipmq request prices.get espresso         send a request and print its reply
  blipmq bench blip://127.0.0.1:7878         measure a broker
  blipmq top                                 watch a broker in the terminal
  blipmq check-config /etc/blipmq.toml       check a file before a reload or a restart
  blipmq hash-password                       hash a password for the configuration
  blipmq reload                              make a broker reread its configuration
  blipmq doctor                              check this machine before a start

Exit status: 0 success, 1 failure, 2 an invalid command line.")
)]
struct CommandLine {
    #[command(flatten)]
    serve: serve::Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker; the same as `blipmq` without a command.
    Serve(serve::Serve),
    /// Publish messages to a topic.
    #[command(name = "pub", after_help = publish::EXAMPLES)]
    Publish(publish::Publish),
    /// Print the messages that match one or more patterns.
    #[command(name = "sub", after_help = subscribe::EXAMPLES)]
    Subscribe(subscribe::Subscribe),
    /// Publish a request and print its reply.
    #[command(after_help = request::EXAMPLES)]
    Request(request::Request),
    /// Answer requests on a topic or pattern.
    #[command(after_help = reply::EXAMPLES)]
    Reply(reply::Reply),
    /// Put load on a broker, check every message, and report throughput and latency.
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<bench::Bench>),
    /// Watch a broker: rates, latency, cores, slowest subscribers, topics, limits.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Top),
    /// Print the hash of a password or token, for the configuration.
    #[command(after_help = hash_password::EXAMPLES)]
    HashPassword(hash_password::HashPassword),
    /// Check a configuration file with its certificates, and print the resulting settings.
    CheckConfig(check_config::CheckConfig),
    /// Make a broker reread its configuration, and report what changed.
    #[command(after_help = reload::EXAMPLES)]
    Reload(reload::Reload),
    /// Check this machine against the broker's needs and the tuning guide's advice.
    #[command(after_help = doctor::NOTES)]
    Doctor(doctor::Doctor),
}

/// The address and the login of the broker that a client command connects to.
#[derive(Debug, Args)]
struct Server {
    /// The broker's host:port.
    #[arg(
        long = "server",
        value_name = "ADDR",
        env = "BLIPMQ_SERVER",
        default_value = "127.0.0.1:7878"
    )]
    addr: String,
    /// The token, if the broker requires one.
    #[arg(long, env = "BLIPMQ_TOKEN", hide_env_values = true, conflicts_with = "user")]
    token: Option<String>,
    /// The user to connect as.
    #[arg(long, value_name = "NAME", env = "BLIPMQ_USER", requires = "password")]
    user: Option<String>,
    /// The user's password. Other users of this machine can see command lines but not environment
    /// variables.
    #[arg(long, env = "BLIPMQ_PASSWORD", hide_env_values = true, requires = "user")]
    password: Option<String>,
}

impl Server {
    fn connect(&self, mut options: ClientOptions) -> Result<Client, ClientError> {
        if let Some(token) = &self.token {
            options = options.token(token);
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            options = options.user(user, password);
        }
        options.connect(&self.addr)
    }
}

/// The result of a command; the error is the line for stderr.
type Outcome = Result<(), String>;

pub fn run() -> ExitCode {
    let command = without_empty_variables(CommandLine::command());
    let parsed =
        command.try_get_matches().and_then(|matches| CommandLine::from_arg_matches(&matches));
    let command_line = match parsed {
        Ok(command_line) => command_line,
        // `help` also takes chapters of the manual, which are not commands.
        Err(error) => return finish(help::answer(error, CommandLine::command())),
    };
    let outcome = match command_line.command.unwrap_or(Command::Serve(command_line.serve)) {
        Command::Serve(serve) => match serve.settings() {
            Ok(settings) => return crate::server::run(settings, serve.into_source()),
            Err(failure) => Err(failure),
        },
        Command::Publish(publish) => publish.run(),
        Command::Subscribe(subscribe) => subscribe.run(),
        Command::Request(request) => request.run(),
        Command::Reply(reply) => reply.run(),
        Command::Bench(bench) => bench.run(),
        Command::Top(top) => top.run(),
        Command::HashPassword(hash_password) => hash_password.run(),
        Command::CheckConfig(check_config) => check_config.run(),
        Command::Reload(reload) => reload.run(),
        Command::Doctor(doctor) => doctor.run(),
    };
    finish(outcome)
}

/// Takes environment variables that are empty as not set: `BLIPMQ_TOKEN=""` is no token.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let without = |arg: clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        // No variable has an empty name.
        match value.is_some_and(|value| value.is_empty()) {
            true => arg.env("").hide_env(true),
            false => arg,
        }
    };
    command.mut_args(without).mut_subcommands(without_empty_variables)
}

/// Prints a failure on stderr and returns the exit status.
fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_stderr(format_args!("blipmq: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on stderr, or several, with names of clients and texts of brokers escaped. Unlike
/// `eprintln`, it does not panic if stderr is closed.
fn print_stderr(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", printable::escape_lines(&line.to_string()));
}

/// Parses `500ms`, `2s`, `5m`, `1h`, or a number of milliseconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits_len = text.find(|character: char| !character.is_ascii_digit());
    let (number, unit) = text.split_at(digits_len.unwrap_or(text.len()));
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{unit}` is not a unit: use ms, s, m or h, as in 500ms or 2s")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "give a whole number with a unit, as in 500ms or 2s".to_owned())?;
    let duration_ms = number.checked_mul(unit_ms).ok_or("the duration is too long")?;
    Ok(Duration::from_millis(duration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit_or_are_milliseconds() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("250"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["", "s", "2x", "-1s", "1.5s", "99999999999999999999", "9999999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_of_serve_work_with_and_without_the_command() {
        for words in [&["blipmq", "--cores", "1,2"][..], &["blipmq", "serve", "--cores", "1,2"]] {
            let command_line = CommandLine::try_parse_from(words).expect("a valid command line");
            let serve = match command_line.command {
                Some(Command::Serve(serve)) => serve,
                None => command_line.serve,
                other => panic!("{other:?}"),
            };
            assert_eq!(serve.settings().unwrap().server.cores, Some(vec![1, 2]));
        }
        assert!(CommandLine::try_parse_from(["blipmq", "--cores", "1", "sub", "a"]).is_err());
    }
}
