//! NATS clients over real sockets: what they see of the broker, and of clients of BLIP/1.
//!
//! | to learn | read |
//! |---|---|
//! | what becomes of a message on its way from one protocol to the other | `both` |
//! | requests, groups and kept messages over both protocols | `together` |
//! | slow consumers under each policy, and what is told of what they missed | `slow` |
//! | groups, subjects that are not kept, short queues, expiry | `queues` |
//! | connections that are silent, or never say CONNECT | `silence` |
//! | limits, each with the words of nats-server | `limits` |
//! | credentials and permissions | `auth` |
//! | stops, restarts, and what speaks another language | `ends` |
//! | many connections, many subjects, no memory left | `many` |
//! | the configuration | `config` |
//!
//! What is answered byte by byte is in `vectors/nats.txt` and compared with nats-server in
//! `tests/nats/`; here is what needs a process: sockets that fill up, signals, metrics, memory.

mod auth;
mod both;
mod config;
mod ends;
mod limits;
mod many;
mod queues;
mod silence;
mod slow;
mod together;

use crate::on_one_and_two_cores;
