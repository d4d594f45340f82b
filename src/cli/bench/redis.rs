//! The part of RESP, the protocol of Redis, that the generator needs.
//!
//! Called by `codec`, and by `connect` while a connection is opened.

use super::codec::{Answer, Envelope, Sink, describe_unexpected};
use super::target::Login;

const LINE_LEN_MAX: usize = 4_096;
const BULK_LEN_MAX: usize = 1 << 30;
/// The most items of an array: `pmessage` has four.
const ITEMS_MAX: usize = 4;

/// Decodes what a server sends.
#[derive(Debug, Default)]
pub struct Reader {
    /// The bytes before the payload of the last message: those of the next are usually equal.
    head: Vec<u8>,
    payload_len: usize,
}

impl Reader {
    pub fn decode(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix(&self.head[..])
                && !self.head.is_empty()
            {
                let Some((payload, behind)) = behind.split_at_checked(self.payload_len) else {
                    break;
                };
                let Some((end, behind)) = behind.split_at_checked(2) else { break };
                if end != b"\r\n" {
                    return Err(format!(
                        "a payload of {} bytes has no line end behind it",
                        self.payload_len
                    ));
                }
                sink.message(payload);
                rest = behind;
                continue;
            }
            let Some(behind) = self.read_reply(rest, sink)? else { break };
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Reads one reply and returns the bytes behind it, or `None` if the reply is incomplete.
    fn read_reply<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<Option<&'a [u8]>, String> {
        let Some((line, behind)) = line(bytes)? else { return Ok(None) };
        match line {
            [b'+', b'P', b'O', b'N', b'G'] => sink.answer(Answer::Pong),
            [b'+', ..] => sink.answer(Answer::LoggedIn),
            [b':', ..] => sink.answer(Answer::Published),
            [b'-', text @ ..] => {
                return Err(format!("the broker answered: {}", String::from_utf8_lossy(text)));
            }
            [b'*', count @ ..] => {
                let count = number(count).filter(|count| (1..=ITEMS_MAX).contains(count));
                let count = count.ok_or_else(|| not_redis(bytes))?;
                return self.read_array(bytes, behind, count, sink);
            }
            _ => return Err(not_redis(bytes)),
        }
        Ok(Some(behind))
    }

    fn read_array<'a>(
        &mut self,
        whole: &[u8],
        mut rest: &'a [u8],
        count: usize,
        sink: &mut impl Sink,
    ) -> Result<Option<&'a [u8]>, String> {
        let mut items = [&b""[..]; ITEMS_MAX];
        let mut last_from = 0;
        for item in items.iter_mut().take(count) {
            let Some((line, behind)) = line(rest)? else { return Ok(None) };
            match line {
                [b':', ..] => rest = behind,
                [b'$', len @ ..] => {
                    let len = number(len).filter(|len| *len <= BULK_LEN_MAX);
                    let len = len.ok_or_else(|| not_redis(whole))?;
                    last_from = whole.len() - behind.len();
                    let Some((bulk, behind)) = behind.split_at_checked(len + 2) else {
                        return Ok(None);
                    };
                    *item = bulk.strip_suffix(b"\r\n").ok_or_else(|| not_redis(whole))?;
                    rest = behind;
                }
                _ => return Err(not_redis(whole)),
            }
        }
        match (items[0], count) {
            (b"message", 3) | (b"pmessage", 4) => {
                let payload = items[count - 1];
                self.head.clear();
                self.head.extend_from_slice(&whole[..last_from]);
                self.payload_len = payload.len();
                sink.message(payload);
            }
            (b"subscribe" | b"psubscribe", 3) => sink.answer(Answer::Subscribed),
            _ => return Err(not_redis(whole)),
        }
        Ok(Some(rest))
    }
}

fn not_redis(bytes: &[u8]) -> String {
    format!("received no Redis: {}", describe_unexpected(bytes))
}

/// A line without its end, and the bytes behind it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// Splits off the first line, or returns `None` if the line is incomplete.
fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, String> {
    if bytes.first().is_some_and(|first| !b"+-:*$".contains(first)) {
        return Err(not_redis(bytes));
    }
    match bytes.iter().take(LINE_LEN_MAX).position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => {
            Ok(Some((&bytes[..end - 1], &bytes[end + 1..])))
        }
        None if bytes.len() < LINE_LEN_MAX => Ok(None),
        _ => Err(not_redis(bytes)),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Encodes a command of text words.
pub fn command(words: &[&str]) -> String {
    let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
}

pub fn auth(login: &Login) -> String {
    match login {
        Login::Token(password) => command(&["AUTH", password]),
        Login::User { name, password } if name.is_empty() => command(&["AUTH", password]),
        Login::User { name, password } => command(&["AUTH", name, password]),
    }
}

pub fn envelope(topic: &str, payload_len: usize) -> Envelope {
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{topic}\r\n${payload_len}\r\n", topic.len());
    Envelope { before: head.into_bytes(), before_each: Vec::new(), after: b"\r\n".to_vec() }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::{assert_decoded, published, refusal};
    use super::super::target::Protocol;
    use super::*;

    #[test]
    fn replies_are_decoded_wherever_reads_split_them() {
        let bytes = b"+OK\r\n+PONG\r\n:12\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n\
            *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nm1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nm2\r\n\
            *4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\n\r\n\r\n\
            *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$0\r\n\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nm3\r\n";
        let expected = [
            "LoggedIn",
            "Pong",
            "Published",
            "Subscribed",
            "message m1",
            "message m2",
            "message \\r\\n",
            "message ",
            "message m3",
        ];
        assert_decoded(Protocol::Redis, bytes, &expected);
    }

    #[test]
    fn errors_and_other_protocols_are_refused() {
        let error = refusal(Protocol::Redis, b"-NOAUTH Authentication required.\r\n");
        assert_eq!(error, "the broker answered: NOAUTH Authentication required.");
        assert!(refusal(Protocol::Redis, b"INFO {").contains("use nats://"));
        assert!(refusal(Protocol::Redis, b"\x30\x00\x00\x00\x8e").contains("use blip://"));
        for bad in [&b"*9\r\n"[..], b"*1\r\n+a\r\n", b"*3\r\n$7\r\nmessagexx", b"+OK\n"] {
            assert!(refusal(Protocol::Redis, bad).contains("no Redis"), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn publishes_and_logins_are_encoded_for_redis() {
        let expected = b"*3\r\n$7\r\nPUBLISH\r\n$3\r\na.b\r\n$2\r\nm1\r\n";
        assert_eq!(published(&envelope("a.b", 2), &[b"m1"]), expected);
        let user = Login::User { name: "u".into(), password: "p".into() };
        assert_eq!(auth(&user), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n");
        assert_eq!(auth(&Login::Token("p".into())), "*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n");
    }
}
