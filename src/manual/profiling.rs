//! Profiling with perf, flame graphs, strace and bpftrace.
//!
//! Look at the metrics first. `1 - rate(blipmq_asleep_seconds_total)` says how busy a core is, and
//! `blipmq_delivered_messages_total / blipmq_flushes_total` how many messages share a send. One message
//! per send at a low rate is the normal price of sending at once, see
//! [`performance`](super::performance).
//!
//! # Build it with symbols
//!
//! ```sh build
//! cargo build --profile=perf
//! ```
//!
//! This is the release build with symbols, as `target/perf/blipmq`. Run the broker on a core of its own
//! and create load from another core, so that the profile has one executor and nothing else:
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
//! Symbols of the kernel need root. For your own process without the kernel's part,
//! `kernel.perf_event_paranoid` of 2 or less is enough. Virtual machines often have no counter of
//! cycles; `--event cpu-clock` works everywhere.
//!
//! ```sh root
//! perf record --event cpu-clock --freq 999 --call-graph fp --cpu 0 --output perf.data -- sleep 10
//! perf report --input perf.data --no-children --comm executor-0 --percentage relative --sort symbol --stdio --percent-limit 1
//! ```
//!
//! Executors are threads named after their CPU, here `executor-0`. Without `--comm` the report includes
//! everything else that ran on the CPU.
//!
//! The default build has no frame pointers. For whole stacks in user space build with `RUSTFLAGS="-C
//! force-frame-pointers=yes"`, or use `--call-graph dwarf`, which records more and is slower.
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
//! Most of the time is in the kernel, below `io_uring_enter`: TCP, and copying bytes into and out of
//! sockets. The record of 2026-11-30 shows how much without a profiler, because it has the *floor* in
//! the same shapes, a loop that only receives and sends. At 1:48 with 64 bytes the floor costs 19.0 ns
//! per delivery and the broker 18.7; at 1:1 with 1 KiB the floor costs 368 ns and the broker 447. So
//! with large messages or many subscribers there is nothing to find in user space. With 8 pairs on 8
//! topics (85.7 ns against 28.7) two thirds of the time are spent in our code.
//!
//! | what is large | cause | see |
//! |---|---|---|
//! | copies (`_copy_from_iter`, `_copy_to_iter`, `rep_movs`) | bytes: payload size times deliveries | compress, or send less |
//! | `tcp_sendmsg`, `tcp_write_xmit`, `__tcp_transmit_skb` | the number of sends | `blipmq_send_messages`: few messages per send are normal at a low rate |
//! | `tcp_v4_rcv`, `net_rx_action`, `__napi_poll` | receiving, including acknowledgements; on loopback the receiver's part runs on the sender's core | interrupts, in [`numa`](super::numa) |
//! | `schedule`, `try_to_wake_up` | sleeping and waking, at low rates | `server.busy_poll_us` |
//! | `memset`, `clear_page`, page faults | memory that is touched for the first time, while the logs of topics fill | `queues.topic_capacity` |
//! | functions of `blipmq::broker` | matching, queues, batches | many topics with a message each per turn; [`performance`](super::performance) |
//! | `mi_malloc`, `mi_free` | batches that come and go | the same |
//!
//! # System calls
//!
//! Each turn should make one `io_uring_enter`, whatever the turn sends. strace slows down the process
//! that it watches, so use it to count, not to time:
//!
//! ```sh root
//! timeout 5 strace --follow-forks --summary-only --attach "$(pidof blipmq)"
//! ```
//!
//! `blipmq_enters_total` has the same number without the slowdown; divided by `blipmq_turns_total` it is
//! a little more than one.
//!
//! bpftrace shows what a core waits for without slowing it down much. This shows how long executors
//! waited for their core after they were woken, because another process ran on it:
//!
//! ```sh root
//! bpftrace -e '
//! tracepoint:sched:sched_wakeup /strncmp(args.comm, "executor-", 9) == 0/ { @woken[args.pid] = nsecs; }
//! tracepoint:sched:sched_switch /@woken[args.next_pid]/ {
//!     @waited_us = hist((nsecs - @woken[args.next_pid]) / 1000);
//!     delete(@woken[args.next_pid]);
//! }'
//! ```
