//! Tokens and passwords: in the configuration, in the environment, or in files of their own.

use std::borrow::Cow;

use toml::de::DeValue;

use crate::config::auth::{Origin, SECRET_PRINTED, Secret, SecretSource};
use crate::config::hash::Hash;

/// Reads a token or password that is a string, or in a variable of the environment; `None` for anything
/// else.
pub(super) fn read_secret(
    value: &DeValue<'_>,
    takes_hash: bool,
    secrets: &dyn SecretSource,
) -> Option<Result<Secret, Cow<'static, str>>> {
    match value {
        DeValue::String(text) => {
            Some(parse_secret(Origin::Configuration, text.to_string(), takes_hash))
        }
        DeValue::Table(entries) => {
            let mut entries = entries.iter();
            let (name, value) = entries.next()?;
            let ("env", DeValue::String(variable), None) =
                (name.get_ref().as_ref(), value.get_ref(), entries.next())
            else {
                return None;
            };
            let text = secrets.of_environment(variable);
            let origin = Origin::Environment(variable.to_string());
            Some(text.map_err(Cow::from).and_then(|text| parse_secret(origin, text, takes_hash)))
        }
        _ => None,
    }
}

/// Reads a token or password that a file has.
pub(super) fn read_secret_file(
    path: &str,
    takes_hash: bool,
    secrets: &dyn SecretSource,
) -> Result<Secret, Cow<'static, str>> {
    if path.is_empty() {
        return Err("the path is empty; give one, or remove the line".into());
    }
    let text = secrets.of_file(path)?;
    parse_secret(Origin::File(path.to_owned()), text, takes_hash)
}

/// Checks a token or password. `takes_hash` says whether a hash stands for it.
fn parse_secret(
    origin: Origin,
    text: String,
    takes_hash: bool,
) -> Result<Secret, Cow<'static, str>> {
    match text.as_str() {
        "" => return Err("the secret is empty; write the secret, or remove the line".into()),
        SECRET_PRINTED => {
            return Err("this is the printed placeholder of a secret; write the secret".into());
        }
        _ => {}
    }
    match Hash::parse(&text) {
        None => Ok(Secret::from(origin, text)),
        Some(Ok(_)) if takes_hash => Ok(Secret::from(origin, text)),
        Some(Ok(_)) => {
            Err("a hash cannot stand for this secret; write the secret itself, in a file \
                            that only the broker may read"
                .into())
        }
        Some(Err(why)) => Err(why.into()),
    }
}
