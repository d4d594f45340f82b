//! Configuring a broker: which file, which cores, which limits.
//!
//! `blipmq check-config FILE` reports all mistakes of a file at once. `config/mixed.toml` has every key
//! with its default, its range and its meaning.
//!
//! | file | for |
//! |---|---|
//! | `config/mixed.toml` | the defaults; a starting point for your own file |
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
//! Other chapters: [`capacity`](super::capacity) says how large the machine has to be,
//! [`numa`](super::numa) which of its cores to use, [`metrics`](super::metrics) what to watch,
//! [`troubleshooting`](super::troubleshooting) what to do when something is wrong,
//! [`profiling`](super::profiling) where the time goes.
//!
//! # The three profiles
//!
//! The profiles differ in how many messages may wait, and in how many go out at a time:
//!
//! | | throughput | mixed | latency |
//! |---|--:|--:|--:|
//! | messages a subscription may have queued | 8,192 | 2,048 | 256 |
//! | messages per send | 2,048 | 512 | 32 |
//! | messages that a topic retains | 50,000 | 10,000 | 1,000 |
//! | longest message | 4 MiB | 1 MiB | 1 MiB |
//! | a stall at 10,000 messages/s loses nothing for | 0.8 s | 0.2 s | 0.03 s |
//!
//! When to choose which:
//!
//! - *throughput*, if loss is worse than age: bulk data, telemetry, subscribers that pause to write to a
//!   disk. A stall of a few hundred milliseconds loses nothing, and the messages that waited go out in
//!   large sends. In exchange a subscriber that is behind gets old messages, and a stalled subscriber
//!   may hold four times the memory.
//! - *latency*, if age is worse than loss: prices, positions, the state of a game. A subscriber that is
//!   behind loses its oldest messages early, is notified which, and gets recent messages; no connection
//!   waits for a long send to its neighbour. In exchange a burst that leaves more than 256 messages
//!   waiting loses some of them, and a core takes in less per turn, because it takes in a quarter of the
//!   capacity.
//! - *mixed*, if one broker has both kinds. Subscribers choose for themselves: `latest` or a short
//!   capacity for screens, `block` for subscribers that must not lose messages.
//!
//! A broker with time to spare sends each message at once, whatever its profile: at 2,000 messages per
//! second to 48 subscribers all three cost the same and are equally fast (median 0.40 to 0.41 ms, 99 %
//! within 5.1 to 5.8 ms). They differ when there is more work than a core can do at once. As fast as
//! possible, with one publisher of 64 bytes, 48 subscribers, and half a queue of messages under way:
//!
//! | | throughput | mixed | latency |
//! |---|--:|--:|--:|
//! | CPU per delivery | 27 ns | 33 ns | 256 ns |
//! | deliveries per second | 33 M | 26 M | 3.8 M |
//! | 50 % delivered within | 4.1 ms | 1.3 ms | 1.4 ms |
//! | 99 % delivered within | 13.5 ms | 2.9 ms | 2.6 ms |
//!
//! So the short queues of *latency* bound the age of a message, at eight times the work per message, and
//! have no advantage while the broker keeps up. *mixed* needs nearly as little work as *throughput* and
//! keeps messages nearly as young as *latency*, so *mixed* is the default. Measured on one core of a
//! shared virtual machine with two, medians of 5 rounds in turn:
//! `benches/records/2026-11-26-amd-epyc/profiles/table.md`.
//!
//! ```sh minutes
//! benches/profiles.sh
//! ```
//!
//! # Keys that matter
//!
//! - `delivery.max_batch`: messages sent to one connection at a time. With a larger number more messages
//!   share a system call; with a smaller number neighbours have their turn sooner. An idle broker sends
//!   the first message at once in any case.
//! - `queues.subscriber_capacity`, `queues.subscriber_bytes`: how long a subscriber can stall without
//!   loss, and how much memory a stalled subscriber can cost; the bound that is reached first counts. A
//!   core also takes in a quarter of the capacity per turn, so a very small capacity makes turns small.
//! - `queues.connection_bytes`: how much memory one stalled connection can cost, however many
//!   subscriptions it has. A slice beyond that takes the place of the oldest messages of its own
//!   subscription, then of the largest queues of the connection (`drop_oldest`, `latest`), or is dropped
//!   (`drop_new`), makes publishers wait (`block`), or closes the connection (`disconnect`).
//! - `queues.overflow_policy`: `drop_oldest` keeps the recent messages, `drop_new` the first ones,
//!   `latest` one message per topic; `block` loses nothing and makes publishers as slow as the slowest
//!   subscriber; `disconnect` disconnects slow subscribers. Each subscriber may choose for itself.
//! - `queues.topic_capacity`, `queues.topic_bytes`, `queues.topic_idle_timeout_ms`: how far back
//!   subscribers can ask, per topic.
//! - `limits.memory_max`: all queued and retained messages together. Retained messages are evicted
//!   first, so the budget may be smaller than topics times `topic_bytes`. Then those who hold most lose
//!   it, by their overflow policy, down to a fair share: three quarters of the budget, divided by one
//!   more than the number of connections and groups that hold more than that.
//! - `server.busy_poll_us`: a core whose arrivals come in quick succession polls for the next one before
//!   it sleeps. That halves the round trip of single messages where waking a thread is slow. Use more
//!   for cores that have nothing else to do, 0 for laptops and shared machines.
//! - `[auth]`: a token, or users with their permissions. `[nats] enabled`: `false` if no client uses
//!   NATS. See [Who may connect](self#who-may-connect).
//! - `delivery.default_ttl_ms`: for publishers that name no time to live.
//! - `delivery.fanout_shards`: topics are hashed to shards by their first token, and shards are
//!   distributed over the cores. One core orders a topic and all topics with the same first token, so
//!   one busy topic is as fast as one core, however many shards there are. A fixed number keeps the same
//!   topics together however many cores there are.
//!
//! # Cores
//!
//! The broker runs one pinned thread on each core that it may use. `taskset -c 4-7 blipmq` and `numactl
//! --cpunodebind=0 --membind=0 blipmq --config config/node0.toml` just work; `--cores` or `server.cores`
//! choose among the allowed cores. If latency matters, leave a core to the network interrupts and the
//! metrics page. With one broker per NUMA node no message crosses nodes inside a broker, but brokers do
//! not share topics: clients have to choose one.
//!
//! # Who may connect
//!
//! Without `[auth]` the broker trusts every client that reaches its ports. By default the ports are on
//! 127.0.0.1, so only this machine reaches them. Before you choose another address, configure a token or
//! users; the README shows both. The same credentials apply to both protocols.
//!
//! - Passwords are in the file in plain text, so only the broker should be able to read the file. Under
//!   systemd with `DynamicUser=` the file can belong to root with mode 0600, with a drop-in:
//!   `LoadCredential=blipmq.toml:/etc/blipmq/blipmq.toml` and an `ExecStart=` whose `--config` is
//!   `%d/blipmq.toml`.
//! - `blipmq check-config` prints everything except secrets. The broker refuses the text that is printed
//!   in their place, so put the passwords back into a printed file.
//! - Bcrypt hashes, which nats-server accepts, are refused: checking one takes a core tens of
//!   milliseconds, during which the other connections of the core would wait.
//! - Nkeys put no secret into the file and none on the wire; NATS clients support them.
//! - A reload applies changes of users, see [`operations`](super::operations#reloading); connections of
//!   users that were removed or changed are closed.
//! - The pages of `[metrics]` have a token of their own, see [`metrics`](super::metrics).
//!
//! # Limits of the machine
//!
//! At its start the broker checks the limits that it needs and raises those that it may raise; a failure
//! names the number and the fix. `blipmq doctor --config FILE` checks more, changes nothing, and can run
//! beside a broker:
//!
//! ```text
//! WARN     net.core.somaxconn      4096                      wanted 16384 or more
//!          why: when all clients connect again at once, those that find this queue full wait a second or more
//!          fix: deploy/sysctl.sh until the next boot; for every boot install -m 0644 deploy/sysctl.d/60-blipmq.conf /etc/sysctl.d/
//! ```
//!
//! FAIL means that a broker cannot start or cannot work, and the exit status is 1. WARN means that the
//! broker performs worse than this guide says. UNKNOWN means that a value cannot be read, which is
//! common in a container. `--json` is for programs. `doctor` checks the limits and cores of its own
//! process, so run it as you run the broker: in the same container, or by `systemd-run` with the limits
//! of the unit, as `blipmq doctor --help` shows.
//!
//! - Kernel 6.1 or later, and io_uring allowed: `kernel.io_uring_disabled`, and the seccomp profile of a
//!   container.
//! - Locked memory: 512 KiB per core (`LimitMEMLOCK`).
//! - Open files: `server.max_connections`, and some for the broker itself (`LimitNOFILE`).
//!   Connections beyond `server.max_connections` are closed, so that accepting, the pages and reloads go
//!   on when clients have theirs.
//! - `net.core.somaxconn`: clients that all reconnect at once wait in this queue.
//! - Memory: `limits.memory_max` and a third more, for topics, connections and the kernel's buffers.
//! - A clock that is read without a system call, the governor `performance`, a low tendency to swap, no
//!   quota of CPU time below the cores used.
//! - If the broker uses some of the cores only, no other work on them: `deploy/isolate-cores.sh`.
//! - An idle broker shows as 100 % iowait on kernels since 6.5, and on late versions of 6.1, because
//!   they count a thread that sleeps in io_uring as waiting for I/O. The core is idle, and nothing is
//!   wrong.
//! - `net.ipv4.tcp_wmem`: the kernel buffers this much per connection before the broker's own queue
//!   begins to fill. Larger buffers hide longer stalls, and the messages in them get older.
//!
//! `deploy/sysctl.d/60-blipmq.conf` and `deploy/blipmq.service` set these values, each with its reason.
//!
//! # Who may have how many connections
//!
//! By default one address may have all of them, because a proxy, a NAT or a host of containers shows many
//! clients under one. Where each client has an address of its own, `limits.max_connections_per_address`
//! and `limits.max_new_connections_per_address` keep one of them from taking all places: set both well
//! above what your clients need when all of them reconnect. An IPv6 network of 64 bits counts as one
//! address. Connections that never log in keep at most half of the places that are left for longer than a
//! second; `limits.max_connections_before_login` makes that fewer. `blipmq_connections_refused_total`
//! says which of these limits refuses clients.
//!
//! # What to watch
//!
//! Drops by reason show whether queues are too short or subscribers too slow. Queue overflows rise
//! before users complain. Messages per send show how well sends are batched. [`metrics`](super::metrics)
//! describes all of them and says which to alert on. Each client learns what it missed from GAPs; NATS
//! clients learn it from `$SYS.GAP.<client id>`.
