//! The metrics of handshakes and encrypted connections.

use prometheus::proto::{MetricFamily, MetricType};

use super::Numbered;
use super::samples::{family, metric};
use crate::server::listeners::Listener;
use crate::server::tls::counters::{Handshakes, OUTCOMES, VERSIONS};

/// Handshakes by listener and result, over all cores, and those of the admin pages.
pub fn handshakes(
    cores: &[Numbered<'_>],
    listeners: &[Listener],
    of_pages: Option<&Handshakes>,
) -> MetricFamily {
    let pages = of_pages.into_iter().flatten().zip(OUTCOMES).map(|(count, result)| {
        let labels = [("listener", "metrics"), ("result", result)];
        metric(MetricType::COUNTER, &labels, count.get() as f64)
    });
    let samples = listeners.iter().enumerate().flat_map(|(listener, Listener { name, .. })| {
        OUTCOMES.iter().enumerate().map(move |(outcome, result)| {
            let of_core = |(_, core): &Numbered<'_>| core.tls.handshakes_by(listener, outcome);
            let count: u64 = cores.iter().map(of_core).sum();
            metric(MetricType::COUNTER, &[("listener", name), ("result", result)], count as f64)
        })
    });
    family(
        "blipmq_tls_handshakes_total",
        "TLS handshakes that ended, by listener and by result: full, resumed, failed, timeout.",
        MetricType::COUNTER,
        samples.chain(pages).collect(),
    )
}

/// Encrypted connections by version.
pub fn connections(cores: &[Numbered<'_>]) -> MetricFamily {
    let samples = VERSIONS.iter().map(|version| {
        let of_core = |(_, core): &Numbered<'_>| {
            core.tls.connections(version).map_or(0, |connections| connections.get())
        };
        let count: u64 = cores.iter().map(of_core).sum();
        metric(MetricType::GAUGE, &[("version", version)], count as f64)
    });
    family(
        "blipmq_tls_connections",
        "Encrypted connections open now, by version of TLS.",
        MetricType::GAUGE,
        samples.collect(),
    )
}
