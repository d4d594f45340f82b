//! Connects over TLS, says why that fails if it does, and sends itself a message.
//!
//! ```sh
//! deploy/make-test-ca.sh --out certificates         # an authority, and a certificate for this machine
//! # A broker whose `[tls]` names certificates/server.pem and certificates/server.key, then:
//! cargo run --example tls -- localhost:7878 certificates/ca.pem
//! # If the broker requires certificates of its clients, a certificate and its key follow.
//! ```

use blipmq_client::{Client, ClientError, ClientOptions, Event, SubscribeOptions, TlsOptions};

fn main() -> Result<(), ClientError> {
    let mut arguments = std::env::args().skip(1);
    let addr = arguments.next().unwrap_or_else(|| "localhost:7878".to_owned());

    // Without `ca` the client trusts the authorities of the system, as browsers do.
    let mut tls = TlsOptions::new();
    if let Some(ca) = arguments.next() {
        tls = tls.ca(ca);
    }
    if let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) {
        tls = tls.certificate(certificate, key);
    }
    // With TLS options, and with an address that begins with `blips://`, there is no way to end up
    // without TLS.
    let client = match ClientOptions::new().name("TLS example").tls(tls).connect(&addr) {
        Ok(client) => client,
        Err(ClientError::Tls { fault, .. }) => {
            // The text says what to do. The variants are for programs that can do something themselves.
            eprintln!("no TLS: {fault}");
            std::process::exit(1);
        }
        Err(other) => return Err(other),
    };
    say_hello(&client)?;
    client.close()
}

fn say_hello(client: &Client) -> Result<(), ClientError> {
    client.subscribe("greetings.tls", SubscribeOptions::new())?;
    client.topic("greetings.tls")?.publish("nobody on the way can read this")?;
    loop {
        if let Event::Messages(messages) = client.recv()? {
            for message in messages.iter() {
                println!("{}: {}", message.topic, String::from_utf8_lossy(message.payload));
            }
            return Ok(());
        }
    }
}
