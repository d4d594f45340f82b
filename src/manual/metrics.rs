//! Metrics, pages and health checks: what each number means.
//!
//! Everything is on `[metrics] bind_addr`, `http://127.0.0.1:9090` by default, and read-only. It has
//! a thread of its own that is pinned to no core: however often it is asked, messages do not wait
//! for it.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | the dashboard, a page that needs nothing from elsewhere |
//! | `/metrics` | text for Prometheus |
//! | `/healthz` | 200 `ok` if every core answered within a second; else 503 and which did not |
//! | `/readyz` | 200 `ready`; 503 `draining` once it was told to stop |
//! | `/api/v1/status` | the process, its addresses, limits and how full they are, totals, latency since the start |
//! | `/api/v1/cores` | counters, gauges and histograms of each core |
//! | `/api/v1/connections` | a list of connections |
//! | `/api/v1/subscriptions` | a list of subscriptions, and of queues of groups |
//! | `/api/v1/topics` | a list of topics |
//!
//! ```sh
//! curl --fail --silent http://127.0.0.1:9090/healthz
//! curl --fail --silent http://127.0.0.1:9090/readyz
//! curl --fail --silent http://127.0.0.1:9090/metrics | grep '^blipmq_dropped_messages_total'
//! curl --fail --silent 'http://127.0.0.1:9090/api/v1/subscriptions?sort=dropped&limit=5'
//! curl --fail --silent 'http://127.0.0.1:9090/api/v1/connections?sort=lag&order=desc&limit=5&offset=0'
//! curl --fail --silent 'http://127.0.0.1:9090/api/v1/topics?sort=rate'
//! ```
//!
//! In a terminal `blipmq top` shows the same live; this prints it once:
//!
//! ```sh
//! blipmq top --once
//! ```
//!
//! # Lists
//!
//! `sort` is one of the words below, the first of them by default; `order` is `desc` or `asc`;
//! `limit` is 1 to 1,000, 50 by default; `offset` and `limit` together are at most 10,000. Anything
//! else is 400, with what is allowed. Times are seconds, sizes bytes.
//!
//! | list | `sort` |
//! |---|---|
//! | `connections` | `queued_bytes`, `queued_messages`, `lag`, `dropped`, `published`, `delivered`, `subscriptions`, `age` |
//! | `subscriptions` | `dropped`, `lag`, `queued_bytes`, `queued_messages`, `delivered` |
//! | `topics` | `rate`, `published`, `kept_bytes`, `name` |
//!
//! Lag is the age of the oldest message that is queued. A subscriber that has stopped reading keeps a small
//! one under `drop_oldest` and `latest`, whose queues are always fresh: what it lost tells of it, and is what
//! the list is sorted by unless it is asked otherwise.
//!
//! A core that does not answer within a second is named in `unanswered_cores`, and its rows are
//! missing. `paused` of a connection says why it is not read: `answers` (it asks and does not read
//! what comes back), `mesh` (another core is behind), `blocked` (a subscription with `block` is
//! full) or `fence` (a PING of NATS waits for other cores). `holds_up_topics` of a subscription
//! says how many topics wait for it.
//!
//! # Who may read it
//!
//! On a loopback address whoever is on the machine. Any other address needs a token, or the broker
//! does not start; then every path but `/healthz`, `/readyz` and the files of the dashboard wants
//! it:
//!
//! ```toml
//! [metrics]
//! bind_addr = "10.0.0.7:9090"
//! token = "..."
//! ```
//!
//! Without it the answer is 401. Prometheus has `authorization` with `credentials_file` for it,
//! curl `--header "Authorization: Bearer TOKEN"`, `blipmq top` the variable `BLIPMQ_METRICS_TOKEN`,
//! and the dashboard asks. There is no TLS: over a network you do not trust put it behind a proxy
//! that has.
//!
//! At most 32 connections are served at once, each for one answer and at most ten seconds.
//!
//! # Which to watch
//!
//! | watch | it says |
//! |---|---|
//! | `blipmq_dropped_messages_total` by `reason` | what was lost, and why: see [`troubleshooting`](super::troubleshooting) |
//! | `blipmq_queue_overflows_total` | queues run full; it rises before anybody complains |
//! | `blipmq_limit_used_ratio` | which limit comes next; tell somebody at 0.8 |
//! | `blipmq_accept_to_send_seconds` | time inside the broker; what is above it is network and client |
//! | `blipmq_worst_subscription_lag_seconds` | how far the slowest is behind; who it is tells `/api/v1/subscriptions?sort=lag` |
//! | `blipmq_blocked_topics` | publishers that wait for a subscriber now |
//! | `blipmq_mesh_full_total`, `blipmq_receive_buffer_shortages_total` | a core that cannot keep up |
//! | `blipmq_logins_refused_total` | wrong credentials, or somebody who tries |
//! | `blipmq_process_start_time_seconds` | it has started again |
//!
//! Some things are computed of two counters. With PromQL:
//!
//! ```text
//! sum(rate(blipmq_delivered_messages_total[1m]))                                    deliveries per second
//! 1 - rate(blipmq_asleep_seconds_total[1m])                                         how busy each core is
//! rate(blipmq_delivered_messages_total[1m]) / rate(blipmq_flushes_total[1m])        messages per send
//! rate(blipmq_flushed_bytes_total[1m]) / rate(blipmq_flushes_total[1m])             bytes per send
//! histogram_quantile(0.99, sum by (le) (rate(blipmq_accept_to_send_seconds_bucket[1m])))
//! ```
//!
//! A core that is always busy is not one at its end: it carries more messages per send the more
//! there is to do. It is at its end when lag or drops rise with it; see
//! [`capacity`](super::capacity).
//!
//! `deploy/prometheus/alerts.yml` has alerts of these, and `deploy/grafana/` a dashboard.
//!
//! # Every metric
//!
//! Counters begin at 0 with the process and never fall. All of the first table have a label `core`,
//! the number of the executor from 0; what is told of single subscriptions is told of the ten
//! worst, by `rank`, so that clients cannot add series.
//!
//! | per core | means |
//! |---|---|
//! | `blipmq_published_messages_total` | messages that topics of this core accepted |
//! | `blipmq_published_bytes_total` | bytes of the frames those came in |
//! | `blipmq_enqueued_messages_total` | messages put into queues, once per subscription |
//! | `blipmq_delivered_messages_total` | messages handed to the kernel in full, once per connection |
//! | `blipmq_dropped_messages_total` | messages that did not arrive, by `reason` |
//! | `blipmq_ttl_drops_total` | of those the ones whose time to live had ended, both reasons together |
//! | `blipmq_queue_overflows_total` | times a queue was full when messages came, by `policy` |
//! | `blipmq_publishers_blocked_total` | times subscriptions with `block` began to hold a topic's publishers up |
//! | `blipmq_blocked_topics` | topics whose publishers wait now |
//! | `blipmq_kept_evictions_total` | runs of kept messages given up because memory was nearly used up |
//! | `blipmq_flushes_total` | vectored sends handed to the kernel |
//! | `blipmq_flushed_bytes_total` | bytes of those |
//! | `blipmq_send_messages` | histogram: messages of a send |
//! | `blipmq_send_bytes` | histogram: bytes of a send |
//! | `blipmq_enter_sends` | histogram: sends that one system call handed over |
//! | `blipmq_accept_to_send_seconds` | histogram: from arrival to the end of the turn that sent it, once per connection |
//! | `blipmq_turns_total` | turns of the core's loop |
//! | `blipmq_enters_total` | system calls on the ring of its sockets |
//! | `blipmq_asleep_seconds_total` | time it slept because there was nothing to do |
//! | `blipmq_receive_buffer_shortages_total` | times there was more to read and no buffer free |
//! | `blipmq_receive_buffers_free` | receive buffers the kernel may fill now, of 32 |
//! | `blipmq_mesh_letters_sent_total` | batches sent to other cores |
//! | `blipmq_mesh_full_total` | times another core had no room for them |
//! | `blipmq_mesh_waiting_letters` | batches of other cores that wait to be read |
//! | `blipmq_connections` | connections open now |
//! | `blipmq_nats_connections` | of those the NATS clients |
//! | `blipmq_connections_opened_total` | connections this core was given |
//! | `blipmq_connections_closed_total` | those that ended |
//! | `blipmq_subscriptions` | subscriptions in force |
//! | `blipmq_topics` | topics this core owns |
//! | `blipmq_errors_sent_total` | ERROR frames, and -ERR to NATS clients |
//! | `blipmq_logins_refused_total` | connections that did not prove who they are |
//! | `blipmq_nats_no_responders_total` | requests of NATS clients that nobody listened to |
//!
//! | of the process | means |
//! |---|---|
//! | `blipmq_build_info` | always 1, with the label `version` |
//! | `blipmq_ready` | 1, and 0 once it was told to stop |
//! | `blipmq_connections_limit` | `server.max_connections` |
//! | `blipmq_topics_limit` | `limits.max_topics` |
//! | `blipmq_memory_held_bytes` | bytes of messages in queues and kept ones |
//! | `blipmq_memory_limit_bytes` | `limits.memory_max` |
//! | `blipmq_limit_used_ratio` | 0 to 1, by `limit`: `connections`, `memory`, `topics`, `open_files` |
//! | `blipmq_worst_subscription_lag_seconds` | age of the oldest queued message of the ten furthest behind |
//! | `blipmq_worst_subscription_queued_bytes` | bytes queued for the ten with the longest queues |
//! | `blipmq_worst_subscription_dropped_messages` | messages lost by the ten that lost the most |
//! | `blipmq_config_reloads_total` | times the configuration was read again, by `outcome`: `applied` or `refused` |
//! | `blipmq_config_last_reload_successful` | 0 if the last of them was refused |
//! | `blipmq_process_cpu_seconds_total` | CPU time of all threads |
//! | `blipmq_process_resident_memory_bytes` | memory that is really there |
//! | `blipmq_process_open_fds` | open files, connections among them |
//! | `blipmq_process_max_fds` | files it may have open |
//! | `blipmq_process_threads` | threads: one per core and a few |
//! | `blipmq_process_start_time_seconds` | when it became ready, since 1970 |
