//! The clients of one protocol, with what they share.

use super::{Client, Frontend};
use crate::broker::ids::Slot;

/// All clients of one protocol, for what is done for several at once.
pub struct Clients<'a, F: Frontend> {
    /// What they share.
    pub shared: &'a mut F::Shared,
    pub(super) all: &'a mut [Option<Client>],
    pub(super) of: fn(&mut Client) -> Option<&mut F>,
}

impl<F: Frontend> Clients<'_, F> {
    /// The client of a slot, if it is of this protocol, and what all of them share.
    pub fn get(&mut self, slot: Slot) -> Option<(&mut F, &mut F::Shared)> {
        let client = self.all.get_mut(slot.index())?.as_mut()?;
        Some(((self.of)(client)?, self.shared))
    }
}
