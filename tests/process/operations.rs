//! The surroundings of a broker: supervisor, log, and a stdout, stderr or disk that accepts no data.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use blipmq::protocol::decode::Hello;
use blipmq::protocol::encode;
use serde_json::Value;

use crate::support::nats::Nats;
use crate::support::running::{Broker, Running, TempFile, blipmq, cores};
use crate::support::wire::{PATIENCE, Wire};

const FREE_PORTS: [&str; 6] =
    ["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0"];

fn one_core() -> String {
    cores(1).expect("there is a core")
}

fn command() -> Command {
    let mut command = blipmq(&FREE_PORTS);
    command.args(["--cores", &one_core()]);
    command
}

// --- supervisors ---

/// A socket that plays systemd; gone when dropped.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn listen(name: &str) -> Supervisor {
        let file = format!("blipmq-test-{}-{name}.sock", std::process::id());
        let path = std::env::temp_dir().join(file);
        let socket = UnixDatagram::bind(&path).expect("a path of our own");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Supervisor { socket, path }
    }

    /// The next notification, without those of the watchdog.
    fn receive(&self) -> String {
        loop {
            let mut bytes = [0; 4_096];
            let len = self.socket.recv(&mut bytes).expect("the broker notifies");
            let text = std::str::from_utf8(&bytes[..len]).expect("UTF-8 output");
            if text != "WATCHDOG=1" {
                return text.to_owned();
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_supervisor_is_notified_of_the_start_a_reload_and_the_stop() {
    let supervisor = Supervisor::listen("notified");
    let file = TempFile::new("notified.toml", b"[server]\ndrain_timeout_ms = 3_000\n");
    let mut command = command();
    command.env("NOTIFY_SOCKET", &supervisor.path).args(["--config", file.path()]);
    let broker = Broker::from_command(command);
    let ready = supervisor.receive();
    assert_eq!(ready.lines().next(), Some("READY=1"));
    assert!(ready.contains(&format!("\nSTATUS=ready on {}", broker.addr)), "{ready}");
    std::fs::write(&file.0, "[server]\ndrain_timeout_ms = 4_000\n").expect("our own file");
    broker.signal("HUP");
    let reloading = supervisor.receive();
    let since =
        reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the fields of systemd");
    assert!(since.parse::<u64>().expect("microseconds") > 0);
    let again = supervisor.receive();
    assert_eq!(again, "READY=1\nSTATUS=reload applied: applied server.drain_timeout_ms");
    broker.signal("TERM");
    let stopping = supervisor.receive();
    assert_eq!(stopping.lines().next(), Some("STOPPING=1"));
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=9000000"), "{stopping}");
    assert_eq!(broker.wait().0.code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_as_long_as_the_cores_run() {
    let supervisor = Supervisor::listen("watchdog");
    let mut command = command();
    command.env("NOTIFY_SOCKET", &supervisor.path).env("WATCHDOG_USEC", "100000");
    let broker = Broker::from_command(command);
    let mut bytes = [0; 64];
    let mut fed = 0;
    while fed < 3 {
        let len = supervisor.socket.recv(&mut bytes).expect("the broker feeds it");
        fed += u32::from(bytes[..len] == *b"WATCHDOG=1");
    }
    broker.stop();
}

// --- the log ---

#[test]
fn the_log_is_json_if_configured_and_its_level_changes_with_a_reload() {
    let config = "[auth]\ntoken = \"t0ken\"\n[logging]\nformat = \"json\"\n";
    let file = TempFile::new("json.toml", config.as_bytes());
    let mut command = command();
    command.args(["--config", file.path()]);
    let broker = Broker::from_command(command);
    let mut wire = Wire::silent(broker.addr);
    wire.send(|out| {
        encode::hello(
            out,
            &Hello { auth_kind: 1, client_name: "test", user: "wr0ng", password: "" },
        );
    });
    assert_eq!(wire.expect_fatal(), 4010);
    std::fs::write(&file.0, format!("{config}level = \"debug\"\n")).expect("our own file");
    broker.signal("HUP");
    let reloads =
        |broker: &Broker| broker.json("/api/v1/status")["configuration"]["reloads"].clone();
    while reloads(&broker) != 1 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    drop(Wire::silent(broker.addr));
    broker.wait_for_metric("blipmq_connections_closed_total", "", |closed| closed == 2);
    let stderr = broker.stop();
    assert!(!stderr.contains("t0ken") && !stderr.contains("wr0ng"), "{stderr}");
    let lines: Vec<Value> = stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let found = |words: &str| {
        let message =
            |line: &&Value| line["message"].as_str().is_some_and(|text| text.contains(words));
        lines.iter().find(message).unwrap_or_else(|| panic!("no {words:?} in {stderr}"))
    };
    assert_eq!(found("ready on ")["version"], env!("CARGO_PKG_VERSION"));
    let refused = found("login refused");
    assert_eq!(refused["level"], "INFO");
    let address: SocketAddr = refused["address"].as_str().unwrap().parse().expect("an address");
    assert!(address.ip().is_loopback());
    assert!(found("reloaded: ")["message"].as_str().unwrap().contains("logging.level"));
    // At level debug each connection is logged.
    assert_eq!(found("closed")["level"], "DEBUG");
    assert_eq!(lines.iter().filter(|line| line["message"] == "connected").count(), 1, "{stderr}");
}

#[test]
fn a_storm_of_refused_logins_logs_few_lines_and_their_number() {
    const LOGINS: usize = 500;
    let broker = Broker::start_with(&one_core(), "[auth]\ntoken = \"t0ken\"\n");
    let nats = broker.nats.expect("the listener is enabled");
    for _ in 0..LOGINS {
        let mut client = Nats::silent(nats);
        client.send("CONNECT {\"verbose\":false}\r\n");
        client.expect_last_error("Authorization Violation");
    }
    broker.wait_for_metric("blipmq_connections_closed_total", "", |closed| closed == LOGINS as u64);
    let start_time = std::time::Instant::now();
    let stderr = broker.stop();
    let lines = stderr.lines().filter(|line| line.contains("login refused")).count();
    assert!(lines < LOGINS / 2, "{lines} lines, {:?}: {stderr}", start_time.elapsed());
    assert!(stderr.contains(" more like: login refused"), "{stderr}");
}

// --- stdout, stderr and the disk ---

/// A broker whose stdout and stderr nobody reads, so that only its address is known.
struct Unread {
    running: Running,
    addr: SocketAddr,
}

/// Starts a broker at a free port.
fn start(stdout: Stdio, stderr: Stdio, words: &[&str]) -> Unread {
    let addr = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("a bound listener")
    };
    let mut command = blipmq(&["--bind", &addr.to_string()]);
    command.args(&FREE_PORTS[2..]).args(["--cores", &one_core()]).args(words);
    let running = Running::start({
        command.stdout(stdout).stderr(stderr);
        command
    });
    let start_time = std::time::Instant::now();
    while std::net::TcpStream::connect(addr).is_err() {
        assert!(start_time.elapsed() < PATIENCE, "the broker does not listen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Unread { running, addr }
}

/// Asserts that the broker serves many clients, each of which is logged, and stops on SIGTERM.
fn assert_serves_and_stops(mut broker: Unread) {
    for number in 0..50 {
        let mut wire = Wire::connect(broker.addr);
        wire.subscribe(1, "a");
        wire.open_and_publish(2, "a", &[format!("{number}").as_bytes()]);
        while wire.expect().messages().is_none() {}
    }
    broker.running.signal("HUP");
    broker.running.signal("TERM");
    assert_eq!(broker.running.wait().code(), Some(0));
}

/// A full pipe: the end that nobody reads, and the end that accepts no more data.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // The size of a pipe on Linux, unless its user has very many pipes.
    let path = "/proc/sys/fs/pipe-max-size";
    assert!(std::fs::metadata(path).is_ok(), "this is Linux");
    writer.write_all(&[b'x'; 65_536]).expect("the pipe has room");
    (reader, writer)
}

#[test]
fn a_stderr_that_accepts_no_data_does_not_stop_the_broker() {
    let debug = TempFile::new("debug.toml", b"[logging]\nlevel = \"debug\"\n");
    let words = ["--config", debug.path()];
    let (reader, writer) = full_pipe();
    assert_serves_and_stops(start(Stdio::null(), writer.into(), &words));
    drop(reader);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_serves_and_stops(start(Stdio::null(), writer.into(), &words));
    let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has this file");
    assert_serves_and_stops(start(Stdio::null(), full.into(), &words));
}

#[test]
fn a_stdout_that_accepts_no_data_does_not_stop_the_broker_and_is_logged() {
    let (reader, writer) = full_pipe();
    let closed = {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has this file");
    let stdouts: [Stdio; 3] = [writer.into(), closed.into(), full.into()];
    for stdout in stdouts {
        let log = TempFile::new("log", b"");
        let stderr = File::create(&log.0).expect("our own file");
        assert_serves_and_stops(start(stdout, stderr.into(), &[]));
        let mut text = String::new();
        File::open(&log.0)
            .and_then(|mut file| file.read_to_string(&mut text))
            .expect("our own file");
        assert!(text.contains("cannot print the ready line on stdout"), "{text}");
    }
    drop(reader);
}

/// Goal: the broker does not depend on a disk that may be full or read-only.
/// Method: the kernel refuses every byte that the process would write to a file.
#[test]
fn the_broker_writes_no_file() {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 0 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_blipmq")]);
    command.args(FREE_PORTS).args(["--cores", &one_core()]).stdin(Stdio::null());
    let broker = Broker::from_command(command);
    let mut wire = Wire::connect(broker.addr);
    wire.subscribe(1, "a");
    wire.open_and_publish(2, "a", &[&[7; 10_000]]);
    while wire.expect().messages().is_none() {}
    drop(wire);
    broker.stop();
}

#[test]
fn the_error_of_an_unreadable_configuration_has_its_path_and_the_reason() {
    let folder = std::env::temp_dir();
    let folder = folder.to_str().expect("a plain path");
    let error_of = |mut command: Command| {
        let output = command.output().expect("the process starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("UTF-8 output")
    };
    let error = error_of(blipmq(&["--config", folder]));
    assert!(error.contains(&format!("cannot read configuration {folder}: ")), "{error}");
    let latin1 = TempFile::new("latin1.toml", b"[auth]\ntoken = \"\xe9\"\n");
    let error = error_of(blipmq(&["--config", latin1.path()]));
    assert!(error.contains(latin1.path()) && error.contains("UTF-8"), "{error}");
    let secret = TempFile::new("secret.toml", b"[server]\n");
    let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&secret.0, nobody).expect("our own file");
    // Root reads everything.
    if File::open(&secret.0).is_err() {
        let error = error_of(blipmq(&["--config", secret.path()]));
        assert!(error.contains(secret.path()) && error.contains("permissions"), "{error}");
    }
}
