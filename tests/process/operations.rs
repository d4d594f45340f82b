//! What surrounds a broker: its supervisor, its log, and a stdout, stderr or disk that takes nothing.

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

    /// What it is told next, watchdogs left out.
    fn hears(&self) -> String {
        loop {
            let mut bytes = [0; 4_096];
            let len = self.socket.recv(&mut bytes).expect("the broker tells something");
            let text = std::str::from_utf8(&bytes[..len]).expect("its words are UTF-8");
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
fn a_supervisor_is_told_of_the_start_a_reload_and_the_stop() {
    let supervisor = Supervisor::listen("told");
    let file = TempFile::new("told.toml", b"[server]\ndrain_timeout_ms = 3_000\n");
    let mut command = command();
    command.env("NOTIFY_SOCKET", &supervisor.path).args(["--config", file.path()]);
    let broker = Broker::from_command(command);
    let ready = supervisor.hears();
    assert_eq!(ready.lines().next(), Some("READY=1"));
    assert!(ready.contains(&format!("\nSTATUS=ready on {}", broker.addr)), "{ready}");
    std::fs::write(&file.0, "[server]\ndrain_timeout_ms = 4_000\n").expect("it is ours");
    broker.signal("HUP");
    let reloading = supervisor.hears();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("what systemd wants");
    assert!(since.parse::<u64>().expect("microseconds") > 0);
    let again = supervisor.hears();
    assert_eq!(again, "READY=1\nSTATUS=reload applied: applied server.drain_timeout_ms");
    broker.signal("TERM");
    let stopping = supervisor.hears();
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
fn the_log_is_json_where_that_is_asked_for_and_its_level_changes_with_a_reload() {
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
    std::fs::write(&file.0, format!("{config}level = \"debug\"\n")).expect("it is ours");
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
    // Each connection is told of since.
    assert_eq!(found("closed")["level"], "DEBUG");
    assert_eq!(lines.iter().filter(|line| line["message"] == "connected").count(), 1, "{stderr}");
}

#[test]
fn a_storm_of_refused_logins_leaves_few_lines_and_their_number() {
    const LOGINS: usize = 500;
    let broker = Broker::start_with(&one_core(), "[auth]\ntoken = \"t0ken\"\n");
    let nats = broker.nats.expect("it is served");
    for _ in 0..LOGINS {
        let mut client = Nats::silent(nats);
        client.say("CONNECT {\"verbose\":false}\r\n");
        client.expect_last_error("Authorization Violation");
    }
    broker.wait_for_metric("blipmq_connections_closed_total", "", |closed| closed == LOGINS as u64);
    let begun = std::time::Instant::now();
    let stderr = broker.stop();
    let lines = stderr.lines().filter(|line| line.contains("login refused")).count();
    assert!(lines < LOGINS / 2, "{lines} lines, {:?}: {stderr}", begun.elapsed());
    assert!(stderr.contains(" more like: login refused"), "{stderr}");
}

// --- stdout, stderr and the disk ---

/// A broker of which only the addresses are known, because nobody reads its stdout or stderr.
struct Unheard {
    running: Running,
    addr: SocketAddr,
}

/// Starts it at a port of its own; tells nothing but that.
fn unheard(stdout: Stdio, stderr: Stdio, words: &[&str]) -> Unheard {
    let addr = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("it listens")
    };
    let mut command = blipmq(&["--bind", &addr.to_string()]);
    command.args(&FREE_PORTS[2..]).args(["--cores", &one_core()]).args(words);
    let running = Running::start({
        command.stdout(stdout).stderr(stderr);
        command
    });
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(addr).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Unheard { running, addr }
}

/// It serves many clients, each of which is logged, and stops when it is told to.
fn serves_and_stops(mut unheard: Unheard) {
    for number in 0..50 {
        let mut wire = Wire::connect(unheard.addr);
        wire.subscribe(1, "a");
        wire.open_and_publish(2, "a", &[format!("{number}").as_bytes()]);
        while wire.expect().messages().is_none() {}
    }
    unheard.running.signal("HUP");
    unheard.running.signal("TERM");
    assert_eq!(unheard.running.wait().code(), Some(0));
}

/// A pipe that takes nothing more, and the end that nobody reads.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // What every pipe of Linux holds, unless its user has very many.
    let path = "/proc/sys/fs/pipe-max-size";
    assert!(std::fs::metadata(path).is_ok(), "this is Linux");
    writer.write_all(&[b'x'; 65_536]).expect("it has room");
    (reader, writer)
}

#[test]
fn a_stderr_that_takes_nothing_stops_nothing() {
    let debug = TempFile::new("debug.toml", b"[logging]\nlevel = \"debug\"\n");
    let words = ["--config", debug.path()];
    let (reader, writer) = full_pipe();
    serves_and_stops(unheard(Stdio::null(), writer.into(), &words));
    drop(reader);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    serves_and_stops(unheard(Stdio::null(), writer.into(), &words));
    let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    serves_and_stops(unheard(Stdio::null(), full.into(), &words));
}

#[test]
fn a_stdout_that_takes_nothing_stops_nothing_and_is_told() {
    let (reader, writer) = full_pipe();
    let closed = {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    let stdouts: [Stdio; 3] = [writer.into(), closed.into(), full.into()];
    for stdout in stdouts {
        let log = TempFile::new("log", b"");
        let stderr = File::create(&log.0).expect("it is ours");
        serves_and_stops(unheard(stdout, stderr.into(), &[]));
        let mut text = String::new();
        File::open(&log.0).and_then(|mut file| file.read_to_string(&mut text)).expect("it is ours");
        assert!(text.contains("cannot print the ready line on stdout"), "{text}");
    }
    drop(reader);
}

/// Goal: a disk that is full or read-only is nothing to the broker.
/// Method: the kernel refuses this process every byte it would write to a file.
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
fn a_configuration_that_cannot_be_read_is_told_with_its_path_and_why() {
    let folder = std::env::temp_dir();
    let folder = folder.to_str().expect("a plain path");
    let told = |mut command: Command| {
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("its words are UTF-8")
    };
    let error = told(blipmq(&["--config", folder]));
    assert!(error.contains(&format!("cannot read configuration {folder}: ")), "{error}");
    let latin1 = TempFile::new("latin1.toml", b"[auth]\ntoken = \"\xe9\"\n");
    let error = told(blipmq(&["--config", latin1.path()]));
    assert!(error.contains(latin1.path()) && error.contains("UTF-8"), "{error}");
    let secret = TempFile::new("secret.toml", b"[server]\n");
    let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&secret.0, nobody).expect("it is ours");
    // Root reads everything.
    if File::open(&secret.0).is_err() {
        let error = told(blipmq(&["--config", secret.path()]));
        assert!(error.contains(secret.path()) && error.contains("permissions"), "{error}");
    }
}
