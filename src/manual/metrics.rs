//! Metrics, pages and health checks: what each number means.
//!
//! All pages are on `[metrics] bind_addr`, `http://127.0.0.1:9090` by default, and read-only. A thread
//! of its own serves them, which is pinned to no core: messages never wait for a page, however often it
//! is read.
//!
//! | path | content |
//! |---|---|
//! | `/` | the dashboard, a page that loads nothing from elsewhere |
//! | `/metrics` | metrics in the text format of Prometheus |
//! | `/healthz` | 200 `ok` if every core answered within a second; else 503 and the cores that did not |
//! | `/readyz` | 200 `ready`; 503 `draining` once the broker is stopping |
//! | `/api/v1/status` | the process, its addresses, limits and how much of each is used, totals, latency since the start |
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
//! `blipmq top` shows the same live in a terminal; this prints it once:
//!
//! ```sh
//! blipmq top --once
//! ```
//!
//! # Lists
//!
//! `sort` is one of the words below, by default the first; `order` is `desc` or `asc`; `limit` is 1 to
//! 1,000, 50 by default; `offset` and `limit` together are at most 10,000. The answer to anything else
//! is 400 with the allowed values. Times are in seconds, sizes in bytes.
//!
//! | list | `sort` |
//! |---|---|
//! | `connections` | `queued_bytes`, `queued_messages`, `lag`, `dropped`, `published`, `delivered`, `subscriptions`, `input_deferred`, `age` |
//! | `subscriptions` | `dropped`, `lag`, `queued_bytes`, `queued_messages`, `delivered` |
//! | `topics` | `rate`, `published`, `kept_bytes`, `name` |
//!
//! Lag is the age of the oldest queued message. Under `drop_oldest` and `latest` the lag of a subscriber
//! that has stopped reading stays small, because these queues are always fresh. Its losses reveal it, so
//! the list is sorted by losses by default.
//!
//! If a core does not answer within a second, `unanswered_cores` names it and its rows are missing. The
//! field `paused` of a connection says why the broker does not read it: `answers` (the client does not
//! read the answers to its requests), `mesh` (another core is behind), `blocked` (a subscription with
//! `block` is full) or `fence` (a PING of NATS waits for other cores). The field `input_deferred` counts how often its input waited
//! for a later turn because it had had its share of one. The field `holds_up_topics` of a
//! subscription says how many topics wait for that subscription. The queue of a group is a row without a
//! connection. The rate of a topic is that of the last second or two: two seconds of silence make it 0.
//!
//! A page has at most 4 MiB of rows. If `cut` is true, the page ends early, and the next one begins at its
//! `offset` plus its number of rows. Names that clients chose have escapes for control characters and for
//! characters that reverse or hide text, here as in the log and in `blipmq sub`, except in payloads.
//!
//! # Supervisors
//!
//! The pages have 32 connections, each for one request. A client has 2 s to send its request and 10 s to
//! read the answer. When all places are taken, the connection that has been silent longest is closed for
//! the new one, so `/healthz` is answered whatever other HTTP clients do.
//!
//! # Who may read it
//!
//! On a loopback address every process on the machine may read the pages. Any other address needs a
//! token, or the broker does not start. With a token, every path except `/healthz`, `/readyz` and the
//! files of the dashboard requires it:
//!
//! ```toml
//! [metrics]
//! bind_addr = "10.0.0.7:9090"
//! token = "..."
//! ```
//!
//! Without the token the answer is 401. Prometheus takes the token in `authorization` with
//! `credentials_file`, curl in `--header "Authorization: Bearer TOKEN"`, `blipmq top` in the variable
//! `BLIPMQ_METRICS_TOKEN`, and the dashboard asks for it.
//!
//! On a network that you do not trust, add `tls = true`: without it the token goes over the wire in plain
//! text. The pages are then served as https alone, with the certificates of `[tls]`. Health checks have to
//! use https too; `blipmq top` and `blipmq reload` take
//! `--metrics https://host:port`, and `--tls-ca` for an authority of your own. A reload brings a new
//! certificate to the connections after it; the key itself needs a restart.
//!
//! With `client_certs = "optional"` a certificate of `[tls] client_ca_file` stands for the token: Prometheus
//! shows it with `cert_file` and `key_file` in `tls_config`, curl with `--cert` and `--key`. With
//! `"required"` nobody without one gets an answer, health checks included.
//!
//! At most 32 connections are served at once, each for one answer and at most ten seconds.
//!
//! # Which to watch
//!
//! | watch | meaning |
//! |---|---|
//! | `blipmq_dropped_messages_total` by `reason` | messages lost, and why: see [`troubleshooting`](super::troubleshooting) |
//! | `blipmq_queue_overflows_total` | queues run full; this rises before users complain |
//! | `blipmq_limit_used_ratio` | the limit that will be reached next; alert at 0.8 |
//! | `blipmq_accept_to_send_seconds` | time inside the broker; the rest of the latency is network and client |
//! | `blipmq_worst_subscription_lag_seconds` | how far the slowest subscription is behind; `/api/v1/subscriptions?sort=lag` names it |
//! | `blipmq_blocked_topics` | topics whose publishers wait for a subscriber now |
//! | `blipmq_mesh_full_total`, `blipmq_receive_buffer_shortages_total` | a core that cannot keep up |
//! | `blipmq_logins_refused_total` | wrong credentials, or an attack |
//! | `blipmq_tls_handshakes_total` with `result="failed"` or `"timeout"` | clients that do not trust the certificate or speak plain text; the log at level debug says which and why |
//! | `blipmq_tls_waiting_hellos` | many clients connect at once; deliveries go on meanwhile |
//! | `blipmq_tls_certificate_not_after_seconds` | a certificate that ends soon; alert at 14 days |
//! | `blipmq_process_start_time_seconds` | the broker has restarted |
//!
//! Some figures are computed from two counters. With PromQL:
//!
//! ```text
//! sum(rate(blipmq_delivered_messages_total[1m]))                                    deliveries per second
//! 1 - rate(blipmq_asleep_seconds_total[1m])                                         how busy each core is
//! rate(blipmq_delivered_messages_total[1m]) / rate(blipmq_flushes_total[1m])        messages per send
//! rate(blipmq_flushed_bytes_total[1m]) / rate(blipmq_flushes_total[1m])             bytes per send
//! histogram_quantile(0.99, sum by (le) (rate(blipmq_accept_to_send_seconds_bucket[1m])))
//! ```
//!
//! A core that is always busy is not overloaded yet: the more work there is, the more messages share a
//! send. A core is overloaded when lag or drops rise too; see [`capacity`](super::capacity).
//!
//! `deploy/prometheus/alerts.yml` has alerts on these metrics, and `deploy/grafana/` a dashboard.
//!
//! # Every metric
//!
//! Counters start at 0 with the process and never fall. All metrics of the first table have the label
//! `core`, the number of the executor from 0. Metrics of single subscriptions cover the ten worst, with
//! the label `rank`, so that clients cannot add series.
//!
//! | per core | meaning |
//! |---|---|
//! | `blipmq_published_messages_total` | messages that topics of this core accepted |
//! | `blipmq_published_bytes_total` | bytes of the frames with these messages |
//! | `blipmq_enqueued_messages_total` | messages put into queues, once per subscription |
//! | `blipmq_delivered_messages_total` | messages handed to the kernel in full, once per connection |
//! | `blipmq_dropped_messages_total` | messages that were not delivered, by `reason` |
//! | `blipmq_ttl_drops_total` | of these, messages whose time to live had ended, both reasons together |
//! | `blipmq_queue_overflows_total` | times a queue was full when messages arrived, by `policy` |
//! | `blipmq_publishers_blocked_total` | times subscriptions with `block` began to hold up the publishers of a topic |
//! | `blipmq_blocked_topics` | topics whose publishers wait now |
//! | `blipmq_kept_evictions_total` | runs of retained messages evicted because memory was nearly used up |
//! | `blipmq_reclaimed_connections_total` | connections closed because memory was short and they held more than a fair share |
//! | `blipmq_flushes_total` | vectored sends handed to the kernel |
//! | `blipmq_flushed_bytes_total` | bytes of these sends |
//! | `blipmq_send_messages` | histogram: messages per send |
//! | `blipmq_send_bytes` | histogram: bytes per send |
//! | `blipmq_enter_sends` | histogram: sends per system call |
//! | `blipmq_accept_to_send_seconds` | histogram: from arrival to the end of the turn that sent it, once per connection |
//! | `blipmq_turns_total` | turns of the core's loop |
//! | `blipmq_enters_total` | system calls on the ring of its sockets |
//! | `blipmq_asleep_seconds_total` | time that the core slept because there was no work |
//! | `blipmq_receive_buffer_shortages_total` | times there were bytes to read and no buffer was free |
//! | `blipmq_input_deferred_total` | times input of a connection waited because the connection had had its share of the turn |
//! | `blipmq_rate_limited_total` | times a connection was not read because it had published faster than it may or its user may (`max_publish_messages_per_second`, `max_publish_bytes_per_second`, of `limits` and of `[[auth.users]]`) |
//! | `blipmq_refused_subscriptions_total` | subscriptions refused because there were too many, of their connection or in all, or no memory for them (`limits.max_subscriptions_per_connection`, `limits.max_subscriptions`, `limits.memory_max`) |
//! | `blipmq_fan_out_exceeded_total` | connections closed because a message reached more than `limits.max_fan_out_per_connection` of their subscriptions |
//! | `blipmq_send_timeouts_total` | connections closed because their peers took nothing for `server.write_timeout_ms` |
//! | `blipmq_stale_connections_total` | connections closed because their clients answered no PING and sent nothing else (`server.ping_interval_ms`, `nats.ping_interval_ms`) |
//! | `blipmq_receive_buffers_free` | receive buffers the kernel may fill now, of 32 |
//! | `blipmq_mesh_letters_sent_total` | mesh messages sent to other cores |
//! | `blipmq_mesh_full_total` | times another core had no room for a mesh message |
//! | `blipmq_mesh_waiting_letters` | mesh messages of other cores that wait to be read |
//! | `blipmq_connections` | connections open now |
//! | `blipmq_nats_connections` | of these, NATS clients |
//! | `blipmq_connections_opened_total` | connections handed to this core |
//! | `blipmq_connections_closed_total` | connections of this core that ended |
//! | `blipmq_connections_refused_total` | connections refused, by `reason`: `limit` (`server.max_connections`), `address`, `address_rate`, `user` (`max_connections` of the user); or closed to make room, `before_login` |
//! | `blipmq_kernel_shortages_total` | times the kernel was short of memory or descriptors, by `operation`: `accept`, `receive`, `send`, `enter`; each is tried again |
//! | `blipmq_subscriptions` | active subscriptions |
//! | `blipmq_topics` | topics that this core owns |
//! | `blipmq_errors_sent_total` | ERROR frames, and -ERR to NATS clients |
//! | `blipmq_logins_refused_total` | connections refused for missing or wrong credentials |
//! | `blipmq_login_failures_total` | logins that failed, by `reason`, which their clients are not told: `missing` (no credentials), `wrong_kind`, `unknown_user`, `wrong_password`, `wrong_token`, `wrong_signature`, `wrong_certificate`, `too_late`; or that were not checked: `busy`, `throttled` |
//! | `blipmq_nats_no_responders_total` | requests of NATS clients without a subscriber |
//!
//! | of the process | meaning |
//! |---|---|
//! | `blipmq_build_info` | always 1, with the label `version` |
//! | `blipmq_ready` | 1, and 0 once the broker is stopping |
//! | `blipmq_connections_limit` | `server.max_connections` |
//! | `blipmq_topics_limit` | `limits.max_topics` |
//! | `blipmq_memory_held_bytes` | bytes of queued and retained messages, of what connections hold besides, and of subscriptions |
//! | `blipmq_memory_limit_bytes` | `limits.memory_max` |
//! | `blipmq_limit_used_ratio` | 0 to 1, by `limit`: `connections`, `memory`, `topics`, `open_files` |
//! | `blipmq_worst_subscription_lag_seconds` | age of the oldest queued message, for the ten subscriptions furthest behind |
//! | `blipmq_worst_subscription_queued_bytes` | bytes queued, for the ten subscriptions with the longest queues |
//! | `blipmq_worst_subscription_dropped_messages` | messages lost, for the ten subscriptions that lost the most |
//! | `blipmq_config_reloads_total` | reloads of the configuration, by `outcome`: `applied` or `refused` |
//! | `blipmq_config_last_reload_successful` | 0 if the last reload was refused |
//! | `blipmq_tls_handshakes_total` | TLS handshakes that ended, by `listener` (`metrics` for the pages) and `result`: `full`, `resumed`, `failed`, `timeout` |
//! | `blipmq_tls_connections` | encrypted connections open now, by `version` |
//! | `blipmq_tls_waiting_hellos` | clients whose handshake waits for its turn, per core |
//! | `blipmq_tls_handshake_seconds` | time from a whole hello to the end of the handshake |
//! | `blipmq_tls_certificate_not_after_seconds` | when a certificate ends, in seconds since 1970, by `file` and `subject` |
//! | `blipmq_log_lines_lost_total` | lines of the log that could not be written |
//! | `blipmq_process_cpu_seconds_total` | CPU time of all threads |
//! | `blipmq_process_resident_memory_bytes` | resident memory |
//! | `blipmq_process_open_fds` | open files, including connections |
//! | `blipmq_process_max_fds` | limit of open files |
//! | `blipmq_process_threads` | threads: one per core and a few |
//! | `blipmq_process_start_time_seconds` | when the broker became ready, in seconds since 1970 |
