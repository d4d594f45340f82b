//! Running it: which file, which cores, which limits.
//!
//! `blipmq check-config FILE` says what is wrong with a file, all at once. `config/mixed.toml` has
//! every key with its default, its range and its meaning.
//!
//! | file | for |
//! |---|---|
//! | `config/mixed.toml` | the defaults; a start for a file of your own |
//! | `config/high-throughput.toml` | many messages: larger queues, batches and messages |
//! | `config/low-latency.toml` | recent messages: short queues and small batches |
//! | `config/node0.toml`, `config/node1.toml` | one broker per NUMA node, see [`numa`](super::numa) |
//!
//! ```sh
//! blipmq check-config config/high-throughput.toml
//! ```
//!
//! ```sh broker
//! blipmq --config config/low-latency.toml
//! ```
//!
//! Beside this chapter: [`capacity`](super::capacity) for how much of a machine,
//! [`numa`](super::numa) for which cores of it, [`metrics`](super::metrics) for what to watch,
//! [`troubleshooting`](super::troubleshooting) for when something is wrong,
//! [`profiling`](super::profiling) for where the time goes.
//!
//! # The three profiles
//!
//! They differ in how much may wait, and in how much goes out at a time:
//!
//! | | throughput | mixed | latency |
//! |---|--:|--:|--:|
//! | messages a subscription may have queued | 8,192 | 2,048 | 256 |
//! | messages of one send | 2,048 | 512 | 32 |
//! | messages a topic keeps | 50,000 | 10,000 | 1,000 |
//! | longest message | 4 MiB | 1 MiB | 1 MiB |
//! | a stall at 10,000 messages/s is survived for | 0.8 s | 0.2 s | 0.03 s |
//!
//! When each wins:
//!
//! - *throughput*, where loss is worse than age: bulk, telemetry, subscribers that pause to write
//!   to a disk. A stall of a few hundred milliseconds costs nothing, and what waited goes out in
//!   large sends. In exchange a subscriber that is behind gets old messages, and a stalled one
//!   may hold four times the memory.
//! - *latency*, where age is worse than loss: prices, positions, state of a game. A subscriber that
//!   is behind loses its oldest messages early, is told which, and gets what is recent; no
//!   connection waits for a long send of its neighbour. In exchange a burst that leaves more
//!   than 256 messages waiting loses some, and a core takes in less per turn, as a quarter of the
//!   capacity is what it takes.
//! - *mixed*, where both are on one broker. Subscribers choose for themselves: `latest` or a short
//!   capacity for screens, `block` for what must not lose.
//!
//! A broker that has time sends each message at once whichever file it has: at 2,000 messages per
//! second to 48 subscribers all three cost the same and are equally fast (median 0.40 to 0.41 ms, 99 %
//! within 5.1 to 5.8 ms). They part when there is more than a core can do at once. As fast as each
//! goes, one publisher of 64 bytes to 48 subscribers and half of a queue on the way:
//!
//! | | throughput | mixed | latency |
//! |---|--:|--:|--:|
//! | CPU per delivery | 27 ns | 33 ns | 256 ns |
//! | deliveries per second | 33 M | 26 M | 3.8 M |
//! | half of them within | 4.1 ms | 1.3 ms | 1.4 ms |
//! | 99 % of them within | 13.5 ms | 2.9 ms | 2.6 ms |
//!
//! So the short queues of *latency* bound how old a message gets, at eight times the work for each,
//! and give nothing to a broker that keeps up. *mixed* has nearly the work of the first and nearly the
//! age of the last, and is the default for that. Measured on one core of a shared virtual machine of
//! two, medians of 5 rounds in turn: `benches/records/2026-11-26-amd-epyc/profiles/table.md`.
//!
//! ```sh minutes
//! benches/profiles.sh
//! ```
//!
//! # Keys that matter
//!
//! - `delivery.max_batch`: messages sent to one connection at a time. More of them share a system
//!   call; fewer let neighbours have their turn sooner. An idle broker sends the first at once
//!   whatever this is.
//! - `queues.subscriber_capacity`, `queues.subscriber_bytes`: how long a stall a subscriber survives
//!   without loss, and what a stalled one can cost in memory; the first bound reached counts. A
//!   quarter of the capacity is also what a core takes in per turn, so a very small one makes turns
//!   small.
//! - `queues.overflow_policy`: `drop_oldest` keeps what is recent, `drop_new` what came first, `latest`
//!   one message per topic; `block` loses nothing and makes publishers as slow as the slowest; `disconnect`
//!   sends the slow away. Each subscriber may choose for itself.
//! - `queues.topic_capacity`, `queues.topic_bytes`, `queues.topic_idle_timeout_ms`: how far back
//!   subscribers can ask, per topic.
//! - `limits.memory_max`: all of it together. Kept messages give way first, so it may be less than
//!   topics times `topic_bytes`; queues do not give way, so it should be more than stalled subscribers
//!   may have queued.
//! - `server.busy_poll_us`: a core whose arrivals come soon after each other looks for the next before
//!   it sleeps, which halves the round trip of single messages where waking a thread is slow. More is
//!   for cores that have nothing else to do, 0 for laptops and crowded machines.
//! - `[auth]`: a token, or users with their permissions; `[nats] enabled`, if nobody speaks it. See
//!   [Who may connect](self#who-may-connect).
//! - `delivery.default_ttl_ms`: for publishers that name no time to live.
//! - `delivery.fanout_shards`: topics are hashed to shards by their first token, shards are dealt to
//!   cores. A topic, and all that begin like it, are ordered by one core, so one busy topic is as fast as one core, however many shards there are. A
//!   fixed number keeps the same topics together however many cores there are.
//!
//! # Cores
//!
//! The broker runs one pinned thread on each core it is allowed. `taskset -c 4-7 blipmq` and
//! `numactl --cpunodebind=0 --membind=0 blipmq --config config/node0.toml` just work; `--cores` or
//! `server.cores` choose among what is allowed. Leave a core to the network interrupts and to the
//! metrics page if latency matters. With a broker per NUMA node no message crosses nodes inside the
//! broker, but topics are not shared between brokers: clients have to choose one.
//!
//! # Who may connect
//!
//! Without `[auth]` the broker trusts whoever reaches its ports, and by default only this machine does:
//! they are on 127.0.0.1. Before they are on another address, give it a token or users; the README
//! shows both. The ports of both protocols ask for the same.
//!
//! - Passwords stand in the file in plain text, so let nobody but the broker read it. Under systemd
//!   with `DynamicUser=` the file can stay root's, mode 0600, with a drop-in:
//!   `LoadCredential=blipmq.toml:/etc/blipmq/blipmq.toml` and an `ExecStart=` whose `--config` is
//!   `%d/blipmq.toml`.
//! - `blipmq check-config` prints everything but secrets. What it prints in their place is refused
//!   when it is read, so a printed file has to be given its passwords again.
//! - Bcrypt hashes, which nats-server takes, are refused: checking one takes a core tens of
//!   milliseconds, during which its other connections would wait.
//! - Nkeys put no secret into the file and none on the wire; NATS clients have them.
//! - A reload takes changes of users, see [`operations`](super::operations#reloading); connections of
//!   those that are gone or changed are closed.
//! - The pages of `[metrics]` have a token of their own, see [`metrics`](super::metrics).
//!
//! # Limits of the machine
//!
//! The start checks what it cannot do without and raises what it may; a failure names the number and
//! the fix. `blipmq doctor --config FILE` looks further, changes nothing, and may be run beside a broker:
//!
//! ```text
//! WARN     net.core.somaxconn      4096                      wanted 16384 or more
//!          why: when all clients connect again at once, those that find this queue full wait a second or more
//!          fix: deploy/sysctl.sh until the next boot; for every boot install -m 0644 deploy/sysctl.d/60-blipmq.conf /etc/sysctl.d/
//! ```
//!
//! FAIL is what keeps a broker from starting or breaks it, and the exit status is 1; WARN is what makes it
//! worse than this guide promises; UNKNOWN is what cannot be read, as often in a container. `--json` is for
//! programs. Limits and cores are those it is run with, so run it as the broker is run: in the same
//! container, or by `systemd-run` with the limits of the unit, which `blipmq doctor --help` shows.
//!
//! - Kernel 6.1 or later, and io_uring allowed: `kernel.io_uring_disabled`, and the seccomp profile of
//!   a container.
//! - Locked memory: 512 KiB per core (`LimitMEMLOCK`).
//! - Open files: `server.max_connections` and some for the broker itself (`LimitNOFILE`).
//! - `net.core.somaxconn`: clients that reconnect all at once wait in this queue.
//! - Memory: `limits.memory_max` and a third more, for topics, connections and the kernel's buffers.
//! - A clock that is read without a system call, the governor `performance`, no swap that is used
//!   lightly, no quota of CPU time below the cores used.
//! - Where the broker does not have all cores, nobody else on those it has: `deploy/isolate-cores.sh`.
//! - An idle broker shows as 100 % iowait on kernels since 6.5, and on late ones of 6.1: they count
//!   a thread that sleeps in io_uring so. The core is idle, and nothing is wrong.
//! - `net.ipv4.tcp_wmem`: the kernel buffers this much per connection before the broker's own queue
//!   begins to fill. Larger buffers hide longer stalls, and make what is in them older.
//!
//! `deploy/sysctl.d/60-blipmq.conf` and `deploy/blipmq.service` set these, each with its reason.
//!
//! # What to watch
//!
//! Drops by reason tell whether queues are too short or subscribers too slow; queues that overflow come
//! before anyone complains; messages per send tell how well sends are batched. [`metrics`](super::metrics)
//! has all of them, and what to tell somebody of. What each client missed it was told itself, in GAPs, or on
//! `$SYS.GAP.<client id>` if it is a NATS client.
