//! Names in a certificate: those of a server, and those of a client.
//!
//! Called by `certificates` for the broker's own files, and after a handshake for certificates that
//! rustls has checked. Nothing here decides whether a certificate is to be trusted.

use x509_cert::Certificate;
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

/// The alternative names of the subject; none if they cannot be parsed.
fn alternative_names(certificate: &Certificate) -> Vec<GeneralName> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    names.ok().flatten().map(|(_, names)| names.0).unwrap_or_default()
}
