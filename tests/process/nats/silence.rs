//! Connections that are silent: asked, and closed if they stay so.

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, Said};
use crate::support::running::Broker;
use crate::support::wire::Wire;

on_one_and_two_cores! {
    who_answers_ping_stays_and_who_is_silent_is_closed,
    who_says_no_connect_in_time_is_told_and_cut_off_if_credentials_are_needed,
    who_needs_no_credentials_may_take_its_time,
}

/// Method: one answers six PINGs, in which time others were asked as often as may be; before CONNECT
/// it is no different.
fn who_answers_ping_stays_and_who_is_silent_is_closed(cores: &str) {
    let broker = Broker::start_with(cores, "[nats]\nping_interval_ms = 200\npings_max = 4\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut silent = Nats::connect(addr);
    silent.subscribe("alive", "1");
    let mut unborn = Nats::silent(addr);
    let mut lasting = Nats::connect(addr);
    for _ in 0..6 {
        assert_eq!(lasting.expect(), Said::Ping);
        lasting.say("PONG\r\n");
    }
    for nats in [&mut silent, &mut unborn] {
        for _ in 0..4 {
            assert_eq!(nats.expect(), Said::Ping);
        }
        nats.expect_last_error("Stale Connection");
    }
    lasting.say("PONG\r\nSUB alive 1\r\nPUB alive 1\r\nx\r\n");
    loop {
        match lasting.expect() {
            Said::Ping => lasting.say("PONG\r\n"),
            Said::Message(message) => break assert_eq!(message.text(), "x"),
            other => panic!("the message was due, got {other:?}"),
        }
    }
    drop((silent, unborn, lasting));
    broker.stop();
}

fn who_says_no_connect_in_time_is_told_and_cut_off_if_credentials_are_needed(cores: &str) {
    let config = "[server]\nauth_timeout_ms = 500\n[auth]\ntoken = \"t0ken\"\n";
    let broker = Broker::start_with(cores, config);
    let addr = broker.nats.expect("NATS clients are served");
    let mut in_time = Nats::connect_as(addr, r#"{"verbose":false,"auth_token":"t0ken"}"#);
    let mut silent = Nats::silent(addr);
    let mut slow = Nats::silent(addr);
    slow.say("CONNECT {\"auth_to");
    silent.expect_last_error("Authentication Timeout");
    slow.expect_last_error("Authentication Timeout");
    in_time.ping();
    drop((in_time, silent, slow));
    broker.stop();
}

/// Method: a BLIP/1 connection that came later is cut off; the NATS one is served after that.
fn who_needs_no_credentials_may_take_its_time(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nauth_timeout_ms = 100\n");
    let mut nats = Nats::silent(broker.nats.expect("NATS clients are served"));
    assert_eq!(nats.info.get("auth_required"), None);
    let mut others: Vec<Wire> = (0..4).map(|_| Wire::silent(broker.addr)).collect();
    for other in &mut others {
        assert_eq!(other.expect_fatal(), 4010);
    }
    nats.say("SUB early 1\r\n");
    assert_eq!(nats.expect(), Said::Ok, "without CONNECT every command is answered");
    nats.ping();
    drop((nats, others));
    broker.stop();
}
