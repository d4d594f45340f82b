//! Running it: which file, which cores, which limits.
//!
//! `blipmq check-config FILE` says what is wrong with a file, all at once.
//! `config/mixed.toml` has every key with its default, its range and its meaning.
//!
//! | file | for |
//! |---|---|
//! | `config/mixed.toml` | the defaults; a start for a file of your own |
//! | `config/high-throughput.toml` | many messages: larger queues, batches and messages |
//! | `config/low-latency.toml` | recent messages: short queues and small batches |
//! | `config/node0.toml`, `config/node1.toml` | one broker per NUMA node, see `deploy/numa-instances.sh` |
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
//! - Changes of users take effect by a reload, see [`operations`](super::operations#reloading).
//! - The metrics page asks nobody who they are.
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
//! On the metrics page: drops by reason tell whether queues are too short or subscribers too slow;
//! `queue_overflows` rises before anyone complains; messages per flush tell how well sends are
//! batched. What each client missed it was told itself, in GAPs, or on `$SYS.GAP.<client id>` if it
//! is a NATS client. `nats_connections` are part of `connections`; `nats_no_responders` rises when
//! requests of NATS clients find their service gone.
