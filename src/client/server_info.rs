//! What WELCOME says about a broker.

/// What the broker announced when the client connected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Name and version of the broker.
    pub server: String,
    /// A number that is new at every start of the broker. Sequences of topics start over with it.
    pub server_id: u64,
    /// The core that serves this connection.
    pub core: u16,
    /// The number of cores of the broker.
    pub cores: u16,
    /// The number of shards of the broker.
    pub shards: u16,
    /// Longest payload that the broker accepts.
    pub message_len_max: u32,
    /// Longest frame that the broker accepts.
    pub frame_len_max: u32,
}
