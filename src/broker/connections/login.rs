//! What the login of a connection waits for.

use std::sync::Arc;

use super::Connection;
use crate::broker::auth::Failed;
use crate::broker::ids::CheckId;
use crate::broker::permissions::Permissions;
use crate::broker::quotas::Place;

/// What the login of a connection waits for: until then nothing else of it is served.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum LoginWait {
    /// Nothing.
    #[default]
    Nothing,
    /// Its secret is compared with a hash.
    Check(CheckId),
    /// Its refusal is held back.
    Refusal(Box<Failed>),
}

impl Connection {
    /// Its client has authenticated.
    pub fn authenticate(&mut self, permissions: Arc<Permissions>, place: Option<Place>) {
        self.permissions = permissions;
        self.place = place;
    }

    /// Its client authenticates again: its place is given back.
    pub fn leave_place(&mut self) {
        self.place = None;
    }

    /// What its login waits for.
    pub fn login_wait(&self) -> &LoginWait {
        &self.login
    }

    /// Whether its login has begun and is not over.
    pub fn is_logging_in(&self) -> bool {
        self.login != LoginWait::Nothing
    }

    /// Its login waits for something.
    pub fn wait_for_login(&mut self, login: LoginWait) {
        self.login = login;
    }
}
