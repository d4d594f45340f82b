//! Subscribes to a pattern, and prints messages and gaps: a subscriber is never left to guess what
//! it missed.
//!
//! ```sh
//! cargo run --release                          # a broker, in another terminal
//! cargo run --example subscribe -- 'orders.>'  # PATTERN, then the broker's address, then how many
//! ```
//!
//! In a pattern `*` stands for one token and `>`, as the last, for one or more. Without a number the
//! subscriber goes on until the process is stopped.

use blipmq_client::{
    ClientError, ClientOptions, Event, Overflow, ReconnectPolicy, Start, SubscribeOptions,
};

fn main() -> Result<(), ClientError> {
    let mut arguments = std::env::args().skip(1);
    let pattern = arguments.next().unwrap_or_else(|| "orders.>".to_owned());
    let addr = arguments.next().unwrap_or_else(|| "127.0.0.1:7878".to_owned());
    let messages_max: u64 = match arguments.next() {
        Some(number) => number.parse().expect("the number of messages"),
        None => u64::MAX,
    };

    // With a policy the client reconnects and subscribes again by itself.
    let client = ClientOptions::new()
        .name("subscribe example")
        .reconnect(ReconnectPolicy::new())
        .connect(&addr)?;
    let options = SubscribeOptions::new()
        // Begin with the oldest message that the broker retains, not with the next one.
        .start(Start::Sequence(1))
        // If this program is too slow, the oldest queued messages go, and a gap names them.
        .overflow(Overflow::DropOldest)
        // After a reconnect, continue behind the last message.
        .resume(true);
    client.subscribe(&pattern, options)?;

    let mut seen = 0;
    while seen < messages_max {
        match client.recv()? {
            // Messages that arrived together, of one topic.
            Event::Messages(messages) => {
                for message in messages.iter() {
                    let text = String::from_utf8_lossy(message.payload);
                    println!("{} {}: {text}", message.topic, message.sequence);
                }
                seen += messages.len() as u64;
            }
            // Messages that this subscriber should have received and will not: the sequences from
            // `first` to `last`, and why.
            Event::Gap(gap) => {
                println!("{} {} to {} missed: {}", gap.topic, gap.first, gap.last(), gap.reason);
                seen += gap.messages;
            }
            Event::Disconnected { cause, .. } => eprintln!("disconnected: {cause}"),
            Event::Reconnected { same_server: true } => eprintln!("reconnected"),
            Event::Reconnected { same_server: false } => {
                eprintln!("connected to a broker that was restarted: sequences begin with 1 again");
            }
            Event::Goodbye { reason } => eprintln!("the broker is stopping: {reason}"),
            Event::Error(error) => eprintln!("{error}"),
            // Further events, such as `Resubscribed`, need no action here.
            _ => {}
        }
    }
    client.close()
}
