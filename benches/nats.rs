//! The NATS codec: parses commands from a buffer, appends frames, and encodes frames as lines.

use std::hint::black_box;

use blipmq::nats::{Bounds, Command, Publish, command, message};
use bytes::BytesMut;
use criterion::{Criterion, Throughput};

const MESSAGES: u64 = 100;
const PAYLOAD: [u8; 64] = [b'x'; 64];
const BOUNDS: Bounds = Bounds { control_line_max: 4_096, payload_max: 1 << 20 };

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nats");
    group.throughput(Throughput::Elements(MESSAGES));
    let subjects = [("a", &b"a"[..]), ("orders.eu.created", b"orders.eu.created")];
    for (name, subject) in subjects {
        let command = [b"PUB ", subject, b" 64\r\n", &PAYLOAD, b"\r\n"].concat();
        let bytes = command.repeat(MESSAGES as usize);
        group.bench_function(format!("parse_pub_{name}"), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(bytes.as_slice());
                let mut payload_bytes = 0;
                while let Some((command, consumed)) =
                    command::parse(rest, BOUNDS).expect("a valid command")
                {
                    let Command::Publish(publish) = command else { panic!("expected PUB") };
                    payload_bytes += publish.payload.len();
                    rest = &rest[consumed..];
                }
                assert_eq!(payload_bytes, PAYLOAD.len() * MESSAGES as usize);
            });
        });
    }
    let plain = Publish { subject: b"a", reply: None, headers: b"", payload: &PAYLOAD };
    let with_headers =
        Publish { reply: Some(b"r.1"), headers: b"NATS/1.0\r\nTrace: 1\r\n\r\n", ..plain };
    for (name, publish) in [("plain", plain), ("headers", with_headers)] {
        let mut frames = BytesMut::with_capacity(64 * 1_024);
        group.bench_function(format!("append_frame_{name}"), |bencher| {
            bencher.iter(|| {
                frames.clear();
                for _ in 0..MESSAGES {
                    message::append_frame(&mut frames, black_box(&publish))
                        .expect("a message within the bounds");
                }
            });
        });
        let len = frames.len() / MESSAGES as usize;
        for (what, frames) in [("100_frames", &frames[..]), ("one_frame", &frames[..len])] {
            let variant = message::Variant { subject: b"a", sid: b"1", headers: true };
            let mut out = BytesMut::with_capacity(64 * 1_024);
            group.throughput(Throughput::Elements((frames.len() / len) as u64));
            group.bench_function(format!("encode_{what}_{name}"), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    message::encode(&mut out, black_box(frames), black_box(&variant));
                });
            });
            assert!(out.ends_with(b"x\r\n"));
        }
        group.throughput(Throughput::Elements(MESSAGES));
    }
    group.finish();
}
