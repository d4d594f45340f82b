//! A service on tokio: answers requests in tasks of their own, and publishes a heartbeat meanwhile.
//!
//! ```sh
//! cargo run --release                                  # a broker, in another terminal
//! cargo run --example tokio_service                    # the broker's address if it is another
//! target/release/blipmq request upper.case espresso    # ESPRESSO, from a third terminal
//! ```
//!
//! The service ends when the broker does. With a `ReconnectPolicy` it would wait for the next one.
//! A program of yours takes `blipmq-client` with the feature `tokio`.

use std::sync::Arc;
use std::time::Duration;

use blipmq_client::tokio::{Client, Topic};
use blipmq_client::{
    ClientError, ClientOptions, Event, OwnedMessage, PublishOptions, SubscribeOptions,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests that are worked on at once. Further ones wait in the broker's queue, whose overflow
/// policy decides what happens when that is full.
const REQUESTS_MAX: usize = 64;

// `#[tokio::main]` does the same, with tokio's feature `macros`.
fn main() -> Result<(), ClientError> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7878".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(serve(&addr))
}

async fn serve(addr: &str) -> Result<(), ClientError> {
    let options = ClientOptions::new().name("upper-case service");
    let client = Client::connect_with(options, addr).await?;
    let heartbeat = tokio::spawn(beat(client.topic("upper.heartbeat")?));
    // As a member of a group: start the service again, and both share the requests.
    client.subscribe("upper.case", SubscribeOptions::new().group("upper-case")).await?;
    println!("ready");

    let free = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut working = JoinSet::new();
    let end = loop {
        match client.recv().await {
            Ok(Event::Messages(requests)) => {
                for request in requests.iter() {
                    let permit = free.clone().acquire_owned().await.expect("never closed");
                    // An owned message shares the bytes that arrived; nothing is copied.
                    let request = requests.owned(&request);
                    let client = client.clone();
                    working.spawn(async move {
                        answer(&client, &request).await;
                        drop(permit);
                    });
                }
                // Forget the tasks that have ended.
                while working.try_join_next().is_some() {}
            }
            Ok(Event::Gap(gap)) => eprintln!("{} requests were lost: {}", gap.messages, gap.reason),
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    working.join_all().await;
    heartbeat.abort();
    match end {
        // The broker stopped in order.
        ClientError::ClosedByServer { .. } => {
            println!("{end}");
            Ok(())
        }
        end => Err(end),
    }
}

async fn answer(client: &Client, request: &OwnedMessage) {
    let reply = request.payload.to_ascii_uppercase();
    // One bad request, such as one without a topic to reply to, must not end the service.
    if let Err(error) = client.reply(&request.as_message(), reply).await {
        eprintln!("cannot reply: {error}");
    }
}

/// Publishes the time of life in seconds, until the connection ends. A heartbeat that cannot be
/// delivered within its interval is replaced by the next.
async fn beat(topic: Topic) -> Result<(), ClientError> {
    let interval = Duration::from_secs(1);
    let options = PublishOptions::new().ttl(interval);
    let mut ticks = tokio::time::interval(interval);
    for seconds in 0u64.. {
        ticks.tick().await;
        topic.publish_with(seconds.to_string(), &options).await?;
    }
    Ok(())
}
