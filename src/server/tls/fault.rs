//! What is wrong with a file of `[tls]`, and what to do.
//!
//! Made by `pem` and `certificates`. Printed by a start that is refused, by a reload, by
//! `blipmq check-config` and by `blipmq doctor`.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file that cannot be used.
#[derive(Debug)]
pub struct WrongFile {
    /// The key that names the file, with its table.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What a file has to contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Certificates,
    PrivateKey,
    RevocationLists,
}

impl Wanted {
    fn one(self) -> &'static str {
        match self {
            Wanted::Certificates => "certificate",
            Wanted::PrivateKey => "private key",
            Wanted::RevocationLists => "revocation list",
        }
    }

    /// The command of openssl for files of this kind.
    fn command(self) -> &'static str {
        match self {
            Wanted::Certificates => "x509",
            Wanted::PrivateKey => "pkey",
            Wanted::RevocationLists => "crl",
        }
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Fault {
    Unreadable(io::Error),
    NotAFile,
    Empty,
    /// The first bytes of UTF-8 with a byte order mark.
    ByteOrderMark,
    Utf16,
    Der(Wanted),
    Pkcs12(Wanted),
    /// A PEM file with a section that is cut off or damaged.
    BrokenPem(&'static str),
    /// A PEM file without what is wanted, and the labels of its sections.
    Lacks {
        wanted: Wanted,
        labels: Vec<String>,
    },
    EncryptedKey,
    /// A private key of a kind that is not supported.
    UnusableKey {
        kind: Option<String>,
    },
    /// A private key that all users of the machine may read or write.
    OpenKey {
        mode: u32,
    },
    /// A key that belongs to no certificate of the file of certificates.
    KeyMismatch {
        certificates: PathBuf,
    },
    /// A key that belongs to a certificate that is not the first of its file.
    NotFirst {
        certificates: PathBuf,
        number: usize,
    },
    /// A certificate, counted from 1, that cannot be parsed.
    BrokenCertificate {
        number: usize,
    },
    /// A certificate, counted from 1, of X.509 version 1, which has no names of servers.
    OldCertificate {
        number: usize,
    },
    /// A certificate that is chosen by its names, and has none.
    NoNames,
    BrokenList {
        number: usize,
        reason: String,
    },
    /// What the library says of files that pass all checks before.
    Other(String),
}

impl fmt::Display for WrongFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{} = \"{path}\": ", self.key)?;
        match &self.fault {
            Fault::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => f.write_str(
                "there is no such file; a relative path begins at the folder of the configuration file",
            ),
            Fault::Unreadable(error) => write!(
                f,
                "cannot be read: {error}; let the broker's user or group read it, and enter its folders"
            ),
            Fault::NotAFile => f.write_str("is not a file; write the path of a file"),
            Fault::Empty => f.write_str("is empty; write it again"),
            Fault::ByteOrderMark => write!(
                f,
                "begins with a byte order mark; save it as plain ASCII, such as by \
                 `tail -c +4 {path} > NEW`"
            ),
            Fault::Utf16 => write!(
                f,
                "is UTF-16; save it as plain ASCII, such as by `iconv -f UTF-16 -t ASCII {path} > NEW`"
            ),
            Fault::Der(wanted) => write!(
                f,
                "is binary (DER), but has to be PEM; convert it with `openssl {} -inform DER -in {path} \
                 -out NEW`",
                wanted.command()
            ),
            Fault::Pkcs12(wanted) => {
                let part = if *wanted == Wanted::PrivateKey { "-nocerts" } else { "-nokeys" };
                write!(
                    f,
                    "is PKCS#12, but has to be PEM; convert it with `openssl pkcs12 -in {path} {part} \
                     -nodes -out NEW`"
                )
            }
            Fault::BrokenPem(reason) => {
                write!(f, "is not valid PEM: {reason}; copy the file again")
            }
            Fault::Lacks { wanted, labels } => write_lacks(f, *wanted, labels),
            fault => write_fault_of_content(f, &path, fault),
        }
    }
}

/// Tells what is wrong inside of a PEM file.
fn write_fault_of_content(
    f: &mut fmt::Formatter<'_>,
    path: &std::path::Display<'_>,
    fault: &Fault,
) -> fmt::Result {
    match fault {
        Fault::EncryptedKey => write!(
            f,
            "the private key is encrypted, and nobody is there to type its passphrase when the \
             broker starts; decrypt it with `openssl pkey -in {path} -out NEW`, then `chmod 0640 NEW`"
        ),
        Fault::UnusableKey { kind } => {
            match kind {
                Some(kind) => write!(f, "the private key is {kind}, which is not supported")?,
                None => f.write_str("the private key is damaged, or of a kind that is not supported")?,
            }
            f.write_str(
                "; use ECDSA P-256, which every client takes, P-384, P-521, Ed25519, or RSA of 2048 \
                 to 8192 bits",
            )
        }
        Fault::OpenKey { mode } => write!(
            f,
            "every user of this machine can reach the private key (mode {mode:04o}); \
             `chmod 0640 {path}`, with the broker's group"
        ),
        Fault::KeyMismatch { certificates } => write!(
            f,
            "the private key does not belong to the certificate in {certs}: `openssl x509 -noout \
             -pubkey -in {certs}` and `openssl pkey -pubout -in {path}` have to print the same; take \
             both files from the same renewal",
            certs = certificates.display()
        ),
        Fault::NotFirst { certificates, number } => write!(
            f,
            "the private key belongs to certificate {number} of {}, but has to belong to the first \
             one; write the broker's own certificate first, then the one that signed it",
            certificates.display()
        ),
        Fault::BrokenCertificate { number } => {
            write!(f, "certificate {number} of the file cannot be parsed; copy the file again")
        }
        Fault::OldCertificate { number } => write!(
            f,
            "certificate {number} of the file is X.509 version 1, which clients refuse; make one of \
             version 3, with the names of this server: `openssl req -x509 -addext subjectAltName=...` \
             or `openssl x509 -req -extfile ...`"
        ),
        Fault::NoNames => f.write_str(
            "the certificate has no DNS name as subjectAltName, so no client could ask for it; make \
             one with its names, or remove the table",
        ),
        Fault::BrokenList { number, reason } => {
            write!(f, "revocation list {number} of the file cannot be used: {reason}; fetch it again")
        }
        Fault::Other(reason) => write!(f, "cannot be used: {reason}"),
        fault => unreachable!("{fault:?} has its text above"),
        }
}

/// Tells what a PEM file has instead of what is wanted.
fn write_lacks(f: &mut fmt::Formatter<'_>, wanted: Wanted, labels: &[String]) -> fmt::Result {
    write!(f, "has no {}", wanted.one())?;
    let has = |part: &str| labels.iter().any(|label| label.contains(part));
    match wanted {
        _ if labels.is_empty() => f.write_str(" and no other PEM; write the path of a PEM file"),
        Wanted::Certificates if has("PRIVATE KEY") => {
            f.write_str(", but a private key; were the paths of both exchanged?")
        }
        Wanted::Certificates if has("CERTIFICATE REQUEST") => f.write_str(
            ", but a request for one; write the certificate that the authority answered with",
        ),
        Wanted::Certificates if has("TRUSTED CERTIFICATE") => f.write_str(
            ", but a \"trusted\" one of openssl; convert it with `openssl x509 -in OLD -out NEW`",
        ),
        Wanted::PrivateKey if has("PUBLIC KEY") => {
            f.write_str(", but a public one; write the private key that belongs to the certificate")
        }
        Wanted::PrivateKey if has("CERTIFICATE") => {
            f.write_str(", but a certificate; were the paths of both exchanged?")
        }
        _ => write!(f, ", but {}; write the right path", labels.join(", ")),
    }
}
