//! Decoding of frames from a buffer, as a connection reads them.

use std::hint::black_box;

use blipmq::protocol::decode::{self, ClientFrame};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::support::frame;

const FRAMES: u64 = 200;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for messages in [1, 64] {
        let bytes = frame(1, messages, 0).repeat(FRAMES as usize);
        group.throughput(Throughput::Elements(FRAMES));
        group.bench_function(BenchmarkId::new("frames_of_messages", messages), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(bytes.as_slice());
                let (mut frames, mut found) = (0, 0);
                while let Some(frame) = decode::next_frame(rest, 1 << 20).expect("a valid frame") {
                    rest = &rest[frame.len()..];
                    match decode::client_frame(frame, 1 << 20).expect("a valid frame") {
                        ClientFrame::Messages(header) => found += u64::from(header.count),
                        other => panic!("expected messages, got {other:?}"),
                    }
                    frames += 1;
                }
                assert_eq!((frames, found), (FRAMES, FRAMES * u64::from(messages)));
            });
        });
    }
    group.finish();
}
