//! The tables of subscribers, topics and connections.
//!
//! Called by `view` for a whole screen, and by `overview` for the first rows.

use ratatui::text::Line;

use super::table::{self, Column};
use super::theme::Theme;
use crate::cli::admin::model::{Connection, Printable, Subscription, Topic};
use crate::cli::top::state::State;
use crate::cli::top::text;

/// A subscription and the rate at which it loses messages.
type Subscriber<'a> = (&'a Subscription, Option<f64>);

/// A name, or nothing where there is none.
fn shown(name: &Option<Printable>) -> String {
    name.as_ref().map_or(String::new(), ToString::to_string)
}

const fn subscribers<'a>() -> [Column<Subscriber<'a>>; 16] {
    [
        Column::name("PATTERN", 0, |row: &Subscriber| row.0.pattern.to_string()),
        Column::name("GROUP", 10, |row: &Subscriber| shown(&row.0.group)).from(150),
        Column::name("CONN", 9, |row: &Subscriber| shown(&row.0.connection)),
        Column::name("ADDRESS", 21, |row: &Subscriber| shown(&row.0.address)).from(130),
        Column::name("PROTO", 5, |row: &Subscriber| shown(&row.0.protocol)).from(190),
        Column::name("POLICY", 11, |row: &Subscriber| row.0.overflow.to_string()).from(120),
        Column::name("STATE", 8, |row: &Subscriber| row.0.state.to_string()).from(190),
        Column::number("QUEUE", 6, |row: &Subscriber| text::percent(queue_fill(row.0)))
            .styled(|row, theme| theme.for_share(queue_fill(row.0))),
        Column::number("MSGS", 7, |row: &Subscriber| text::count(row.0.queued_messages)).from(150),
        Column::number("BYTES", 8, |row: &Subscriber| text::bytes(row.0.queued_bytes)).from(110),
        Column::number("DELIVERED", 9, |row: &Subscriber| text::count(row.0.delivered_messages))
            .from(190),
        Column::number("LAG", 8, |row: &Subscriber| text::time(row.0.lag_seconds)),
        Column::number("LOST", 7, |row: &Subscriber| text::count(row.0.dropped_messages))
            .styled(|row, theme| theme.for_loss(row.0.dropped_messages as f64)),
        Column::number("LOST/s", 7, |row: &Subscriber| text::or_unknown(row.1, text::rate))
            .styled(|row, theme| theme.for_loss(row.1.unwrap_or(0.0))),
        Column::number("HOLDS", 5, |row: &Subscriber| text::count(row.0.holds_up_topics)).from(190),
        Column::name("WHY", 16, |row: &Subscriber| text::reasons(&row.0.dropped)),
    ]
}

/// Returns the used fraction of a subscription's queue: of its messages or its bytes, whichever is
/// larger.
pub fn queue_fill(row: &Subscription) -> f64 {
    let messages = text::share(row.queued_messages, row.messages_max);
    messages.max(text::share(row.queued_bytes, row.bytes_max))
}

const fn topics<'a>() -> [Column<&'a Topic>; 8] {
    [
        Column::name("TOPIC", 0, |row: &&Topic| row.topic.to_string()),
        Column::number("CORE", 4, |row: &&Topic| row.core.to_string()),
        Column::number("RATE/s", 8, |row: &&Topic| text::rate(row.rate_per_second)),
        Column::number("TOTAL", 8, |row: &&Topic| text::count(row.published_messages)),
        Column::number("KEPT", 7, |row: &&Topic| text::count(row.kept_messages)),
        Column::number("BYTES", 8, |row: &&Topic| text::bytes(row.kept_bytes)),
        Column::number("IDLE", 9, |row: &&Topic| text::time(row.idle_seconds)),
        Column::name(
            "",
            7,
            |row: &&Topic| {
                if row.blocked { "blocked".to_owned() } else { String::new() }
            },
        )
        .styled(|_, theme| theme.warning()),
    ]
}

const fn connections<'a>() -> [Column<&'a Connection>; 14] {
    [
        Column::name("ADDRESS", 0, |row: &&Connection| row.address.to_string()),
        Column::name("CONN", 9, |row: &&Connection| row.connection.to_string()),
        Column::number("CORE", 4, |row: &&Connection| row.core.to_string()).from(120),
        Column::name("PROTO", 5, |row: &&Connection| row.protocol.to_string()),
        Column::name("STATE", 9, |row: &&Connection| row.state.to_string()).from(100),
        // Why the broker does not read from the connection at the moment.
        Column::name("PAUSED", 7, |row: &&Connection| {
            row.paused.as_ref().map_or(String::new(), ToString::to_string)
        })
        .styled(|_, theme| theme.warning()),
        Column::number("SUBS", 5, |row: &&Connection| text::count(row.subscriptions)),
        Column::number("PUBLISHED", 9, |row: &&Connection| text::count(row.published_messages))
            .from(140),
        Column::number("DELIVERED", 9, |row: &&Connection| text::count(row.delivered_messages))
            .from(140),
        Column::number("MSGS", 7, |row: &&Connection| text::count(row.queued_messages)).from(120),
        Column::number("QUEUED", 8, |row: &&Connection| text::bytes(row.queued_bytes)),
        Column::number("LAG", 8, |row: &&Connection| text::time(row.lag_seconds)),
        Column::number("LOST", 7, |row: &&Connection| text::count(row.dropped_messages))
            .styled(|row, theme| theme.for_loss(row.dropped_messages as f64)),
        Column::number("AGE", 10, |row: &&Connection| text::duration(row.age_seconds)).from(110),
    ]
}

pub fn subscriber_lines(state: &State, screen: u16, theme: Theme) -> Vec<Line<'static>> {
    let rows = state.lists.subscriptions.iter().flat_map(|page| &page.rows);
    let rows = rows.map(|row| (row, state.losses.rate_of(row)));
    table::lines(&subscribers(), rows, screen, theme)
}

pub fn topic_lines(state: &State, screen: u16, theme: Theme) -> Vec<Line<'static>> {
    let rows = state.lists.topics.iter().flat_map(|page| &page.rows);
    table::lines(&topics(), rows, screen, theme)
}

pub fn connection_lines(state: &State, screen: u16, theme: Theme) -> Vec<Line<'static>> {
    let rows = state.lists.connections.iter().flat_map(|page| &page.rows);
    table::lines(&connections(), rows, screen, theme)
}
