//! Tables, in which one column takes the width that the others leave.
//!
//! Called by `lists` and `overview`.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::cli::top::text;

/// A column of a table of rows.
pub struct Column<Row> {
    pub title: &'static str,
    /// The width; 0 for the column that takes the rest.
    pub width: u16,
    /// The least width of a screen that shows the column.
    pub screen_width_min: u16,
    pub align_right: bool,
    pub cell: fn(&Row) -> String,
    pub style: fn(&Row, Theme) -> Style,
}

impl<Row> Column<Row> {
    /// Creates a column of numbers, aligned to the right.
    pub const fn number(title: &'static str, width: u16, cell: fn(&Row) -> String) -> Self {
        Column {
            title,
            width,
            screen_width_min: 0,
            align_right: true,
            cell,
            style: |_, _| Style::new(),
        }
    }

    /// Creates a column of names, aligned to the left.
    pub const fn name(title: &'static str, width: u16, cell: fn(&Row) -> String) -> Self {
        Column {
            title,
            width,
            screen_width_min: 0,
            align_right: false,
            cell,
            style: |_, _| Style::new(),
        }
    }

    /// Hides the column on narrower screens.
    pub const fn from(self, screen_width_min: u16) -> Self {
        Column { screen_width_min, ..self }
    }

    pub const fn styled(self, style: fn(&Row, Theme) -> Style) -> Self {
        Column { style, ..self }
    }
}

/// Formats a line of titles and a line for each row.
pub fn lines<Row>(
    columns: &[Column<Row>],
    rows: impl Iterator<Item = Row>,
    screen: u16,
    theme: Theme,
) -> Vec<Line<'static>> {
    let columns: Vec<_> =
        columns.iter().filter(|column| column.screen_width_min <= screen).collect();
    let taken: u16 = columns.iter().map(|column| column.width + 1).sum::<u16>().saturating_sub(1);
    let rest = screen.saturating_sub(taken);
    let padded = |column: &Column<Row>, cell: &str| {
        let width = if column.width == 0 { rest } else { column.width };
        text::pad(cell, width.into(), column.align_right)
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

    fn text_lines(screen: u16) -> Vec<String> {
        let rows = [("a", 7), ("a long name", 123_456)].into_iter();
        let lines = lines(&COLUMNS, rows, screen, Theme { has_colour: false });
        lines.iter().map(Line::to_string).collect()
    }

    #[test]
    fn one_column_takes_the_rest_and_no_cell_is_wider_than_its_column() {
        assert_eq!(text_lines(12), ["NAME       N", "a          7", "a long… 123…"]);
    }

    #[test]
    fn columns_for_wide_screens_are_hidden_on_narrow_ones() {
        assert_eq!(text_lines(30)[1], format!("a{}7      7", " ".repeat(21)));
        assert!(!text_lines(29)[0].contains("WIDE"));
    }

    #[test]
    fn narrow_screens_cause_no_panic() {
        for screen in 0..12 {
            assert_eq!(text_lines(screen).len(), 3);
        }
    }
}
