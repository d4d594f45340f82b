//! Files of `[tls]`: a broker that refuses to start or to reload with a wrong one, and what operators are
//! told of them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use serde_json::json;

use super::on_one_and_two_cores;
use crate::support::running::{Broker, allowed_cores, blipmq};

on_one_and_two_cores! {
    a_renewal_is_applied_by_a_reload_and_a_wrong_file_changes_nothing,
    an_expired_certificate_starts_and_is_called_out,
}

/// A folder with a configuration file and its certificates, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("certificates-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let folder = Folder(folder);
        // BLIP/1 in plain text, for clients that only ask whether the broker lives.
        folder.write(
            "blipmq.toml",
            "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\nblip = \"off\"\n",
        );
        folder
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.join(name), content).expect("our own file");
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.0.join(name), mode).expect("our own file");
    }

    /// Writes `a.pem` and `a.key`, valid until the start of this year.
    fn write_certificate(&self, year: i32) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "server");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).expect("valid parameters");
        self.write("a.pem", &certificate.pem());
        self.write("a.key", &key.serialize_pem());
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }

    fn start(&self, cores: &str) -> Command {
        let mut command = blipmq(&["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
        command.args(["--metrics-bind", "127.0.0.1:0", "--cores", cores]);
        // From another folder: paths in the file begin at the file.
        command.args(["--config", &self.path("blipmq.toml")]).current_dir("/");
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn any_core() -> String {
    allowed_cores()[0].to_string()
}

/// The exit status, stdout and stderr of a command that ends.
fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().expect("blipmq starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_broker_with_a_wrong_file_refuses_to_start_and_so_say_check_config_and_doctor() {
    let folder = Folder::new();
    folder.write_certificate(4000);
    folder.set_mode("a.key", 0o644);
    let key = folder.path("a.key");
    let fault = format!(
        "[tls] key_file = \"{key}\": every user of this machine can reach the private key (mode 0644); \
         `chmod 0640 {key}`, with the broker's group"
    );
    let (status, out, err) = ended(folder.start(&any_core()));
    assert_eq!((status, out.as_str(), err.trim()), (Some(1), "", &*format!("blipmq: {fault}")));

    let config = folder.path("blipmq.toml");
    let (status, out, err) = ended(blipmq(&["check-config", &config]));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert_eq!(err.trim(), format!("blipmq: {config}: {fault}"));

    let (status, out, _) = ended(blipmq(&["doctor", "--config", &config]));
    assert_eq!(status, Some(1));
    assert!(out.contains("FAIL") && out.contains(&fault), "{out}");

    folder.set_mode("a.key", 0o640);
    let (status, out, err) = ended(blipmq(&["check-config", &config]));
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let (_, out, _) = ended(blipmq(&["doctor", "--config", &config]));
    let line = out.lines().find(|line| line.contains("certificates")).expect("a check");
    assert!(line.starts_with("OK"), "{line}");
}

#[test]
fn every_wrong_file_is_named_at_once() {
    let folder = Folder::new();
    let (status, out, err) = ended(folder.start(&any_core()));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].contains("cert_file") && lines[0].contains("there is no such file"), "{err}");
    assert!(lines[1].contains("key_file") && lines[1].contains("there is no such file"), "{err}");
}

/// The samples of the metric of certificates.
fn not_after(broker: &Broker) -> Vec<String> {
    let page = broker.page();
    let samples =
        page.lines().filter(|line| line.starts_with("blipmq_tls_certificate_not_after_seconds{"));
    samples.map(str::to_owned).collect()
}

fn a_renewal_is_applied_by_a_reload_and_a_wrong_file_changes_nothing(cores: &str) {
    let folder = Folder::new();
    folder.write_certificate(4000);
    let broker = Broker::from_command(folder.start(cores));
    let sample = |seconds: &str| {
        let file = folder.path("a.pem");
        let labels = format!("{{file=\"{file}\",subject=\"CN=server\"}}");
        vec![format!("blipmq_tls_certificate_not_after_seconds{labels} {seconds}")]
    };
    let (first, second) = ("64060588800", "95617584000");
    assert_eq!(not_after(&broker), sample(first));
    let outcome = super::reload::reloaded(&broker);
    assert_eq!(outcome["applied"], json!([]), "no file has changed");

    let before = std::fs::read_to_string(folder.path("a.key")).expect("our own file");
    folder.write_certificate(5000);
    let after = std::fs::read_to_string(folder.path("a.key")).expect("our own file");
    // As if certbot had been interrupted between its two files.
    folder.write("a.key", &before);
    let outcome = super::reload::reloaded(&broker);
    assert_eq!(outcome["outcome"], "refused");
    let error = outcome["errors"][0].as_str().expect("an error");
    assert!(error.contains("the private key does not belong to the certificate in"), "{error}");
    assert_eq!(not_after(&broker), sample(first), "nothing has changed");

    folder.write("a.key", &after);
    let outcome = super::reload::reloaded(&broker);
    assert_eq!(
        (&outcome["outcome"], &outcome["applied"]),
        (&json!("applied"), &json!(["the files of tls"]))
    );
    assert_eq!(not_after(&broker), sample(second));
}

fn an_expired_certificate_starts_and_is_called_out(cores: &str) {
    let folder = Folder::new();
    folder.write_certificate(2002);
    let broker = Broker::from_command(folder.start(cores));
    assert_eq!(not_after(&broker).len(), 1);
    let config = folder.path("blipmq.toml");
    let (status, _, err) = ended(blipmq(&["check-config", &config]));
    let claim = "the certificate of CN=server expired, and clients refuse it since 2002-01-01T00:00:00Z; \
                 replace the file, then `blipmq reload`";
    assert_eq!(status, Some(0), "{err}");
    assert!(err.contains(claim), "{err}");
    let (status, out, _) = ended(blipmq(&["doctor", "--config", &config]));
    assert!(status == Some(1) && out.contains(claim), "{out}");
    let log = broker.stop();
    let line = log.lines().find(|line| line.contains(claim)).expect("a line of the log");
    assert!(line.contains("ERROR"), "{line}");
}
