//! Capacity: how much memory and how many cores a load needs.
//!
//! The numbers are of the record of 2026-11-24 (`benches/records/2026-11-24-amd-epyc/table.md`):
//! one core of a virtual machine with an AMD EPYC, loopback TCP. Your CPU, and above all a network
//! card, have others: measure yours, see below, and put them in. A test computes the sums here from
//! the constants that the broker is built with and from that record.
//!
//! # Memory
//!
//! ```text
//! process     =  start
//!              + cores x (receive buffers + turn + (cores - 1) x 2 lanes x what the mesh keeps)
//!              + connections x per connection
//!              + limits.memory_max
//! ```
//!
//! | term | is | where from |
//! |---|---|---|
//! | start | 16 MiB | 15.1 MiB in the record, with one core and its buffers |
//! | receive buffers | 2 MiB | 32 of 64 KiB, resident once used |
//! | turn | 0.5 MiB | what a core takes in between two fan-outs |
//! | mesh keeps | 1.5 MiB | what waits for another core at most: 1 MiB and a turn |
//! | per connection | 2 KiB | 1.66 KiB in the record, with one subscription and nothing on the way |
//! | `limits.memory_max` | 2 GiB | the setting: all messages in queues and kept ones, and the queues' entries |
//!
//! Six cores, 10,000 connections, the default budget:
//!
//! ```text
//! start                                                16 MiB
//! 6 cores x (2 + 0.5 + 5 x 2 x 1.5 MiB)               105 MiB
//! 10,000 connections x 2 KiB                           20 MiB
//! limits.memory_max                                 2,048 MiB
//!                                                   ---------
//!                                                   2,189 MiB
//! ```
//!
//! Give the machine, or the container, the larger of this and four thirds of `limits.memory_max`,
//! 2,731 MiB here. What is above the sum is room for what the allocator does not give back at once,
//! for the names of topics, and for clients that send half a frame, which is kept with their
//! connection: at most `server.max_message_size_bytes` each. `blipmq doctor` checks the four
//! thirds.
//!
//! Beside the process the kernel buffers up to the last number of `net.ipv4.tcp_wmem` for a
//! subscriber that does not read, and of `net.ipv4.tcp_rmem` for one that sends faster than it is
//! read. Nobody counts that to the process, but a container's limit does.
//!
//! # How large limits.memory_max has to be
//!
//! ```text
//! memory_max  >=  8/7 x (queues + kept)
//! queues       =  stalled subscriptions x messages each x (entry + frame + batch, unless they share them)
//! kept         =  topics x the lesser of topic_capacity x (frame + batch) and topic_bytes
//! ```
//!
//! The 8/7: above seven eighths of the budget the oldest kept messages go. A frame is 44 bytes and
//! the payload, an entry of a queue 96 bytes, a batch 160 bytes. At worst each message is a batch
//! of its own; under load hundreds of one topic share one, and one entry. Messages of one topic in
//! many queues exist once.
//!
//! 300 subscribers of 256-byte messages that all stall, with the default `subscriber_capacity`, and
//! 100 topics that keep the default `topic_capacity`, at worst:
//!
//! ```text
//! one topic: 300 x 2,048 x 96 + 2,048 x (300 + 160)    57 MiB
//! a topic each: 300 x 2,048 x (96 + 300 + 160)        326 MiB
//! 100 topics x 10,000 x (300 + 160)                   439 MiB
//! 8/7 x (326 + 439)                                   874 MiB
//! ```
//!
//! The default of 2 GiB is enough. With 1,000 such topics it is not: then the oldest kept messages
//! go first (`blipmq_kept_evictions_total`), and queues still have their room. Only if queues alone
//! want more are publishes refused.
//!
//! # Cores
//!
//! A delivery is one message to one subscriber: messages per second times subscribers of each. Two
//! numbers bound what it costs.
//!
//! | | CPU per delivery | when |
//! |---|--:|---|
//! | alone | 4,365 ns | each message is a send of its own: 2,000/s to 48 subscribers, 256 B |
//! | batched | 56.3 ns | a core that is busy: 1:48, 256 B, as fast as it goes |
//! | batched, 64 B | 20.9 ns | the same with 64 B |
//!
//! Nobody chooses between them: a core that has time sends each message at once, and one that has
//! not finds several for each connection in its next turn, so that they share a send. So:
//!
//! ```text
//! cores for latency      =  deliveries/s x alone    / 0.5
//! cores for throughput   =  deliveries/s x batched  / 0.7
//! ```
//!
//! By the first rule every message finds a core that is free or soon will be. By the second, cores
//! are busy all the time, nothing is lost, and a message waits for a turn, which is as long as a
//! send to each connection of the core takes. What is between is safe, and slower for single
//! messages.
//!
//! 2,000 messages of 256 bytes per second, each to 300 subscribers, are 600,000 deliveries/s:
//!
//! ```text
//! for latency       600,000 x 4,365 ns / 0.5   =  5.24   so 6 cores
//! for throughput    600,000 x 56.3 ns / 0.7    =  0.05   so 1 core
//! a turn on one core, 300 sends of 4,365 ns    =  1.31 ms
//! ```
//!
//! By this model these subscribers get everything from one core, about a millisecond late, and on
//! six each send finds room. That the one core is busy all the time says nothing: it is at its end
//! when lag grows.
//!
//! One topic is ordered by one core, so one topic is as fast as [`performance`](super::performance)
//! says, however many cores there are. Add a core for the metrics pages and the interrupts of the
//! network card, where latency matters.
//!
//! # Check it
//!
//! Against a broker that runs on the cores meant for it, from another machine or from other cores.
//! The shape of your load, at your rate:
//!
//! ```sh
//! blipmq bench latency blip://127.0.0.1:7878 --rate 2000 --subs 48 --size 256 --secs 0.5 --warmup 0.2
//! ```
//!
//! As fast as it goes, with CPU time per delivery where `--pid` names the broker's process:
//!
//! ```sh
//! blipmq bench blip://127.0.0.1:7878 --subs 48 --size 256 --secs 0.5 --warmup 0.2
//! ```
//!
//! What connections cost:
//!
//! ```sh
//! blipmq bench idle --idle-conns 500 --secs 0.5 --pid "$(pidof -s blipmq)" blip://127.0.0.1:7878
//! ```
//!
//! These runs are short; `--secs 30` and `--rounds 5` make numbers of them. A line that says that
//! the generator was the bottleneck is about the generator: give it more `--threads` and `--cpu`.
//! How cost grows with everything, and what others cost in the same shapes, is measured in some
//! minutes by:
//!
//! ```sh minutes
//! benches/growth.sh
//! benches/compare.sh
//! ```
