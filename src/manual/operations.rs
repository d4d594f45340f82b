//! Starting it, changing it while it runs, stopping it, and what it says meanwhile.
//!
//! # Starting
//!
//! A start either prints `blipmq/VERSION is ready on ...` on stdout, or ends with status 1 and one line
//! on stderr that says what is in the way and what to do. It reads its configuration and writes no file:
//! a disk that is full or read-only is nothing to it, nor is a stdout or stderr that is closed or full.
//!
//! # Reloading
//!
//! `blipmq reload`, `systemctl reload blipmq` or SIGHUP make a broker read its file again. Flags of its
//! command line win over the file, as at the start. If anything in the file is wrong, nothing is changed,
//! and the log, `/api/v1/status` and `blipmq reload` say what it is. Otherwise every core takes all of it
//! in one of its turns, and no message is lost by that.
//!
//! | takes effect | keys |
//! |---|---|
//! | by restart | `server.bind_addr`, `server.cores`, `server.max_message_size_bytes`, `nats.enabled`, `nats.bind_addr`, `delivery.fanout_shards`, `metrics.enabled`, `metrics.bind_addr`, `logging.format` |
//! | by reload, for new subscriptions | `nats.subscriber_capacity`, `queues.subscriber_capacity`, `queues.subscriber_bytes`, `queues.overflow_policy` |
//! | by reload | all others |
//!
//! Keys of the first row that differ in the file are named and stay as they are. Some of the others are
//! worth a word:
//!
//! - `auth`: connections of a user that is gone, or of whom anything differs, are closed (ERROR 4010,
//!   `-ERR 'User Authentication Revoked'`) and may come back with what is valid now. So are all that
//!   came by a token that is not the same any more, or by none when one is asked for. Nobody else
//!   notices. nats-server keeps a user whose permissions changed connected; here what it has
//!   subscribed to was checked when it subscribed, so it does so again.
//! - `server.max_connections`: those that are there stay, however many they are. More than the limit of
//!   open files allows is refused.
//! - `limits.memory_max`, `limits.max_topics`, `limits.max_subscriptions_per_connection`: what is there
//!   stays; above the new bound nothing is added.
//! - `queues.topic_capacity`, `queues.topic_bytes`: a topic gives up what is too much with its next
//!   message, or when it is idle.
//! - `queues.subscriber_capacity`: a core never takes in more per turn than it did so far, because
//!   subscriptions that are there have the queues they were made with. A higher one has its full
//!   effect on throughput after a restart.
//!
//! # Stopping
//!
//! SIGTERM or SIGINT, and SIGUSR2 for those who know it from nats-server, begin the stop; SIGTERM or
//! SIGINT a second time stop at once.
//!
//! 1. `/readyz` says 503, the ports are closed, clients are sent GOODBYE, or INFO with `ldm` to
//!    NATS clients. What they send from now on is not read.
//! 2. What was accepted is delivered, across all cores.
//! 3. Connections that have been sent everything are closed, one after the other, in an order that is
//!    another one at each start. So the clients do not come back all at once. That takes
//!    `server.drain_spread_ms`, but at most 1 ms for each connection of a core and half of the time that
//!    is left: few connections are closed within milliseconds. A client that closes after its GOODBYE
//!    is not waited for.
//! 4. Whoever does not read is cut off `server.drain_timeout_ms` after the signal.
//!
//! The exit status is 0 in either case; the log says which it was.
//!
//! # Supervisors
//!
//! A broker that finds `NOTIFY_SOCKET` speaks systemd's notify protocol: `READY=1` when clients can
//! connect, `RELOADING=1` and `READY=1` around a reload, `STOPPING=1` with the time the stop may take, each
//! with a line of status for `systemctl status`. With `WatchdogSec=` it says `WATCHDOG=1` twice in that
//! time, as long as every core carries out a command within half of it: a broker with one core that is
//! stuck is restarted. `deploy/blipmq.service` uses all of this.
//!
//! # The log
//!
//! Lines on stderr, `[logging] format = "json"` for programs. They tell of connections and changes of
//! state, never of single messages, which have metrics.
//!
//! | level | what it tells |
//! |---|---|
//! | `error` | a reload that was refused, a core that does not answer |
//! | `warn` | a stop at the drain timeout, connections refused at `server.max_connections`, accepting that fails |
//! | `info` | the start with addresses and cores, reloads, stops; a login that was refused, a subscriber that was disconnected because it was slow, a subscription whose queue is full for the first time |
//! | `debug` | each connection, when it comes, and when and why it goes |
//!
//! One place in the code logs at most 10 lines a second, then one line says how many more there were and
//! repeats the first of them. Whoever logs never waits: a thread of its own writes, and lines are left
//! out, and counted, when stderr takes none.
