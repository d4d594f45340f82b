//! Capacity: how much memory and how many cores a load needs.
//!
//! The numbers come from the record of 2026-11-30 (`benches/records/2026-11-30-amd-epyc/table.md`): one
//! core of a virtual machine with an AMD EPYC, loopback TCP. Another CPU, and above all a network card,
//! gives other numbers: measure yours as described below and put them in. A test computes the sums in
//! this chapter from the constants that the broker is built with and from that record.
//!
//! # Memory
//!
//! ```text
//! process     =  start
//!              + cores x (receive buffers + turn + (cores - 1) x 2 lanes x mesh)
//!              + connections x per connection
//!              + limits.memory_max
//! ```
//!
//! | term | size | source |
//! |---|---|---|
//! | start | 24 MiB | 20.9 MiB in the record, with one core and its buffers |
//! | receive buffers | 2 MiB | 32 of 64 KiB, resident once used |
//! | turn | 0.5 MiB | the most that a core takes in between two fan-outs |
//! | mesh | 1.5 MiB | the most that waits for another core: 1 MiB and a turn |
//! | per connection | 2 KiB | 1.96 KiB in the record, with one subscription and nothing under way |
//! | `limits.memory_max` | 2 GiB | the setting: all queued and retained messages, and the entries of queues |
//!
//! Six cores, 10,000 connections, the default budget:
//!
//! ```text
//! start                                                24 MiB
//! 6 cores x (2 + 0.5 + 5 x 2 x 1.5 MiB)               105 MiB
//! 10,000 connections x 2 KiB                           20 MiB
//! limits.memory_max                                 2,048 MiB
//!                                                   ---------
//!                                                   2,197 MiB
//! ```
//!
//! Give the machine or the container this sum or four thirds of `limits.memory_max`, whichever is
//! larger: 2,731 MiB here. The difference is room for memory that the allocator does not return at once,
//! for the names of topics, and for incomplete frames, which stay with their connection: at most
//! `server.max_message_size_bytes` each. `blipmq doctor` checks the four thirds.
//!
//! Outside the process the kernel buffers up to the last number of `net.ipv4.tcp_wmem` for a subscriber
//! that does not read, and up to the last number of `net.ipv4.tcp_rmem` for a client that sends faster
//! than the broker reads. This memory does not count as the process's, but it does count against the
//! limit of a container.
//!
//! # How large limits.memory_max has to be
//!
//! ```text
//! memory_max  >=  8/7 x (queues + logs)
//! queues       =  stalled subscriptions x messages each x (entry + frame + batch, unless they share them)
//! logs         =  topics x the lesser of topic_capacity x (frame + batch) and topic_bytes
//! ```
//!
//! The factor is 8/7 because the broker evicts the oldest retained messages above seven eighths of the
//! budget. A frame is 44 bytes and the payload, an entry of a queue 96 bytes, a batch 160 bytes. In the
//! worst case each message is a batch of its own; under load hundreds of messages of one topic share one
//! batch and one entry. A message that is in many queues exists once.
//!
//! 300 subscribers of 256-byte messages that all stall, with the default `subscriber_capacity`, and 100
//! topics that retain the default `topic_capacity`, in the worst case:
//!
//! ```text
//! one topic: 300 x 2,048 x 96 + 2,048 x (300 + 160)    57 MiB
//! a topic each: 300 x 2,048 x (96 + 300 + 160)        326 MiB
//! 100 topics x 10,000 x (300 + 160)                   439 MiB
//! 8/7 x (326 + 439)                                   874 MiB
//! ```
//!
//! The default of 2 GiB is enough. With 1,000 such topics 2 GiB is too little: the broker then evicts
//! the oldest retained messages (`blipmq_kept_evictions_total`), and queues still have their room.
//! Publishes are refused only if queues alone need more than the budget.
//!
//! # Cores
//!
//! A delivery is one message to one subscriber: messages per second times subscribers of each. Two
//! numbers bound what a delivery costs.
//!
//! | | CPU per delivery | when |
//! |---|--:|---|
//! | alone | 4,189 ns | each message is a send of its own: 2,000/s to 48 subscribers, 256 B |
//! | batched | 53.9 ns | the core is busy: 1:48, 256 B, as fast as possible |
//! | batched, 64 B | 18.7 ns | the same with 64 B |
//!
//! The broker chooses by itself: a core with time to spare sends each message at once, and a busy core
//! finds several messages for each connection in its next turn, so that they share a send. So:
//!
//! ```text
//! cores for latency      =  deliveries/s x alone    / 0.5
//! cores for throughput   =  deliveries/s x batched  / 0.7
//! ```
//!
//! By the first rule every message finds a core that is free or soon will be. By the second rule cores
//! are busy all the time and nothing is lost, but a message waits for a turn, which takes as long as a
//! send to each connection of the core. A number of cores between the two is safe, and slower for single
//! messages.
//!
//! 2,000 messages of 256 bytes per second, each to 300 subscribers, are 600,000 deliveries/s:
//!
//! ```text
//! for latency       600,000 x 4,189 ns / 0.5   =  5.03   so 6 cores
//! for throughput    600,000 x 53.9 ns / 0.7    =  0.05   so 1 core
//! a turn on one core, 300 sends of 4,189 ns    =  1.26 ms
//! ```
//!
//! By this model one core delivers everything to these subscribers about a millisecond late, and with
//! six cores each send finds room. A single core that is busy all the time is not yet overloaded: it is
//! overloaded when lag grows.
//!
//! One core orders one topic, so one topic is as fast as [`performance`](super::performance) says,
//! however many cores there are. Where latency matters, add a core for the metrics pages and the
//! interrupts of the network card.
//!
//! # Check it
//!
//! Run this against a broker on the cores meant for it, from another machine or from other cores. With
//! the shape of your load, at your rate:
//!
//! ```sh
//! blipmq bench latency blip://127.0.0.1:7878 --rate 2000 --subs 48 --size 256 --secs 0.5 --warmup 0.2
//! ```
//!
//! As fast as possible; with `--pid` and the process of the broker, `blipmq bench` prints CPU time per
//! delivery:
//!
//! ```sh
//! blipmq bench blip://127.0.0.1:7878 --subs 48 --size 256 --secs 0.5 --warmup 0.2
//! ```
//!
//! The cost of connections:
//!
//! ```sh
//! blipmq bench idle --idle-conns 500 --secs 0.5 --pid "$(pidof -s blipmq)" blip://127.0.0.1:7878
//! ```
//!
//! These runs are short; use `--secs 30` and `--rounds 5` for numbers to rely on. If a line says that
//! the generator was the bottleneck, give the generator more `--threads` and `--cpu`. Two scripts
//! measure, in some minutes, how the cost grows and what other brokers cost in the same shapes:
//!
//! ```sh minutes
//! benches/growth.sh
//! benches/compare.sh
//! ```
