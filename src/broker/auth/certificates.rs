//! From the certificate of a client to its user.
//!
//! Called by `auth`. A user is found by the digest of the public key, then by each email address, DNS name
//! and URI as it is, then by the whole subject, then by the subject as Go prints it, with its domain
//! components and without: in this order brokers written in Go map certificates. The common name alone
//! names nobody.
//!
//! # Always true
//! - Where some user has a certificate, a client that shows one is that user or nobody: its other
//!   credentials cannot make it another one.
//! - A user with a certificate is nobody's without it, whatever password a client knows.

use std::sync::Arc;

use super::expected::Expected;
use super::{Credentials, Permissions};
use crate::broker::security::CertifiedNames;
use crate::config::auth::{CertificateName, Login, User};
use crate::distinguished_name::DistinguishedName;

/// All users that have certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates(Vec<Certified>);

/// A user that has a certificate.
#[derive(Debug)]
struct Certified {
    name: CertificateName,
    user: Option<String>,
    /// The password that is needed too, and what the user may do.
    password: Option<(Expected, Arc<Permissions>)>,
    permissions: Arc<Permissions>,
}

/// What a certificate decides.
#[derive(Debug)]
pub(super) enum Decision<'a> {
    /// Nothing: the credentials do.
    Credentials,
    /// The client is this user, if it knows the password.
    Password(&'a (Expected, Arc<Permissions>)),
    /// The client may do this.
    Granted(&'a Arc<Permissions>),
    /// The client may not connect.
    Refused,
}

impl Certificates {
    pub(super) fn new<'a>(
        users: impl Iterator<Item = (&'a User, &'a Arc<Permissions>)>,
    ) -> Certificates {
        let certified = |(user, permissions): (&User, &Arc<Permissions>)| match &user.login {
            Login::Certificate { certificate, user, password } => Some(Certified {
                name: certificate.clone(),
                user: user.clone(),
                password: password
                    .as_ref()
                    .map(|password| (Expected::of(password), permissions.clone())),
                permissions: permissions.clone(),
            }),
            Login::Password { .. } | Login::Nkey(_) => None,
        };
        Certificates(users.filter_map(certified).collect())
    }

    /// Whether no user has a certificate.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The password of a user, and what the user may do.
    pub(super) fn of_user(&self, user: &str) -> Option<&(Expected, Arc<Permissions>)> {
        let found = self.0.iter().find(|certified| certified.user.as_deref() == Some(user));
        found?.password.as_ref()
    }

    /// What the certificate of a client decides, if the client has shown one.
    pub(super) fn decide(
        &self,
        credentials: &Credentials<'_>,
        names: Option<&CertifiedNames>,
    ) -> Decision<'_> {
        let Some(names) = names.filter(|_| !self.is_empty()) else { return Decision::Credentials };
        let Some(found) = self.find(names) else { return Decision::Refused };
        match (*credentials, &found.password) {
            (Credentials::None, None) => Decision::Granted(&found.permissions),
            (Credentials::Password { user, password }, expected)
                if found.user.as_deref() == Some(user) =>
            {
                match expected {
                    Some(expected) => Decision::Password(expected),
                    // The name without a password says what the certificate says.
                    None if password.is_empty() => Decision::Granted(&found.permissions),
                    None => Decision::Refused,
                }
            }
            _ => Decision::Refused,
        }
    }

    fn find(&self, names: &CertifiedNames) -> Option<&Certified> {
        let by = |is_it: &dyn Fn(&CertificateName) -> bool| {
            self.0.iter().find(|certified| is_it(&certified.name))
        };
        if let Some(found) = by(&|name| name.key() == Some(&names.public_key_sha256)) {
            return Some(found);
        }
        let plain = names.emails.iter().chain(&names.dns).chain(&names.uris);
        for plain in plain {
            if let Some(found) = by(&|name| name.text() == plain && name.key().is_none()) {
                return Some(found);
            }
        }
        let subject = DistinguishedName::parse(&names.subject)?;
        let as_go = |domain| subject.as_go_prints(domain);
        let subjects = [Some(subject.clone()), as_go(true), as_go(false)];
        subjects.iter().flatten().find_map(|subject| by(&|name| name.subject() == Some(subject)))
    }
}

#[cfg(test)]
mod tests;
