//! `[tls]` in every notation, and each mistake with its exact text.

use crate::config::tls::CertificateFiles;
use crate::config::{ClientCerts, NatsHandshakeFirst, Settings, Tls, TlsMode, TlsVersion};

/// The least that TLS needs.
const PAIR: &str = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n";

fn tls_of(text: &str) -> Tls {
    Settings::parse("blipmq.toml", text).unwrap_or_else(|error| panic!("{text}\n{error}")).tls
}

#[track_caller]
fn assert_texts(rows: &[(&str, &str)]) {
    for (keys, words) in rows {
        let text = format!("{PAIR}{keys}");
        let error = Settings::parse("blipmq.toml", &text).expect_err(&text).to_string();
        assert_eq!(error, *words, "{text}");
    }
}

#[test]
fn every_key_of_tls_is_read() {
    let text = format!(
        "{PAIR}client_ca_file = \"ca.pem\"\nclient_certs = \"optional\"\ncrl_file = \"crl.pem\"\n\
         min_version = \"1.3\"\nblip = \"optional\"\nnats = \"off\"\nnats_handshake_first = \
         \"always\"\nhandshake_timeout_ms = 1\nrecord_bytes = 512\n[[tls.certificates]]\ncert_file = \
         \"b.pem\"\nkey_file = \"b.key\"\n[[tls.certificates]]\ncert_file = \"c.pem\"\nkey_file = \
         \"c.pem\"\n"
    );
    let files = |cert: &str, key: &str| CertificateFiles {
        cert_file: cert.to_owned(),
        key_file: key.to_owned(),
    };
    let expected = Tls {
        cert_file: Some("a.pem".to_owned()),
        key_file: Some("a.key".to_owned()),
        client_ca_file: Some("ca.pem".to_owned()),
        client_certs: ClientCerts::Optional,
        crl_file: Some("crl.pem".to_owned()),
        min_version: TlsVersion::V1_3,
        blip: TlsMode::Optional,
        nats: TlsMode::Off,
        nats_handshake_first: NatsHandshakeFirst::Always,
        handshake_timeout_ms: 1,
        record_bytes: 512,
        certificates: vec![files("b.pem", "b.key"), files("c.pem", "c.pem")],
    };
    assert_eq!(tls_of(&text), expected);
    let inline = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\ncertificates = [{ cert_file = \
                  \"b.pem\", key_file = \"b.key\" }]\n";
    assert_eq!(tls_of(inline).certificates, [files("b.pem", "b.key")]);
}

#[test]
fn without_a_certificate_nothing_is_encrypted_and_with_one_everything() {
    for (text, is_configured, mode) in [
        ("", false, TlsMode::Off),
        ("[tls]\n", false, TlsMode::Off),
        (PAIR, true, TlsMode::Required),
    ] {
        let tls = tls_of(text);
        assert_eq!(tls.is_configured(), is_configured, "{text}");
        assert_eq!((tls.blip_mode(), tls.nats_mode()), (mode, mode), "{text}");
    }
}

#[test]
fn a_key_of_tls_without_a_certificate_is_refused_because_its_author_expects_tls() {
    for (text, line, key) in [
        ("[tls]\nkey_file = \"a.key\"\n", 2, "key_file"),
        ("[tls]\nblip = \"required\"\n", 2, "blip"),
        ("[tls]\n\nrecord_bytes = 16384\nmin_version = \"1.2\"\n", 3, "record_bytes"),
        ("[[tls.certificates]]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n", 1, "certificates"),
    ] {
        let error = Settings::parse("blipmq.toml", text).expect_err(text).to_string();
        let claim = format!(
            "blipmq.toml:{line}: [tls] {key} has no effect without cert_file, and clients would talk \
             in plain text; add cert_file = \"...\" and key_file = \"...\", or remove the table"
        );
        assert_eq!(error, claim, "{text}");
    }
}

#[test]
fn keys_of_tls_that_need_each_other_are_one_line_that_says_what_to_add_or_remove() {
    assert_texts(&[
        (
            "client_certs = \"required\"\n",
            "blipmq.toml:4: [tls] client_certs = \"required\" has no client_ca_file, so no \
             certificate of a client could be checked; add client_ca_file = \"...\" with the \
             authorities that sign them",
        ),
        (
            "client_ca_file = \"ca.pem\"\n",
            "blipmq.toml:4: [tls] client_ca_file has no effect, because clients are not asked for \
             certificates; set client_certs = \"required\" or \"optional\", or remove client_ca_file",
        ),
        (
            "crl_file = \"crl.pem\"\n",
            "blipmq.toml:4: [tls] crl_file has no effect, because clients are not asked for \
             certificates; set client_certs = \"required\" or \"optional\", or remove crl_file",
        ),
    ]);
    let error = Settings::parse("blipmq.toml", "[tls]\ncert_file = \"a.pem\"\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "blipmq.toml:2: [tls] cert_file has no key_file; add key_file = \"...\" with the private key \
         of the certificate: it may be the same file"
    );
}

#[test]
fn a_mistake_in_a_certificate_is_one_line_that_says_what_to_do() {
    assert_texts(&[
        (
            "crl_file = \"\"\n",
            "blipmq.toml:4: [tls] crl_file = \"\": the path is empty; write the path of a file, or \
             remove the line",
        ),
        (
            "min_version = \"1.1\"\n",
            "blipmq.toml:4: [tls] min_version = \"1.1\" must be \"1.2\" or \"1.3\"",
        ),
        (
            "certificates = \"b.pem\"\n",
            "blipmq.toml:4: [tls] certificates must be tables; write [[tls.certificates]] on a line \
             of its own for each certificate, and its keys below",
        ),
        (
            "certificates = [\"b.pem\"]\n",
            "blipmq.toml:4: [tls] certificates must be tables; write [[tls.certificates]] on a line \
             of its own for each certificate, and its keys below",
        ),
        (
            "[[tls.certificates]]\ncert_file = \"b.pem\"\n",
            "blipmq.toml:4: [[tls.certificates]] has no key_file; add key_file = \"other.key\"",
        ),
        (
            "[[tls.certificates]]\ncert_file = \"b.pem\"\nkey = \"b.key\"\n",
            "blipmq.toml:6: [[tls.certificates]] key is not a known key; did you mean key_file?",
        ),
        (
            "[[tls.certificates]]\nserver_name = \"b\"\n",
            "blipmq.toml:5: [[tls.certificates]] server_name is not a known key; known keys: \
             cert_file, key_file",
        ),
        (
            "[[tls.certificates]]\ncert_file = 5\n",
            "blipmq.toml:5: [[tls.certificates]] cert_file is an integer, must be the path of a file \
             in quotes",
        ),
        (
            "[[tls.certificates]]\ncert_file = \"\"\n",
            "blipmq.toml:5: [[tls.certificates]] cert_file: the path is empty; write the path of a \
             file, or remove the line",
        ),
        (
            "certificate = \"b.pem\"\n",
            "blipmq.toml:4: [tls] certificate is not a known key; did you mean certificates?",
        ),
    ]);
}

#[test]
fn printed_certificates_parse_again_and_their_printed_example_does_once_it_is_uncommented() {
    let text = format!(
        "{PAIR}min_version = \"1.3\"\n[[tls.certificates]]\ncert_file = 'b \"c\" \\ d'\nkey_file = \
         \"b.key\"\n"
    );
    let settings = Settings::parse("blipmq.toml", &text).unwrap();
    assert_eq!(Settings::parse("printed", &settings.to_string()), Ok(settings));

    let printed = Settings::parse("blipmq.toml", PAIR).unwrap().to_string();
    let example: String = printed
        .lines()
        .skip_while(|line| *line != "# [[tls.certificates]]")
        .take_while(|line| line.starts_with("# "))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .collect();
    assert_eq!(tls_of(&format!("{PAIR}{example}")).certificates.len(), 1, "{example}");
}
