//! Cores that sleep, and what wakes them.

use std::time::Duration;

use executors::simulated::{Deferred, Plan, Step};

use super::support::{Order, PEER, World};

#[test]
fn a_core_sleeps_without_work_and_each_kind_of_arrival_wakes_it() {
    let mut world = World::new(Plan { cores: 2, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.order_on(1, Order::Deadline(5_000));
    world.run();
    assert!(!world.is_awake(0) && !world.is_awake(1), "there is nothing to do");
    world.kernel.deliver(socket, b"x", true);
    assert!(world.is_awake(0) && !world.is_awake(1), "a completion wakes its core");
    world.run();
    world.machine.connect_to(1, 0, PEER);
    assert!(!world.is_awake(0) && world.is_awake(1), "an accepted socket wakes its core");
    world.run();
    world.advance(Duration::from_nanos(4_999));
    assert!(!world.is_awake(1), "it is not time yet");
    world.advance(Duration::from_nanos(1));
    assert!(world.is_awake(1), "a deadline wakes its core");
    world.run();
    world.order(Order::Post(1, 7));
    world.run_one(0);
    assert!(!world.is_awake(1), "the message is under way");
    world.machine.arrive_all();
    assert!(world.is_awake(1), "a mesh message wakes its core");
    world.run();
    assert_eq!(world.seen_of(1).messages, [7]);
    world.order(Order::Close(connection, Vec::new()));
    world.stop(Duration::from_secs(9));
    assert!(world.is_awake(0) && world.is_awake(1), "a stop wakes every core");
}

/// Goal: what comes between the turn that finds nothing and the sleep is not slept over.
#[test]
fn what_comes_while_a_core_falls_asleep_is_seen() {
    let mut world = World::new(Plan { cores: 2, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.run();
    let until_idle = |world: &mut World, core: usize| {
        world.wake();
        while world.machine.core(core).step() != Step::Idle {}
    };
    until_idle(&mut world, 0);
    world.kernel.deliver(socket, b"x", true);
    world.machine.core(0).step();
    assert_eq!(world.seen().received_of(connection), b"x", "a completion");
    world.run();
    until_idle(&mut world, 1);
    world.machine.connect_to(1, 0, PEER);
    assert_eq!(world.machine.core(1).step(), Step::Again, "an accepted socket");
    world.run();
    assert_eq!(world.seen_of(1).connected.len(), 1);
    world.order(Order::Post(1, 7));
    world.run_one(0);
    until_idle(&mut world, 1);
    world.machine.arrive_all();
    world.machine.core(1).step();
    assert_eq!(world.seen_of(1).messages, [7], "a mesh message");
    world.run();
    until_idle(&mut world, 1);
    world.stop(Duration::from_secs(9));
    assert_eq!(world.machine.core(1).step(), Step::Again, "a stop");
}

/// Goal: a core that kept messages back because a lane was full is woken when there is room.
#[test]
fn the_reader_of_a_full_lane_wakes_its_sender() {
    let mut world = World::new(Plan { cores: 2, messages_max: 2, ..Plan::default() });
    for number in 0..7 {
        world.order(Order::Post(1, number));
    }
    let mut rounds = 0;
    while world.seen_of(1).messages.len() < 7 {
        world.run();
        assert!(world.machine.under_way(0, 1, 0) <= 2, "the lane has its bound");
        world.machine.arrive(0, 1, 0);
        world.run();
        rounds += 1;
        assert!(rounds < 20, "the sender sleeps: {:?}", world.seen_of(1).messages);
    }
    assert_eq!(world.seen_of(1).messages, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_deadline_that_moves_nearer_comes_at_its_new_time() {
    let mut world = World::new(Plan::default());
    world.order(Order::Deadline(1_000));
    world.run();
    world.order(Order::Deadline(300));
    world.run();
    world.advance(Duration::from_nanos(300));
    assert!(world.is_awake(0));
    world.order(Order::Deadline(2_000));
    world.run();
    assert_eq!(world.kernel.timeout_at_ns(0), Some(2_000), "the next one is armed");
}

/// Goal: one more enter does what the kernel put off; an enter that was in vain is not repeated, and the
/// core sleeps. Whatever comes wakes the core all the same.
#[test]
fn a_core_enters_once_for_work_that_its_kernel_reports() {
    for deferred in [Deferred::Work, Deferred::Stale] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.run();
        let before = world.seen().calls;
        world.kernel.defer(0, Some(deferred));
        world.wake();
        world.run();
        assert!(!world.is_awake(0), "{deferred:?}: the core sleeps");
        assert_eq!(world.seen().calls - before, 1, "{deferred:?}");
        world.kernel.deliver(socket, b"x", true);
        world.run();
        assert_eq!(world.seen().received_of(connection), b"x");
        assert!(!world.is_awake(0) && world.seen().calls - before <= 2, "{deferred:?}");
        world.kernel.defer(0, None);
    }
}
