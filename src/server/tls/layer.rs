//! TLS of one connection, without I/O: bytes of the wire and of the protocol inside go in and come out.
//!
//! Called by `session`. The fuzz target `tls` includes this file and `wire`.
//!
//! # Always true
//! - After each call of [`Layer::advance`] no plaintext is left in rustls, which keeps little of it.
//! - What the layer itself has to say comes in front of the next sealed bytes.

use std::io::{BufRead, IoSlice, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::CertificateDer;
use rustls::server::{Accepted, Acceptor};
use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, SupportedCipherSuite,
};

use super::wire::{self, Append, Nothing};

/// Bytes that a record has beside its content, at most.
const RECORD_OVERHEAD: usize = 32;
/// Keys of TLS 1.2 cannot be changed: a connection is closed so many records before they are used up.
const RECORDS_SPARED: u64 = 1_000;
/// What rustls reads at a time; its buffer grows beyond for longer records.
const READ_BYTES: usize = 4_096;

/// What [`Layer::advance`] has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Idle,
    /// The client does not speak TLS; [`Layer::first_bytes`] has what it said.
    NotTls,
    /// A whole hello waits for [`Layer::answer`].
    Hello,
    /// The handshake is over.
    Established,
    /// Bytes of the protocol wait for [`Layer::drain`].
    Plaintext,
    /// The client has said that nothing more comes.
    Ended,
    /// The connection cannot go on; [`Layer::write_own`] has the alert, if there is one.
    Failed(String),
}

enum State {
    /// Fewer bytes came than tell whether it is TLS.
    Sniffing(Vec<u8>),
    ReadingHello(Box<Acceptor>),
    HelloWaits(Box<Accepted>),
    Shaking(Box<ServerConnection>),
    Open(Box<ServerConnection>),
    /// With an alert that has not been written.
    Failed(Vec<u8>),
}

/// TLS of one connection.
pub struct Layer {
    state: State,
    /// Bytes of the protocol have not been drained.
    has_plaintext: bool,
    /// The client has said that nothing more comes.
    has_ended: bool,
    /// `advance` has said so.
    end_is_told: bool,
    /// Why the connection cannot go on behind the plaintext, and the alert.
    failure: Option<Box<(String, Vec<u8>)>>,
    /// The buffer of rustls may have grown.
    may_shed: bool,
    /// Plaintext bytes in a record.
    record_bytes: usize,
    /// Records that may still be sealed.
    records_left: u64,
}

/// Whether a client begins with a hello, once its bytes tell: a record of the handshake, version 3.1 to
/// 3.4. Text begins with a letter, and a frame of BLIP/1 that began so would be longer than a first one may be.
fn is_hello(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [] | [0x16] | [0x16, 0x03] => None,
        [0x16, 0x03, 1..=4, ..] => Some(true),
        _ => Some(false),
    }
}

impl Layer {
    pub fn new() -> Layer {
        Layer {
            state: State::Sniffing(Vec::new()),
            has_plaintext: false,
            has_ended: false,
            end_is_told: false,
            failure: None,
            may_shed: false,
            record_bytes: 1,
            records_left: u64::MAX,
        }
    }

    /// Goes on with bytes that arrived until something has to be done, and takes those off that were used.
    pub fn advance(&mut self, bytes: &mut &[u8]) -> Step {
        if self.has_plaintext {
            return Step::Plaintext;
        }
        if let Some(failure) = self.failure.take() {
            let (why, alert) = *failure;
            return self.fail(why, alert);
        }
        if self.has_ended && !self.end_is_told {
            self.end_is_told = true;
            return Step::Ended;
        }
        loop {
            match &mut self.state {
                State::Sniffing(first) => {
                    first.extend_from_slice(bytes);
                    *bytes = &[];
                    match is_hello(first) {
                        None => return Step::Idle,
                        Some(false) => return Step::NotTls,
                        Some(true) => {
                            let first = std::mem::take(first);
                            self.state = State::ReadingHello(Box::default());
                            return self.read_hello(&mut first.as_slice());
                        }
                    }
                }
                State::ReadingHello(_) => return self.read_hello(bytes),
                State::HelloWaits(_) => return Step::Idle,
                State::Shaking(_) | State::Open(_) => match self.read_records(bytes) {
                    Some(step) => return step,
                    None => continue,
                },
                State::Failed(_) => {
                    *bytes = &[];
                    return Step::Idle;
                }
            }
        }
    }

    /// What a client said that does not speak TLS.
    pub fn first_bytes(&mut self) -> Vec<u8> {
        match &mut self.state {
            State::Sniffing(first) => std::mem::take(first),
            _ => Vec::new(),
        }
    }

    /// Whether not even the first byte has come.
    pub fn is_untouched(&self) -> bool {
        matches!(&self.state, State::Sniffing(first) if first.is_empty())
    }

    fn read_hello(&mut self, bytes: &mut &[u8]) -> Step {
        let State::ReadingHello(acceptor) = &mut self.state else { unreachable!("it is read") };
        while !bytes.is_empty() {
            if let Err(error) = acceptor.read_tls(bytes) {
                return self.fail(error.to_string(), Vec::new());
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    self.state = State::HelloWaits(Box::new(accepted));
                    return Step::Hello;
                }
                Err((error, alert)) => {
                    return self.fail(error.to_string(), wire::alert_of(&error, alert));
                }
            }
        }
        Step::Idle
    }

    /// Whether a hello waits.
    pub fn has_hello(&self) -> bool {
        matches!(self.state, State::HelloWaits(_))
    }

    /// Answers the hello that waits: most of the work of a handshake.
    pub fn answer(&mut self, config: Arc<ServerConfig>, record_bytes: usize) -> Step {
        let state = std::mem::replace(&mut self.state, State::Failed(Vec::new()));
        let State::HelloWaits(accepted) = state else { panic!("a hello waits") };
        self.record_bytes = record_bytes;
        match accepted.into_connection(config) {
            Ok(tls) => {
                self.state = State::Shaking(Box::new(tls));
                Step::Idle
            }
            Err((error, alert)) => {
                let alert = wire::alert_of(&error, alert);
                self.fail(error.to_string(), alert)
            }
        }
    }

    /// Whether what the client says next costs much: the key exchange of TLS 1.2, a second hello, or a
    /// certificate. Else it is the end of the handshake.
    pub fn is_flight_costly(&self, asks_certificate: bool) -> bool {
        match &self.state {
            State::Shaking(tls) => match tls.handshake_kind() {
                Some(HandshakeKind::Resumed) => false,
                Some(HandshakeKind::Full) => {
                    asks_certificate || tls.protocol_version() == Some(ProtocolVersion::TLSv1_2)
                }
                _ => true,
            },
            _ => false,
        }
    }

    /// Reads one piece of what arrived; `None` if that changed nothing.
    fn read_records(&mut self, bytes: &mut &[u8]) -> Option<Step> {
        let (State::Shaking(tls) | State::Open(tls)) = &mut self.state else {
            unreachable!("there is a connection")
        };
        if self.has_ended {
            // rustls reads no more.
            *bytes = &[];
        }
        if bytes.is_empty() {
            return Some(Step::Idle);
        }
        self.may_shed |= bytes.len() > READ_BYTES;
        let processed = match tls.read_tls(bytes) {
            Ok(_) => tls.process_new_packets().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match processed {
            Ok(state) => {
                self.has_plaintext = state.plaintext_bytes_to_read() > 0;
                self.has_ended |= state.peer_has_closed();
                if matches!(&self.state, State::Shaking(tls) if !tls.is_handshaking()) {
                    self.open();
                    return Some(Step::Established);
                }
                (self.has_plaintext || self.has_ended).then(|| self.advance(bytes))
            }
            Err(error) => {
                let mut alert = BytesMut::new();
                while tls.wants_write() && tls.write_tls(&mut Append(&mut alert)).is_ok() {}
                wire::translate(&mut alert);
                // What came whole in front of the fault counts.
                self.has_plaintext = tls.reader().fill_buf().is_ok_and(|plain| !plain.is_empty());
                self.failure = Some(Box::new((error, alert.to_vec())));
                Some(self.advance(bytes))
            }
        }
    }

    fn open(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Failed(Vec::new()));
        let State::Shaking(mut tls) = state else { unreachable!("the handshake has ended") };
        tls.set_buffer_limit(None);
        if let Some(SupportedCipherSuite::Tls12(suite)) = tls.negotiated_cipher_suite() {
            self.records_left = suite.common.confidentiality_limit.saturating_sub(RECORDS_SPARED);
        }
        self.state = State::Open(tls);
    }

    /// Hands bytes of the protocol out.
    pub fn drain(&mut self, mut give: impl FnMut(&[u8])) {
        let (State::Shaking(tls) | State::Open(tls)) = &mut self.state else { return };
        self.has_plaintext = false;
        let mut reader = tls.reader();
        // An error says that nothing is left for now; an empty buffer, that nothing more comes.
        while let Ok(plain) = reader.fill_buf()
            && !plain.is_empty()
        {
            let len = plain.len();
            give(plain);
            reader.consume(len);
        }
    }

    fn fail(&mut self, why: String, alert: Vec<u8>) -> Step {
        self.state = State::Failed(alert);
        self.has_plaintext = false;
        Step::Failed(why)
    }

    /// Whether the layer itself has something to send.
    pub fn wants_write(&self) -> bool {
        match &self.state {
            State::Shaking(tls) | State::Open(tls) => tls.wants_write(),
            State::Failed(alert) => !alert.is_empty(),
            _ => false,
        }
    }

    /// Writes what the layer itself has to send: flights, tickets, answers to key updates, an alert.
    pub fn write_own(&mut self, out: &mut BytesMut) {
        match &mut self.state {
            State::Shaking(tls) | State::Open(tls) => {
                while tls.wants_write() && tls.write_tls(&mut Append(out)).is_ok() {}
            }
            State::Failed(alert) => out.extend_from_slice(&std::mem::take(alert)),
            _ => {}
        }
    }

    /// Seals up to `bytes_max` bytes from the front of `chunks`, behind what the layer itself has to send.
    pub fn seal(&mut self, chunks: &mut Vec<Bytes>, bytes_max: usize, out: &mut BytesMut) {
        let State::Open(tls) = &mut self.state else {
            panic!("sealed before the handshake is over")
        };
        let mut room = bytes_max;
        let mut whole = 0;
        let mut slices = Vec::with_capacity(chunks.len());
        for chunk in chunks.iter() {
            let len = chunk.len().min(room);
            slices.push(IoSlice::new(&chunk[..len]));
            room -= len;
            if len < chunk.len() {
                break;
            }
            whole += 1;
        }
        let len = bytes_max - room;
        let cut = slices.get(whole).map_or(0, |slice| slice.len());
        let records = len.div_ceil(self.record_bytes);
        out.reserve(len + records * RECORD_OVERHEAD);
        let written = tls.writer().write_vectored(&slices).expect("a writer without a limit");
        assert!(written == len, "a writer without a limit takes everything");
        self.records_left = self.records_left.saturating_sub(records as u64);
        drop(slices);
        chunks.drain(..whole);
        if cut > 0 {
            chunks[0].advance(cut);
        }
        while tls.wants_write() && tls.write_tls(&mut Append(out)).is_ok() {}
    }

    /// Whether the keys are used up, so that nothing more may be sealed.
    pub fn is_worn(&self) -> bool {
        self.records_left == 0
    }

    /// Writes the end of the stream, or the alert of a connection that failed. During a handshake there
    /// is neither.
    pub fn close(&mut self, out: &mut BytesMut) {
        if let State::Open(tls) = &mut self.state {
            tls.send_close_notify();
        }
        if !matches!(&self.state, State::Shaking(_)) {
            self.write_own(out);
        }
    }

    /// Gives back what reading has grown, at the end of a turn.
    pub fn shed(&mut self) {
        if let State::Open(tls) = &mut self.state
            && std::mem::take(&mut self.may_shed)
        {
            let _ = tls.read_tls(&mut Nothing);
        }
    }

    /// Whether there is something to shed.
    pub fn may_shed(&self) -> bool {
        self.may_shed && matches!(&self.state, State::Open(_))
    }

    fn tls(&self) -> Option<&ServerConnection> {
        match &self.state {
            State::Shaking(tls) | State::Open(tls) => Some(tls),
            _ => None,
        }
    }

    /// The version of TLS, such as `1.3`.
    pub fn version(&self) -> &'static str {
        match self.tls().and_then(|tls| tls.protocol_version()) {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "",
        }
    }

    /// The name of the cipher suite.
    pub fn suite(&self) -> &'static str {
        let suite = self.tls().and_then(|tls| tls.negotiated_cipher_suite());
        suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default()
    }

    /// Whether the session goes on from an earlier connection.
    pub fn is_resumed(&self) -> bool {
        self.tls().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// The certificate that the client has shown.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls()?.peer_certificates()?.first()
    }
}

#[cfg(test)]
#[path = "layer/tests.rs"]
mod tests;
