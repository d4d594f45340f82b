//! Rows of the vector files: from text to the bytes to send and the lines to expect. `protocol.txt` begins
//! with the description of the notation.

use std::collections::HashMap;

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub stages: Vec<Stage>,
}

/// Bytes to send, and the lines that must come before the next stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Tokens with expanded macros; only topic ids are unknown.
    tokens: Vec<String>,
    pub expected: Vec<Expected>,
}

/// One line of the third column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub connection: u8,
    pub line: String,
}

/// Bytes that the broker receives in one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    pub connection: u8,
    pub bytes: Vec<u8>,
}

type Macros = HashMap<String, (Vec<String>, String)>;

/// Reads the text of a vector file.
pub fn parse(text: &str) -> Vec<Row> {
    let mut macros = Macros::new();
    let mut rows: Vec<Row> = Vec::new();
    for logical in logical_lines(text) {
        if let Some(definition) = logical.strip_prefix("let ") {
            define(&mut macros, definition);
            continue;
        }
        let row = parse_row(&macros, &logical);
        assert!(rows.iter().all(|other| other.name != row.name), "there are two rows {}", row.name);
        rows.push(row);
    }
    rows
}

/// Lines without comments; a line that begins with a space continues the one before.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix(' ') {
            Some(more) => {
                let last = lines.last_mut().expect("the first line begins at its start");
                last.push(' ');
                last.push_str(more.trim());
            }
            None => lines.push(line.trim().to_owned()),
        }
    }
    lines
}

fn define(macros: &mut Macros, definition: &str) {
    let (head, body) = definition.split_once(" = ").expect("let NAME = BODY");
    let (name, parameters) = call(head);
    macros.insert(name.to_owned(), (parameters, body.to_owned()));
}

/// `name` or `name(a,b)`.
fn call(word: &str) -> (&str, Vec<String>) {
    match word.strip_suffix(')').and_then(|word| word.split_once('(')) {
        Some((name, arguments)) => (name, arguments.split(',').map(str::to_owned).collect()),
        None => (word, Vec::new()),
    }
}

fn parse_row(macros: &Macros, text: &str) -> Row {
    let columns: Vec<&str> = text.split('|').map(str::trim).collect();
    let [name, sends, expected] = columns[..] else { panic!("three columns: {text}") };
    let mut tokens = Vec::new();
    expand(macros, sends, &mut tokens);
    let sends: Vec<&[String]> = tokens.split(|token| token == "then").collect();
    let expected: Vec<&str> = expected.split(" then ").collect();
    assert_eq!(sends.len(), expected.len(), "{name}: as many `then` on both sides");
    let stages = sends
        .into_iter()
        .zip(expected)
        .map(|(tokens, expected)| Stage { tokens: tokens.to_vec(), expected: lines(expected) })
        .collect();
    let row = Row { name: name.to_owned(), stages };
    for stage in &row.stages {
        stage.sends(|_| 0);
    }
    row
}

fn expand(macros: &Macros, text: &str, tokens: &mut Vec<String>) {
    for word in text.replace(']', " ] ").split_whitespace() {
        let (name, arguments) = call(word);
        let Some((parameters, body)) = macros.get(name) else {
            tokens.push(word.to_owned());
            continue;
        };
        assert_eq!(parameters.len(), arguments.len(), "arguments of {word}");
        let body = parameters
            .iter()
            .zip(&arguments)
            .fold(body.clone(), |body, (name, value)| body.replace(&format!("{{{name}}}"), value));
        expand(macros, &body, tokens);
    }
}

fn lines(text: &str) -> Vec<Expected> {
    let mut connection = 1;
    let mut lines = Vec::new();
    for line in text.split(',') {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(number) = words.first().and_then(|word| word.strip_prefix('@')) {
            connection = number.parse().expect("@ and a connection's number");
            words.remove(0);
        }
        let line = words.join(" ");
        if line != "nothing" {
            assert!(!line.is_empty(), "a line is missing in {text}");
            lines.push(Expected { connection, line });
        }
    }
    lines
}

impl Stage {
    /// The bytes, read by read.
    pub fn sends(&self, id_of: impl Fn(&str) -> u32) -> Vec<Send> {
        let mut sends = vec![Send { connection: 1, bytes: Vec::new() }];
        let mut frame_at = None;
        for token in &self.tokens {
            let last = sends.last_mut().expect("never empty");
            if token == "/" {
                let connection = last.connection;
                sends.push(Send { connection, bytes: Vec::new() });
            } else if let Some(number) = token.strip_prefix('@') {
                let connection = number.parse().expect("@ and a connection's number");
                sends.push(Send { connection, bytes: Vec::new() });
            } else if let Some(head) = token.strip_prefix('[') {
                assert_eq!(frame_at.replace(last.bytes.len()), None, "frames do not nest");
                last.bytes.extend_from_slice(&frame_header(head));
            } else if token == "]" {
                let at: usize = frame_at.take().expect("a frame begins with [");
                let frame_len = (last.bytes.len() - at) as u32;
                last.bytes[at..at + 4].copy_from_slice(&frame_len.to_le_bytes());
            } else {
                field(token, &id_of, &mut last.bytes);
            }
        }
        assert_eq!(frame_at, None, "a frame ends with ]");
        sends.retain(|send| !send.bytes.is_empty());
        sends
    }
}

/// The header of `KIND`, `KIND.FLAGS` or `KIND.FLAGS.COUNT`; the length is filled in later.
fn frame_header(head: &str) -> [u8; 8] {
    let mut parts = head.split('.');
    let mut byte = || parts.next().map(|part| u8::from_str_radix(part, 16).expect("a hex byte"));
    let (kind, flags) = (byte().expect("a kind"), byte().unwrap_or(0));
    let count: u16 = parts.next().map_or(0, |part| part.parse().expect("a decimal count"));
    let [low, high] = count.to_le_bytes();
    [0, 0, 0, 0, kind, flags, low, high]
}

fn field(token: &str, id_of: &impl Fn(&str) -> u32, out: &mut Vec<u8>) {
    match token.split_once(':') {
        Some(("u16", value)) => out.extend_from_slice(&(number(value) as u16).to_le_bytes()),
        Some(("u32", value)) => out.extend_from_slice(&(number(value) as u32).to_le_bytes()),
        Some(("u64", value)) => out.extend_from_slice(&number(value).to_le_bytes()),
        Some(("id", topic)) => out.extend_from_slice(&id_of(topic).to_le_bytes()),
        Some(("t", value)) => out.extend_from_slice(&text(value)),
        Some(("s", value)) => {
            let text = text(value);
            out.extend_from_slice(&u16::try_from(text.len()).expect("16 bits").to_le_bytes());
            out.extend_from_slice(&text);
        }
        Some(("r", value)) => {
            let text = text(value);
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(&text);
        }
        _ => {
            assert!(token.len().is_multiple_of(2), "{token} is not hex");
            for at in (0..token.len()).step_by(2) {
                let byte = u8::from_str_radix(&token[at..at + 2], 16);
                out.push(byte.unwrap_or_else(|_| panic!("{token} is not hex")));
            }
        }
    }
}

fn number(value: &str) -> u64 {
    let parsed = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{value} is not a number"))
}

/// Text with `\xNN` for any byte, and `*N` at the end to repeat it.
fn text(value: &str) -> Vec<u8> {
    let (value, times) = match value.rsplit_once('*') {
        Some((value, times)) if !times.is_empty() && times.bytes().all(|b| b.is_ascii_digit()) => {
            (value, times.parse().expect("a number"))
        }
        _ => (value, 1),
    };
    let mut parts = value.split("\\x");
    let mut bytes = parts.next().expect("never empty").as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two hex digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes.repeat(times)
}
