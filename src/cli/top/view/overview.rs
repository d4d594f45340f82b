//! The overview: rates, latency, limits, cores, and on tall screens the slowest subscribers and the
//! busiest topics.
//!
//! Called by `view`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect, Size};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::lists;
use super::table::{self, Column};
use super::theme::Theme;
use crate::cli::admin::model::{Core, Limit};
use crate::cli::top::navigation::Sort;
use crate::cli::top::rates::{CoreRates, PERCENTILES, REASONS, Rates, since_start};
use crate::cli::top::state::State;
use crate::cli::top::text;

/// The lines of rates and of latency.
const FIGURE_LINES: u16 = 5;
/// The width from which on the limits are beside the figures instead of below.
const WIDE: u16 = 130;
const LIMIT_LINES: u16 = 4;

/// A core, and its rates if known.
type CoreRow<'a> = (&'a Core, Option<&'a CoreRates>);

const fn cores<'a>() -> [Column<CoreRow<'a>>; 17] {
    [
        Column::number("CORE", 4, |row: &CoreRow| row.0.core.to_string())
            .styled(|row, theme| if row.0.answered { theme.plain() } else { theme.bad() }),
        Column::number("CPU", 3, |row: &CoreRow| row.0.cpu.to_string()),
        Column::number("LOAD", 5, |row: &CoreRow| of(row, |rates| text::percent(rates.load)))
            .styled(|row, theme| theme.for_share(row.1.map_or(0.0, |rates| rates.load))),
        Column::name("", 10, |row: &CoreRow| bar(row.1.map_or(0.0, |rates| rates.load), 10))
            .from(WIDE)
            .styled(|row, theme| theme.for_share(row.1.map_or(0.0, |rates| rates.load))),
        Column::number("PUB/s", 7, |row: &CoreRow| {
            of(row, |rates| text::rate(rates.flow.published_messages))
        }),
        Column::number("DELIV/s", 7, |row: &CoreRow| {
            of(row, |rates| text::rate(rates.flow.delivered_messages))
        }),
        Column::number("LOST/s", 7, |row: &CoreRow| of(row, |rates| text::rate(rates.flow.lost())))
            .from(100)
            .styled(|row, theme| theme.for_loss(row.1.map_or(0.0, |rates| rates.flow.lost()))),
        Column::number("TURNS/s", 7, |row: &CoreRow| of(row, |rates| text::rate(rates.turns))),
        Column::number("ENTER/s", 7, |row: &CoreRow| of(row, |rates| text::rate(rates.enters))),
        Column::number("SND/ENT", 7, |row: &CoreRow| {
            of(row, |rates| text::or_unknown(rates.sends_per_enter, text::rate))
        }),
        Column::number("MSG/SND", 7, |row: &CoreRow| {
            of(row, |rates| text::or_unknown(rates.messages_per_send, text::rate))
        }),
        Column::number("CONNS", 6, |row: &CoreRow| text::count(row.0.gauges.connections)),
        Column::number("SUBS", 7, |row: &CoreRow| text::count(row.0.gauges.subscriptions))
            .from(100),
        Column::number("TOPICS", 7, |row: &CoreRow| text::count(row.0.gauges.topics)).from(110),
        Column::number("MESH/s", 7, |row: &CoreRow| {
            of(row, |rates| text::rate(rates.mesh_letters))
        }),
        Column::number("WAITING", 7, |row: &CoreRow| {
            text::count(row.0.gauges.mesh_waiting_letters)
        })
        .from(120),
        Column::number("FULL/s", 7, |row: &CoreRow| of(row, |rates| text::rate(rates.mesh_full)))
            .from(WIDE)
            .styled(|row, theme| theme.for_loss(row.1.map_or(0.0, |rates| rates.mesh_full))),
    ]
}

fn of(row: &CoreRow<'_>, show: impl Fn(&CoreRates) -> String) -> String {
    text::or_unknown(row.1, show)
}

fn bar(share: f64, columns: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
    "█".repeat(full) + &"░".repeat(columns - full)
}

/// Returns the number of rows of subscribers, and of topics, below the cores.
pub fn list_rows(size: Size) -> u16 {
    match size.height {
        36.. => ((size.height - 32) / 3).min(15),
        _ => 0,
    }
}

/// Returns how many cores fit into a body of this size.
pub fn cores_fit(body: Size, screen: Size) -> u16 {
    let [_, _, cores, ..] = areas(Rect::from((ratatui::layout::Position::ORIGIN, body)), screen);
    cores.height.saturating_sub(2)
}

/// Returns the areas of figures, limits below the figures, cores, subscribers and topics.
fn areas(body: Rect, screen: Size) -> [Rect; 5] {
    let limits = if body.width >= WIDE { 0 } else { LIMIT_LINES + 1 };
    let lists = match list_rows(screen) {
        0 => 0,
        rows => rows + 3,
    };
    Layout::vertical([
        Constraint::Length(FIGURE_LINES + 1),
        Constraint::Length(limits),
        Constraint::Min(3),
        Constraint::Length(lists),
        Constraint::Length(lists),
    ])
    .areas(body)
}

pub fn draw(frame: &mut Frame<'_>, body: Rect, state: &State, theme: Theme) {
    let screen = frame.area().as_size();
    let [figures, limits_below, cores, subscribers, topics] = areas(body, screen);
    let [left, middle, right] = match body.width {
        WIDE.. => {
            Layout::horizontal([Constraint::Length(52), Constraint::Length(38), Constraint::Min(0)])
                .areas(figures)
        }
        _ => Layout::horizontal([
            Constraint::Percentage(55),
            Constraint::Percentage(45),
            Constraint::Length(0),
        ])
        .spacing(1)
        .areas(figures),
    };
    let rates = state.rates.as_ref();
    frame.render_widget(Paragraph::new(rate_lines(rates, left.width, theme)), left);
    frame.render_widget(Paragraph::new(latency_lines(state, theme)), middle);
    let limits = state.last_poll.as_ref().map_or(&[][..], |last_poll| &last_poll.status.limits);
    let limit_lines = limits.iter().map(|limit| limit_line(limit, theme));
    if body.width >= WIDE {
        let lines = std::iter::once(Line::styled("Limits", theme.title())).chain(limit_lines);
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), right);
    } else {
        frame.render_widget(Paragraph::new(limit_lines.collect::<Vec<_>>()), limits_below);
    }
    frame.render_widget(Paragraph::new(core_lines(state, cores, theme)), cores);
    if list_rows(screen) > 0 {
        let of = |title, mut lines: Vec<Line<'static>>| {
            lines.insert(0, Line::styled(title, theme.title()));
            Paragraph::new(lines)
        };
        let lines = lists::subscriber_lines(state, body.width, theme);
        frame.render_widget(of("Slowest subscribers", lines), subscribers);
        let lines = lists::topic_lines(state, body.width, theme);
        frame.render_widget(of("Busiest topics", lines), topics);
    }
}

fn rate_lines(rates: Option<&Rates>, columns: u16, theme: Theme) -> Vec<Line<'static>> {
    let flow = rates.map(|rates| &rates.flow);
    let messages = |name: &'static str, count: Option<f64>, bytes: Option<f64>| {
        let count = text::or_unknown(count, text::rate);
        let bytes = text::or_unknown(bytes, |rate| format!("{}/s", text::bytes(rate as u64)));
        Line::from(format!("{name:<10}{count:>9}{bytes:>14}"))
    };
    let lost = flow.map(|flow| flow.lost());
    let reasons = flow.map_or(String::new(), |flow| {
        let mut reasons: Vec<_> =
            REASONS.iter().zip(flow.lost_messages).filter(|(_, rate)| *rate > 0.0).collect();
        reasons.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        let describe =
            |((name, _), rate): &(&(&str, _), f64)| format!("{name} {}", text::rate(*rate));
        reasons.iter().map(describe).collect::<Vec<_>>().join(", ")
    });
    let lost_line = format!("{:<10}{:>9}  {reasons}", "lost", text::or_unknown(lost, text::rate));
    let lost_line = text::fit(&lost_line, columns.into());
    let other = flow.map_or(text::UNKNOWN.to_owned(), |flow| {
        let mut parts = vec![format!(
            "{} opened, {} closed",
            text::rate(flow.connections_opened),
            text::rate(flow.connections_closed)
        )];
        for (name, rate) in [
            ("publishers blocked", flow.publishers_blocked),
            ("buffers short", flow.buffer_shortages),
        ] {
            if rate > 0.0 {
                parts.push(format!("{name} {}", text::rate(rate)));
            }
        }
        parts.join(", ")
    });
    vec![
        Line::from(vec![Span::styled("Per second    messages         bytes", theme.title())]),
        messages(
            "published",
            flow.map(|flow| flow.published_messages),
            flow.map(|flow| flow.published_bytes),
        ),
        messages(
            "delivered",
            flow.map(|flow| flow.delivered_messages),
            flow.map(|flow| flow.sent_bytes),
        ),
        Line::styled(lost_line, theme.for_loss(lost.unwrap_or(0.0))),
        Line::from(format!("conns     {other}")),
    ]
}

fn latency_lines(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let ever = state
        .last_poll
        .as_ref()
        .map_or([None; 4], |last_poll| since_start(&last_poll.status.latency));
    let mut lines = vec![Line::styled(
        format!("{:<8}{:>12}{:>13}", "Latency", "now", "since start"),
        theme.title(),
    )];
    for (at, (name, _)) in PERCENTILES.iter().enumerate() {
        let now = text::percentile(state.rates.as_ref().and_then(|rates| rates.latency[at]));
        let ever = text::or_unknown(ever[at], text::time);
        lines.push(Line::from(format!("{name:<8}{now:>12}{ever:>13}")));
    }
    lines
}

fn limit_line(limit: &Limit, theme: Theme) -> Line<'static> {
    let share = text::share(limit.used, limit.limit);
    let show = if &*limit.unit == "bytes" { text::bytes } else { text::count };
    let of = format!("{} of {}", show(limit.used), show(limit.limit));
    let gauge = format!("{}{:>6}", bar(share, 10), text::percent(share));
    Line::from(vec![
        Span::raw(text::pad(&limit.name, 12, false)),
        Span::styled(gauge, theme.for_share(share)),
        Span::raw(format!(" {of:<21}")),
        Span::styled(limit.key.to_string(), theme.quiet()),
    ])
}

fn core_lines(state: &State, area: Rect, theme: Theme) -> Vec<Line<'static>> {
    let Some(last_poll) = &state.last_poll else { return Vec::new() };
    let mut rows: Vec<CoreRow<'_>> = Vec::with_capacity(last_poll.cores.cores.len());
    for (at, core) in last_poll.cores.cores.iter().enumerate() {
        let rates = state.rates.as_ref().and_then(|rates| rates.cores.get(at)?.as_ref());
        rows.push((core, rates));
    }
    let sort = state.sort();
    let rate = |(_, rates): &CoreRow<'_>, of: fn(&CoreRates) -> f64| rates.map_or(-1.0, of);
    let value = |row: &CoreRow<'_>| match sort.key {
        "load" => rate(row, |rates| rates.load),
        "published" => rate(row, |rates| rates.flow.published_messages),
        "delivered" => rate(row, |rates| rates.flow.delivered_messages),
        "lost" => rate(row, |rates| rates.flow.lost()),
        "connections" => row.0.gauges.connections as f64,
        _ => f64::from(row.0.core),
    };
    rows.sort_by(|left, right| value(left).total_cmp(&value(right)));
    if sort.descending {
        rows.reverse();
    }
    let fit = usize::from(area.height.saturating_sub(2));
    let first = (state.offset() as usize).min(rows.len().saturating_sub(fit));
    let shown = rows.len().min(first + fit);
    let mut lines =
        vec![list_title("Cores", first as u64, shown - first, rows.len() as u64, sort, theme)];
    let rows = rows[first..shown].iter().copied();
    lines.extend(table::lines(&cores(), rows, area.width, theme));
    lines
}

/// Returns the title of a list, with the range of rows and their order.
pub fn list_title(
    name: &'static str,
    first: u64,
    shown: usize,
    total: u64,
    sort: Sort,
    theme: Theme,
) -> Line<'static> {
    let which = match shown {
        0 => format!(" none of {}", text::count(total)),
        _ => format!(" {} to {} of {total}", first + 1, first + shown as u64),
    };
    let order = if sort.descending { "highest first" } else { "lowest first" };
    Line::from(vec![
        Span::styled(name, theme.title()),
        Span::raw(which),
        Span::styled(format!("  by {}, {order}", sort.key.replace('_', " ")), theme.quiet()),
    ])
}
