//! Starting, reloading and stopping the broker, and what it logs.
//!
//! # Starting
//!
//! A start either prints `blipmq/VERSION is ready on ...` with all addresses on stdout, or ends with
//! status 1 and one line on stderr that names the problem and the remedy. The log has a ready line of its
//! own unless stdout and stderr are the same terminal, file or journal. The broker reads its configuration and writes no
//! file, so a full or read-only disk does not matter, nor does a closed or full stdout or stderr.
//!
//! # Reloading
//!
//! On `blipmq reload`, `systemctl reload blipmq` or SIGHUP a broker reads its file again. Flags of the
//! command line override the file, as at the start. If anything in the file is wrong, nothing changes,
//! and the log, `/api/v1/status` and `blipmq reload` report the mistake. A report never quotes a line:
//! where the syntax is broken, even names and values may be pieces of a secret. Otherwise every core applies
//! all changes in one of its turns, and no message is lost.
//!
//! | takes effect | keys |
//! |---|---|
//! | by restart | `server.bind_addr`, `server.cores`, `server.max_message_size_bytes`, `nats.enabled`, `nats.bind_addr`, `delivery.fanout_shards`, `metrics.enabled`, `metrics.bind_addr`, `metrics.tls`, `logging.format` |
//! | by reload, for new subscriptions | `nats.subscriber_capacity`, `queues.subscriber_capacity`, `queues.subscriber_bytes`, `queues.overflow_policy` |
//! | by reload | all others |
//!
//! If keys of the first row differ in the file, the broker names them and keeps their old values. Some
//! of the other keys need an explanation:
//!
//! - `auth`: connections of a user that was removed or has other credentials are closed (ERROR 4010, `-ERR
//!   'User Authentication Revoked'`), and the clients may connect again with credentials that are valid now.
//!   The same happens to connections that used a token that has changed, and to connections without a
//!   token when the file now requires one. Where only the permissions of a user have changed, its
//!   connections stay, and what these do not allow any more ends, see [`identity`](super::identity). No
//!   other connection is affected. Files with secrets are read anew.
//! - `tls`: a reload reads every file of certificates again, also if no key of `[tls]` changed. Handshakes
//!   that begin after the reload use the new files; connections stay. If one of the files cannot be used,
//!   nothing changes.
//! - `server.max_connections`: open connections stay, however many there are. A value above the limit of
//!   open files is refused.
//! - `limits.memory_max`, `limits.max_topics`, `limits.max_topics_per_connection`,
//!   `limits.max_subscriptions_per_connection`, `limits.max_subscriptions`, `limits.max_pattern_tokens`:
//!   what exists stays; above the new bound nothing is added.
//! - `limits.max_fan_out_per_connection`: a connection that is above the new bound is closed at the next
//!   message that reaches too many of its subscriptions.
//! - `queues.topic_capacity`, `queues.topic_bytes`: a topic evicts the excess with its next message, or
//!   when the topic is idle.
//! - `queues.connection_bytes`: connections whose queues hold more keep that until the next message comes.
//! - `queues.subscriber_capacity`: a core never takes in more per turn than before, because existing
//!   subscriptions have the queues they started with. A higher value has its full effect on throughput
//!   after a restart.
//!
//! # Stopping
//!
//! SIGTERM or SIGINT begins the stop. A second one stops the broker at once, unless it comes within half
//! a second: a supervisor that signals a process and its group asks for one stop.
//!
//! SIGUSR2 (the signal that nats-server uses) announces the stop, which begins `server.lame_duck_ms`
//! later, or when no connection is left, or with SIGTERM. Until then the broker serves the clients it
//! has. `/readyz` answers 503, the ports are closed, and NATS clients get INFO with `ldm`. In the second
//! half of that time the connections that are left are closed one after the other, each behind what is
//! queued for it and BLIP/1 clients with GOODBYE.
//!
//! The stop:
//!
//! 1. `/readyz` answers 503, the ports are closed, clients get GOODBYE, and NATS clients INFO with
//!    `ldm`. The broker no longer reads what clients send.
//! 2. Every accepted message is delivered, across all cores.
//! 3. Connections that have received everything are closed, one after the other, in an order that
//!    differs from start to start, so that the clients do not reconnect all at once. That takes
//!    `server.drain_spread_ms`, but at most 1 ms for each connection of a core and half of the remaining
//!    time: few connections are closed within milliseconds. The broker waits until the kernel of
//!    each client has everything, and not for the client to close.
//! 4. Clients that do not read are cut off `server.drain_timeout_ms` after the signal.
//!
//! The exit status is 0 in both cases; the log says which case it was.
//!
//! # Other signals
//!
//! SIGUSR1, which has nats-server open its log again, does nothing here: the log goes to stderr, whose
//! file belongs to whoever started the broker. SIGPIPE, SIGXFSZ and SIGTTOU are ignored, and SIGHUP of a
//! terminal that is closed is a reload: a broker in the background runs on. SIGHUP, SIGTERM, SIGUSR1 and
//! SIGUSR2 work also under `nohup`.
//!
//! # Supervisors
//!
//! If `NOTIFY_SOCKET` is set, the broker speaks systemd's notify protocol: `READY=1` when clients can
//! connect, `RELOADING=1` and `READY=1` around a reload, `STOPPING=1` with the time that the stop may
//! take, each with a line for `systemctl status`. With `WatchdogSec=` the broker sends `WATCHDOG=1`
//! twice in that time, as long as every core carries out a command within half of that time, so systemd
//! restarts a broker with one stuck core. `deploy/blipmq.service` uses all of this.
//!
//! # Under attack
//!
//! A client that floods the broker, reads nothing or never finishes what it sends costs only itself.
//! `tests/hostile/` tries that against a binary: each attack starts a broker of its own and measures what
//! a publisher with its subscribers and `/healthz` notice.
//!
//! ```sh minutes
//! tests/hostile/run.py --binary target/release/blipmq
//! ```
//!
//! # The log
//!
//! The log goes to stderr, one line per event; with `[logging] format = "json"` the lines are for
//! programs. The log reports connections and changes of state, never single messages, which have
//! metrics.
//!
//! | level | reports |
//! |---|---|
//! | `error` | a reload that was refused, a core that does not answer |
//! | `warn` | a stop at the drain timeout, connections refused at `server.max_connections`, failures to accept |
//! | `info` | the start with addresses and cores, reloads, stops; a refused login, a slow subscriber that was disconnected, a subscription whose queue is full for the first time |
//! | `debug` | each connection: when it opens, and when and why it closes |
//!
//! Each place in the code logs at most 10 lines a second; then one line says how many more there were
//! and repeats the first of them. Logging never waits: a thread of its own writes, and when stderr takes
//! no more or reports an error (a full disk, a file at its limit), lines are dropped and counted in
//! `blipmq_log_lines_lost_total`. A line of the log reports how many, once lines can be written again.
