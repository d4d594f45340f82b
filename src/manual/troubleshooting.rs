//! Troubleshooting: symptoms, causes, remedies.
//!
//! Three sources answer most questions: the last lines on stderr (`journalctl --unit blipmq` under
//! systemd), the dashboard or `blipmq top`, and a check of the machine:
//!
//! ```sh
//! blipmq doctor
//! ```
//!
//! `doctor` can run beside a broker, as the same user and with the same limits. The numbers named below
//! are on `[metrics] bind_addr`:
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
//! The broker prints one line on stderr and ends with status 1, or with status 2 if the command line is
//! wrong. For a wrong configuration it reports every mistake at once, with file, line and the allowed
//! values. This checks a configuration without starting a broker:
//!
//! ```sh
//! blipmq check-config config/mixed.toml
//! ```
//!
//! | message | cause | remedy |
//! |---|---|---|
//! | `kernel 5.15.0 is too old` | the broker needs features of io_uring that came with Linux 6.1 | a newer kernel; in a container the kernel of the host counts |
//! | `io_uring is disabled on this machine (kernel.io_uring_disabled = 2)` | an administrator disabled it: 2 for all, 1 for all but one group | `sysctl kernel.io_uring_disabled=0`, or for 1 add the user to the group of `kernel.io_uring_group` |
//! | `io_uring is forbidden here` | a seccomp profile, mostly of a container: see below | allow three system calls |
//! | `locked-memory limit is 64 KiB, io_uring needs at least 1024 KiB` | rings are locked memory, 512 KiB per core | `LimitMEMLOCK=infinity` in the unit, `--ulimit memlock=-1` of docker, `ulimit -l` in a shell |
//! | `open-file limit is 1024, but server.max_connections = 10000 needs 10192` | each connection is an open file | `LimitNOFILE=` in the unit, `ulimit -n`, or fewer `server.max_connections` |
//! | `core 9 is not among the cores this process may use (0-3)` | taskset, numactl, a cpuset or a container allows other cores | other `server.cores`, or none: `"all"` means all allowed cores |
//! | `cannot find out which cores this process may use` | /proc is not mounted | mount it |
//! | `300 cores were chosen, the limit is 256` | | name fewer in `server.cores` |
//! | `cannot pin a thread to core 3` | the cpuset changed during the start | start again |
//! | `cannot listen on 127.0.0.1:7878 for clients` | another process has the port, often a second broker; or no interface has the address; or the port is below 1024 | `ss --listening --tcp --numeric --processes` names the process; another `bind_addr` |
//! | `cannot start on core 0` | the kernel refused a ring: memory, or a limit | `blipmq doctor`; the rest of the line is the error of the kernel |
//! | `cannot serve metrics on 127.0.0.1:9090` | as with clients | `--metrics-bind`, or `[metrics] enabled = false` |
//! | `can be reached from other machines` | metrics on such an address need a token | `[metrics] token`, or 127.0.0.1 |
//! | `cannot read configuration` | a wrong path, or no permission: under `DynamicUser=` the file must be readable or a credential | see [`tuning`](super::tuning#who-may-connect) |
//!
//! If a port is taken, the broker tries for two seconds before it gives up: the port of a killed broker
//! may still be in use for a moment.
//!
//! # It does not start in a container
//!
//! The default seccomp profiles of Docker and containerd forbid io_uring. `deploy/seccomp.json` is
//! Docker's profile with `io_uring_setup`, `io_uring_enter` and `io_uring_register` allowed. A container
//! also has limits of its own:
//!
//! ```sh docker
//! docker run --security-opt seccomp=deploy/seccomp.json --ulimit memlock=-1 --ulimit nofile=65536 \
//!     blipmq --config /etc/blipmq/blipmq.toml --insecure 'no port is published'
//! ```
//!
//! On Kubernetes the profile is a file on the node; `deploy/kubernetes/blipmq.yaml` says which. With
//! `--cpus` a container has all cores and a quota. When the quota is used up, all cores of the container
//! stop at once for the rest of a period of 100 ms. Use `--cpuset-cpus` instead.
//!
//! # Clients cannot connect
//!
//! | the client sees | cause | remedy |
//! |---|---|---|
//! | connection refused | nothing listens there: the default address is 127.0.0.1, which other machines cannot reach | `server.bind_addr = "0.0.0.0:7878"` for IPv4, or `"[::]:7878"` for both families, with `[auth]` and `[tls]`; `nats.bind_addr` for NATS clients |
//! | `certificate has expired`, or unknown, or not valid for the name | the broker's certificate, or what the client trusts | `blipmq doctor --config FILE` says which certificates have expired; [`certificates`](super::certificates) |
//! | an alert that names its certificate | the broker refuses the certificate of the client: `client_ca_file`, `crl_file`, or it has expired | [`certificates`](super::certificates) |
//! | a timeout | a firewall; or the queue of connections waiting to be accepted was full | `net.core.somaxconn`, `deploy/sysctl.d/60-blipmq.conf` |
//! | ERROR 4001, `expected HELLO as the first frame` | the client speaks another protocol: NATS to the port of BLIP/1, HTTP, or TLS to a broker without `[tls]` | NATS clients to port 4222; [`tls`](super::tls); [`protocol`](super::protocol) for authors of clients |
//! | ERROR 4010, or `Authorization Violation` | wrong credentials, none, or credentials for a broker without `[auth]`; or HELLO came too late | the text says which; `blipmq_logins_refused_total` counts these connections |
//! | ERROR 4030, or `Permissions Violation` | connected, but not allowed to do this | `publish` and `subscribe` of the user in `[[auth.users]]`; `block` for a subscription with overflow 3, which without `[auth]` is allowed on loopback only |
//! | ERROR 4260, or closed behind INFO without an error | the client speaks plain text where TLS is required | [`tls`](super::tls) |
//! | ERROR 4291, or `maximum connections exceeded` | `server.max_connections` are open, or the client's address has or makes more than `limits.max_connections_per_address` or `limits.max_new_connections_per_address` allow, or the client's user more than its `max_connections`; the text of ERROR and `blipmq_connections_refused_total` say which | raise this limit and that of open files; or find the client that opens so many: `/api/v1/connections?sort=age&order=asc` |
//! | ERROR 4010 or `Authentication Timeout`, after a second already | more connections wait for a login than `limits.max_connections_before_login` | clients that log in at once; find the address that has so many, and limit it |
//! | ERROR 5030, or `ldm` in INFO | the broker is stopping | connect to another broker, or later |
//! | NATS: closed without an error | malformed arguments; nats-server does the same | [`nats`](super::nats) |
//!
//! The log has a line `login refused:` for each refused login, with the address and the reason, and at
//! most once a second `server.max_connections is reached: new connections are refused`. `accepting
//! failed: raise the open-file limit or close connections` is about a limit of the system, not of the
//! broker. With `[logging] level = "debug"` each connection has a line.
//!
//! A NATS client at the port of BLIP/1 waits for an INFO that never comes.
//!
//! # Messages are dropped
//!
//! Nothing is lost silently: a GAP, or a message on `$SYS.GAP`, names the messages that a client missed,
//! and `blipmq_dropped_messages_total` counts them by `reason`:
//!
//! | reason | cause | remedy |
//! |---|---|---|
//! | `overflow_oldest` | a queue was full and its policy is `drop_oldest` | find the subscriber, see below; a larger `queues.subscriber_capacity` helps against a longer stall, but not against a subscriber that is always too slow |
//! | `overflow_new` | the same with `drop_new` | the same |
//! | `connection_full` | the queues of all subscriptions of one connection together had reached `queues.connection_bytes` | find the connection: `/api/v1/connections?sort=queued_bytes`; read faster, use several connections, or raise the bound |
//! | `reclaimed` | `limits.memory_max` was nearly used up, and nothing retained was left: those who held most lost their oldest messages, down to a fair share | the log names the connections, `/api/v1/subscriptions?sort=dropped` the subscriptions; lower `queues.connection_bytes`, or raise `limits.memory_max` |
//! | `conflated` | `latest`: a newer message of the topic came before this was sent | none needed: the subscriber asked for this |
//! | `refused_for_memory` | `limits.memory_max` is used up, there are no retained messages left to evict, and no connection holds more than a fair share | find the queues that hold the memory: `/api/v1/subscriptions?sort=queued_bytes`; see high memory |
//! | `expired_before_enqueue` | the time to live had ended when the message reached the queue: the owner of the topic is behind, or the time to live is very short | longer `--ttl` or `delivery.default_ttl_ms`; core too busy, see latency |
//! | `expired_in_queue` | the message waited for its subscriber longer than its time to live | a faster subscriber, or a longer time to live |
//! | `disconnected` | the connection ended while the message was queued or being sent | find out why it ended, see below; the promise is at most once |
//! | `refused` | published to a topic that could not be opened: not allowed, not a legal name, or `limits.max_topics`; or a NATS client published to a subject that is not a legal topic, which BLIP/1 subscribers do not get | the ERROR that the publisher got says which: 4030, 4220, 4291 |
//!
//! To find the subscriber, read `/api/v1/subscriptions?sort=dropped`: the rows have address, pattern,
//! policy, and the losses by reason. When the queue of a subscription fills for the first time, the log
//! has the line `the queue of a subscription is full, from now on only counted`. If all subscribers of a
//! core lose messages at the same time, the core is too busy. If one subscriber does, its program or its
//! network is slow.
//!
//! A message without subscribers is not a drop. `blipmq_published_messages_total` counts it, and no
//! queue has it.
//!
//! # A slow consumer was closed
//!
//! The client sees ERROR 4290, `slow subscriber: ...`, or `Slow Consumer` with NATS. The log has a line
//! with `disconnected:`, the address and the same text, which names one of seven causes:
//!
//! - `its queue of 2048 messages ... has no room` (overflow disconnect): the subscriber, or
//!   `queues.overflow_policy`, asked for this. Read faster, or choose another policy.
//! - `the queues of its connection, which hold 67108864 bytes together, have no room` (overflow
//!   disconnect): the same for all subscriptions of the connection, see `queues.connection_bytes`.
//! - '`limits.memory_max` is nearly used up, and its connection holds ... more than a fair share': nothing
//!   of that can be dropped, such as messages under the policy `block` or `disconnect`, messages that
//!   have not come in full, and answers that the client does not read. So the connection was closed.
//!   `blipmq_reclaimed_connections_total` counts these.
//! - '`limits.memory_max` is nearly used up, and its connection holds ... bytes for ... subscriptions': a
//!   client of NATS sees `maximum subscriptions exceeded`. Subscribe to patterns instead of many topics, or
//!   raise `limits.memory_max`. The same counter has these.
//! - `it took nothing for 10000 ms while publishers waited for it` (overflow block): the subscriber
//!   stalled for `queues.block_timeout_ms`.
//! - `it took 120 bytes while publishers waited 10000 ms for it, less than 1024 bytes a second` (overflow
//!   block): the subscriber reads too slowly to hold others up, see `queues.block_min_rate`.
//! - `it is behind by more than 16384 runs of missed messages`: the broker could no longer report what
//!   the subscriber lost. This happens to a connection with very many topics. Use more connections.
//! - `a message reaches 100001 subscriptions of its connection`: NATS sends a message once for each
//!   subscription that matches. The client sees `maximum subscriptions exceeded`, and
//!   `blipmq_fan_out_exceeded_total` counts the connection. Most often a program subscribes again and again
//!   without UNSUB. `limits.max_fan_out_per_connection` is the bound.
//!
//! # A silent client was closed
//!
//! The client sees ERROR 4080, `2 PINGs were not answered ...`, or `Stale Connection` with NATS, and
//! `blipmq_stale_connections_total` counts the connection. The program was stopped or hangs, its machine or
//! network is gone, or it does not read: PING waits behind the messages that it has not read. A library that
//! answers from the thread that works on messages has to answer within `server.ping_interval_ms`, or the
//! interval must be longer. Members of a group that hang get messages until they are closed, and what was
//! sent to them is not sent again: with 30,000 ms and 2 PINGs that is 90 to 120 seconds.
//!
//! # Publishes wait
//!
//! The socket of a publisher fills up, and its `publish` blocks or times out. Find out what holds the
//! publisher up:
//!
//! | look at | if | then |
//! |---|---|---|
//! | `blipmq_blocked_topics` | above 0 | a subscription with `block` is nearly full; `holds_up_topics` in `/api/v1/subscriptions?sort=lag` finds it. Make that subscriber faster, give it another policy, or lower `queues.block_timeout_ms` |
//! | `paused` in `/api/v1/connections` | `answers` | the publisher asks for ACKs and does not read them |
//! | | `mesh` | another core is behind: see latency |
//! | | `memory` | `limits.memory_max` is used up, and memory is being reclaimed: see high memory |
//! | `blipmq_receive_buffer_shortages_total` | grows | the core takes in less than arrives: it is overloaded |
//! | `blipmq_input_deferred_total` | grows | some client sends commands faster than its share of 128 a turn: only that client waits. `/api/v1/connections?sort=input_deferred` finds it |
//!
//! # High CPU
//!
//! First check whether it is too high: a core with work runs, and batches. `1 -
//! rate(blipmq_asleep_seconds_total[1m])` near 1 with lag near 0 means a busy core that keeps up.
//!
//! | look at | if | cause and remedy |
//! |---|---|---|
//! | `blipmq_send_messages`, messages per send | about 1 | the broker sends each message at once. That is the price of low latency: some 4 us each, see [`capacity`](super::capacity). Publishers that batch, and fewer connections, cost less |
//! | deliveries per second | high | this is the work itself: bytes are copied once for each subscriber |
//! | `blipmq_topics`, messages per topic and turn | many topics, few messages each | each batch has a cost; see [`performance`](super::performance) |
//! | rate of `blipmq_connections_opened_total` | high | clients that connect for each message |
//! | `blipmq_errors_sent_total`, `blipmq_logins_refused_total` | grow | a client in a loop |
//! | a core is busier than its few messages explain | messages arrive less than 80 us apart | the core polls for the next message before it sleeps; `server.busy_poll_us = 0` turns that off |
//!
//! Then see [`profiling`](super::profiling).
//!
//! # I see iowait at 100 %
//!
//! Nothing is wrong, and no disk is involved: the broker uses none. Some kernels (6.5 and later, and
//! late versions of 6.1 and 6.4) count a thread that sleeps in io_uring as waiting for I/O, so top shows
//! one core at 100 % `wa` for each executor of an idle broker. That time is idle: other processes run in
//! it. Look at the CPU time that is used, which is about 0 for a broker without traffic:
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
//! | look at | if | cause and remedy |
//! |---|---|---|
//! | `blipmq_memory_held_bytes` | near `blipmq_memory_limit_bytes` | subscriptions, if there are hundreds of thousands (`/api/v1/connections?sort=subscriptions`); else messages: retained ones (`/api/v1/topics?sort=kept_bytes`) and queued ones (`/api/v1/subscriptions?sort=queued_bytes`). Retained messages may fill the budget, because they are evicted first. Lower `queues.topic_capacity` or `topic_bytes`, `subscriber_bytes`, or `limits.memory_max` |
//! | `blipmq_kept_evictions_total` | grows | the budget is used to seven eighths, and the oldest retained messages are evicted: replays reach less far back |
//! | `blipmq_process_resident_memory_bytes` | far above held | connections, 2 KiB each; the names of topics; memory that the allocator holds after a peak |
//! | `blipmq_topics` | grows without end | topic names with ids in them: `limits.max_topics`, or ephemeral subjects, such as `_INBOX.>` |
//! | the container's memory, not the process | | the kernel's socket buffers: `net.ipv4.tcp_wmem` times stalled connections |
//!
//! [`capacity`](super::capacity) has the sum. If publishes are refused with ERROR 4291, `bytes of
//! messages, over all topics and queues`, queues alone fill the budget: stalled subscribers with large
//! `subscriber_bytes`.
//!
//! # Poor latency
//!
//! Divide the latency first. `blipmq_accept_to_send_seconds` is the broker's part; the rest of what a
//! client measures is the network, the kernel's buffers, and the client.
//!
//! | look at | if | cause and remedy |
//! |---|---|---|
//! | `blipmq_accept_to_send_seconds` | low, clients see much more | the subscriber reads late, or the buffer of its socket is full: `blipmq_worst_subscription_lag_seconds`; a smaller `net.ipv4.tcp_wmem` hides less |
//! | lag of one subscription | high | that subscriber is slow: with `overflow_policy = "latest"` or short queues its messages stay recent |
//! | lag of all | high | the core is overloaded: more cores, fewer bytes, `config/low-latency.toml` for shorter turns |
//! | p50 fine, p99.9 bad | | other work on the core: [`numa`](super::numa); a quota (`cpu-quota` of doctor); the frequency governor |
//! | round trips at a low rate | tens of microseconds | sleeping and waking: `server.busy_poll_us` up to 1,000 on cores of its own |
//! | `blipmq_mesh_full_total` | grows | one core cannot keep up and slows the others down: one busy topic, or all topics share one first token |
//! | one core busy, others asleep | | the first token of a topic chooses the core: spread the names, `/api/v1/topics?sort=rate` |
//!
//! # A reload changes nothing
//!
//! On SIGHUP, which `systemctl reload blipmq` sends, the broker reads the configuration again. One line
//! in the log has the result, and so has `configuration` in `/api/v1/status`:
//!
//! | the line has | cause and remedy |
//! |---|---|
//! | `nothing was changed:` | the file has a mistake, which follows; all settings stay as they were |
//! | `changed, but needs a restart:` | addresses, cores, shards and some other settings cannot change while the broker runs; the rest was applied |
//! | `nothing to apply` | the file did not change, or flags of the command line override it |
//!
//! # It does not stop
//!
//! After SIGTERM the broker delivers what was accepted, for at most `server.drain_timeout_ms`. The line
//! `stopped after server.drain_timeout_ms: subscribers that did not read were cut off` means that some
//! clients did not read. A second signal, half a second later or more, stops the broker at once. Meanwhile `/readyz` answers 503, so
//! that load balancers send no new clients.
//!
//! # It ended by itself
//!
//! An end by SIGABRT with a line of Rust, `panicked at`, is mostly a bug of the broker: a wrong shard
//! must not keep serving. Please report that line and the configuration. systemd sends SIGABRT too, if a
//! core has not answered for `WatchdogSec=`. SIGKILL mostly comes from a kernel that is short of memory:
//! `journalctl --dmesg` shows it, and [`capacity`](super::capacity) says how much memory the broker
//! needs. `the data ring of CPU 0 failed, the process cannot go on` means that the kernel no longer
//! accepts a ring that it had granted.
