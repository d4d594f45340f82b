//! The driver over a simulated kernel: everything that a kernel may do and that no test with real
//! sockets can bring about at will, each as a claim.

mod simulated_support;

use std::time::Duration;

use executors::launch::Stopped;
use executors::simulated::{Cancel, Delivery, Plan, Step};
use simulated_support::{
    ECANCELED, ECONNRESET, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPIPE, PEER, Tell, World,
};

#[test]
fn a_send_that_the_kernel_takes_in_pieces_arrives_whole_and_in_order() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    let text: Vec<Vec<u8>> = (0..40u8).map(|part| vec![part; 1 + usize::from(part)]).collect();
    let expected: Vec<u8> = text.iter().flatten().copied().collect();
    world.ask(Tell::Send(connection, text));
    world.ask(Tell::Send(connection, vec![b"the next".to_vec()]));
    let mut received = Vec::new();
    for len in (1..).take_while(|len| len % 97 != 0) {
        world.run();
        assert!(world.seen().sent.is_empty(), "a part is not all");
        received.extend(world.kernel.take(socket, len));
        if received.len() == expected.len() {
            break;
        }
        // Shorter than asked, also nothing at all.
        assert!(world.kernel.complete_send(socket));
    }
    assert_eq!(received, expected);
    world.kernel.complete_send(socket);
    world.run();
    assert_eq!(world.seen().sent, [connection]);
    assert_eq!(world.kernel.take(socket, 100), b"the next");
}

#[test]
fn sends_of_a_connection_go_out_one_at_a_time_however_late_they_complete() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    for text in ["one", "two", "three"] {
        world.ask(Tell::Send(connection, vec![text.as_bytes().to_vec()]));
    }
    for text in ["one", "two", "three"] {
        for _ in 0..5 {
            world.run();
            assert_eq!(world.kernel.sending(socket), Some(text.len()));
        }
        assert_eq!(world.kernel.take(socket, 100), text.as_bytes());
        world.kernel.complete_send(socket);
    }
    world.run();
    assert_eq!(world.seen().sent.len(), 3);
}

/// Goal: whatever error ends a send, the service hears `broken` once, then the end, and the slot is
/// free after its close.
#[test]
fn a_send_that_fails_breaks_its_connection_and_no_other() {
    for error in [ECONNRESET, EPIPE, ENOMEM, ENOBUFS, ECANCELED] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        let (other, bystander) = world.connect();
        world.ask(Tell::Send(connection, vec![b"lost".to_vec()]));
        world.ask(Tell::Send(bystander, vec![b"kept".to_vec()]));
        world.run();
        assert_eq!(world.kernel.deliver(socket, b"before", true), Delivery::Taken(6));
        assert!(world.kernel.fail_send(socket, error));
        if error == ECONNRESET {
            // The receive hears of it too: the end is one.
            assert!(world.kernel.fail_receive(socket, error));
        }
        world.run();
        assert_eq!(world.seen().broken, [connection], "error {error}");
        assert_eq!(world.seen().received_of(connection), b"before", "error {error}");
        assert_eq!(world.seen().ended, [connection], "error {error}");
        world.ask(Tell::Close(connection, b"nobody hears".to_vec()));
        world.run();
        let is_received_on = error != ECONNRESET;
        assert_eq!(world.kernel.is_closed(socket), !is_received_on, "its receive is under way");
        world.carry_out_cancels(socket);
        world.run();
        assert!(world.kernel.is_closed(socket) && !world.kernel.is_write_shut(socket));
        assert_eq!(world.seen().closed, [connection], "error {error}");
        assert_eq!(world.kernel.take(other, 100), b"kept");
    }
}

#[test]
fn a_receive_that_fails_ends_its_connection_behind_what_arrived() {
    for error in [ECONNRESET, ENOMEM] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.kernel.deliver(socket, b"last words", true);
        world.kernel.fail_receive(socket, error);
        world.run();
        assert_eq!(world.seen().received_of(connection), b"last words");
        assert_eq!(world.seen().ended, [connection], "error {error}");
        assert!(!world.kernel.is_receiving(socket), "nothing more can come");
        world.ask(Tell::Close(connection, b"nobody hears".to_vec()));
        world.run();
        assert_eq!(world.kernel.sending(socket), None, "the peer is gone");
        assert!(world.kernel.is_closed(socket));
    }
}

#[test]
fn a_receive_that_the_kernel_ends_without_reason_is_asked_for_again() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    for _ in 0..3 {
        assert_eq!(world.kernel.deliver(socket, b"x", false), Delivery::Taken(1));
        assert!(!world.kernel.is_receiving(socket));
        world.run();
        assert!(world.kernel.is_receiving(socket));
    }
    assert_eq!(world.seen().received_of(connection), b"xxx");
}

/// Goal: a pause holds, whatever completes before its cancel, and a resume that comes before the
/// cancel is carried out is not lost.
#[test]
fn a_cancel_that_races_with_arrivals_loses_and_repeats_nothing() {
    for (early, late) in [(true, false), (false, true), (true, true), (false, false)] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.ask(Tell::Pause(connection));
        world.run();
        assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Receive));
        if early {
            world.kernel.deliver(socket, b"early ", true);
        }
        if late {
            // The cancel completes first, what it cancels in a later turn.
            world.kernel.answer_cancel(socket);
            world.run();
            world.kernel.deliver(socket, b"late ", true);
        }
        world.ask(Tell::Resume(connection));
        world.run();
        assert!(world.kernel.is_receiving(socket), "the receive is still to be cancelled");
        if late {
            world.kernel.fail_receive(socket, ECANCELED);
        } else {
            world.carry_out_cancels(socket);
        }
        world.run();
        assert!(world.kernel.is_receiving(socket), "resumed");
        world.kernel.deliver(socket, b"then", true);
        world.run();
        let parts = [if early { "early " } else { "" }, if late { "late " } else { "" }, "then"];
        assert_eq!(world.seen().received_of(connection), parts.concat().as_bytes());
    }
}

#[test]
fn a_connection_that_is_paused_is_not_received_on_until_it_is_resumed() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.ask(Tell::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    assert_eq!(world.kernel.deliver(socket, b"x", true), Delivery::NotRead);
    world.ask(Tell::Resume(connection));
    world.run();
    assert_eq!(world.kernel.deliver(socket, b"x", true), Delivery::Taken(1));
}

/// Goal: no connection is forgotten that found no receive buffer.
/// Method: more connections than buffers, a service that wants nothing for a while.
#[test]
fn connections_that_starve_for_a_buffer_are_served_when_there_is_one() {
    const CONNECTIONS: usize = 20;
    let mut world = World::new(Plan { buffers: 3, buffer_len: 4, ..Plan::default() });
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| world.connect()).collect();
    world.core().service_mut().hold = true;
    let mut left: Vec<Vec<u8>> = vec![b"0123456789".to_vec(); CONNECTIONS];
    let mut starved = 0;
    for round in 0..1_000 {
        if round == 50 {
            world.core().service_mut().hold = false;
            world.wake();
        }
        for ((socket, _), left) in connections.iter().zip(&mut left) {
            match if left.is_empty() {
                None
            } else {
                Some(world.kernel.deliver(*socket, left, true))
            } {
                Some(Delivery::Taken(len)) => drop(left.drain(..len)),
                Some(Delivery::Starved) => starved += 1,
                Some(Delivery::NotRead) | None => {}
            }
        }
        world.run();
    }
    assert!(starved > CONNECTIONS, "{starved}");
    assert_eq!(world.seen().starved, starved);
    for (socket, connection) in connections {
        assert_eq!(world.seen().received_of(connection), b"0123456789");
        assert!(world.kernel.is_receiving(socket));
    }
}

/// Goal: connections that no longer want a buffer do not keep the next ones from theirs.
/// Method: many starve, of which the first ones are paused before there is a buffer. Found by the
/// simulator of the broker, with connections that were gone.
#[test]
fn connections_that_starved_and_want_nothing_by_now_stand_in_nobodys_way() {
    let mut world = World::new(Plan { buffers: 1, ..Plan::default() });
    let connections: Vec<_> = (0..6).map(|_| world.connect()).collect();
    world.core().service_mut().hold = true;
    assert_eq!(world.kernel.deliver(connections[0].0, b"x", true), Delivery::Taken(1));
    for (socket, _) in &connections[1..] {
        assert_eq!(world.kernel.deliver(*socket, b"x", true), Delivery::Starved);
    }
    world.run();
    for (_, connection) in &connections[1..5] {
        world.ask(Tell::Pause(*connection));
    }
    world.run();
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert!(world.kernel.is_receiving(connections[5].0));
}

#[test]
fn a_connection_that_starved_may_be_closed_and_its_slot_reused_before_it_is_fed() {
    let mut world = World::new(Plan { buffers: 1, ..Plan::default() });
    let (first, _) = world.connect();
    let (second, starving) = world.connect();
    world.core().service_mut().hold = true;
    assert_eq!(world.kernel.deliver(first, b"x", true), Delivery::Taken(1));
    assert_eq!(world.kernel.deliver(second, b"x", true), Delivery::Starved);
    world.run();
    world.ask(Tell::Close(starving, b"bye".to_vec()));
    world.run();
    world.kernel.take(second, 100);
    world.kernel.complete_send(second);
    world.run();
    assert!(world.kernel.is_write_shut(second) && !world.kernel.is_closed(second));
    // Without a buffer its end cannot be seen: it is cut off.
    world.advance(Duration::from_secs(3));
    world.run();
    world.carry_out_cancels(second);
    world.run();
    assert!(world.kernel.is_closed(second));
    let (third, replacement) = world.connect();
    assert_eq!(replacement.slot, starving.slot);
    assert_eq!(replacement.generation, starving.generation + 1);
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert_eq!(world.kernel.deliver(third, b"new", true), Delivery::Taken(3));
    world.run();
    assert_eq!(world.seen().received_of(replacement), b"new");
}

#[test]
fn accepting_rests_after_a_shortage_and_goes_on_by_itself() {
    for error in [EMFILE, ENFILE, ENOMEM, ENOBUFS] {
        let mut world = World::new(Plan { listeners: 2, ..Plan::default() });
        world.run();
        world.kernel.fail_accept(1, error);
        world.run();
        assert!(!world.kernel.is_accepting(1), "error {error}");
        // The other listener goes on, and does not end the rest of this one.
        world.kernel.accept(0, Some(PEER), false);
        world.run();
        assert!(!world.kernel.is_accepting(0) && !world.kernel.is_accepting(1));
        world.advance(Duration::from_millis(99));
        world.run();
        assert!(!world.kernel.is_accepting(1));
        world.advance(Duration::from_millis(1));
        world.run();
        assert!(world.kernel.is_accepting(0) && world.kernel.is_accepting(1), "error {error}");
        assert_eq!(world.seen().connected.len(), 1);
    }
}

#[test]
fn a_peer_that_is_gone_when_it_is_accepted_is_closed_unheard() {
    let mut world = World::new(Plan::default());
    world.run();
    let socket = world.kernel.accept(0, None, true);
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert!(world.seen().connected.is_empty());
}

#[test]
fn connections_over_the_limit_are_not_admitted_and_reported_once_a_second() {
    let mut world = World::new(Plan { connections_max: 2, ..Plan::default() });
    for number in 0..5 {
        world.connect();
        assert_eq!(world.seen().connected.last().map(|(_, admitted)| *admitted), Some(number < 2));
    }
    assert_eq!(world.seen().full, [2]);
    world.advance(Duration::from_secs(2));
    world.connect();
    assert_eq!(world.seen().full, [2, 5]);
}

/// Goal: a slot is not reused while a completion that names it is to come.
/// Method: a close whose cancel, receive and send complete one by one, in every order.
#[test]
fn a_slot_is_free_only_with_its_last_completion() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.ask(Tell::Send(connection, vec![vec![7; 100]]));
        world.ask(Tell::Close(connection, b"bye".to_vec()));
        world.run();
        world.kernel.take(socket, 10);
        world.advance(Duration::from_secs(3));
        world.run();
        assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Everything));
        for what in order {
            assert!(!world.kernel.is_closed(socket) && world.seen().closed.is_empty());
            match what {
                0 => world.kernel.answer_cancel(socket),
                // A part had left: the rest must not be sent.
                1 => assert!(world.kernel.complete_send(socket)),
                _ => assert!(world.kernel.fail_receive(socket, ECANCELED)),
            }
            world.run();
            assert_eq!(world.kernel.sending(socket).is_some(), !order_has_come(order, 1, what));
        }
        assert!(world.kernel.is_closed(socket), "order {order:?}");
        assert_eq!(world.seen().closed, [connection]);
        let (_, next) = world.connect();
        assert_eq!((next.slot, next.generation), (connection.slot, connection.generation + 1));
    }
}

/// Whether `wanted` comes in `order` before `now` or with it.
fn order_has_come(order: [u8; 3], wanted: u8, now: u8) -> bool {
    let place = |what| order.iter().position(|of| *of == what);
    place(wanted) <= place(now)
}

/// Goal: a slot is not reused while something that arrived on it waits to be handed on.
#[test]
fn a_slot_is_free_only_when_its_arrivals_are_put_away() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.core().service_mut().hold = true;
    world.kernel.deliver(socket, b"x", true);
    world.ask(Tell::Close(connection, Vec::new()));
    world.run();
    world.kernel.fail_receive(socket, ECONNRESET);
    world.advance(Duration::from_secs(3));
    world.run();
    assert!(!world.kernel.is_closed(socket) && world.seen().closed.is_empty());
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert_eq!(world.seen().received_of(connection), b"", "the service has closed it before");
    assert_eq!(world.seen().closed, [connection]);
}

#[test]
fn a_connection_that_is_closed_while_it_is_paused_sees_the_end_of_its_peer() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.ask(Tell::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    world.ask(Tell::Close(connection, Vec::new()));
    world.run();
    assert!(world.kernel.deliver_end(socket), "it is read");
    world.run();
    assert!(world.kernel.is_closed(socket));
}

#[test]
fn last_bytes_go_out_behind_the_send_in_flight_and_before_the_end() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.ask(Tell::Send(connection, vec![b"first ".to_vec()]));
    world.ask(Tell::Close(connection, b"last".to_vec()));
    world.run();
    let mut received = world.kernel.take(socket, 3);
    world.kernel.complete_send(socket);
    world.run();
    assert!(!world.kernel.is_write_shut(socket));
    received.extend(world.kernel.take(socket, 100));
    world.kernel.complete_send(socket);
    world.run();
    received.extend(world.kernel.take(socket, 100));
    assert!(!world.kernel.is_write_shut(socket), "the last bytes are under way");
    world.kernel.complete_send(socket);
    world.run();
    assert_eq!(received, b"first last");
    assert!(world.kernel.is_write_shut(socket) && !world.kernel.is_closed(socket));
    // What still comes is thrown away, then the peer's end frees the connection.
    world.kernel.deliver(socket, b"too late", true);
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert_eq!(world.seen().received_of(connection), b"");
    assert_eq!((world.seen().ended.len(), world.seen().closed.len()), (0, 1));
}

#[test]
fn a_core_sleeps_without_work_and_each_kind_of_arrival_wakes_it() {
    let mut world = World::new(Plan { cores: 2, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.ask_on(1, Tell::Deadline(5_000));
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
    world.ask(Tell::Post(1, 7));
    world.run_one(0);
    assert!(!world.is_awake(1), "the message is under way");
    world.machine.arrive_all();
    assert!(world.is_awake(1), "a mesh message wakes its core");
    world.run();
    assert_eq!(world.seen_of(1).messages, [7]);
    world.ask(Tell::Close(connection, Vec::new()));
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
    world.ask(Tell::Post(1, 7));
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
        world.ask(Tell::Post(1, number));
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
    world.ask(Tell::Deadline(1_000));
    world.run();
    world.ask(Tell::Deadline(300));
    world.run();
    world.advance(Duration::from_nanos(300));
    assert!(world.is_awake(0));
    world.ask(Tell::Deadline(2_000));
    world.run();
    assert_eq!(world.kernel.timeout_at_ns(0), Some(2_000), "the next one is armed");
}

#[test]
fn a_stop_closes_the_listeners_and_ends_when_every_connection_is_gone() {
    let mut world = World::new(Plan { cores: 2, listeners: 2, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.stop(Duration::from_secs(9));
    world.run();
    for listener in 0..2 {
        assert!(!world.kernel.is_listener_closed(listener), "its accept is under way");
        assert!(world.kernel.carry_out_accept_cancel(listener));
    }
    world.run();
    assert!(world.kernel.is_listener_closed(0) && world.kernel.is_listener_closed(1));
    let late = world.machine.connect_to(0, 0, PEER);
    assert!(world.kernel.is_closed(late), "connections are refused");
    assert_eq!(world.machine.cores()[1].stopped(), Some(Stopped::Drained));
    assert_eq!(world.machine.cores()[0].stopped(), None);
    world.ask(Tell::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::Drained));
}

/// Goal: a connection that is accepted while the core stops is closed, and the listener after it.
#[test]
fn a_cancel_of_an_accept_that_races_with_a_connection_leaks_neither() {
    let mut world = World::new(Plan::default());
    let (last, connection) = world.connect();
    world.stop(Duration::from_secs(9));
    world.run();
    let socket = world.kernel.accept(0, Some(PEER), true);
    world.kernel.answer_accept_cancel(0);
    world.run();
    assert!(world.kernel.is_closed(socket), "nobody serves it");
    world.kernel.fail_accept(0, ECANCELED);
    world.run();
    assert!(world.kernel.is_listener_closed(0));
    world.ask(Tell::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(last);
    world.run();
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::Drained));
}

#[test]
fn the_drain_timeout_cuts_off_and_waits_for_every_completion() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.ask(Tell::Send(connection, vec![vec![1; 1_000]]));
    world.run();
    world.stop(Duration::from_secs(1));
    world.run();
    world.kernel.carry_out_accept_cancel(0);
    // Bytes that nobody will be given are among what has to be put away.
    world.core().service_mut().hold = true;
    world.kernel.deliver(socket, b"x", true);
    world.run();
    world.advance(Duration::from_secs(1));
    world.step(10);
    assert_eq!(world.machine.cores()[0].stopped(), None, "completions are to come");
    assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Everything));
    world.carry_out_cancels(socket);
    world.step(3);
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::TimedOut));
    assert!(world.kernel.is_closed(socket));
}
