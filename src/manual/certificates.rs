//! Certificates: files, renewal, revocation, and who a client is.
//!
//! # The broker's certificate
//!
//! ```toml
//! [tls]
//! cert_file = "server.pem"
//! key_file = "server.key"
//! ```
//!
//! With these two keys all clients of both protocols have to use TLS. `cert_file` has the broker's own
//! certificate first, then the one that signed it, and so on; the root itself is not needed. Both files are
//! PEM, and may be the same file. A relative path begins at the folder of the configuration file.
//!
//! The names that clients connect to have to be in the certificate as subjectAltName: clients do not look at
//! the common name. ECDSA P-256 is the kind of key to choose: every client takes it, and a handshake costs a
//! quarter of one with RSA. P-384, P-521, Ed25519 (which many clients refuse) and RSA of 2048 to 8192 bits
//! work too.
//!
//! The key must not be encrypted, because nobody is there to type a passphrase, and other users of the machine
//! must not be able to reach it: the broker refuses to start with a key of mode 0644 and asks for
//! `chmod 0640`. The group may read it, as in a Secret of Kubernetes with `defaultMode: 0440`.
//!
//! A server with several names can have several certificates. A client gets the one for the name that it asks
//! for (SNI), `*.example.com` included, and of two certificates with one name, such as ECDSA and RSA, the one
//! whose signature it takes. All others get `cert_file`:
//!
//! ```toml
//! [tls]
//! cert_file = "server.pem"
//! key_file = "server.key"
//!
//! [[tls.certificates]]
//! cert_file = "other.pem"
//! key_file = "other.key"
//! ```
//!
//! # A wrong file
//!
//! The broker reads and checks all files before it starts, and names every file that it cannot use, with the
//! fault and the command that mends it: an encrypted key, DER or PKCS#12 instead of PEM, a byte order mark, a
//! key of another certificate, a chain in the wrong order, RSA of 1024 bits. `blipmq check-config FILE` and
//! `blipmq doctor --config FILE` say the same without starting anything. No text repeats anything of a key.
//!
//! # Renewal
//!
//! Replace the files, then `blipmq reload` (or SIGHUP, as from the deploy hook of certbot). A reload reads all
//! files again, also if the configuration is the same, and names `the files of tls` among what it applied.
//! Connections stay; handshakes from then on use the new files. If one file cannot be used, nothing changes:
//! the old certificates serve on, and the log, `blipmq reload` and `blipmq_config_last_reload_successful` say
//! so. So a renewal that was interrupted between its two files does no harm.
//!
//! From 30 days before a certificate ends the broker logs that once a day, from 7 days on as an error.
//! `blipmq_tls_certificate_not_after_seconds` has the end of each certificate in each file, and
//! `deploy/prometheus/alerts.yml` an alert at 14 days and one for expired certificates. A broker with an
//! expired certificate still starts, loudly: a clock that is wrong must not keep it from starting.
//!
//! # Certificates of clients
//!
//! ```toml
//! [tls]
//! cert_file = "server.pem"
//! key_file = "server.key"
//! client_ca_file = "clients.pem"
//! client_certs = "required"
//! crl_file = "revoked.pem"
//! ```
//!
//! `client_ca_file` has the authorities that sign certificates of clients. With `client_certs = "required"`
//! every client has to show one; with `"optional"` a client may, and an invalid one is refused all the same.
//! The certificate has to be one for clients: extended key usage `clientAuth`, or no extended key usage.
//!
//! `crl_file` has the lists of revoked certificates, one of each authority in `client_ca_file`. A client whose
//! authority has no list there, or one whose next update is overdue, is refused: nobody knows whether it was
//! revoked. Fetch the lists before that, and reload. Only the client's own certificate is looked up, not those
//! of authorities between it and the root. The broker asks no OCSP server.
//!
//! A client that was here before may resume its session with a ticket, which skips all these checks. So each
//! listener has tickets of its own, and a reload that changes the authorities, the lists, what clients have to
//! show or which users have certificates ends all tickets. What ends with a certificate's time is checked
//! again: a client whose certificate has expired since is refused, with a ticket too.
//!
//! # Which user a certificate is
//!
//! ```toml
//! [tls]
//! cert_file = "server.pem"
//! key_file = "server.key"
//! client_ca_file = "clients.pem"
//! client_certs = "required"
//!
//! [[auth.users]]
//! certificate = "alice@example.com"
//! publish = ["orders.>"]
//!
//! [[auth.users]]
//! certificate = "CN=bob,OU=eng,O=Acme,C=DE"
//! user = "bob"
//! password = "..."
//! ```
//!
//! The broker looks for the user of a certificate in this order, as nats-server does with `verify_and_map`
//! but for the first row:
//!
//! | `certificate` is | matches |
//! |---|---|
//! | `sha256:` and 64 hexadecimal digits | the digest of the public key: `openssl x509 -in FILE -noout -pubkey \| openssl pkey -pubin -outform DER \| sha256sum` prints it |
//! | an email address, a DNS name or a URI | one of these in subjectAltName, exactly |
//! | a subject such as `CN=bob,OU=eng,O=Acme,C=DE` | the whole subject, in any order and spacing |
//! | the same without some attributes | the subject as Go prints it, with its domain components (DC) and without: only C, O, OU, L, ST, street, postal code, CN and serial number count |
//!
//! The common name alone matches nobody, unless the subject has nothing else. Only the first certificate that
//! a client shows counts.
//!
//! Where some user has a `certificate`, a client that shows one is that user or nobody: a certificate that no
//! user has is refused (ERROR 4010, `Authorization Violation`), and so is the password of another user in HELLO
//! or CONNECT. A user with a password besides needs both. Clients without a certificate, if
//! `client_certs = "optional"` lets them in, log in as ever, but not as a user that has a certificate.
//!
//! A reload that removes or changes such a user closes its connections; others stay.
//!
//! # Without a login or encryption
//!
//! A listener that other machines can reach needs `[auth]`, or certificates that every client has to show, and
//! `[tls]`: without them the broker does not start. Where everybody on the network may do everything, say why,
//! and the broker logs that at every start:
//!
//! ```toml
//! [server]
//! bind_addr = "10.0.0.7:7878"
//! insecure = "a lab network without a way in"
//! ```
//!
//! `--insecure REASON` on the command line does the same. An address on loopback needs neither.
