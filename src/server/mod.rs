//! Placeholder of branch `client`: the real one is written on another branch and wins.

use std::process::ExitCode;

/// Runs the broker until it is told to stop.
pub fn run(settings: blipmq::config::Settings) -> ExitCode {
    eprintln!("blipmq: would serve on {}", settings.server.bind_addr);
    ExitCode::SUCCESS
}
