//! TLS.

pub mod certificates;
pub mod counters;
pub mod expiry;
pub mod fault;
pub mod handshakes;
mod identity;
mod layer;
pub mod listeners;
mod pem;
mod session;
pub mod sessions;
mod shaking;
mod sni;
pub mod terms;
#[cfg(test)]
pub mod testing;
mod wire;
