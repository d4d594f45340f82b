//! Opens the connections of a round: publishers, subscribers and bystanders.
//!
//! Called by `round`. Next on the path: `connect`, for each connection.

use super::codec::Envelope;
use super::connect::{Connection, Role};
use super::plan::Plan;
use super::publisher::{Lane, Publisher};
use super::round::Load;
use super::shared::Pace;
use super::target::{Protocol, Target};
use super::tracker::SequenceTracker;
use super::worker::Subscriber;

/// Refuses loads that a mirror cannot carry: a mirror has no frames, so the bytes of two publishers
/// of one topic would mix.
pub fn check_mirror(target: &Target, load: &Load) -> Result<(), String> {
    if target.protocol != Protocol::Raw {
        return Ok(());
    }
    if load.publishers != load.topics || load.subscribers < load.topics || load.patterns > 0 {
        return Err(format!(
            "{target}: a mirror has one topic per connection and one publisher per topic: give as \
             many --pubs as --topics ({} and {}), at least as many --subs ({}), and no --patterns",
            load.publishers, load.topics, load.subscribers
        ));
    }
    Ok(())
}

/// Opens the connections whose subscriptions never match: patterns, and idle connections.
pub fn open_bystanders(
    target: &Target,
    load: &Load,
    plan: &Plan,
) -> Result<Vec<Connection>, String> {
    // Tokens below a topic that is published to: none of these subscriptions matches it.
    let root = &plan.topics[0];
    let mut connections = Vec::new();
    if load.patterns > 0 {
        let patterns: Vec<String> =
            (0..load.patterns).map(|number| format!("{root}.none{number}.*")).collect();
        connections.push(Connection::open(target, Role::Patterns(&patterns))?.0);
    }
    for number in 0..load.idle_connections {
        let topic = [format!("{root}.idle.{number}")];
        connections.push(Connection::open(target, Role::Subscribe(&topic))?.0);
    }
    Ok(connections)
}

pub fn open_subscribers(
    target: &Target,
    load: &Load,
    plan: &Plan,
) -> Result<Vec<Subscriber>, String> {
    let mut subscribers = Vec::with_capacity(plan.subscribers);
    for number in 0..plan.subscribers {
        let topics = plan.topics_of_subscriber(number).into_iter();
        let topics: Vec<String> = topics.map(|topic| plan.topics[topic].clone()).collect();
        let (connection, _) = Connection::open(target, Role::Subscribe(&topics))?;
        let cells = plan.cells_of(number);
        let tracker = SequenceTracker::new(load.payload_len, plan.streams.len(), &cells);
        subscribers.push(Subscriber { number, connection, tracker });
    }
    Ok(subscribers)
}

pub fn open_publishers(
    target: &Target,
    load: &Load,
    plan: &Plan,
) -> Result<Vec<Publisher>, String> {
    let mut publishers = Vec::with_capacity(plan.publishers);
    // Only BLIP/1 has several messages in a frame.
    let batch = if target.protocol == Protocol::Blip { load.batch } else { 1 };
    for number in 0..plan.publishers {
        let streams = plan.streams_of(number);
        let topics = streams.iter().map(|stream| plan.streams[*stream].topic);
        let topics: Vec<String> = topics.map(|topic| plan.topics[topic].clone()).collect();
        let (connection, ids) = Connection::open(target, Role::Publish(&topics))?;
        let lanes = streams.into_iter().zip(topics.iter().zip(ids)).map(|(number, (topic, id))| {
            let stream = &plan.streams[number];
            let envelope = Envelope::new(target.protocol, topic, id, load.payload_len, batch);
            let window = match load.pace {
                Pace::Window(window) => (window / stream.publishers as u32).max(batch as u32),
                Pace::RoundTrip | Pace::Rate { .. } => 1,
            };
            Lane::new(number, stream.cells.clone(), window, envelope)
        });
        let lanes = lanes.collect();
        let publisher =
            Publisher::new(number, plan.publishers, connection, lanes, load.payload_len, batch);
        publishers.push(publisher);
    }
    Ok(publishers)
}
