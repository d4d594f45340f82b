//! TLS of the real binary: each mode of both protocols, byte for byte where nats-server has the bytes.
//!
//! | to learn | read |
//! |---|---|
//! | NATS clients | `nats` |
//! | BLIP/1 clients | `blip` |
//! | certificates of clients, tickets, reload | `identity` |
//! | half-open handshakes, stop, drain, bounds | `ends` |

#[path = "../support/mod.rs"]
mod support;

mod blip;
mod ends;
mod identity;
mod nats;
mod world;
