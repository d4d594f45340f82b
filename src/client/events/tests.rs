use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn gap(first: u64) -> Event {
    let reason = GapReason::Overflow;
    Event::Gap(Gap { topic: "a".into(), first, messages: 1, reason, subscription: None })
}

fn error() -> Event {
    Event::Error(ClientError::Closed)
}

#[test]
fn reader_never_gets_further_ahead_of_the_caller_than_the_bound() {
    let queue = EventQueue::new(4, usize::MAX);
    let pushed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for first in 0..1_000 {
                queue.push_all(&mut vec![gap(first)]);
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
    let queue = EventQueue::new(4, usize::MAX);
    queue.push_all(&mut vec![gap(1)]);
    queue.end(ClientError::Closed);
    assert!(matches!(queue.pop(None), Ok(Some(Event::Gap(_)))));
    assert!(matches!(queue.pop(None), Err(ClientError::Closed)));
    assert!(matches!(queue.pop(Some(Instant::now())), Err(ClientError::Closed)));
}

#[test]
fn errors_that_nobody_receives_never_stop_the_reader() {
    let queue = EventQueue::new(4, usize::MAX);
    for _ in 0..100 {
        queue.push_all(&mut vec![error()]);
    }
    assert_eq!(queue.lock().events.len(), 4);
}

#[test]
fn discarding_and_lifting_the_bounds_let_a_waiting_reader_go() {
    for lift in [EventQueue::discard, EventQueue::lift_bounds] {
        let queue = EventQueue::new(1, usize::MAX);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| queue.push_all(&mut (0..100).map(gap).collect::<Vec<_>>()));
            lift(&queue);
            reader.join().expect("the reader ends");
        });
    }
}
