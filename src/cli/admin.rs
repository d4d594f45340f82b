//! A blocking client of the broker's admin API: JSON over HTTP, on the address of the metrics.
//!
//! Called by `top` and `reload`. What the answers hold is in `model`.
//!
//! # Always true
//! - Only GET is sent, to the address that was named: no proxy, no redirect, so a token goes nowhere
//!   else.
//! - An answer takes at most [`TIMEOUT`] and [`ANSWER_LEN_MAX`] bytes, whoever gives it.
//! - Text of the answers is [`model::Printable`]: no control character of it reaches a terminal.

pub mod model;

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::Agent;
use ureq::http::header::AUTHORIZATION;

use model::{Configured, Connection, Cores, Page, Printable, Status, Subscription, Topic};

/// The whole of a request. The broker itself waits a second for cores that do not answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// 1,000 rows with names of 64 KiB fit; whatever sends more is no BlipMQ.
const ANSWER_LEN_MAX: u64 = 64 << 20;

/// Characters of a foreign answer that are shown.
const QUOTE_LEN_MAX: usize = 120;

/// Where the admin API is, and what it wants to see.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Where the broker serves its metrics, `[metrics] bind_addr`: a URL, or host:port.
    #[arg(
        long,
        value_name = "URL",
        env = "BLIPMQ_METRICS",
        default_value = "http://127.0.0.1:9090",
        value_parser = parse_base
    )]
    metrics: String,
    /// The value of `[metrics] token`, if it is set. Others on this machine see what is on a command
    /// line, and not what is in the environment.
    #[arg(long, env = "BLIPMQ_METRICS_TOKEN", hide_env_values = true, value_parser = parse_token)]
    token: Option<String>,
}

/// Why an answer was not had.
#[derive(Debug, Error)]
pub enum AdminError {
    #[error(
        "cannot reach {base}: {reason}; is the broker running, with `[metrics] enabled = true` and \
         this `bind_addr`? Name another address with --metrics"
    )]
    Unreachable { base: String, reason: String },
    #[error(
        "{base} wants a token (401: {told}); give the value of `[metrics] token` in \
         BLIPMQ_METRICS_TOKEN or with --token"
    )]
    TokenMissing { base: String, told: String },
    #[error(
        "{base} refuses the token (401: {told}); the value of `[metrics] token` in the broker's \
         configuration is wanted"
    )]
    TokenWrong { base: String, told: String },
    #[error("{url} answered {status}: {told}")]
    Refused { url: String, status: u16, told: String },
    #[error(
        "{url} does not answer like this version of BlipMQ: {why}; is it the address of \
         `[metrics] bind_addr`, and is the broker as new as this command ({version})?",
        version = env!("CARGO_PKG_VERSION")
    )]
    Foreign { url: String, why: String },
}

/// One broker's admin API.
pub struct Admin {
    agent: Agent,
    /// Without a slash at the end.
    base: String,
    /// Such as `Bearer secret`.
    authorization: Option<String>,
}

impl Admin {
    pub fn new(args: AdminArgs) -> Admin {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // The broker closes after each answer.
            .max_idle_connections(0)
            .user_agent(concat!("blipmq/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let authorization = args.token.map(|token| format!("Bearer {token}"));
        Admin { agent, base: args.metrics, authorization }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn status(&self) -> Result<Status, AdminError> {
        let path = "/api/v1/status";
        let status: Status = self.get(path)?;
        match &*status.name {
            "blipmq" => Ok(status),
            name => Err(self.foreign(path, format!("it calls itself `{name}`"))),
        }
    }

    /// Of the status what `reload` needs.
    pub fn configured(&self) -> Result<Configured, AdminError> {
        self.get("/api/v1/status")
    }

    pub fn cores(&self) -> Result<Cores, AdminError> {
        let path = "/api/v1/cores";
        let cores: Cores = self.get(path)?;
        cores.check().map_err(|why| self.foreign(path, why))?;
        Ok(cores)
    }

    pub fn connections(&self, query: &Query) -> Result<Page<Connection>, AdminError> {
        self.get(&query.of("connections"))
    }

    pub fn subscriptions(&self, query: &Query) -> Result<Page<Subscription>, AdminError> {
        self.get(&query.of("subscriptions"))
    }

    pub fn topics(&self, query: &Query) -> Result<Page<Topic>, AdminError> {
        self.get(&query.of("topics"))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut answer = request.call().map_err(|error| self.failed(path, error))?;
        let body = answer.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        let body = body.map_err(|error| self.failed(path, error))?;
        match answer.status().as_u16() {
            200 => serde_json::from_slice(&body).map_err(|error| {
                // A page that is no JSON at all is not worth a line and column.
                match error.classify() {
                    serde_json::error::Category::Data => self.foreign(path, error.to_string()),
                    _ => self.foreign(path, format!("it sent no JSON but {}", quote(&body))),
                }
            }),
            401 => {
                let (base, told) = (self.base.clone(), told(&body));
                Err(match self.authorization {
                    Some(_) => AdminError::TokenWrong { base, told },
                    None => AdminError::TokenMissing { base, told },
                })
            }
            404 => Err(self.foreign(path, format!("404, {}", told(&body)))),
            status => {
                let url = format!("{}{path}", self.base);
                Err(AdminError::Refused { url, status, told: told(&body) })
            }
        }
    }

    fn failed(&self, path: &str, error: ureq::Error) -> AdminError {
        let reason = match error {
            // Listens, and speaks something else: hung up, or sent what is no HTTP.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return self.foreign(path, "it closed without an answer".to_owned());
            }
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            ureq::Error::ConnectionFailed => "nothing took the connection".to_owned(),
            other => return self.foreign(path, other.to_string()),
        };
        AdminError::Unreachable { base: self.base.clone(), reason }
    }

    fn foreign(&self, path: &str, why: String) -> AdminError {
        AdminError::Foreign {
            url: format!("{}{path}", self.base),
            why: Printable::new(&why).into(),
        }
    }
}

/// Which part of a list is asked for, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub sort: &'static str,
    pub descending: bool,
    pub offset: u64,
    pub limit: u64,
}

impl Query {
    fn of(&self, list: &str) -> String {
        let Query { sort, offset, limit, .. } = self;
        let order = if self.descending { "desc" } else { "asc" };
        format!("/api/v1/{list}?sort={sort}&order={order}&limit={limit}&offset={offset}")
    }
}

/// What an answer that is no success says: its `error`, or its first line.
fn told(body: &[u8]) -> String {
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
    let line = text.trim().lines().next().unwrap_or("nothing");
    let short: String = line.chars().take(QUOTE_LEN_MAX).collect();
    Printable::new(&short).into()
}

/// `host:port` or a URL as the broker's first line tells it, to what paths are put behind.
fn parse_base(text: &str) -> Result<String, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let rest = match with_scheme.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!(
                "`{scheme}` is not spoken here, only http: let a tunnel or a proxy on this machine \
                 do the rest"
            ));
        }
        None => unreachable!("a scheme was put before it"),
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/metrics").unwrap_or(rest).trim_end_matches('/');
    let base = format!("http://{rest}");
    let uri: ureq::http::Uri =
        base.parse().map_err(|error| format!("{error}: use http://127.0.0.1:9090"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri.host().unwrap_or("");
    let has_bad_port = authority != host && uri.port_u16().is_none();
    if host.is_empty() || has_bad_port || uri.query().is_some() || authority.contains('@') {
        return Err("use host:port or a URL such as http://127.0.0.1:9090".to_owned());
    }
    Ok(base)
}

fn parse_token(text: &str) -> Result<String, String> {
    match text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) && !text.is_empty() {
        true => Ok(text.to_owned()),
        false => Err("a token has visible ASCII characters only, and at least one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for text in [
            "http://127.0.0.1:9090",
            "127.0.0.1:9090",
            "http://127.0.0.1:9090/",
            "http://127.0.0.1:9090/metrics",
        ] {
            assert_eq!(parse_base(text).as_deref(), Ok("http://127.0.0.1:9090"), "{text}");
        }
        assert_eq!(parse_base("[::1]:9090").as_deref(), Ok("http://[::1]:9090"));
        let below = parse_base("http://proxy/brokers/3/metrics/");
        assert_eq!(below.as_deref(), Ok("http://proxy/brokers/3"));
        for bad in [
            "",
            "http://",
            "a b",
            "http://u:p@h:1",
            "h:1/?x=1",
            "ftp://h",
            "unix:/run/x",
            "h:70000",
        ] {
            assert!(parse_base(bad).is_err(), "{bad}");
        }
        assert!(parse_base("https://h").unwrap_err().contains("only http"));
    }

    #[test]
    fn tokens_that_no_header_can_carry_are_refused() {
        assert!(parse_token("s3cret/+=").is_ok());
        for bad in ["", "two words", "line\nbreak", "né"] {
            assert!(parse_token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refusals_are_quoted_short_and_without_control_characters() {
        assert_eq!(told(br#"{"error":"no such sort"}"#), "no such sort");
        assert_eq!(told(b"\x1b[31mred\nsecond"), "\\u{1b}[31mred");
        assert_eq!(told(b""), "nothing");
        assert_eq!(told("x".repeat(1_000).as_bytes()).len(), QUOTE_LEN_MAX);
    }

    #[test]
    fn queries_name_sort_order_and_part() {
        let query = Query { sort: "lag", descending: false, offset: 20, limit: 10 };
        assert_eq!(query.of("topics"), "/api/v1/topics?sort=lag&order=asc&limit=10&offset=20");
    }
}
