//! A blocking client of the broker's admin API: JSON over HTTP, on the address of the metrics.
//!
//! Called by `top` and `reload`. The types of the answers are in `model`.
//!
//! # Always true
//! - Requests are GET and go to the given address only: no proxy and no redirect, so that a token
//!   never reaches another host.
//! - An answer is limited to [`TIMEOUT`] and [`ANSWER_LEN_MAX`] bytes, whatever program sends it.
//! - Text in answers is [`model::Printable`]: its control characters never reach a terminal.

mod base;
pub mod model;
mod secure;

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::Agent;
use ureq::http::header::AUTHORIZATION;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use super::tls::TlsArgs;
use base::{Base, parse_base};
use blipmq_client::{TlsError, TlsOptions};
use model::{ConfigurationStatus, Connection, Cores, Page, Printable, Status, Subscription, Topic};
use secure::{PROTOCOL, Secure};

/// The time limit of a whole request. The broker itself waits a second for a core that does not
/// answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The limit of an answer: far more than a page of the broker, whose rows have 4 MiB at most.
const ANSWER_LEN_MAX: u64 = 64 << 20;

/// The most characters of an unexpected answer that an error quotes.
const QUOTE_LEN_MAX: usize = 120;

/// The address of the admin API and its token.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The address of the broker's metrics and admin API, `[metrics] bind_addr`: host:port, or a URL
    /// with http:// or https://.
    #[arg(
        long,
        value_name = "URL",
        env = "BLIPMQ_METRICS",
        default_value = "127.0.0.1:9090",
        value_parser = parse_base
    )]
    metrics: Base,
    /// The value of `[metrics] token`, if set. Other users of this machine can see command lines but
    /// not environment variables.
    #[arg(long, env = "BLIPMQ_METRICS_TOKEN", hide_env_values = true, value_parser = TokenParser)]
    token: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Why a request to the admin API failed.
#[derive(Debug, Error)]
pub enum AdminError {
    #[error(
        "cannot reach {base}: {reason}; is the broker running, with `[metrics] enabled = true` and \
         this `bind_addr`? Give another address with --metrics"
    )]
    Unreachable { base: String, reason: String },
    #[error("no TLS connection to {base}: {fault}")]
    NoTls { base: String, fault: TlsError },
    #[error(
        "{base} requires a token (401: {reason}); give the value of `[metrics] token` in \
         BLIPMQ_METRICS_TOKEN or with --token"
    )]
    TokenMissing { base: String, reason: String },
    #[error(
        "{base} refuses the token (401: {reason}); give the value of `[metrics] token` from the \
         broker's configuration"
    )]
    TokenWrong { base: String, reason: String },
    #[error("{url} answered {status}: {reason}")]
    Refused { url: String, status: u16, reason: String },
    #[error(
        "{url} does not answer like this version of BlipMQ: {why}; is it the address of \
         `[metrics] bind_addr`, and is the broker as new as this command ({version})?",
        version = env!("CARGO_PKG_VERSION")
    )]
    Unexpected { url: String, why: String },
}

/// A client of one broker's admin API.
pub struct Admin {
    agent: Agent,
    /// The URL before the path, without a slash at the end.
    base: String,
    /// The value of the Authorization header, such as `Bearer secret`.
    authorization: Option<String>,
    has_certificate: bool,
}

impl Admin {
    pub fn new(args: AdminArgs) -> Result<Admin, String> {
        let with_tls = args.tls.applies_to(args.metrics.scheme, &args.metrics.to_string())?;
        let base = args.metrics.url(with_tls);
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // The broker closes after each answer.
            .max_idle_connections(0)
            .user_agent(concat!("blipmq/", env!("CARGO_PKG_VERSION")))
            .build();
        let options = with_tls.then(|| args.tls.options());
        let agent = match &options {
            None => config.new_agent(),
            Some(options) => {
                let secure = secure(options, &args.metrics);
                let secure = secure
                    .map_err(|fault| AdminError::NoTls { base: base.clone(), fault }.to_string())?;
                let connector = ().chain(TcpConnector::default()).chain(secure);
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
        };
        let authorization = args.token.map(|token| format!("Bearer {token}"));
        let has_certificate = options.is_some_and(|options| options.has_certificate());
        Ok(Admin { agent, base, authorization, has_certificate })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn status(&self) -> Result<Status, AdminError> {
        let path = "/api/v1/status";
        let status: Status = self.get(path)?;
        match &*status.name {
            "blipmq" => Ok(status),
            name => Err(self.unexpected(path, format!("its name is `{name}`"))),
        }
    }

    /// Returns the part of the status that `reload` needs.
    pub fn configuration(&self) -> Result<ConfigurationStatus, AdminError> {
        self.get("/api/v1/status")
    }

    pub fn cores(&self) -> Result<Cores, AdminError> {
        let path = "/api/v1/cores";
        let cores: Cores = self.get(path)?;
        cores.check().map_err(|why| self.unexpected(path, why))?;
        Ok(cores)
    }

    pub fn connections(&self, query: &Query) -> Result<Page<Connection>, AdminError> {
        self.get(&query.path("connections"))
    }

    pub fn subscriptions(&self, query: &Query) -> Result<Page<Subscription>, AdminError> {
        self.get(&query.path("subscriptions"))
    }

    pub fn topics(&self, query: &Query) -> Result<Page<Topic>, AdminError> {
        self.get(&query.path("topics"))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut answer = request.call().map_err(|error| self.request_error(path, error))?;
        let body = answer.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        let body = body.map_err(|error| self.request_error(path, error))?;
        match answer.status().as_u16() {
            200 => serde_json::from_slice(&body).map_err(|error| {
                // Line and column of the error only help if the answer is JSON at all.
                match error.classify() {
                    serde_json::error::Category::Data => self.unexpected(path, error.to_string()),
                    _ => self.unexpected(path, format!("the answer is not JSON: {}", quote(&body))),
                }
            }),
            401 => {
                let (base, reason) = (self.base.clone(), error_text(&body));
                Err(match self.authorization {
                    Some(_) => AdminError::TokenWrong { base, reason },
                    None => AdminError::TokenMissing { base, reason },
                })
            }
            404 => Err(self.unexpected(path, format!("404, {}", error_text(&body)))),
            status => {
                let url = format!("{}{path}", self.base);
                Err(AdminError::Refused { url, status, reason: error_text(&body) })
            }
        }
    }

    fn request_error(&self, path: &str, error: ureq::Error) -> AdminError {
        let cause = match &error {
            ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
            _ => None,
        };
        if let Some(cause) = cause {
            let fault = TlsError::of(cause, self.has_certificate);
            return AdminError::NoTls { base: self.base.clone(), fault };
        }
        let reason = match error {
            // Something listens there that does not speak HTTP.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return self
                    .unexpected(path, "it closed the connection without an answer".to_owned());
            }
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
            ureq::Error::HostNotFound => "no such host".to_owned(),
            ureq::Error::ConnectionFailed => "the connection failed".to_owned(),
            other => return self.unexpected(path, other.to_string()),
        };
        AdminError::Unreachable { base: self.base.clone(), reason }
    }

    fn unexpected(&self, path: &str, why: String) -> AdminError {
        AdminError::Unexpected {
            url: format!("{}{path}", self.base),
            why: Printable::new(&why).into(),
        }
    }
}

/// The range of a list to request, and its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub sort: &'static str,
    pub descending: bool,
    pub offset: u64,
    pub limit: u64,
}

impl Query {
    fn path(&self, list: &str) -> String {
        let Query { sort, offset, limit, .. } = self;
        let order = if self.descending { "desc" } else { "asc" };
        format!("/api/v1/{list}?sort={sort}&order={order}&limit={limit}&offset={offset}")
    }
}

/// Returns the text of an error answer: its member `error`, or its first line.
fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Printable,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error.into(),
        Err(_) => quote(body),
    }
}

fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim().lines().next().unwrap_or("(empty)");
    let short: String = line.chars().take(QUOTE_LEN_MAX).collect();
    Printable::new(&short).into()
}

/// Reads the files of the options once: admin pages are asked for as long as a command runs.
fn secure(options: &TlsOptions, base: &Base) -> Result<Secure, TlsError> {
    Ok(Secure {
        config: options.client_config(&[PROTOCOL])?,
        name: options.name_of(&base.host_and_port())?,
    })
}

/// Parses a token. The errors of other parsers quote the value, which is a secret here.
#[derive(Debug, Clone)]
struct TokenParser;

impl TypedValueParser for TokenParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let is_token = |text: &&str| {
            !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        };
        value.to_str().filter(is_token).map(str::to_owned).ok_or_else(|| {
            let text = "the value of --token consists of one or more visible ASCII characters\n";
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_no_header_can_carry_are_refused() {
        let parse = |text: &str| {
            TokenParser.parse_ref(&clap::Command::new("blipmq"), None, OsStr::new(text))
        };
        assert_eq!(parse("s3cret/+=").expect("a token"), "s3cret/+=");
        for bad in ["", "two words", "line\nbreak", "né"] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(
                error.contains("--token") && (bad.len() < 2 || !error.contains(bad)),
                "{error}"
            );
        }
    }

    #[test]
    fn error_answers_are_shortened_and_without_control_characters() {
        assert_eq!(error_text(br#"{"error":"no such sort"}"#), "no such sort");
        assert_eq!(error_text(b"\x1b[31mred\nsecond"), "\\u{1b}[31mred");
        assert_eq!(error_text(b""), "(empty)");
        assert_eq!(error_text("x".repeat(1_000).as_bytes()).len(), QUOTE_LEN_MAX);
    }

    #[test]
    fn queries_contain_sort_order_and_range() {
        let query = Query { sort: "lag", descending: false, offset: 20, limit: 10 };
        assert_eq!(query.path("topics"), "/api/v1/topics?sort=lag&order=asc&limit=10&offset=20");
    }
}
