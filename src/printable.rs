//! Text of others on a terminal: names that clients chose, and what servers answer.
//!
//! Used by the log and the admin pages of `server`, and by every command of `cli` that shows topics,
//! groups, headers or errors. Payloads that a command prints for a pipe are not changed.
//!
//! # Always true
//! - What is escaped has no character that moves the cursor, colours text, or reverses or hides the text
//!   beside it.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// Replaces control characters, and characters that reverse or hide the text beside them, by escapes
/// such as `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => shown.extend(character.escape_default()),
            _ if is_hostile(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Escapes each line of a text on its own.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    match text.chars().any(|character| is_hostile(character) && character != '\n') {
        true => text.split('\n').map(escape).collect::<Vec<_>>().join("\n").into(),
        false => Cow::Borrowed(text),
    }
}

/// Writes a value as JSON whose strings have escapes for the same characters. Every JSON parser reads the
/// strings that serde_json alone would write.
pub fn write_json(out: impl Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    Ok(value.serialize(&mut serde_json::Serializer::with_formatter(out, EscapingFormatter))?)
}

/// Replaces these characters in a line of JSON that is already written: they are in strings only.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut escaped = Vec::with_capacity(json.len() + 16);
    write_fragment(&mut escaped, json).expect("writing to a vector succeeds");
    Cow::Owned(String::from_utf8(escaped).expect("escapes are ASCII"))
}

struct EscapingFormatter;

impl Formatter for EscapingFormatter {
    /// Called for the parts of a string that JSON itself requires no escapes for.
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_fragment(writer, fragment)
    }
}

fn write_fragment<W: ?Sized + Write>(out: &mut W, fragment: &str) -> io::Result<()> {
    let mut written = 0;
    // Only these bytes can begin such a character, and most strings have none of them.
    let may_be_hostile = fragment.bytes().any(|byte| !(b' '..0x7f).contains(&byte));
    for (at, character) in fragment.char_indices().filter(|_| may_be_hostile) {
        if is_hostile(character) {
            out.write_all(&fragment.as_bytes()[written..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            written = at + character.len_utf8();
        }
    }
    out.write_all(&fragment.as_bytes()[written..])
}

/// Whether a character is a control character, a line separator, or a character without width: a
/// direction mark, joiner, filler, variation selector or tag.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b]0;owned\x07\u{9b}2J\r\n\u{202e}b\u{200b}\u{e0041}";

    #[test]
    fn control_and_hiding_characters_are_escaped() {
        let shown = escape(HOSTILE);
        let expected = "a\\u{1b}]0;owned\\u{7}\\u{9b}2J\\r\\n\\u{202e}b\\u{200b}\\u{e0041}";
        assert_eq!(shown, expected);
        assert!(!shown.chars().any(is_hostile));
        assert_eq!(escape("orders.née.日本"), "orders.née.日本");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(escape_lines("one\ntwo\n"), "one\ntwo\n");
        assert_eq!(escape_lines("one\x1b\ntwo\r\n"), "one\\u{1b}\ntwo\\r\n");
    }

    #[test]
    fn escaped_json_has_the_same_meaning() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, 1.5, null, "née \"日本\""] });
        let mut written = Vec::new();
        write_json(&mut written, &value).expect("writing to a vector succeeds");
        let written = String::from_utf8(written).expect("JSON is UTF-8");
        assert!(written.contains("\\u202eb\\u200b\\udb40\\udc41"), "{written}");
        assert!(written.contains("née \\\"日本\\\""), "{written}");
        assert_eq!(written, escape_json(&value.to_string()));
        assert!(!written.chars().any(is_hostile), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).expect("JSON"), value);
    }
}
