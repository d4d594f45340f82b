//! `blipmq serve`: turns flags and the configuration file into settings.
//!
//! Called by `cli`, also for `blipmq` without a command. Next on the path: `server::run`.

use std::net::SocketAddr;
use std::path::{self, Path, PathBuf};

use blipmq::config::{self, Exposure, Settings};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::secrets::Secrets;
use crate::server::reload::Source;

/// Run a broker. Flags override the configuration file.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file; without it, every setting has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address for clients (`server.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
    /// The address for NATS clients (`nats.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    nats_bind: Option<SocketAddr>,
    /// The address for metrics and the admin API (`metrics.bind_addr`).
    #[arg(long, value_name = "ADDR")]
    metrics_bind: Option<SocketAddr>,
    /// Why other machines may reach the broker without a login or encryption (`server.insecure`).
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
    insecure: Option<String>,
    /// The CPUs to run on (`server.cores`), such as 0-3,6 or all.
    #[arg(long, value_name = "LIST", value_parser = parse_cores)]
    cores: Option<Cores>,
}

/// A list given as one argument; clap would read a plain `Vec` as several arguments.
#[derive(Debug, Clone)]
struct Cores(Option<Vec<usize>>);

fn parse_cores(text: &str) -> Result<Cores, String> {
    config::parse_cores_or_all(text).map(Cores)
}

impl Serve {
    /// Converts the flags into the source that a reload reads settings from.
    pub fn into_source(self) -> Source {
        // Absolute, because operators who see the path may be in another folder.
        let absolute = |file: &PathBuf| path::absolute(file).unwrap_or_else(|_| file.clone());
        let file = self.config.as_ref().map(absolute);
        let folder = folder_of(file.as_deref()).to_owned();
        Source { file, folder, read: Box::new(move || self.settings()) }
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
        if let Some(reason) = &self.insecure {
            settings.server.insecure = Some(reason.clone());
        }
        // The file was checked on its own; together with flags its settings may conflict.
        match settings.conflicts().first() {
            Some(conflict) => Err(conflict.to_string()),
            None => check_exposure(&settings).map(|()| settings),
        }
    }
}

/// Refuses settings with which other machines could reach the broker by accident.
pub fn check_exposure(settings: &Settings) -> Result<(), String> {
    let refused = settings.refused_exposures();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refused.iter().map(Exposure::refusal).collect::<Vec<_>>().join("\n")),
    }
}

/// The folder at which relative paths of a configuration begin.
pub fn folder_of(config: Option<&Path>) -> &Path {
    config.and_then(Path::parent).unwrap_or(Path::new(""))
}

/// Reads and checks a configuration file. The library half only parses text and does no I/O.
pub fn read_settings(file: &Path) -> Result<Settings, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!("cannot read configuration {name}: {error}; check the path and its permissions")
    })?;
    let secrets = Secrets::beside(file);
    Settings::parse_with(&name, &text, &secrets).map_err(|error| error.to_string())
}
