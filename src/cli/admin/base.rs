//! The address of the admin API, as users write it.
//!
//! Called by clap, as it parses the command line. Next on the path: `admin`.

use super::super::tls::Scheme;

/// The address of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub scheme: Scheme,
    host: String,
    /// What is behind the scheme, without a slash at the end.
    rest: String,
}

impl Base {
    /// For the name that a certificate must have.
    pub fn host_and_port(&self) -> String {
        // The port says nothing there, and need not be given.
        format!("{}:443", self.host)
    }

    pub fn url(&self, with_tls: bool) -> String {
        format!("http{}://{}", if with_tls { "s" } else { "" }, self.rest)
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url(self.scheme == Scheme::Tls))
    }
}

/// Parses `host:port`, or a URL as in the broker's first line of output.
pub fn parse_base(text: &str) -> Result<Base, String> {
    let (scheme, rest) = match text.split_once("://") {
        None => (Scheme::None, text),
        Some(("http", rest)) => (Scheme::Plain, rest),
        Some(("https", rest)) => (Scheme::Tls, rest),
        Some((other, _)) => return Err(format!("`{other}` is not supported, only http and https")),
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/metrics").unwrap_or(rest).trim_end_matches('/');
    let url = format!("http://{rest}");
    let uri: ureq::http::Uri =
        url.parse().map_err(|error| format!("{error}: use http://127.0.0.1:9090"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri.host().unwrap_or("");
    let has_bad_port = authority != host && uri.port_u16().is_none();
    if host.is_empty() || has_bad_port || uri.query().is_some() || authority.contains('@') {
        return Err("use host:port or a URL such as http://127.0.0.1:9090".to_owned());
    }
    Ok(Base { scheme, host: host.to_owned(), rest: rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted_in_every_usual_form() {
        let url = |text: &str| parse_base(text).map(|base| base.to_string());
        for text in [
            "http://127.0.0.1:9090",
            "127.0.0.1:9090",
            "http://127.0.0.1:9090/",
            "http://127.0.0.1:9090/metrics",
        ] {
            assert_eq!(url(text).as_deref(), Ok("http://127.0.0.1:9090"), "{text}");
        }
        assert_eq!(url("[::1]:9090").as_deref(), Ok("http://[::1]:9090"));
        assert_eq!(url("https://h:9090/metrics").as_deref(), Ok("https://h:9090"));
        assert_eq!(parse_base("h:1").map(|base| base.url(true)).as_deref(), Ok("https://h:1"));
        let below = url("http://proxy/brokers/3/metrics/");
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
        assert!(parse_base("ftp://h").unwrap_err().contains("only http and https"));
    }
}
