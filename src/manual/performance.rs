//! What a message costs, how that was found, and how to find it elsewhere.
//!
//! Numbers are in `benches/records/`, one folder for each machine and day, with command, commit,
//! versions and kernel; this chapter says how to read them and why the curves have their shapes.
//!
//! # How it is measured
//!
//! | command | answers |
//! |---|---|
//! | `blipmq bench` | what does this broker do, here, with this load? Also for `nats://` and `redis://` |
//! | `benches/compare.sh` | what does it cost beside nats-server, redis and the floor, in the same shapes? |
//! | `benches/growth.sh` | how does the cost grow with subscribers, bytes, topics, patterns, connections? |
//! | `cargo bench` | what does one step cost: decoding, matching, queueing, a hop between cores? |
//!
//! The figure to compare is the broker's CPU time per delivered message. Rates depend on who else uses
//! the machine and on the generator; CPU time of the process much less. Brokers take turns, A B C A B C,
//! medians are of five rounds or more, and each message is checked: a run that lost, doubled or swapped
//! one is not a result. Latency is counted from the instant a message was due, not from when the
//! generator came to send it.
//!
//! The *floor* is `blipmq bench mirror`: a loop that receives bytes and sends them to each
//! subscriber with blocking `send`, in chunks as large as the broker's were. It knows no topics, no
//! frames, no queues. What the broker costs above it is ours to answer for; it can be below, as one
//! system call carries all its sends.
//!
//! # Where the time goes
//!
//! For a delivery of `L` bytes in sends of `b` messages, with `f` deliveries per published message:
//!
//! ```text
//! cost = send / b  +  copy * L  +  (receive + parse + copy * L) / f  +  batch / m
//! ```
//!
//! `send` is what a send costs however short it is, `copy` what a byte costs on its way into a socket,
//! `receive + parse` is paid once per published message, and `batch` once for the `m` messages of one
//! topic that a turn brings: its memory, its place in the topic's log, one entry in each queue.
//!
//! - *Many subscribers*: the third and fourth terms vanish, sends and bytes remain. That is why the cost
//!   per delivery falls with subscribers, and then stays.
//! - *A fixed low rate*: `b` is 1, and the cost of a send is all there is.
//! - *Large messages*: bytes are all there is.
//! - *Many topics with one message each per turn*: `m` is 1. The batch is then most of the cost, and each
//!   message is a range of its own in the vectored send. While the logs of the topics fill up for the
//!   first time (`queues.topic_capacity` messages each), every batch is memory that the process never
//!   touched, which the kernel has to clear first, and on a virtual machine the host as well: with 1,000
//!   topics two thirds of the time was spent on that, and `topic_capacity = 0` cost 0.36 of it. The
//!   cost falls when the logs are full.
//! - *Patterns that match nothing*: what a topic reaches is found once and kept until subscriptions change,
//!   so patterns cost when they come and go, not per message.
//!
//! # What did not pay, or is not on
//!
//! - `SEND_ZC`, fixed files and send bundles were measured before this was built: nothing gained up to
//!   4 KiB on loopback.
//! - Shrinking every batch to the bytes it has costs a second copy of most of them; batches now keep
//!   up to half as much unused room, and the memory budget counts it.
//! - Looking for arrivals before sleeping halves round trips; see
//!   [`decisions`](super::decisions), and `server.busy_poll_us` for turning it off.
//!
//! # More cores than were measured
//!
//! The machine of the records has two cores, one of them shared with the load generator. For `N` cores
//! this is a model, not a measurement. Assume `S` subscribers spread evenly, publishers anywhere,
//! and one busy topic, owned by one core:
//!
//! ```text
//! owner       = receive + parse + copy * L + (N - 1) * hop / m + delivery * S / N
//! other core  = hop / m + delivery * S / N
//! ```
//!
//! CPU time per published message on each core; `hop` is a letter and, if the other core sleeps, the
//! wake-up. The rate of one topic is bounded by its owner, that of many topics by the sum over all
//! cores. The record of 2026-11-24 (64 bytes, batches of about 250) has 21 ns for a delivery, 24 ns for
//! taking a message in (1:1 less a delivery), and at most 36 ns for `hop / m`: two executors less one at
//! 1:1, where the second shares its CPU with the load generator, so this is too much. With them one
//! topic with 48 subscribers costs its owner 24 + 36 (N - 1) + 1,008 / N: 1,030 ns on one core, 560 on
//! two, 384 on four, and from five on no less. More topics help as long as there are cores.
//!
//! What the model leaves out: caches shared between cores, memory of another node, network cards and
//! their interrupts, clients that are not on loopback. `benches/growth.sh --cores LIST --gen-cpus LIST`
//! makes the same runs with 1, 2, 4 and more executors on a larger machine, and would replace it.
