//! The check of the files of `[tls]`.
//!
//! Called by `doctor`. The same code as in a start reads the files; this file provides the texts.

use std::path::Path;
use std::time::SystemTime;

use blipmq::config::Settings;

use super::report::{About, Check};
use crate::server::tls::certificates::Certificates;
use crate::server::tls::expiry::{Dated, Urgency};

/// Reads all files. Relative paths begin at `folder`. No check without TLS.
pub fn checks(settings: &Settings, folder: &Path, now: SystemTime) -> Option<Check> {
    let about = About {
        name: "certificates",
        wanted: "files that can be used, and 30 days until they expire".to_owned(),
        why: "the broker refuses to start with a file that it cannot use, and clients refuse a \
              certificate that has expired",
    };
    match Certificates::read(settings, folder) {
        Ok(None) => None,
        Ok(Some(certificates)) => Some(dates(about, &certificates.dated, now)),
        Err(wrong) => {
            let texts: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            Some(about.fail(texts.join("; "), "see what was found"))
        }
    }
}

fn dates(about: About, dated: &[Dated], now: SystemTime) -> Check {
    let warnings: Vec<(Urgency, String)> =
        dated.iter().filter_map(|dated| dated.warning(now)).collect();
    let texts: Vec<&str> = warnings.iter().map(|(_, text)| text.as_str()).collect();
    let fix = "replace the files, then `blipmq reload`";
    match warnings.iter().map(|(urgency, _)| *urgency).max() {
        None => about.ok(format!("{} certificates and lists", dated.len())),
        Some(Urgency::Soon) => about.warn(texts.join("; "), fix),
        Some(Urgency::Urgent) => about.fail(texts.join("; "), fix),
    }
}
