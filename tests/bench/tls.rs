//! Brokers over TLS: every scheme, the same checks as without TLS, and what a refusal says.

use crate::fakes::{self, Fault};
use crate::support::authority::{Authority, server_config};
use crate::support::tls_proxy::{Proxy, Start};
use crate::{SHORT, assert_counts, bench, broker, measured, stderr};

/// A proxy that speaks TLS in front of the server at this address.
fn secured(authority: &Authority, behind: &str, start: Start) -> Proxy {
    let protocols: &[&[u8]] = if start == Start::PlainLine { &[] } else { &[b"blip/1"] };
    let config = server_config(&authority.server(&["127.0.0.1"]), None, protocols);
    Proxy::start_with(config, behind, start)
}

#[test]
fn every_protocol_is_measured_over_tls_and_every_message_is_checked() {
    let authority = Authority::new("Test CA");
    let broker = broker();
    let nats = broker.nats.expect("NATS is served").to_string();
    for (scheme, behind, start) in [
        ("blips", broker.server(), Start::Hello),
        ("tls", nats.clone(), Start::PlainLine),
        ("tls+first", nats, Start::Hello),
        ("rediss", fakes::redis(), Start::Hello),
    ] {
        let proxy = secured(&authority, &behind, start);
        let url = format!("{scheme}://{}", proxy.addr);
        let ca = ["--tls-ca", authority.file.path()];
        let document = measured(&[&[url.as_str(), "--subs", "3"][..], &ca].concat());
        assert_eq!(document["targets"][0]["target"], url);
        assert_counts(&document["targets"][0]["rounds"][0], 3);
        assert!(!proxy.handshake().is_resumed);
    }
    broker.stop();
}

/// Goal: sizes around records and buffers, batches and idle connections work over TLS too.
#[test]
fn every_shape_is_delivered_over_tls() {
    let authority = Authority::new("Test CA");
    let broker = broker();
    let proxy = secured(&authority, &broker.server(), Start::Hello);
    let url = format!("blips://{}", proxy.addr);
    let rows: [(&[&str], u64); 3] = [
        (&["--pubs", "2", "--subs", "4", "--topics", "2", "--threads", "2"], 2),
        (&["--batch", "7", "--subs", "2", "--size", "16"], 2),
        (&["--size", "300000", "--window", "8", "--patterns", "300", "--idle-conns", "2"], 1),
    ];
    for (words, subscribers) in rows {
        let ca = ["--tls-ca", authority.file.path()];
        let document = measured(&[&[url.as_str()], words, &ca].concat());
        assert_counts(&document["targets"][0]["rounds"][0], subscribers);
    }
    broker.stop();
}

#[test]
fn lost_messages_are_found_over_tls() {
    let authority = Authority::new("Test CA");
    let proxy = secured(&authority, &fakes::nats(Fault::Drop), Start::PlainLine);
    let url = format!("tls://{}", proxy.addr);
    let ca = ["--tls-ca", authority.file.path()];
    let output = bench(&[&[url.as_str()], &SHORT[..], &ca].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 message missing"), "{}", stderr(&output));
}

#[test]
fn servers_that_are_not_trusted_or_have_no_tls_are_reported_in_one_line() {
    let authority = Authority::new("Test CA");
    let broker = broker();
    let proxy = secured(&authority, &broker.server(), Start::Hello);
    let other = Authority::new("Other CA");
    let (trusted, untrusted) = (authority.file.path(), other.file.path());
    let nats = broker.nats.expect("NATS is served");
    let blip = format!("blip://{}", broker.addr);
    for (url, words, expected) in [
        (format!("blips://{}", proxy.addr), &["--tls-ca", untrusted][..], "does not trust"),
        (format!("blips://{}", broker.addr), &["--tls-ca", trusted], "does not speak TLS"),
        (format!("tls://{nats}"), &["--tls-ca", trusted], "does not speak TLS"),
        (blip, &["--tls"], "is without TLS"),
    ] {
        let output = bench(&[&[url.as_str()], words, &SHORT[..]].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with("blipmq: ") && text.lines().count() == 1, "{text}");
        assert!(text.contains(&url) && text.contains(expected), "{text}");
    }
}

#[test]
fn server_that_requires_certificates_is_measured_with_one_and_refuses_without() {
    let authority = Authority::new("Test CA");
    let broker = broker();
    let identity = authority.server(&["127.0.0.1"]);
    let config = server_config(&identity, Some(&authority), &[b"blip/1"]);
    let proxy = Proxy::start(config, &broker.server());
    let (url, alice) = (format!("blips://{}", proxy.addr), authority.client("alice"));
    let words = [url.as_str(), "--tls-ca", authority.file.path()];
    let pair = ["--tls-cert", alice.certificate.path(), "--tls-key", alice.key.path()];
    let document = measured(&[&words[..], &pair].concat());
    assert_counts(&document["targets"][0]["rounds"][0], 1);
    let text = stderr(&bench(&[&words[..], &SHORT].concat()));
    assert!(text.contains("requires a certificate of the client"), "{text}");
    broker.stop();
}

#[test]
fn connects_are_full_handshakes_unless_sessions_are_resumed() {
    let authority = Authority::new("Test CA");
    let broker = broker();
    let proxy = secured(&authority, &broker.server(), Start::Hello);
    let (url, pid) = (format!("blips://{}", proxy.addr), broker.pid().to_string());
    for resume in [false, true] {
        let words = ["connects", "--connects", "5", "--pid", &pid, "--json", &url];
        let more = ["--tls-ca", authority.file.path(), "--resume"];
        let more = &more[..if resume { 3 } else { 2 }];
        let output = bench(&[&words[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let document = crate::document(&output);
        assert_eq!(document["parameters"]["connects"], 5);
        let median = &document["targets"][0]["median"];
        assert!(median["connects_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{median:#}");
        let resumed: Vec<bool> = (0..5).map(|_| proxy.handshake().is_resumed).collect();
        assert_eq!(resumed, [false, resume, resume, resume, resume]);
    }
    broker.stop();
}
