//! Profiling with perf, flame graphs, strace and bpftrace.
//!
//! First ask the broker. `1 - rate(blipmq_asleep_seconds_total)` is how busy a core is, and
//! `blipmq_delivered_messages_total / blipmq_flushes_total` how many messages share a send: one per
//! send at a low rate is the normal price of sending at once, see
//! [`performance`](super::performance).
//!
//! # Build it with symbols
//!
//! ```sh build
//! cargo build --profile=perf
//! ```
//!
//! This is the release build with symbols, as `target/perf/blipmq`. Run it on a core of its own and
//! put a load on it from another, so that what is recorded is one executor and nothing else:
//!
//! ```sh broker
//! taskset -c 0 blipmq
//! ```
//!
//! ```sh
//! blipmq bench blip://127.0.0.1:7878 --subs 48 --size 64 --secs 0.5 --warmup 0.2
//! ```
//!
//! # perf
//!
//! For kernel symbols, root; for one's own process without the kernel's part,
//! `kernel.perf_event_paranoid` of 2 or less is enough. Virtual machines often have no counters of
//! cycles; `--event cpu-clock` works everywhere.
//!
//! ```sh root
//! perf record --event cpu-clock --freq 999 --call-graph fp --cpu 0 --output perf.data -- sleep 10
//! perf report --input perf.data --no-children --comm executor-0 --percentage relative --sort symbol --stdio --percent-limit 1
//! ```
//!
//! Executors are threads that are named after their CPU, `executor-0` here; without `--comm` the
//! report has whatever else ran there.
//!
//! Frame pointers are not in the build by default; for whole stacks in user space build with
//! `RUSTFLAGS="-C force-frame-pointers=yes"`, or say `--call-graph dwarf`, which records more and
//! slower.
//!
//! # Flame graphs
//!
//! ```sh build
//! cargo install inferno
//! ```
//!
//! ```sh root
//! perf record --event cpu-clock --freq 999 --call-graph dwarf --cpu 0 --output perf.data -- sleep 10
//! perf script --input perf.data | inferno-collapse-perf | inferno-flamegraph > flame.svg
//! ```
//!
//! # What to expect
//!
//! Most of it is the kernel, below `io_uring_enter`: TCP, and copying bytes into sockets and out of
//! them. The record of 2026-11-24 tells how much without a profiler, as it has the *floor* in the
//! same shapes, a loop that only receives and sends: at 1:48 with 64 bytes that costs 26.7 ns per
//! delivery where the broker costs 20.9, at 1:1 with 1 KiB 317 ns where the broker costs 374. So
//! with large messages or many subscribers there is nothing in user space to find; with 8 pairs on
//! 8 topics (59.5 ns against 27.6) half of it is ours.
//!
//! | what is large | it is | see |
//! |---|---|---|
//! | copies (`_copy_from_iter`, `_copy_to_iter`, `rep_movs`) | bytes: payload size times deliveries | compress, or send less |
//! | `tcp_sendmsg`, `tcp_write_xmit`, `__tcp_transmit_skb` | the number of sends | `blipmq_send_messages`: few messages a send, at a low rate, are the normal price |
//! | `tcp_v4_rcv`, `net_rx_action`, `__napi_poll` | receiving, of acknowledgements too; on loopback the receiver's part runs on the sender's core | interrupts, in [`numa`](super::numa) |
//! | `schedule`, `try_to_wake_up` | sleeping and waking, at low rates | `server.busy_poll_us` |
//! | `memset`, `clear_page`, page faults | memory that is touched for the first time, while logs of topics fill | `queues.topic_capacity` |
//! | functions of `blipmq::broker` | matching, queues, batches | many topics with a message each per turn; [`performance`](super::performance) |
//! | `mi_malloc`, `mi_free` | batches that come and go | the same |
//!
//! # System calls
//!
//! Of each turn there should be one `io_uring_enter`, whatever it sends. strace slows what it
//! watches, so it counts, it does not time:
//!
//! ```sh root
//! timeout 5 strace --follow-forks --summary-only --attach "$(pidof blipmq)"
//! ```
//!
//! `blipmq_enters_total` has the same number without that: over `blipmq_turns_total` it is a little
//! more than one.
//!
//! bpftrace shows what a core waits for without slowing it much, such as how long executors waited
//! for their core after they were woken, because somebody else ran on it:
//!
//! ```sh root
//! bpftrace -e '
//! tracepoint:sched:sched_wakeup /strncmp(args.comm, "executor-", 9) == 0/ { @woken[args.pid] = nsecs; }
//! tracepoint:sched:sched_switch /@woken[args.next_pid]/ {
//!     @waited_us = hist((nsecs - @woken[args.next_pid]) / 1000);
//!     delete(@woken[args.next_pid]);
//! }'
//! ```
