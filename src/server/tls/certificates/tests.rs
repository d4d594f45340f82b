//! Every wrong file, and what is said of it.

mod keys;

use rcgen::{KeyPair, RsaKeySize};

use super::*;
use crate::server::tls::testing::{Authority, Folder, params, settings};

/// A folder with a certificate and its key as `a.pem` and `a.key`.
fn folder() -> (Folder, Authority) {
    let (folder, authority) = (Folder::new(), Authority::new("root"));
    folder.write_pair("a", &authority.server(&["localhost"]));
    (folder, authority)
}

/// What is said of each file, without its path.
#[track_caller]
fn faults(folder: &Folder, keys: &str) -> Vec<String> {
    match Certificates::read(&settings(keys), &folder.0) {
        Ok(_) => panic!("was accepted"),
        Err(wrong) => {
            let texts = wrong.iter().map(ToString::to_string);
            let path = format!("{}/", folder.0.display());
            texts.map(|text| text.replace(&path, "")).collect()
        }
    }
}

#[track_caller]
fn only_fault(folder: &Folder, keys: &str) -> String {
    let mut faults = faults(folder, keys);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.remove(0)
}

#[track_caller]
fn accepted(folder: &Folder, keys: &str) -> Certificates {
    match Certificates::read(&settings(keys), &folder.0) {
        Ok(certificates) => certificates.expect("TLS is configured"),
        Err(wrong) => panic!("{}", wrong[0]),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A value of DER, of less than 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let [high, low] = (inside.len() as u16).to_be_bytes();
    let len: &[u8] = match inside.len() {
        0..128 => &[low],
        128..256 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag][..], len, &inside].concat()
}

#[test]
fn without_tls_no_file_is_read() {
    let none = Certificates::read(&Settings::default(), Path::new("/nowhere"));
    assert!(none.is_ok_and(|certificates| certificates.is_none()));
}

#[test]
fn every_kind_of_key_that_clients_know_is_accepted_in_every_form() {
    let (folder, authority) = folder();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    for key in [
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        rsa,
    ] {
        let pair = authority.issue(params("server", &["localhost"]), key);
        folder.write_pair("a", &pair);
        accepted(&folder, "");
        folder.write("a.key", pair.key.serialize_pem().replace('\n', "\r\n"));
        accepted(&folder, "");
        // A chain, and everything in one file with words between.
        let all =
            format!("key\n{}chain\n{}{}", pair.key.serialize_pem(), pair.pem, authority.pem());
        folder.write("a.pem", &all);
        folder.write("a.key", &all);
        assert_eq!(accepted(&folder, "").dated.len(), 2);
    }
}

#[test]
fn a_file_that_is_absent_or_empty_or_no_file_is_named() {
    let (folder, _) = folder();
    let absent = folder.0.join("a.key");
    std::fs::remove_file(&absent).unwrap();
    assert_eq!(
        only_fault(&folder, ""),
        "[tls] key_file = \"a.key\": there is no such file; a relative path begins at the folder of the \
         configuration file"
    );
    std::fs::create_dir(&absent).unwrap();
    assert_eq!(
        only_fault(&folder, ""),
        "[tls] key_file = \"a.key\": is not a file; write the path of a file"
    );
    std::fs::remove_dir(&absent).unwrap();
    for content in ["", " \n\r\n"] {
        folder.write("a.key", content);
        assert_eq!(only_fault(&folder, ""), "[tls] key_file = \"a.key\": is empty; write it again");
    }
}

#[test]
fn a_file_that_is_not_pem_gets_the_command_that_converts_it() {
    let (folder, authority) = folder();
    let pair = authority.server(&["localhost"]);
    let pkcs12 = der(0x30, &[&[2, 1, 3], &der(0x30, &[])]);
    let utf16: Vec<u8> = pair.pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, claim) in [
        (
            pair.der.to_vec(),
            "is binary (DER), but has to be PEM; convert it with `openssl x509 -inform DER -in a.pem -out NEW`",
        ),
        (
            pkcs12,
            "is PKCS#12, but has to be PEM; convert it with `openssl pkcs12 -in a.pem -nokeys -nodes -out NEW`",
        ),
        (
            [b"\xef\xbb\xbf", pair.pem.as_bytes()].concat(),
            "begins with a byte order mark; save it as plain ASCII, such as by `tail -c +4 a.pem > NEW`",
        ),
        (
            [b"\xff\xfe".to_vec(), utf16].concat(),
            "is UTF-16; save it as plain ASCII, such as by `iconv -f UTF-16 -t ASCII a.pem > NEW`",
        ),
        (b"hello".to_vec(), "has no certificate and no other PEM; write the path of a PEM file"),
        (
            pair.pem.replace("-----END", "-----").into_bytes(),
            "is not valid PEM: a section has no END line; copy the file again",
        ),
        (
            pair.pem.replacen("\nM", "\n*M", 1).into_bytes(),
            "is not valid PEM: a section is not base64; copy the file again",
        ),
    ] {
        folder.write("a.pem", content);
        assert_eq!(only_fault(&folder, ""), format!("[tls] cert_file = \"a.pem\": {claim}"));
    }
    folder.write_pair("a", &pair);
    folder.write("a.key", pair.key.serialize_der());
    assert!(only_fault(&folder, "").contains("`openssl pkey -inform DER -in a.key -out NEW`"));
}

#[test]
fn a_pem_file_with_other_things_is_told_by_what_it_has() {
    let (folder, authority) = folder();
    let pair = authority.server(&["localhost"]);
    let key = pair.key.serialize_pem();
    for (content, claim) in [
        (key.clone(), "has no certificate, but a private key; were the paths of both exchanged?"),
        (
            pair.pem.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
            "has no certificate, but a request for one; write the certificate that the authority answered with",
        ),
        (
            pair.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            "has no certificate, but a \"trusted\" one of openssl; convert it with `openssl x509 -in OLD -out NEW`",
        ),
        (
            pair.pem.replace("CERTIFICATE", "X509 CRL"),
            "has no certificate, but X509 CRL; write the right path",
        ),
    ] {
        folder.write("a.pem", content);
        assert_eq!(only_fault(&folder, ""), format!("[tls] cert_file = \"a.pem\": {claim}"));
    }
    folder.write_pair("a", &pair);
    for (content, claim) in [
        (
            pair.pem.clone(),
            "has no private key, but a certificate; were the paths of both exchanged?",
        ),
        (
            pair.key.public_key_pem(),
            "has no private key, but a public one; write the private key that belongs to the certificate",
        ),
    ] {
        folder.write("a.key", content);
        assert_eq!(only_fault(&folder, ""), format!("[tls] key_file = \"a.key\": {claim}"));
    }
}

#[test]
fn a_key_of_another_certificate_is_told_from_a_chain_in_the_wrong_order() {
    let (folder, authority) = folder();
    let (one, other) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    folder.write_pair("a", &one);
    folder.write("a.key", other.key.serialize_pem());
    assert_eq!(
        only_fault(&folder, ""),
        "[tls] key_file = \"a.key\": the private key does not belong to the certificate in a.pem: `openssl \
         x509 -noout -pubkey -in a.pem` and `openssl pkey -pubout -in a.key` have to print the same; take \
         both files from the same renewal"
    );
    folder.write("a.pem", format!("{}{}", authority.pem(), other.pem));
    assert_eq!(
        only_fault(&folder, ""),
        "[tls] key_file = \"a.key\": the private key belongs to certificate 2 of a.pem, but has to belong \
         to the first one; write the broker's own certificate first, then the one that signed it"
    );
}

/// A certificate without its version and its extensions, which are what version 1 lacks.
fn as_version_1(pair: &CertificateDer<'_>) -> Vec<u8> {
    use x509_cert::der::asn1::AnyRef;
    use x509_cert::der::{Encode, Reader, SliceReader};
    let parts = |der: &[u8]| {
        let mut parts = Vec::new();
        let outer = AnyRef::from_der(der).expect("DER");
        let mut reader = SliceReader::new(outer.value()).expect("short enough");
        while !reader.is_finished() {
            parts.push(AnyRef::decode(&mut reader).expect("DER").to_der().expect("it was DER"));
        }
        parts
    };
    let certificate = parts(pair);
    let of_version_1 = parts(&certificate[0]);
    let of_version_1: Vec<&[u8]> = of_version_1
        .iter()
        .filter(|part| !matches!(part[0], 0xa0 | 0xa3))
        .map(Vec::as_slice)
        .collect();
    der(0x30, &[&der(0x30, &of_version_1), &certificate[1], &certificate[2]])
}

#[test]
fn a_certificate_that_clients_refuse_or_nobody_can_parse_is_named_by_its_number() {
    let (folder, authority) = folder();
    let pair = authority.server(&["localhost"]);
    folder.write_pair("a", &pair);
    folder.write("a.pem", pem("CERTIFICATE", &as_version_1(&pair.der)));
    assert!(
        only_fault(&folder, "")
            .contains("certificate 1 of the file is X.509 version 1, which clients refuse")
    );
    folder.write("a.pem", format!("{}{}", pair.pem, pem("CERTIFICATE", &[0x30, 0])));
    assert_eq!(
        only_fault(&folder, ""),
        "[tls] cert_file = \"a.pem\": certificate 2 of the file cannot be parsed; copy the file again"
    );
}

#[test]
fn a_further_certificate_without_names_could_never_be_asked_for() {
    let (folder, authority) = folder();
    folder.write_pair("b", &authority.server(&[]));
    let keys = "[[tls.certificates]]\ncert_file = \"b.pem\"\nkey_file = \"b.key\"\n";
    assert_eq!(
        only_fault(&folder, keys),
        "[[tls.certificates]] cert_file = \"b.pem\": the certificate has no DNS name as subjectAltName, so \
         no client could ask for it; make one with its names, or remove the table"
    );
    folder.write_pair("b", &authority.server(&["other.example"]));
    accepted(&folder, keys);
}

/// A certificate by hand has often a common name alone, which no client of today looks at.
#[test]
fn a_certificate_without_names_is_called_out() {
    let (folder, authority) = folder();
    let warnings = |names: &[&str]| {
        folder.write_pair("a", &authority.server(names));
        let certificates = accepted(&folder, "");
        let warnings = certificates.dated.iter();
        let warnings = warnings.filter_map(|dated| dated.warning(std::time::SystemTime::now()));
        warnings.map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&["localhost"]), [""; 0]);
    assert_eq!(warnings(&["127.0.0.1"]), [""; 0]);
    let nameless = warnings(&[]);
    assert_eq!(nameless.len(), 1);
    assert!(nameless[0].contains("CN=server has no subjectAltName"), "{nameless:?}");
}

#[test]
fn authorities_and_lists_that_cannot_be_used_are_named() {
    let (folder, authority) = folder();
    let keys = "client_certs = \"required\"\nclient_ca_file = \"ca.pem\"\ncrl_file = \"crl.pem\"\n";
    folder.write("ca.pem", authority.pem());
    folder.write("crl.pem", authority.list(&[], 4000));
    let certificates = accepted(&folder, keys);
    assert!(certificates.clients.is_some());
    assert_eq!(certificates.dated.len(), 3);

    folder.write("crl.pem", authority.pem());
    assert_eq!(
        only_fault(&folder, keys),
        "[tls] crl_file = \"crl.pem\": has no revocation list, but CERTIFICATE; write the right path"
    );
    folder.write("crl.pem", pem("X509 CRL", &[0x30, 0]));
    assert_eq!(
        only_fault(&folder, keys),
        "[tls] crl_file = \"crl.pem\": revocation list 1 of the file cannot be used: it cannot be parsed, or \
         is of version 1; fetch it again"
    );
    folder.write("ca.pem", format!("{}{}", authority.pem(), pem("CERTIFICATE", &[0x30, 0])));
    let all = faults(&folder, keys);
    assert_eq!(all.len(), 2, "both files are wrong: {all:#?}");
    assert_eq!(
        all[0],
        "[tls] client_ca_file = \"ca.pem\": certificate 2 of the file cannot be parsed; copy the file again"
    );
}

#[test]
fn all_wrong_files_are_reported_at_once() {
    let folder = Folder::new();
    let keys = "client_certs = \"optional\"\nclient_ca_file = \"ca.pem\"\ncrl_file = \"crl.pem\"\n\
                [[tls.certificates]]\ncert_file = \"b.pem\"\nkey_file = \"b.key\"\n";
    let all = faults(&folder, keys);
    let named: Vec<&str> = all.iter().map(|text| text.split(" = ").next().unwrap()).collect();
    assert_eq!(
        named,
        [
            "[tls] cert_file",
            "[tls] key_file",
            "[[tls.certificates]] cert_file",
            "[[tls.certificates]] key_file",
            "[tls] client_ca_file",
            "[tls] crl_file",
        ]
    );
}
