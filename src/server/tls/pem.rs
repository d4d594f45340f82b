//! Files of `[tls]`: reading them, and what is inside.
//!
//! Called by `certificates`. A file that cannot be used gets the text of its fault, not that of a parser.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use x509_cert::der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier, OctetStringRef, UintRef};
use x509_cert::der::{self, Decode, SliceReader, TagNumber};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::fault::{Fault, Wanted, WrongFile};

/// Bits of a file's mode for users who are neither its owner nor of its group.
const MODE_OF_OTHERS: u32 = 0o007;

/// A file that a key of `[tls]` names, as it was read.
pub struct PemFile {
    /// The key, with its table.
    pub key: &'static str,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    mode: u32,
}

impl PemFile {
    /// Reads a file. A relative path begins at `folder`.
    pub fn read(key: &'static str, path: &str, folder: &Path) -> Result<PemFile, WrongFile> {
        let path = folder.join(path);
        let wrong = |fault| WrongFile { key, path: path.clone(), fault };
        let unreadable = |error| wrong(Fault::Unreadable(error));
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        // A pipe would hold up the start until somebody writes to it.
        if !metadata.is_file() {
            return Err(wrong(Fault::NotAFile));
        }
        let bytes = fs::read(&path).map_err(unreadable)?;
        Ok(PemFile { key, path, bytes, mode: metadata.mode() & 0o7777 })
    }

    /// This file, with what is wrong with it.
    pub fn wrong(&self, fault: Fault) -> WrongFile {
        WrongFile { key: self.key, path: self.path.clone(), fault }
    }

    /// The certificates, at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, WrongFile> {
        self.items(Wanted::Certificates)
    }

    /// The lists of revoked certificates, at least one.
    pub fn revocation_lists(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, WrongFile> {
        self.items(Wanted::RevocationLists)
    }

    /// The first private key, which only the owner and the group of the file may reach.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, WrongFile> {
        let labels = self.labels();
        // The old form has the word inside of the section.
        let is_encrypted = |line: &[u8]| line.starts_with(b"Proc-Type:") && has(line, b"ENCRYPTED");
        let mut lines = self.bytes.split(|byte| *byte == b'\n');
        if labels.iter().any(|label| label.contains("ENCRYPTED")) || lines.any(is_encrypted) {
            return Err(self.wrong(Fault::EncryptedKey));
        }
        let key = self.items(Wanted::PrivateKey)?.into_iter().next().expect("at least one");
        match self.mode & MODE_OF_OTHERS {
            0 => Ok(key),
            _ => Err(self.wrong(Fault::OpenKey { mode: self.mode })),
        }
    }

    /// All items of one kind, at least one.
    fn items<T: PemObject>(&self, wanted: Wanted) -> Result<Vec<T>, WrongFile> {
        if let Some(fault) = not_pem(&self.bytes, wanted) {
            return Err(self.wrong(fault));
        }
        let items: Result<Vec<T>, Error> = T::pem_slice_iter(&self.bytes).collect();
        match items {
            Ok(items) if items.is_empty() => {
                Err(self.wrong(Fault::Lacks { wanted, labels: self.labels() }))
            }
            Ok(items) => Ok(items),
            Err(error) => Err(self.wrong(Fault::BrokenPem(reason(&error)))),
        }
    }

    /// The labels of all sections, such as `PRIVATE KEY`.
    fn labels(&self) -> Vec<String> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        let label = |line: &[u8]| {
            let line = std::str::from_utf8(line).ok()?.trim_end();
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            let is_label = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
            label.chars().all(is_label).then(|| label.to_owned())
        };
        lines.filter_map(label).collect()
    }
}

/// Why bytes are not even text with PEM in it.
fn not_pem(bytes: &[u8], wanted: Wanted) -> Option<Fault> {
    match bytes {
        _ if bytes.iter().all(u8::is_ascii_whitespace) => Some(Fault::Empty),
        [0xef, 0xbb, 0xbf, ..] => Some(Fault::ByteOrderMark),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Fault::Utf16),
        _ => match AnyRef::from_der(bytes) {
            // A PKCS#12 begins with its version, which nothing else has.
            Ok(outer) if outer.value().starts_with(&[2, 1, 3]) => Some(Fault::Pkcs12(wanted)),
            Ok(_) => Some(Fault::Der(wanted)),
            Err(_) => None,
        },
    }
}

/// The reason in words that repeat nothing of the file, which may be a key.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no END line",
        Error::IllegalSectionStart { .. } => "a BEGIN line is damaged",
        Error::Base64Decode(_) => "a section is not base64",
        Error::SectionTooLarge => "a section is larger than any certificate",
        _ => "it cannot be read",
    }
}

fn has(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|part| part == word)
}

/// The kind of a private key in words, for keys that are not supported.
pub fn kind_of_key(key: &PrivateKeyDer<'_>) -> Option<String> {
    let kind = match key {
        PrivateKeyDer::Pkcs1(key) => rsa_kind(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => sec1_kind(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8_kind(key),
        _ => return None,
    };
    kind.ok()
}

fn rsa_kind(der: &[u8]) -> der::Result<String> {
    let mut inside = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let _version = u8::decode(&mut inside)?;
    let modulus = UintRef::decode(&mut inside)?;
    let first = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok(format!("RSA of {} bits", modulus.as_bytes().len() * 8 - first))
}

fn sec1_kind(der: &[u8]) -> der::Result<String> {
    let mut inside = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let _version = u8::decode(&mut inside)?;
    let _key = <&OctetStringRef>::decode(&mut inside)?;
    let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(&mut inside, TagNumber(0))?;
    Ok(curve.map_or("ECDSA of an unnamed curve".to_owned(), |curve| curve_kind(curve.value)))
}

fn pkcs8_kind(key: &PrivatePkcs8KeyDer<'_>) -> der::Result<String> {
    let mut inside = SliceReader::new(AnyRef::from_der(key.secret_pkcs8_der())?.value())?;
    let _version = u8::decode(&mut inside)?;
    let algorithm = AlgorithmIdentifierRef::decode(&mut inside)?;
    Ok(match algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => {
            return rsa_kind(<&OctetStringRef>::decode(&mut inside)?.as_bytes());
        }
        "1.2.840.10045.2.1" => match algorithm.parameters {
            Some(curve) => curve_kind(curve.decode_as()?),
            None => "ECDSA of an unnamed curve".to_owned(),
        },
        "1.2.840.113549.1.1.10" => "RSA for PSS only".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        "1.3.101.110" => "X25519, which cannot sign".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        other => format!("of kind {other}"),
    })
}

fn curve_kind(curve: ObjectIdentifier) -> String {
    match curve.to_string().as_str() {
        "1.3.132.0.10" => "ECDSA secp256k1".to_owned(),
        "1.3.132.0.33" => "ECDSA P-224".to_owned(),
        "1.2.840.10045.3.1.7" => "ECDSA P-256".to_owned(),
        other => format!("ECDSA of curve {other}"),
    }
}
