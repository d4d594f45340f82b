//! Rows in columns of which one takes what the others leave.
//!
//! Called by the views.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::cli::top::text;

/// A column of rows of this kind.
pub struct Column<Row> {
    pub title: &'static str,
    /// 0 for the one that takes the rest.
    pub width: u16,
    /// Not there on narrower screens.
    pub from_screen: u16,
    pub to_the_right: bool,
    pub cell: fn(&Row) -> String,
    pub style: fn(&Row, Theme) -> Style,
}

impl<Row> Column<Row> {
    /// A number.
    pub const fn number(title: &'static str, width: u16, cell: fn(&Row) -> String) -> Self {
        Column {
            title,
            width,
            from_screen: 0,
            to_the_right: true,
            cell,
            style: |_, _| Style::new(),
        }
    }

    /// A name.
    pub const fn name(title: &'static str, width: u16, cell: fn(&Row) -> String) -> Self {
        Column {
            title,
            width,
            from_screen: 0,
            to_the_right: false,
            cell,
            style: |_, _| Style::new(),
        }
    }

    /// Only on screens of so many columns.
    pub const fn from(self, from_screen: u16) -> Self {
        Column { from_screen, ..self }
    }

    pub const fn styled(self, style: fn(&Row, Theme) -> Style) -> Self {
        Column { style, ..self }
    }
}

/// A line of titles, and one for each row.
pub fn lines<Row>(
    columns: &[Column<Row>],
    rows: impl Iterator<Item = Row>,
    screen: u16,
    theme: Theme,
) -> Vec<Line<'static>> {
    let columns: Vec<_> = columns.iter().filter(|column| column.from_screen <= screen).collect();
    let taken: u16 = columns.iter().map(|column| column.width + 1).sum::<u16>().saturating_sub(1);
    let rest = screen.saturating_sub(taken);
    let padded = |column: &Column<Row>, cell: &str| {
        let width = if column.width == 0 { rest } else { column.width };
        text::pad(cell, width.into(), column.to_the_right)
    };
    let spaced = |cells: Vec<Span<'static>>| {
        let mut line = Line::default();
        for (at, cell) in cells.into_iter().enumerate() {
            if at > 0 {
                line.push_span(" ");
            }
            line.push_span(cell);
        }
        line
    };
    let titles =
        columns.iter().map(|column| Span::styled(padded(column, column.title), theme.strong()));
    let mut lines = vec![spaced(titles.collect())];
    for row in rows {
        let cells = columns.iter().map(|column| {
            Span::styled(padded(column, &(column.cell)(&row)), (column.style)(&row, theme))
        });
        lines.push(spaced(cells.collect()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<(&str, u64)>; 3] = [
        Column::name("NAME", 0, |row| row.0.to_owned()),
        Column::number("N", 4, |row| row.1.to_string()),
        Column::number("WIDE", 6, |row: &(&str, u64)| row.1.to_string()).from(30),
    ];

    fn shown(screen: u16) -> Vec<String> {
        let rows = [("a", 7), ("a long name", 123_456)].into_iter();
        let lines = lines(&COLUMNS, rows, screen, Theme { has_colour: false });
        lines.iter().map(Line::to_string).collect()
    }

    #[test]
    fn one_column_takes_the_rest_and_no_cell_is_wider_than_its_column() {
        assert_eq!(shown(12), ["NAME       N", "a          7", "a long… 123…"]);
    }

    #[test]
    fn columns_for_wide_screens_are_there_on_wide_screens() {
        assert_eq!(shown(30)[1], format!("a{}7      7", " ".repeat(21)));
        assert!(!shown(29)[0].contains("WIDE"));
    }

    #[test]
    fn screens_without_room_panic_of_nothing() {
        for screen in 0..12 {
            assert_eq!(shown(screen).len(), 3);
        }
    }
}
