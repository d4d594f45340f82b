//! Silent connections: sent PING, and closed if they do not answer.

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, ServerLine};
use crate::support::running::Broker;
use crate::support::wire::Wire;

on_one_and_two_cores! {
    a_client_that_answers_ping_stays_and_a_silent_one_is_closed,
    a_client_without_connect_in_time_gets_an_error_and_is_closed_if_a_login_is_required,
    a_client_without_connect_stays_if_no_login_is_required,
}

/// Method: one client answers six PINGs, while the silent ones get as many as configured; before CONNECT
/// the same applies.
fn a_client_that_answers_ping_stays_and_a_silent_one_is_closed(cores: &str) {
    let broker = Broker::start_with(cores, "[nats]\nping_interval_ms = 200\npings_max = 4\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut silent = Nats::connect(addr);
    silent.subscribe("alive", "1");
    let mut unborn = Nats::silent(addr);
    let mut lasting = Nats::connect(addr);
    for _ in 0..6 {
        assert_eq!(lasting.expect(), ServerLine::Ping);
        lasting.send("PONG\r\n");
    }
    for nats in [&mut silent, &mut unborn] {
        for _ in 0..4 {
            assert_eq!(nats.expect(), ServerLine::Ping);
        }
        nats.expect_last_error("Stale Connection");
    }
    lasting.send("PONG\r\nSUB alive 1\r\nPUB alive 1\r\nx\r\n");
    loop {
        match lasting.expect() {
            ServerLine::Ping => lasting.send("PONG\r\n"),
            ServerLine::Message(message) => break assert_eq!(message.text(), "x"),
            other => panic!("the message was due, got {other:?}"),
        }
    }
    drop((silent, unborn, lasting));
    broker.stop();
}

fn a_client_without_connect_in_time_gets_an_error_and_is_closed_if_a_login_is_required(
    cores: &str,
) {
    let config = "[server]\nauth_timeout_ms = 500\n[auth]\ntoken = \"t0ken\"\n";
    let broker = Broker::start_with(cores, config);
    let addr = broker.nats.expect("NATS clients are served");
    let mut in_time = Nats::connect_as(addr, r#"{"verbose":false,"auth_token":"t0ken"}"#);
    let mut silent = Nats::silent(addr);
    let mut slow = Nats::silent(addr);
    slow.send("CONNECT {\"auth_to");
    silent.expect_last_error("Authentication Timeout");
    slow.expect_last_error("Authentication Timeout");
    in_time.ping();
    drop((in_time, silent, slow));
    broker.stop();
}

/// Method: a BLIP/1 connection that came later is cut off; the NATS one is served after that.
fn a_client_without_connect_stays_if_no_login_is_required(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nauth_timeout_ms = 100\n");
    let mut nats = Nats::silent(broker.nats.expect("NATS clients are served"));
    assert_eq!(nats.info.get("auth_required"), None);
    let mut others: Vec<Wire> = (0..4).map(|_| Wire::silent(broker.addr)).collect();
    for other in &mut others {
        assert_eq!(other.expect_fatal(), 4010);
    }
    nats.send("SUB early 1\r\n");
    assert_eq!(nats.expect(), ServerLine::Ok, "without CONNECT every command is answered");
    nats.ping();
    drop((nats, others));
    broker.stop();
}
