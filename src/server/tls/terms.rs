//! What a listener demands of its clients, and offers them: made once, read at each handshake.

use std::sync::Arc;
use std::time::Duration;

/// The terms of each listener, by its index; `None` for one in plain text.
pub type Listeners = Arc<[Option<Arc<Terms>>]>;

/// The terms of one listener.
#[derive(Debug)]
pub struct Terms {
    pub config: Arc<rustls::ServerConfig>,
    pub need: Need,
    pub first: HandshakeFirst,
    pub client_certificates: ClientCertificates,
    pub handshake_timeout_ns: u64,
    pub record_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Optional,
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFirst {
    Never,
    Auto(Duration),
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    None,
    Optional,
    Required,
}
