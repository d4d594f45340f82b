//! No descriptor is lost. One test in a process of its own: others would open some meanwhile.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use executors::launch::Stopped;
use support::{CLOSE, ECHO, FLOOD, World};

/// What each open descriptor is of, without the numbers that distinguish sockets.
fn open_descriptors() -> Vec<String> {
    let open = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let mut open: Vec<String> = open
        .filter_map(|entry| std::fs::read_link(entry.expect("readable").path()).ok())
        .map(|target| target.display().to_string().replace(|c: char| c.is_ascii_digit(), ""))
        .collect();
    open.sort();
    open
}

fn run_through_everything(drain_timeout: Duration) -> Stopped {
    let world = World::start(2, 40, drain_timeout);
    let mut streams = Vec::new();
    for number in 0..60 {
        let mut stream = world.connect([ECHO, FLOOD, CLOSE][number % 3]);
        let (_, _, admitted) = world.connected();
        if admitted && number % 3 == 0 {
            stream.write_all(b"again").expect("the service reads");
        }
        let _ = stream.read(&mut [0; 100]);
        if number % 2 == 0 {
            support::reset_on_drop(&stream);
        }
        // Every fourth stays open and stalled until after the stop.
        if number % 4 == 1 {
            streams.push(stream);
        }
    }
    let stopped = world.stop();
    drop(streams);
    stopped
}

#[test]
fn every_descriptor_of_ours_is_closed_after_a_stop() {
    const RUNS: usize = 3;
    let timeout = Duration::from_millis(100);
    // What is opened once and kept, by any library, is open after this.
    assert_eq!(run_through_everything(timeout), Stopped::TimedOut);
    let before = open_descriptors();
    for _ in 0..RUNS {
        assert_eq!(run_through_everything(timeout), Stopped::TimedOut);
    }
    let mut after = open_descriptors();
    // glommio 0.9.0 keeps the eventfd of an executor that has ended, one for each.
    for _ in 0..RUNS * 2 {
        let kept = after.iter().position(|target| target == "anon_inode:[eventfd]");
        after.remove(kept.expect("glommio keeps one for each executor"));
    }
    assert_eq!(after, before);
}
