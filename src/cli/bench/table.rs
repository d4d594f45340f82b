//! The table of results: a line per number, a column per target.
//!
//! Called by `mod` and `idle`.

use super::summary::{Measured, NUMBERS, Unit};
use crate::cli::units;

/// Aligns columns of text: the first to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub fn format_value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => units::count(value),
        Unit::Megabytes => units::digits(value),
        Unit::Nanoseconds => format!("{} ns", units::digits(value)),
        Unit::Percent => format!("{value:.0} %"),
        Unit::Bytes => units::bytes(value),
        Unit::Micros => units::micros(value),
    }
}

/// Formats the medians of all targets; from the second target on, with the ratio to the first.
pub fn of(all: &[Measured]) -> String {
    let mut rows = vec![std::iter::once(String::new()).collect::<Vec<_>>()];
    for (at, measured) in all.iter().enumerate() {
        rows[0].push(measured.target.to_string());
        if at > 0 {
            rows[0].push("ratio".to_owned());
        }
    }
    for number in &NUMBERS {
        let values: Vec<_> = all.iter().map(|one| number.median(&one.rounds)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![number.name.to_owned()];
        for (at, value) in values.iter().enumerate() {
            row.push(value.map_or("-".to_owned(), |value| format_value(value, number.unit)));
            if at > 0 {
                let ratio = value.zip(values[0]).filter(|(_, first)| *first != 0.0);
                row.push(ratio.map_or(String::new(), |(value, first)| {
                    format!("{}x", units::digits(value / first))
                }));
            }
        }
        rows.push(row);
    }
    let mut clean = vec!["every message once, in order".to_owned()];
    for (at, measured) in all.iter().enumerate() {
        clean.push(if measured.is_clean() { "yes" } else { "NOT CLEAN" }.to_owned());
        if at > 0 {
            clean.push(String::new());
        }
    }
    rows.push(clean);
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [vec!["".into(), "aaa".into()], vec!["name".into(), "1".into(), "".into()]];
        assert_eq!(aligned(&rows), "      aaa\nname    1\n");
    }
}
