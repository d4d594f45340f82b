//! HELLO: the client authenticates, and is answered with WELCOME or an ERROR, at once or later.

use std::sync::Arc;

use super::{Client, Doors};
use crate::broker::auth::{Credentials, Failed, LoginFailure};
use crate::broker::connections::Phase;
use crate::broker::frontends::{Login, Protocol, SERVER_NAME};
use crate::broker::ids::Slot;
use crate::broker::permissions::Permissions;
use crate::limits;
use crate::protocol::decode::{Hello, Welcome};
use crate::protocol::{Reject, encode};

impl Client {
    /// HELLO: the client authenticates, and may do what its user may from WELCOME on.
    pub(super) fn hello(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        hello: &Hello<'_>,
    ) -> Result<(), Reject> {
        if doors.connections.at(slot).phase() != Phase::AwaitHello {
            return Err(Reject::SecondHello);
        }
        let kind = hello.auth_kind;
        if kind != 0 && !doors.auth.is_required() {
            return Err(Reject::AuthNotConfigured { kind });
        }
        let credentials = match kind {
            0 => Credentials::None,
            1 => Credentials::Token(hello.user),
            _ => Credentials::Password { user: hello.user, password: hello.password },
        };
        self.auth_kind = kind;
        match doors.check_login(slot, &credentials) {
            Login::Granted(permissions) => self.welcome(doors, slot, permissions),
            Login::Refused(failed) => self.refuse_login(doors, slot, failed),
            Login::Waits => {}
        }
        Ok(())
    }

    /// The client has authenticated.
    pub(super) fn welcome(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        permissions: Arc<Permissions>,
    ) {
        if let Err(refusal) = doors.log_in(slot, permissions) {
            return self.reject(doors, slot, &refusal.to_reject());
        }
        let welcome = welcome(doors);
        doors.answer(slot, |out| encode::welcome(out, &welcome));
        doors.expect_sign_of_life(Protocol::Blip, slot);
    }

    /// The client's login failed.
    pub(super) fn refuse_login(&mut self, doors: &mut Doors<'_>, slot: Slot, failed: Failed) {
        let reject = match failed.failure {
            LoginFailure::Missing | LoginFailure::TooLate => Reject::AuthRequired,
            LoginFailure::Busy => Reject::LoginNotChecked {
                why: "many passwords of other clients wait to be checked",
            },
            LoginFailure::Throttled => Reject::LoginNotChecked {
                why: "many logins of this user from your address have failed",
            },
            LoginFailure::WrongCertificate => {
                Reject::AuthFailed { kind: self.auth_kind, what: "a certificate" }
            }
            // One text for all of them: a client that guesses is not told what it guessed right.
            LoginFailure::WrongKind
            | LoginFailure::UnknownUser
            | LoginFailure::WrongPassword
            | LoginFailure::WrongToken
            | LoginFailure::WrongSignature => {
                let kind = self.auth_kind;
                let what = if kind == 1 { "a token" } else { "user and password" };
                Reject::AuthFailed { kind, what }
            }
        };
        doors.count_failed_login(slot, Protocol::Blip, reject.to_string(), failed);
        self.send_error(doors, slot, &reject);
    }
}

/// Why a login failed that is refused with this, if it refuses one.
pub(super) fn failure_of(reject: &Reject) -> Option<LoginFailure> {
    Some(match reject {
        Reject::AuthTimeout { .. } | Reject::AuthTooLate { .. } => LoginFailure::TooLate,
        Reject::AuthNotConfigured { .. } => LoginFailure::WrongKind,
        _ if reject.refuses_login() => LoginFailure::Missing,
        _ => return None,
    })
}

fn welcome(doors: &Doors<'_>) -> Welcome<'static> {
    let message_len_max = doors.settings().server.max_message_size_bytes;
    Welcome {
        version: crate::protocol::frame::VERSION,
        core: doors.core,
        cores: doors.cluster.cores,
        shards: doors.cluster.shards,
        message_len_max,
        frame_len_max: limits::frame_len_max(message_len_max),
        server_id: doors.cluster.server_id,
        server: SERVER_NAME,
    }
}
