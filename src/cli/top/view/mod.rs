//! Draws the screen, as a pure function of the state.
//!
//! Called by `mod` of `top`.
//!
//! # Always true
//! - Text from the broker and its clients is `Printable`, so it cannot control the terminal.
//! - A small screen shows less; no size causes a panic.

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
pub use lists::queue_fill;
use theme::Theme;

/// The number of status lines at the top, without the names of the views.
const HEAD_LINES: u16 = 3;
const OUTAGE_LINES_MAX: usize = 4;

/// Returns how many rows of the view's list fit on the screen.
pub fn rows_fit(state: &State, size: Size) -> u16 {
    let body = areas(state, Rect::from((ratatui::layout::Position::ORIGIN, size)))[3];
    match state.view {
        View::Overview => overview::cores_fit(body.as_size(), size),
        // Without the title of the list and the titles of its columns.
        _ => body.height.saturating_sub(2),
    }
}

/// Returns the areas of head, outage, view names, body and foot.
fn areas(state: &State, screen: Rect) -> [Rect; 5] {
    let outage = outage_text(state).map_or(0, |text| {
        let lines = text::width(&text) / usize::from(screen.width).max(1) + 1;
        // One more line, because words are wrapped as a whole.
        lines.min(OUTAGE_LINES_MAX - 1) as u16 + 1
    });
    Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Length(outage),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(screen)
}

pub fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let [head, outage, names, body, foot] = areas(state, frame.area());
    frame.render_widget(Paragraph::new(head_lines(state, theme)), head);
    if let Some(text) = outage_text(state) {
        let text = Line::styled(text, theme.bad());
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), outage);
    }
    frame.render_widget(Paragraph::new(name_line(state, theme)), names);
    match state.view {
        View::Overview => overview::draw(frame, body, state, theme),
        View::Subscribers => {
            let lines = lists::subscriber_lines(state, body.width, theme);
            let page = state.lists.subscriptions.as_ref();
            let range = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, range, lines, theme);
        }
        View::Topics => {
            let lines = lists::topic_lines(state, body.width, theme);
            let page = state.lists.topics.as_ref();
            let range = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, range, lines, theme);
        }
        View::Connections => {
            let lines = lists::connection_lines(state, body.width, theme);
            let page = state.lists.connections.as_ref();
            let range = page.map(|page| (page.offset, page.total, &page.unanswered_cores[..]));
            draw_list(frame, body, state, range, lines, theme);
        }
    }
    frame.render_widget(Paragraph::new(foot_line(state, theme)), foot);
    if state.help {
        let area = help::area(frame.area());
        frame.render_widget(Clear, area);
        frame.render_widget(help::widget(theme), area);
    }
}

/// Draws one list. `range` is the first row, the total number of rows, and the cores without an
/// answer.
fn draw_list(
    frame: &mut Frame<'_>,
    body: Rect,
    state: &State,
    range: Option<(u64, u64, &[u32])>,
    mut lines: Vec<Line<'static>>,
    theme: Theme,
) {
    let Some((offset, total, unanswered)) = range else {
        let asking = if state.outage.is_none() { "waiting for the broker" } else { "unknown" };
        frame.render_widget(Paragraph::new(asking), body);
        return;
    };
    let fit = usize::from(body.height.saturating_sub(2));
    let shown = (lines.len() - 1).min(fit);
    let name = state.view.title();
    let mut title = overview::list_title(name, offset, shown, total, state.sort(), theme);
    if let Some(cores) = text::core_list(unanswered) {
        title.push_span(Span::styled(format!("  without core {cores}"), theme.bad()));
    }
    lines.insert(0, title);
    frame.render_widget(Paragraph::new(lines), body);
}

fn outage_text(state: &State) -> Option<String> {
    let outage = state.outage.as_ref()?;
    let duration = text::duration(outage.duration.as_secs_f64());
    let old = if state.last_poll.is_some() { " The data below is old." } else { "" };
    Some(format!("No answer for {duration}, still trying.{old} {}", outage.text))
}

fn head_lines(state: &State, theme: Theme) -> Vec<Line<'static>> {
    let Some(last_poll) = &state.last_poll else {
        return vec![Line::from(vec![
            Span::styled("BlipMQ", theme.title()),
            Span::raw(format!(" at {}", state.base)),
        ])];
    };
    let status = &last_poll.status;
    let ready = if &*status.state == "ready" { theme.good() } else { theme.warning() };
    let mut first = Line::from(vec![
        Span::styled(format!("BlipMQ {}", status.version), theme.title()),
        Span::raw("  "),
        Span::styled(status.state.to_string(), ready),
    ]);
    if state.restarted {
        first.push_span(Span::styled("  restarted", theme.warning()));
    }
    if let Some(cores) = text::unanswered(&last_poll.cores.cores) {
        first.push_span(Span::styled(format!("  no answer from core {cores}"), theme.bad()));
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
        last_poll.cores.cores.iter().map(|core| of(&core.gauges)).sum()
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
    let keys = "q quit  tab 1-4 view  s sort  r reverse  p pause  ? help  ";
    Line::from(vec![Span::styled(keys, theme.quiet()), pace])
}
