//! Connections under load and misuse, over real sockets, on one core and on two.

mod support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use executors::launch::Stopped;
use support::{
    CLOSE, ECHO, Event, FLOOD, FLOOD_LEN, LAST, PIECES, Random, STUTTER, TOO_MANY, World,
};

const DRAIN: Duration = Duration::from_secs(60);

/// Sends bytes and reads as many back at the same time.
fn echo_stream(stream: TcpStream, seed: u64, len: usize) {
    let mut writer = stream.try_clone().expect("a descriptor is free");
    let sent = thread::spawn(move || {
        let mut random = Random::new(seed);
        let bytes = random.bytes(len);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + random.below(40_000) as usize));
            writer.write_all(now).expect("the service reads");
            rest = later;
        }
        bytes
    });
    let mut received = vec![0; len];
    (&stream).read_exact(&mut received).expect("all of it comes back");
    // Not assert_eq, which would print a megabyte of numbers.
    assert!(
        received == sent.join().expect("everything is sent"),
        "stream {seed} came back altered"
    );
}

#[test]
fn bytes_come_back_unaltered_on_hundreds_of_connections() {
    const THREADS: u64 = 4;
    const CONNECTIONS: u64 = 80;
    for cores in [1, 2] {
        let world = World::start(cores, 4_000, DRAIN);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let world = &world.address;
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    let mut streams: Vec<TcpStream> =
                        (0..CONNECTIONS).map(|_| support::connect(*world, ECHO)).collect();
                    for _ in 0..6 {
                        let sent: Vec<Vec<u8>> = streams
                            .iter_mut()
                            .map(|stream| {
                                // Mostly small, sometimes more than a receive buffer.
                                let bits = 1 + random.below(17);
                                let len = 1 + random.below(1 << bits) as usize;
                                let bytes = random.bytes(len);
                                stream.write_all(&bytes).expect("the service reads");
                                bytes
                            })
                            .collect();
                        for (stream, sent) in streams.iter_mut().zip(sent) {
                            let mut received = vec![0; sent.len()];
                            stream.read_exact(&mut received).expect("all of it comes back");
                            assert!(received == sent, "bytes came back altered");
                        }
                    }
                });
            }
        });
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

#[test]
fn pausing_and_resuming_under_load_loses_no_byte() {
    for cores in [1, 2] {
        let world = World::start(cores, 100, DRAIN);
        thread::scope(|scope| {
            for seed in 0..12 {
                let stream = world.connect(STUTTER);
                scope.spawn(move || echo_stream(stream, seed, 2 << 20));
            }
        });
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

/// Goal: sends that the kernel finishes piece by piece all end, however many there are at a time.
/// Method: many peers read a little in turn, so many sends go on in one turn without completing.
#[test]
fn every_large_send_arrives_whole_at_peers_that_read_slowly() {
    let world = World::start(1, 200, DRAIN);
    let mut streams: Vec<TcpStream> =
        (0..48).map(|number| world.connect(if number % 2 == 0 { FLOOD } else { PIECES })).collect();
    let expected = support::flood(FLOOD_LEN);
    let mut chunk = vec![0; 256 << 10];
    for part in expected.chunks(chunk.len()) {
        for stream in &mut streams {
            let chunk = &mut chunk[..part.len()];
            stream.read_exact(chunk).expect("the flood goes on");
            assert!(chunk == part, "a flood was altered");
        }
    }
    drop(streams);
    assert_eq!(world.stop(), Stopped::Drained);
}

#[test]
fn peers_that_reset_in_the_middle_of_a_send_cost_only_themselves() {
    const PEERS: usize = 200;
    for cores in [1, 2] {
        let world = World::start(cores, 1_000, DRAIN);
        let bystander = world.connect(ECHO);
        let (core, connection, _) = world.connected();
        let echo = thread::spawn(move || echo_stream(bystander, 7, 4 << 20));
        let mut open = HashSet::from([(core, connection)]);
        let mut slot_max = 0;
        let mut random = Random::new(cores as u64);
        for peer in 0..PEERS {
            let mut stream = world.connect([FLOOD, ECHO, CLOSE][peer % 3]);
            if peer % 3 == 1 {
                let len = 1 + random.below(100_000) as usize;
                stream.write_all(&random.bytes(len)).expect("the service reads");
            }
            // The send of a flood is under way when its first bytes are here.
            stream.read_exact(&mut [0]).expect("each mode answers something");
            if peer % 2 == 0 {
                support::reset_on_drop(&stream);
            }
        }
        let mut connected = 0;
        while connected < PEERS || !open.is_empty() {
            match world.event() {
                Event::Connected { core, connection, admitted, .. } => {
                    assert!(admitted);
                    assert!(open.insert((core, connection)));
                    connected += 1;
                    slot_max = slot_max.max(connection.slot);
                }
                Event::Closed { core, connection } => assert!(open.remove(&(core, connection))),
            }
        }
        assert!(slot_max as usize <= PEERS, "slots are used again");
        echo.join().expect("the bystander notices nothing");
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

#[test]
fn a_peer_that_never_reads_is_cut_off_after_its_close_and_its_slot_is_used_again() {
    let world = World::start(1, 10, DRAIN);
    let mut stalled = world.connect(FLOOD);
    let (core, first, _) = world.connected();
    let mut one = [1];
    stalled.read_exact(&mut one).expect("the flood has begun");
    // Closes, with most of the flood in a send that cannot end.
    stalled.write_all(b"!").expect("the service reads");
    world.wait_closed(core, first);
    let next = world.connect(ECHO);
    let (_, second, _) = world.connected();
    assert_eq!(second.slot, first.slot);
    assert_eq!(second.generation, first.generation + 1);
    echo_stream(next, 1, 100_000);
    assert_eq!(world.stop(), Stopped::Drained);
}

/// Goal: no reset overtakes the last bytes.
/// Method: the peer goes on sending what is not read, and reads only then.
#[test]
fn last_bytes_reach_a_peer_that_has_sent_more_than_was_read() {
    for cores in [1, 2] {
        let world = World::start(cores, 100, DRAIN);
        thread::scope(|scope| {
            for _ in 0..40 {
                let mut stream = world.connect(CLOSE);
                scope.spawn(move || {
                    stream.write_all(&[9; 512 << 10]).expect("it is taken and thrown away");
                    let mut last = Vec::new();
                    stream.read_to_end(&mut last).expect("no reset");
                    assert_eq!(last, LAST);
                });
            }
        });
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

#[test]
fn connections_above_the_limit_are_refused_and_those_below_go_on() {
    for cores in [1, 2] {
        let world = World::start(cores, 4, DRAIN);
        let mut inside = Vec::new();
        for _ in 0..4 {
            let stream = world.connect(ECHO);
            let (core, connection, admitted) = world.connected();
            assert!(admitted);
            inside.push((stream, core, connection));
        }
        let mut outside = Vec::new();
        for _ in 0..3 {
            let mut stream = world.connect(ECHO);
            let (core, connection, admitted) = world.connected();
            assert!(!admitted);
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("no reset");
            assert_eq!(answer, TOO_MANY);
            drop(stream);
            outside.push((core, connection));
        }
        let (stream, core, connection) = inside.pop().expect("four are inside");
        drop(stream);
        outside.push((core, connection));
        for (core, connection) in outside {
            world.wait_closed(core, connection);
        }
        let stream = world.connect(ECHO);
        assert!(world.connected().2, "there is room again");
        echo_stream(stream, 3, 50_000);
        for (stream, _, _) in inside {
            echo_stream(stream, 4, 50_000);
        }
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

/// Goal: the service hears by which listener a connection came, and one limit holds for all
/// listeners.
/// Method: connections by two listeners in turn, up to the limit and one more.
#[test]
fn the_service_hears_by_which_listener_a_connection_came() {
    for cores in [1, 2] {
        let world = World::start(cores, 6, DRAIN);
        let addresses = [world.address, world.other_address];
        let mut streams = Vec::new();
        for (number, by) in [0, 1, 1, 0, 0, 1, 1].into_iter().enumerate() {
            streams.push(support::connect(addresses[by], ECHO));
            let Event::Connected { listener, admitted, .. } = world.event() else {
                panic!("none closes");
            };
            assert_eq!((listener, admitted), (by, number < 6));
        }
        let refused = streams.pop().expect("one above the limit");
        drop(refused);
        for stream in streams {
            echo_stream(stream, 6, 50_000);
        }
        assert_eq!(world.stop(), Stopped::Drained);
    }
}

/// Goal: connections that wait for a receive buffer get one when there is one, and may be closed
/// and freed before.
/// Method: a service that wants no input lets a few connections fill all buffers, then closes
/// half of them, whose peers do not answer, and waits until some are gone.
#[test]
fn connections_without_a_buffer_are_served_later_or_freed_before() {
    const CONNECTIONS: usize = 120;
    const LEN: usize = 100_000;
    let world = World::start(1, 1_000, DRAIN);
    world.shared.hold.store(true, Ordering::Relaxed);
    let mut streams = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = world.connect(ECHO);
        let (core, connection, _) = world.connected();
        let bytes = Random::new(number as u64).bytes(LEN);
        stream.write_all(&bytes).expect("socket buffers are larger");
        streams.push((stream, core, connection, bytes));
    }
    world.wait_turns(50);
    let kept = streams.split_off(CONNECTIONS / 2);
    // The first ones hold the buffers; of the others some are closed and some are kept.
    let closed: Vec<_> =
        streams.iter().map(|(_, core, connection, _)| (*core, *connection)).collect();
    world.shared.close.lock().expect("no service panics").extend(&closed);
    // After the time that closing connections linger, those without arrivals are freed.
    assert!(matches!(world.event(), Event::Closed { .. }));
    let replacement = world.connect(ECHO);
    world.shared.hold.store(false, Ordering::Relaxed);
    for (mut stream, _, _, bytes) in kept {
        let mut received = vec![0; LEN];
        stream.read_exact(&mut received).expect("all of it comes back");
        assert!(received == bytes, "bytes came back altered");
    }
    echo_stream(replacement, 5, LEN);
    drop(streams);
    assert_eq!(world.stop(), Stopped::Drained);
}
