//! The part of the NATS client protocol that the generator needs.
//!
//! Called by `codec`, and by `connect` while a connection is opened.

use super::codec::{Answer, Envelope, Sink, describe_unexpected};
use super::target::Login;

/// The longest line: INFO is the longest that servers send.
const LINE_LEN_MAX: usize = 64 * 1_024;
const PAYLOAD_LEN_MAX: usize = 1 << 30;

/// Decodes what a server sends.
#[derive(Debug, Default)]
pub struct Reader {
    /// The last MSG line: the next one is usually equal, and comparing is faster than parsing.
    line: Vec<u8>,
    payload_len: usize,
}

impl Reader {
    pub fn decode(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        let mut rest = bytes;
        loop {
            let behind = match rest.strip_prefix(&self.line[..]) {
                Some(behind) if !self.line.is_empty() => behind,
                _ => match self.read_line(rest, sink)? {
                    Line::Message(behind) => behind,
                    Line::Other(behind) => {
                        rest = behind;
                        continue;
                    }
                    Line::Partial => break,
                },
            };
            let Some((payload, behind)) = behind.split_at_checked(self.payload_len) else { break };
            let Some((end, behind)) = behind.split_at_checked(2) else { break };
            if end != b"\r\n" {
                return Err(format!(
                    "a payload of {} bytes has no line end behind it",
                    self.payload_len
                ));
            }
            sink.message(payload);
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8], sink: &mut impl Sink) -> Result<Line<'a>, String> {
        let Some(end) = bytes.iter().take(LINE_LEN_MAX).position(|byte| *byte == b'\n') else {
            let known = [&b"MSG "[..], b"INFO ", b"PING", b"PONG", b"+OK", b"-ERR"];
            let may_be = |word: &&[u8]| word.iter().zip(bytes).all(|(known, byte)| known == byte);
            if bytes.len() >= LINE_LEN_MAX || !known.iter().any(may_be) {
                return Err(format!("received no NATS: {}", describe_unexpected(bytes)));
            }
            return Ok(Line::Partial);
        };
        let (line, behind) = bytes.split_at(end + 1);
        let words = line.trim_ascii_end();
        match words.split(|byte| *byte == b' ').next().unwrap_or_default() {
            b"MSG" => {
                let len = words.rsplit(|byte| *byte == b' ').next().and_then(number);
                let len = len.filter(|len| *len <= PAYLOAD_LEN_MAX);
                self.payload_len = len.ok_or_else(|| {
                    format!("received a MSG without a length: {}", describe_unexpected(line))
                })?;
                self.line.clear();
                self.line.extend_from_slice(line);
                return Ok(Line::Message(behind));
            }
            b"INFO" => sink.answer(Answer::Greeting),
            b"PING" => sink.reply(b"PONG\r\n"),
            b"PONG" => sink.answer(Answer::Pong),
            b"+OK" => {}
            b"-ERR" => {
                let text = String::from_utf8_lossy(&words[4..]);
                return Err(format!("the broker answered:{text}"));
            }
            _ => return Err(format!("received no NATS: {}", describe_unexpected(line))),
        }
        Ok(Line::Other(behind))
    }
}

enum Line<'a> {
    /// A MSG line; the bytes from its payload on.
    Message(&'a [u8]),
    /// Another line, already handled; the bytes behind it.
    Other(&'a [u8]),
    Partial,
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Encodes CONNECT, the answer to INFO.
pub fn connect(login: Option<&Login>) -> String {
    let mut options = serde_json::json!({
        "verbose": false,
        "pedantic": false,
        "name": "blipmq bench",
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": 1,
        "echo": true,
    });
    match login {
        Some(Login::Token(token)) => options["auth_token"] = token.as_str().into(),
        Some(Login::User { name, password }) => {
            options["user"] = name.as_str().into();
            options["pass"] = password.as_str().into();
        }
        None => {}
    }
    format!("CONNECT {options}\r\n")
}

pub fn envelope(topic: &str, payload_len: usize) -> Envelope {
    Envelope {
        before: format!("PUB {topic} {payload_len}\r\n").into_bytes(),
        before_each: Vec::new(),
        after: b"\r\n".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::{assert_decoded, published, refusal};
    use super::super::target::Protocol;
    use super::*;

    #[test]
    fn lines_and_payloads_are_decoded_wherever_reads_split_them() {
        let bytes = b"INFO {\"a\":1}\r\nPONG\r\nMSG a 1 2\r\nm1\r\nMSG a 1 2\r\nm2\r\nPING\r\n\
            MSG a 1 r.x 4\r\n\r\n\r\n\r\n+OK\r\nMSG b 2 0\r\n\r\nMSG b 2 1\r\nx\r\n";
        let expected = [
            "Greeting",
            "Pong",
            "message m1",
            "message m2",
            "reply PONG\\r\\n",
            "message \\r\\n\\r\\n",
            "message ",
            "message x",
        ];
        assert_decoded(Protocol::Nats, bytes, &expected);
    }

    #[test]
    fn a_longer_length_is_not_mistaken_for_the_same_line() {
        let bytes = b"MSG a 1 1\r\nx\r\nMSG a 1 10\r\n0123456789\r\nMSG a 1 1\r\ny\r\n";
        assert_decoded(Protocol::Nats, bytes, &["message x", "message 0123456789", "message y"]);
    }

    #[test]
    fn errors_and_other_protocols_are_refused() {
        let error = refusal(Protocol::Nats, b"-ERR 'Authorization Violation'\r\n");
        assert_eq!(error, "the broker answered: 'Authorization Violation'");
        assert!(refusal(Protocol::Nats, b"+PONG\r\n").contains("use redis://"));
        assert!(refusal(Protocol::Nats, b"\x30\x00\x00\x00\x81").contains("use blip://"));
        assert!(refusal(Protocol::Nats, b"MSG a 1 x\r\n").contains("without a length"));
        assert!(refusal(Protocol::Nats, b"MSG a 1 1\r\nxyz").contains("no line end"));
    }

    #[test]
    fn publishes_and_logins_are_encoded_for_nats() {
        assert_eq!(published(&envelope("a.b", 2), &[b"m1"]), b"PUB a.b 2\r\nm1\r\n");
        let user = Login::User { name: "a\"b".into(), password: "p".into() };
        assert!(connect(Some(&user)).contains(r#""user":"a\"b""#));
        assert!(connect(Some(&Login::Token("t".into()))).contains(r#""auth_token":"t""#));
    }
}
