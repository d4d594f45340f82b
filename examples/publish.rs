//! Publishes messages: without waiting, with options, and with the broker's confirmation.
//!
//! ```sh
//! cargo run --release                       # a broker, in another terminal
//! cargo run --example publish -- orders.eu  # TOPIC, then the broker's address if it is another
//! ```

use std::time::Duration;

use blipmq_client::{ClientError, ClientOptions, PublishOptions};

fn main() -> Result<(), ClientError> {
    let mut arguments = std::env::args().skip(1);
    let topic = arguments.next().unwrap_or_else(|| "orders.eu".to_owned());
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:7878".to_owned());

    // The name is what `blipmq top` and the dashboard show.
    let client = ClientOptions::new().name("publish example").connect(&addr)?;
    // A topic costs no round trip. If the broker refuses the topic, the next `flush` reports that.
    let orders = client.topic(&topic)?;

    // `publish` appends to a buffer and returns. The client sends what gathered there while the
    // previous write was under way, so a loop like this one shares few frames and system calls.
    for number in 1..=100 {
        orders.publish(format!("order {number}"))?;
    }
    // `flush` returns when the broker has accepted everything published before.
    client.flush()?;
    println!("the broker accepted 100 messages");

    // A message that is worthless after half a second, with headers that subscribers can read.
    let options = PublishOptions::new()
        .ttl(Duration::from_millis(500))
        .header("content-type", "application/json");
    orders.publish_with(r#"{"espresso":1}"#, &options)?;

    // Ask for confirmation: the sequence is the message's place in its topic. This costs a round
    // trip each time.
    let published = orders.publish_acked("order 102", PublishOptions::new())?;
    println!("order 102 is message {} of {topic}", published.sequence);

    // Many confirmations on the way at once: begin all, then wait for all.
    let mut tickets = Vec::new();
    for number in 103..=110 {
        tickets.push(orders.begin_publish_acked(format!("order {number}"), PublishOptions::new())?);
    }
    for ticket in tickets {
        println!("confirmed: message {}", ticket.wait()?.sequence);
    }

    // Dropping the client would send the rest too, but would not report what failed.
    client.close()
}
