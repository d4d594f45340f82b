//! The help: the keys and the meaning of the columns, over the current screen.
//!
//! Called by `view`.

use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Widget};

use super::theme::Theme;
use crate::cli::top::input::KEYS;

const COLUMNS: u16 = 76;

/// The meaning of columns whose titles are too short to be clear.
const MEANINGS: [&str; 7] = [
    "LOAD is the share of time that a core did not sleep; SND/ENT are sends per",
    "system call, MSG/SND messages per send, MESH messages to other cores.",
    "Latency is from accept to send; `now` is between the last two polls, within",
    "a bucket of the broker's histogram (about 19 %).",
    "QUEUE is the used share, LAG the age of the oldest message, LOST/s the loss",
    "between the last two polls. WHY: overflow dropped the oldest or the new",
    "message, a newer message of the topic replaced it, or it expired.",
];

pub fn area(screen: Rect) -> Rect {
    let lines = (KEYS.len() + MEANINGS.len() + 3) as u16;
    screen.centered(Constraint::Length(COLUMNS + 2), Constraint::Length(lines))
}

pub fn widget(theme: Theme) -> impl Widget {
    let key_line = |(key, meaning): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("{key:<18}"), theme.strong()), Span::raw(*meaning)])
    };
    let mut lines: Vec<Line<'static>> = KEYS.iter().map(key_line).collect();
    lines.push(Line::default());
    lines.extend(MEANINGS.map(Line::from));
    Paragraph::new(lines).block(Block::bordered().title(" Keys "))
}
