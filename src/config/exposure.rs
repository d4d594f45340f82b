//! Listeners that other machines can reach without a login or without encryption.
//!
//! Called by the command line after its flags, by `blipmq check-config` and by `blipmq doctor`. Not called
//! by `parse`: a flag may give the reason that the file lacks, or bind a listener elsewhere.

use std::net::SocketAddr;

use super::{ClientCerts, Settings, TlsMode};

/// A listener that is open in some way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The table of the listener.
    pub table: &'static str,
    /// The address of the listener.
    pub address: SocketAddr,
    /// Whether clients need no login.
    pub lacks_login: bool,
    /// Whether clients may talk in plain text although nobody chose so.
    pub lacks_encryption: bool,
}

impl Exposure {
    /// What is open, in words.
    pub fn what(&self) -> String {
        let lacks = match (self.lacks_login, self.lacks_encryption) {
            (true, true) => "without a login and without encryption",
            (true, false) => "without a login",
            _ => "without encryption, so that secrets and messages can be read on the way",
        };
        let Exposure { table, address, .. } = self;
        format!("[{table}] bind_addr = \"{address}\" can be reached from other machines {lacks}")
    }

    /// Why the broker does not start, and both ways out.
    pub fn refusal(&self) -> String {
        let add = match (self.lacks_login, self.lacks_encryption) {
            (true, true) => "add [auth] and [tls]",
            (true, false) => "add [auth]",
            _ => "add [tls]",
        };
        format!(
            "{}; {add}, or, if everybody who can reach this address may do that, write why: [server] \
             insecure = \"...\", or --insecure REASON; 127.0.0.1 is reached from this machine alone",
            self.what()
        )
    }
}

impl Settings {
    /// The listeners that are open in some way, whether or not there is a reason.
    pub fn exposures(&self) -> Vec<Exposure> {
        let Settings { server, nats, tls, auth, .. } = self;
        let listeners = [
            ("server", server.bind_addr, tls.blip_mode(), true),
            ("nats", nats.bind_addr, tls.nats_mode(), nats.enabled),
        ];
        let has_auth = auth.token.is_some() || !auth.users.is_empty();
        let exposure = |(table, address, mode, is_enabled): (_, SocketAddr, _, bool)| {
            // Whoever has a certificate of the configured authorities has a login.
            let shows_certificate =
                mode == TlsMode::Required && tls.client_certs == ClientCerts::Required;
            let exposure = Exposure {
                table,
                address,
                lacks_login: !has_auth && !shows_certificate,
                lacks_encryption: mode == TlsMode::Off,
            };
            let is_open = is_enabled && !address.ip().is_loopback();
            (is_open && (exposure.lacks_login || exposure.lacks_encryption)).then_some(exposure)
        };
        listeners.into_iter().filter_map(exposure).collect()
    }

    /// What others can read on the way of the admin pages, if somebody can reach those over a network.
    pub fn plain_pages(&self) -> Option<String> {
        let metrics = &self.metrics;
        let is_plain = metrics.enabled && !metrics.tls && !metrics.bind_addr.ip().is_loopback();
        is_plain.then(|| {
            format!(
                "[metrics] bind_addr = \"{}\" can be reached from other machines, and the token and the \
                 pages can be read on the way; add [metrics] tls = true",
                metrics.bind_addr
            )
        })
    }

    /// The listeners that are open without a reason: the broker does not start with them.
    pub fn refused_exposures(&self) -> Vec<Exposure> {
        match self.server.insecure {
            Some(_) => vec![],
            None => self.exposures(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Vec<(&'static str, bool, bool)> {
        let settings =
            Settings::parse("blipmq.toml", text).unwrap_or_else(|error| panic!("{error}"));
        let exposures = settings.exposures();
        let row =
            |exposure: &Exposure| (exposure.table, exposure.lacks_login, exposure.lacks_encryption);
        exposures.iter().map(row).collect()
    }

    const BLIP: &str = "[server]\nbind_addr = \"0.0.0.0:7878\"\n";
    const NATS: &str = "[nats]\nbind_addr = \"10.0.0.7:4222\"\n";
    const TOKEN: &str = "[auth]\ntoken = \"t\"\n";
    const USER: &str = "[[auth.users]]\nuser = \"u\"\npassword = \"p\"\n";
    const TLS: &str = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n";
    const CLIENTS: &str = "client_ca_file = \"ca.pem\"\nclient_certs = ";

    #[test]
    fn a_listener_on_loopback_or_one_that_is_disabled_is_open_to_nobody() {
        for text in [
            "",
            "[server]\nbind_addr = \"[::1]:7878\"\n[nats]\nbind_addr = \"127.0.0.2:4222\"\n",
            "[nats]\nenabled = false\nbind_addr = \"0.0.0.0:4222\"\n",
        ] {
            assert_eq!(open(text), [], "{text}");
        }
    }

    #[test]
    fn a_listener_for_other_machines_needs_a_login_and_encryption() {
        for (text, expected) in [
            (format!("{BLIP}{NATS}"), vec![("server", true, true), ("nats", true, true)]),
            (format!("{BLIP}{TOKEN}"), vec![("server", false, true)]),
            (format!("{NATS}{USER}"), vec![("nats", false, true)]),
            (format!("{BLIP}{TLS}"), vec![("server", true, false)]),
            (format!("{BLIP}{NATS}{TOKEN}{TLS}"), vec![]),
            (format!("{BLIP}{NATS}{USER}{TLS}blip = \"off\"\n"), vec![("server", false, true)]),
            // Somebody chose that clients may do without.
            (format!("{NATS}{USER}{TLS}nats = \"optional\"\n"), vec![]),
            // A certificate is a login, if every client has to show one.
            (format!("{BLIP}{TLS}{CLIENTS}\"required\"\n"), vec![]),
            (format!("{BLIP}{TLS}{CLIENTS}\"optional\"\n"), vec![("server", true, false)]),
            (
                format!("{BLIP}{TLS}{CLIENTS}\"required\"\nblip = \"optional\"\n"),
                vec![("server", true, false)],
            ),
        ] {
            let ordered = |text: &str| {
                // The users of a file come last.
                match text.split_once(USER) {
                    Some((before, behind)) => format!("{before}{behind}{USER}"),
                    None => text.to_owned(),
                }
            };
            assert_eq!(open(&ordered(&text)), expected, "{text}");
        }
    }

    #[test]
    fn pages_for_other_machines_are_read_on_the_way_without_tls() {
        let plain = |text: &str| {
            let settings = Settings::parse("blipmq.toml", text);
            settings.unwrap_or_else(|error| panic!("{error}")).plain_pages()
        };
        let open = "[metrics]\nbind_addr = \"10.0.0.7:9090\"\ntoken = \"t\"\n";
        let text = plain(open).expect("somebody may read the token");
        assert!(text.starts_with("[metrics] bind_addr = \"10.0.0.7:9090\" can be"), "{text}");
        assert_eq!(plain(&format!("{TLS}{open}tls = true\n")), None);
        assert_eq!(plain(&format!("{open}enabled = false\n")), None);
        assert_eq!(plain("[metrics]\ntoken = \"t\"\n"), None, "on loopback");
    }

    #[test]
    fn a_reason_lets_the_broker_start_and_its_refusal_says_both_ways_out() {
        let parse = |text: &str| Settings::parse("blipmq.toml", text).expect("a valid file");
        let refused = parse(BLIP).refused_exposures();
        assert_eq!(
            refused[0].refusal(),
            "[server] bind_addr = \"0.0.0.0:7878\" can be reached from other machines without a login and \
             without encryption; add [auth] and [tls], or, if everybody who can reach this address may do \
             that, write why: [server] insecure = \"...\", or --insecure REASON; 127.0.0.1 is reached from \
             this machine alone"
        );
        let reasoned = parse(&format!("{BLIP}insecure = \"a lab\"\n"));
        assert_eq!((reasoned.refused_exposures(), reasoned.exposures()), (vec![], refused));
    }
}
