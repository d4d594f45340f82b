//! The subscriptions that a topic reaches: the cache compared with a search through all subscriptions.

use std::sync::Arc;

use blipmq::broker::delivery::queue::Bounds;
use blipmq::broker::delivery::subscriptions::{SubscriptionIndex, Subscriptions};
use blipmq::broker::delivery::{NewSubscription, State};
use blipmq::broker::message::TopicName;
use blipmq::broker::{ConnectionId, Slot, pattern};
use blipmq::config::OverflowPolicy;
use blipmq::protocol::{CoreId, Start, SubscriptionId, TopicId};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::patterns::{patterns, topics};

const CONNECTIONS: u32 = 4;

#[derive(Debug, Clone)]
enum Step {
    Subscribe { slot: u32, pattern: String, grouped: bool },
    Activate(Index),
    End(Index, bool),
    Remove(Index),
    Reach(Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..CONNECTIONS, patterns(), prop::bool::weighted(0.1)).prop_map(
            |(slot, pattern, grouped)| Step::Subscribe { slot, pattern, grouped }
        ),
        4 => any::<Index>().prop_map(Step::Activate),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, closes)| Step::End(which, closes)),
        2 => any::<Index>().prop_map(Step::Remove),
        6 => any::<Index>().prop_map(Step::Reach),
    ];
    prop::collection::vec(step, 0..100)
}

/// A subscription as the naive search knows it.
#[derive(Debug)]
struct Known {
    index: SubscriptionIndex,
    slot: u32,
    pattern: String,
    grouped: bool,
    state: State,
    /// The order of activation.
    order: usize,
}

/// For each connection, its earliest active subscription that matches.
fn reached(all: &[Known], topic: &str) -> Vec<SubscriptionIndex> {
    let of_connection = |slot| {
        let matching = all.iter().filter(|known| {
            known.slot == slot
                && known.state == State::Active
                && !known.grouped
                && pattern::matches(&known.pattern, topic)
        });
        matching.min_by_key(|known| known.order).map(|known| known.index)
    };
    (0..CONNECTIONS).filter_map(of_connection).collect()
}

fn pick(all: &mut [Known], which: Index, wanted: impl Fn(State) -> bool) -> Option<usize> {
    let fitting: Vec<usize> = (0..all.len()).filter(|at| wanted(all[*at].state)).collect();
    (!fitting.is_empty()).then(|| *which.get(&fitting))
}

proptest! {
    #![proptest_config(super::config())]

    /// Goal: a topic reaches each connection once, through its earliest subscription, while subscriptions
    /// come and go, and regardless of earlier look-ups.
    #[test]
    fn the_topic_cache_gives_the_result_of_a_search(
        names in prop::collection::vec(topics(), 1..6),
        steps in steps(),
    ) {
        let topics: Vec<Arc<TopicName>> = names.iter().zip(1..).map(|(name, id)| {
            Arc::new(TopicName { id: TopicId(id), owner: CoreId(0), name: name.as_str().into() })
        }).collect();
        let bounds = Bounds { messages_max: 1, bytes_max: 1 };
        let mut subscriptions = Subscriptions::default();
        let mut all: Vec<Known> = Vec::new();
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Subscribe { slot, pattern, grouped } => {
                    let index = subscriptions.insert(NewSubscription {
                        connection: ConnectionId { slot: Slot(slot), generation: 0 },
                        id: SubscriptionId(number),
                        name: None,
                        pattern: pattern.as_str().into(),
                        group: grouped.then(|| "g".into()),
                        start: Start::Live,
                        policy: OverflowPolicy::DropOldest,
                        bounds,
                        filter: None,
                        is_active_at_once: false,
                        is_sent_each: false,
                        takes_any_name: false,
                    }, 0);
                    prop_assert!(all.iter().all(|known| known.index != index));
                    let (state, order) = (State::Joining, 0);
                    all.push(Known { index, slot, pattern, grouped, state, order });
                }
                Step::Activate(which) => {
                    let wanted = |state| state == State::Joining;
                    if let Some(at) = pick(&mut all, which, wanted) {
                        subscriptions.activate(all[at].index);
                        all[at].state = State::Active;
                        all[at].order = number as usize;
                    }
                }
                Step::End(which, closes) => {
                    let state = if closes { State::Closing } else { State::Ending };
                    let wanted = |state| matches!(state, State::Active | State::Joining);
                    if let Some(at) = pick(&mut all, which, wanted) {
                        subscriptions.end(all[at].index, state);
                        all[at].state = state;
                    }
                }
                Step::Remove(which) => {
                    let wanted = |state| matches!(state, State::Ending | State::Closing);
                    if let Some(at) = pick(&mut all, which, wanted) {
                        let removed = subscriptions.remove(all[at].index);
                        prop_assert_eq!(&*removed.pattern, all[at].pattern.as_str());
                        all.swap_remove(at);
                    }
                }
                Step::Reach(which) => {
                    let topic = which.get(&topics);
                    let found = subscriptions.take_targets(topic);
                    prop_assert_eq!(&found.targets, &reached(&all, &topic.name), "{}", topic.name);
                    prop_assert!(found.of_one_connection_max <= 1, "none is sent each message");
                    subscriptions.put_targets(topic, found);
                }
            }
        }
        for topic in &topics {
            prop_assert_eq!(subscriptions.take_targets(topic).targets, reached(&all, &topic.name));
        }
        prop_assert_eq!(subscriptions.iter().count(), all.len());
    }
}
