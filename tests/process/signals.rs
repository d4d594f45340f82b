//! Signals that ask the broker for nothing, and a log that cannot be written.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::support::running::{Broker, TempFile, cores};
use crate::support::wire::Wire;

fn one_core() -> String {
    cores(1).expect("there is a core")
}

/// The command of a broker behind a line of a shell.
fn behind(shell: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_blipmq")]);
    command.args(["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
    command.args(["--metrics-bind", "127.0.0.1:0", "--cores", &one_core()]).stdin(Stdio::null());
    command
}

fn reload(broker: &Broker) {
    let reloads = "blipmq_config_reloads_total";
    let before = broker.metric(reloads, "");
    broker.signal("HUP");
    broker.wait_for_metric(reloads, "", |found| found > before);
}

/// Goal: what rotates logs of other servers, and what the kernel sends for a write that fails, ends nothing.
/// SIGHUP of a terminal that was closed is a reload like any other.
#[test]
fn signals_that_ask_for_nothing_and_a_closed_terminal_leave_the_broker_running() {
    let broker = Broker::start(&one_core());
    for signal in ["USR1", "XFSZ", "PIPE", "TTOU"] {
        broker.signal(signal);
        Wire::connect(broker.addr).ping();
    }
    reload(&broker);
    Wire::connect(broker.addr).ping();
    let stderr = broker.stop();
    assert!(stderr.contains("SIGUSR1: the log goes to stderr"), "{stderr}");
}

/// Goal: `nohup` and the like, which have a process ignore signals, take no command away.
#[test]
fn a_broker_started_with_its_signals_ignored_is_reloaded_and_stopped_by_them() {
    let broker = Broker::from_command(behind("trap '' HUP USR1 USR2 TERM"));
    reload(&broker);
    broker.stop();
}

/// Method: the kernel refuses every byte for a file, with SIGXFSZ.
#[test]
fn a_log_at_the_limit_of_its_file_is_counted_and_stops_nothing() {
    let log = TempFile::new("full.log", b"");
    // A shell's own redirection, so that `stderr` of the broker is the file.
    let broker = Broker::from_command({
        let mut command = behind("exec 2>>\"$LOG\"; ulimit -f 0");
        command.env("LOG", log.path());
        command
    });
    let lost = "blipmq_log_lines_lost_total";
    // The line about the start.
    let before = broker.wait_for_metric(lost, "", |lost| lost > 0);
    broker.signal("USR1");
    broker.wait_for_metric(lost, "", |lost| lost > before);
    Wire::connect(broker.addr).ping();
    broker.stop();
    assert_eq!(File::open(&log.0).and_then(|file| file.metadata()).expect("our own file").len(), 0);
}
