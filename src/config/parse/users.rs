//! From `[[auth.users]]` to users.
//!
//! # Always true
//! - Errors repeat no values but names and patterns, and these only of a well-formed file.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Offence, Reader, UserOffence, read_secret, read_secret_file};
use crate::config::auth::{CertificateName, Login, PermissionLists, Secret, User};
use crate::config::keys::{USER_KEYS, UserForm, UserKey};
use crate::nkey::UserNkey;
use crate::protocol::name;

/// A user whose table is being read.
#[derive(Default)]
struct Draft {
    user: Option<String>,
    password: Option<Secret>,
    nkey: Option<UserNkey>,
    certificate: Option<CertificateName>,
    permissions: PermissionLists,
}

impl Reader<'_> {
    /// Reads `[auth] users`.
    pub(super) fn read_users(&mut self, value: &Spanned<DeValue<'_>>, users: &mut Vec<User>) {
        let not_tables = Offence::User(UserOffence::NotTables);
        let DeValue::Array(tables) = value.get_ref() else {
            return self.report(value.span(), not_tables);
        };
        let mut names: Vec<(String, usize)> = Vec::new();
        for table in tables.iter() {
            let DeValue::Table(entries) = table.get_ref() else {
                self.report(table.span(), not_tables.clone());
                continue;
            };
            let Some(login) = self.read_user(table.span(), entries, users) else { continue };
            let line = self.line(table.span().start);
            for name in names_of(&login) {
                match names.iter().find(|(known, _)| *known == name) {
                    Some(&(_, first_line)) => {
                        let name = self.value(&name);
                        let offence = UserOffence::Duplicate { name, first_line };
                        self.report(table.span(), Offence::User(offence));
                    }
                    None => names.push((name, line)),
                }
            }
        }
    }

    /// Reads one table. Returns the credentials of its user, if the table has no problem.
    fn read_user(
        &mut self,
        span: std::ops::Range<usize>,
        entries: &DeTable<'_>,
        users: &mut Vec<User>,
    ) -> Option<Login> {
        let problems = self.problems.len();
        let mut draft = Draft::default();
        for (name, value) in entries {
            self.read_user_key(name, value, &mut draft);
        }
        // A key with a problem is missing in the draft.
        if self.problems.len() > problems {
            return None;
        }
        match draft.login() {
            Ok(login) => {
                users.push(User { login: login.clone(), permissions: draft.permissions });
                Some(login)
            }
            Err(offence) => {
                self.report(span, Offence::User(offence));
                None
            }
        }
    }

    fn read_user_key(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        draft: &mut Draft,
    ) {
        let Some(key) = USER_KEYS.iter().find(|key| key.name == name.get_ref()) else {
            let key = self.name(name.span());
            return self.report(name.span(), Offence::User(UserOffence::UnknownKey { key }));
        };
        if let Err(offence) = self.set_user_key(draft, key, value.get_ref()) {
            self.report(name.span(), Offence::User(offence));
        }
    }

    fn set_user_key(
        &self,
        draft: &mut Draft,
        key: &UserKey,
        value: &DeValue<'_>,
    ) -> Result<(), UserOffence> {
        let wrong_type = |value: &DeValue<'_>| {
            let type_name = value.type_str();
            UserOffence::WrongType { key: key.name, type_name, allowed: key.allowed() }
        };
        let bad_value = |reason: Cow<'static, str>| UserOffence::BadValue { key: key.name, reason };
        match (&key.form, value) {
            (UserForm::Name, DeValue::String(text)) if text.is_empty() => {
                return Err(bad_value("the name is empty; give the user a name".into()));
            }
            (UserForm::Name, DeValue::String(text)) => draft.user = Some(text.to_string()),
            (UserForm::Password, value) => {
                let password = read_secret(value, true, self.secrets);
                let password = password.ok_or_else(|| wrong_type(value))?.map_err(bad_value)?;
                draft.set_password(password).map_err(bad_value)?;
            }
            (UserForm::PasswordFile, DeValue::String(path)) => {
                let password = read_secret_file(path, true, self.secrets).map_err(bad_value)?;
                draft.set_password(password).map_err(bad_value)?;
            }
            (UserForm::Nkey, DeValue::String(text)) => {
                draft.nkey = Some(UserNkey::parse(text).map_err(|why| bad_value(why.into()))?);
            }
            (UserForm::Certificate, DeValue::String(text)) => {
                let name = CertificateName::parse(text).map_err(|why| bad_value(why.into()))?;
                draft.certificate = Some(name);
            }
            (UserForm::Patterns { set, .. }, DeValue::Array(values)) => {
                let patterns = values.iter().map(|value| match value.get_ref() {
                    DeValue::String(pattern) => match name::check_pattern(pattern) {
                        Ok(()) => Ok(pattern.to_string()),
                        Err(error) => {
                            let pattern = self.value(pattern);
                            Err(UserOffence::BadPattern { key: key.name, pattern, error })
                        }
                    },
                    other => Err(wrong_type(other)),
                });
                set(&mut draft.permissions, patterns.collect::<Result<_, _>>()?);
            }
            (_, other) => return Err(wrong_type(other)),
        }
        Ok(())
    }
}

/// What no two users may share.
fn names_of(login: &Login) -> Vec<String> {
    match login {
        Login::Password { user, .. } => vec![user.clone()],
        Login::Nkey(nkey) => vec![nkey.as_str().to_owned()],
        Login::Certificate { certificate, user, .. } => {
            let certificate = certificate.text().to_owned();
            user.iter().cloned().chain([certificate]).collect()
        }
    }
}

impl Draft {
    fn set_password(&mut self, password: Secret) -> Result<(), Cow<'static, str>> {
        match self.password.replace(password) {
            None => Ok(()),
            Some(_) => Err("there are password and password_file; keep one of the two".into()),
        }
    }

    fn login(&mut self) -> Result<Login, UserOffence> {
        let incomplete = |has, remedy| Err(UserOffence::IncompleteLogin { has, remedy });
        if let Some(certificate) = self.certificate.take() {
            return match (self.user.take(), self.password.take(), self.nkey.take()) {
                (_, _, Some(_)) => incomplete(
                    "an nkey beside a certificate",
                    "an nkey excludes the others: remove it, or make two users of this one",
                ),
                (None, Some(_), None) => incomplete(
                    "certificate and password and no user",
                    "add user = \"...\", because clients give a password with a name",
                ),
                (user, password, None) => Ok(Login::Certificate { certificate, user, password }),
            };
        }
        match (self.user.take(), self.password.take(), self.nkey.take()) {
            (Some(user), Some(password), None) => Ok(Login::Password { user, password }),
            (None, None, Some(nkey)) => Ok(Login::Nkey(nkey)),
            (Some(_), None, None) => incomplete(
                "user and no password",
                "add password = \"...\" or certificate = \"...\", or give an nkey instead of the name",
            ),
            (None, Some(_), None) => incomplete("password and no user", "add user = \"...\""),
            (None, None, None) => incomplete(
                "neither user and password nor nkey nor certificate",
                "add the credentials of its clients",
            ),
            (_, _, Some(_)) => incomplete(
                "an nkey beside user or password",
                "an nkey excludes the others: remove them, or make two users of this one",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
