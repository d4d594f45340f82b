//! NATS clients over real sockets, alone and together with BLIP/1 clients.
//!
//! | to learn | read |
//! |---|---|
//! | how a message crosses from one protocol to the other | `both` |
//! | requests, groups and retained messages over both protocols | `together` |
//! | slow consumers under each policy, and reports of their losses | `slow` |
//! | groups, ephemeral subjects, short queues, expiry | `queues` |
//! | answers to requests, which make no topics | `answers` |
//! | connections that are silent, or never send CONNECT | `silence` |
//! | limits, each with the words of nats-server | `limits` |
//! | credentials and permissions | `auth` |
//! | stops, restarts, and clients of other protocols | `ends` |
//! | many connections, many subjects, an exhausted memory budget | `many` |
//! | the configuration | `config` |
//!
//! The answers byte by byte are in `vectors/nats.txt`, and `tests/nats/` compares them with nats-server;
//! the tests here need a process: sockets that fill up, signals, metrics, memory.

mod answers;
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
