//! Runs the rows of `tests/vectors/nats.txt` through the parser.

use super::{Bounds, Command, command};

const BOUNDS: Bounds = Bounds { control_line_max: 4_096, payload_max: 1 << 20 };

struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    must: String,
}

fn rows() -> Vec<Row> {
    include_str!("../../tests/vectors/nats.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.splitn(3, " | ");
            let mut field = || fields.next().unwrap_or_else(|| panic!("three fields: {line}"));
            let (name, sends, must) = (field(), field(), field());
            Row { name, bytes: unescape(&repeat(sends)), must: repeat(must) }
        })
        .collect()
}

/// Expands `*N(text)`.
fn repeat(text: &str) -> String {
    let Some((before, behind)) = text.split_once('*') else { return text.to_owned() };
    let (count, behind) = behind.split_once('(').expect("*N(");
    let (part, behind) = behind.split_once(')').expect("*N(text)");
    let count = count.parse().expect("a number");
    format!("{before}{}{}", part.repeat(count), repeat(behind))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().expect("an escape") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'x' => {
                    let digits = [rest.next(), rest.next()].map(|digit| digit.expect("a digit"));
                    let digits = std::str::from_utf8(&digits).expect("hex");
                    u8::from_str_radix(digits, 16).expect("hex")
                }
                other => other,
            },
            other => other,
        });
    }
    bytes
}

fn print(command: &Command<'_>) -> String {
    let escape = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\\"", "\"");
    let tagged = |tag: &str, bytes: &[u8]| format!("[{tag} {}]", escape(bytes));
    match command {
        Command::Connect(json) => format!("connect[{}]", escape(json)),
        Command::Info => "info".to_owned(),
        Command::Ping => "ping".to_owned(),
        Command::Pong => "pong".to_owned(),
        Command::Ok => "ok".to_owned(),
        Command::Err => "err".to_owned(),
        Command::Publish(publish) => {
            let mut text = format!("publish[{}]", escape(publish.subject));
            if let Some(reply) = publish.reply {
                text += &tagged("reply", reply);
            }
            if !publish.headers.is_empty() {
                text += &tagged("headers", publish.headers);
            }
            text + &format!("[{}]", escape(publish.payload))
        }
        Command::Subscribe { subject, queue, sid } => {
            let queue = queue.map(|queue| tagged("queue", queue)).unwrap_or_default();
            format!("subscribe[{}]{queue}[{}]", escape(subject), escape(sid))
        }
        Command::Unsubscribe { sid, max } => {
            let max = max.map(|max| format!("[max {max}]")).unwrap_or_default();
            format!("unsubscribe[{}]{max}", escape(sid))
        }
    }
}

/// The commands in bytes that arrive in parts.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut bytes = Vec::new();
    let mut found = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        loop {
            match command::parse(&bytes, BOUNDS) {
                Ok(None) => break,
                Ok(Some((command, consumed))) => {
                    found.push(print(&command));
                    drop(bytes.drain(..consumed));
                }
                Err(offence) if offence.is_silent() => {
                    found.push("silent".to_owned());
                    return found.join(" ");
                }
                Err(offence) => {
                    found.push(format!("-ERR {}", offence.text()));
                    return found.join(" ");
                }
            }
        }
    }
    if !bytes.is_empty() {
        found.push("more".to_owned());
    }
    found.join(" ")
}

#[test]
fn every_row_gives_its_commands() {
    for row in rows() {
        assert_eq!(read([&row.bytes[..]]), row.must, "{}", row.name);
    }
}

#[test]
fn every_row_gives_its_commands_wherever_reads_split_it() {
    for row in rows() {
        let step = row.bytes.len().div_ceil(64).max(1);
        for at in (0..row.bytes.len()).step_by(step) {
            let (first, second) = row.bytes.split_at(at);
            assert_eq!(read([first, second]), row.must, "{} split at {at}", row.name);
        }
        if row.bytes.len() < 256 {
            assert_eq!(read(row.bytes.chunks(1)), row.must, "{} byte by byte", row.name);
        }
    }
}
