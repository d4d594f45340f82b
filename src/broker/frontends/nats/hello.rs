//! INFO and CONNECT: how a client and the broker get to know each other.

use std::sync::Arc;

use super::{Client, Doors, Options, Shared};
use crate::broker::auth::{self, Checked, Credentials, Failed};
use crate::broker::frontends::{Admission, Login, Protocol, Refusal, SERVER_NAME};
use crate::broker::ids::Slot;
use crate::broker::permissions::Permissions;
use crate::nats::connect::Connect;
use crate::nats::error::Offence;
use crate::nats::info::{self, Info};

/// What INFO says as the version. Clients and programs read it as that of nats-server and leave out
/// what such a one does not have: everything of 2.10 that is not JetStream, accounts or clustering is
/// here. The name of the server says which one it really is.
const PROTOCOL_LEVEL: &str = "2.10.0-blipmq";

/// What INFO says as the compiler, where nats-server has the version of Go. Some clients refuse an INFO
/// without the field; none is known that reads the text.
const COMPILER: &str = "rust";

impl Client {
    /// A client has connected: INFO, and perhaps a nonce to sign.
    pub(super) fn welcome(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        admission: Admission,
    ) {
        if let Checked::Granted(permissions) = doors.auth.check(&Credentials::None, None) {
            let connection = doors.connections.get(slot);
            connection.authenticate(permissions);
            connection.open();
        } else if doors.auth.wants_nonce() {
            let nonce = auth::nonce(&doors.cluster.nonce_key, doors.core, shared.clients);
            self.nonce = Some(nonce.into());
        }
        self.send_info(doors, slot, false);
        match doors.refusal_of_new(admission) {
            Some(Refusal::Stopping) => doors.close_with_answers(slot),
            Some(refusal) => self.say_refusal(shared, doors, slot, &refusal),
            // The time to log in begins behind the handshake.
            None if doors.connections.at(slot).awaits_handshake() => {}
            None => {
                doors.expect_sign_of_life(Protocol::Nats, slot);
                if doors.auth.is_required() {
                    doors.expect_login(slot);
                }
            }
        }
    }

    /// INFO, on connecting and again when the broker stops.
    pub(super) fn send_info(&mut self, doors: &mut Doors<'_>, slot: Slot, stops: bool) {
        let connection = doors.connections.at(slot);
        let client_ip = connection.address().ip().to_string();
        let offer = connection.tls_offer();
        let server_id = format!("{:016X}", doors.cluster.server_id);
        let address = doors.cluster.advertised_addr;
        let info = Info {
            server_id: &server_id,
            server_name: SERVER_NAME,
            version: PROTOCOL_LEVEL,
            go: COMPILER,
            host: &address.ip().to_string(),
            port: address.port(),
            max_payload: doors.settings().server.max_message_size_bytes,
            client_id: self.client_id,
            client_ip: &client_ip,
            auth_required: doors.auth.is_required(),
            tls_required: offer.required,
            tls_verify: offer.verify,
            tls_available: offer.available,
            nonce: self.nonce.as_deref(),
            ldm: stops,
        };
        doors.answer(slot, |out| info::encode(out, &info));
    }

    /// CONNECT. Returns whether that is over, so that the client is answered.
    pub(super) fn connect(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        json: &[u8],
    ) -> Result<bool, Offence> {
        // What a second CONNECT leaves out stays.
        let mut connect = Connect {
            verbose: self.options.verbose,
            pedantic: self.options.pedantic,
            echo: self.options.echo,
            headers: self.options.headers,
            no_responders: self.options.no_responders,
            ..Connect::default()
        };
        connect.update(json)?;
        // A client that sends CONNECT again starts over: its subscriptions end.
        let was_connected = std::mem::replace(&mut self.options.is_connected, true);
        if was_connected {
            self.end_all_subscriptions(shared, doors, slot);
        }
        let nonce = self.nonce.as_deref().unwrap_or_default().as_bytes();
        let credentials = credentials(&connect, nonce);
        let options = Options {
            is_connected: true,
            verbose: connect.verbose,
            pedantic: connect.pedantic,
            echo: connect.echo,
            headers: connect.headers,
            no_responders: connect.no_responders,
        };
        // A client that has authenticated before and gives nothing new stays the user it was.
        if !(was_connected && matches!(credentials, Credentials::None)) {
            match doors.log_in(slot, &credentials) {
                Login::Granted(permissions) => {
                    doors.connections.get(slot).authenticate(permissions)
                }
                Login::Refused(failed) => {
                    self.refuse_login(shared, doors, slot, failed);
                    return Ok(false);
                }
                Login::Waits => {
                    self.connecting = Some(Box::new(options));
                    return Ok(false);
                }
            }
        }
        doors.connections.get(slot).open();
        self.options = options;
        Ok(true)
    }

    /// The login that waited is over.
    pub(super) fn answer_login(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        answer: Result<Arc<Permissions>, Failed>,
    ) {
        let connecting = self.connecting.take();
        match answer {
            Ok(permissions) => {
                let connection = doors.connections.get(slot);
                connection.authenticate(permissions);
                connection.open();
                self.options = *connecting.expect("CONNECT said what the client wants");
                self.confirm(doors, slot);
            }
            Err(failed) => self.refuse_login(shared, doors, slot, failed),
        }
    }

    /// The client's login failed.
    pub(super) fn refuse_login(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        failed: Failed,
    ) {
        let offence = match failed.failure.is_unchecked() {
            // Clients try again behind this one, and do not give up as behind a violation.
            true => Offence::MaximumConnectionsExceeded,
            false => Offence::AuthorizationViolation,
        };
        doors.count_failed_login(slot, Protocol::Nats, offence.text().into_owned(), failed);
        self.offend(shared, doors, slot, &offence);
    }

    /// Answers a command with +OK, if the client wants that.
    pub(super) fn confirm(&self, doors: &mut Doors<'_>, slot: Slot) {
        if self.options.verbose {
            doors.answer(slot, |out| out.extend_from_slice(b"+OK\r\n"));
        }
    }
}

/// What CONNECT authenticates its client with; `nonce` is what that was given to sign.
fn credentials<'a>(connect: &'a Connect, nonce: &'a [u8]) -> Credentials<'a> {
    if !connect.nkey.is_empty() {
        Credentials::Nkey { public: &connect.nkey, signature: &connect.sig, nonce }
    } else if !connect.auth_token.is_empty() {
        Credentials::Token(&connect.auth_token)
    } else if !connect.user.is_empty() {
        Credentials::Password { user: &connect.user, password: &connect.pass }
    } else {
        Credentials::None
    }
}
