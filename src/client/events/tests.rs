use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn queue_of(events_max: usize) -> EventQueue {
    EventQueue::new(events_max, usize::MAX, Duration::from_secs(3_600))
}

fn gap(first: u64) -> Event {
    let reason = GapReason::Overflow;
    Event::Gap(Gap { topic: "a".into(), first, messages: 1, reason, subscription: None })
}

fn error() -> Event {
    Event::Error(ClientError::Closed)
}

#[test]
fn reader_never_gets_further_ahead_of_the_caller_than_the_bound() {
    let queue = queue_of(4);
    let pushed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for first in 0..1_000 {
                queue.push_all(&mut vec![gap(first)], || {});
                pushed.fetch_add(1, Ordering::SeqCst);
            }
        });
        for taken in 0..1_000 {
            assert!(pushed.load(Ordering::SeqCst) <= taken + 4);
            let Ok(Some(Event::Gap(gap))) = queue.pop(None) else { panic!("a gap") };
            assert_eq!(gap.first, taken as u64);
        }
    });
}

#[test]
fn end_comes_behind_the_last_event_and_stays() {
    let queue = queue_of(4);
    queue.push_all(&mut vec![gap(1)], || {});
    queue.end(ClientError::Closed);
    assert!(matches!(queue.pop(None), Ok(Some(Event::Gap(_)))));
    assert!(matches!(queue.pop(None), Err(ClientError::Closed)));
    assert!(matches!(queue.pop(Some(Instant::now())), Err(ClientError::Closed)));
}

#[test]
fn errors_that_nobody_receives_never_stop_the_reader() {
    let queue = queue_of(4);
    for _ in 0..100 {
        queue.push_all(&mut vec![error()], || {});
    }
    assert_eq!(queue.lock().events.len(), 4);
}

#[test]
fn discarding_and_lifting_the_bounds_let_a_waiting_reader_go() {
    for lift in [EventQueue::discard, EventQueue::lift_bounds] {
        let queue = queue_of(1);
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| queue.push_all(&mut (0..100).map(gap).collect::<Vec<_>>(), || {}));
            lift(&queue);
            reader.join().expect("the reader ends");
        });
    }
}

/// Goal: a client whose caller receives nothing for long is not taken for one that hangs.
#[test]
fn a_reader_that_waits_for_room_is_heard_again_and_again() {
    let queue = EventQueue::new(1, usize::MAX, Duration::from_millis(1));
    let (heard, signs) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The test listens to some only.
            queue.push_all(&mut vec![gap(1), gap(2)], || {
                let _ = heard.send(());
            });
        });
        for _ in 0..3 {
            signs.recv().expect("a sign of life");
        }
        for first in 1..=2 {
            let Ok(Some(Event::Gap(gap))) = queue.pop(None) else { panic!("a gap") };
            assert_eq!(gap.first, first, "nothing is lost or comes twice");
        }
    });
}
