//! The ring of a core, and the buffers it receives into.

pub(crate) mod buffers;
pub(crate) mod data;
