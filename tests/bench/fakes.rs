//! Minimal brokers that speak NATS or Redis and mishandle the tenth message on request.
//!
//! Used by `main` and `faults`. The brokers run until the test process ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The fate of the tenth message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Drop,
    Duplicate,
    /// The message is delivered after the next one.
    Swap,
    /// The message and all later ones are dropped.
    DropAll,
    /// Every connection is closed.
    Die,
}

const FAULTY_MESSAGE: u64 = 10;
/// The password of [`redis_with_password`].
pub const PASSWORD: &str = "sesame";

struct Hub {
    fault: Fault,
    count: u64,
    held: Option<Vec<u8>>,
    /// Topic, subscription id and stream of each subscriber.
    subscribers: Vec<(String, String, TcpStream)>,
    connections: Vec<TcpStream>,
}

type Serve = fn(&Mutex<Hub>, TcpStream) -> Option<()>;

/// Starts a broker and returns its address.
fn start(fault: Fault, serve: Serve) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a listening socket").to_string();
    let hub = Hub { fault, count: 0, held: None, subscribers: vec![], connections: vec![] };
    let hub = Arc::new(Mutex::new(hub));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("a socket option");
            hub.lock().unwrap().connections.push(stream.try_clone().expect("a descriptor"));
            let hub = hub.clone();
            std::thread::spawn(move || serve(&hub, stream));
        }
    });
    addr
}

impl Hub {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, encode: fn(&str, &str, &[u8]) -> Vec<u8>) {
        self.count += 1;
        let mut payloads = vec![payload];
        if self.count == FAULTY_MESSAGE {
            match self.fault {
                Fault::None => {}
                Fault::Drop => payloads.clear(),
                Fault::Duplicate => payloads.push(payloads[0].clone()),
                Fault::Swap => self.held = payloads.pop(),
                Fault::DropAll => {}
                Fault::Die => self.connections.iter().for_each(|stream| {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }),
            }
        } else {
            payloads.extend(self.held.take());
        }
        if self.fault == Fault::DropAll && self.count >= FAULTY_MESSAGE {
            payloads.clear();
        }
        for payload in &payloads {
            for (subscribed, subscription, stream) in &self.subscribers {
                if subscribed == topic {
                    let _ = (&*stream).write_all(&encode(topic, subscription, payload));
                }
            }
        }
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
    Some(line.trim_end().to_owned())
}

fn payload(reader: &mut impl Read, len: usize) -> Option<Vec<u8>> {
    let mut payload = vec![0; len + 2];
    reader.read_exact(&mut payload).ok()?;
    payload.truncate(len);
    Some(payload)
}

pub fn nats(fault: Fault) -> String {
    start(fault, serve_nats)
}

fn serve_nats(hub: &Mutex<Hub>, mut stream: TcpStream) -> Option<()> {
    stream.write_all(b"INFO {\"server_id\":\"fake\"}\r\nPING\r\n").ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let line = line(&mut reader)?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["CONNECT", ..] | ["PONG"] => {}
            ["PING"] => stream.write_all(b"PONG\r\n").ok()?,
            ["SUB", topic, id] => {
                let subscriber = (topic.to_owned(), id.to_owned(), stream.try_clone().ok()?);
                hub.lock().unwrap().subscribers.push(subscriber);
            }
            ["PUB", topic, len] => {
                let payload = payload(&mut reader, len.parse().ok()?)?;
                hub.lock().unwrap().publish(topic, payload, |topic, id, payload| {
                    let head = format!("MSG {topic} {id} {}\r\n", payload.len());
                    [head.as_bytes(), payload, b"\r\n"].concat()
                });
            }
            _ => stream.write_all(b"-ERR 'Unknown Protocol Operation'\r\n").ok()?,
        }
    }
}

pub fn redis() -> String {
    start(Fault::None, |hub, stream| serve_redis(hub, stream, false))
}

/// Starts a broker that refuses every command before [`PASSWORD`].
pub fn redis_with_password() -> String {
    start(Fault::None, |hub, stream| serve_redis(hub, stream, true))
}

fn serve_redis(hub: &Mutex<Hub>, mut stream: TcpStream, locked: bool) -> Option<()> {
    let mut locked = locked;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let count: usize = line(&mut reader)?.strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let len: usize = line(&mut reader)?.strip_prefix('$')?.parse().ok()?;
            words.push(payload(&mut reader, len)?);
        }
        let text = |at: usize| String::from_utf8(words[at].clone()).expect("UTF-8");
        match &words[0][..] {
            b"AUTH" if text(count - 1) == PASSWORD => {
                locked = false;
                stream.write_all(b"+OK\r\n").ok()?;
            }
            b"AUTH" => stream.write_all(b"-WRONGPASS invalid password\r\n").ok()?,
            _ if locked => stream.write_all(b"-NOAUTH Authentication required.\r\n").ok()?,
            b"PING" => stream.write_all(b"+PONG\r\n").ok()?,
            b"SUBSCRIBE" => {
                for at in 1..count {
                    let topic = text(at);
                    let answer = format!(
                        "*3\r\n$9\r\nsubscribe\r\n${}\r\n{topic}\r\n:{at}\r\n",
                        topic.len()
                    );
                    let subscriber = (topic, String::new(), stream.try_clone().ok()?);
                    hub.lock().unwrap().subscribers.push(subscriber);
                    stream.write_all(answer.as_bytes()).ok()?;
                }
            }
            b"PUBLISH" => {
                hub.lock().unwrap().publish(&text(1), words[2].clone(), |topic, _, payload| {
                    let (topic_len, len) = (topic.len(), payload.len());
                    let head =
                        format!("*3\r\n$7\r\nmessage\r\n${topic_len}\r\n{topic}\r\n${len}\r\n");
                    [head.as_bytes(), payload, b"\r\n"].concat()
                });
                stream.write_all(b":1\r\n").ok()?;
            }
            _ => stream.write_all(b"-ERR unknown command\r\n").ok()?,
        }
    }
}
