//! The difference between the active settings and those of a file that was read again, and the part of
//! it that a running broker can apply.
//!
//! Called by a reload of `server`. [`keys`](super::keys) has for each key when a change takes effect.
//!
//! # Always true
//! - A key that needs a restart keeps its value until then, and differs again at the next reload.

use std::fmt;

use super::keys::{Applies, Form, KEYS};
use super::{Secret, Settings};

/// A key whose value differs. All of `[[auth.users]]` are one key, and all of `[[tls.certificates]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The table of the key.
    pub table: &'static str,
    /// The name of the key.
    pub name: &'static str,
    /// When the change takes effect.
    pub applies: Applies,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.name)
    }
}

impl Form {
    /// Whether a key of this form has the same value in both.
    fn is_same(&self, one: &Settings, other: &Settings) -> bool {
        match self {
            Form::Number { get, .. } => get(one) == get(other),
            Form::Flag { get, .. } => get(one) == get(other),
            Form::Address { get, .. } => get(one) == get(other),
            Form::Cores { get, .. } => get(one) == get(other),
            Form::Choice { get, .. } => get(one) == get(other),
            Form::Text { get, .. } => get(one) == get(other),
            Form::File { get, .. } => get(one) == get(other),
            Form::Secret { get, .. } => get(one) == get(other),
            Form::Name { get, .. } => get(one) == get(other),
            Form::SecretFile { get, .. } => {
                let files = [one, other].map(|all| get(all).as_ref().and_then(Secret::file));
                files[0] == files[1]
            }
        }
    }

    fn copy(&self, from: &Settings, to: &mut Settings) {
        match self {
            Form::Number { get, set, .. } => set(to, get(from)),
            Form::Flag { get, set } => set(to, get(from)),
            Form::Address { get, set } => set(to, get(from)),
            Form::Cores { get, set } => set(to, get(from).clone()),
            Form::Choice { get, set, .. } => set(to, get(from)),
            Form::Text { get, set } => set(to, get(from).clone()),
            Form::File { get, set } => set(to, get(from).clone()),
            Form::Name { get, set } => set(to, get(from).clone()),
            Form::Secret { get, set, .. } | Form::SecretFile { get, set, .. } => {
                set(to, get(from).clone());
            }
        }
    }
}

impl Settings {
    /// The keys that differ in `new`, in the order in which keys are printed.
    ///
    /// ```
    /// use blipmq::config::Settings;
    ///
    /// let old = Settings::default();
    /// let text = "[delivery]\nmax_batch = 7\nfanout_shards = 4\n";
    /// let changes = old.diff(&Settings::parse("blipmq.toml", text).unwrap());
    /// let keys: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    /// assert_eq!(keys, ["delivery.max_batch", "delivery.fanout_shards"]);
    /// assert!(changes[0].applies.by_reload() && !changes[1].applies.by_reload());
    /// ```
    pub fn diff(&self, new: &Settings) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in &KEYS {
            if !key.form.is_same(self, new) {
                changes.push(Change { table: key.table, name: key.name, applies: key.applies });
            }
            let tables = match (key.table, key.name) {
                ("auth", "token") if self.auth.users != new.auth.users => "users",
                ("tls", "record_bytes") if self.tls.certificates != new.tls.certificates => {
                    "certificates"
                }
                _ => continue,
            };
            changes.push(Change { table: key.table, name: tables, applies: Applies::Live });
        }
        changes
    }

    /// These settings with the changes of `new` that need no restart.
    pub fn reloaded(&self, new: &Settings) -> Settings {
        let mut reloaded = new.clone();
        for key in KEYS.iter().filter(|key| !key.applies.by_reload()) {
            key.form.copy(self, &mut reloaded);
        }
        reloaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::Origin;
    use crate::config::tls::CertificateFiles;
    use crate::config::{Login, User};

    /// Settings in which every key differs from its default.
    fn all_changed() -> Settings {
        let mut settings = Settings::default();
        for key in &KEYS {
            match &key.form {
                Form::Number { range, get, set } => {
                    let end =
                        if get(&settings) == *range.end() { range.start() } else { range.end() };
                    set(&mut settings, *end);
                }
                Form::Flag { get, set } => {
                    let flag = get(&settings);
                    set(&mut settings, !flag);
                }
                Form::Address { set, .. } => set(&mut settings, "10.9.8.7:6".parse().unwrap()),
                Form::Cores { set, .. } => set(&mut settings, Some(vec![5])),
                Form::Choice { names, get, set } => {
                    let other = names().into_iter().find(|name| *name != get(&settings));
                    set(&mut settings, other.expect("there are two choices at least"));
                }
                Form::Text { set, .. } => set(&mut settings, Some("a lab".to_owned())),
                Form::File { set, .. } => set(&mut settings, Some("a.pem".to_owned())),
                Form::Secret { set, .. } => set(&mut settings, Some(Secret::new("s"))),
                Form::Name { set, .. } => set(&mut settings, Some("u".to_owned())),
                Form::SecretFile { set, .. } => {
                    let secret = Secret::from(Origin::File("f".to_owned()), "s");
                    set(&mut settings, Some(secret));
                }
            }
        }
        let login = Login::Password { user: "u".to_owned(), password: Secret::new("p") };
        settings.auth.users.push(User {
            login,
            permissions: Default::default(),
            limits: Default::default(),
        });
        let (cert_file, key_file) = ("b.pem".to_owned(), "b.key".to_owned());
        settings.tls.certificates.push(CertificateFiles { cert_file, key_file });
        settings
    }

    #[test]
    fn every_key_that_differs_is_named_once_and_no_other() {
        let (old, new) = (Settings::default(), all_changed());
        assert_eq!(old.diff(&old), []);
        let names: Vec<String> = old.diff(&new).iter().map(ToString::to_string).collect();
        let mut all: Vec<String> =
            KEYS.iter().map(|key| format!("{}.{}", key.table, key.name)).collect();
        for (key, tables) in
            [("auth.token", "auth.users"), ("tls.record_bytes", "tls.certificates")]
        {
            let after = all.iter().position(|name| name == key).unwrap() + 1;
            all.insert(after, tables.to_owned());
        }
        assert_eq!(names, all);
    }

    #[test]
    fn a_reload_changes_the_keys_that_need_no_restart_and_no_others() {
        let (old, new) = (Settings::default(), all_changed());
        let reloaded = old.reloaded(&new);
        let taken = old.diff(&reloaded);
        assert!(taken.iter().all(|change| change.applies.by_reload()));
        let left = reloaded.diff(&new);
        assert!(left.iter().all(|change| !change.applies.by_reload()));
        assert_eq!(taken.len() + left.len(), KEYS.len() + 2);
        assert!(!taken.is_empty() && !left.is_empty());
        // And back: a reload can remove secrets and users too.
        assert_eq!(reloaded.reloaded(&old), old);
    }

    #[test]
    fn addresses_cores_shards_and_announced_limits_need_a_restart() {
        let restart: Vec<String> = KEYS
            .iter()
            .filter(|key| !key.applies.by_reload())
            .map(|key| format!("{}.{}", key.table, key.name))
            .collect();
        assert_eq!(
            restart,
            [
                "server.bind_addr",
                "server.cores",
                "server.max_message_size_bytes",
                "nats.enabled",
                "nats.bind_addr",
                "delivery.fanout_shards",
                "metrics.enabled",
                "metrics.bind_addr",
                "metrics.tls",
                "logging.format",
            ]
        );
    }
}
