//! Requests and replies: one thread answers questions, another one asks them.
//!
//! ```sh
//! cargo run --release                          # a broker, in another terminal
//! cargo run --example request_reply            # the broker's address if it is another
//! ```
//!
//! Both sides run in one process here, each over its own connection. Usually they are different
//! programs; any number of repliers can share the requests of a topic by subscribing as a group.

use std::thread;
use std::time::Duration;

use blipmq_client::{Client, ClientError, Event, SubscribeOptions};

fn main() -> Result<(), ClientError> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7878".to_owned());

    // `subscribe` returns when the subscription is active, so the first request finds the replier.
    let replier = Client::connect(&addr)?;
    replier.subscribe("prices.get", SubscribeOptions::new().group("price-service"))?;
    let replying = thread::spawn({
        let replier = replier.clone();
        move || reply_until_closed(&replier)
    });

    let client = Client::connect(&addr)?;
    for product in ["espresso", "cappuccino", "tea"] {
        let reply = client.request("prices.get", product, Duration::from_secs(5))?;
        println!("{product}: {}", String::from_utf8_lossy(&reply.payload));
    }

    // A request without a reply fails after its timeout. The request itself expires then too, so
    // that no replier works for nothing.
    match client.request("weather.get", "Rome", Duration::from_millis(100)) {
        Err(ClientError::NoReply { topic, .. }) => println!("nobody replies to {topic}"),
        other => panic!("a replier for weather.get is running: {other:?}"),
    }

    client.close()?;
    // Ends `recv` in the other thread as well: both handles are the same connection.
    replier.close()?;
    replying.join().expect("the replier does not panic")
}

fn reply_until_closed(replier: &Client) -> Result<(), ClientError> {
    loop {
        match replier.recv() {
            Ok(Event::Messages(requests)) => {
                for request in requests.iter() {
                    // The request says where its reply goes; `reply` fails if it does not.
                    match request.payload {
                        b"espresso" => replier.reply(&request, "3.20")?,
                        b"cappuccino" => replier.reply(&request, "4.10")?,
                        _ => replier.reply(&request, "not on the menu")?,
                    }
                }
            }
            // A gap here is a request that was lost; its requester sees a timeout.
            Ok(_) => {}
            Err(ClientError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
