//! Who may connect, and as whom: passwords, their hashes, where secrets are kept.
//!
//! Without `[auth]` every client that can reach the port may do everything. With `[auth]` there is either
//! one token, or users with names or nkeys, each with the permissions of its own. Both protocols have the
//! same users; nkeys are for NATS clients, because BLIP/1 has no signatures.
//!
//! # Hashes
//!
//! A password, or the token of `[auth]`, may be a hash instead of the secret itself:
//!
//! ```text
//! $ blipmq hash-password
//! Password:
//! The same again:
//! $argon2id$v=19$m=19456,t=2,p=1$...
//! ```
//!
//! ```toml
//! [[auth.users]]
//! user = "pricing"
//! password = "$argon2id$v=19$m=19456,t=2,p=1$..."
//! ```
//!
//! The broker knows a hash by its beginning, as nats-server does: `$argon2id$`, or `$2a$`, `$2b$` and `$2y$`
//! for bcrypt, so that hashes of `nats server passwd` work. Hashes of `$2x$`, argon2i and argon2d are refused.
//! Each login with a hash costs what the hash says, so that is bounded: 64 MiB of memory, 10 passes and 4
//! lanes for argon2id, cost 13 for bcrypt.
//!
//! | hash | CPU time of one comparison |
//! |---|---|
//! | argon2id, 19 MiB, 2 passes (`blipmq hash-password`) | about 26 ms |
//! | bcrypt, cost 10 / 11 (`blipmq hash-password --bcrypt`) / 12 | about 57 / 114 / 231 ms |
//!
//! No core computes a hash. One thread named `passwords` with a low priority does, one hash after the
//! other, and a connection that waits for it has nothing else served. A right password is remembered, by a
//! code made with a random key of the process, until a reload changes its user: a thousand clients of one
//! user that reconnect at once cost one hash. While a password waits the time of `server.auth_timeout_ms`
//! is not used up.
//!
//! At most 64 passwords wait, half of them of one address on one core. A login beyond is refused, unchecked, until one
//! of them is compared: a BLIP/1 client gets ERROR 4291, a NATS client `maximum connections exceeded`, behind which clients connect
//! again. `blipmq_login_failures_total` counts it with the reason `busy`. A password whose client has gone
//! is not computed.
//!
//! # Where secrets are kept
//!
//! | in the file | the secret is |
//! |---|---|
//! | `password = "..."`, `token = "..."` | that text, or a hash of it |
//! | `password_file = "pricing.password"`, `token_file = "..."` | in that file |
//! | `password = { env = "PRICING_PASSWORD" }`, `token = { env = "..." }` | in that environment variable |
//!
//! `[metrics]` has `token` and `token_file` as well, without hashes.
//!
//! - A path that is not absolute is looked for in `$CREDENTIALS_DIRECTORY` at first, then beside the
//!   configuration file. With `LoadCredential=pricing.password:/etc/blipmq/pricing.password` in the unit,
//!   systemd hands the file over, and only the broker can read it.
//! - A file that others may read, write or run is refused; the error names the `chmod` that mends it. Its
//!   group may read it, as in a volume of Kubernetes with `defaultMode: 0440`.
//! - A secret is one line of at most 1,024 bytes; the newline at its end does not count.
//! - A reload reads the files anew. The environment of a process does not change.
//! - Nothing prints a secret: `blipmq check-config`, the log and the pages show the name of the file or the
//!   variable at most. So do not write a secret where a name belongs.
//!
//! # Wrong logins
//!
//! An unknown user and a wrong password get the same answer, after the same work. Where some users have
//! hashes and others have not, a name that no user has gets the work of one of the kinds, always the same
//! one for a name.
//!
//! The refusal of a wrong login is held back: 100 ms the first time, then twice as long each time, up to 5
//! seconds, by user and address (with IPv6, by network of 64 bits). A right login is never held back. Wrong
//! ones add up: when those of one user from one address come to 20 seconds, further logins of that user from
//! there are refused unchecked for a while, with the words for a login that cannot wait (reason `throttled`).
//! Other users behind the same address are not affected. Nor are tokens and nkeys, which nobody guesses if they
//! are long and random.
//!
//! What remains for one who guesses, on each core:
//!
//! | | attempts |
//! |---|---|
//! | one user from one address | about 10 at once, then 1 in 5 seconds |
//! | hashes, over all users and addresses and all cores | 1 / the CPU time above: 38 a second with argon2id |
//! | plain passwords, over many users or addresses | as many as connections: bound these with `limits.max_new_connections_per_address` |
//!
//! The log has each refused login with its address and the reason, and with the name of the user if there is
//! one of that name: what a client gives as another name may be a password. `blipmq_login_failures_total`
//! counts the reasons.
//!
//! # Permissions, and a reload that changes them
//!
//! The lists of a user are described in `blipmq check-config` and in the README. Beside these:
//!
//! - `subscribe` and `subscribe_deny` take a group behind a pattern: `"jobs.> workers"` allows the pattern to
//!   members of the group `workers`, which may be a pattern itself. As in nats-server, a list that names groups
//!   for a pattern allows it to no member of another, whatever wider entry there is.
//! - `allow_responses` lets a NATS client answer the requests that it was sent, once within two minutes, or as
//!   `{ max = 3, expires_ms = 5000 }` says. A user with it and without the list `publish` may publish nothing
//!   else.
//! - `nats.no_auth_user` names the user that NATS clients without credentials are. BLIP/1 clients without
//!   credentials are refused.
//!
//! A reload closes connections whose user is gone or has another password, token or nkey. Where only the lists
//! have changed, the connection stays. A subscription that is not allowed any more ends: a NATS client is told
//! `Permissions Violation for Subscription to "orders.>" (sid "1")`, a BLIP/1 client gets ERROR 4030 about the
//! subscription, what is queued for it, and UNSUBSCRIBED. So does a member of a group of whose pattern only a
//! part is still allowed, and a subscription that still waits for retained messages. Other subscriptions are
//! sent what they may have from then on. A BLIP/1 client whose user may publish otherwise has to open its
//! topics again: a frame to one that was open is refused with ERROR 4040.
