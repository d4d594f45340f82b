//! The broker of one core, without I/O.

pub mod counters;
