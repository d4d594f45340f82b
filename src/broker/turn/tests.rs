//! A test of what needs several rooms and their private doors; `tests/broker.rs` has the others.

use std::sync::Arc;

use crate::broker::{Broker, Cluster, Now};
use crate::config::Settings;
use crate::protocol::CoreId;

const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };

#[test]
fn publishers_wait_until_the_last_core_has_room_again() {
    let cluster = Cluster::new(2, 1, Arc::new(Settings::default()));
    let name: Arc<str> = (0..)
        .map(|number| Arc::from(format!("topic{number}")))
        .find(|name| cluster.core_of(cluster.shard_of_name(name)) == CoreId(0))
        .expect("some topic is core 0's");
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let (topic, _) =
        broker.topics.open(NOW, &mut broker.timers, &name).expect("there is room for one");
    let block = |broker: &mut Broker, from, blocked| {
        let request = crate::broker::delivery::Request::Block { topic: topic.id, blocked };
        broker.serve_delivery_request(NOW, CoreId(from), request);
        broker.delivery.is_blocked(topic.id)
    };
    for (from, blocked) in [(0, true), (1, true), (0, false)] {
        assert!(block(&mut broker, from, blocked), "one core at least is full");
    }
    assert!(!block(&mut broker, 1, false));
}
