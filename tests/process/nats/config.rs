//! `[nats]` in the configuration: errors are reported before anything runs.

use crate::support::running::{TempFile, blipmq};

/// The output of `check-config`, and whether it accepts the text.
fn checked(text: &str) -> (bool, String) {
    let file = TempFile::new("nats.toml", text.as_bytes());
    let output = blipmq(&["check-config", file.path()]).output().expect("the process starts");
    let words = if output.status.success() { output.stdout } else { output.stderr };
    let words = String::from_utf8(words).expect("UTF-8 output");
    (output.status.success(), words.replace(file.path(), "FILE"))
}

#[test]
fn wrong_keys_and_values_are_reported_all_at_once() {
    let (is_valid, output) = checked(
        "[nats]\nenabled = \"yes\"\nbind_addr = \"nowhere\"\nsubscriber_capacity = 0\n\
         ping_intervall_ms = 5\nping_interval_ms = 0\npings_max = 1_001\n",
    );
    assert!(!is_valid);
    let expected = [
        "FILE:2: [nats] enabled = \"yes\" is ",
        "FILE:3: [nats] bind_addr = \"nowhere\"",
        "FILE:4: [nats] subscriber_capacity = 0 is out of range, must be ",
        "FILE:5: [nats] ping_intervall_ms is not a known key; did you mean ping_interval_ms?",
        "FILE:6: [nats] ping_interval_ms = 0 is out of range, must be ",
        "FILE:7: [nats] pings_max = 1_001 is out of range, must be ",
    ];
    for line in expected {
        assert!(output.contains(line), "{line:?} is not in: {output}");
    }
    assert_eq!(output.lines().count(), expected.len(), "{output}");
}

#[test]
fn one_address_for_both_protocols_is_a_conflict() {
    let (is_valid, output) = checked(
        "[server]\nbind_addr = \"127.0.0.1:4222\"\n[nats]\nbind_addr = \"127.0.0.1:4222\"\n",
    );
    assert!(!is_valid, "{output}");
    let off = "[server]\nbind_addr = \"127.0.0.1:4222\"\n[nats]\nenabled = false\n";
    let (is_valid, output) = checked(off);
    assert!(is_valid, "without NATS its port is free: {output}");
}

#[test]
fn configured_values_are_printed() {
    let (is_valid, printed) = checked(
        "[nats]\nbind_addr = \"127.0.0.1:4333\"\nsubscriber_capacity = 9\n\
         ping_interval_ms = 1_000\npings_max = 5\n",
    );
    assert!(is_valid, "{printed}");
    for line in [
        "[nats]",
        "enabled = true",
        "bind_addr = \"127.0.0.1:4333\"",
        "subscriber_capacity = 9",
        "ping_interval_ms = 1000",
        "pings_max = 5",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in: {printed}");
    }
}
