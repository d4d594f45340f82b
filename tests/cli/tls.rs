//! The client commands over TLS: flags, environment variables, and what is never done in their place.

use crate::support::authority::{Authority, server_config};
use crate::support::broker::Broker;
use crate::support::running::{Broker as Running, TempFile, allowed_cores, blipmq};
use crate::support::tls_proxy::Proxy;
use crate::{assert_fails, assert_status, run, stderr};

/// A broker behind TLS that accepts any client, or only those with a certificate of `authority`.
fn secured(authority: &Authority, requires_certificates: bool) -> (Broker, Proxy) {
    let broker = Broker::start();
    let clients = requires_certificates.then_some(authority);
    let config = server_config(&authority.server(&["127.0.0.1"]), clients, &[b"blip/1"]);
    let proxy = Proxy::start(config, &broker.addr);
    (broker, proxy)
}

#[test]
fn every_way_to_ask_for_tls_reaches_the_broker_over_tls() {
    let authority = Authority::new("Test CA");
    let (_broker, proxy) = secured(&authority, false);
    let (ca, url) = (authority.file.path(), format!("blips://{}", proxy.addr));
    let by_url = run(&["pub", "a", "1", "--server", &url, "--tls-ca", ca]);
    assert_status(&by_url, 0);
    let by_ca = run(&["pub", "a", "2", "--server", &proxy.addr, "--tls-ca", ca]);
    assert_status(&by_ca, 0);
    let mut by_environment = blipmq(&["pub", "a", "3"]);
    by_environment.env("BLIPMQ_SERVER", &proxy.addr).env("BLIPMQ_TLS", "1");
    assert_status(&by_environment.env("BLIPMQ_TLS_CA", ca).output().unwrap(), 0);
    for _ in 0..3 {
        assert_eq!(proxy.handshake().protocol.as_deref(), Some(&b"blip/1"[..]));
    }
    let words = ["sub", "a", "--last", "3", "--count", "3"];
    let received = run(&[&words[..], &["--server", &url, "--tls-ca", ca]].concat());
    assert_status(&received, 0);
    assert_eq!(received.stdout, b"1\n2\n3\n");
}

#[test]
fn certificate_and_key_are_presented_and_a_name_can_differ_from_the_host() {
    let authority = Authority::new("Test CA");
    let (_broker, proxy) = secured(&authority, true);
    let alice = authority.client("alice");
    let words = ["pub", "a", "1", "--server", &proxy.addr, "--tls-ca", authority.file.path()];
    assert_fails(&run(&words), "--tls-cert and --tls-key");
    let pair = ["--tls-cert", alice.certificate.path(), "--tls-key", alice.key.path()];
    assert_status(&run(&[&words[..], &pair].concat()), 0);
    assert!(proxy.handshake().has_certificate);
    let named = run(&[&words[..], &pair, &["--tls-name", "elsewhere.test"]].concat());
    assert_fails(&named, "not for elsewhere.test");
    let without_key = run(&[&words[..], &pair[..2]].concat());
    assert_status(&without_key, 2);
}

#[test]
fn command_that_asks_for_tls_never_connects_without_it() {
    let broker = Broker::start();
    for words in [&["--tls"][..], &["--tls-name", "x.test"]] {
        let words = [&["pub", "a", "1", "--server", &broker.addr], words].concat();
        let output = run(&words);
        // Systems without authorities fail before they connect.
        let text = stderr(&output);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("does not speak TLS") || text.contains("ca-certificates"), "{text}");
    }
    let plain = format!("blip://{}", broker.addr);
    assert_fails(&run(&["pub", "a", "1", "--server", &plain, "--tls"]), "is without TLS");
    assert_status(&run(&["pub", "a", "1", "--server", &plain]), 0);
}

#[test]
fn secrets_are_logged_only_to_the_file_that_the_variable_names_and_stderr_says_so() {
    let authority = Authority::new("Test CA");
    let (_broker, proxy) = secured(&authority, false);
    let secrets = TempFile::new("secrets.txt", b"");
    let words = ["pub", "a", "1", "--server", &proxy.addr, "--tls-ca", authority.file.path()];
    let output = blipmq(&words).env("SSLKEYLOGFILE", &secrets.0).output().unwrap();
    assert_status(&output, 0);
    assert!(stderr(&output).contains(secrets.path()), "{}", stderr(&output));
    let text = std::fs::read_to_string(&secrets.0).unwrap();
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), "{text}");
    let output = run(&words);
    assert_status(&output, 0);
    assert!(stderr(&output).is_empty());
    assert_eq!(std::fs::read_to_string(&secrets.0).unwrap(), text);
}

#[test]
fn admin_pages_are_read_over_https_from_a_server_that_is_trusted() {
    let authority = Authority::new("Test CA");
    let broker = Running::start(&allowed_cores()[0].to_string());
    let config = server_config(&authority.server(&["127.0.0.1"]), None, &[b"http/1.1"]);
    let proxy = Proxy::start(config, &broker.metrics.expect("pages").to_string());
    let url = format!("https://{}", proxy.addr);
    let top = |address: &str, more: &[&str]| {
        run(&[&["top", "--once", "--interval", "100ms", "--metrics", address], more].concat())
    };
    let ca = ["--tls-ca", authority.file.path()];
    for address in [&url, &proxy.addr] {
        let output = top(address, &ca);
        assert_status(&output, 0);
        assert!(String::from_utf8_lossy(&output.stdout).contains(" ready, "));
        assert_eq!(proxy.handshake().protocol.as_deref(), Some(&b"http/1.1"[..]));
    }
    let other = Authority::new("Other CA");
    assert_fails(&top(&url, &["--tls-ca", other.file.path()]), "does not trust");
    let plain = broker.metrics.expect("pages").to_string();
    assert_fails(&top(&plain, &ca), "does not speak TLS");
    assert_fails(&top(&format!("http://{plain}"), &["--tls"]), "is without TLS");
}
