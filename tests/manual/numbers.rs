//! The sums of the chapter on capacity and the table of profiles are computed from their sources.

use blipmq::config::Settings;
use blipmq::limits::*;

use super::{chapter, one_line, read};

const MIB: f64 = 1_048_576.0;
const RECORD: &str = "benches/records/2026-11-30-amd-epyc/table.md";

/// `12,345`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mib(bytes: f64) -> String {
    format!("{} MiB", grouped((bytes / MIB).round() as u64))
}

/// The value of a private constant.
fn constant(file: &str, name: &str) -> u64 {
    let source = read(file);
    let line = source.lines().find(|line| line.contains(&format!("const {name}: ")));
    let value = line.and_then(|line| line.split_once(" = ")).expect(name).1;
    value
        .trim_end_matches(';')
        .split(" * ")
        .map(|factor| factor.parse::<u64>().expect(name))
        .product()
}

/// The median that the record has for blipmq, by shape and column.
fn recorded(shape: &str, column: usize) -> f64 {
    let table = read(RECORD);
    let row = table.lines().find(|line| line.starts_with(&format!("| {shape} | "))).expect(shape);
    let cell = row.split('|').nth(column + 1).expect("a column").trim();
    let number = cell.split([' ', '(']).next().expect("a number").replace(',', "");
    number.parse().expect("a number")
}

fn assert_has(chapter: &str, line: &str) {
    assert!(one_line(chapter).contains(&one_line(line)), "the chapter does not say: {line}");
}

#[test]
fn memory_of_the_process_is_the_sum_of_its_constants() {
    let chapter = chapter("capacity");
    let (cores, connections) = (6.0, 10_000.0);
    let buffers = constant("executors/src/ring/buffers.rs", "BUFFERS") as f64;
    let receive = buffers * constant("executors/src/ring/buffers.rs", "BUFFER_LEN") as f64;
    let turn = INGEST_BYTES_PER_TURN as f64;
    let mesh = MESH_OUTGOING_BYTES_MAX as f64 + turn;
    let start = 24.0 * MIB;
    assert!(recorded("9500 idle connections | blip", 3) <= 24.0);
    assert!(recorded("9500 idle connections | blip", 2) <= 2.0);
    assert_has(&chapter, &format!("{} | 32 of 64 KiB", mib(receive)));
    let of_cores = cores * (receive + turn + (cores - 1.0) * 2.0 * mesh);
    let parts = format!(
        "{cores} cores x ({} + {} + 5 x 2 x {} MiB)",
        receive / MIB,
        turn / MIB,
        mesh / MIB
    );
    let of_connections = connections * 2_048.0;
    let budget = MEMORY_DEFAULT as f64;
    assert_has(&chapter, &format!("start {}", mib(start)));
    assert_has(&chapter, &format!("{parts} {}", mib(of_cores)));
    assert_has(&chapter, &format!("10,000 connections x 2 KiB {}", mib(of_connections)));
    assert_has(&chapter, &format!("limits.memory_max {}", mib(budget)));
    let sum = start + of_cores + of_connections + budget;
    assert_has(&chapter, &format!("--------- {}", mib(sum)));
    assert_has(&chapter, &mib(budget * 4.0 / 3.0));
}

#[test]
fn memory_of_messages_is_the_sum_of_its_constants() {
    let chapter = chapter("capacity");
    let overhead = (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN) as u64;
    let frame = 256 + overhead;
    let entry = constant("src/broker/memory.rs", "ENTRY_LEN");
    let batch = constant("src/broker/memory.rs", "SLICE_LEN");
    assert_has(
        &chapter,
        &format!(
            "A frame is {overhead} bytes and the payload, an entry of a queue {entry} bytes, a batch \
             {batch} bytes"
        ),
    );
    let queued = u64::from(SUBSCRIBER_CAPACITY_DEFAULT);
    let kept = u64::from(TOPIC_CAPACITY_DEFAULT);
    let shared = 300 * queued * entry + queued * (frame + batch);
    let apart = 300 * queued * (entry + frame + batch);
    let logs = 100 * kept * (frame + batch);
    assert!(kept * (frame + batch) < TOPIC_BYTES_DEFAULT, "the count is reached first");
    let (shown, kept) = (grouped(queued), grouped(kept));
    assert_has(
        &chapter,
        &format!(
            "one topic: 300 x {shown} x {entry} + {shown} x ({frame} + {batch}) {}",
            mib(shared as f64)
        ),
    );
    assert_has(
        &chapter,
        &format!(
            "a topic each: 300 x {shown} x ({entry} + {frame} + {batch}) {}",
            mib(apart as f64)
        ),
    );
    assert_has(
        &chapter,
        &format!("100 topics x {kept} x ({frame} + {batch}) {}", mib(logs as f64)),
    );
    let both = (apart + logs) as f64;
    assert!(both * 8.0 / 7.0 < MEMORY_DEFAULT as f64, "the default is enough");
    assert!((apart + 10 * logs) as f64 * 8.0 / 7.0 > MEMORY_DEFAULT as f64, "and now it is not");
    let rounded = |bytes: u64| (bytes as f64 / MIB).round();
    assert_has(
        &chapter,
        &format!("8/7 x ({} + {}) {}", rounded(apart), rounded(logs), mib(both * 8.0 / 7.0)),
    );
}

#[test]
fn cores_are_deliveries_times_the_cost_in_the_record() {
    let chapter = chapter("capacity");
    let alone = recorded("2,000/s to 48, 256 B", 1);
    let batched = recorded("1:48, 256 B", 1);
    let small = recorded("1:48, 64 B", 1);
    assert_has(&chapter, &format!("| alone | {} ns |", grouped(alone as u64)));
    assert_has(&chapter, &format!("| batched | {batched} ns |"));
    assert_has(&chapter, &format!("| batched, 64 B | {small} ns |"));
    let deliveries = 2_000 * 300;
    let cores = |ns: f64, share: f64| f64::from(deliveries) * ns / 1e9 / share;
    let shown = grouped(alone as u64);
    let (latency, throughput) = (cores(alone, 0.5), cores(batched, 0.7));
    assert_has(
        &chapter,
        &format!(
            "for latency 600,000 x {shown} ns / 0.5 = {latency:.2} so {} cores",
            latency.ceil()
        ),
    );
    assert_has(
        &chapter,
        &format!(
            "for throughput 600,000 x {batched} ns / 0.7 = {throughput:.2} so {} core",
            throughput.ceil()
        ),
    );
    let turn_ms = 300.0 * alone / 1e6;
    assert_has(&chapter, &format!("a turn on one core, 300 sends of {shown} ns = {turn_ms:.2} ms"));
}

#[test]
fn chapter_on_profiling_quotes_the_numbers_of_the_record() {
    let chapter = chapter("profiling");
    for (shape, floor) in [("1:48, 64 B", 4), ("1:1, 1 KiB", 4), ("8:8 on 8 topics, 64 B", 4)] {
        for number in [recorded(shape, 1), recorded(shape, floor)] {
            assert_has(&chapter, &number.to_string());
        }
    }
}

#[test]
fn table_of_profiles_is_what_their_files_say() {
    let chapter = chapter("tuning");
    let profiles = ["high-throughput", "mixed", "low-latency"].map(|name| {
        let file = format!("config/{name}.toml");
        Settings::parse(&file, &read(&file)).unwrap_or_else(|error| panic!("{error}"))
    });
    type Cell = fn(&Settings) -> String;
    let rows: [(&str, Cell); 5] = [
        ("messages a subscription may have queued", |settings| {
            grouped(settings.queues.subscriber_capacity.into())
        }),
        ("messages per send", |settings| grouped(settings.delivery.max_batch.into())),
        ("messages that a topic retains", |settings| {
            grouped(settings.queues.topic_capacity.into())
        }),
        ("longest message", |settings| {
            format!("{} MiB", settings.server.max_message_size_bytes >> 20)
        }),
        ("a stall at 10,000 messages/s loses nothing for", |settings| {
            let seconds = f64::from(settings.queues.subscriber_capacity) / 10_000.0;
            // One significant digit.
            let digits = if seconds < 0.1 { 2 } else { 1 };
            format!("{seconds:.digits$} s")
        }),
    ];
    for (title, cell) in rows {
        let cells: Vec<String> = profiles.iter().map(cell).collect();
        assert_has(&chapter, &format!("| {title} | {} |", cells.join(" | ")));
    }
}
