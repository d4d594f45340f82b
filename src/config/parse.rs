//! TOML text to settings.
//!
//! Called by [`Settings::parse`]. What may stand in the text is in `keys`; what is wrong with it
//! goes to `problem`.
//!
//! # Always true
//! - One problem never hides another, but a line with a syntax error gets only that one, and so do
//!   the lines below a broken table header: what the parser made of them is a guess.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::auth::{SECRET_PRINTED, Secret};
use super::keys::{Form, KEYS, Key, TABLES};
use super::problem::{ConfigError, Offence, Problem, UserOffence};
use super::{Settings, cores};

mod users;

/// Longest piece of the file that an error text repeats, in characters.
const EXCERPT_LEN_MAX: usize = 60;

/// Checked settings from the text of a configuration file.
pub(super) fn parse(file_name: &str, text: &str) -> Result<Settings, ConfigError> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading { text, problems: Vec::new(), syntax_lines: Vec::new() };
    for error in &syntax_errors {
        reading.report_syntax_error(error);
    }
    let mut settings = Settings::default();
    let mut lines_of_keys = Vec::new();
    for (name, value) in document.get_ref() {
        reading.table(name, value, &mut settings, &mut lines_of_keys);
    }
    // A conflict with a key that is itself wrong would only repeat what is already said.
    if reading.problems.is_empty() {
        for conflict in settings.conflicts() {
            let line = lines_of_keys
                .iter()
                .filter(|((table, name), _)| conflict.keys.contains(&(*table, *name)))
                .map(|(_, line)| *line)
                .max();
            let line =
                line.expect("the defaults have no conflict, so the file set one of the keys");
            reading.problems.push(Problem { line, offence: Offence::Conflict(conflict) });
        }
    }
    if reading.problems.is_empty() {
        return Ok(settings);
    }
    reading.problems.sort_by_key(|problem| problem.line);
    Err(ConfigError { file_name: file_name.to_owned(), problems: reading.problems })
}

/// Table, name and line of each key that the file sets.
type LinesOfKeys = Vec<((&'static str, &'static str), usize)>;

struct Reading<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    syntax_lines: Vec<usize>,
}

impl Reading<'_> {
    fn report_syntax_error(&mut self, error: &toml::de::Error) {
        // The parser's errors about the end of the text point behind it.
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        let line = self.line(span.start);
        // One slip often makes several errors; the first is the one that names it.
        if self.problems.iter().any(|problem| problem.line == line) {
            return;
        }
        let line_text = self.text.lines().nth(line - 1).unwrap_or("").trim();
        let offence = match error.message() {
            "duplicate key" if line_text.starts_with('[') => {
                Offence::DuplicateTable { table: self.excerpt(span) }
            }
            "duplicate key" => {
                Offence::DuplicateKey { table: self.table_of(line), key: self.excerpt(span) }
            }
            message => {
                let message = message.replace('\n', " ");
                let line_text = match self.may_have_a_secret(line) {
                    true => "(not printed, since it may have a secret)".to_owned(),
                    false => shortened(line_text),
                };
                let offence = Offence::Syntax { message, line_text };
                self.syntax_lines.push(line);
                offence
            }
        };
        self.problems.push(Problem { line, offence });
    }

    fn table(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
        lines_of_keys: &mut LinesOfKeys,
    ) {
        let written = self.excerpt(name.span());
        let known = TABLES.into_iter().find(|table| *table == name.get_ref().as_ref());
        match (known, value.get_ref()) {
            (Some(table), DeValue::Table(entries)) => {
                for (name, value) in entries {
                    self.key(table, name, value, settings, lines_of_keys);
                }
            }
            (Some(_), _) => self.report(name.span(), Offence::NotATable { table: written }),
            (None, DeValue::Table(_)) => {
                self.report(name.span(), Offence::UnknownTable { table: written });
            }
            (None, _) => self.report(name.span(), Offence::KeyOutsideTables { key: written }),
        }
    }

    fn key(
        &mut self,
        table: &'static str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
        lines_of_keys: &mut LinesOfKeys,
    ) {
        if (table, name.get_ref().as_ref()) == ("auth", "users") {
            lines_of_keys.push((("auth", "users"), self.line(name.span().start)));
            return self.users(value, &mut settings.auth.users);
        }
        let Some(key) = KEYS.iter().find(|k| k.table == table && k.name == name.get_ref()) else {
            let key = self.excerpt(name.span());
            return self.report(name.span(), Offence::UnknownKey { table, key });
        };
        lines_of_keys.push(((key.table, key.name), self.line(name.span().start)));
        if let Err(refusal) = set(settings, key, value.get_ref()) {
            let value_text = match key.form {
                Form::Secret { .. } => SECRET_PRINTED.to_owned(),
                _ => self.excerpt(value.span()),
            };
            let offence = refusal.offence(key, value_text, value.get_ref().type_str());
            self.report(name.span(), offence);
        }
    }

    fn report(&mut self, span: Range<usize>, offence: Offence) {
        let line = self.line(span.start);
        let header = self.header_of(line).map_or(line, |(at, _)| at);
        if !self.syntax_lines.contains(&line) && !self.syntax_lines.contains(&header) {
            self.problems.push(Problem { line, offence });
        }
    }

    /// The line, from 1, that a byte of the text is in.
    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        let before = self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count();
        // An error at the end of the text belongs to its last line, not to an empty one behind it.
        (before + 1).min(self.text.lines().count().max(1))
    }

    /// A piece of the text, as it stands there.
    fn excerpt(&self, span: Range<usize>) -> String {
        shortened(self.text.get(span).unwrap_or(""))
    }

    /// Line and text of the table header that governs a line, itself included.
    fn header_of(&self, line: usize) -> Option<(usize, &str)> {
        let lines = self.text.lines().map(str::trim).enumerate().take(line);
        lines.filter(|(_, text)| text.starts_with('[')).last().map(|(at, text)| (at + 1, text))
    }

    /// Whether a line that is not TOML may have a token or a password in it.
    fn may_have_a_secret(&self, line: usize) -> bool {
        let text = self.text.lines().nth(line - 1).unwrap_or("");
        let header = self.header_of(line).map_or("", |(_, text)| text);
        header.contains("auth") || ["auth", "token", "pass"].iter().any(|word| text.contains(word))
    }

    /// The name in that header, empty above the first one.
    fn table_of(&self, line: usize) -> String {
        let header = self.header_of(line).map_or("", |(_, text)| text).trim_start_matches('[');
        shortened(header.split_once(']').map_or(header, |(name, _)| name).trim())
    }
}

/// Why a value was not taken.
enum Refusal {
    WrongType,
    OutOfRange,
    BadValue { reason: Option<String> },
}

impl Refusal {
    fn offence(self, key: &Key, value: String, type_name: &'static str) -> Offence {
        let (table, key) = (key.table, key.name);
        match self {
            Refusal::WrongType => Offence::WrongType { table, key, value, type_name },
            Refusal::OutOfRange => Offence::OutOfRange { table, key, value },
            Refusal::BadValue { reason } => Offence::BadValue { table, key, value, reason },
        }
    }
}

fn set(settings: &mut Settings, key: &Key, value: &DeValue<'_>) -> Result<(), Refusal> {
    match (&key.form, value) {
        (Form::Number { range, set, .. }, DeValue::Integer(integer)) => {
            // Digits are all the parser lets through, so what does not fit is out of range.
            let number = u64::from_str_radix(integer.as_str(), integer.radix())
                .map_err(|_| Refusal::OutOfRange)?;
            if !range.contains(&number) {
                return Err(Refusal::OutOfRange);
            }
            set(settings, number);
        }
        (Form::Flag { set, .. }, DeValue::Boolean(flag)) => set(settings, *flag),
        (Form::Address { set, .. }, DeValue::String(text)) => {
            let address = text.parse().map_err(|_| Refusal::BadValue { reason: None })?;
            set(settings, address);
        }
        (Form::Cores { set, .. }, DeValue::String(text)) => {
            let cores = cores::parse_cores_or_all(text)
                .map_err(|reason| Refusal::BadValue { reason: Some(reason) })?;
            set(settings, cores);
        }
        (Form::Choice { names, set, .. }, DeValue::String(text)) => {
            if !names().contains(&text.as_ref()) {
                return Err(Refusal::BadValue { reason: None });
            }
            set(settings, text);
        }
        (Form::Secret { set, .. }, DeValue::String(text)) => {
            let secret =
                secret(text).map_err(|why| Refusal::BadValue { reason: Some(why.into()) })?;
            set(settings, Some(secret));
        }
        _ => return Err(Refusal::WrongType),
    }
    Ok(())
}

/// A token or password that can be one.
fn secret(text: &str) -> Result<Secret, &'static str> {
    match text {
        "" => Err("it is empty; write the secret, or take the line out"),
        SECRET_PRINTED => Err("this is what is printed in the place of a secret; write the secret"),
        // Compared as they are, they would never match.
        _ if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|mark| text.starts_with(mark)) => Err(
            "it is a bcrypt hash, which is not served; write the secret itself, in a file that \
                 only the broker may read",
        ),
        _ => Ok(Secret::new(text)),
    }
}

/// The first line of a piece of text, without control characters, cut short if it is long.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let mut short: String = line
        .chars()
        .take(EXCERPT_LEN_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if short.len() < text.trim_end().len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests;
