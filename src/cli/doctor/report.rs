//! The results of the checks, and their output as text or as one JSON object.
//!
//! Called by the checks, which create results, and by `doctor`, which prints them.

use std::io::{self, Write};

use serde_json::json;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// The broker works, but worse than the tuning guide promises.
    Warn,
    /// The broker would not start, or would fail later.
    Fail,
    /// The fact cannot be read from here.
    Unknown,
}

impl Status {
    pub const ALL: [Status; 4] = [Status::Ok, Status::Warn, Status::Fail, Status::Unknown];

    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
            Status::Unknown => "UNKNOWN",
        }
    }

    /// Returns the number of the ANSI colour.
    fn colour(self) -> u8 {
        match self {
            Status::Ok => 32,
            Status::Warn => 33,
            Status::Fail => 31,
            Status::Unknown => 36,
        }
    }
}

/// The subject of a check; with an outcome it becomes a [`Check`].
pub struct About {
    pub name: &'static str,
    pub wanted: String,
    /// Why the check matters: a sentence without a full stop.
    pub why: &'static str,
}

impl About {
    pub fn ok(self, found: impl Into<String>) -> Check {
        self.with_status(Status::Ok, found.into(), None)
    }

    pub fn warn(self, found: impl Into<String>, fix: impl Into<String>) -> Check {
        self.with_status(Status::Warn, found.into(), Some(fix.into()))
    }

    pub fn fail(self, found: impl Into<String>, fix: impl Into<String>) -> Check {
        self.with_status(Status::Fail, found.into(), Some(fix.into()))
    }

    /// `reason` is why the fact is unknown.
    pub fn unknown(self, reason: impl Into<String>) -> Check {
        self.with_status(Status::Unknown, reason.into(), None)
    }

    fn with_status(self, status: Status, found: String, fix: Option<String>) -> Check {
        Check { name: self.name, status, found, wanted: self.wanted, why: self.why, fix }
    }
}

/// The result of a check: one line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub status: Status,
    /// The fact, or the reason why it is unknown.
    pub found: String,
    pub wanted: String,
    pub why: &'static str,
    /// What to do about a warning or a failure.
    pub fix: Option<String>,
}

/// The results of all checks, in the order of the output.
pub struct Report(pub Vec<Check>);

/// The width of the column `found`; longer text shifts the rest of the line.
const FOUND_WIDTH_MAX: usize = 24;

impl Report {
    pub fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|check| check.status == status).count()
    }

    /// Writes one line per check; below checks with a fix, why it matters and the fix.
    pub fn write_text(&self, out: &mut impl Write, coloured: bool) -> io::Result<()> {
        let name_width = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.0 {
            let word = paint(check.status, &format!("{:<7}", check.status.word()), coloured);
            let Check { name, found, wanted, why, .. } = check;
            write!(out, "{word}  {name:<name_width$}  ")?;
            match &check.fix {
                _ if check.status == Status::Unknown => writeln!(out, "{found}")?,
                None => writeln!(out, "{found:<FOUND_WIDTH_MAX$}  wanted {wanted}")?,
                Some(fix) => {
                    writeln!(out, "{found:<FOUND_WIDTH_MAX$}  wanted {wanted}")?;
                    writeln!(out, "         why: {why}")?;
                    writeln!(out, "         fix: {fix}")?;
                }
            }
        }
        let counts = Status::ALL.map(|status| {
            paint(status, &format!("{} {}", self.count(status), status.word()), coloured)
        });
        writeln!(out, "\n{}", counts.join(", "))
    }

    /// Writes the report as one JSON object.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let check_json = |check: &Check| {
            let Check { name, found, wanted, why, fix, .. } = check;
            let status = check.status.word();
            json!({
                "name": name, "status": status, "found": found, "wanted": wanted, "why": why,
                "fix": fix,
            })
        };
        let checks: Vec<serde_json::Value> = self.0.iter().map(check_json).collect();
        let report = json!({
            "checks": checks,
            "summary": {
                "ok": self.count(Status::Ok),
                "warn": self.count(Status::Warn),
                "fail": self.count(Status::Fail),
                "unknown": self.count(Status::Unknown),
            },
        });
        writeln!(out, "{report}")
    }
}

fn paint(status: Status, text: &str, coloured: bool) -> String {
    match coloured {
        true => format!("\x1b[{}m{text}\x1b[0m", status.colour()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(name: &'static str) -> About {
        About { name, wanted: "2 or more".to_owned(), why: "less is slow" }
    }

    fn report() -> Report {
        Report(vec![
            about("short").ok("3"),
            about("rather-long").warn("1", "make it 2"),
            about("broken").fail("0", "give it some"),
            about("hidden").unknown("cannot read /sys/hidden: no such file"),
        ])
    }

    fn text(report: &Report, coloured: bool) -> String {
        let mut out = Vec::new();
        report.write_text(&mut out, coloured).expect("writing to a vector succeeds");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn lines_are_aligned_and_only_checks_with_a_fix_have_more_lines() {
        let expected = "\
OK       short        3                         wanted 2 or more
WARN     rather-long  1                         wanted 2 or more
         why: less is slow
         fix: make it 2
FAIL     broken       0                         wanted 2 or more
         why: less is slow
         fix: give it some
UNKNOWN  hidden       cannot read /sys/hidden: no such file

1 OK, 1 WARN, 1 FAIL, 1 UNKNOWN
";
        assert_eq!(text(&report(), false), expected);
    }

    #[test]
    fn colours_do_not_change_the_text() {
        let coloured = text(&report(), true);
        assert!(coloured.starts_with("\x1b[32mOK     \x1b[0m  short "), "{coloured:?}");
        assert!(coloured.contains("\x1b[31mFAIL   \x1b[0m  broken "), "{coloured:?}");
        let mut plain = coloured;
        for code in ["\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, text(&report(), false));
    }

    #[test]
    fn json_has_every_check_with_its_fields_and_the_counts() {
        let mut out = Vec::new();
        report().write_json(&mut out).expect("writing to a vector succeeds");
        let read: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(
            read["checks"][1],
            json!({
                "name": "rather-long", "status": "WARN", "found": "1", "wanted": "2 or more",
                "why": "less is slow", "fix": "make it 2",
            })
        );
        assert_eq!(read["checks"][0]["fix"], serde_json::Value::Null);
        assert_eq!(read["checks"].as_array().expect("a list").len(), 4);
        assert_eq!(read["summary"], json!({ "ok": 1, "warn": 1, "fail": 1, "unknown": 1 }));
    }
}
