//! How connections are named.
//!
//! The driver of a core gives the names; every room may pass them on, and `connections` alone looks up
//! what is behind one.

/// The place of a connection among those of its core. Places are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A password of this core's clients that is compared with a hash elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u64);

/// A connection of this core. Slots are used again, generations are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Its place.
    pub slot: Slot,
    /// How often the place was used before.
    pub generation: u32,
}
