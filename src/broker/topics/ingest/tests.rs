//! Tests of what one turn gathers.

use super::*;

const NOW: Now = Now { monotonic_ns: 5, unix_ns: 7 };

const PUBLISHER: ConnectionId = ConnectionId { slot: crate::broker::ids::Slot(0), generation: 1 };

fn ingest() -> Ingest {
    Ingest::new(&Settings::default())
}

fn topic(id: u32) -> Destination {
    Destination::Topic(TopicId(id))
}

#[test]
fn frames_of_interleaved_topics_are_gathered_by_topic() {
    let mut ingest = ingest();
    for frame in [b"a1", b"a2", b"a3"] {
        ingest.add(NOW, topic(1), 0, 1, frame, (PUBLISHER, None));
        let upper = frame.map(|byte| byte.to_ascii_uppercase());
        ingest.add(NOW, topic(2), 0, 2, &upper, (PUBLISHER, None));
    }
    let batches = ingest.take();
    assert_eq!(batches.len(), 2);
    assert_eq!((&batches[0].frames[..], batches[0].messages), (&b"a1a2a3"[..], 3));
    assert_eq!((&batches[1].frames[..], batches[1].messages), (&b"A1A2A3"[..], 6));
}

#[test]
fn another_ttl_starts_another_batch_and_does_not_reopen_an_older_one() {
    let mut ingest = ingest();
    for (ttl_ms, frame) in [(0, b"1"), (9, b"2"), (0, b"3"), (0, b"4")] {
        ingest.add(NOW, topic(1), ttl_ms, 1, frame, (PUBLISHER, None));
    }
    let frames: Vec<_> = ingest.take().into_iter().map(|batch| batch.frames).collect();
    assert_eq!(frames, [&b"1"[..], b"2", b"34"]);
}

#[test]
fn a_later_frame_by_id_never_overtakes_a_frame_by_name() {
    let mut ingest = ingest();
    ingest.add(NOW, topic(1), 0, 1, b"1", (PUBLISHER, None));
    ingest.add(NOW, Destination::Opened("a".into()), 0, 1, b"2", (PUBLISHER, None));
    ingest.add(NOW, topic(1), 0, 1, b"3", (PUBLISHER, None));
    let frames: Vec<_> = ingest.take().into_iter().map(|batch| batch.frames).collect();
    assert_eq!(frames, [&b"1"[..], b"2", b"3"]);
}

#[test]
fn max_batch_bounds_a_batch_and_the_queue_capacity_a_turn() {
    let settings = Settings::default();
    let mut ingest = ingest();
    let mut taken = 0;
    while ingest.has_room() {
        ingest.add(NOW, topic(1), 0, 100, b"frame", (PUBLISHER, None));
        taken += 100;
    }
    assert!(taken >= settings.queues.subscriber_capacity / 4);
    let batches = ingest.take();
    assert!(batches.iter().all(|batch| batch.messages <= settings.delivery.max_batch));
    assert_eq!(batches.iter().map(|batch| batch.messages).sum::<u32>(), taken);
    assert!(ingest.has_room());
}
