//! The broker process: where sockets and the I/O-free broker meet.

pub mod metrics;
