//! What a message costs, how this was measured, and how to measure it elsewhere.
//!
//! The numbers are in `benches/records/`, one folder for each machine and day, with command, commit,
//! versions and kernel. This chapter says how to read them and why the curves have their shapes.
//!
//! # How it is measured
//!
//! | command | question |
//! |---|---|
//! | `blipmq bench` | what does this broker do, here, with this load? Also for `nats://` and `redis://`, and over TLS for `blips://`, `tls://` and `rediss://` |
//! | `blipmq bench connects` | what does it cost the broker that a client connects, with or without TLS? |
//! | `benches/compare.sh` | what does a message cost beside nats-server, redis and the floor, in the same shapes, and what does TLS add? |
//! | `benches/growth.sh` | how does the cost grow with subscribers, bytes, topics, patterns, connections? |
//! | `benches/pair.sh --before BINARY` | did a change make a delivery cheaper or dearer than the binary before it? |
//! | `cargo bench` | what does one step cost: decoding, matching, queueing, a hop between cores? |
//!
//! The figure to compare is the broker's CPU time per delivered message. Rates depend on what else uses
//! the machine and on the generator; the CPU time of the process depends on them much less. Brokers run
//! in turn, A B C A B C. Medians are over five rounds or more, and each message is checked: a run that
//! lost, duplicated or reordered a message is not a result; over TLS every subscriber decrypts and checks
//! each message too. Latency counts from the instant when a
//! message was due, not from when the generator sent it.
//!
//! The *floor* is `blipmq bench mirror`: a loop that receives bytes and sends them to each subscriber
//! with blocking `send`, in chunks as large as the broker's. The floor has no topics, frames or queues.
//! What the broker costs above the floor is the cost of our code. The broker can be below the floor,
//! because one system call carries all its sends.
//!
//! # Where the time goes
//!
//! For a delivery of `L` bytes in sends of `b` messages, with `f` deliveries per published message:
//!
//! ```text
//! cost = send / b  +  copy * L  +  (receive + parse + copy * L) / f  +  batch / m
//! ```
//!
//! `send` is the fixed cost of a send, `copy` the cost of a byte on its way into a socket. `receive +
//! parse` is paid once per published message, and `batch` once for the `m` messages of one topic that a
//! turn brings: the memory of the batch, its place in the topic's log, one entry in each queue.
//!
//! - *Many subscribers*: the third and fourth terms vanish; sends and bytes remain. So the cost per
//!   delivery falls with the number of subscribers and then stays level.
//! - *A fixed low rate*: `b` is 1, and the cost of a send dominates.
//! - *Large messages*: the cost of bytes dominates.
//! - *Many topics with one message each per turn*: `m` is 1. The batch is then most of the cost, and
//!   each message is a range of its own in the vectored send. While the logs of the topics fill up for
//!   the first time (`queues.topic_capacity` messages each), every batch is memory that the process has
//!   never touched. The kernel has to clear that memory first, and on a virtual machine so has the host:
//!   with 1,000 topics this took two thirds of the time, and `topic_capacity = 0` cost 0.36 of it. The
//!   cost falls when the logs are full.
//! - *Patterns that match nothing*: the targets of a topic are computed once and cached until
//!   subscriptions change, so patterns cost time when they come and go, not per message.
//!
//! # What did not pay off, or is optional
//!
//! - `SEND_ZC`, fixed files and send bundles were measured before the broker was built: no gain up to 4
//!   KiB on loopback.
//! - Shrinking every batch to its bytes costs a second copy of most of them. Batches keep up to half as
//!   much unused room, and the memory budget counts that room.
//! - Polling for arrivals before sleeping halves round trips; see [`decisions`](super::decisions).
//!   `server.busy_poll_us` turns it off.
//!
//! # More cores than were measured
//!
//! The machine of the records has two cores, one of them shared with the load generator. For `N` cores
//! the following is a model, not a measurement. Assume `S` subscribers spread evenly, publishers on any
//! core, and one busy topic with its owner:
//!
//! ```text
//! owner       = receive + parse + copy * L + (N - 1) * hop / m + delivery * S / N
//! other core  = hop / m + delivery * S / N
//! ```
//!
//! This is CPU time per published message on each core; `hop` is a mesh message and, if the other core
//! sleeps, the wake-up. The owner bounds the rate of one topic; the sum over all cores bounds the rate
//! of many topics. The record of 2026-11-24 (64 bytes, batches of about 250) has 21 ns for a delivery,
//! 24 ns for taking a message in (1:1 less a delivery), and at most 36 ns for `hop / m`: two executors
//! less one at 1:1. The second executor shares its CPU with the load generator there, so 36 ns is too
//! high. With these numbers one topic with 48 subscribers costs its owner 24 + 36 (N - 1) + 1,008 / N:
//! 1,030 ns on one core, 560 on two, 384 on four, and no less from five on. More topics help as long as
//! there are cores.
//!
//! The model leaves out caches shared between cores, memory of another node, network cards and their
//! interrupts, and clients that are not on loopback. On a larger machine `benches/growth.sh --cores LIST
//! --gen-cpus LIST` makes the same runs with 1, 2, 4 and more executors; its numbers would replace the
//! model.
