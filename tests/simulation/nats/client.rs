//! One NATS client: what it writes; what it makes of what it reads is in `reading`.

mod reading;

use std::collections::{BTreeMap, VecDeque};

use super::ledger::{Ledger, Message};

/// The answer that a command expects.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Ok,
    /// Answers a PING, which was the command of this number.
    Pong(u64),
    Err(&'static str),
}

/// State of a connection, as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// The client has vanished.
    Vanished,
    /// The server has closed it.
    Closed,
}

/// The options of CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub verbose: bool,
    pub echo: bool,
    pub headers: bool,
    pub no_responders: bool,
}

/// The options before CONNECT.
pub const BEFORE_CONNECT: Options =
    Options { verbose: true, echo: true, headers: false, no_responders: false };

pub struct Client {
    pub wire: usize,
    pub options: Options,
    pub state: State,
    pub client_id: u64,
    /// The client subscribes to the gaps of others.
    pub is_monitor: bool,
    commands: u64,
    expected: VecDeque<Answer>,
    /// The index in the ledger of each subscription, by `sid`.
    pub sids: BTreeMap<String, usize>,
    last_sid: u32,
    /// Messages of the client that no PONG has confirmed.
    unconfirmed: Vec<usize>,
    /// The command that ends the connection, and the expected error text.
    fatal: Option<(u64, Option<&'static str>)>,
    /// The error text that the server sent before it closed.
    last_error_text: Option<String>,
    /// The server has announced that it stops.
    pub was_asked_to_leave: bool,
    /// Reply subjects of requests to answer.
    pub asked: Vec<String>,
}

impl Client {
    pub fn new(wire: usize) -> Client {
        Client {
            wire,
            options: BEFORE_CONNECT,
            state: State::Open,
            client_id: 0,
            is_monitor: false,
            commands: 0,
            expected: VecDeque::new(),
            sids: BTreeMap::new(),
            last_sid: 0,
            unconfirmed: Vec::new(),
            fatal: None,
            last_error_text: None,
            was_asked_to_leave: false,
            asked: Vec::new(),
        }
    }

    /// Whether the client may write.
    pub fn talks(&self) -> bool {
        self.state == State::Open && self.fatal.is_none()
    }

    /// Whether the server has disconnected the client as too slow, or because it holds too much.
    fn was_too_slow(&self) -> bool {
        self.last_error_text.as_deref().is_some_and(says_too_slow)
    }

    /// Whether the server had no memory for a subscription of the client.
    fn found_no_memory(&self) -> bool {
        self.last_error_text.as_deref() == Some(NO_MEMORY)
    }

    pub fn has_offended(&self) -> bool {
        self.fatal.is_some()
    }

    /// Whether the client stayed to the end of the world, or of the broker.
    pub fn stayed(&self) -> bool {
        (self.state == State::Open && !self.found_no_memory())
            || (self.state == State::Closed
                && self.was_asked_to_leave
                && self.last_error_text.is_none())
    }

    fn command(&mut self) -> u64 {
        if self.options.verbose {
            self.expected.push_back(Answer::Ok);
        }
        self.commands += 1;
        self.commands
    }

    pub fn connect(&mut self, out: &mut Vec<u8>, options: Options) {
        self.options = options;
        self.command();
        let Options { verbose, echo, headers, no_responders } = options;
        let json = format!(
            "{{\"verbose\":{verbose},\"pedantic\":false,\"echo\":{echo},\"headers\":{headers},\
             \"no_responders\":{no_responders},\"lang\":\"sim\",\"protocol\":1}}"
        );
        out.extend_from_slice(format!("CONNECT {json}\r\n").as_bytes());
    }

    /// Writes SUB and returns the index of the subscription in the ledger.
    pub fn subscribe(
        &mut self,
        out: &mut Vec<u8>,
        ledger: &mut Ledger,
        pattern: &str,
        queue: Option<&str>,
    ) -> usize {
        let command = self.command();
        self.last_sid += 1;
        let sid = format!("{}", self.last_sid);
        let queue_text = queue.map(|queue| format!("{queue} ")).unwrap_or_default();
        out.extend_from_slice(format!("SUB {pattern} {queue_text}{sid}\r\n").as_bytes());
        let index = ledger.subscribe(self.wire, command, &sid, pattern, queue);
        self.sids.insert(sid, index);
        index
    }

    /// Notes that the last command, an UNSUB or a CONNECT, has ended a subscription.
    pub fn ends(&mut self, ledger: &mut Ledger, index: usize) {
        let subscription = &mut ledger.subscriptions[index];
        subscription.ended.get_or_insert(self.commands);
        if let Some(queue) = &subscription.queue {
            ledger.queues_left.insert(queue.clone());
        }
    }

    /// Writes UNSUB without a maximum.
    pub fn unsubscribe(&mut self, out: &mut Vec<u8>, ledger: &mut Ledger, index: usize) {
        self.command();
        self.ends(ledger, index);
        let subscription = &ledger.subscriptions[index];
        out.extend_from_slice(format!("UNSUB {}\r\n", subscription.sid).as_bytes());
    }

    /// Writes UNSUB with a maximum, right after SUB.
    pub fn limit(&mut self, out: &mut Vec<u8>, ledger: &mut Ledger, index: usize, max: u64) {
        self.command();
        let subscription = &mut ledger.subscriptions[index];
        subscription.max = Some(max);
        if let Some(queue) = &subscription.queue {
            ledger.queues_left.insert(queue.clone());
        }
        out.extend_from_slice(format!("UNSUB {} {max}\r\n", subscription.sid).as_bytes());
    }

    /// Writes PUB or HPUB and returns the number of the message.
    pub fn publish(
        &mut self,
        out: &mut Vec<u8>,
        ledger: &mut Ledger,
        subject: &str,
        reply: Option<&str>,
        headers: &[u8],
        filler: &[u8],
    ) -> usize {
        let command = self.command();
        let written = ledger.tick();
        let message = Message {
            publisher: self.wire,
            command,
            subject: subject.to_string(),
            reply: reply.map(str::to_string),
            headers: headers.to_vec(),
            payload: Vec::new(),
            written,
            confirmed: None,
            seen: false,
            wants_responder: self.options.no_responders && reply.is_some(),
            unheard: 0,
            sequence: None,
        };
        let number = ledger.message(message, filler);
        self.unconfirmed.push(number);
        let payload = &ledger.messages[number].payload;
        let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
        let len = payload.len() + headers.len();
        let line = match headers {
            [] => format!("PUB {subject} {reply}{len}\r\n"),
            _ => format!("HPUB {subject} {reply}{} {len}\r\n", headers.len()),
        };
        for part in [line.as_bytes(), headers, payload, b"\r\n"] {
            out.extend_from_slice(part);
        }
        number
    }

    pub fn ping(&mut self, out: &mut Vec<u8>) {
        self.commands += 1;
        self.expected.push_back(Answer::Pong(self.commands));
        out.extend_from_slice(b"PING\r\n");
    }

    /// Writes a command that is refused, after which the connection continues.
    pub fn refused(&mut self, out: &mut Vec<u8>) {
        self.commands += 1;
        self.expected.push_back(Answer::Err("Invalid Subject"));
        out.extend_from_slice(b"SUB a..b refused\r\n");
    }

    /// Writes bytes that end the connection, with the error text `said`.
    pub fn send_offence(
        &mut self,
        out: &mut Vec<u8>,
        ledger: &mut Ledger,
        bytes: &[u8],
        said: Option<&'static str>,
    ) {
        self.leave_queues(ledger);
        self.commands += 1;
        self.fatal = Some((self.commands, said));
        out.extend_from_slice(bytes);
    }

    /// Notes that the client is, or will be, no member of any group.
    pub fn leave_queues(&self, ledger: &mut Ledger) {
        for index in self.sids.values() {
            if let Some(queue) = &ledger.subscriptions[*index].queue {
                ledger.queues_left.insert(queue.clone());
            }
        }
    }
}

/// Said when there is no memory for a subscription, or a client holds too much for its subscriptions.
const NO_MEMORY: &str = "maximum subscriptions exceeded";

/// Whether an error says that its client was disconnected as too slow, or because it holds too much.
fn says_too_slow(text: &str) -> bool {
    ["Slow Consumer", NO_MEMORY].contains(&text)
}
