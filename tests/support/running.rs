//! The real binary as a process: started on free ports, stopped by its handle, killed when dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wire::PATIENCE;

/// The CPUs that this process may use.
pub fn allowed_cores() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("every Linux has this line");
    blipmq::config::parse_cores(list.trim()).expect("a list such as 0-3,6")
}

/// The value of `--cores` for `count` cores, if this process may use as many.
pub fn cores(count: usize) -> Option<String> {
    let allowed = allowed_cores();
    if allowed.len() < count {
        eprintln!("SKIPPED: the test needs {count} cores, this process may use {}", allowed.len());
        return None;
    }
    Some(allowed[..count].iter().map(usize::to_string).collect::<Vec<_>>().join(","))
}

/// A temporary file, removed when dropped.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, bytes: &[u8]) -> TempFile {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = format!("blipmq-test-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, bytes).expect("a file can be written");
        TempFile(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn blipmq(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blipmq"));
    command.args(words).stdin(Stdio::null()).env_remove("SSLKEYLOGFILE");
    for name in ["SERVER", "TOKEN", "USER", "TLS", "TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_NAME"] {
        command.env_remove(format!("BLIPMQ_{name}"));
    }
    command
}

/// A process that is killed and reaped when dropped.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        Running { child: command.spawn().expect("the process starts") }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
        assert!(status.success(), "the process is there");
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let start_time = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child process") {
                return status;
            }
            assert!(start_time.elapsed() < PATIENCE, "the process does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that is ready for clients.
pub struct Broker {
    pub addr: SocketAddr,
    /// The address for NATS clients, if they are served.
    pub nats: Option<SocketAddr>,
    /// The address of the admin pages, if they are served.
    pub metrics: Option<SocketAddr>,
    /// The ready line.
    pub ready: String,
    running: Running,
    stderr: Option<JoinHandle<String>>,
    _config: Option<TempFile>,
}

impl Broker {
    /// Starts a broker on these cores, with the defaults.
    pub fn start(cores: &str) -> Broker {
        Broker::start_with(cores, "")
    }

    /// Starts a broker on these cores, with a configuration file of this text unless the text is empty.
    pub fn start_with(cores: &str, config: &str) -> Broker {
        let config = (!config.is_empty()).then(|| TempFile::new("broker.toml", config.as_bytes()));
        let mut words = vec!["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"];
        words.extend(["--metrics-bind", "127.0.0.1:0"]);
        words.extend(["--cores", cores]);
        if let Some(file) = &config {
            words.extend(["--config", file.path()]);
        }
        let mut broker = Broker::from_command(blipmq(&words));
        broker._config = config;
        broker
    }

    /// Starts the command of a broker, and waits until the broker is ready.
    pub fn from_command(mut command: Command) -> Broker {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(command);
        let stdout = running.child.stdout.take().expect("a piped stream");
        let mut stderr = running.child.stderr.take().expect("a piped stream");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("UTF-8 output");
            text
        });
        let (sender, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            stdout.read_line(&mut line).expect("UTF-8 output");
            let _ = sender.send(line);
            // The broker must never block on a full pipe.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let ready = ready.recv_timeout(PATIENCE).expect("the broker is ready, or ends");
        if ready.is_empty() {
            drop(running);
            panic!("the broker did not start: {}", stderr.join().expect("stderr ends"));
        }
        let address_after = |words: &str| {
            let (_, rest) = ready.split_once(words)?;
            rest.split([',', '/']).next()?.trim().parse().ok()
        };
        let addr = address_after(" is ready on ").expect("the ready line has the address");
        let nats = address_after("NATS on ");
        let metrics =
            address_after("metrics on http://").or_else(|| address_after("metrics on https://"));
        Broker { addr, nats, metrics, ready, running, stderr: Some(stderr), _config: None }
    }

    pub fn server(&self) -> String {
        self.addr.to_string()
    }

    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Waits for the end; returns the status and the text of stderr.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.running.wait();
        let stderr = self.stderr.take().expect("taken once").join().expect("stderr ends");
        (status, stderr)
    }

    /// Sends SIGTERM and asserts a clean end; returns the text of stderr.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (status, stderr) = self.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        stderr
    }

    /// Resident memory of the process.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.running.child.id());
        let status = std::fs::read_to_string(path).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.expect("every Linux has this line").trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("a number") * 1_024
    }

    /// The metrics page.
    pub fn page(&self) -> String {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200, "{page}");
        page
    }

    /// Status and body of an admin page.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.metrics.expect("the pages are served"))
            .expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the peer reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the broker answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// An admin page that is JSON.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The sum of a metric over all cores; `label` is part of its line, or empty.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let page = self.page();
        let of_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(label)
        };
        let values = page.lines().filter(of_it).map(|line| {
            line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number") as u64
        });
        let values: Vec<u64> = values.collect();
        assert!(!values.is_empty(), "there is no {name} {label} in {page}");
        values.iter().sum()
    }

    /// Waits until a metric has the wanted value.
    pub fn wait_for_metric(&self, name: &str, label: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let start_time = Instant::now();
        loop {
            let found = self.metric(name, label);
            if wanted(found) {
                return found;
            }
            assert!(start_time.elapsed() < PATIENCE, "{name} {label} stays {found}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the process has at most so many bytes in memory.
    pub fn wait_for_resident_bytes(&self, bytes_max: u64) {
        let start_time = Instant::now();
        loop {
            let found = self.resident_bytes();
            if found <= bytes_max {
                return;
            }
            assert!(start_time.elapsed() < 3 * PATIENCE, "{found} bytes of {bytes_max} stay");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
