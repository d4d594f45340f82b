//! TLS: who has to use it, what is on the wire, and what it costs.
//!
//! A broker with `[tls] cert_file` and `key_file` speaks TLS 1.3 and 1.2 on the ports that it has anyway.
//! `blip` and `nats` say for each protocol who uses it:
//!
//! | mode | clients in plain text |
//! |---|---|
//! | `required`, the default | are refused; nothing of either protocol is sent in plain text, but INFO |
//! | `optional` | are served: use this only while clients are being moved |
//! | `off` | are the only ones |
//!
//! With `optional` some NATS clients, nats-py among them, speak plain text without a warning although they
//! could use TLS.
//!
//! # BLIP/1
//!
//! A client with TLS begins with the hello, one without begins with HELLO: the broker tells them apart by the
//! first three bytes. A client in plain text is sent ERROR 4260 in plain text where TLS is required. TLS
//! clients may offer the ALPN protocol `blip/1`.
//!
//! # NATS
//!
//! `nats_handshake_first` says what comes first:
//!
//! | value | the broker |
//! |---|---|
//! | `auto`, the default | waits 50 ms for the hello. To a client that is silent for so long it sends INFO in plain text, and the hello has to follow. Serves every client that has TLS |
//! | `never` | sends INFO in plain text at once, as old clients expect it |
//! | `always` | says nothing before the hello: INFO is inside of TLS. Clients have to be told, as with `tls_handshake_first=True` in nats-py |
//!
//! INFO has `tls_required`, or `tls_available` where TLS is optional, and `tls_verify` where clients have to
//! show a certificate. What nats-server answers on the wire, the broker does too: a client in plain text
//! where TLS is required is disconnected without `-ERR`, as is one that does not begin its handshake
//! within `handshake_timeout_ms`. `auth_timeout_ms` begins when the handshake is over.
//!
//! # Pages
//!
//! `[metrics] tls = true` serves the admin pages as https, see [`metrics`](super::metrics).
//!
//! # Handshakes
//!
//! A handshake is work of the core that serves the connection, about 0.1 ms with a key of ECDSA P-256 and
//! 0.35 ms with RSA-2048: prefer ECDSA. Where many clients connect at once, their handshakes wait for each
//! other and messages do not: a turn of a core serves one handshake, and more only while handshakes have no
//! more than half of its time. `blipmq_tls_waiting_hellos` says how many wait. A client whose handshake is
//! not over after `handshake_timeout_ms` loses its place; those places count in `server.max_connections`.
//!
//! A client that connects again within twelve hours resumes its session with a ticket, which is good only at
//! the listener that gave it, and only until a reload changes who is let in. A restart forgets all tickets.
//!
//! # When it does not work
//!
//! `blipmq_tls_handshakes_total` counts handshakes by result. With `[logging] level = "debug"` the log has a
//! line `TLS failed` with the address and the reason of each that failed. `/api/v1/connections` shows
//! version, cipher suite and the name in the client's certificate under `tls`.
//!
//! | what a client sees | why |
//! |---|---|
//! | ERROR 4260, or the connection ends behind INFO | the client speaks plain text where TLS is required |
//! | a handshake that never ends | the client waits for INFO with `nats_handshake_first = "always"`, or begins with the hello with `never` |
//! | alert `protocol_version` | the client has no TLS 1.2 |
//! | alert `certificate_required`, or `handshake_failure` in TLS 1.2 | `client_certs = "required"`, and the client shows none |
//! | the end of a connection of TLS 1.2 after 16 million sends | AES-GCM of TLS 1.2 cannot change its keys; clients with ChaCha20 or TLS 1.3 go on |
