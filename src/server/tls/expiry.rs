//! What ends on some day: certificates and revocation lists, and what is said of them before.
//!
//! Made by `certificates`. Read by the log, by the metrics, by `blipmq check-config` and by
//! `blipmq doctor`.
//!
//! # Always true
//! - What has expired is used all the same: a clock that is wrong must not keep a broker from starting.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::time::Time;

use super::listeners::Active;
use super::pem::PemFile;

const DAY: Duration = Duration::from_secs(86_400);
/// Days before the end from which an operator is told.
const SOON_DAYS: u64 = 30;
/// Days before the end from which that is an error.
const URGENT_DAYS: u64 = 7;

/// What something in a file of `[tls]` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The broker's certificate, or one between it and a root.
    Own,
    /// An authority of clients.
    Authority,
    /// A list of revoked certificates.
    List,
}

/// Something in a file that ends on some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The key of the file, with its table.
    pub key: &'static str,
    pub path: PathBuf,
    pub kind: Kind,
    /// The subject of a certificate, the issuer of a list.
    pub subject: String,
    not_before: Time,
    not_after: Time,
    /// The certificate of a server whose names no client finds.
    is_nameless: bool,
}

/// How much an operator has to care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Some weeks are left.
    Soon,
    /// Clients are refused, or will be in some days.
    Urgent,
}

/// Logs what an operator has to know.
pub fn log(dated: &[Dated]) {
    let now = SystemTime::now();
    for (urgency, text) in dated.iter().filter_map(|dated| dated.warning(now)) {
        match urgency {
            Urgency::Urgent => tracing::error!("{text}"),
            Urgency::Soon => tracing::warn!("{text}"),
        }
    }
}

/// Starts the thread that logs this once a day, of the certificates that are active on that day. The thread
/// ends with the process.
pub fn log_daily(active: impl Fn() -> Arc<Active> + Send + 'static) {
    let watch = move || {
        loop {
            std::thread::sleep(DAY);
            log(&active().dated);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("expiry".to_owned()).spawn(watch) {
        tracing::error!("cannot start the thread that watches certificates: {error}");
    }
}

impl Dated {
    /// The dates of a certificate.
    pub fn of(file: &PemFile, certificate: &Certificate, kind: Kind) -> Dated {
        let certificate = certificate.tbs_certificate();
        let validity = certificate.validity();
        Dated {
            key: file.key,
            path: file.path.clone(),
            kind,
            subject: certificate.subject().to_string(),
            not_before: validity.not_before,
            not_after: validity.not_after,
            is_nameless: false,
        }
    }

    /// Notes that the certificate of a server has no name as clients look for one.
    pub fn without_names(self) -> Dated {
        Dated { is_nameless: true, ..self }
    }

    /// The dates of a revocation list, `None` if it does not say when the next one is due.
    pub fn of_list(file: &PemFile, list: &CertificateList) -> Option<Dated> {
        let list = &list.tbs_cert_list;
        Some(Dated {
            key: file.key,
            path: file.path.clone(),
            kind: Kind::List,
            subject: list.issuer.to_string(),
            not_before: list.this_update,
            not_after: list.next_update?,
            is_nameless: false,
        })
    }

    /// When it ends, in seconds since 1970.
    pub fn not_after_unix_s(&self) -> u64 {
        self.not_after.to_unix_duration().as_secs()
    }

    /// What an operator has to know, `None` while all is well.
    pub fn warning(&self, now: SystemTime) -> Option<(Urgency, String)> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (begins, ends) =
            (self.not_before.to_unix_duration(), self.not_after.to_unix_duration());
        let (urgency, text) = if now >= ends {
            let text = match self.kind {
                Kind::Own => "expired, and clients refuse it",
                Kind::Authority => "expired, and its clients may be refused elsewhere",
                Kind::List => "is overdue, and all clients of this authority are refused",
            };
            (Urgency::Urgent, format!("{text} since {}", self.not_after))
        } else if now < begins {
            let text = "is not valid before";
            (
                Urgency::Urgent,
                format!("{text} {}; is the clock of this machine right?", self.not_before),
            )
        } else {
            // A revocation list lives for days; only one that is overdue is worth a word.
            let left = (ends - now).as_secs() / DAY.as_secs();
            if self.is_nameless && left >= URGENT_DAYS {
                let path = self.path.display();
                let text = format!(
                    "{} = \"{path}\": the certificate of {} has no subjectAltName, so clients refuse it \
                     whatever its common name is; make one with the names that clients connect to, then \
                     `blipmq reload`",
                    self.key, self.subject
                );
                return Some((Urgency::Urgent, text));
            }
            if left >= SOON_DAYS || self.kind == Kind::List {
                return None;
            }
            let urgency = if left < URGENT_DAYS { Urgency::Urgent } else { Urgency::Soon };
            (urgency, format!("expires in {left} days, at {}", self.not_after))
        };
        let path = self.path.display();
        let of = match self.kind {
            Kind::List => "the list of",
            Kind::Own | Kind::Authority => "the certificate of",
        };
        let text = format!(
            "{} = \"{path}\": {of} {} {text}; replace the file, then `blipmq reload`",
            self.key, self.subject
        );
        Some((urgency, text))
    }
}
