//! Groups: each message goes to exactly one member, on any core, also when members leave.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{ChildStderr, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use blipmq::protocol::decode::{ServerFrame, Subscribe};
use blipmq::protocol::{SubscriptionId, encode};

use super::on_one_and_two_cores;
use crate::account::{Account, Window};
use crate::support::running::{Broker, Running, blipmq};
use crate::support::wire::{PATIENCE, Wire};
use crate::support::written::{encode_messages, wanting};

on_one_and_two_cores! {
    each_message_goes_to_one_of_three_members_and_to_every_plain_subscriber,
    messages_queued_for_a_member_that_unsubscribes_go_to_another_member,
    a_member_whose_connection_dies_loses_only_what_its_socket_held,
    a_member_that_hangs_loses_only_what_its_socket_held,
    a_worker_that_is_stopped_is_out_after_pings_max_and_gets_no_more_jobs,
}

/// A client that says nothing is closed after three and a half seconds: longer than a busy machine keeps
/// one that answers from its CPU.
const WATCHED: &str = "[server]\nping_interval_ms = 500\npings_max = 6\n";

fn member<'a>(pattern: &'a str, group: &'a str) -> Subscribe<'a> {
    Subscribe { group, ..wanting(9, pattern) }
}

/// The messages that any member received. None comes twice.
#[derive(Default)]
struct Got(Mutex<HashSet<u64>>);

impl Got {
    fn len(&self) -> usize {
        self.0.lock().expect("no other thread has failed").len()
    }

    fn wait_for(&self, messages: usize) {
        let start_time = Instant::now();
        while self.len() < messages {
            assert!(start_time.elapsed() < PATIENCE, "{} of {messages} came", self.len());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Accounts for a frame of messages of the member; returns how many there are.
    fn take(&self, frame: &crate::support::wire::Frame) -> u64 {
        let Some((header, payloads)) = frame.messages() else {
            let decoded = frame.decoded();
            assert!(matches!(decoded, ServerFrame::Topic { .. }), "nothing is lost: {decoded:?}");
            return 0;
        };
        assert_eq!(header.subscription, 9, "a group's message is for the member: {header:?}");
        let mut got = self.0.lock().expect("no other thread has failed");
        for (sequence, payload) in (header.sequence..).zip(&payloads) {
            assert_eq!(payload[..8], sequence.to_le_bytes());
            assert!(got.insert(sequence), "message {sequence} came twice");
        }
        payloads.len() as u64
    }
}

/// Publishes `first..=last`, each its sequence, in frames of one to `frame_max`.
fn publish(wire: &mut Wire, topic: u32, first: u64, last: u64, len: usize, frame_max: u64) {
    let mut next = first;
    wire.send(|out| {
        while next <= last {
            let count = (1 + next % frame_max).min(last + 1 - next);
            let payloads: Vec<Vec<u8>> = (next..next + count)
                .map(|sequence| {
                    let mut payload = sequence.to_le_bytes().to_vec();
                    payload.resize(len, 0);
                    payload
                })
                .collect();
            let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            encode_messages(out, topic, 0, &payloads);
            next += count;
        }
    });
}

/// Method: 30,000 messages; three members by a pattern, a second group, a plain subscriber.
fn each_message_goes_to_one_of_three_members_and_to_every_plain_subscriber(cores: &str) {
    const MESSAGES: u64 = 30_000;
    const CHUNK: u64 = 50;
    let broker = Broker::start(cores);
    let mut plain = Wire::connect(broker.addr);
    plain.subscribe(1, "work.a");
    let mut members: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.addr)).collect();
    for wire in &mut members {
        wire.subscribe_to(&member("work.*", "three"));
    }
    let ends: Vec<TcpStream> = members.iter().map(Wire::writer).collect();
    let mut alone = Wire::connect(broker.addr);
    alone.subscribe_to(&member("work.*", "alone"));
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "work.a");
    // 0 is the plain subscriber, 1 the group of three, 2 the other group.
    let window = Window::new(3, 1_000);
    let (three, one) = (Got::default(), Got::default());
    let shares: Vec<u64> = std::thread::scope(|scope| {
        let readers: Vec<_> = members
            .iter_mut()
            .map(|wire| {
                let (three, window) = (&three, &window);
                scope.spawn(move || {
                    let mut share = 0;
                    while let Ok(Some(frame)) = wire.try_next() {
                        let came = three.take(&frame);
                        window.received(1, came);
                        share += came;
                    }
                    share
                })
            })
            .collect();
        scope.spawn(|| {
            while one.len() < MESSAGES as usize {
                window.received(2, one.take(&alone.expect()));
            }
            alone.ping();
        });
        scope.spawn(|| {
            let mut account = Account::new(topic, 1);
            for last in (CHUNK..=MESSAGES).step_by(CHUNK as usize) {
                account.take_until(&mut plain, last, |_, _| {});
                window.received(0, CHUNK);
            }
            assert!(account.gaps.is_empty());
            plain.ping();
        });
        for first in (1..=MESSAGES).step_by(CHUNK as usize) {
            window.publish(&[0, 1, 2], CHUNK);
            publish(&mut publisher, topic, first, first + CHUNK - 1, 16, 3);
        }
        three.wait_for(MESSAGES as usize);
        // The plain subscriber, the other group, and the three together got all: no more may be sent.
        let all = 3 * MESSAGES;
        broker.wait_for_metric("blipmq_delivered_messages_total", "", |sent| sent == all);
        for member in &ends {
            member.shutdown(Shutdown::Both).expect("it is connected");
        }
        readers.into_iter().map(|reader| reader.join().expect("the thread succeeds")).collect()
    });
    assert_eq!(shares.iter().sum::<u64>(), MESSAGES);
    assert!(shares.iter().all(|share| *share > MESSAGES / 10), "all have a share: {shares:?}");
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop((members, ends, plain, alone, publisher));
    broker.stop();
}

const MESSAGES: u64 = 2_000;
const PAYLOAD_LEN: usize = 8 * 1_024;

/// A group of a member that reads and a stalled one. Returns once the reader has its share, with the
/// messages that the reader has received.
fn half_is_stuck(broker: &Broker) -> (Wire, Wire, Wire, u32, Got) {
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe_to(&member("stuck", "two"));
    let mut reader = Wire::connect(broker.addr);
    reader.subscribe_to(&member("stuck", "two"));
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "stuck");
    let got = Got::default();
    let mut next = 1;
    while next <= MESSAGES {
        publish(&mut publisher, topic, next, next + 99, PAYLOAD_LEN, 1);
        next += 100;
        publisher.ping();
        // Members take turns, so the reader has nearly half of the messages.
        while got.len() as u64 + 60 < next / 2 {
            got.take(&reader.expect());
        }
    }
    (stalled, reader, publisher, topic, got)
}

fn messages_queued_for_a_member_that_unsubscribes_go_to_another_member(cores: &str) {
    let broker = Broker::start(cores);
    let (mut stalled, mut reader, publisher, _, got) = half_is_stuck(&broker);
    stalled.send(|out| encode::unsubscribe(out, SubscriptionId(9)));
    let mut had = 0;
    loop {
        let frame = stalled.expect();
        if let ServerFrame::Unsubscribed { subscription } = frame.decoded() {
            assert_eq!(subscription, SubscriptionId(9));
            break;
        }
        had += got.take(&frame);
    }
    stalled.ping();
    while (got.len() as u64) < MESSAGES {
        got.take(&reader.expect());
    }
    reader.ping();
    assert!(had < MESSAGES / 2, "sockets do not hold 8 MiB, so something was handed on");
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop((stalled, reader, publisher));
    broker.stop();
}

/// Method: messages in the socket of the dead member, and its last send, may be lost; no others.
fn a_member_whose_connection_dies_loses_only_what_its_socket_held(cores: &str) {
    let broker = Broker::start(cores);
    let (stalled, reader, publisher, topic, got) = half_is_stuck(&broker);
    stalled.reset();
    the_reader_gets_the_rest(broker, reader, publisher, topic, got);
}

/// Method: as above, for a member that neither reads nor says anything; the others answer PINGs.
fn a_member_that_hangs_loses_only_what_its_socket_held(cores: &str) {
    let broker = Broker::start_with(cores, WATCHED);
    let (stalled, reader, publisher, topic, got) = half_is_stuck(&broker);
    let speaker = Speaker::start(&[&reader, &publisher]);
    broker.wait_for_metric("blipmq_stale_connections_total", "", |closed| closed == 1);
    speaker.stop();
    the_reader_gets_the_rest(broker, reader, publisher, topic, got);
    drop(stalled);
}

/// A thread that lets clients be heard that wait for something else.
struct Speaker {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Speaker {
    fn start(wires: &[&Wire]) -> Speaker {
        let is_over = Arc::<AtomicBool>::default();
        let mut streams: Vec<TcpStream> = wires.iter().map(|wire| wire.writer()).collect();
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut pong = Vec::new();
            encode::pong(&mut pong, 0);
            while !over.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    stream.write_all(&pong).expect("the broker reads");
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Speaker { is_over, thread }
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread succeeds");
    }
}

/// After one of two members is gone: each message is handed on or lost with the socket.
fn the_reader_gets_the_rest(
    broker: Broker,
    mut reader: Wire,
    mut publisher: Wire,
    topic: u32,
    got: Got,
) {
    // Each message is in a socket of a member, or lost with the last send: none is left in a queue.
    let start_time = Instant::now();
    while broker.metric("blipmq_delivered_messages_total", "")
        + broker.metric("blipmq_dropped_messages_total", "reason=\"disconnected\"")
        < MESSAGES
    {
        let before = got.len();
        while got.len() == before && got.len() < MESSAGES as usize * 3 / 4 {
            got.take(&reader.expect());
        }
        assert!(start_time.elapsed() < PATIENCE, "{} came", got.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    // The group continues without this member.
    publish(&mut publisher, topic, MESSAGES + 1, MESSAGES + 30, 16, 1);
    while !got.0.lock().expect("one thread").contains(&(MESSAGES + 30)) {
        got.take(&reader.expect());
    }
    reader.ping();
    let lost = MESSAGES as usize + 30 - got.len();
    assert!(lost * PAYLOAD_LEN < 5 << 20, "{lost} messages were in the socket of the dead one?");
    reader.stream.shutdown(Shutdown::Both).expect("it is connected");
    drop((reader, publisher));
    broker.stop();
}

/// A `blipmq sub` in the group of workers, once its subscription is active; and the lines it prints.
fn worker(broker: &Broker) -> (Running, BufReader<ChildStdout>, BufReader<ChildStderr>) {
    let mut command = blipmq(&["sub", "jobs", "--group", "workers", "--server", &broker.server()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let stdout = BufReader::new(running.child.stdout.take().expect("a piped stream"));
    let mut stderr = BufReader::new(running.child.stderr.take().expect("a piped stream"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("UTF-8 output");
    assert!(line.contains("subscribed to jobs"), "{line}");
    (running, stdout, stderr)
}

/// Goal: a process that stands still keeps no jobs from those that run.
/// Method: two workers have a job each in turn; one is stopped by SIGSTOP. When it is out, the other gets
/// every job. The stopped one goes on, and is told why it was closed.
fn a_worker_that_is_stopped_is_out_after_pings_max_and_gets_no_more_jobs(cores: &str) {
    let broker = Broker::start_with(cores, WATCHED);
    let (mut stopped, mut first_jobs, mut complaint) = worker(&broker);
    let (running, mut jobs, _stderr) = worker(&broker);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "jobs");
    let publish = |publisher: &mut Wire, first: usize| {
        for number in first..first + 20 {
            publisher.publish(topic, &[number.to_string().as_bytes()]);
        }
        publisher.ping();
    };
    fn next(jobs: &mut impl BufRead) -> usize {
        let mut line = String::new();
        jobs.read_line(&mut line).expect("UTF-8 output");
        line.trim_end().parse().expect("a job")
    }
    publish(&mut publisher, 0);
    let mut done: Vec<usize> =
        (0..10).flat_map(|_| [next(&mut first_jobs), next(&mut jobs)]).collect();
    done.sort_unstable();
    assert_eq!(done, (0..20).collect::<Vec<_>>(), "both have a share");

    stopped.signal("STOP");
    let speaker = Speaker::start(&[&publisher]);
    broker.wait_for_metric("blipmq_stale_connections_total", "", |closed| closed == 1);
    speaker.stop();
    publish(&mut publisher, 20);
    let done: Vec<usize> = (0..20).map(|_| next(&mut jobs)).collect();
    assert_eq!(done, (20..40).collect::<Vec<_>>(), "the other worker gets every job");
    stopped.signal("CONT");
    assert_eq!(stopped.wait().code(), Some(1));
    let mut text = String::new();
    complaint.read_to_string(&mut text).expect("UTF-8 output");
    assert!(text.contains("PINGs were not answered"), "{text}");
    drop((publisher, running));
    broker.stop();
}
