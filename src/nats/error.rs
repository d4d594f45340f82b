//! Why a NATS client is refused something: one variant per offence, in the words of nats-server.
//!
//! Made by the other modules here and by the broker's session, which sends [`Offence::text`] in an
//! `-ERR` line, unless the offence is silent, and closes the connection if it closes.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

/// An offence of a client, or what the server says when it ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offence {
    /// Wrong credentials, none where some are needed, or anything before CONNECT where some are.
    AuthorizationViolation,
    /// A reload has removed the client's user or changed its credentials or permissions.
    AuthenticationRevoked,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// PINGs were not answered.
    StaleConnection,
    /// Headers and payload are longer than announced, or the headers longer than a record of BLIP
    /// holds.
    MaximumPayloadViolation,
    /// A line is too long.
    MaximumControlLineExceeded,
    /// The server has as many connections as it may have.
    MaximumConnectionsExceeded,
    /// The connection has as many subscriptions as it may have.
    MaximumSubscriptionsExceeded,
    /// SUB to an invalid subject.
    InvalidSubject,
    /// SUB to a subject with more tokens than the server allows.
    TooManyTokens {
        /// The subject of the subscription.
        subject: Box<[u8]>,
    },
    /// PUB to a subject that is not literal, reported to pedantic clients. The message is delivered
    /// nevertheless.
    InvalidPublishSubject,
    /// A verb that does not exist, or a payload that is not as long as announced.
    UnknownProtocolOperation,
    /// CONNECT with a protocol that does not exist.
    InvalidClientProtocol,
    /// CONNECT with `no_responders`, but without `headers`.
    NoRespondersRequiresHeaders,
    /// No client may publish to the subject, or this client may not.
    PublishViolation {
        /// The subject of the message.
        subject: Box<[u8]>,
    },
    /// No client may use the reply subject, or this client may not.
    ReplyViolation {
        /// The reply subject of the message.
        reply: Box<[u8]>,
    },
    /// No client may subscribe to the subject, or this client may not.
    SubscriptionViolation {
        /// The subject of the subscription.
        subject: Box<[u8]>,
        /// The queue group of the subscription.
        queue: Option<Box<[u8]>>,
    },
    /// A reload has taken the right to a subscription, which ends.
    SubscriptionRevoked {
        /// The subject of the subscription.
        subject: Box<[u8]>,
        /// The queue group of the subscription.
        queue: Option<Box<[u8]>>,
        /// What the client calls the subscription.
        sid: Box<[u8]>,
    },
    /// The client reads too slowly. nats-server 2.15 closes silently, because the line would wait behind
    /// the bytes that the client does not read; clients know the text nevertheless.
    SlowConsumer,
    /// Too few or too many arguments, or an invalid size. Silent.
    MalformedArguments,
    /// CONNECT with invalid JSON, or with a value of the wrong type. Silent.
    MalformedConnect,
    /// HPUB of a client without `headers` in its CONNECT. Silent.
    HeadersNotSupported,
    /// `-ERR` from a client. Silent.
    ErrorFromClient,
}

impl Offence {
    /// The offence of publishing to `subject`.
    pub fn publish_violation(subject: &[u8]) -> Offence {
        Offence::PublishViolation { subject: subject.into() }
    }

    /// The offence of subscribing to `subject`.
    pub fn subscription_violation(subject: &[u8], queue: Option<&[u8]>) -> Offence {
        Offence::SubscriptionViolation { subject: subject.into(), queue: queue.map(Box::from) }
    }

    /// The text between the quotes of `-ERR '...'`; for a silent offence, the text for the log.
    pub fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Offence::AuthorizationViolation => "Authorization Violation",
            Offence::AuthenticationRevoked => "User Authentication Revoked",
            Offence::AuthenticationTimeout => "Authentication Timeout",
            Offence::StaleConnection => "Stale Connection",
            Offence::MaximumPayloadViolation => "Maximum Payload Violation",
            Offence::MaximumControlLineExceeded => "maximum control line exceeded",
            Offence::MaximumConnectionsExceeded => "maximum connections exceeded",
            Offence::MaximumSubscriptionsExceeded => "maximum subscriptions exceeded",
            Offence::InvalidSubject => "Invalid Subject",
            Offence::InvalidPublishSubject => "Invalid Publish Subject",
            Offence::UnknownProtocolOperation => "Unknown Protocol Operation",
            Offence::InvalidClientProtocol => "invalid client protocol",
            Offence::NoRespondersRequiresHeaders => "no responders requires headers support",
            Offence::SlowConsumer => "Slow Consumer",
            Offence::MalformedArguments => "malformed arguments",
            Offence::MalformedConnect => "malformed CONNECT",
            Offence::HeadersNotSupported => "message headers not supported",
            Offence::ErrorFromClient => "-ERR from the client",
            Offence::TooManyTokens { subject } => {
                return format!(
                    "Permissions Violation for Subscription to {}, too many tokens",
                    Quoted(subject)
                )
                .into();
            }
            Offence::PublishViolation { subject } => {
                return format!("Permissions Violation for Publish to {}", Quoted(subject)).into();
            }
            Offence::ReplyViolation { reply } => {
                return format!(
                    "Permissions Violation for Publish with Reply of {}",
                    Quoted(reply)
                )
                .into();
            }
            Offence::SubscriptionRevoked { subject, queue, sid } => {
                let (subject, queue) = (subject.clone(), queue.clone());
                let violation = Offence::SubscriptionViolation { subject, queue };
                return format!("{} (sid {})", violation.text(), Quoted(sid)).into();
            }
            Offence::SubscriptionViolation { subject, queue: None } => {
                return format!("Permissions Violation for Subscription to {}", Quoted(subject))
                    .into();
            }
            Offence::SubscriptionViolation { subject, queue: Some(queue) } => {
                return format!(
                    "Permissions Violation for Subscription to {} using queue {}",
                    Quoted(subject),
                    Quoted(queue)
                )
                .into();
            }
        })
    }

    /// Whether the connection closes without an `-ERR` line.
    pub fn is_silent(&self) -> bool {
        matches!(
            self,
            Offence::MalformedArguments
                | Offence::MalformedConnect
                | Offence::HeadersNotSupported
                | Offence::ErrorFromClient
        )
    }

    /// Whether the connection closes.
    pub fn closes(&self) -> bool {
        !matches!(
            self,
            Offence::InvalidSubject
                | Offence::TooManyTokens { .. }
                | Offence::InvalidPublishSubject
                | Offence::MaximumSubscriptionsExceeded
                | Offence::PublishViolation { .. }
                | Offence::ReplyViolation { .. }
                | Offence::SubscriptionViolation { .. }
                | Offence::SubscriptionRevoked { .. }
        )
    }

    /// Appends the `-ERR` line; nothing if the offence is silent.
    pub fn encode(&self, out: &mut BytesMut) {
        if !self.is_silent() {
            out.put_slice(b"-ERR '");
            out.put_slice(self.text().as_bytes());
            out.put_slice(b"'\r\n");
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Offence {}

/// Text as Go quotes it, which is always one line.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => write!(f, "\\{character}")?,
                    '\u{7}' => f.write_str("\\a")?,
                    '\u{8}' => f.write_str("\\b")?,
                    '\u{c}' => f.write_str("\\f")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\u{b}' => f.write_str("\\v")?,
                    ' ' => f.write_str(" ")?,
                    '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(character))?,
                    _ if character.is_control() || character.is_whitespace() => {
                        write!(f, "\\u{:04x}", u32::from(character))?;
                    }
                    _ => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offence: &Offence) -> String {
        let mut out = BytesMut::new();
        offence.encode(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn violations_quote_the_subject_as_go_does() {
        for (subject, quoted) in [
            (&b"a.b"[..], "a.b"),
            (b"a\"b\\", "a\\\"b\\\\"),
            (b"a\r\n\t\x01\x7f", "a\\r\\n\\t\\x01\\x7f"),
            ("\u{fc}\u{85}".as_bytes(), "\u{fc}\\u0085"),
            (b"a\xff\xc3", "a\\xff\\xc3"),
        ] {
            assert_eq!(
                line(&Offence::publish_violation(subject)),
                format!("-ERR 'Permissions Violation for Publish to \"{quoted}\"'\r\n")
            );
        }
        assert_eq!(
            line(&Offence::subscription_violation(b"a.>", None)),
            "-ERR 'Permissions Violation for Subscription to \"a.>\"'\r\n"
        );
        assert_eq!(
            line(&Offence::subscription_violation(b"a", Some(b"q"))),
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"q\"'\r\n"
        );
        let subject: Box<[u8]> = (*b"a").into();
        let revoked = |queue| Offence::SubscriptionRevoked {
            subject: subject.clone(),
            queue,
            sid: (*b"7").into(),
        };
        assert_eq!(
            line(&revoked(None)),
            "-ERR 'Permissions Violation for Subscription to \"a\" (sid \"7\")'\r\n"
        );
        assert_eq!(
            line(&revoked(Some((*b"q").into()))),
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"q\" (sid \"7\")'\r\n"
        );
        assert_eq!(
            line(&Offence::ReplyViolation { reply: (*b"_R_.x").into() }),
            "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n"
        );
    }

    #[test]
    fn silent_offences_close_without_a_line() {
        for offence in [
            Offence::MalformedArguments,
            Offence::MalformedConnect,
            Offence::HeadersNotSupported,
            Offence::ErrorFromClient,
        ] {
            assert!(offence.is_silent() && offence.closes(), "{offence}");
            assert_eq!(line(&offence), "");
        }
    }

    #[test]
    fn offences_about_one_subject_leave_the_connection_open() {
        for offence in [
            Offence::InvalidSubject,
            Offence::InvalidPublishSubject,
            Offence::MaximumSubscriptionsExceeded,
            Offence::publish_violation(b"a"),
            Offence::subscription_violation(b"a", None),
        ] {
            assert!(!offence.closes() && !offence.is_silent(), "{offence}");
        }
        assert!(Offence::UnknownProtocolOperation.closes());
    }
}
