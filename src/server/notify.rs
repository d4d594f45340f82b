//! What a supervisor is told: systemd's notify protocol, which others speak too.
//!
//! Used by `server`. Lines go to the datagram socket that `NOTIFY_SOCKET` names; without it nobody is
//! told anything. With `WATCHDOG_USEC` it is told regularly that every core does its turns, and a broker
//! with a core that does not is restarted.
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
use super::reload::wait_for_all;

/// How long a supervisor may take to take a line.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a stop may take beyond `drain_timeout_ms`.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Whoever supervises this process, if somebody does.
#[derive(Debug, Clone)]
pub struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
}

impl Supervisor {
    /// Whom the environment names.
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

    fn tell(&self, lines: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::warn!("the supervisor was not told {:?}: {error}", lines.lines().next());
        }
    }

    /// Clients can connect.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// A reload has begun; `ready` follows.
    pub fn reloading(&self) {
        let now_us = executors::Now::read().monotonic_ns / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// The stop has begun, and may take so long.
    pub fn stopping(&self, drain_timeout: Duration) {
        let within_us = (drain_timeout + STOP_MARGIN).as_micros();
        self.tell(&format!(
            "STOPPING=1\nSTATUS=delivering what was accepted\nEXTEND_TIMEOUT_USEC={within_us}"
        ));
    }

    /// Tells it from now on that every core runs, as often as it wants to hear it. The thread ends with
    /// the process.
    pub fn watch(&self, node: &Arc<Node>) {
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
                supervisor.feed(&node.control, interval, !node.is_ready());
                std::thread::sleep(interval.saturating_sub(begun.elapsed()));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch) {
            tracing::error!("cannot start the watchdog: {error}");
        }
    }

    /// Feeds the watchdog if every core answers. Cores that stop end one after the other: until they
    /// have, the supervisor's timeout of the stop is what counts.
    fn feed(&self, control: &Control, patience: Duration, stops: bool) {
        let stuck = match stops {
            true => Vec::new(),
            false => wait_for_all(control, patience, Command::Ping),
        };
        match stuck.is_empty() {
            true => self.tell("WATCHDOG=1"),
            false => tracing::error!(
                cores = ?stuck,
                "cores do not answer within {} ms: the watchdog is not fed",
                patience.as_millis()
            ),
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

/// How often to feed the watchdog: twice as often as it wants, and only if it is meant for us.
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
    fn the_watchdog_is_fed_twice_in_its_time_and_only_if_it_is_ours() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_interval(Some("2000000"), None, 7), second);
        assert_eq!(watchdog_interval(Some("2000000"), Some("7"), 7), second);
        assert_eq!(watchdog_interval(Some("2000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(None, Some("7"), 7), None);
        assert_eq!(watchdog_interval(Some("0"), None, 7), None);
        assert_eq!(watchdog_interval(Some("soon"), None, 7), None);
    }

    fn listening() -> (UnixDatagram, Supervisor) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("a socket option");
        (theirs, Supervisor { socket: Some(Arc::new(ours)) })
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    #[test]
    fn the_watchdog_starves_while_a_core_does_not_answer() {
        let (socket, supervisor) = listening();
        let (senders, receivers) = channels(2);
        let control = Control::new(senders, |_| {});
        let patience = Duration::from_millis(20);
        supervisor.feed(&control, patience, false);
        assert_eq!(heard(&socket), None);
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
        supervisor.feed(&control, patience, false);
        assert_eq!(heard(&socket), None, "one answers, the other does not");
        answer(receivers.next().expect("two cores"));
        supervisor.feed(&control, Duration::from_secs(60), false);
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
    }

    #[test]
    fn cores_that_stop_are_not_asked() {
        let (socket, supervisor) = listening();
        let (senders, receivers) = channels(1);
        drop(receivers);
        supervisor.feed(&Control::new(senders, |_| {}), Duration::from_millis(20), true);
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
    }

    #[test]
    fn a_socket_may_be_a_path_or_abstract() {
        let name = format!("blipmq-notify-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        let listener = UnixDatagram::bind(&path).expect("a path of our own");
        connect(path.as_os_str()).expect("it listens").send(b"READY=1").expect("it listens");
        assert_eq!(heard(&listener).as_deref(), Some("READY=1"));
        std::fs::remove_file(&path).expect("it is ours");
        let address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let listener = UnixDatagram::bind_addr(&address).expect("a name of our own");
        let socket = connect(OsStr::new(&format!("@{name}"))).expect("it listens");
        socket.send(b"READY=1").expect("it listens");
        assert_eq!(heard(&listener).as_deref(), Some("READY=1"));
    }
}
