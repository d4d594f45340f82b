//! `blipmq check-config`: validates a configuration file and the files that it names, and prints the
//! resulting settings.
//!
//! Called by `cli`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use blipmq::config::Settings;
use clap::Args;

use super::{Outcome, print_stderr, serve};
use crate::server::tls::certificates::Certificates;

/// Check a configuration file with the certificates that it names, and print the resulting settings.
#[derive(Debug, Args)]
pub struct CheckConfig {
    /// The configuration file.
    file: PathBuf,
}

impl CheckConfig {
    pub fn run(self) -> Outcome {
        let settings = serve::read_settings(&self.file)?;
        let name = self.file.display();
        serve::check_exposure(&settings).map_err(|refusal| format!("{name}: {refusal}"))?;
        // With a reason somebody has decided that already, and a start logs both.
        if let Some(plain) = settings.plain_pages()
            && settings.server.insecure.is_none()
        {
            print_stderr(format_args!("blipmq: {name}: {plain}"));
        }
        self.check_certificates(&settings)?;
        let text = format!("{} is valid\n\n{settings}", self.file.display());
        match io::stdout().lock().write_all(text.as_bytes()) {
            // The reader closed the pipe early, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| format!("cannot write to stdout: {error}")),
        }
    }

    /// Reads the files of `[tls]` as a start does. What expires soon is no failure.
    fn check_certificates(&self, settings: &Settings) -> Outcome {
        let name = self.file.display();
        let read = Certificates::read(settings, serve::folder_of(Some(&self.file)));
        let certificates = read.map_err(|wrong| {
            let lines: Vec<String> = wrong.iter().map(|wrong| format!("{name}: {wrong}")).collect();
            lines.join("\n")
        })?;
        let now = SystemTime::now();
        let dated = certificates.iter().flat_map(|certificates| &certificates.dated);
        for (_, warning) in dated.filter_map(|dated| dated.warning(now)) {
            print_stderr(format_args!("blipmq: {name}: {warning}"));
        }
        Ok(())
    }
}
