//! The screen, as a pure function of what is known.
//!
//! Called by `mod` of `top`. Each view is a file of this folder.
//!
//! # Always true
//! - Text of the broker and its clients comes as `Printable`, so it cannot steer the terminal.
//! - A screen without room shows less, and panics of nothing.

mod help;
mod lists;
pub mod overview;
mod table;
#[cfg(test)]
mod tests;
pub mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect, Size};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Wrap};

use super::navigation::View;
use super::state::State;
use super::text;
use crate::cli::admin::model::Gauges;
pub use lists::fill;
use theme::Theme;

/// Lines of the status at the top, without the views' names.
const HEAD: u16 = 3;
const TROUBLE_LINES_MAX: usize = 4;

/// Rows of the list of this view that are seen at once.
pub fn rows_fit(state: &State, size: Size) -> u16 {
    let body = areas(state, Rect::from((ratatui::layout::Position::ORIGIN, size)))[3];
    match state.view {
        View::Overview => overview::cores_fit(body.as_size(), size),
        // Its title and those of its columns.
        _ => body.height.saturating_sub(2),
    }
}

/// Head, trouble, names of the views, body, foot.
fn areas(state: &State, screen: Rect) -> [Rect; 5] {
    let trouble = trouble_text(state).map_or(0, |told| {
        let lines = text::width(&told) / usize::from(screen.width).max(1) + 1;
        // Words that do not fit move on to the next line.
        lines.min(TROUBLE_LINES_MAX - 1) as u16 + 1
    });
    Layout::vertical([
        Constraint::Length(HEAD),
        Constraint::Length(trouble),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(screen)
}

pub fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let [head, trouble, names, body, foot] = areas(state, frame.area());
    frame.render_widget(Paragraph::new(head_lines(state, theme)), head);
    if let Some(told) = trouble_text(state) {
        let told = Line::styled(told, theme.bad());
        frame.render_widget(Paragraph::new(told).wrap(Wrap { trim: true }), trouble);
    }
    frame.render_widget(Paragraph::new(name_line(state, theme)), names);
    match state.view {
        View::Overview => overview::draw(frame, body, state, theme),
        View::Subscribers => {
            let lines = lists::subscriber_lines(state, body.width, theme);
            let page = state.lists.subscriptions.as_ref();
            let part = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, part, lines, theme);
        }
        View::Topics => {
            let lines = lists::topic_lines(state, body.width, theme);
            let page = state.lists.topics.as_ref();
            let part = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, part, lines, theme);
        }
        View::Connections => {
            let lines = lists::connection_lines(state, body.width, theme);
            let page = state.lists.connections.as_ref();
            let part = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, part, lines, theme);
        }
    }
    frame.render_widget(Paragraph::new(foot_line(state, theme)), foot);
    if state.help {
        let area = help::area(frame.area());
        frame.render_widget(Clear, area);
        frame.render_widget(help::widget(theme), area);
    }
}

/// `part` is the first row, how many there are, and the cores that did not tell of theirs.
fn draw_list(
    frame: &mut Frame<'_>,
    body: Rect,
    state: &State,
    part: Option<(u64, u64, &[u32])>,
    mut lines: Vec<Line<'static>>,
    theme: Theme,
) {
    let Some((offset, total, unanswered)) = part else {
        let asking = if state.trouble.is_none() { "asking the broker" } else { "not known" };
        frame.render_widget(Paragraph::new(asking), body);
        return;
    };
    let fit = usize::from(body.height.saturating_sub(2));
    let shown = (lines.len() - 1).min(fit);
    let name = state.view.title();
    let mut title = overview::section(name, offset, shown, total, state.sort(), theme);
    if let Some(cores) = text::numbers(unanswered) {
        title.push_span(Span::styled(format!("  without core {cores}"), theme.bad()));
    }
    lines.insert(0, title);
    frame.render_widget(Paragraph::new(lines), body);
}

fn trouble_text(state: &State) -> Option<String> {
    let trouble = state.trouble.as_ref()?;
    let lasts = text::duration(trouble.lasts.as_secs_f64());
    let old = if state.seen.is_some() { " What is below is as it was before." } else { "" };
    Some(format!("No answer for {lasts}, still trying.{old} {}", trouble.text))
}

fn head_lines(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let Some(seen) = &state.seen else {
        return vec![Line::from(vec![
            Span::styled("BlipMQ", theme.title()),
            Span::raw(format!(" at {}", state.base)),
        ])];
    };
    let status = &seen.status;
    let ready = if &*status.state == "ready" { theme.good() } else { theme.warning() };
    let mut first = Line::from(vec![
        Span::styled(format!("BlipMQ {}", status.version), theme.title()),
        Span::raw("  "),
        Span::styled(status.state.to_string(), ready),
    ]);
    if state.restarted {
        first.push_span(Span::styled("  started again", theme.warning()));
    }
    if let Some(cores) = text::silent(&seen.cores.cores) {
        first.push_span(Span::styled(format!("  no answer of core {cores}"), theme.bad()));
    }
    first.push_span(format!(
        "  up {}  pid {}  id {}",
        text::duration(status.uptime_seconds),
        status.pid,
        status.server_id
    ));
    let addresses = &status.addresses;
    let nats = addresses.nats.as_deref().unwrap_or("off");
    let cpus = state.rates.as_ref().and_then(|rates| rates.cpus_busy);
    let process = &status.process;
    let sum = |of: fn(&Gauges) -> u64| -> u64 {
        seen.cores.cores.iter().map(|core| of(&core.gauges)).sum()
    };
    let mut third = Line::from(format!(
        "CPU {}  RSS {}  {} conns ({} NATS)  {} subs  {} topics",
        text::or_unknown(cpus, text::percent),
        text::bytes(process.resident_bytes),
        text::count(sum(|gauges| gauges.connections)),
        text::count(sum(|gauges| gauges.nats_connections)),
        text::count(sum(|gauges| gauges.subscriptions)),
        text::count(sum(|gauges| gauges.topics)),
    ));
    let blocked = sum(|gauges| gauges.blocked_topics);
    if blocked > 0 {
        third.push_span(Span::styled(format!(", {blocked} blocked"), theme.warning()));
    }
    third.push_span(Span::styled(format!("  {} threads", process.threads), theme.quiet()));
    vec![
        first,
        Line::from(format!("blip {}  nats {nats}  metrics {}", addresses.blip, addresses.metrics)),
        third,
    ]
}

fn name_line(state: &State, theme: Theme) -> Line<'static> {
    let mut line = Line::default();
    for (number, view) in (1..).zip(View::ALL) {
        let style = if view == state.view { theme.chosen() } else { theme.plain() };
        line.push_span(Span::styled(format!(" {number} {} ", view.title()), style));
        line.push_span(" ");
    }
    line
}

fn foot_line(state: &State, theme: Theme) -> Line<'static> {
    let pace = match state.paused {
        true => Span::styled("PAUSED", theme.chosen()),
        false => Span::styled(format!("every {}", text::interval(state.interval)), theme.quiet()),
    };
    let keys = "q quit  tab 1-4 view  s sort  r turn round  p pause  ? help  ";
    Line::from(vec![Span::styled(keys, theme.quiet()), pace])
}
