//! Numbers with units, rounded for readers.
//!
//! Called by the reports of `bench`, and by `top`.

/// Formats a count with three significant digits and k, M or G.
pub fn count(value: f64) -> String {
    scaled(value, &[(1e9, " G"), (1e6, " M"), (1e3, " k")], "")
}

/// Formats microseconds as us, ms or s.
pub fn micros(value: f64) -> String {
    scaled(value, &[(1e6, " s"), (1e3, " ms")], " us")
}

pub fn bytes(value: f64) -> String {
    const KIB: f64 = 1_024.0;
    let units = [(KIB * KIB * KIB, " GiB"), (KIB * KIB, " MiB"), (KIB, " KiB")];
    scaled(value, &units, " B")
}

fn scaled(value: f64, units: &[(f64, &str)], unit: &str) -> String {
    match units.iter().find(|(scale, _)| value.abs() >= *scale) {
        Some((scale, unit)) => format!("{}{unit}", digits(value / scale)),
        None => format!("{}{unit}", digits(value)),
    }
}

/// Formats a number with three significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 || value == 0.0 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(1_234.0), "1.23 k");
        assert_eq!(count(23_456_789.0), "23.5 M");
        assert_eq!(micros(12.34), "12.3 us");
        assert_eq!(micros(1_500.0), "1.50 ms");
        assert_eq!(bytes(1_572_864.0), "1.50 MiB");
    }
}
