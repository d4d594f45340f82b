//! How far the stop is.
//!
//! Changed by `turn::drain`, where each step is described; frontends look at it before they begin
//! anything.

/// The stop of one core.
#[derive(Debug, Default)]
pub struct Drain {
    /// The stop is to come: clients leave, and are served until then.
    pub is_lame_duck: bool,
    /// The stop has begun: nothing is taken in any more.
    pub begun: bool,
    /// When it began.
    pub begun_ns: u64,
    /// The other cores know that this core sends no more requests.
    pub said_requests: bool,
    /// The other cores know that this core sends no more deliveries.
    pub said_deliveries: bool,
    /// The other cores know that the groups of this core have dealt all they had.
    pub said_groups: bool,
    /// Other cores that send no more requests.
    pub requests_drained: u16,
    /// Other cores that send no more deliveries.
    pub deliveries_drained: u16,
    /// Other cores whose groups have dealt all they had.
    pub groups_drained: u16,
    /// Nothing can be queued any more.
    pub is_quiet: bool,
}
