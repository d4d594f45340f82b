//! Places for connections: how many there are, for whom, and what keeps none.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use blipmq::protocol::decode::Hello;
use blipmq::protocol::encode;

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, ServerLine};
use crate::support::running::{Broker, cores};
use crate::support::wire::{PATIENCE, Wire};

on_one_and_two_cores! {
    a_refused_connection_keeps_no_place_however_long_its_client_stays,
    an_address_has_no_more_connections_than_it_may,
    an_address_makes_no_more_new_connections_a_second_than_it_may,
    silent_connections_keep_no_client_from_logging_in,
    a_publisher_that_goes_while_it_is_held_up_frees_its_place,
}

const REFUSED: &str = "blipmq_connections_refused_total";

fn one_core() -> String {
    cores(1).expect("there is a core")
}

fn nats_of(broker: &Broker) -> std::net::SocketAddr {
    broker.nats.expect("NATS clients are served")
}

/// Whether a client gets in now.
fn gets_in(broker: &Broker) -> bool {
    let mut wire = Wire::silent(broker.addr);
    let mut hello = Vec::new();
    let anonymous = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
    encode::hello(&mut hello, &anonymous);
    // A refused connection may be closed before it is read.
    std::io::Write::write_all(&mut wire.stream, &hello).is_ok()
        && matches!(wire.try_next(), Ok(Some(frame)) if frame.0[4] == 0x81)
}

fn wait_to_get_in(broker: &Broker) {
    let start_time = Instant::now();
    while !gets_in(broker) {
        assert!(start_time.elapsed() < PATIENCE, "no client gets in");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_refused_connection_keeps_no_place_however_long_its_client_stays(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nmax_connections = 2\n");
    let admitted = [Wire::connect(broker.addr), Wire::connect(broker.addr)];
    let mut refused: Vec<Wire> = (0..20).map(|_| Wire::silent(broker.addr)).collect();
    for wire in &mut refused {
        assert_eq!(wire.expect_fatal(), 4291);
    }
    assert_eq!(broker.metric(REFUSED, "reason=\"limit\""), 20);
    drop(admitted);
    // Well before the refused ones are cut off, if this machine is not very slow.
    wait_to_get_in(&broker);
    drop(refused);
    broker.stop();
}

fn an_address_has_no_more_connections_than_it_may(cores: &str) {
    let config = "[limits]\nmax_connections_per_address = 2\n";
    let broker = Broker::start_with(cores, config);
    let nats = nats_of(&broker);
    let (mut wire, other) = (Wire::connect(broker.addr), Nats::connect(nats));
    assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4291);
    Nats::silent(nats).expect_last_error("maximum connections exceeded");
    assert_eq!(broker.metric(REFUSED, "reason=\"address\""), 2);
    wire.ping();
    drop(other);
    wait_to_get_in(&broker);
    drop(wire);
    broker.stop();
}

/// Method: one a second, and many tries, of which more than one a second would all be admitted.
fn an_address_makes_no_more_new_connections_a_second_than_it_may(cores: &str) {
    let config = "[limits]\nmax_new_connections_per_address = 1\n";
    let broker = Broker::start_with(cores, config);
    let mut first = Wire::connect(broker.addr);
    let start_time = Instant::now();
    let mut admitted = 0;
    for _ in 0..50 {
        admitted += u64::from(gets_in(&broker));
        let mut nats = Nats::silent(nats_of(&broker));
        admitted += u64::from(nats.try_next().is_ok_and(|said| said == Some(ServerLine::Ping)));
        if admitted > 0 {
            break;
        }
    }
    assert!(admitted <= 1 + start_time.elapsed().as_secs(), "{admitted}");
    assert!(broker.metric(REFUSED, "reason=\"address_rate\"") > 0);
    first.ping();
    drop(first);
    broker.stop();
}

/// Goal: connections that say nothing do not hold all places until the login timeout.
/// Method: they take all places there are, at both ports, and the timeout is an hour.
fn silent_connections_keep_no_client_from_logging_in(cores: &str) {
    let config = "[server]\nmax_connections = 40\nauth_timeout_ms = 3_600_000\n";
    let broker = Broker::start_with(cores, config);
    let addresses = [broker.addr, nats_of(&broker)];
    let silent: Vec<TcpStream> = (0..40)
        .map(|number| TcpStream::connect(addresses[number % 2]).expect("the broker listens"))
        .collect();
    broker.wait_for_metric("blipmq_connections_opened_total", "", |opened| opened >= 40);
    wait_to_get_in(&broker);
    let closed = broker.metric(REFUSED, "reason=\"before_login\"");
    assert!((1..40).contains(&closed), "{closed}");
    Nats::connect(nats_of(&broker)).ping();
    drop(silent);
    broker.stop();
}

/// Method: the subscriber takes nothing, and holds its publishers up for an hour.
fn a_publisher_that_goes_while_it_is_held_up_frees_its_place(cores: &str) {
    const BLOCK: u8 = 3;
    let broker = Broker::start_with(cores, "[queues]\nblock_timeout_ms = 3_600_000\n");
    let mut subscriber = Wire::narrow(broker.addr).welcomed();
    subscriber.subscribe_with(1, "held.up", BLOCK, 1);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "held.up");
    let is_paused = |broker: &Broker| {
        let rows = broker.json("/api/v1/connections");
        rows.to_string().contains("\"blocked\"")
    };
    let start_time = Instant::now();
    // No more than that: an end behind bytes that find no room here would not arrive.
    while !is_paused(&broker) {
        assert!(start_time.elapsed() < PATIENCE, "the publisher is not held up");
        publisher.publish(topic, &[&[7; 8 * 1_024]]);
    }
    publisher.finish_writing();
    broker.wait_for_metric("blipmq_connections", "", |connections| connections == 1);
    drop((subscriber, publisher));
    broker.stop();
}

/// Goal: accepting, the admin pages and files go on when clients have all descriptors they may have.
/// Method: the limit of open files is exactly what `max_connections` needs.
#[test]
fn descriptors_are_left_when_clients_have_theirs() {
    const CONNECTIONS: usize = 60;
    let config = "[server]\nmax_connections = 60\n";
    let file = crate::support::running::TempFile::new("full.toml", config.as_bytes());
    let needed = executors::preflight::files_needed(1, CONNECTIONS as u32);
    let mut command = std::process::Command::new("bash");
    let shell = format!("ulimit -n {needed} && exec \"$0\" \"$@\"");
    command.args(["-c", &shell, env!("CARGO_BIN_EXE_blipmq"), "--config", file.path()]);
    command.args(["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
    command.args(["--metrics-bind", "127.0.0.1:0", "--cores", &one_core()]);
    let broker = Broker::from_command(command);
    let wires: Vec<Wire> = (0..CONNECTIONS).map(|_| Wire::connect(broker.addr)).collect();
    let more: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(broker.addr).expect("the broker accepts")).collect();
    broker.wait_for_metric(REFUSED, "reason=\"limit\"", |refused| refused >= 64);
    assert_eq!(broker.get("/healthz").0, 200);
    broker.signal("HUP");
    broker.wait_for_metric("blipmq_config_reloads_total", "applied", |reloads| reloads == 1);
    drop((wires, more));
    wait_to_get_in(&broker);
    broker.stop();
}
