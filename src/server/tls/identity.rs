//! Names in a certificate: those of a server, and those of a client.
//!
//! Called by `certificates` for the broker's own files, and after a handshake for certificates that
//! rustls has checked. Nothing here decides whether a certificate is to be trusted.

use blipmq::broker::security::CertifiedNames;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The DNS names of a server's certificate.
pub fn names_of_server(certificate: &Certificate) -> Vec<String> {
    let dns_name = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    };
    alternative_names(certificate).into_iter().filter_map(dns_name).collect()
}

/// Whether a server's certificate has any name that clients look for: a DNS name or an IP address.
pub fn has_names(certificate: &Certificate) -> bool {
    let is_name =
        |name: &GeneralName| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
    alternative_names(certificate).iter().any(is_name)
}

/// Why a client is nobody, although its certificate was once checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoIdentity {
    /// The certificate has no names that can be parsed.
    Unreadable,
    /// The certificate has expired since the handshake that a ticket resumed.
    Expired,
}

/// The names of a client, from the first certificate of a chain that rustls has checked, now or in the
/// handshake that the client's ticket comes from.
pub fn names_of_client(
    certificate: &CertificateDer<'_>,
    now_unix_s: u64,
) -> Result<CertifiedNames, NoIdentity> {
    let certificate = Certificate::from_der(certificate).map_err(|_| NoIdentity::Unreadable)?;
    let tbs = certificate.tbs_certificate();
    if tbs.validity().not_after.to_unix_duration().as_secs() <= now_unix_s {
        return Err(NoIdentity::Expired);
    }
    let key = tbs.subject_public_key_info().to_der().map_err(|_| NoIdentity::Unreadable)?;
    let mut names = CertifiedNames {
        emails: vec![],
        dns: vec![],
        uris: vec![],
        subject: tbs.subject().to_string(),
        public_key_sha256: Sha256::digest(key).into(),
    };
    for name in alternative_names(&certificate) {
        match name {
            GeneralName::Rfc822Name(email) => names.emails.push(email.as_str().to_owned()),
            GeneralName::DnsName(name) => names.dns.push(name.as_str().to_owned()),
            GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.as_str().to_owned()),
            _ => {}
        }
    }
    Ok(names)
}

/// The alternative names of the subject; none if they cannot be parsed.
fn alternative_names(certificate: &Certificate) -> Vec<GeneralName> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    names.ok().flatten().map(|(_, names)| names.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use blipmq::distinguished_name::DistinguishedName;
    use rcgen::{DnType, KeyPair, PublicKeyData, SanType};

    use super::*;
    use crate::server::tls::testing::{Authority, params};

    fn name<T: TryFrom<String>>(text: &str) -> T {
        T::try_from(text.to_owned()).ok().expect("a name of IA5")
    }

    #[test]
    fn a_client_has_the_names_and_the_key_of_its_certificate() {
        let names = vec![
            SanType::Rfc822Name(name("alice@example.com")),
            SanType::DnsName(name("app.example.com")),
            SanType::URI(name("spiffe://example.com/app")),
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::Rfc822Name(name("al@example.com")),
        ];
        let pair = Authority::new("root").client("alice", names);
        let names = names_of_client(&pair.der, 0).expect("a certificate");
        assert_eq!(names.emails, ["alice@example.com", "al@example.com"]);
        assert_eq!(names.dns, ["app.example.com"]);
        assert_eq!(names.uris, ["spiffe://example.com/app"]);
        assert_eq!(
            names.public_key_sha256[..],
            Sha256::digest(pair.key.subject_public_key_info())[..]
        );
    }

    /// Whatever characters a subject has, its text is that subject again, and no other one.
    #[test]
    fn a_subject_is_written_as_it_is_configured() {
        for (common_name, text) in [
            ("bob", "CN=bob,OU=eng,O=Acme,C=DE"),
            ("bob, O=Evil", "CN=bob\\, O=Evil,OU=eng,O=Acme,C=DE"),
            (" \u{fc}ber+\"<>; #", "CN=\\ \u{fc}ber\\+\\\"\\<\\>\\; #,OU=eng,O=Acme,C=DE"),
            ("#0403666f6f", "CN=\\#0403666f6f,OU=eng,O=Acme,C=DE"),
            ("a\\b", "CN=a\\\\b,OU=eng,O=Acme,C=DE"),
        ] {
            let mut params = params("", &[]);
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CountryName, "DE");
            params.distinguished_name.push(DnType::OrganizationName, "Acme");
            params.distinguished_name.push(DnType::OrganizationalUnitName, "eng");
            params.distinguished_name.push(DnType::CommonName, common_name);
            let pair = Authority::new("root").issue(params, KeyPair::generate().expect("a key"));
            let names = names_of_client(&pair.der, 0).expect("a certificate");
            let subject = DistinguishedName::parse(&names.subject);
            assert!(subject.is_some(), "{}", names.subject);
            assert_eq!(subject, DistinguishedName::parse(text), "{}", names.subject);
        }
    }

    /// A ticket is good for half a day, in which a certificate may expire.
    #[test]
    fn a_client_whose_certificate_has_expired_is_nobody() {
        let mut params = params("alice", &[]);
        params.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let pair = Authority::new("root").issue(params, KeyPair::generate().expect("a key"));
        let end = 1_898_553_600;
        assert!(names_of_client(&pair.der, end - 1).is_ok());
        assert_eq!(names_of_client(&pair.der, end), Err(NoIdentity::Expired));
        let broken = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(names_of_client(&broken, 0), Err(NoIdentity::Unreadable));
    }
}
