//! The part of a login that is the same in every protocol: credentials to permissions, at once or later.
//!
//! Called by the frontends on HELLO or CONNECT. What comes later reaches them as
//! [`Frontend::login_answered`](super::Frontend::login_answered).
//!
//! # Always true
//! - While a login waits nothing else of its connection is served.
//! - The time a client has to log in ends with its credentials: it is not to pay for a queue of ours.

use std::sync::Arc;

use super::Doors;
use crate::broker::auth::{Checked, Credentials, Failed, Identity, LoginFailure};
use crate::broker::connections::LoginWait;
use crate::broker::ids::Slot;
use crate::broker::permissions::Permissions;
use crate::broker::timers::Class;

/// What became of credentials.
#[derive(Debug)]
pub enum Login {
    /// The client may do this.
    Granted(Arc<Permissions>),
    /// The client is refused at once.
    Refused(Failed),
    /// The answer comes later.
    Waits,
}

impl Doors<'_> {
    /// Checks what a client authenticates with.
    pub fn check_login(&mut self, slot: Slot, credentials: &Credentials<'_>) -> Login {
        let address = self.connections.at(slot).address().ip();
        let user = match credentials {
            Credentials::Password { user, .. } => Some(*user),
            _ => None,
        };
        if let Some(user) = user
            && self.logins.is_throttled(self.now, address, user)
        {
            return Login::Refused(LoginFailure::Throttled.into());
        }
        match self.auth.check(credentials, self.connections.at(slot).certified()) {
            Checked::Granted(permissions) => {
                if let Some(user) = user {
                    self.logins.succeeded(address, user);
                }
                Login::Granted(permissions)
            }
            // Nothing was guessed: a certificate cannot be.
            Checked::Refused(
                failure @ (LoginFailure::Missing | LoginFailure::WrongCertificate),
            ) => Login::Refused(failure.into()),
            Checked::Refused(failure) => {
                let identity = user.map(|user| Identity::User(user.into()));
                self.refuse_later(slot, identity.as_ref(), failure);
                Login::Waits
            }
            Checked::Compare(comparison) => {
                let secret = match *credentials {
                    Credentials::Password { password, .. } => password,
                    Credentials::Token(token) => token,
                    Credentials::None | Credentials::Nkey { .. } => "",
                };
                let mac = self.logins.mac(&comparison.identity, secret, &comparison.hash);
                if let Some(permissions) = &comparison.permissions
                    && self.logins.has_been_right(&mac)
                {
                    return Login::Granted(permissions.clone());
                }
                let connection = self.connections.id(slot);
                match self.logins.checks.ask(connection, address, comparison, secret, mac) {
                    Some(id) => {
                        let connection = self.connections.get(slot);
                        connection.wait_for_login(LoginWait::Check(id));
                        Login::Waits
                    }
                    None => Login::Refused(LoginFailure::Busy.into()),
                }
            }
        }
    }

    /// A login is wrong: its client hears so after a while, the longer the more often that happens.
    pub fn refuse_later(&mut self, slot: Slot, identity: Option<&Identity>, failure: LoginFailure) {
        let connection = self.connections.at(slot);
        let delay = self.logins.failed(self.now, connection.address().ip(), identity);
        let at_ns = self.now.monotonic_ns + delay.as_nanos() as u64;
        self.timers.set(Class::Refusal, at_ns, self.connections.id(slot));
        let user = match identity {
            Some(Identity::User(user)) => self.auth.known_user(user),
            Some(Identity::Token) | None => None,
        };
        let failed = Box::new(Failed { failure, user });
        self.connections.get(slot).wait_for_login(LoginWait::Refusal(failed));
    }

    /// A connection ends whose login may wait for something.
    pub(super) fn stop_waiting_for_login(&mut self, slot: Slot) {
        let id = self.connections.id(slot);
        let connection = self.connections.get(slot);
        if let LoginWait::Check(check) = *connection.login_wait() {
            self.logins.checks.leave(check, id);
        }
        connection.wait_for_login(LoginWait::Nothing);
    }
}
