//! `blipmq bench`: its counts, its output, and the faults it detects.
//!
//! Runs are short and small; no test depends on speed.

mod fakes;
mod faults;
mod mirror;
#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::process::Output;

use fakes::Fault;
use mirror::Mirror;
use serde_json::Value;
use support::running::{Broker, TempFile, blipmq, cores};

/// Options of a run that is short, but long enough for some messages.
const SHORT: [&str; 4] = ["--secs", "0.2", "--warmup", "0.1"];

fn bench(words: &[&str]) -> Output {
    blipmq(&[&["bench"], words].concat()).output().expect("blipmq starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("tables are UTF-8")
}

#[track_caller]
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// Runs bench briefly with --json, and asserts that the run was clean.
#[track_caller]
fn measured(words: &[&str]) -> Value {
    let output = bench(&[words, &SHORT, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = document(&output);
    assert_eq!(document["clean"], true);
    document
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a whole number"))
}

/// Asserts that every message of a round reached every subscriber of its topic.
#[track_caller]
fn assert_counts(round: &Value, subscribers: u64) {
    let messages = number(&round["total_messages"]);
    assert!(messages > 0, "{round:#}");
    assert_eq!(number(&round["total_deliveries"]), messages * subscribers, "{round:#}");
    assert_eq!(round["total_deliveries_expected"], round["total_deliveries"]);
    assert!(number(&round["messages"]) <= messages);
    for (kind, count) in round["trouble"].as_object().expect("counts of faults") {
        assert_eq!(number(count), 0, "{kind}");
    }
}

fn broker() -> Broker {
    Broker::start(&cores(1).expect("at least one core"))
}

// --- counts ---

#[test]
fn throughput_is_the_default_mode_and_counts_every_delivery() {
    let broker = broker();
    let url = format!("blip://{}", broker.addr);
    let pid = broker.pid().to_string();
    let document = measured(&[&url, "--subs", "3", "--pid", &pid]);
    assert_eq!(document["mode"], "throughput");
    assert_eq!(document["parameters"]["subs"], 3);
    let target = &document["targets"][0];
    assert_eq!(target["target"], url);
    assert_counts(&target["rounds"][0], 3);
    let median = &target["median"];
    for key in ["broker_cpu_ns_per_delivery", "broker_resident_bytes", "latency_p50_us"] {
        assert!(median[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {median:#}");
    }
    broker.stop();
}

#[test]
fn every_message_of_every_shape_is_delivered() {
    let broker = broker();
    let url = format!("blip://{}", broker.addr);
    let rows: [(&[&str], u64); 6] = [
        (&["--pubs", "3", "--subs", "3", "--topics", "3"], 1),
        (&["--pubs", "4", "--subs", "2"], 2),
        (&["--pubs", "2", "--subs", "1", "--topics", "5"], 1),
        (&["--pubs", "2", "--subs", "4", "--topics", "2", "--threads", "3"], 2),
        (&["--batch", "7", "--subs", "2", "--size", "16"], 2),
        (&["--size", "300000", "--window", "8", "--patterns", "300", "--idle-conns", "2"], 1),
    ];
    for (words, subscribers) in rows {
        let document = measured(&[&[url.as_str()], words].concat());
        assert_counts(&document["targets"][0]["rounds"][0], subscribers);
    }
    broker.stop();
}

#[test]
fn latency_of_each_message_is_measured_and_written_to_files() {
    let broker = broker();
    let url = format!("blip://{}", broker.addr);
    let (hgrm, plot) = (TempFile::new("bench.hgrm", b""), TempFile::new("bench.svg", b""));
    let files = ["--hgrm", hgrm.path(), "--plot", plot.path()];
    let words = ["latency", &url, "--rate", "2000", "--subs", "2"];
    let document = measured(&[&words[..], &files].concat());
    assert_eq!(document["parameters"]["rate_per_s"], 2_000);
    let round = &document["targets"][0]["rounds"][0];
    assert_counts(round, 2);
    // 0.3 s at 2,000 messages per second: 600 messages, or fewer on a busy machine.
    assert!(number(&round["total_messages"]) <= 600);
    let samples = number(&round["latency_samples"]);
    assert!(samples > 0 && samples <= 2 * 400, "two deliveries per message in 0.2 s: {samples}");
    let text = std::fs::read_to_string(&hgrm.0).expect("a written file");
    let last = text.lines().rfind(|line| !line.starts_with('#')).expect("rows");
    let total = last.split_whitespace().nth(2).expect("a count");
    assert_eq!(total.parse(), Ok(samples), "{text}");
    assert!(text.contains("#[Max     ="), "{text}");
    let svg = std::fs::read_to_string(&plot.0).expect("a written file");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<polyline").count(), 2);
    broker.stop();
}

#[test]
fn round_trips_wait_for_every_subscriber() {
    let broker = broker();
    let url = format!("blip://{}", broker.addr);
    let document = measured(&["rtt", &url, "--subs", "3"]);
    let round = &document["targets"][0]["rounds"][0];
    assert_counts(round, 3);
    let samples = number(&round["latency_samples"]);
    assert!(samples > 0 && samples <= number(&round["total_messages"]), "one for each message");
    broker.stop();
}

#[test]
fn memory_of_idle_connections_is_measured() {
    let broker = broker();
    let (url, pid) = (format!("blip://{}", broker.addr), broker.pid().to_string());
    let words = ["idle", &url, "--pid", &pid, "--idle-conns", "20", "--subs-per-conn", "300"];
    let output = bench(&[&words[..], &["--secs", "0.1", "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = document(&output);
    let median = &document["targets"][0]["median"];
    assert!(median["resident_bytes_before"].as_f64().is_some_and(|bytes| bytes > 0.0));
    assert!(median["resident_bytes_per_connection"].as_f64().is_some());
    broker.stop();
}

/// Method: without an answer to its PINGs the broker closes each connection before the measurement is over.
#[test]
fn idle_connections_answer_the_pings_of_the_broker() {
    let watched = "[server]\nping_interval_ms = 2000\npings_max = 3\n";
    let broker = Broker::start_with(&cores(1).expect("one core"), watched);
    let (url, pid) = (format!("blip://{}", broker.addr), broker.pid().to_string());
    let output = bench(&["idle", &url, "--pid", &pid, "--idle-conns", "20", "--secs", "9"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(broker.metric("blipmq_stale_connections_total", ""), 0);
    broker.stop();
}

// --- several targets ---

#[test]
fn targets_are_measured_in_turn_and_compared_with_the_first() {
    let (broker, mirror) = (broker(), Mirror::start());
    let url = format!("blip://{}", broker.addr);
    let hgrm = TempFile::new("bench", b"");
    let words = [&url, mirror.url.as_str(), "--rounds", "2", "--subs", "2", "--hgrm", hgrm.path()];
    let document = measured(&words);
    for target in document["targets"].as_array().expect("targets") {
        let rounds = target["rounds"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 2);
        rounds.iter().for_each(|round| assert_counts(round, 2));
    }
    for scheme in ["blip", "raw"] {
        let file = format!("{}.{scheme}", hgrm.path());
        assert!(std::fs::read_to_string(&file).expect("a written file").contains("Percentile"));
        std::fs::remove_file(file).expect("a file of this test");
    }
    let output = bench(&[&words[..4], &SHORT].concat());
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for word in ["deliveries/s", "ratio", "latency p99.9", "medians of 2 rounds", "Linux "] {
        assert!(table.contains(word), "{word} in {table}");
    }
    assert!(stderr(&output).contains("without --pid"), "{}", stderr(&output));
    broker.stop();
}

#[test]
fn neither_busy_is_reported_if_it_was_measured_and_never_for_latency() {
    let broker = broker();
    let (url, pid) = (format!("blip://{}", broker.addr), broker.pid().to_string());
    // With one message in flight, generator and broker wait for each other, unless the broker polls
    // or the machine is busy. So the note must agree with the measured CPU use, whatever that is.
    let words = [&url, "--pid", &pid, "--window", "1", "--json"];
    let output = bench(&[&words[..], &SHORT].concat());
    let target = &document(&output)["targets"][0];
    let has_time_left =
        |key: &str| target["median"][key].as_f64().expect("a measured value") < 90.0;
    let neither = has_time_left("generator_busiest_thread_percent")
        && has_time_left("broker_busiest_thread_percent");
    assert_eq!(target["neither_was_busy"], neither, "{target:#}");
    let has_note =
        stderr(&output).contains("neither the generator nor the broker used a whole core");
    assert_eq!(has_note, neither, "{}", stderr(&output));
    // On a schedule, neither is expected to be busy.
    let words = ["latency", &url, "--pid", &pid, "--rate", "100"];
    let output = bench(&[&words[..], &SHORT].concat());
    assert!(!stderr(&output).contains("neither"), "{}", stderr(&output));
    broker.stop();
}

// --- other protocols ---

#[test]
fn nats_and_redis_brokers_are_measured_in_their_protocols() {
    for url in
        [format!("nats://{}", fakes::nats(Fault::None)), format!("redis://{}", fakes::redis())]
    {
        for words in [&["throughput"][..], &["latency", "--rate", "500"], &["rtt"]] {
            let window = if words[0] == "throughput" { &["--window", "16"][..] } else { &[] };
            let document = measured(&[words, &[&url, "--subs", "2"], window].concat());
            assert_counts(&document["targets"][0]["rounds"][0], 2);
        }
    }
}

#[test]
fn logins_are_sent_and_refusals_are_reported() {
    let addr = fakes::redis_with_password();
    let url = format!("redis://:{}@{addr}", fakes::PASSWORD);
    let document = measured(&["rtt", &url]);
    assert!(
        !document["targets"].to_string().contains(fakes::PASSWORD),
        "passwords are not printed"
    );
    for (login, expected) in [("", "NOAUTH"), (":no@", "WRONGPASS")] {
        let output = bench(&[&format!("redis://{login}{addr}")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

// --- the command line ---

#[test]
fn command_lines_out_of_range_are_refused_with_the_range() {
    let url = "blip://127.0.0.1:1";
    let rows: [(&[&str], i32, &str); 10] = [
        (&[], 2, "URL"),
        (&["http://h:1"], 2, "blip://host:port"),
        (&["raw://user@h:1"], 2, "takes no login"),
        (&[url, "--size", "15"], 2, "16..="),
        (&[url, "--secs", "0"], 2, "0.1 to 3600"),
        (&["latency", url], 2, "--rate"),
        (&["latency", url, "--rate", "0"], 2, "1..="),
        (&["idle", url], 2, "--pid"),
        (&[url, "--batch", "9", "--window", "8"], 1, "--window of 8"),
        (&[url, "--pid", "1", "--pid", "2"], 1, "2 --pid for 1 URLs"),
    ];
    for (words, status, expected) in rows {
        let output = bench(words);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{words:?}: {}", stderr(&output));
    }
    let help = bench(&["--help"]);
    assert!(help.status.success() && stdout(&help).contains("Examples:"));
}
