//! What a client gets from the admin pages, in whole handshakes.

use super::*;

/// Goal: whoever scrapes the pages needs no certificate, and no ticket of theirs is good elsewhere.
#[test]
fn the_pages_have_terms_of_their_own_that_ask_for_no_certificate() {
    let (folder, authority) = folder();
    let secure = format!("{REQUIRED}[metrics]\ntls = true\n");
    assert!(read(&folder, REQUIRED, None).pages.is_none());
    let active = read(&folder, &secure, None);
    let pages = active.pages.clone().expect("they have TLS");
    assert_eq!(pages.alpn_protocols, [b"http/1.1"]);
    for version in VERSIONS {
        let client = client(&authority, version, None);
        let kind = |config: &Arc<ServerConfig>| {
            shake(config, &client, "localhost").map(|(server, _)| server.handshake_kind())
        };
        assert_eq!(kind(&pages), Ok(Some(HandshakeKind::Full)));
        assert_eq!(kind(&pages), Ok(Some(HandshakeKind::Resumed)));
        let after = read(&folder, &secure, Some(&active)).pages.expect("they have TLS");
        assert_eq!(kind(&after), Ok(Some(HandshakeKind::Resumed)), "nothing has changed");
        kind(&terms_of(&active, 0).config).expect_err("clients of messages need a certificate");
    }
    let newer = format!("min_version = \"1.3\"\n{secure}");
    let newer = read(&folder, &newer, Some(&active)).pages.expect("they have TLS");
    shake(&newer, &client(&authority, TlsVersion::V1_2, None), "localhost").expect_err("too old");
}
