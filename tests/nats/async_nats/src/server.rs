//! Starts the broker of a test, like ../clients/server.py, which has more comments.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use crate::PATIENCE;

/// A running broker, killed when dropped.
pub struct Server {
    kind: String,
    auth: &'static str,
    port: Option<u16>,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

/// The folder of certificates that ../../run.py has made.
pub fn certificates() -> String {
    env::var("CERTIFICATES").unwrap_or_default()
}

/// Starts a broker and waits until clients can connect. `auth` is a file of ../../servers.
pub fn start(auth: &'static str) -> Server {
    let mut server = Server {
        kind: env::var("SERVER").unwrap_or("blipmq".into()),
        auth,
        port: None,
        folder: tempfile::tempdir().expect("a folder for the configuration"),
        process: None,
    };
    server.run();
    server
}

impl Server {
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.expect("a running broker"))
    }

    fn run(&mut self) {
        let mut process = self.command().spawn().expect("the binary can be run");
        let (sender, lines) = channel();
        read_lines(process.stdout.take().expect("it is piped"), sender.clone());
        read_lines(process.stderr.take().expect("it is piped"), sender);
        // From here on the process is killed in any case.
        self.process = Some(process);
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            let rest = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(line) = lines.recv_timeout(rest) else {
                panic!("{} is not ready; it said:\n{said}", self.kind);
            };
            said += &line;
            said.push('\n');
            if let (true, Some(port)) = (said.contains(" is ready"), port(&said)) {
                self.port = Some(port);
                return;
            }
        }
    }

    fn command(&self) -> Command {
        let nats = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let blip = self.kind == "blipmq";
        let file = format!("{}.{}", self.auth, if blip { "toml" } else { "conf" });
        // nats-server has -1 for a port that the system chooses.
        let any = if blip { "0" } else { "-1" };
        let port = self.port.map_or(any.into(), |port| port.to_string());
        let template = nats.join("servers").join(&self.kind).join(&file);
        let template = fs::read_to_string(template).expect("the template is there");
        let config = self.folder.path().join(file);
        let text = template.replace("@PORT@", &port).replace("@CERTIFICATES@", &certificates());
        fs::write(&config, text).expect("it can be written");
        let mut command = if blip {
            let built = nats.join("../../target/debug/blipmq");
            let mut command = Command::new(env::var_os("BLIPMQ").map_or(built, PathBuf::from));
            command.arg("serve");
            command
        } else {
            Command::new(env::var_os("NATS_SERVER").unwrap_or("nats-server".into()))
        };
        command.arg("--config").arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) {
        let process = self.process.as_ref().expect("a running broker");
        let pid = process.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(status.expect("kill is there").success());
        let mut process = self.process.take().expect("a running broker");
        process.wait().expect("it ends");
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it ends");
        }
    }

    /// Starts the same broker again on the same port.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it is running still");
        self.run();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads to the end, also without a receiver of the lines, so that the broker never blocks on a full pipe.
fn read_lines(output: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
}

/// The port in the line that is printed when clients can connect.
fn port(said: &str) -> Option<u16> {
    let after = |phrase| said.split_once(phrase).map(|(_, rest)| rest);
    let rest = after("NATS on 127.0.0.1:").or(after("client connections on 127.0.0.1:"))?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}
