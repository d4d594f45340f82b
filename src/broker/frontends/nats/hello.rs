//! INFO and CONNECT: how a client and the broker get to know each other.

use super::{Client, Doors, Options, Shared};
use crate::broker::auth::{self, Credentials};
use crate::broker::frontends::{Admission, Protocol, Refusal, SERVER_NAME};
use crate::broker::ids::Slot;
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
        match doors.auth.check(&Credentials::None, None) {
            Some(permissions) => {
                let connection = doors.connections.get(slot);
                connection.authenticate(permissions);
                connection.open();
            }
            None if doors.auth.wants_nonce() => {
                let nonce = auth::nonce(&doors.cluster.nonce_key, doors.core, shared.clients);
                self.nonce = Some(nonce.into());
            }
            None => {}
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

    /// CONNECT.
    pub(super) fn connect(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        json: &[u8],
    ) -> Result<(), Offence> {
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
        // A client that has authenticated before and gives nothing new stays the user it was.
        if !(was_connected && matches!(credentials, Credentials::None)) {
            let certified = doors.connections.at(slot).certified();
            let permissions = doors.auth.check(&credentials, certified);
            let permissions = permissions.ok_or(Offence::AuthorizationViolation)?;
            doors.connections.get(slot).authenticate(permissions);
        }
        doors.connections.get(slot).open();
        self.options = Options {
            is_connected: true,
            verbose: connect.verbose,
            pedantic: connect.pedantic,
            echo: connect.echo,
            headers: connect.headers,
            no_responders: connect.no_responders,
        };
        Ok(())
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
