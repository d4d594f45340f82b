//! TLS.

pub mod certificates;
pub mod expiry;
pub mod fault;
pub mod identity;
pub mod listeners;
mod pem;
mod sni;
pub mod terms;
#[cfg(test)]
pub mod testing;
