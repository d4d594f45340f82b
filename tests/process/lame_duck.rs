//! SIGUSR2: clients leave one after the other, and only then the broker stops.

use std::net::TcpStream;
use std::time::Duration;

use blipmq::protocol::decode::ServerFrame;

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, ServerLine};
use crate::support::running::Broker;
use crate::support::wire::Wire;

on_one_and_two_cores! {
    clients_of_a_lame_duck_are_told_and_served_and_new_ones_refused,
    those_that_do_not_leave_are_closed_behind_what_is_queued_and_the_broker_stops,
    a_lame_duck_without_clients_stops,
}

fn lame_duck(cores: &str, time_ms: u32) -> Broker {
    Broker::start_with(cores, &format!("[server]\nlame_duck_ms = {time_ms}\n"))
}

#[track_caller]
fn assert_told(nats: &mut Nats) {
    match nats.expect() {
        ServerLine::Info(info) => assert_eq!(info["ldm"], true, "{info}"),
        other => panic!("INFO was due, got {other:?}"),
    }
}

fn clients_of_a_lame_duck_are_told_and_served_and_new_ones_refused(cores: &str) {
    let broker = lame_duck(cores, 3_600_000);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("still.here", "1");
    let mut blip = Wire::connect(broker.addr);
    let (topic, ..) = blip.open(1, "still.here");
    broker.signal("USR2");
    assert_told(&mut nats);
    let (status, _) = broker.get("/readyz");
    assert_eq!(status, 503);
    while let Ok(stream) = TcpStream::connect(broker.addr) {
        drop(stream);
        std::thread::sleep(Duration::from_millis(2));
    }
    blip.publish(topic, &[b"served"]);
    assert_eq!(nats.message().payload, b"served");
    blip.ping();
    nats.ping();
    broker.signal("TERM");
    assert!(matches!(blip.expect().decoded(), ServerFrame::Goodbye { .. }));
    assert_eq!(nats.next(), None, "it was told once");
    drop((nats, blip));
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

fn those_that_do_not_leave_are_closed_behind_what_is_queued_and_the_broker_stops(cores: &str) {
    const MESSAGES: usize = 300;
    let broker = lame_duck(cores, 1_000);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("late", "1");
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe(1, "late");
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "late");
    for _ in 0..MESSAGES {
        publisher.publish(topic, &[&[7; 4 * 1_024]]);
    }
    publisher.ping();
    broker.signal("USR2");
    let (mut delivered, mut goodbyes) = (0, 0);
    while let Some(frame) = blip.next() {
        delivered += frame.messages().map_or(0, |(_, messages)| messages.len());
        goodbyes += usize::from(matches!(frame.0[4], 0x8f));
    }
    assert_eq!((delivered, goodbyes), (MESSAGES, 1));
    let mut delivered = 0;
    while let Some(said) = nats.next() {
        delivered += usize::from(matches!(said, ServerLine::Message(_)));
    }
    assert_eq!(delivered, MESSAGES);
    assert!(matches!(publisher.expect().decoded(), ServerFrame::Goodbye { .. }));
    assert_eq!(publisher.next(), None);
    drop((nats, blip, publisher));
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

fn a_lame_duck_without_clients_stops(cores: &str) {
    let broker = lame_duck(cores, 3_600_000);
    broker.signal("USR2");
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}
