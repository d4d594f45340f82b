//! From TOML text to settings.
//!
//! Called by [`Settings::parse`]. `keys` describes the allowed text, `problem` the mistakes.
//!
//! # Always true
//! - One problem never hides another, with one exception: a line with a syntax error has only that one
//!   problem, and lines below a broken table header have none, because the parser can only guess there.
//! - Pieces of the text reach an error text only as [`Written`], which shows none of a file whose quotes
//!   may be broken.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::auth::{SECRET_PRINTED, SecretSource};
use super::keys::{Form, KEYS, Key, TABLES, TABLES_IN_TABLES};
use super::problem::{CertificatesOffence, ConfigError, Offence, Problem, UserOffence, Written};
use super::{Conflict, Settings, conflict, cores};

mod certificates;
mod secrets;
mod users;

use certificates::parse_path;
use secrets::{read_secret, read_secret_file};

/// Longest excerpt of the file in an error text, in characters.
const EXCERPT_LEN_MAX: usize = 60;

/// The parser's message about a second key or table of one name.
const DUPLICATE: &str = "duplicate key";

/// Parses and checks the text of a configuration file.
pub(super) fn parse(
    file_name: &str,
    text: &str,
    secrets: &dyn SecretSource,
) -> Result<Settings, ConfigError> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    // A key or table that comes twice leaves no doubt where strings begin and end.
    let is_well_formed = syntax_errors.iter().all(|error| error.message() == DUPLICATE);
    let mut reader =
        Reader { text, is_well_formed, secrets, problems: vec![], syntax_lines: vec![] };
    for error in &syntax_errors {
        reader.report_syntax_error(error);
    }
    let mut settings = Settings::default();
    let mut lines_of_keys = Vec::new();
    for (name, value) in document.get_ref() {
        reader.read_table(name, value, &mut settings, &mut lines_of_keys);
    }
    // A conflict with a key that has a problem itself would only repeat that problem.
    if reader.problems.is_empty() {
        reader.problems = conflicts(&settings, &lines_of_keys);
    }
    if reader.problems.is_empty() {
        return Ok(settings);
    }
    reader.problems.sort_by_key(|problem| problem.line);
    Err(ConfigError { file_name: file_name.to_owned(), problems: reader.problems })
}

/// The conflicts of the settings, each at the last line that takes part.
fn conflicts(settings: &Settings, lines_of_keys: &LinesOfKeys) -> Vec<Problem> {
    let mut conflicts = settings.conflicts();
    let of_tls = lines_of_keys.iter().filter(|((table, _), _)| *table == "tls");
    if let (false, Some((key, _))) = (settings.tls.is_configured(), of_tls.min_by_key(|at| at.1)) {
        conflicts.push(conflict::of_key_without_certificate(*key));
    }
    let problem = |conflict: Conflict| {
        let lines = lines_of_keys.iter().filter(|(key, _)| conflict.keys.contains(key));
        let line = lines.map(|(_, line)| *line).max();
        let line = line.expect("the defaults have no conflict, so the file set one of the keys");
        Problem { line, offence: Offence::Conflict(conflict) }
    };
    conflicts.into_iter().map(problem).collect()
}

/// The table, name and line of each key that the file sets.
type LinesOfKeys = Vec<((&'static str, &'static str), usize)>;

/// Reads the parsed file, and gathers its problems.
struct Reader<'t> {
    text: &'t str,
    /// Whether every name and value is what the operator wrote as one.
    is_well_formed: bool,
    /// Where secrets are that the file only names.
    secrets: &'t dyn SecretSource,
    problems: Vec<Problem>,
    syntax_lines: Vec<usize>,
}

impl Reader<'_> {
    fn report_syntax_error(&mut self, error: &toml::de::Error) {
        // Errors about the end of the text have no span or one behind the text.
        let span = error.span().unwrap_or(self.text.len()..self.text.len());
        let line = self.line(span.start);
        // One mistake often causes several errors; the first of them names the mistake.
        if self.problems.iter().any(|problem| problem.line == line) {
            return;
        }
        let line_text = self.text.lines().nth(line - 1).unwrap_or("").trim();
        let offence = match error.message() {
            DUPLICATE if line_text.starts_with('[') => {
                Offence::DuplicateTable { table: self.name(span) }
            }
            DUPLICATE => Offence::DuplicateKey { table: self.table_of(line), key: self.name(span) },
            message => {
                let message = message.replace('\n', " ");
                self.syntax_lines.push(line);
                Offence::Syntax { column: self.column(span.start), message }
            }
        };
        self.problems.push(Problem { line, offence });
    }

    fn read_table(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
        lines_of_keys: &mut LinesOfKeys,
    ) {
        let written = self.name(name.span());
        let known = TABLES.into_iter().find(|table| *table == name.get_ref().as_ref());
        match (known, value.get_ref()) {
            (Some(table), DeValue::Table(entries)) => {
                for (name, value) in entries {
                    self.read_key(table, name, value, settings, lines_of_keys);
                }
            }
            (Some(_), _) => self.report(name.span(), Offence::NotATable { table: written }),
            (None, DeValue::Table(_)) => {
                self.report(name.span(), Offence::UnknownTable { table: written });
            }
            (None, _) => self.report(name.span(), Offence::KeyOutsideTables { key: written }),
        }
    }

    fn read_key(
        &mut self,
        table: &'static str,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
        lines_of_keys: &mut LinesOfKeys,
    ) {
        let line = self.line(name.span().start);
        if let Some(tables) = TABLES_IN_TABLES.iter().find(|one| **one == (table, name.get_ref())) {
            lines_of_keys.push((*tables, line));
            return match tables.1 {
                "users" => self.read_users(value, &mut settings.auth.users),
                _ => self.read_certificates(value, &mut settings.tls.certificates),
            };
        }
        let Some(key) = KEYS.iter().find(|k| k.table == table && k.name == name.get_ref()) else {
            let key = self.name(name.span());
            return self.report(name.span(), Offence::UnknownKey { table, key });
        };
        lines_of_keys.push(((key.table, key.name), line));
        if let Err(refusal) = set(settings, key, value.get_ref(), self.secrets) {
            let written = match (&key.form, value.get_ref()) {
                (Form::SecretFile { .. }, DeValue::String(path)) => {
                    self.value(&format!("\"{path}\""))
                }
                (Form::Secret { .. } | Form::SecretFile { .. }, _) => self.value(SECRET_PRINTED),
                // Whatever else belongs to them, perhaps another key.
                (_, DeValue::Array(_)) => self.value("[...]"),
                (_, DeValue::Table(_)) => self.value("{...}"),
                _ => self.value(self.text.get(value.span()).unwrap_or("")),
            };
            let offence = self.offence(refusal, key, written, value.get_ref().type_str());
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

    /// The line, from 1, of a byte of the text.
    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        let before = self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count();
        // An error at the end of the text belongs to the last line, not to an empty line behind it.
        (before + 1).min(self.text.lines().count().max(1))
    }

    /// The character, from 1, of a byte of the text in its line.
    fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        before[line_start..].chars().count() + 1
    }

    /// The name of a key or a table for an error text.
    fn name(&self, span: Range<usize>) -> Written {
        Written::name(shorten(self.text.get(span).unwrap_or("")), self.is_well_formed)
    }

    /// A value that is no secret for an error text.
    fn value(&self, text: &str) -> Written {
        Written::value(shorten(text), self.is_well_formed)
    }

    /// The line and text of the table header that a line belongs to; a header belongs to itself.
    fn header_of(&self, line: usize) -> Option<(usize, &str)> {
        let lines = self.text.lines().map(str::trim).enumerate().take(line);
        lines.filter(|(_, text)| text.starts_with('[')).last().map(|(at, text)| (at + 1, text))
    }

    /// The known table that a line belongs to.
    fn table_of(&self, line: usize) -> Option<&'static str> {
        let header = self.header_of(line).map_or("", |(_, text)| text).trim_start_matches('[');
        let name = header.split_once(']').map_or(header, |(name, _)| name).trim();
        TABLES.into_iter().find(|table| *table == name)
    }

    fn offence(
        &self,
        refusal: Refusal,
        key: &Key,
        value: Written,
        type_name: &'static str,
    ) -> Offence {
        let is_secret = matches!(key.form, Form::Secret { .. } | Form::SecretFile { .. });
        let (table, key) = (key.table, key.name);
        match refusal {
            Refusal::WrongType => Offence::WrongType { table, key, value, type_name },
            Refusal::OutOfRange => Offence::OutOfRange { table, key, value },
            Refusal::BadValue { reason } => {
                // The reasons of secrets repeat nothing; others quote the value.
                let reason = reason.filter(|_| is_secret || self.is_well_formed);
                Offence::BadValue { table, key, value, reason }
            }
        }
    }
}

/// Why a value was refused.
enum Refusal {
    WrongType,
    OutOfRange,
    BadValue { reason: Option<String> },
}

fn set(
    settings: &mut Settings,
    key: &Key,
    value: &DeValue<'_>,
    secrets: &dyn SecretSource,
) -> Result<(), Refusal> {
    let bad_value =
        |reason: Cow<'static, str>| Refusal::BadValue { reason: Some(reason.into_owned()) };
    match (&key.form, value) {
        (Form::Number { range, set, .. }, DeValue::Integer(integer)) => {
            // The parser has accepted the digits, so a number that does not fit is out of range.
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
        (Form::Text { set, .. }, DeValue::String(text)) => {
            if text.trim().is_empty() {
                let reason = "there are no words; write them, or remove the line";
                return Err(bad_value(reason.into()));
            }
            set(settings, Some(text.to_string()));
        }
        (Form::File { set, .. }, DeValue::String(text)) => {
            let path = parse_path(text).map_err(|why| bad_value(why.into()))?;
            set(settings, Some(path));
        }
        (Form::Secret { takes_hash, get, set }, value) => {
            let secret = read_secret(value, *takes_hash, secrets).ok_or(Refusal::WrongType)?;
            let secret = secret.map_err(bad_value)?;
            if get(settings).is_some() {
                return Err(bad_value("there is a token_file as well; keep one of the two".into()));
            }
            set(settings, Some(secret));
        }
        (Form::Name { .. }, DeValue::String(name)) if name.is_empty() => {
            return Err(Refusal::BadValue { reason: None });
        }
        (Form::Name { set, .. }, DeValue::String(name)) => set(settings, Some(name.to_string())),
        (Form::SecretFile { instead_of, takes_hash, get, set }, DeValue::String(path)) => {
            let secret = read_secret_file(path, *takes_hash, secrets).map_err(bad_value)?;
            if get(settings).is_some() {
                let reason = format!("there is a {instead_of} as well; keep one of the two");
                return Err(bad_value(reason.into()));
            }
            set(settings, Some(secret));
        }
        _ => return Err(Refusal::WrongType),
    }
    Ok(())
}

/// The first line of a piece of text, without control characters, cut short if it is long.
fn shorten(text: &str) -> String {
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
