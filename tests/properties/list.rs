//! A queue as a plain list of frames, with the fate of each message: slow and obvious.

use std::collections::{BTreeSet, HashMap, VecDeque};

use blipmq::broker::delivery::overflow::Outcome;
use blipmq::broker::delivery::queue::Bounds;
use blipmq::broker::message::{Gap, Slice};
use blipmq::config::OverflowPolicy;
use blipmq::protocol::GapReason;

use crate::frames::{self, Shape};

/// A message: topic and sequence.
type Message = (u32, u64);

/// A frame of consecutive messages of one topic.
#[derive(Debug, Clone)]
struct Frame {
    topic: u32,
    first: u64,
    messages: u64,
    bytes: u64,
}

impl Frame {
    fn messages(&self) -> impl Iterator<Item = Message> + use<> {
        let topic = self.topic;
        (self.first..self.first + self.messages).map(move |sequence| (topic, sequence))
    }
}

#[derive(Debug)]
pub struct List {
    policy: OverflowPolicy,
    bounds: Bounds,
    frames: VecDeque<Frame>,
    /// Retained messages of a replay: before everything else, without bounds.
    replay: VecDeque<Frame>,
    /// Missing messages that are not reported yet.
    missing: HashMap<Message, GapReason>,
    /// Missing messages that came after every frame in the list.
    behind: BTreeSet<Message>,
    /// The next sequence of each topic that the reader does not know of.
    next_unreported: HashMap<u32, u64>,
}

fn split(topic: u32, first: u64, shape: &Shape) -> VecDeque<Frame> {
    let mut next = first;
    let frames = shape.iter().map(|paddings| {
        let (first, messages) = (next, paddings.len() as u64);
        next += messages;
        Frame { topic, first, messages, bytes: frames::frame_len(paddings) as u64 }
    });
    frames.collect()
}

fn sums(frames: &VecDeque<Frame>) -> (u64, u64) {
    let messages = frames.iter().map(|frame| frame.messages).sum();
    (messages, frames.iter().map(|frame| frame.bytes).sum())
}

impl List {
    pub fn new(policy: OverflowPolicy, bounds: Bounds) -> List {
        List {
            policy,
            bounds,
            frames: VecDeque::new(),
            replay: VecDeque::new(),
            missing: HashMap::new(),
            behind: BTreeSet::new(),
            next_unreported: HashMap::new(),
        }
    }

    pub fn messages(&self) -> u64 {
        sums(&self.frames).0
    }

    pub fn messages_with_replay(&self) -> u64 {
        self.messages() + sums(&self.replay).0
    }

    pub fn bytes(&self) -> u64 {
        sums(&self.frames).1
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.replay.is_empty() && self.missing.is_empty()
    }

    fn within(&self, (messages, bytes): (u64, u64)) -> bool {
        messages <= u64::from(self.bounds.messages_max) && bytes <= self.bounds.bytes_max
    }

    /// Whether these frames fit into the list. A frame alone always fits.
    fn fits(&self, new: &VecDeque<Frame>) -> bool {
        let (messages, bytes) = sums(new);
        self.within((self.messages() + messages, self.bytes() + bytes))
            || (self.frames.is_empty() && new.len() == 1)
    }

    fn push(&mut self, frame: Frame) {
        self.behind.clear();
        self.frames.push_back(frame);
    }

    fn lose(&mut self, frame: &Frame, reason: GapReason) -> u32 {
        self.missing.extend(frame.messages().map(|message| (message, reason)));
        frame.messages as u32
    }

    pub fn push_replay(&mut self, topic: u32, first: u64, shape: &Shape) {
        self.replay.extend(split(topic, first, shape));
    }

    /// Records messages that are never offered to the queue.
    pub fn miss(&mut self, topic: u32, first: u64, messages: u64, reason: GapReason) {
        let frame = Frame { topic, first, messages, bytes: 0 };
        self.lose(&frame, reason);
        self.behind.extend(frame.messages());
    }

    pub fn miss_replay(&mut self, topic: u32, first: u64, messages: u64) {
        let frame = Frame { topic, first, messages, bytes: 0 };
        self.lose(&frame, GapReason::NoLongerKept);
    }

    pub fn enqueue(&mut self, topic: u32, first: u64, shape: &Shape) -> Outcome {
        let mut new = split(topic, first, shape);
        let mut outcome = Outcome::default();
        let messages = sums(&new).0 as u32;
        match self.policy {
            OverflowPolicy::DropOldest => {
                outcome.enqueued = messages;
                while !self.fits(&new) {
                    let (oldest, was_new) = match self.frames.pop_front() {
                        Some(oldest) => (oldest, false),
                        None => (new.pop_front().expect("one alone fits"), true),
                    };
                    outcome.dropped_oldest += self.lose(&oldest, GapReason::Overflow);
                    if was_new {
                        self.behind.extend(oldest.messages());
                    }
                }
                new.into_iter().for_each(|frame| self.push(frame));
            }
            OverflowPolicy::DropNew => {
                for frame in new {
                    if self.fits(&[frame.clone()].into()) {
                        outcome.enqueued += frame.messages as u32;
                        self.push(frame);
                    } else {
                        outcome.dropped_new += self.lose(&frame, GapReason::Overflow);
                        self.behind.extend(frame.messages());
                    }
                }
            }
            OverflowPolicy::Block => {
                outcome.enqueued = messages;
                new.into_iter().for_each(|frame| self.push(frame));
                // Before the queue is full, so that messages under way find room.
                outcome.blocks = self.messages() * 4 >= u64::from(self.bounds.messages_max) * 3
                    || self.bytes() * 4 >= self.bounds.bytes_max * 3;
            }
            OverflowPolicy::Disconnect => {
                if self.fits(&new) {
                    outcome.enqueued = messages;
                    new.into_iter().for_each(|frame| self.push(frame));
                } else {
                    outcome.disconnects = true;
                }
            }
            OverflowPolicy::Latest => {
                outcome.enqueued = messages;
                self.conflate(new, shape, &mut outcome);
            }
        }
        outcome
    }

    fn conflate(&mut self, mut new: VecDeque<Frame>, shape: &Shape, outcome: &mut Outcome) {
        let mut last = new.pop_back().expect("a slice has a frame");
        let before_last = Frame { messages: last.messages - 1, ..last.clone() };
        let padding = *shape.last().and_then(|frame| frame.last()).expect("a message");
        last = Frame {
            first: last.first + last.messages - 1,
            messages: 1,
            bytes: frames::frame_len(&[padding]) as u64,
            ..last
        };
        let first = new.front().map_or(before_last.first, |frame| frame.first);
        for skipped in new.iter().chain([&before_last]) {
            outcome.conflated += self.lose(skipped, GapReason::Conflated);
        }
        let place = self.frames.iter().position(|frame| frame.topic == last.topic);
        let mut in_place = None;
        if let Some(place) = place {
            let older = self.frames[place].clone();
            outcome.conflated += self.lose(&older, GapReason::Conflated);
            // The message keeps its place unless a missing one must be reported in between.
            let continues = older.first + 1 == first;
            in_place = Some(place).filter(|_| continues && self.behind.is_empty());
            if in_place.is_none() {
                self.frames.remove(place);
            }
        }
        match in_place {
            Some(place) => self.frames[place] = last,
            None => self.push(last),
        }
        while !self.within(sums(&self.frames)) && self.frames.len() > 1 {
            let oldest = self.frames.pop_front().expect("more than one");
            outcome.dropped_oldest += self.lose(&oldest, GapReason::Overflow);
        }
    }

    /// Records messages that the reader received.
    pub fn took(&mut self, slice: &Slice) {
        for messages in frames::read(slice) {
            let from = if self.replay.is_empty() { &mut self.frames } else { &mut self.replay };
            let frame = from.pop_front().expect("what is handed out was queued");
            assert_eq!((frame.topic, frame.messages), (slice.topic.id.0, u64::from(messages)));
            self.reported(frame.topic, frame.first, frame.messages);
        }
    }

    /// Records a gap that the reader received.
    pub fn took_gap(&mut self, gap: &Gap) {
        assert!(gap.messages > 0, "an empty gap says nothing");
        for sequence in gap.first.0..gap.first.0 + gap.messages {
            let message = (gap.topic.id.0, sequence);
            assert_eq!(self.missing.remove(&message), Some(gap.reason), "{message:?}");
            self.behind.remove(&message);
        }
        self.reported(gap.topic.id.0, gap.first.0, gap.messages);
    }

    /// Checks that no message of a topic is reported twice, left out, or out of order.
    fn reported(&mut self, topic: u32, first: u64, messages: u64) {
        let next = self.next_unreported.entry(topic).or_insert(1);
        assert_eq!(*next, first, "topic {topic}");
        *next = first + messages;
    }

    pub fn next_unreported(&self, topic: u32) -> u64 {
        self.next_unreported.get(&topic).copied().unwrap_or(1)
    }
}
