//! Troubleshooting: what you see, why it is so, what to do.
//!
//! Three things tell most of it: the last lines on stderr (`journalctl --unit blipmq` under
//! systemd), the dashboard or `blipmq top`, and what this says of the machine:
//!
//! ```sh
//! blipmq doctor
//! ```
//!
//! `doctor` may be run beside a broker, as the same user and with the same limits. The numbers that
//! are named below are on `[metrics] bind_addr`:
//!
//! ```sh
//! curl --fail --silent http://127.0.0.1:9090/metrics | grep -E '^blipmq_(dropped|limit|blocked|mesh_full)'
//! curl --fail --silent 'http://127.0.0.1:9090/api/v1/subscriptions?sort=dropped&limit=10'
//! curl --fail --silent 'http://127.0.0.1:9090/api/v1/connections?sort=queued_bytes&limit=10'
//! ```
//!
//! ```sh
//! blipmq top --once
//! ```
//!
//! # It does not start
//!
//! It says one line on stderr and ends with status 1; with 2 if the command line cannot be
//! understood. A configuration that is wrong is told with file, line and what is allowed, every
//! mistake at once; try one without starting anything:
//!
//! ```sh
//! blipmq check-config config/mixed.toml
//! ```
//!
//! | it says | why | do |
//! |---|---|---|
//! | `kernel 5.15.0 is too old` | what it needs of io_uring came with Linux 6.1 | a newer kernel; in a container that of the host counts |
//! | `io_uring is disabled on this machine (kernel.io_uring_disabled = 2)` | somebody switched it off: 2 for all, 1 for all but one group | `sysctl kernel.io_uring_disabled=0`, or for 1 add the user to the group of `kernel.io_uring_group` |
//! | `io_uring is forbidden here` | a seccomp profile, mostly a container's: see below | allow three calls |
//! | `locked-memory limit is 64 KiB, io_uring needs at least 1024 KiB` | rings are locked memory, 512 KiB for each core | `LimitMEMLOCK=infinity` in the unit, `--ulimit memlock=-1` of docker, `ulimit -l` in a shell |
//! | `open-file limit is 1024, but server.max_connections = 10000 needs 10192` | each connection is an open file | `LimitNOFILE=` in the unit, `ulimit -n`, or fewer `server.max_connections` |
//! | `core 9 is not among the cores this process may use (0-3)` | taskset, numactl, a cpuset or a container leaves others | other `server.cores`, or none: `"all"` is those it may use |
//! | `cannot find out which cores this process may use` | no /proc | mount it |
//! | `300 cores were chosen, the limit is 256` | | name fewer in `server.cores` |
//! | `cannot pin a thread to core 3` | the cpuset was changed while it started | start it again |
//! | `cannot listen on 127.0.0.1:7878 for clients` | another process has the port, often a second broker; or the address is of no interface here; or the port is below 1024 | `ss --listening --tcp --numeric --processes` tells who has it; another `bind_addr` |
//! | `cannot start on core 0` | the kernel refused a ring: memory, or a limit | `blipmq doctor`; the rest of the line is what the kernel said |
//! | `cannot serve metrics on 127.0.0.1:9090` | as with clients | `--metrics-bind`, or `[metrics] enabled = false` |
//! | `can be reached from other machines` | metrics on such an address want a token | `[metrics] token`, or 127.0.0.1 |
//! | `cannot read configuration` | a wrong path, or no permission: under `DynamicUser=` the file has to be readable, or a credential | see [`tuning`](super::tuning#who-may-connect) |
//!
//! A port of a broker that was killed is tried for two seconds before it is called taken.
//!
//! # It does not start in a container
//!
//! Docker's default seccomp profile forbids io_uring, and so does containerd's.
//! `deploy/seccomp.json` is Docker's with the calls `io_uring_setup`, `io_uring_enter` and
//! `io_uring_register` allowed. The limits of a container are not those of the host either:
//!
//! ```sh docker
//! docker run --security-opt seccomp=deploy/seccomp.json --ulimit memlock=-1 --ulimit nofile=65536 blipmq
//! ```
//!
//! On Kubernetes the profile is a file of the node, `deploy/kubernetes/blipmq.yaml` says which.
//! With `--cpus` a container has all cores and a quota: it is stopped with all cores at once when
//! that is used up, for the rest of a period of 100 ms. Use `--cpuset-cpus`.
//!
//! # Clients cannot connect
//!
//! | the client sees | why | do |
//! |---|---|---|
//! | connection refused | nobody listens there: the default address is 127.0.0.1, which others cannot reach | `server.bind_addr = "0.0.0.0:7878"`, with an `[auth]`; `nats.bind_addr` for NATS clients |
//! | a timeout | a firewall; or the queue of connections that wait to be accepted was full | `net.core.somaxconn`, `deploy/sysctl.d/60-blipmq.conf` |
//! | ERROR 4001, `expected HELLO as the first frame` | it speaks something else: NATS to the port of BLIP/1, HTTP, or TLS | NATS clients to port 4222; TLS there is none, see below |
//! | ERROR 4010, or `Authorization Violation` | wrong credentials, none, or some where the broker has no `[auth]`; or HELLO came too late | the text says which; `blipmq_logins_refused_total` counts them |
//! | ERROR 4030, or `Permissions Violation` | connected, but not allowed to do this | `publish` and `subscribe` of the user in `[[auth.users]]` |
//! | ERROR 4291, or `maximum connections exceeded` | `server.max_connections` are open | raise it, and the open files; or find who opens so many: `/api/v1/connections?sort=age&order=asc` |
//! | ERROR 5030, or `ldm` in INFO | it is being stopped | connect again, to the next |
//! | closed without a word, NATS | arguments that cannot be read; as nats-server does | [`nats`](super::nats) |
//!
//! Logins that are refused have a line `login refused:` with the address and the reason. The log
//! has at most once a second `server.max_connections is reached: new connections are refused`.
//! `accepting failed: raise the open-file limit or close connections` is the system's limit, not
//! ours. With `[logging] level = "debug"` each connection has a line.
//!
//! A NATS client at the port of BLIP/1 waits for an INFO that never comes. BlipMQ has no TLS yet: a
//! client that insists on it fails on either port. Put a proxy that ends TLS in front, or a private
//! network under it.
//!
//! # Messages are dropped
//!
//! Nothing is lost silently: whoever missed something is told which messages, by a GAP or on
//! `$SYS.GAP`, and `blipmq_dropped_messages_total` counts by `reason`:
//!
//! | reason | cause | remedy |
//! |---|---|---|
//! | `overflow_oldest` | a queue was full and its policy is `drop_oldest` | find the subscriber, see below; a larger `queues.subscriber_capacity` survives a longer stall, and none that is slower for good |
//! | `overflow_new` | the same with `drop_new` | the same |
//! | `conflated` | `latest`: a newer message of the topic came before this was sent | nothing: it is what the subscriber asked for |
//! | `refused_for_memory` | `limits.memory_max` is used up, and there are no kept messages left to give up | who holds it: `/api/v1/subscriptions?sort=queued_bytes`; see high memory |
//! | `expired_before_enqueue` | its time to live had ended when it came to the queue: a topic whose owner is behind, or a time to live of about nothing | longer `--ttl` or `delivery.default_ttl_ms`; core too busy, see latency |
//! | `expired_in_queue` | it waited for its subscriber for longer than it lived | a faster subscriber, or a longer time to live |
//! | `disconnected` | its connection ended while it was queued or being sent | why it ended, below; at most once is what is promised |
//! | `refused` | published to a topic that could not be opened: not allowed, no legal name, or `limits.max_topics` | the ERROR that the publisher was sent says which: 4030, 4220, 4291 |
//!
//! Who it is: `/api/v1/subscriptions?sort=dropped`, whose rows have address, pattern, policy, and
//! what was lost why. The log has a line when the queue of a subscription fills for the first time,
//! `the queue of a subscription is full, from now on only counted`. If all subscribers of a core
//! lose at once, the core is too busy; if one, that one is slow: its program, or its network.
//!
//! A message that nobody subscribed to is no drop. `blipmq_published_messages_total` counts it, no
//! queue does.
//!
//! # A slow consumer was closed
//!
//! ERROR 4290, `slow subscriber: ...`, or `Slow Consumer` of NATS. The log has a line with
//! `disconnected:`, the address and the same text, which says which of three:
//!
//! - `its queue of 2048 messages ... has no room` (overflow disconnect): as it, or
//!   `queues.overflow_policy`, asked for. Read faster, or choose another policy.
//! - `it took nothing for 10000 ms while publishers waited for it` (overflow block): stalled for
//!   `queues.block_timeout_ms`.
//! - `it is behind by more than 16384 runs of missed messages`: what it lost could not be told any
//!   more, as happens to one connection with very many topics. Use more connections.
//!
//! # Publishes wait
//!
//! A publisher's socket fills up, its `publish` blocks or times out. Somebody holds it up; find
//! who:
//!
//! | look at | if | then |
//! |---|---|---|
//! | `blipmq_blocked_topics` | above 0 | a subscription with `block` is nearly full; `holds_up_topics` in `/api/v1/subscriptions?sort=lag` names it. Make it faster, give it another policy, or lower `queues.block_timeout_ms` |
//! | `paused` in `/api/v1/connections` | `answers` | this publisher asks for ACKs and does not read them |
//! | | `mesh` | another core is behind: see latency |
//! | `blipmq_receive_buffer_shortages_total` | grows | the core takes in less than comes: it is at its end |
//!
//! # High CPU
//!
//! First whether it is high: a core that has something to do works, and batches. `1 -
//! rate(blipmq_asleep_seconds_total[1m])` near 1 with lag near 0 is a busy core that keeps up.
//!
//! | look at | if | why, and what to do |
//! |---|---|---|
//! | `blipmq_send_messages`, messages per send | about 1 | each message is sent at once. That is the price of low latency: some 4 us each, see [`capacity`](super::capacity). Publishers that batch, and fewer connections, cost less |
//! | deliveries per second | high | it is the work: bytes are copied once for each subscriber |
//! | `blipmq_topics`, messages per topic and turn | many topics, few messages each | each batch costs; [`performance`](super::performance) |
//! | rate of `blipmq_connections_opened_total` | high | clients that connect for each message |
//! | `blipmq_errors_sent_total`, `blipmq_logins_refused_total` | grow | a client in a loop |
//! | a core is busier than its few messages explain | they come less than 80 us apart | it looks for the next before it sleeps; `server.busy_poll_us = 0` ends that |
//!
//! Then [`profiling`](super::profiling).
//!
//! # I see iowait at 100 %
//!
//! Nothing is wrong, and no disk is involved: the broker has none. On some kernels (6.5 and later,
//! and the late ones of 6.1 and 6.4) a thread that sleeps in io_uring is counted as waiting for
//! I/O, so an idle broker shows as one core at 100 % `wa` in top for each executor. That time is
//! idle: others run in it. Look at what is used instead, which is about 0 for a broker without
//! traffic:
//!
//! ```sh
//! grep -E '^(Name|State|Threads):' "/proc/$(pidof -s blipmq)/status"
//! curl --fail --silent http://127.0.0.1:9090/metrics | grep '^blipmq_process_cpu_seconds_total'
//! ```
//!
//! For alerts use `blipmq_process_cpu_seconds_total`, or busy time without iowait.
//!
//! # High memory
//!
//! | look at | if | why, and what to do |
//! |---|---|---|
//! | `blipmq_memory_held_bytes` | near `blipmq_memory_limit_bytes` | messages: kept ones (`/api/v1/topics?sort=kept_bytes`) and queues (`/api/v1/subscriptions?sort=queued_bytes`). Kept ones may fill the budget, they give way. Lower `queues.topic_capacity` or `topic_bytes`, `subscriber_bytes`, or `limits.memory_max` |
//! | `blipmq_kept_evictions_total` | grows | the budget is at seven eighths, the oldest kept messages go: replays reach less far back |
//! | `blipmq_process_resident_memory_bytes` | far above held | connections, 2 KiB each; topics' names; memory the allocator keeps after a peak |
//! | `blipmq_topics` | grows without end | names with ids in them: `limits.max_topics`, or subjects that are not kept, such as `_INBOX.>` |
//! | the container's memory, not the process | | the kernel's socket buffers: `net.ipv4.tcp_wmem` times stalled connections |
//!
//! [`capacity`](super::capacity) has the sum. Publishes that are refused with ERROR 4291, `bytes of
//! messages, over all topics and queues`, mean that queues alone fill the budget: stalled
//! subscribers with large `subscriber_bytes`.
//!
//! # Poor latency
//!
//! Split it first. `blipmq_accept_to_send_seconds` is the broker's part; what a client measures
//! above it is network, the kernel's buffers, and the client.
//!
//! | look at | if | why, and what to do |
//! |---|---|---|
//! | `blipmq_accept_to_send_seconds` | low, clients see much more | the subscriber reads late, or its socket's buffer is full: `blipmq_worst_subscription_lag_seconds`; smaller `net.ipv4.tcp_wmem` hides less |
//! | lag of one subscription | high | it is slow: `overflow_policy = "latest"` or short queues keep what it gets recent |
//! | lag of all | high | the core is at its end: more cores, fewer bytes, `config/low-latency.toml` for shorter turns |
//! | p50 fine, p99.9 bad | | somebody else on the core: [`numa`](super::numa); a quota (`cpu-quota` of doctor); the frequency governor |
//! | round trips at a low rate | tens of microseconds | sleeping and waking: `server.busy_poll_us` up to 1,000 on cores of its own |
//! | `blipmq_mesh_full_total` | grows | one core cannot keep up and holds the others: one busy topic, or all topics with one first token |
//! | one core busy, others asleep | | topics are dealt by their first token: spread the names, `/api/v1/topics?sort=rate` |
//!
//! # A reload changes nothing
//!
//! SIGHUP, `systemctl reload blipmq` under systemd, reads the configuration again. The log says
//! what came of it in one line, and so does `configuration` in `/api/v1/status`:
//!
//! | the line has | why, and what to do |
//! |---|---|
//! | `nothing was changed:` | something in the file is wrong, which follows; all of it stays as it was |
//! | `changed, but needs a restart:` | addresses, cores, shards and such cannot change while it runs; the rest was applied |
//! | `nothing to apply` | the file is as it was, or flags of the command line win over it |
//!
//! # It does not stop
//!
//! After SIGTERM it delivers what was accepted, for at most `server.drain_timeout_ms`. `stopped
//! after server.drain_timeout_ms: subscribers that did not read were cut off` means that somebody
//! did not read; a second signal ends it at once. `/readyz` is 503 meanwhile, so that nobody new is
//! sent here.
//!
//! # It ended by itself
//!
//! Exit by SIGABRT with a line of Rust, `panicked at`, is mostly our mistake: a wrong shard must
//! not keep serving. Please report that line and the configuration. systemd sends SIGABRT too, when
//! a core has not answered for `WatchdogSec=`. SIGKILL is mostly the kernel, short of memory:
//! `journalctl --dmesg` says so, and [`capacity`](super::capacity) how much it needs. `the data
//! ring of CPU 0 failed, the process cannot go on` is the kernel refusing a ring that it had given.
