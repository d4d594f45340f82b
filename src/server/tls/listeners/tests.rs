//! What a client gets from a listener, in whole handshakes.

use std::time::SystemTime;

use rcgen::SanType;
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ServerConnection};

use super::*;
use crate::server::tls::testing::{Authority, Folder, Pair, settings, shake};

mod pages;

const BOTH: [Protocol; 2] = [Protocol::Blip, Protocol::Nats];

/// A folder with a certificate and its key as `a.pem` and `a.key`, and the authority as `ca.pem`.
fn folder() -> (Folder, Authority) {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.write_pair("a", &authority.server(&["localhost"]));
    folder.write("ca.pem", authority.pem());
    (folder, authority)
}

#[track_caller]
fn read(folder: &Folder, keys: &str, before: Option<&Active>) -> Active {
    let active = Active::read(&settings(keys), &folder.0, &BOTH, before);
    active.unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

fn terms_of(active: &Active, index: usize) -> &Terms {
    active.listeners[index].as_ref().expect("this listener has TLS")
}

/// The server's end after a handshake at a listener.
fn connect(
    active: &Active,
    index: usize,
    client: &Arc<ClientConfig>,
) -> Result<ServerConnection, rustls::Error> {
    shake(&terms_of(active, index).config, client, "localhost").map(|(server, _)| server)
}

fn client(authority: &Authority, version: TlsVersion, own: Option<&Pair>) -> Arc<ClientConfig> {
    let versions = match version {
        TlsVersion::V1_2 => [&TLS12],
        TlsVersion::V1_3 => [&TLS13],
    };
    Arc::new(authority.trusting(&versions, own))
}

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];
const REQUIRED: &str = "client_certs = \"required\"\nclient_ca_file = \"ca.pem\"\n";

#[test]
fn a_listener_has_terms_unless_it_is_off_and_they_are_those_of_the_settings() {
    let (folder, _) = folder();
    let active = read(&folder, "", None);
    let (blip, nats) = (terms_of(&active, 0), terms_of(&active, 1));
    assert_eq!((blip.need, nats.need), (Need::Required, Need::Required));
    assert_eq!(blip.first, HandshakeFirst::Always);
    assert_eq!(nats.first, HandshakeFirst::Auto(Duration::from_millis(50)));
    assert_eq!(blip.client_certificates, ClientCertificates::None);
    assert_eq!(blip.handshake_timeout_ns, 5_000_000_000);
    assert_eq!(blip.record_bytes, 16_384);

    let keys = format!(
        "{REQUIRED}blip = \"off\"\nnats = \"optional\"\nnats_handshake_first = \"never\"\nrecord_bytes = \
         512\nhandshake_timeout_ms = 7\n"
    );
    let active = read(&folder, &keys, None);
    assert!(active.listeners[0].is_none());
    let nats = terms_of(&active, 1);
    assert_eq!((nats.need, nats.first), (Need::Optional, HandshakeFirst::Never));
    assert_eq!(nats.client_certificates, ClientCertificates::Required);
    assert_eq!((nats.handshake_timeout_ns, nats.record_bytes), (7_000_000, 512));

    let none = Active::read(&Settings::default(), &folder.0, &BOTH, None);
    let none = none.unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    assert!(none.listeners.len() == 2 && none.listeners.iter().all(Option::is_none));
}

#[test]
fn both_versions_are_spoken_unless_the_older_is_excluded() {
    let (folder, authority) = folder();
    let (old, new) = (VERSIONS[0], VERSIONS[1]);
    for (keys, version, is_served) in [
        ("", old, true),
        ("", new, true),
        ("min_version = \"1.3\"\n", old, false),
        ("min_version = \"1.3\"\n", new, true),
    ] {
        let active = read(&folder, keys, None);
        let served = connect(&active, 0, &client(&authority, version, None));
        assert_eq!(served.is_ok(), is_served, "{keys} {version:?}");
    }
}

/// AES-GCM ends a connection of TLS 1.2 after 2^24 records.
#[test]
fn in_tls_1_2_chacha20_is_chosen_although_the_client_prefers_aes() {
    let (folder, authority) = folder();
    let active = read(&folder, "", None);
    for (version, chosen) in [
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
    ] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| {
            let name = format!("{:?}", suite.suite());
            (name.contains("CHACHA20"), name.contains("AES_128"))
        });
        let config = authority.trusting_with(provider, &[version], None);
        let server = connect(&active, 1, &Arc::new(config)).expect("a common suite");
        assert_eq!(server.negotiated_cipher_suite().map(|suite| suite.suite()), Some(chosen));
    }
}

#[test]
fn a_client_that_names_another_protocol_is_refused_at_the_blip_listener_alone() {
    let (folder, authority) = folder();
    let active = read(&folder, "", None);
    for (alpn, at_blip) in [(None, true), (Some("blip/1"), true), (Some("http/1.1"), false)] {
        let mut config = authority.trusting(&[&TLS13], None);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        assert_eq!(connect(&active, 0, &config).is_ok(), at_blip, "{alpn:?}");
        let nats = connect(&active, 1, &config).expect("NATS clients may name anything");
        assert_eq!(nats.alpn_protocol(), None);
    }
}

#[test]
fn the_certificate_is_chosen_by_the_name_the_client_asks_for() {
    let (folder, authority) = folder();
    folder.write_pair("b", &authority.server(&["b.example", "*.wild.example"]));
    let keys = "[[tls.certificates]]\ncert_file = \"b.pem\"\nkey_file = \"b.key\"\n";
    let active = read(&folder, keys, None);
    let config = client(&authority, VERSIONS[1], None);
    let shake = |name| shake(&terms_of(&active, 0).config, &config, name);
    for name in ["localhost", "b.example", "B.Example", "x.wild.example"] {
        shake(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["c.example", "wild.example", "x.y.wild.example"] {
        let error = shake(name).expect_err("the certificate for all others has another name");
        let text = error.to_string();
        assert!(text.contains("not valid for name") && text.contains("localhost"), "{text}");
    }
}

/// A server with an RSA key and an ECDSA key for one name, as for devices that take only one kind.
#[test]
fn of_two_certificates_of_one_name_the_client_gets_that_whose_signature_it_takes() {
    let (folder, authority) = folder();
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let params = crate::server::tls::testing::params("server", &["localhost"]);
    let rsa = authority.issue(params, rsa);
    folder.write_pair("b", &rsa);
    let keys = "[[tls.certificates]]\ncert_file = \"b.pem\"\nkey_file = \"b.key\"\n";
    let active = read(&folder, keys, None);
    let mut provider = provider();
    provider.cipher_suites.retain(|suite| format!("{suite:?}").contains("ECDHE_RSA"));
    let config = authority.trusting_with(provider, &[&TLS12], None);
    let shaken = shake(&terms_of(&active, 0).config, &Arc::new(config), "localhost");
    let (_, shaken) = shaken.expect("the RSA certificate is for this client");
    assert_eq!(shaken.peer_certificates().expect("it has one")[0], rsa.der);
}

#[test]
fn clients_show_the_certificates_that_they_have_to() {
    let (folder, authority) = folder();
    let stranger = Authority::new("stranger");
    let alice = authority.client("alice", vec![]);
    let mallory = stranger.client("mallory", vec![]);
    let optional = REQUIRED.replace("required", "optional");
    for version in VERSIONS {
        for (keys, none, own, foreign) in
            [("", true, true, true), (REQUIRED, false, true, false), (&optional, true, true, false)]
        {
            let active = read(&folder, keys, None);
            let is_served = |pair| connect(&active, 0, &client(&authority, version, pair)).is_ok();
            assert_eq!(is_served(None), none, "{keys} {version:?}");
            assert_eq!(is_served(Some(&alice)), own, "{keys} {version:?}");
            assert_eq!(is_served(Some(&mallory)), foreign, "{keys} {version:?}");
        }
        // A certificate of the same authority that is for servers says nothing about a client.
        let active = read(&folder, REQUIRED, None);
        let mut params = crate::server::tls::testing::params("server", &["localhost"]);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate().expect("a key");
        let server_only = authority.issue(params, key);
        let refused = connect(&active, 0, &client(&authority, version, Some(&server_only)));
        assert!(refused.is_err(), "{version:?}");
    }
}

#[test]
fn a_revoked_client_and_one_without_a_current_list_are_refused() {
    let (folder, authority) = folder();
    let (alice, bob) = (authority.client("alice", vec![]), authority.client("bob", vec![]));
    let keys = format!("{REQUIRED}crl_file = \"crl.pem\"\n");
    let other = Authority::new("other");
    for (list, alice_is_served) in [
        (authority.list(&[&bob], 4000), true),
        // Overdue: nobody knows who was revoked since.
        (authority.list(&[&bob], 2020), false),
        // Of another authority: nobody knows who was revoked.
        (other.list(&[], 4000), false),
    ] {
        folder.write("crl.pem", &list);
        let active = read(&folder, &keys, None);
        for version in VERSIONS {
            let is_served =
                |pair| connect(&active, 0, &client(&authority, version, Some(pair))).is_ok();
            assert_eq!(is_served(&alice), alice_is_served, "{version:?}");
            assert!(!is_served(&bob), "{version:?}");
        }
    }
}

/// A full handshake at one listener, then one with its ticket at another.
fn kind_with_ticket(
    client: &Arc<ClientConfig>,
    first: (&Active, usize),
    second: (&Active, usize),
) -> Result<HandshakeKind, rustls::Error> {
    let full = connect(first.0, first.1, client)?;
    assert_eq!(full.handshake_kind(), Some(HandshakeKind::Full), "there was no ticket before");
    let again = connect(second.0, second.1, client)?;
    Ok(again.handshake_kind().expect("it is over"))
}

#[test]
fn a_ticket_is_good_at_its_own_listener_and_at_no_other() {
    let (folder, authority) = folder();
    let active = read(&folder, "", None);
    for version in VERSIONS {
        let config = || client(&authority, version, None);
        let kind = kind_with_ticket(&config(), (&active, 0), (&active, 0));
        assert_eq!(kind, Ok(HandshakeKind::Resumed), "{version:?}");
        let kind = kind_with_ticket(&config(), (&active, 0), (&active, 1));
        assert_eq!(kind, Ok(HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn a_reload_that_changes_nothing_for_clients_keeps_their_tickets() {
    let (folder, authority) = folder();
    let before = read(&folder, REQUIRED, None);
    // The renewal of the broker's own certificate.
    folder.write_pair("a", &authority.server(&["localhost"]));
    let after = read(&folder, REQUIRED, Some(&before));
    assert!(after.has_other_files(&before));
    let alice = authority.client("alice", vec![SanType::DnsName("alice".try_into().unwrap())]);
    for version in VERSIONS {
        let config = client(&authority, version, Some(&alice));
        let kind = kind_with_ticket(&config, (&before, 0), (&after, 0));
        assert_eq!(kind, Ok(HandshakeKind::Resumed), "{version:?}");
    }
    assert!(!read(&folder, REQUIRED, Some(&after)).has_other_files(&after));
}

/// A ticket skips every check of the client, so none may outlive what was checked.
#[test]
fn a_reload_that_changes_who_may_come_in_ends_all_tickets() {
    let stranger = Authority::new("stranger");
    for version in VERSIONS {
        let (folder, authority) = folder();
        let alice = authority.client("alice", vec![]);
        let crl = format!("{REQUIRED}crl_file = \"crl.pem\"\n");
        folder.write("crl.pem", authority.list(&[], 4000));
        let config = || client(&authority, version, Some(&alice));
        let open = read(&folder, "", None);
        let before = read(&folder, &crl, None);

        // A ticket from the time when nobody had to show a certificate.
        let after = read(&folder, REQUIRED, Some(&open));
        let none = client(&authority, version, None);
        assert!(kind_with_ticket(&none, (&open, 0), (&after, 0)).is_err(), "{version:?}");

        // Revoked meanwhile.
        folder.write("crl.pem", authority.list(&[&alice], 4000));
        let after = read(&folder, &crl, Some(&before));
        assert!(kind_with_ticket(&config(), (&before, 0), (&after, 0)).is_err(), "{version:?}");

        // The authority was replaced.
        folder.write("ca.pem", stranger.pem());
        folder.write("crl.pem", stranger.list(&[], 4000));
        let after = read(&folder, &crl, Some(&before));
        assert!(kind_with_ticket(&config(), (&before, 0), (&after, 0)).is_err(), "{version:?}");
    }
}

#[test]
fn a_reload_that_changes_who_is_whom_ends_all_tickets() {
    let (folder, authority) = folder();
    let alice = authority.client("alice", vec![]);
    let user = |name: &str| {
        format!("{REQUIRED}[[auth.users]]\ncertificate = \"CN={name}\"\npublish = []\n")
    };
    let before = read(&folder, &user("alice"), None);
    let changed = user("alice").replace("[]", "[\"a\"]");
    for (text, kind) in [
        (user("alice"), HandshakeKind::Resumed),
        // What a user may do is looked up at each login.
        (changed, HandshakeKind::Resumed),
        (user("bob"), HandshakeKind::Full),
        (REQUIRED.to_owned(), HandshakeKind::Full),
    ] {
        let after = read(&folder, &text, Some(&before));
        for version in VERSIONS {
            let config = client(&authority, version, Some(&alice));
            assert_eq!(kind_with_ticket(&config, (&before, 0), (&after, 0)), Ok(kind), "{text}");
        }
    }
}

#[test]
fn no_record_is_longer_than_configured() {
    let (folder, authority) = folder();
    for record_bytes in [512, 4_096, 16_384] {
        let active = read(&folder, &format!("record_bytes = {record_bytes}\n"), None);
        for version in VERSIONS {
            let config = client(&authority, version, None);
            let mut server = connect(&active, 0, &config).expect("a handshake");
            server.set_buffer_limit(None);
            std::io::Write::write_all(&mut server.writer(), &[7; 40_000]).expect("no limit");
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("a vector takes all");
            }
            let (mut rest, mut longest) = (bytes.as_slice(), 0);
            while let [_, _, _, high, low, ..] = *rest {
                let len = usize::from(u16::from_be_bytes([high, low]));
                longest = longest.max(len);
                rest = &rest[5 + len..];
            }
            // The tag of the cipher, and in TLS 1.3 the type.
            assert!((16..=24).contains(&(longest - record_bytes)), "{longest} {version:?}");
        }
    }
}

#[test]
fn what_expires_is_told_in_time_and_by_its_file() {
    let (folder, authority) = folder();
    let mut params = crate::server::tls::testing::params("soon", &["localhost"]);
    params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 3, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    folder.write_pair("a", &authority.issue(params, key));
    // An expired one still starts.
    let active = read(&folder, "", None);
    let [dated] = active.dated.as_slice() else { panic!("{:?}", active.dated) };
    assert_eq!(dated.not_after_unix_s(), 1_898_553_600);
    let day = 86_400;
    let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_898_553_600 - days * day);
    let warning = |now| dated.warning(now);
    use crate::server::tls::expiry::Urgency::{Soon, Urgent};
    assert_eq!(warning(at(31)), None);
    for (days, urgency, claim) in [
        (30, None, ""),
        (29, Some(Soon), "expires in 29 days, at 2030-03-01T00:00:00Z"),
        (7, Some(Soon), "expires in 7 days"),
        (6, Some(Urgent), "expires in 6 days"),
        (0, Some(Urgent), "expired, and clients refuse it since 2030-03-01T00:00:00Z"),
        (
            90,
            Some(Urgent),
            "is not valid before 2030-01-01T00:00:00Z; is the clock of this machine right?",
        ),
    ] {
        let warning = warning(at(days));
        assert_eq!(warning.as_ref().map(|(urgency, _)| *urgency), urgency, "{days} {warning:?}");
        let text = warning.map_or(String::new(), |(_, text)| text);
        assert!(text.contains(claim), "{days}: {text}");
        if urgency.is_some() {
            assert!(text.contains("a.pem\": the certificate of CN=soon "), "{text}");
            assert!(text.ends_with("; replace the file, then `blipmq reload`"), "{text}");
        }
    }
}
