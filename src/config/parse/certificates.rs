//! From `[[tls.certificates]]` to pairs of files.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{CertificatesOffence, Offence, Reader};
use crate::config::keys::CERTIFICATE_KEYS;
use crate::config::tls::CertificateFiles;

/// Checks the path of a file.
pub(super) fn parse_path(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("the path is empty; write the path of a file, or remove the line"),
        _ if text.contains('\0') => Err("a path has no NUL; write the path of a file"),
        _ => Ok(text.to_owned()),
    }
}

/// A table that is being read: the values of the keys, in their order.
type Draft = [Option<String>; CERTIFICATE_KEYS.len()];

impl Reader<'_> {
    /// Reads `[tls] certificates`.
    pub(super) fn read_certificates(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        certificates: &mut Vec<CertificateFiles>,
    ) {
        let not_tables = Offence::Certificates(CertificatesOffence::NotTables);
        let DeValue::Array(tables) = value.get_ref() else {
            return self.report(value.span(), not_tables);
        };
        for table in tables.iter() {
            let DeValue::Table(entries) = table.get_ref() else {
                self.report(table.span(), not_tables.clone());
                continue;
            };
            certificates.extend(self.read_certificate(table.span(), entries));
        }
    }

    /// Reads one table. Returns its files, if the table has no problem.
    fn read_certificate(
        &mut self,
        span: std::ops::Range<usize>,
        entries: &DeTable<'_>,
    ) -> Option<CertificateFiles> {
        let problems = self.problems.len();
        let mut draft = Draft::default();
        for (name, value) in entries {
            self.read_certificate_key(name, value, &mut draft);
        }
        // A key with a problem is missing in the draft.
        if self.problems.len() > problems {
            return None;
        }
        match draft {
            [Some(cert_file), Some(key_file)] => Some(CertificateFiles { cert_file, key_file }),
            draft => {
                let absent = draft.iter().position(Option::is_none).expect("one is absent");
                let absent = &CERTIFICATE_KEYS[absent];
                let offence =
                    CertificatesOffence::Incomplete { key: absent.name, example: absent.example };
                self.report(span, Offence::Certificates(offence));
                None
            }
        }
    }

    fn read_certificate_key(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        draft: &mut Draft,
    ) {
        let at = CERTIFICATE_KEYS.iter().position(|key| key.name == name.get_ref());
        let offence = match (at, value.get_ref()) {
            (None, _) => CertificatesOffence::UnknownKey { key: self.name(name.span()) },
            (Some(at), DeValue::String(text)) => match parse_path(text) {
                Ok(path) => {
                    draft[at] = Some(path);
                    return;
                }
                Err(reason) => {
                    CertificatesOffence::BadValue { key: CERTIFICATE_KEYS[at].name, reason }
                }
            },
            (Some(at), other) => {
                let (key, type_name) = (CERTIFICATE_KEYS[at].name, other.type_str());
                CertificatesOffence::WrongType { key, type_name }
            }
        };
        self.report(name.span(), Offence::Certificates(offence));
    }
}

#[cfg(test)]
mod tests;
