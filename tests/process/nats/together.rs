//! Clients of both protocols together: requests, groups, copies, retained messages.

use std::collections::HashMap;
use std::thread;
use std::time::Instant;

use blipmq::protocol::decode::{ServerFrame, Subscribe};
use blipmq::protocol::encode;
use blipmq_client::{Client, Event};

use super::both::{Fields, records, take};
use super::on_one_and_two_cores;
use crate::support::nats::{CONNECT, Nats, put};
use crate::support::running::Broker;
use crate::support::wire::{PATIENCE, Wire};
use crate::support::written::{encode_messages, wanting};

on_one_and_two_cores! {
    a_request_of_a_nats_client_is_answered_by_a_blip_client,
    a_request_of_a_blip_client_is_answered_by_a_nats_client,
    members_of_both_protocols_share_a_group,
    each_subscription_of_a_connection_gets_its_own_copy,
    messages_of_nats_clients_are_retained_for_replay_to_blip_subscribers,
    subjects_that_begin_alike_stay_in_order,
    members_that_drain_at_once_lose_nothing,
}

/// Goal: messages of one publisher to many subjects of one pattern arrive in their order.
fn subjects_that_begin_alike_stay_in_order(cores: &str) {
    const MESSAGES: usize = 1_000;
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let mut subscriber = Nats::connect(addr);
    subscriber.subscribe("orders.>", "1");
    let mut publisher = Nats::connect(addr);
    let mut out = Vec::new();
    for number in 0..MESSAGES {
        put(&mut out, &format!("orders.{}", number % 23), number.to_string().as_bytes());
    }
    publisher.write(&out);
    for number in 0..MESSAGES {
        assert_eq!(subscriber.message().text(), number.to_string());
    }
    drop((subscriber, publisher));
    broker.stop();
}

/// Goal: messages published before the members of a group left reach one of them before its PONG.
/// Method: one member leaves behind its own burst, the other at its first message, again and again.
fn members_that_drain_at_once_lose_nothing(cores: &str) {
    const MESSAGES: usize = 1_000;
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    for round in 0..8 {
        let subject = format!("_INBOX.drain{round}");
        let mut members = [Nats::connect(addr), Nats::connect(addr)];
        members.iter_mut().for_each(|member| member.join(&subject, "team", "1"));
        let [early, late] = &mut members;
        let mut out = Vec::new();
        (0..MESSAGES).for_each(|_| put(&mut out, &subject, b""));
        out.extend_from_slice(b"UNSUB 1\r\n");
        late.write(&out);
        early.message();
        early.send("UNSUB 1\r\n");
        let got = 1 + early.messages().len() + late.messages().len();
        assert_eq!(got, MESSAGES, "round {round}");
    }
    broker.stop();
}

fn a_request_of_a_nats_client_is_answered_by_a_blip_client(cores: &str) {
    let broker = Broker::start(cores);
    let replier = Client::connect(&broker.server()).expect("the client connects");
    replier.subscribe("service.*", Default::default()).expect("permitted");
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    nats.subscribe("_INBOX.asker.*", "9");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let Event::Messages(messages) = replier.recv().expect("a request") else {
                    panic!("messages were due")
                };
                for message in messages.iter() {
                    replier.reply(&message, [message.payload, b"!"].concat()).expect("a request");
                }
                replier.flush().expect("permitted");
            }
        });
        for number in 0..20 {
            let (subject, inbox) = (format!("service.{number}"), format!("_INBOX.asker.{number}"));
            let payload = number.to_string();
            nats.publish_with(&subject, &inbox, b"", payload.as_bytes());
            let answer = nats.message();
            assert_eq!(
                (answer.subject.as_str(), answer.text(), answer.headers.len()),
                (inbox.as_str(), format!("{payload}!").as_str(), 0)
            );
        }
    });
    // No client is subscribed here: the request is answered at once, and counted.
    nats.publish_with("nobody.here", "_INBOX.asker.x", b"", b"?");
    let answer = nats.message();
    assert_eq!(answer.headers_text(), "NATS/1.0 503\r\nNats-Subject: nobody.here\r\n\r\n");
    assert_eq!((answer.subject.as_str(), answer.sid.as_str()), ("_INBOX.asker.x", "9"));
    assert_eq!(broker.metric("blipmq_nats_no_responders_total", ""), 1);
    assert_eq!(broker.metric("blipmq_connections", ""), 2);
    assert_eq!(broker.metric("blipmq_nats_connections", ""), 1);
    drop((nats, replier));
    broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 0);
    broker.stop();
}

fn a_request_of_a_blip_client_is_answered_by_a_nats_client(cores: &str) {
    let broker = Broker::start(cores);
    let mut service = Nats::connect(broker.nats.expect("NATS clients are served"));
    service.join("service.>", "workers", "1");
    let client = Client::connect(&broker.server()).expect("the client connects");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let request = service.message();
                let reply = request.reply.as_deref().expect("a request");
                service.publish(reply, &[&request.payload[..], b"!"].concat());
            }
        });
        for number in 0..20 {
            let topic = format!("service.{number}");
            let reply = client.request(&topic, topic.as_bytes(), PATIENCE).expect("an answer");
            assert_eq!(reply.payload, format!("{topic}!"));
        }
    });
    drop((service, client));
    broker.stop();
}

/// Goal: each message of either protocol goes to exactly one member, and every member gets some.
fn members_of_both_protocols_share_a_group(cores: &str) {
    const EACH: usize = 200;
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let mut nats_members: Vec<Nats> = (0..2).map(|_| Nats::connect(addr)).collect();
    for member in &mut nats_members {
        member.join("work.*", "team", "1");
    }
    let mut blip_members: Vec<Wire> = (0..2).map(|_| Wire::connect(broker.addr)).collect();
    for member in &mut blip_members {
        member.subscribe_to(&Subscribe { group: "team", ..wanting(1, "work.*") });
    }
    // The same name with another pattern is another group, and gets all messages.
    let mut apart = Nats::connect(addr);
    apart.join("work.>", "others", "1");
    let mut from_nats = Nats::connect(addr);
    let mut from_blip = Wire::connect(broker.addr);
    let (topic, ..) = from_blip.open(1, "work.b");
    let mut out = Vec::new();
    for number in 0..EACH {
        put(&mut out, "work.n", format!("n{number}").as_bytes());
    }
    from_nats.write(&out);
    from_nats.ping();
    from_blip.send(|out| {
        for number in 0..EACH {
            encode_messages(out, topic, 0, &[format!("b{number}").as_bytes()]);
        }
    });
    from_blip.ping();
    for _ in 0..2 * EACH {
        apart.message();
    }
    // Messages dealt to a member may still be on their way to it.
    let mut got: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut per_member = [0; 4];
    let start_time = Instant::now();
    while per_member.iter().sum::<usize>() < 2 * EACH {
        assert!(start_time.elapsed() < PATIENCE, "{per_member:?} of {} came", 2 * EACH);
        let by_nats = nats_members.iter_mut().map(|member| {
            let messages = member.messages().into_iter();
            messages.map(|message| message.payload).collect::<Vec<_>>()
        });
        let by_blip = blip_members.iter_mut().map(|member| {
            let messages = until_pong(member).into_iter();
            messages.map(|(_, payload)| payload).collect::<Vec<_>>()
        });
        for (count, payloads) in per_member.iter_mut().zip(by_nats.chain(by_blip)) {
            *count += payloads.len();
            for payload in payloads {
                *got.entry(payload).or_default() += 1;
            }
        }
    }
    assert!(per_member.iter().all(|count| *count > 0), "{per_member:?}");
    assert_eq!(got.len(), 2 * EACH, "each came: {per_member:?}");
    assert!(got.values().all(|times| *times == 1), "none came twice");
    drop((nats_members, blip_members, apart, from_nats, from_blip));
    broker.stop();
}

/// Sends PING and takes the messages that come before its PONG.
fn until_pong(wire: &mut Wire) -> Vec<(Fields, Vec<u8>)> {
    wire.send(|out| encode::ping(out, 99));
    let mut found = Vec::new();
    loop {
        let frame = wire.expect();
        match frame.decoded() {
            ServerFrame::Pong { opaque: 99 } => return found,
            _ => found.extend(records(&frame)),
        }
    }
}

/// Goal: three matching subscriptions get three copies, each with its own sid; UNSUB ends one of them; a
/// client without echo does not get its own messages.
fn each_subscription_of_a_connection_gets_its_own_copy(cores: &str) {
    let broker = Broker::start(cores);
    let addr = broker.nats.expect("NATS clients are served");
    let mut nats = Nats::connect(addr);
    nats.subscribe("copies.a", "exact");
    nats.subscribe("copies.*", "star");
    nats.subscribe("copies.>", "rest");
    let mut blip = Wire::connect(broker.addr);
    blip.open_and_publish(1, "copies.a", &[b"x"]);
    blip.ping();
    let mut sids: Vec<String> = nats.messages().into_iter().map(|message| message.sid).collect();
    sids.sort();
    assert_eq!(sids, ["exact", "rest", "star"]);
    nats.send("UNSUB star\r\n");
    nats.publish("copies.a", b"own");
    let mut sids: Vec<String> = nats.messages().into_iter().map(|message| message.sid).collect();
    sids.sort();
    assert_eq!(sids, ["exact", "rest"], "its own, too");
    let mut quiet = Nats::connect_as(addr, &CONNECT.replace('{', r#"{"echo":false,"#));
    quiet.subscribe("copies.a", "1");
    quiet.publish("copies.a", b"not for me");
    quiet.ping();
    blip.open_and_publish(2, "copies.a", &[b"for all"]);
    assert_eq!(quiet.message().text(), "for all");
    drop((nats, quiet, blip));
    broker.stop();
}

fn messages_of_nats_clients_are_retained_for_replay_to_blip_subscribers(cores: &str) {
    let broker = Broker::start(cores);
    let mut nats = Nats::connect(broker.nats.expect("NATS clients are served"));
    for number in 0..10 {
        nats.publish("kept.n", number.to_string().as_bytes());
    }
    nats.ping();
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe_to(&Subscribe { start: 1, start_argument: 3, ..wanting(1, "kept.n") });
    nats.publish("kept.n", b"live");
    let found: Vec<Vec<u8>> = take(&mut blip, 4).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(found, [&b"7"[..], b"8", b"9", b"live"]);
    drop((nats, blip));
    broker.stop();
}
