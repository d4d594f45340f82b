//! Formats numbers and names for the screen: short, and never wider than their column.
//!
//! Called by `view` and `once`.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::rates::Percentile;
use crate::cli::admin::model::{Core, Dropped};
use crate::cli::units;

/// The placeholder for an unknown value.
pub const UNKNOWN: &str = "-";

/// Formats a duration: 12 s, 3 min 5 s, 2 h 0 min, 5 d 3 h.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{minutes} min {} s", whole % 60),
        3_600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Formats a time that may be short: 12.3 us, 1.50 ms, 2.00 s, and from a minute on as `duration`.
pub fn time(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        60.0.. => duration(seconds),
        _ => units::micros(seconds * 1e6),
    }
}

/// Formats `--interval`: in seconds if they are whole, else in milliseconds.
pub fn interval(interval: Duration) -> String {
    match interval.subsec_millis() {
        0 => duration(interval.as_secs_f64()),
        _ => format!("{} ms", interval.as_millis()),
    }
}

pub fn percentile(percentile: Option<Percentile>) -> String {
    match percentile {
        Some(Percentile { value, is_above: true }) => format!("over {}", time(value)),
        Some(Percentile { value, .. }) => time(value),
        None => UNKNOWN.to_owned(),
    }
}

/// Formats a count: as a whole number up to 999, then with a unit.
pub fn count(count: u64) -> String {
    if count < 1_000 { count.to_string() } else { units::count(count as f64) }
}

pub fn bytes(bytes: u64) -> String {
    if bytes < 1_024 { format!("{bytes} B") } else { units::bytes(bytes as f64) }
}

/// Formats events per second; a rate below one in ten seconds is not shown as 0.
pub fn rate(rate: f64) -> String {
    match rate {
        rate if rate > 0.0 && rate < 0.1 => "<0.1".to_owned(),
        rate if rate < 99.95 && rate.fract() != 0.0 => format!("{rate:.1}"),
        rate if rate < 999.5 => format!("{rate:.0}"),
        rate => units::count(rate),
    }
}

pub fn or_unknown<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or(UNKNOWN.to_owned(), show)
}

pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Returns the used fraction of a limit; a limit of 0 counts as unused.
pub fn share(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

/// Lists the reasons why a subscription lost messages, the largest count first.
pub fn reasons(dropped: &Dropped) -> String {
    let mut all = [
        (dropped.overflow_oldest, "oldest"),
        (dropped.overflow_new, "new"),
        (dropped.connection_full, "connection full"),
        (dropped.reclaimed, "reclaimed"),
        (dropped.conflated, "conflated"),
        (dropped.expired, "expired"),
    ];
    all.sort_by_key(|(lost, _)| std::cmp::Reverse(*lost));
    let some = all.iter().filter(|(lost, _)| *lost > 0);
    some.map(|(lost, name)| format!("{name} {}", count(*lost))).collect::<Vec<_>>().join(", ")
}

/// Lists the cores that did not answer in time.
pub fn unanswered(cores: &[Core]) -> Option<String> {
    let unanswered = cores.iter().filter(|core| !core.answered).map(|core| core.core);
    core_list(&unanswered.collect::<Vec<_>>())
}

pub fn core_list(cores: &[u32]) -> Option<String> {
    let (first, rest) = cores.split_first()?;
    let mut text = first.to_string();
    for core in rest.iter().take(7) {
        text.push_str(&format!(", {core}"));
    }
    if rest.len() > 7 {
        text.push_str(&format!(" and {} more", rest.len() - 7));
    }
    Some(text)
}

/// Returns the width of a text in terminal columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to at most `columns` columns; a cut is marked.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitting = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        fitting.push(character);
    }
    if columns > 0 {
        fitting.push('…');
    }
    fitting
}

/// Pads or cuts a text to exactly `columns` columns.
pub fn pad(text: &str, columns: usize, align_right: bool) -> String {
    let text = fit(text, columns);
    let blanks = " ".repeat(columns.saturating_sub(width(&text)));
    if align_right { blanks + &text } else { text + &blanks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits_them() {
        assert_eq!(duration(59.9), "59 s");
        assert_eq!(duration(185.0), "3 min 5 s");
        assert_eq!(duration(7_200.0), "2 h 0 min");
        assert_eq!(duration(5.0 * 86_400.0 + 3_700.0), "5 d 1 h");
        assert_eq!(time(0.0), "0");
        assert_eq!(time(0.000_012_34), "12.3 us");
        assert_eq!(time(1.5), "1.50 s");
        assert_eq!(time(61.0), "1 min 1 s");
        assert_eq!(interval(Duration::from_secs(1)), "1 s");
        assert_eq!(interval(Duration::from_millis(1_500)), "1500 ms");
    }

    #[test]
    fn rates_are_whole_or_have_one_decimal_and_small_ones_are_not_zero() {
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.02), "<0.1");
        assert_eq!(rate(2.0), "2");
        assert_eq!(rate(12.34), "12.3");
        assert_eq!(rate(1_234_567.8), "1.23 M");
    }

    #[test]
    fn percentiles_above_the_last_bound_are_marked() {
        assert_eq!(percentile(None), "-");
        let above = Percentile { value: 2.0, is_above: true };
        assert_eq!(percentile(Some(above)), "over 2.00 s");
    }

    #[test]
    fn names_are_cut_by_their_width_in_columns() {
        assert_eq!(fit("orders.eu", 9), "orders.eu");
        assert_eq!(fit("orders.eu", 8), "orders.…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("日本語", 4, false), "日… ");
        assert_eq!(pad("7", 3, true), "  7");
    }

    #[test]
    fn reasons_start_with_the_largest_and_long_lists_of_cores_are_cut() {
        let dropped = Dropped {
            overflow_oldest: 2,
            overflow_new: 0,
            connection_full: 0,
            reclaimed: 0,
            conflated: 0,
            expired: 1_500,
        };
        assert_eq!(reasons(&dropped), "expired 1.50 k, oldest 2");
        assert_eq!(core_list(&[]), None);
        assert_eq!(core_list(&[4, 5]).as_deref(), Some("4, 5"));
        let many: Vec<u32> = (0..20).collect();
        assert_eq!(core_list(&many).as_deref(), Some("0, 1, 2, 3, 4, 5, 6, 7 and 12 more"));
    }
}
