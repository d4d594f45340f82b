//! `blipmq top --once`: the state of a broker as plain text.
//!
//! Called by `mod`.
//!
//! # Always true
//! - Names are last in their line and never cut.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use super::poll::{self, Poll, PollRequest};
use super::rates::{Losses, PERCENTILES, REASONS, Rates, since_start};
use super::text;
use super::view::queue_fill;
use crate::cli::Outcome;
use crate::cli::admin::{Admin, Query};

/// The most rows of each list.
const ROWS: u64 = 10;

pub fn run(admin: &Admin, interval: Duration) -> Outcome {
    let first = |sort| Some(Query { sort, descending: true, offset: 0, limit: ROWS });
    let request = PollRequest {
        paused: false,
        subscriptions: first("lag"),
        topics: first("rate"),
        connections: first("queued_bytes"),
    };
    let before = poll::poll(admin, &request).map_err(|error| error.to_string())?;
    std::thread::sleep(interval);
    let now = poll::poll(admin, &request).map_err(|error| error.to_string())?;
    let waited = now.at.saturating_duration_since(before.at);
    let rates = Rates::between((&before.status, &before.cores), (&now.status, &now.cores), waited)
        .ok_or("the broker was restarted between the two polls; try again")?;
    let mut losses = Losses::default();
    for poll in [&before, &now] {
        let rows = poll.lists.subscriptions.as_ref().map_or(&[][..], |page| &page.rows);
        losses.update(rows, waited.as_secs_f64());
    }
    let text = snapshot(&now, &rates, &losses);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader closed the pipe early, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to stdout: {error}")),
    }
}

fn snapshot(poll: &Poll, rates: &Rates, losses: &Losses) -> String {
    let mut out = String::new();
    broker(&mut out, poll, rates);
    flow(&mut out, poll, rates);
    cores(&mut out, poll, rates);
    lists(&mut out, poll, losses);
    out
}

/// Writes a line to a string, which never fails.
macro_rules! line {
    ($out:expr, $($format:tt)*) => {{
        writeln!($out, $($format)*).expect("writing to a string succeeds");
    }};
}

fn broker(out: &mut String, Poll { status, cores, .. }: &Poll, rates: &Rates) {
    let process = &status.process;
    line!(
        out,
        "BlipMQ {} {}, up {}, pid {}, server id {}",
        status.version,
        status.state,
        text::duration(status.uptime_seconds),
        status.pid,
        status.server_id
    );
    let nats = status.addresses.nats.as_deref().unwrap_or("off");
    line!(out, "blip {}, nats {nats}, metrics {}", status.addresses.blip, status.addresses.metrics);
    let cpus: Vec<String> = status.cpus.iter().map(u32::to_string).collect();
    line!(
        out,
        "CPU {} of {} cores (CPUs {}), {} shards, resident {}, {} of {} open files, {} threads",
        text::or_unknown(rates.cpus_busy, text::percent),
        cores.cores.len(),
        cpus.join(","),
        status.shards,
        text::bytes(process.resident_bytes),
        process.open_files,
        process.open_files_max,
        process.threads
    );
    let blocked: u64 = cores.cores.iter().map(|core| core.gauges.blocked_topics).sum();
    if blocked > 0 {
        line!(out, "BLOCKED topics: {blocked}, by subscriptions with the overflow policy block");
    }
    if let Some(cores) = text::unanswered(&cores.cores) {
        line!(out, "NO ANSWER from core {cores}");
    }
}

fn flow(out: &mut String, Poll { status, .. }: &Poll, rates: &Rates) {
    let flow = &rates.flow;
    let bytes = |rate: f64| format!("{}/s", text::bytes(rate as u64));
    line!(out, "\nper second, over {}:", text::time(rates.seconds));
    for (name, messages, bytes) in [
        ("published", flow.published_messages, bytes(flow.published_bytes)),
        ("delivered", flow.delivered_messages, bytes(flow.sent_bytes)),
    ] {
        line!(out, "  {name:<16}{:>10}{bytes:>14}", text::rate(messages));
    }
    line!(out, "  {:<16}{:>10}", "lost", text::rate(flow.lost()));
    for ((name, _), rate) in REASONS.iter().zip(flow.lost_messages) {
        if rate > 0.0 {
            line!(out, "    {name:<14}{:>10}", text::rate(rate));
        }
    }
    for (name, rate) in [
        ("opened", flow.connections_opened),
        ("closed", flow.connections_closed),
        ("held up", flow.publishers_blocked),
        ("buffers short", flow.buffer_shortages),
    ] {
        line!(out, "  {name:<16}{:>10}", text::rate(rate));
    }
    line!(out, "\nlatency, accept to send:     now   since start");
    let ever = since_start(&status.latency);
    for (at, (name, _)) in PERCENTILES.iter().enumerate() {
        let now = text::percentile(rates.latency[at]);
        let ever = text::or_unknown(ever[at], text::time);
        line!(out, "  {name:<14}{now:>16}{ever:>14}");
    }
    line!(out, "\nlimits:");
    for limit in &status.limits {
        let show = if &*limit.unit == "bytes" { text::bytes } else { text::count };
        let share = text::percent(text::share(limit.used, limit.limit));
        let of = format!("{} of {}", show(limit.used), show(limit.limit));
        line!(out, "  {:<14}{share:>6}  {of:<24}{}", limit.name, limit.key);
    }
}

fn cores(out: &mut String, Poll { cores, .. }: &Poll, rates: &Rates) {
    line!(
        out,
        "\ncore  cpu  load    pub/s  deliv/s  turns/s  enter/s  snd/ent  msg/snd  conns   mesh/s"
    );
    for (core, rates) in cores.cores.iter().zip(&rates.cores) {
        let show = |of: fn(&super::rates::CoreRates) -> f64| {
            text::or_unknown(rates.as_ref(), |rates| text::rate(of(rates)))
        };
        let mean = |of: fn(&super::rates::CoreRates) -> Option<f64>| {
            text::or_unknown(rates.as_ref().and_then(of), text::rate)
        };
        line!(
            out,
            "{:>4} {:>4} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8}",
            core.core,
            core.cpu,
            text::or_unknown(rates.as_ref(), |rates| text::percent(rates.load)),
            show(|rates| rates.flow.published_messages),
            show(|rates| rates.flow.delivered_messages),
            show(|rates| rates.turns),
            show(|rates| rates.enters),
            mean(|rates| rates.sends_per_enter),
            mean(|rates| rates.messages_per_send),
            text::count(core.gauges.connections),
            show(|rates| rates.mesh_letters)
        );
    }
}

fn lists(out: &mut String, Poll { lists, .. }: &Poll, losses: &Losses) {
    if let Some(page) = &lists.subscriptions {
        line!(out, "\nslowest {} of {} subscriptions:", page.rows.len(), page.total);
        for row in &page.rows {
            let reasons = match &*text::reasons(&row.dropped) {
                "" => String::new(),
                reasons => format!(" ({reasons})"),
            };
            let group = row.group.as_ref().map_or(String::new(), |group| format!(" in {group}"));
            line!(
                out,
                "  lag {}, queue {} full, lost {}, {} a second{reasons}: {} on {}{group}",
                text::time(row.lag_seconds),
                text::percent(queue_fill(row)),
                row.dropped_messages,
                text::or_unknown(losses.rate_of(row), text::rate),
                row.owner(),
                row.pattern
            );
        }
    }
    if let Some(page) = &lists.topics {
        line!(out, "\nbusiest {} of {} topics:", page.rows.len(), page.total);
        for row in &page.rows {
            let (rate, published) = (text::rate(row.rate_per_second), row.published_messages);
            let blocked = if row.blocked { " blocked" } else { "" };
            line!(out, "  {rate:>8}/s, {published} in all{blocked}: {}", row.topic);
        }
    }
    if let Some(page) = &lists.connections {
        line!(out, "\nfullest {} of {} connections:", page.rows.len(), page.total);
        for row in &page.rows {
            line!(
                out,
                "  queued {}, lag {}, lost {}, {} subscriptions, {} {}: {} {}",
                text::bytes(row.queued_bytes),
                text::time(row.lag_seconds),
                row.dropped_messages,
                row.subscriptions,
                row.protocol,
                row.state,
                row.connection,
                row.address
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::samples;

    fn once_text(before: Poll, now: Poll) -> String {
        let waited = Duration::from_secs(1);
        let earlier = (&before.status, &before.cores);
        let rates =
            Rates::between(earlier, (&now.status, &now.cores), waited).expect("the same server id");
        let mut losses = Losses::default();
        for poll in [&before, &now] {
            losses.update(
                &poll.lists.subscriptions.as_ref().expect("the sample has subscriptions").rows,
                1.0,
            );
        }
        snapshot(&now, &rates, &losses)
    }

    #[test]
    fn output_is_complete_and_without_control_characters() {
        let text = once_text(samples::poll(2, 1), samples::poll(2, 2));
        for expected in [
            "BlipMQ 0.1.0 ready, up 3 h 12 min, pid 4242, server id 9F3A5C7E12B4D680\n",
            "blip 127.0.0.1:7878, nats 127.0.0.1:4222, metrics 127.0.0.1:9090\n",
            "CPU 153 % of 2 cores",
            "  published           36.9 k    3.52 MiB/s\n",
            "  lost                   231\n    oldest               210\n",
            "  connections     92 %  9.20 k of 10.0 k        server.max_connections\n",
            "株価.東京.日経平均.今日.終値.非常に長い名前の話題です.全部は入らない\n",
            "lost 24690, 12.3 k a second (oldest 24.7 k): 7 of 1-3-9 10.1.2.3:50123 on orders.\\u{1b}[2J",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        assert!(
            !text.chars().any(|character| character.is_control() && character != '\n'),
            "{text:?}"
        );
    }

    #[test]
    fn an_idle_broker_has_empty_lists_and_no_latency() {
        let text = once_text(samples::empty(1), samples::empty(2));
        assert!(text.contains("nats off"), "{text}");
        assert!(text.contains("slowest 0 of 0 subscriptions:"), "{text}");
        assert!(text.contains("  p50                          -             -\n"), "{text}");
    }
}
