//! How executors stop: with everything delivered, or at the drain timeout.

mod support;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use executors::launch::Stopped;
use support::{ECHO, FLOOD, FLOOD_LEN, World};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_stop_without_connections_is_drained_at_once() {
    for cores in [1, 2] {
        assert_eq!(World::start(cores, 10, LONG).stop(), Stopped::Drained);
    }
}

#[test]
fn a_stop_delivers_what_was_accepted_to_peers_that_read() {
    for cores in [1, 2] {
        let world = World::start(cores, 100, LONG);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let mut stream = world.connect(FLOOD);
                let mut first = [0];
                stream.read_exact(&mut first).expect("the flood has begun");
                thread::spawn(move || {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).expect("no reset");
                    assert!(rest == support::flood(FLOOD_LEN)[1..], "the flood is whole");
                })
            })
            .collect();
        let stopped = world.stop();
        for reader in readers {
            reader.join().expect("each reader gets everything");
        }
        assert_eq!(stopped, Stopped::Drained);
    }
}

#[test]
fn peers_that_do_not_read_are_cut_off_at_the_drain_timeout() {
    for cores in [1, 2] {
        let world = World::start(cores, 100, SHORT);
        let stalled: Vec<_> = (0..20)
            .map(|_| {
                let mut stream = world.connect(FLOOD);
                stream.read_exact(&mut [0]).expect("the flood has begun");
                stream
            })
            .collect();
        let open = world.connect(ECHO);
        assert_eq!(world.stop(), Stopped::TimedOut);
        drop((stalled, open));
    }
}

/// Goal: the drain timeout holds on a core that is never idle.
/// Method: a peer that does not read, and others that keep the core busy until they are cut off.
#[test]
fn the_drain_timeout_holds_on_a_core_that_always_has_work() {
    let world = World::start(1, 100, SHORT);
    let mut stalled = world.connect(FLOOD);
    stalled.read_exact(&mut [0]).expect("the flood has begun");
    let busy: Vec<_> = (0..4)
        .map(|_| {
            // Never closed by the service in time: its echo is not read either.
            let mut stream = world.connect(ECHO);
            thread::spawn(move || while stream.write_all(&[1; 10_000]).is_ok() {})
        })
        .collect();
    world.wait_turns(100);
    assert_eq!(world.stop(), Stopped::TimedOut);
    for thread in busy {
        thread.join().expect("it was cut off");
    }
}

/// Goal: what is accepted while cores stop is never dealt to a core that is gone.
/// Method: peers connect without pause while the stop begins.
#[test]
fn a_stop_while_peers_connect_harms_none() {
    for _ in 0..20 {
        let world = World::start(2, 1_000, LONG);
        let peers = [world.address, world.other_address].map(|address| {
            thread::spawn(move || while std::net::TcpStream::connect(address).is_ok() {})
        });
        world.connected();
        assert_eq!(world.stop(), Stopped::Drained);
        for peer in peers {
            peer.join().expect("both listening sockets are closed");
        }
    }
}
