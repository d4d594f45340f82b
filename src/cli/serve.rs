//! `blipmq serve`: flags and the configuration file to settings.
//!
//! Called by `cli`, for `blipmq` without a command too. Next on the path: `server::run`.

use std::net::SocketAddr;
use std::path::{self, Path, PathBuf};

use blipmq::config::{self, Settings};
use clap::Args;

use crate::server::reload::Source;

/// Run a broker. Flags win over the file.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file; without one every setting has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect (`server.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
    /// Where NATS clients connect (`nats.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    nats_bind: Option<SocketAddr>,
    /// Where Prometheus fetches metrics (`metrics.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    metrics_bind: Option<SocketAddr>,
    /// CPUs to run on (`server.cores`), such as 0-3,6 or all.
    #[arg(long, value_name = "LIST", value_parser = parse_cores)]
    cores: Option<Cores>,
}

/// A list in one argument; clap would take a bare `Vec` for many arguments.
#[derive(Debug, Clone)]
struct Cores(Option<Vec<usize>>);

fn parse_cores(text: &str) -> Result<Cores, String> {
    config::parse_cores_or_all(text).map(Cores)
}

impl Serve {
    /// What a reload reads again.
    pub fn source(self) -> Source {
        // As it is shown to others, who may be in another folder.
        let absolute = |file: &PathBuf| path::absolute(file).unwrap_or_else(|_| file.clone());
        let file = self.config.as_ref().map(absolute);
        Source { file, read: Box::new(move || self.settings()) }
    }

    pub fn settings(&self) -> Result<Settings, String> {
        let mut settings = match &self.config {
            Some(file) => read_settings(file)?,
            None => Settings::default(),
        };
        if let Some(bind) = self.bind {
            settings.server.bind_addr = bind;
        }
        if let Some(nats_bind) = self.nats_bind {
            settings.nats.bind_addr = nats_bind;
        }
        if let Some(metrics_bind) = self.metrics_bind {
            settings.metrics.bind_addr = metrics_bind;
        }
        if let Some(Cores(cores)) = &self.cores {
            settings.server.cores = cores.clone();
        }
        // The file was checked alone; flags can bring it into conflict with itself.
        match settings.conflicts().first() {
            Some(conflict) => Err(conflict.to_string()),
            None => Ok(settings),
        }
    }
}

/// Reads a configuration file: the library half parses text, and does no I/O.
pub fn read_settings(file: &Path) -> Result<Settings, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!("cannot read configuration {name}: {error}; check the path and its permissions")
    })?;
    Settings::parse(&name, &text).map_err(|error| error.to_string())
}
