//! What scenarios and random clients do in a world: connect, subscribe, publish, stall, close.

use blipmq::broker::Protocol;
use blipmq::protocol::CoreId;

use super::{Client, DRAIN_TIMEOUT, World};
use crate::conversation::{Asks, Conversation, Publish, Seen};

impl World {
    /// Opens a BLIP connection and returns its number; the caller sends HELLO.
    pub fn connect_to(&mut self, core: usize, fast: bool, downstream_len_max: usize) -> usize {
        self.connect_by(Protocol::Blip, core, fast, downstream_len_max)
    }

    /// Opens a connection to the listener of a protocol and returns its number.
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
            has_token: self.plan.settings.auth.token.is_some(),
            ..Conversation::default()
        });
        number
    }

    pub fn topic(&mut self, name: &str) -> usize {
        self.truth.topic(&self.cluster, name)
    }

    /// The name of a topic that a core owns.
    pub fn topic_on(&self, core: usize) -> String {
        let owner = |name: &String| {
            usize::from(self.cluster.core_of(self.cluster.shard_of_name(name)).0) == core
        };
        (0..)
            .map(|number| format!("t{number}.t"))
            .find(owner)
            .expect("some name hashes to the core")
    }

    /// Connects a client that has sent HELLO.
    pub fn connect(&mut self, core: CoreId) -> Client {
        let number = self.connect_to(core.0.into(), false, 64 * 1_024);
        self.conversations[number].hello(&mut self.wires[number].upstream);
        Client(number)
    }

    /// Connects a client with an active subscription.
    pub fn subscribe(&mut self, core: CoreId, pattern: &str) -> Client {
        let client = self.connect(core);
        self.add_subscription(client, pattern, 0, 0);
        self.run_until_idle();
        client
    }

    /// Adds a subscription and returns its number.
    pub fn add_subscription(
        &mut self,
        client: Client,
        pattern: &str,
        overflow: u8,
        capacity: u32,
    ) -> u32 {
        self.add(client, pattern, Asks { overflow, capacity, ..Asks::default() })
    }

    /// Adds a subscription with options and returns its number.
    pub fn add(&mut self, client: Client, pattern: &str, asks: Asks<'_>) -> u32 {
        let upstream = &mut self.wires[client.0].upstream;
        let policy = self.plan.settings.queues.overflow_policy;
        self.conversations[client.0].subscribe(upstream, policy, pattern, asks)
    }

    pub fn unsubscribe(&mut self, client: Client, subscription: u32) {
        let upstream = &mut self.wires[client.0].upstream;
        self.conversations[client.0].unsubscribe(upstream, subscription);
    }

    /// Connects a client that publishes each payload in a frame of its own.
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

    /// Stops a client from reading; what does not fit into the socket buffer stays with the broker.
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

    /// Stops every core.
    pub fn stop(&mut self) {
        self.note(|| "stop".to_string());
        self.stopping = true;
        self.machine.stop_handle().stop(DRAIN_TIMEOUT);
    }

    /// What a client has read, in order.
    pub fn seen(&self, client: Client) -> &[Seen] {
        &self.conversations[client.0].seen
    }

    /// The payloads that a client has read; panics if there was a gap.
    pub fn received(&self, client: Client) -> Vec<&str> {
        let seen = self.seen(client).iter();
        seen.map(|seen| match seen {
            Seen::Message(payload) => payload.as_str(),
            gap => panic!("{gap:?} where only messages were expected"),
        })
        .collect()
    }

    /// How many messages a client has read.
    pub fn messages_read(&self, client: Client) -> u64 {
        let is_message = |seen: &&Seen| matches!(seen, Seen::Message(_));
        self.seen(client).iter().filter(is_message).count() as u64
    }
}
