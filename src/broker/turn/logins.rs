//! What logins wait for: passwords that are compared elsewhere, and refusals that are held back.

use crate::broker::auth::{Identity, LoginFailure};
use crate::broker::connections::LoginWait;
use crate::broker::ids::{CheckId, Slot};
use crate::broker::port::Port;
use crate::broker::{Broker, Now};

impl Broker {
    /// Hands out the passwords that are to be compared.
    pub(super) fn ask_for_checks(&mut self, now: Now, port: &mut impl Port) {
        for check in self.logins.checks.take_asked() {
            // Its client may have gone in the meantime.
            if !check.is_wanted() {
                continue;
            }
            let Err(check) = port.check_password(check) else { continue };
            let Some(unchecked) = self.logins.checks.finish(check.id) else { continue };
            for connection in unchecked.waiting {
                self.refuse_login(now, connection.slot, LoginFailure::Busy);
            }
        }
    }

    /// A password was compared with its hash.
    pub fn password_checked(&mut self, now: Now, id: CheckId, is_right: bool) {
        let Some(finished) = self.logins.checks.finish(id) else { return };
        let granted = match is_right && finished.exists {
            true => self.auth.granted_for(&finished.identity, &finished.hash),
            false => None,
        };
        if granted.is_some() {
            self.logins.remember(finished.mac, finished.identity.clone());
        }
        let failure = match finished.identity {
            Identity::Token => LoginFailure::WrongToken,
            Identity::User(_) if finished.exists => LoginFailure::WrongPassword,
            Identity::User(_) => LoginFailure::UnknownUser,
        };
        for connection in finished.waiting {
            let slot = connection.slot;
            assert!(self.connections.is_open(connection), "a connection that goes waits no longer");
            let (frontends, mut doors) = self.open_doors(now);
            let Some(permissions) = granted.clone() else {
                doors.refuse_later(slot, Some(&finished.identity), failure);
                continue;
            };
            if let Identity::User(user) = &finished.identity {
                let address = doors.connections.at(slot).address().ip();
                doors.logins.succeeded(address, user);
            }
            doors.connections.end_login(slot);
            frontends.login_answered(&mut doors, slot, Ok(permissions));
            doors.close_if_ended(slot);
            self.carry_out(now);
        }
    }

    /// Refuses a client whose refusal was held back long enough.
    pub(super) fn check_refusal(&mut self, now: Now, slot: Slot) {
        if matches!(self.connections.at(slot).login_wait(), LoginWait::Refusal(_)) {
            self.refuse_login(now, slot, LoginFailure::Missing);
        }
    }

    /// Refuses a client whose login waits; `otherwise` says why, unless that is known.
    fn refuse_login(&mut self, now: Now, slot: Slot, otherwise: LoginFailure) {
        let (frontends, mut doors) = self.open_doors(now);
        let failed = match doors.connections.end_login(slot) {
            LoginWait::Refusal(failed) => *failed,
            LoginWait::Check(_) | LoginWait::Nothing => otherwise.into(),
        };
        frontends.login_answered(&mut doors, slot, Err(failed));
        self.carry_out(now);
    }
}
