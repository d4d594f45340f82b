//! Writes the seeds of every fuzz target to `corpus/`, from the conformance vectors and the
//! configuration files:
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds
//! ```

// The answers that rows expect are used by the tests only.
#[allow(dead_code)]
#[path = "../../tests/vectors/rows.rs"]
mod rows;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use blipmq::broker::Cluster;
use blipmq::config::Settings;
use blipmq::protocol::decode::{self, ClientFrame, Welcome};
use blipmq::protocol::{
    CoreId, GapReason, Reject, RequestId, Sequence, SubscriptionId, TopicId, encode,
};

/// Two connections and no HELLO, as rows send their own; on one core and on two.
const SESSION_OPTIONS: [u8; 2] = [0x42, 0x43];
/// A step of raw bytes, then turns until no core finds work.
const SEND_AND_SETTLE: u8 = 0x40;
/// The most bytes of a step.
const STEP_LEN_MAX: usize = 254;
/// Messages of up to 2,040 bytes.
const DECODE_LIMIT: u8 = 255;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = folder.join("../tests/vectors");
    let files = ["protocol.txt", "malformed.txt", "refused.txt"];
    let texts = files.map(|file| fs::read_to_string(vectors.join(file)).expect("a vector file"));
    let mut seeds = Seeds { corpus: folder.join("corpus"), written: 0 };
    for row in rows::parse(&texts.concat()) {
        // The ids that a broker of one core gives the topics of most rows.
        let cluster = Cluster::new(1, 7, Arc::default());
        let id_of = |topic: &str| u32::from(cluster.shard_of_name(topic).0) + 1;
        let sends: Vec<_> = row.stages.iter().flat_map(|stage| stage.sends(id_of)).collect();
        for (number, send) in sends.iter().enumerate() {
            let bytes = [&[DECODE_LIMIT], &send.bytes[..]].concat();
            seeds.write("decode", &format!("{}-{number}", row.name), &bytes);
        }
        for options in SESSION_OPTIONS {
            let mut steps = vec![options];
            sends.iter().for_each(|send| session_steps(send, &mut steps));
            seeds.write("session", &format!("{}-{options}", row.name), &steps);
        }
        let names = names_in(&sends);
        if !names.is_empty() {
            seeds.write("pattern", &row.name, names.as_bytes());
        }
    }
    session_scripts(&mut seeds);
    server_frames(&mut seeds);
    configurations(&mut seeds, &folder.join("../config"));
    commands_of_nats(&mut seeds, &fs::read_to_string(vectors.join("nats.txt")).expect("vectors"));
    println!("{} seeds in {}", seeds.written, seeds.corpus.display());
}

struct Seeds {
    corpus: std::path::PathBuf,
    written: usize,
}

impl Seeds {
    fn write(&mut self, target: &str, name: &str, bytes: &[u8]) {
        // Long seeds slow every run down, and find nothing that short ones do not.
        if bytes.len() > 4_096 {
            return;
        }
        let folder = self.corpus.join(target);
        fs::create_dir_all(&folder).expect("corpus/ can be written to");
        fs::write(folder.join(name), bytes).expect("corpus/ can be written to");
        self.written += 1;
    }
}

fn session_steps(send: &rows::Send, steps: &mut Vec<u8>) {
    let connection = ((send.connection - 1) % 2) << 4;
    let chunks = send.bytes.len().div_ceil(STEP_LEN_MAX);
    for (number, chunk) in (1..).zip(send.bytes.chunks(STEP_LEN_MAX)) {
        let settle = if number == chunks { SEND_AND_SETTLE } else { 0 };
        steps.extend_from_slice(&[connection | settle, chunk.len() as u8]);
        steps.extend_from_slice(chunk);
    }
}

/// What the vectors lack, in the steps of `session/steps.rs`: replay, groups, `block`, stalled
/// peers, late cores, a stop. Each with generous and with tight bounds, on one core and on two.
fn session_scripts(seeds: &mut Seeds) {
    const SECOND: u8 = 0x10;
    const SETTLE: u8 = 0x40;
    let open = [9 | SETTLE, 1, 0];
    // Under the provisional id: topic, three messages, ACK wanted, no TTL, publish id, lengths.
    let publish = [6, 0x81, 3, 1, 0, 9, 0, 5, 20];
    // `options` is 7 times the start, plus the overflow.
    let subscribe =
        |id: u8, options: u8, pattern: u8| [10 | SECOND | SETTLE, id, options, 2, 0, pattern];
    let many = publish.repeat(8);
    let stall = [14 | SECOND];
    let scripts: [(&str, Vec<u8>); 9] = [
        ("last", [&open[..], &publish, &[13 | SETTLE, 0], &subscribe(1, 7, 0), &publish].concat()),
        ("from", [&open[..], &many, &[13 | SETTLE, 0], &subscribe(1, 14, 2), &publish].concat()),
        ("block", [&open[..], &subscribe(1, 3, 3), &stall, &many, &[13 | SETTLE, 33]].concat()),
        ("latest", [&open[..], &subscribe(1, 5, 3), &stall, &many, &[14 | SECOND]].concat()),
        ("oldest", [&open[..], &subscribe(1, 1, 0), &stall, &many, &[14 | SECOND]].concat()),
        ("new", [&open[..], &subscribe(1, 2, 0), &stall, &many, &[14 | SECOND]].concat()),
        ("disconnect", [&open[..], &subscribe(1, 4, 0), &stall, &many, &[13 | SETTLE, 0]].concat()),
        (
            "group",
            [&open[..], &subscribe(33, 1, 0), &subscribe(34, 1, 0), &many, &[12 | SECOND, 1]]
                .concat(),
        ),
        ("stop", [&open[..], &subscribe(1, 1, 3), &many, &[15, 3], &many, &[15, 2]].concat()),
    ];
    for (name, steps) in scripts {
        for options in [0b10, 0b11, 0b111, 0b10_1011, 0b11_0111, 0b10_1111] {
            let late = [&steps[..], &[15 | SECOND, 3], &many, &[15 | SECOND, 3]].concat();
            seeds.write("session", &format!("{name}-{options}"), &[&[options], &late[..]].concat());
        }
    }
}

/// Patterns of a row as lines to insert, topics as lines to match.
fn names_in(sends: &[rows::Send]) -> String {
    let mut names = String::new();
    for send in sends {
        let mut rest = &send.bytes[..];
        while let Ok(Some(frame)) = decode::next_frame(rest, 1 << 20) {
            match decode::client_frame(frame, 1 << 20) {
                Ok(ClientFrame::Open { topic, .. }) => names += &format!("{topic}\n"),
                Ok(ClientFrame::Subscribe(one)) => names += &format!("+{}\n-\n", one.pattern),
                _ => {}
            }
            rest = &rest[frame.len()..];
        }
    }
    names
}

/// Frames of servers, because the vectors only have those of clients.
fn server_frames(seeds: &mut Seeds) {
    let mut frames: [Vec<u8>; 8] = Default::default();
    let [welcome, topic, subscribed, unsubscribed, ack, gap, error, goodbye] = &mut frames;
    let welcome_sent = Welcome {
        version: 1,
        core: CoreId(1),
        cores: 2,
        shards: 4,
        message_len_max: 1 << 20,
        frame_len_max: 1 << 21,
        server_id: 7,
        server: "blipmq",
    };
    encode::welcome(welcome, &welcome_sent);
    encode::topic(topic, RequestId(1), TopicId(2), Sequence(3), CoreId(1), "a.b");
    encode::subscribed(subscribed, SubscriptionId(1));
    encode::unsubscribed(unsubscribed, SubscriptionId(1));
    encode::ack(ack, TopicId(2), 5, Sequence(3), 4);
    encode::gap(gap, TopicId(2), 0, Sequence(3), 4, GapReason::Expired);
    encode::error(error, &Reject::UnknownTopic { topic: 9 });
    encode::goodbye(goodbye, "bye");
    for (number, frame) in frames.iter().enumerate() {
        seeds.write("decode", &format!("server-{number}"), &[&[DECODE_LIMIT], &frame[..]].concat());
    }
}

/// The existing configuration files, and every key alone.
fn configurations(seeds: &mut Seeds, folder: &Path) {
    for file in fs::read_dir(folder).expect("config/").map(|file| file.expect("config/").path()) {
        let text = fs::read(&file).expect("a configuration file");
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        seeds.write("config", &name, &text);
    }
    let printed = Settings::default().to_string();
    let mut table = "";
    for line in printed.lines() {
        if line.starts_with('[') {
            table = line;
        } else if let Some((key, _)) = line.split_once(" = ") {
            seeds.write("config", key, format!("{table}\n{line}\n").as_bytes());
        }
    }
}

/// The middle column of `nats.txt`, except rows with repetitions, which are too long.
fn commands_of_nats(seeds: &mut Seeds, rows: &str) {
    for row in rows.lines().filter(|row| !row.starts_with('#')) {
        let mut fields = row.split(" | ");
        let (Some(name), Some(sends)) = (fields.next(), fields.next()) else { continue };
        let bytes = sends.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t");
        if !bytes.contains(['\\', '*']) {
            seeds.write("nats", name, bytes.as_bytes());
        }
    }
}
