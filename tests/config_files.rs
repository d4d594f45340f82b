//! The files in `config/` say what their names promise.

use std::fs;
use std::path::PathBuf;

use blipmq::config::keys::{Applies, KEYS};
use blipmq::config::{OverflowPolicy, Settings};

fn text_of(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn settings_of(name: &str) -> Settings {
    Settings::parse(name, &text_of(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn mixed_toml_is_the_defaults_with_every_key_and_comment() {
    assert_eq!(settings_of("mixed.toml"), Settings::default());
    let printed = Settings::default().to_string();
    assert!(
        text_of("mixed.toml").ends_with(&format!("\n\n{printed}")),
        "config/mixed.toml must end with exactly this:\n{printed}"
    );
}

#[test]
fn high_throughput_toml_has_large_queues_batches_and_messages() {
    let mut expected = Settings::default();
    expected.server.max_connections = 10_000;
    expected.server.max_message_size_bytes = 4 << 20;
    expected.queues.topic_capacity = 50_000;
    expected.queues.subscriber_capacity = 8_192;
    expected.delivery.max_batch = 2048;
    assert_eq!(settings_of("high-throughput.toml"), expected);
}

#[test]
fn low_latency_toml_has_short_queues_and_small_batches() {
    let mut expected = Settings::default();
    expected.queues.topic_capacity = 1_000;
    expected.queues.subscriber_capacity = 256;
    expected.queues.overflow_policy = OverflowPolicy::DropOldest;
    expected.delivery.max_batch = 32;
    expected.delivery.fanout_shards = 8;
    assert_eq!(settings_of("low-latency.toml"), expected);
}

#[test]
fn node_files_differ_in_their_ports_alone_and_leave_cores_to_numactl() {
    for (name, port, nats_port, metrics_port) in
        [("node0.toml", 7878, 4222, 9090), ("node1.toml", 7879, 4223, 9091)]
    {
        let mut expected = Settings::default();
        expected.server.bind_addr.set_port(port);
        expected.server.cores = None;
        expected.nats.bind_addr.set_port(nats_port);
        expected.metrics.bind_addr.set_port(metrics_port);
        assert_eq!(settings_of(name), expected, "{name}");
    }
}

#[test]
fn examples_of_the_readme_parse() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(path).expect("an existing file");
    let examples: Vec<&str> = readme.split("```toml\n").skip(1).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let (example, _) = example.split_once("```").expect("the end of the example");
        Settings::parse("README.md", example).unwrap_or_else(|error| panic!("{example}\n{error}"));
    }
}

#[test]
fn every_file_in_config_parses() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("config/ is there") {
        let name = entry.expect("config/ can be listed").file_name().into_string().unwrap();
        settings_of(&name);
        names.push(name);
    }
    assert!(names.len() >= 5, "{names:?}");
}

#[test]
fn the_readme_marks_the_keys_that_need_a_restart_and_no_others() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(path).expect("an existing file");
    for key in &KEYS {
        let start = format!("| `[{}] {}` ", key.table, key.name);
        let row = readme.lines().find(|line| line.starts_with(&start)).expect(&start);
        let marked = row[start.len()..].starts_with("* |");
        assert_eq!(marked, key.applies == Applies::Restart, "{row}");
    }
}

#[test]
fn the_manual_says_of_every_key_when_it_applies() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/manual/operations.rs");
    let chapter = fs::read_to_string(path).expect("an existing file");
    for applies in [Applies::Restart, Applies::NewSubscriptions] {
        let keys = KEYS.iter().filter(|key| key.applies == applies);
        let keys: Vec<String> = keys.map(|key| format!("`{}.{}`", key.table, key.name)).collect();
        let row = format!("//! | {} | {} |", applies.name(), keys.join(", "));
        assert!(chapter.contains(&row), "operations.rs must have this row: {row}");
    }
}
