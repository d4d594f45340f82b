//! `blipmq check-config`: validates a configuration file and prints the resulting settings.
//!
//! Called by `cli`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, serve};

/// Check a configuration file and print the resulting settings.
#[derive(Debug, Args)]
pub struct CheckConfig {
    /// The configuration file.
    file: PathBuf,
}

impl CheckConfig {
    pub fn run(self) -> Outcome {
        let settings = serve::read_settings(&self.file)?;
        let text = format!("{} is valid\n\n{settings}", self.file.display());
        match io::stdout().lock().write_all(text.as_bytes()) {
            // The reader closed the pipe early, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| format!("cannot write to stdout: {error}")),
        }
    }
}
