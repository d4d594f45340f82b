//! The plan of a round: which publisher sends to which subscribers on which topics.
//!
//! Created by `round`; read by `connections`. A *stream* is one publisher on one topic; a *cell* is
//! the progress of one subscriber in one stream.
//!
//! # Always true
//! - Every topic has a publisher and a subscriber.
//! - The cells of a stream are adjacent in memory: its publisher reads all of them often.

use std::ops::Range;

/// The limit of cells: publishers poll them, and each subscriber has a table of streams.
const CELLS_MAX: usize = 50_000_000;

/// One publisher on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub publisher: usize,
    pub topic: usize,
    /// One cell per subscriber of the topic, in order.
    pub cells: Range<usize>,
    /// The number of publishers that share the topic, and so its window.
    pub publishers: usize,
}

#[derive(Debug)]
pub struct Plan {
    pub topics: Vec<String>,
    pub publishers: usize,
    pub subscribers: usize,
    pub streams: Vec<Stream>,
    subscribers_of: Vec<Vec<usize>>,
}

/// Returns the topics of one of `count` clients. With enough topics the clients divide them up;
/// with fewer topics than clients, clients share topics.
fn topics_of(index: usize, count: usize, topics: usize) -> impl Iterator<Item = usize> {
    let (first, step) = if topics >= count { (index, count) } else { (index % topics, topics) };
    (first..topics).step_by(step)
}

impl Plan {
    pub fn new(
        run: &str,
        publishers: usize,
        subscribers: usize,
        topics: usize,
    ) -> Result<Plan, String> {
        let streams_count = publishers.max(topics);
        if streams_count.saturating_mul(subscribers) > CELLS_MAX {
            return Err(format!(
                "{publishers} publishers, {subscribers} subscribers and {topics} topics are more \
                 than can be checked at once ({CELLS_MAX} pairs): use fewer of them"
            ));
        }
        let mut subscribers_of = vec![Vec::new(); topics];
        for subscriber in 0..subscribers {
            for topic in topics_of(subscriber, subscribers, topics) {
                subscribers_of[topic].push(subscriber);
            }
        }
        let mut streams = Vec::with_capacity(streams_count);
        let mut cells = 0;
        for publisher in 0..publishers {
            for topic in topics_of(publisher, publishers, topics) {
                let until = cells + subscribers_of[topic].len();
                streams.push(Stream { publisher, topic, cells: cells..until, publishers: 0 });
                cells = until;
            }
        }
        let mut publishers_of = vec![0; topics];
        streams.iter().for_each(|stream| publishers_of[stream.topic] += 1);
        streams.iter_mut().for_each(|stream| stream.publishers = publishers_of[stream.topic]);
        let topics = (0..topics).map(|topic| format!("bench.{run}.{topic}")).collect();
        Ok(Plan { topics, publishers, subscribers, streams, subscribers_of })
    }

    pub fn cells(&self) -> usize {
        self.streams.last().map_or(0, |stream| stream.cells.end)
    }

    /// Returns the numbers of a publisher's streams.
    pub fn streams_of(&self, publisher: usize) -> Vec<usize> {
        let streams = self.streams.iter().enumerate();
        streams.filter(|(_, stream)| stream.publisher == publisher).map(|(at, _)| at).collect()
    }

    /// Returns the topics of a subscriber.
    pub fn topics_of_subscriber(&self, subscriber: usize) -> Vec<usize> {
        topics_of(subscriber, self.subscribers, self.topics.len()).collect()
    }

    /// Returns the number and the cell of each stream of a subscriber.
    pub fn cells_of(&self, subscriber: usize) -> Vec<(usize, usize)> {
        let place = |topic: usize| self.subscribers_of[topic].binary_search(&subscriber).ok();
        let streams = self.streams.iter().enumerate();
        streams
            .filter_map(|(at, stream)| Some((at, stream.cells.start + place(stream.topic)?)))
            .collect()
    }

    /// Returns the subscriber and the stream of a cell.
    pub fn subscriber_and_stream(&self, cell: usize) -> (usize, &Stream) {
        let found = self.streams.partition_point(|stream| stream.cells.end <= cell);
        let stream = &self.streams[found];
        (self.subscribers_of[stream.topic][cell - stream.cells.start], stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(publishers: usize, subscribers: usize, topics: usize) -> Vec<(usize, usize, usize)> {
        let plan = Plan::new("x", publishers, subscribers, topics).expect("a small plan");
        let mut pairs = Vec::new();
        for cell in 0..plan.cells() {
            let (subscriber, stream) = plan.subscriber_and_stream(cell);
            pairs.push((stream.publisher, stream.topic, subscriber));
            let cells = plan.cells_of(subscriber);
            let stream = plan
                .streams
                .iter()
                .position(|other| other == stream)
                .expect("a stream of the plan");
            assert!(cells.contains(&(stream, cell)), "both lookups agree");
        }
        pairs
    }

    #[test]
    fn equal_numbers_of_topics_and_clients_make_pairs() {
        assert_eq!(pairs(3, 3, 3), [(0, 0, 0), (1, 1, 1), (2, 2, 2)]);
    }

    #[test]
    fn one_topic_reaches_every_subscriber() {
        assert_eq!(pairs(1, 3, 1), [(0, 0, 0), (0, 0, 1), (0, 0, 2)]);
        assert_eq!(pairs(2, 2, 1), [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]);
    }

    #[test]
    fn more_topics_than_clients_are_divided_up_in_turn() {
        assert_eq!(pairs(2, 1, 3), [(0, 0, 0), (0, 2, 0), (1, 1, 0)]);
        assert_eq!(pairs(1, 2, 3), [(0, 0, 0), (0, 1, 1), (0, 2, 0)]);
        let plan = Plan::new("x", 4, 1, 2).expect("a small plan");
        assert!(plan.streams.iter().all(|stream| stream.publishers == 2));
    }

    #[test]
    fn plans_with_too_many_cells_are_refused() {
        assert!(Plan::new("x", 65_536, 65_536, 1).unwrap_err().contains("50000000"));
    }
}
