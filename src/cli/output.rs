//! Formats of `blipmq sub`: a message as one line.
//!
//! Called by `subscribe`.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use blipmq_client::Message;
use clap::ValueEnum;

use crate::printable;

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The payload, unchanged.
    Payload,
    /// A JSON object: topic, sequence, timestamp in nanoseconds, payload.
    Json,
    /// Topic with escapes for control characters, sequence, and payload in hexadecimal.
    Hex,
}

/// Writes a message in a format, and a newline.
pub fn write(out: &mut impl Write, format: Format, message: &Message<'_>) -> io::Result<()> {
    match format {
        Format::Payload => out.write_all(message.payload)?,
        Format::Json => write_json(out, message)?,
        Format::Hex => {
            write!(out, "{} {} ", printable::escape(message.topic), message.sequence)?;
            write_hex(out, message.payload)?;
        }
    }
    out.write_all(b"\n")
}

fn write_json(out: &mut impl Write, message: &Message<'_>) -> io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    printable::write_json(&mut *out, message.topic)?;
    write!(out, ",\"sequence\":{},\"timestamp\":{}", message.sequence, message.timestamp_ns)?;
    if let Some(ttl) = message.ttl {
        write!(out, ",\"ttl_ms\":{}", ttl.as_millis())?;
    }
    let mut headers = message.headers.peekable();
    if headers.peek().is_some() {
        // An array, because the order matters and a name may occur twice.
        out.write_all(b",\"headers\":[")?;
        for (index, (name, value)) in headers.enumerate() {
            out.write_all(if index == 0 { b"{" } else { b",{" })?;
            write_bytes(out, "name", name)?;
            out.write_all(b",")?;
            write_bytes(out, "value", value)?;
            out.write_all(b"}")?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b",")?;
    write_bytes(out, "payload", message.payload)?;
    out.write_all(b"}")
}

/// Writes bytes as a JSON member. JSON has no byte strings: bytes that are not UTF-8 are written
/// in base64, under the key `<key>_base64`.
fn write_bytes(out: &mut impl Write, key: &str, bytes: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            write!(out, "\"{key}\":")?;
            printable::write_json(out, text)
        }
        Err(_) => write!(out, "\"{key}_base64\":\"{}\"", Base64Display::new(bytes, &STANDARD)),
    }
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.write_all(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn line(format: Format, payload: &[u8]) -> String {
        line_of(format, "a.\"b", payload)
    }

    fn line_of(format: Format, topic: &str, payload: &[u8]) -> String {
        let message = Message {
            topic,
            sequence: 7,
            timestamp_ns: 1_700_000_000_000_000_001,
            ttl: None,
            headers: Default::default(),
            payload,
        };
        let mut out = Vec::new();
        write(&mut out, format, &message).expect("writing to a vector succeeds");
        String::from_utf8(out).expect("these formats are UTF-8")
    }

    #[test]
    fn json_has_utf_8_payloads_as_text_and_others_in_base64() {
        let text = line(Format::Json, "né\n".as_bytes());
        let bytes = line(Format::Json, &[0xff, 0x00, 0x01]);
        let text: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        let bytes: serde_json::Value = serde_json::from_str(&bytes).expect("valid JSON");
        assert_eq!(text["topic"], "a.\"b");
        assert_eq!(text["sequence"], 7);
        assert_eq!(text["timestamp"], 1_700_000_000_000_000_001u64);
        assert_eq!(text["payload"], "né\n");
        assert!(text.get("payload_base64").is_none() && text.get("headers").is_none());
        assert_eq!(bytes["payload_base64"], STANDARD.encode([0xff, 0x00, 0x01]));
        assert!(bytes.get("payload").is_none());
    }

    #[test]
    fn hex_has_two_digits_per_byte() {
        assert_eq!(line(Format::Hex, &[0x00, 0x0f, 0xff]), "a.\"b 7 000fff\n");
        assert_eq!(line(Format::Hex, &[]), "a.\"b 7 \n");
    }

    #[test]
    fn topics_are_escaped_in_every_format_that_shows_them() {
        let topic = "e\x1b[31mred\r\u{9b}";
        assert_eq!(line_of(Format::Hex, topic, b"x"), "e\\u{1b}[31mred\\r\\u{9b} 7 78\n");
        let json = line_of(Format::Json, topic, "\u{202e}".as_bytes());
        assert!(
            json.contains("\"e\\u001b[31mred\\r\\u009b\"") && json.contains("\"\\u202e\""),
            "{json}"
        );
        let read: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
        assert_eq!(read["topic"], topic);
    }

    #[test]
    fn payload_is_written_unchanged() {
        assert_eq!(line(Format::Payload, b"x\r"), "x\r\n");
    }
}
