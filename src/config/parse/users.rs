//! From `[[auth.users]]` to users.
//!
//! # Always true
//! - Errors repeat no values but names and patterns, and these only of a well-formed file.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Offence, Reader, UserOffence, read_secret, read_secret_file};
use crate::config::auth::{
    Login, PermissionLists, Responses, Secret, User, UserLimits, pattern_and_group,
};
use crate::config::keys::{USER_KEYS, UserForm, UserKey};
use crate::limits::{RESPONSES_EXPIRE_MS_MAX, RESPONSES_MAX};
use crate::nkey::UserNkey;
use crate::protocol::limits::GROUP_LEN_MAX;
use crate::protocol::name;

/// A user whose table is being read.
#[derive(Default)]
struct Draft {
    user: Option<String>,
    password: Option<Secret>,
    nkey: Option<UserNkey>,
    permissions: PermissionLists,
    limits: UserLimits,
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
            let name = login.name().to_owned();
            let line = self.line(table.span().start);
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
                let Draft { permissions, limits, .. } = draft;
                users.push(User { login: login.clone(), permissions, limits });
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
            (UserForm::Responses, value) => {
                let responses = read_responses(value).ok_or_else(|| wrong_type(value))?;
                draft.permissions.allow_responses = responses.map_err(bad_value)?;
            }
            (UserForm::Patterns { takes_group, set, .. }, DeValue::Array(values)) => {
                let check = |entry: &str| match pattern_and_group(entry) {
                    (pattern, Some(group)) if *takes_group && is_group(group) => {
                        name::check_pattern(pattern)
                    }
                    _ => name::check_pattern(entry),
                };
                let patterns = values.iter().map(|value| match value.get_ref() {
                    DeValue::String(pattern) => match check(pattern) {
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
            (UserForm::Number { range, allowed, set, .. }, DeValue::Integer(integer)) => {
                let number = u64::from_str_radix(integer.as_str(), integer.radix());
                let number = number.ok().filter(|number| range.contains(number));
                let out_of_range = UserOffence::OutOfRange { key: key.name, allowed };
                set(&mut draft.limits, number.ok_or(out_of_range)?);
            }
            (_, other) => return Err(wrong_type(other)),
        }
        Ok(())
    }
}

/// Whether an entry of a list may have this behind its pattern.
fn is_group(group: &str) -> bool {
    !group.is_empty() && group.len() <= GROUP_LEN_MAX && !group.contains(char::is_whitespace)
}

/// Reads `allow_responses`; `None` for a value of a wrong type.
fn read_responses(value: &DeValue<'_>) -> Option<Result<Option<Responses>, Cow<'static, str>>> {
    let entries = match value {
        DeValue::Boolean(allows) => return Some(Ok(allows.then(Responses::default))),
        DeValue::Table(entries) => entries,
        _ => return None,
    };
    let mut responses = Responses::default();
    for (name, value) in entries {
        let DeValue::Integer(integer) = value.get_ref() else { return None };
        let (field, bound) = match name.get_ref().as_ref() {
            "max" => (&mut responses.max, RESPONSES_MAX),
            "expires_ms" => (&mut responses.expires_ms, RESPONSES_EXPIRE_MS_MAX),
            _ => return None,
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(0);
        if !(1..=bound).contains(&number) {
            let name = name.get_ref();
            let what = format!("{name} is out of range, must be a whole number from 1 to {bound}");
            return Some(Err(what.into()));
        }
        *field = number;
    }
    Some(Ok(Some(responses)))
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
        match (self.user.take(), self.password.take(), self.nkey.take()) {
            (Some(user), Some(password), None) => Ok(Login::Password { user, password }),
            (None, None, Some(nkey)) => Ok(Login::Nkey(nkey)),
            (Some(_), None, None) => incomplete(
                "user and no password",
                "add password = \"...\", or give an nkey instead of the name",
            ),
            (None, Some(_), None) => incomplete("password and no user", "add user = \"...\""),
            (None, None, None) => incomplete(
                "neither user and password nor nkey",
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
