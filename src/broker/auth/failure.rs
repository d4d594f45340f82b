//! Why a login failed: for the log and for counters. A client is never told which of these it was, where
//! that would help it guess.

use std::sync::Arc;

use crate::broker::counters::LOGIN_FAILURES;

/// Why a login failed, an index of `Counters::login_failures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// The client gave no credentials, or said something else first.
    Missing,
    /// The client gave credentials of a kind that the configuration has none of.
    WrongKind,
    /// There is no such user.
    UnknownUser,
    /// The password is not that of the user.
    WrongPassword,
    /// The token is not the configured one.
    WrongToken,
    /// No user has the nkey, or the signature is not by it.
    WrongSignature,
    /// The client did not log in in time.
    TooLate,
    /// The login was not checked: too many wait.
    Busy,
    /// The login was not checked: too many of its user from its address have failed.
    Throttled,
    /// No user has the certificate, or the client gave the credentials of another one.
    WrongCertificate,
}

impl LoginFailure {
    /// All of them.
    pub const ALL: [LoginFailure; LOGIN_FAILURES] = [
        LoginFailure::Missing,
        LoginFailure::WrongKind,
        LoginFailure::UnknownUser,
        LoginFailure::WrongPassword,
        LoginFailure::WrongToken,
        LoginFailure::WrongSignature,
        LoginFailure::TooLate,
        LoginFailure::Busy,
        LoginFailure::Throttled,
        LoginFailure::WrongCertificate,
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            LoginFailure::Missing => "missing",
            LoginFailure::WrongKind => "wrong_kind",
            LoginFailure::UnknownUser => "unknown_user",
            LoginFailure::WrongPassword => "wrong_password",
            LoginFailure::WrongToken => "wrong_token",
            LoginFailure::WrongSignature => "wrong_signature",
            LoginFailure::TooLate => "too_late",
            LoginFailure::Busy => "busy",
            LoginFailure::Throttled => "throttled",
            LoginFailure::WrongCertificate => "wrong_certificate",
        }
    }

    /// Whether the login was refused without a look at its credentials, so that the client may well try
    /// them again.
    pub fn is_unchecked(self) -> bool {
        matches!(self, LoginFailure::Busy | LoginFailure::Throttled)
    }
}

/// A login that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub failure: LoginFailure,
    /// The user, if there is one of that name: what a client gives as the name of another may be a
    /// password.
    pub user: Option<Arc<str>>,
}

impl From<LoginFailure> for Failed {
    fn from(failure: LoginFailure) -> Failed {
        Failed { failure, user: None }
    }
}
