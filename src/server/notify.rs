//! Notifications to the supervisor, in systemd's notify protocol, which other supervisors speak too.
//!
//! Used by `server`. Lines go to the datagram socket that `NOTIFY_SOCKET` names; without it there are
//! no notifications. With `WATCHDOG_USEC` the supervisor expects a regular sign that every core does
//! its turns, and restarts a broker with a stuck core.
//!
//! # Always true
//! - The watchdog is fed only after every core has answered in time.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::{Command, Control};
use super::node::Node;
use super::reload::command_all_cores;

/// How long the supervisor's socket may take to accept a line.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer than `drain_timeout_ms` a stop may take.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The supervisor of this process, if there is one.
#[derive(Debug, Clone)]
pub struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
}

impl Supervisor {
    /// The supervisor that the environment names.
    pub fn from_environment() -> Supervisor {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Supervisor { socket: None } };
        match connect(&name) {
            Ok(socket) => Supervisor { socket: Some(Arc::new(socket)) },
            Err(error) => {
                tracing::warn!("cannot notify {}: {error}", name.display());
                Supervisor { socket: None }
            }
        }
    }

    fn send(&self, lines: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::warn!("cannot send {:?} to the supervisor: {error}", lines.lines().next());
        }
    }

    /// Reports that clients can connect.
    pub fn notify_ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports that a reload has begun; `notify_ready` ends it.
    pub fn notify_reloading(&self) {
        let now_us = executors::Now::read().monotonic_ns / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// Reports that the stop has begun, and how long it may take.
    pub fn notify_stopping(&self, drain_timeout: Duration) {
        let within_us = (drain_timeout + STOP_MARGIN).as_micros();
        self.send(&format!(
            "STOPPING=1\nSTATUS=delivering accepted messages\nEXTEND_TIMEOUT_USEC={within_us}"
        ));
    }

    /// Starts the thread that feeds the watchdog, if the supervisor has one. The thread ends with the
    /// process.
    pub fn start_watchdog(&self, node: &Arc<Node>) {
        let variable = |name| env::var(name).ok();
        let interval = watchdog_interval(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        let Some(interval) = interval.filter(|_| self.socket.is_some()) else { return };
        let (supervisor, node) = (self.clone(), node.clone());
        let watch = move || {
            loop {
                let begun = Instant::now();
                supervisor.feed_watchdog(&node.control, interval, !node.is_ready());
                std::thread::sleep(interval.saturating_sub(begun.elapsed()));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch) {
            tracing::error!("cannot start the watchdog: {error}");
        }
    }

    /// Feeds the watchdog if every core answers. During a stop the cores are not asked, because they
    /// end one after the other; then the supervisor's own timeout of the stop applies.
    fn feed_watchdog(&self, control: &Control, timeout: Duration, stopping: bool) {
        let stuck = match stopping {
            true => Vec::new(),
            false => command_all_cores(control, timeout, Command::Ping),
        };
        match stuck.is_empty() {
            true => self.send("WATCHDOG=1"),
            false => tracing::error!(
                cores = ?stuck,
                "cores do not answer within {} ms: the watchdog is not fed",
                timeout.as_millis()
            ),
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

/// How often to feed the watchdog: twice in the time the supervisor allows, and only if the variables
/// are meant for this process.
fn watchdog_interval(usec: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    is_ours.then_some(Duration::from_micros(usec) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::control::channels;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_and_only_by_the_named_process() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_interval(Some("2000000"), None, 7), second);
        assert_eq!(watchdog_interval(Some("2000000"), Some("7"), 7), second);
        assert_eq!(watchdog_interval(Some("2000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(None, Some("7"), 7), None);
        assert_eq!(watchdog_interval(Some("0"), None, 7), None);
        assert_eq!(watchdog_interval(Some("soon"), None, 7), None);
    }

    fn supervised() -> (UnixDatagram, Supervisor) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("a socket option");
        (theirs, Supervisor { socket: Some(Arc::new(ours)) })
    }

    fn received(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    #[test]
    fn the_watchdog_is_not_fed_while_a_core_does_not_answer() {
        let (socket, supervisor) = supervised();
        let (senders, receivers) = channels(2);
        let control = Control::new(senders, |_| {});
        let timeout = Duration::from_millis(20);
        supervisor.feed_watchdog(&control, timeout, false);
        assert_eq!(received(&socket), None);
        let answer = |receiver: std::sync::mpsc::Receiver<Command>| {
            std::thread::spawn(move || {
                for command in receiver {
                    if let Command::Ping(reply) = command {
                        reply(());
                    }
                }
            });
        };
        let mut receivers = receivers.into_iter();
        answer(receivers.next().expect("two cores"));
        supervisor.feed_watchdog(&control, timeout, false);
        assert_eq!(received(&socket), None, "one answers, the other does not");
        answer(receivers.next().expect("two cores"));
        supervisor.feed_watchdog(&control, Duration::from_secs(60), false);
        assert_eq!(received(&socket).as_deref(), Some("WATCHDOG=1"));
    }

    #[test]
    fn cores_are_not_asked_during_a_stop() {
        let (socket, supervisor) = supervised();
        let (senders, receivers) = channels(1);
        drop(receivers);
        let control = Control::new(senders, |_| {});
        supervisor.feed_watchdog(&control, Duration::from_millis(20), true);
        assert_eq!(received(&socket).as_deref(), Some("WATCHDOG=1"));
    }

    #[test]
    fn the_socket_of_the_supervisor_is_a_path_or_abstract() {
        let name = format!("blipmq-notify-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        let listener = UnixDatagram::bind(&path).expect("a path of our own");
        connect(path.as_os_str()).expect("it listens").send(b"READY=1").expect("it listens");
        assert_eq!(received(&listener).as_deref(), Some("READY=1"));
        std::fs::remove_file(&path).expect("it is ours");
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let listener = UnixDatagram::bind_addr(&address).expect("a name of our own");
        let socket = connect(OsStr::new(&format!("@{name}"))).expect("it listens");
        socket.send(b"READY=1").expect("it listens");
        assert_eq!(received(&listener).as_deref(), Some("READY=1"));
    }
}
