//! The keys, over whatever is on the screen.
//!
//! Called by `view`.

use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Widget};

use super::theme::Theme;
use crate::cli::top::input::KEYS;

const COLUMNS: u16 = 76;

/// What the figures mean, where the title of a column is too short to tell.
const MEANINGS: [&str; 7] = [
    "LOAD is the share of the time that a core did not sleep; SND/ENT are sends",
    "per system call, MSG/SND messages per send, MESH letters to other cores.",
    "Latency is from accept to send; `now` is between the last two polls, exact",
    "to a bucket of the broker's histogram (about 19 %).",
    "QUEUE is how full it is, LAG the age of its oldest message, LOST/s what it",
    "lost between the last two polls. WHY: overflow took the oldest or refused",
    "the new, a newer one of the topic took its place, or its time was over.",
];

pub fn area(screen: Rect) -> Rect {
    let lines = (KEYS.len() + MEANINGS.len() + 3) as u16;
    screen.centered(Constraint::Length(COLUMNS + 2), Constraint::Length(lines))
}

pub fn widget(theme: Theme) -> impl Widget {
    let of_key = |(key, meaning): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("{key:<18}"), theme.strong()), Span::raw(*meaning)])
    };
    let mut lines: Vec<Line<'static>> = KEYS.iter().map(of_key).collect();
    lines.push(Line::default());
    lines.extend(MEANINGS.map(Line::from));
    Paragraph::new(lines).block(Block::bordered().title(" Keys "))
}
