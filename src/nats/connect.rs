//! The options of a client: the JSON of CONNECT.
//!
//! Called by the session for every CONNECT. Clients are used to the JSON decoder of Go: names of fields
//! match in any case, the last of two equal fields counts, `null` means absent, and invalid UTF-8 is
//! replaced. A value of the wrong type closes the connection silently.
//!
//! # Unlike nats-server
//! - An escape of half a surrogate pair (`\ud800`) is invalid JSON here; nats-server replaces it.
//! - Errors in `protocol` and `no_responders` are reported before credentials are checked.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::error::Offence;

/// The options of a client. The default applies to a connection without CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Every successful command is answered with `+OK`; true by default.
    pub verbose: bool,
    /// Subjects of published messages are validated; true by default.
    pub pedantic: bool,
    /// The client receives its own messages; true by default.
    pub echo: bool,
    /// The client understands headers.
    pub headers: bool,
    /// The client expects an answer when a request has no responders; needs `headers`.
    pub no_responders: bool,
    /// Name of the user.
    pub user: String,
    /// Password of the user.
    pub pass: String,
    /// Token.
    pub auth_token: String,
    /// Public nkey of the user.
    pub nkey: String,
    /// Signature of the nonce of INFO.
    pub sig: String,
    /// Claims of the user.
    pub jwt: String,
    /// Name of the client.
    pub name: String,
    /// Language of the client's library.
    pub lang: String,
    /// Version of the client's library.
    pub version: String,
    /// 1: the client accepts INFO at any time; 0: only the first.
    pub protocol: i64,
    /// The client requires TLS.
    pub tls_required: bool,
}

impl Default for Connect {
    fn default() -> Connect {
        Connect {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            user: String::new(),
            pass: String::new(),
            auth_token: String::new(),
            nkey: String::new(),
            sig: String::new(),
            jwt: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            tls_required: false,
        }
    }
}

/// Parses the JSON of a first CONNECT.
pub fn parse(json: &[u8]) -> Result<Connect, Offence> {
    let mut connect = Connect::default();
    connect.update(json)?;
    Ok(connect)
}

impl Connect {
    /// Whether the client gives nothing to authenticate with.
    pub fn gives_no_credentials(&self) -> bool {
        let given = [&self.user, &self.pass, &self.auth_token, &self.nkey];
        given.into_iter().all(|given| given.is_empty())
    }

    /// Applies another CONNECT of the same connection: options that it leaves out keep their values. After
    /// an error the connection closes, and the options are undefined.
    pub fn update(&mut self, json: &[u8]) -> Result<(), Offence> {
        let text = String::from_utf8_lossy(json);
        let mut fields = Fields { connect: self, account: false };
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        deserializer
            .deserialize_option(&mut fields)
            .and_then(|()| deserializer.end())
            .map_err(|_| Offence::MalformedConnect)?;
        if fields.account {
            return Err(Offence::AuthorizationViolation);
        }
        if !(0..=1).contains(&self.protocol) {
            return Err(Offence::InvalidClientProtocol);
        }
        if self.no_responders && !self.headers {
            return Err(Offence::NoRespondersRequiresHeaders);
        }
        Ok(())
    }
}

/// The fields of the object.
struct Fields<'a> {
    connect: &'a mut Connect,
    /// The client names an account, which only the configuration may do.
    account: bool,
}

impl<'de> Visitor<'de> for &mut Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            map.next_value_seed(Field { name: &name, fields: self })?;
        }
        Ok(())
    }
}

/// The value of one field.
struct Field<'a, 'b> {
    name: &'a str,
    fields: &'a mut Fields<'b>,
}

impl<'de> DeserializeSeed<'de> for Field<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let connect = &mut *self.fields.connect;
        let flag = match self.name.to_ascii_lowercase().as_str() {
            "verbose" => &mut connect.verbose,
            "pedantic" => &mut connect.pedantic,
            "echo" => &mut connect.echo,
            "headers" => &mut connect.headers,
            "no_responders" => &mut connect.no_responders,
            "tls_required" => &mut connect.tls_required,
            "new_account" => &mut self.fields.account,
            "protocol" => {
                return set(&mut connect.protocol, deserializer);
            }
            name => {
                let text = match name {
                    "user" => &mut connect.user,
                    "pass" => &mut connect.pass,
                    "auth_token" => &mut connect.auth_token,
                    "nkey" => &mut connect.nkey,
                    "sig" => &mut connect.sig,
                    "jwt" => &mut connect.jwt,
                    "name" => &mut connect.name,
                    "lang" => &mut connect.lang,
                    "version" => &mut connect.version,
                    "account" => {
                        let mut account = String::new();
                        set(&mut account, deserializer)?;
                        self.fields.account |= !account.is_empty();
                        return Ok(());
                    }
                    _ => return deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
                };
                return set(text, deserializer);
            }
        };
        set(flag, deserializer)
    }
}

/// Sets a field, unless the value is `null`.
fn set<'de, T, D>(field: &mut T, deserializer: D) -> Result<(), D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    if let Some(value) = Option::deserialize(deserializer)? {
        *field = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Connect {
        parse(json.as_bytes()).unwrap_or_else(|offence| panic!("{json}: {offence}"))
    }

    #[test]
    fn absent_and_null_options_have_their_defaults() {
        for json in ["{}", "null", " { } ", "{\"verbose\":null,\"lang\":null,\"protocol\":null}"] {
            let connect = parsed(json);
            assert_eq!(connect, Connect::default(), "{json}");
            assert!(connect.verbose && connect.pedantic && connect.echo && !connect.headers);
        }
    }

    #[test]
    fn every_field_is_read() {
        let connect = parsed(
            "{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"headers\":true,\
             \"no_responders\":true,\"user\":\"u\",\"pass\":\"p\",\"auth_token\":\"t\",\
             \"nkey\":\"n\",\"sig\":\"s\",\"jwt\":\"j\",\"name\":\"a\\tb\",\"lang\":\"rust\",\
             \"version\":\"1\",\"protocol\":1,\"tls_required\":true}",
        );
        let expected = Connect {
            verbose: false,
            pedantic: false,
            echo: false,
            headers: true,
            no_responders: true,
            user: "u".into(),
            pass: "p".into(),
            auth_token: "t".into(),
            nkey: "n".into(),
            sig: "s".into(),
            jwt: "j".into(),
            name: "a\tb".into(),
            lang: "rust".into(),
            version: "1".into(),
            protocol: 1,
            tls_required: true,
        };
        assert_eq!(connect, expected);
    }

    #[test]
    fn names_match_in_any_case_the_last_one_counts_and_unknown_ones_are_skipped() {
        assert!(!parsed("{\"VERBOSE\":false}").verbose);
        assert!(!parsed("{\"verbose\":true,\"verbose\":false}").verbose);
        assert!(!parsed("{\"x\":[{\"verbose\":1}],\"verbose\":false}").verbose);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let connect = parse(b"{\"name\":\"a\xff\"}").expect("a valid CONNECT");
        assert_eq!(connect.name, "a\u{fffd}");
    }

    #[test]
    fn invalid_json_and_values_of_the_wrong_type_close_silently() {
        for json in [
            "",
            "{",
            "[]",
            "1",
            "\"\"",
            "{} x",
            "{\"verbose\":1}",
            "{\"name\":1}",
            "{\"protocol\":\"1\"}",
            "{\"protocol\":1.0}",
            "{\"account\":1}",
            "{\"name\":\"a\tb\"}",
        ] {
            assert_eq!(parse(json.as_bytes()), Err(Offence::MalformedConnect), "{json}");
        }
    }

    #[test]
    fn options_that_are_not_supported_are_refused() {
        for (json, offence) in [
            ("{\"protocol\":2}", Offence::InvalidClientProtocol),
            ("{\"protocol\":-1}", Offence::InvalidClientProtocol),
            ("{\"no_responders\":true}", Offence::NoRespondersRequiresHeaders),
            ("{\"account\":\"a\"}", Offence::AuthorizationViolation),
            ("{\"new_account\":true}", Offence::AuthorizationViolation),
        ] {
            assert_eq!(parse(json.as_bytes()), Err(offence), "{json}");
        }
        assert!(parsed("{\"no_responders\":true,\"headers\":true}").no_responders);
        assert_eq!(parsed("{\"account\":\"\",\"new_account\":false}"), Connect::default());
    }

    #[test]
    fn a_second_connect_keeps_the_options_that_it_leaves_out() {
        let mut connect = parsed("{\"verbose\":false,\"name\":\"a\"}");
        connect.update(b"{\"name\":\"b\"}").expect("a valid CONNECT");
        assert_eq!((connect.verbose, connect.name.as_str()), (false, "b"));
    }
}
