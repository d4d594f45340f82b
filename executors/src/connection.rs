//! The name of a connection, as the driver and its service use it.

/// One connection of one core. Slots are small numbers and are reused; the generation tells the
/// connections of one slot apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Index among the core's connections: less than the most the core ever had at once.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}
