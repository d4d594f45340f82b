//! The metrics of certificates.

use prometheus::proto::{MetricFamily, MetricType};

use super::samples::{family, metric};
use crate::server::tls::expiry::{Dated, Kind};

/// When each certificate ends. One subject may be in a file twice, as after a renewal of an authority:
/// then the first end counts.
pub fn not_after(dated: &[Dated]) -> MetricFamily {
    let mut samples: Vec<(String, &str, u64)> = Vec::new();
    for dated in dated.iter().filter(|dated| dated.kind != Kind::List) {
        let file = dated.path.display().to_string();
        let ends = dated.not_after_unix_s();
        match samples
            .iter_mut()
            .find(|(path, subject, _)| *path == file && *subject == dated.subject)
        {
            Some((.., first)) => *first = ends.min(*first),
            None => samples.push((file, &dated.subject, ends)),
        }
    }
    let samples = samples.iter().map(|(file, subject, ends)| {
        metric(MetricType::GAUGE, &[("file", file), ("subject", subject)], *ends as f64)
    });
    family(
        "blipmq_tls_certificate_not_after_seconds",
        "When a certificate of a file of [tls] ends, in seconds since 1970.",
        MetricType::GAUGE,
        samples.collect(),
    )
}
