//! What a check says, and how all of them are printed: as text, or as one JSON object.
//!
//! Called by the checks, which make lines, and by `doctor`, which prints them.

use std::io::{self, Write};

use serde_json::json;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// The broker works, but worse than the tuning guide promises.
    Warn,
    /// The broker would not start, or would break.
    Fail,
    /// It cannot be found out from here.
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

    /// The number of its colour on a terminal.
    fn colour(self) -> u8 {
        match self {
            Status::Ok => 32,
            Status::Warn => 33,
            Status::Fail => 31,
            Status::Unknown => 36,
        }
    }
}

/// What a check is about; how it came out makes a [`Check`] of it.
pub struct About {
    pub name: &'static str,
    pub wanted: String,
    /// Why it matters, a sentence without its full stop.
    pub why: &'static str,
}

impl About {
    pub fn ok(self, found: impl Into<String>) -> Check {
        self.came_out(Status::Ok, found.into(), None)
    }

    pub fn warn(self, found: impl Into<String>, fix: impl Into<String>) -> Check {
        self.came_out(Status::Warn, found.into(), Some(fix.into()))
    }

    pub fn fail(self, found: impl Into<String>, fix: impl Into<String>) -> Check {
        self.came_out(Status::Fail, found.into(), Some(fix.into()))
    }

    /// `reason` is why it cannot be told.
    pub fn unknown(self, reason: impl Into<String>) -> Check {
        self.came_out(Status::Unknown, reason.into(), None)
    }

    fn came_out(self, status: Status, found: String, fix: Option<String>) -> Check {
        Check { name: self.name, status, found, wanted: self.wanted, why: self.why, fix }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub status: Status,
    /// What is there, or why that cannot be told.
    pub found: String,
    pub wanted: String,
    pub why: &'static str,
    /// What to do, where something is to be done.
    pub fix: Option<String>,
}

/// All checks, in the order they are printed.
pub struct Report(pub Vec<Check>);

/// What is found and longer than this pushes what is wanted out of its column.
const FOUND_WIDTH_MAX: usize = 24;

impl Report {
    pub fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|check| check.status == status).count()
    }

    /// One line per check; why it matters and the fix below those that need one.
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

    /// The same as one JSON object.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let of = |check: &Check| {
            let Check { name, found, wanted, why, fix, .. } = check;
            let status = check.status.word();
            json!({
                "name": name, "status": status, "found": found, "wanted": wanted, "why": why,
                "fix": fix,
            })
        };
        let checks: Vec<serde_json::Value> = self.0.iter().map(of).collect();
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
        report.write_text(&mut out, coloured).expect("a vector takes all");
        String::from_utf8(out).expect("it is UTF-8")
    }

    #[test]
    fn lines_are_aligned_and_only_what_needs_a_fix_has_more_than_one() {
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
    fn colours_change_nothing_but_the_colour() {
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
    fn json_has_every_check_with_all_it_says_and_the_counts() {
        let mut out = Vec::new();
        report().write_json(&mut out).expect("a vector takes all");
        let read: serde_json::Value = serde_json::from_slice(&out).expect("it is JSON");
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
