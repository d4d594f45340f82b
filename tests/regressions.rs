//! What fuzzing, property tests and the simulator have found, one test each.

use blipmq::broker::overflow::is_nearly_full;
use blipmq::broker::portion::Portion;
use blipmq::broker::queue::{Bounds, Queue};
use blipmq::protocol::{Sequence, TopicId, decode};

/// A HELLO too short for its magic was told 4000 or 4001, by whether more bytes had arrived.
#[test]
fn refusal_of_a_hello_without_magic_does_not_depend_on_what_follows_it() {
    let hello = [8, 0, 0, 0, 1, 0, 0, 0];
    let followed = [&hello[..], b"more"].concat();
    assert_eq!(decode::next_hello(&hello), Ok(Some(&hello[..])));
    assert_eq!(decode::next_hello(&followed), Ok(Some(&hello[..])));
}

/// Three quarters of five were six: publishers went on until the queue was beyond its bound.
#[test]
fn a_short_queue_is_nearly_full_before_it_is_full() {
    for messages_max in 1..100 {
        let full = Portion {
            topic: TopicId(1),
            subscription: 0,
            first: Sequence(1),
            messages: messages_max,
            deadline_ns: u64::MAX,
            frames: (&[0; 40][..]).into(),
        };
        let mut queue = Queue::default();
        queue.push(full);
        assert!(is_nearly_full(&queue, Bounds { messages_max, bytes_max: 1 << 20 }));
    }
}
