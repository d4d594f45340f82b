//! A latency histogram in HdrHistogram's percentile format, which its plotters read.
//!
//! Called by `mod` for `--hgrm`, once per target.

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

/// The number of lines for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

/// Formats a histogram in nanoseconds as text in microseconds.
pub fn text(latency: &Histogram<u64>) -> String {
    let micros = |ns: f64| ns / 1_000.0;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for step in latency.iter_quantiles(TICKS_PER_HALF) {
        count += step.count_since_last_iteration();
        let value = micros(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        text.push_str(&format!("{value:12.3} {quantile:2.12} {count:10}"));
        if quantile < 1.0 {
            text.push_str(&format!(" {:14.2}", 1.0 / (1.0 - quantile)));
        }
        text.push('\n');
    }
    let (mean, deviation) = (micros(latency.mean()), micros(latency.stdev()));
    let (max, total) = (micros(latency.max() as f64), latency.len());
    let (buckets, slots) = (latency.buckets(), 1u64 << 11);
    text.push_str(&format!("#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n"));
    text.push_str(&format!("#[Max     = {max:12.3}, Total count    = {total:12}]\n"));
    text.push_str(&format!("#[Buckets = {buckets:12}, SubBuckets     = {slots:12}]\n"));
    text
}

/// Returns the file for one target; with several targets, the target's name goes before the
/// extension.
pub fn file_name(file: &Path, name: Option<&str>) -> PathBuf {
    let Some(name) = name else { return file.to_owned() };
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    match file.extension() {
        Some(extension) => {
            file.with_file_name(format!("{stem}.{name}.{}", extension.to_string_lossy()))
        }
        None => file.with_file_name(format!("{stem}.{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::worker;
    use super::*;

    #[test]
    fn text_has_ascending_values_up_to_the_maximum_and_a_footer() {
        let mut latency = worker::histogram();
        (1..=1_000u64)
            .for_each(|micros| latency.record(micros * 1_000).expect("a value within the bounds"));
        let text = text(&latency);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        assert_eq!(lines[1], "");
        let (rows, footer) = lines[2..].split_at(lines.len() - 5);
        let numbers: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.split_whitespace().map(|word| word.parse().expect("a number")).collect())
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]));
        let last = numbers.last().expect("rows");
        assert!(last.len() == 3 && last[1] == 1.0 && last[2] == 1_000.0, "{last:?}");
        assert!((last[0] - 1_000.0).abs() < 1.0, "{last:?}");
        let median = numbers.iter().find(|row| row[1] >= 0.5).expect("the median");
        assert!((median[0] - 500.0).abs() < 1.0 && median[3] == 2.0, "{median:?}");
        assert!(footer[0].starts_with("#[Mean    =      500."), "{footer:?}");
        assert!(footer[1].contains("Total count    =         1000]"), "{footer:?}");
        assert!(footer[2].starts_with("#[Buckets"), "{footer:?}");
    }

    #[test]
    fn each_of_several_targets_has_its_own_file() {
        let file = Path::new("/tmp/a.hgrm");
        assert_eq!(file_name(file, None), Path::new("/tmp/a.hgrm"));
        assert_eq!(file_name(file, Some("nats")), Path::new("/tmp/a.nats.hgrm"));
        assert_eq!(file_name(Path::new("b"), Some("raw")), Path::new("b.raw"));
    }
}
