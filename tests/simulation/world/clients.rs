//! What scenarios and random clients do in a world: connect, subscribe, publish, stall, close.

use blipmq::broker::Protocol;
use blipmq::protocol::CoreId;

use super::{Client, DRAIN_TIMEOUT, World};
use crate::conversation::{Asks, Conversation, Publish, Seen};

impl World {
    /// A new connection; HELLO is the caller's part. Returns its number.
    pub fn connect_to(&mut self, core: usize, fast: bool, downstream_len_max: usize) -> usize {
        self.connect_by(Protocol::Blip, core, fast, downstream_len_max)
    }

    /// A new connection by the listener of a protocol. Returns its number.
    pub fn connect_by(
        &mut self,
        protocol: Protocol,
        core: usize,
        fast: bool,
        downstream_len_max: usize,
    ) -> usize {
        let number = self.wires.len();
        self.note(|| format!("{number} connects to core {core}, fast: {fast}"));
        self.open(core, protocol, (fast, downstream_len_max));
        self.conversations.push(Conversation {
            number,
            core,
            loses_nothing: fast && self.plan.spares_fast_readers(),
            ..Conversation::default()
        });
        number
    }

    pub fn topic(&mut self, name: &str) -> usize {
        self.truth.topic(&self.cluster, name)
    }

    /// A topic that this core owns.
    pub fn topic_on(&self, core: usize) -> String {
        let owner = |name: &String| {
            usize::from(self.cluster.core_of(self.cluster.shard_of_name(name)).0) == core
        };
        (0..).map(|number| format!("t{number}.t")).find(owner).expect("some name is hashed there")
    }

    /// Connects a client that has said HELLO.
    pub fn connect(&mut self, core: CoreId) -> Client {
        let number = self.connect_to(core.0.into(), false, 64 * 1_024);
        self.conversations[number].hello(&mut self.wires[number].upstream);
        Client(number)
    }

    /// A new client with a subscription in force.
    pub fn subscribe(&mut self, core: CoreId, pattern: &str) -> Client {
        let client = self.connect(core);
        self.add_subscription(client, pattern, 0, 0);
        self.run_until_idle();
        client
    }

    /// One more subscription; returns its number.
    pub fn add_subscription(
        &mut self,
        client: Client,
        pattern: &str,
        overflow: u8,
        capacity: u32,
    ) -> u32 {
        self.add(client, pattern, Asks { overflow, capacity, ..Asks::default() })
    }

    /// One more subscription with whatever options; returns its number.
    pub fn add(&mut self, client: Client, pattern: &str, asks: Asks<'_>) -> u32 {
        let upstream = &mut self.wires[client.0].upstream;
        let policy = self.plan.settings.queues.overflow_policy;
        self.conversations[client.0].subscribe(upstream, policy, pattern, asks)
    }

    pub fn unsubscribe(&mut self, client: Client, subscription: u32) {
        let upstream = &mut self.wires[client.0].upstream;
        self.conversations[client.0].unsubscribe(upstream, subscription);
    }

    /// A new client that publishes each payload in a frame of its own.
    pub fn publish_each<'a>(
        &mut self,
        core: CoreId,
        topic: &str,
        payloads: impl IntoIterator<Item = &'a str>,
    ) -> Client {
        let client = self.connect(core);
        for payload in payloads {
            self.publish(client, topic, payload, 0);
        }
        client
    }

    pub fn publish(&mut self, client: Client, topic: &str, payload: &str, ttl_ms: u32) {
        let topic = self.topic(topic);
        let payloads = [payload.as_bytes().to_vec()];
        let publish = Publish { topic, by_id: true, payloads: &payloads, ttl_ms, flags: 0 };
        self.write_publish(client.0, publish);
    }

    pub fn write_publish(&mut self, number: usize, publish: Publish<'_>) {
        self.conversations[number].publish(
            &mut self.wires[number].upstream,
            &mut self.truth,
            &self.plan.settings,
            publish,
        );
    }

    /// The client stops reading; what its socket buffer holds no room for stays with the broker.
    pub fn stall(&mut self, client: Client, downstream_len_max: usize) {
        self.wires[client.0].stalled = true;
        self.wires[client.0].downstream_len_max = downstream_len_max;
    }

    pub fn resume(&mut self, client: Client) {
        self.wires[client.0].stalled = false;
    }

    pub fn close(&mut self, client: Client) {
        self.conversations[client.0].close(&mut self.wires[client.0].upstream);
    }

    pub fn advance_ms(&mut self, ms: u64) {
        self.clock.monotonic_ns += ms * 1_000_000;
    }

    /// Tells every core to stop.
    pub fn stop(&mut self) {
        self.note(|| "stop".to_string());
        self.stopping = true;
        self.machine.stop_handle().stop(DRAIN_TIMEOUT);
    }

    /// What a client has read, in order.
    pub fn seen(&self, client: Client) -> &[Seen] {
        &self.conversations[client.0].seen
    }

    /// The payloads a client has read; there must have been no gaps.
    pub fn received(&self, client: Client) -> Vec<&str> {
        let seen = self.seen(client).iter();
        seen.map(|seen| match seen {
            Seen::Message(payload) => payload.as_str(),
            gap => panic!("{gap:?} where only messages were expected"),
        })
        .collect()
    }
}
