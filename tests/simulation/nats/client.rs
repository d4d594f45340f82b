//! One NATS client: what it writes, and what it makes of what it reads.

use std::collections::{BTreeMap, VecDeque};

use super::ledger::{Delivered, GAP_PREFIX, Ledger, Message, Verdict};
use crate::truth::matches;

/// What the server says.
#[derive(Debug)]
pub enum Op<'a> {
    Info(&'a str),
    Ok,
    Err(&'a str),
    Ping,
    Pong,
    Message { sid: &'a str, delivered_at: DeliveredAt<'a> },
}

/// The parts of MSG and HMSG.
#[derive(Debug)]
pub struct DeliveredAt<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// The first operation of what a server has sent, and its length.
pub fn next_op(bytes: &[u8]) -> Result<Option<(Op<'_>, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "no UTF-8".to_string())?;
    let len = end + 2;
    let wrong = || format!("the server says {line:?}");
    let op = match line {
        "+OK" => Op::Ok,
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        _ => {
            let (verb, rest) = line.split_once(' ').ok_or_else(wrong)?;
            match verb {
                "INFO" => Op::Info(rest),
                "-ERR" => Op::Err(rest.trim_matches('\'')),
                "MSG" | "HMSG" => {
                    let with_headers = verb == "HMSG";
                    return message(rest, with_headers, &bytes[len..])
                        .map_err(|()| wrong())
                        .map(|found| found.map(|(op, behind)| (op, len + behind)));
                }
                _ => return Err(wrong()),
            }
        }
    };
    Ok(Some((op, len)))
}

fn message<'a>(
    arguments: &'a str,
    with_headers: bool,
    behind: &'a [u8],
) -> Result<Option<(Op<'a>, usize)>, ()> {
    let parts: Vec<&str> = arguments.split(' ').collect();
    let lens = 1 + usize::from(with_headers);
    let (names, numbers) = parts.split_at_checked(parts.len().wrapping_sub(lens)).ok_or(())?;
    let (subject, sid, reply) = match names {
        [subject, sid] => (*subject, *sid, None),
        [subject, sid, reply] => (*subject, *sid, Some(*reply)),
        _ => return Err(()),
    };
    let numbers: Vec<usize> =
        numbers.iter().map(|number| number.parse().map_err(|_| ())).collect::<Result<_, ()>>()?;
    let (headers_len, len) = match numbers[..] {
        [len] => (0, len),
        [headers_len, len] if headers_len <= len => (headers_len, len),
        _ => return Err(()),
    };
    if behind.len() < len + 2 {
        return Ok(None);
    }
    if &behind[len..len + 2] != b"\r\n" {
        return Err(());
    }
    let (headers, payload) = behind[..len].split_at(headers_len);
    let delivered_at = DeliveredAt { subject, reply, headers, payload };
    Ok(Some((Op::Message { sid, delivered_at }, len + 2)))
}

/// The client id in an INFO, and whether the server is about to stop.
pub fn parse_info(json: &str) -> Result<(u64, bool), String> {
    let info: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let client_id = info["client_id"].as_u64().ok_or("INFO without `client_id`")?;
    Ok((client_id, info["ldm"].as_bool() == Some(true)))
}

/// What a command will be answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Ok,
    /// To a PING that was the command of this number.
    Pong(u64),
    Err(&'static str),
}

/// What ends a connection, as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// It has gone without a word.
    Vanished,
    /// The server has closed it.
    Closed,
}

/// What CONNECT says.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub verbose: bool,
    pub echo: bool,
    pub headers: bool,
    pub no_responders: bool,
}

/// What holds before CONNECT.
pub const UNSAID: Options =
    Options { verbose: true, echo: true, headers: false, no_responders: false };

pub struct Client {
    pub wire: usize,
    pub options: Options,
    pub state: State,
    pub client_id: u64,
    /// It subscribes to what others missed.
    pub is_monitor: bool,
    commands: u64,
    expected: VecDeque<Answer>,
    /// Which of the ledger's subscriptions it calls by this name.
    pub sids: BTreeMap<String, usize>,
    last_sid: u32,
    /// Its messages that no PONG has confirmed.
    unconfirmed: Vec<usize>,
    /// The command that ends the connection, and what is said to it.
    fatal: Option<(u64, Option<&'static str>)>,
    /// The last words of the server have come.
    last_words: Option<String>,
    /// The server has said that it stops.
    pub was_told_to_leave: bool,
    /// Requests to answer: where.
    pub asked: Vec<String>,
}

impl Client {
    pub fn new(wire: usize) -> Client {
        Client {
            wire,
            options: UNSAID,
            state: State::Open,
            client_id: 0,
            is_monitor: false,
            commands: 0,
            expected: VecDeque::new(),
            sids: BTreeMap::new(),
            last_sid: 0,
            unconfirmed: Vec::new(),
            fatal: None,
            last_words: None,
            was_told_to_leave: false,
            asked: Vec::new(),
        }
    }

    /// Whether it may write something.
    pub fn talks(&self) -> bool {
        self.state == State::Open && self.fatal.is_none()
    }

    /// Whether it was slow, as the server sees it.
    fn was_too_slow(&self) -> bool {
        self.last_words.as_deref() == Some("Slow Consumer")
    }

    pub fn has_offended(&self) -> bool {
        self.fatal.is_some()
    }

    /// Whether it was there to the end, be it that of the broker.
    pub fn stayed(&self) -> bool {
        self.state == State::Open
            || (self.state == State::Closed && self.was_told_to_leave && self.last_words.is_none())
    }

    fn command(&mut self) -> u64 {
        if self.options.verbose {
            self.expected.push_back(Answer::Ok);
        }
        self.commands += 1;
        self.commands
    }

    // --- writing ---

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

    /// Returns the subscription's number.
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

    /// The last command, an UNSUB or a CONNECT, has ended it.
    pub fn ends(&mut self, ledger: &mut Ledger, index: usize) {
        let subscription = &mut ledger.subscriptions[index];
        subscription.ended.get_or_insert(self.commands);
        if let Some(queue) = &subscription.queue {
            ledger.queues_left.insert(queue.clone());
        }
    }

    /// UNSUB at once.
    pub fn unsubscribe(&mut self, out: &mut Vec<u8>, ledger: &mut Ledger, index: usize) {
        self.command();
        self.ends(ledger, index);
        let subscription = &ledger.subscriptions[index];
        out.extend_from_slice(format!("UNSUB {}\r\n", subscription.sid).as_bytes());
    }

    /// UNSUB with a number, right behind the SUB.
    pub fn limit(&mut self, out: &mut Vec<u8>, ledger: &mut Ledger, index: usize, max: u64) {
        self.command();
        let subscription = &mut ledger.subscriptions[index];
        subscription.max = Some(max);
        if let Some(queue) = &subscription.queue {
            ledger.queues_left.insert(queue.clone());
        }
        out.extend_from_slice(format!("UNSUB {} {max}\r\n", subscription.sid).as_bytes());
    }

    /// PUB or HPUB. Returns the message's number.
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

    /// A command that is refused, after which the connection goes on.
    pub fn refused(&mut self, out: &mut Vec<u8>) {
        self.commands += 1;
        self.expected.push_back(Answer::Err("Invalid Subject"));
        out.extend_from_slice(b"SUB a..b refused\r\n");
    }

    /// Something that ends the connection, and what is said to it.
    pub fn offend(
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

    /// It is, or will be, no member of any group.
    pub fn leave_queues(&self, ledger: &mut Ledger) {
        for index in self.sids.values() {
            if let Some(queue) = &ledger.subscriptions[*index].queue {
                ledger.queues_left.insert(queue.clone());
            }
        }
    }

    // --- reading ---

    /// Takes in what the client has read. `stopping` when the broker was told to stop.
    pub fn read(
        &mut self,
        ledger: &mut Ledger,
        unread: &mut Vec<u8>,
        out: &mut Vec<u8>,
        stopping: bool,
    ) -> Verdict {
        let mut consumed = 0;
        while let Some((op, len)) = next_op(&unread[consumed..])? {
            consumed += len;
            ledger.tick();
            self.take(ledger, op, out, stopping)?;
        }
        unread.drain(..consumed);
        Ok(())
    }

    fn take(
        &mut self,
        ledger: &mut Ledger,
        op: Op<'_>,
        out: &mut Vec<u8>,
        stopping: bool,
    ) -> Verdict {
        if let Some(last_words) = &self.last_words {
            return Err(format!("{op:?} after {last_words:?}"));
        }
        match op {
            Op::Info(json) => {
                let (client_id, leaves) = parse_info(json)?;
                if self.client_id == 0 {
                    self.client_id = client_id;
                } else if !leaves || self.was_told_to_leave || !stopping {
                    return Err(format!("a second INFO: {json}"));
                }
                self.was_told_to_leave |= leaves;
                Ok(())
            }
            _ if self.client_id == 0 => Err(format!("{op:?} before INFO")),
            Op::Ok => self.answered(&Answer::Ok).map(|_| ()),
            Op::Pong => match self.answered(&Answer::Pong(0))? {
                Answer::Pong(command) => self.confirm(ledger, command),
                _ => unreachable!("a PONG was looked for"),
            },
            Op::Ping => {
                if self.talks() {
                    out.extend_from_slice(b"PONG\r\n");
                }
                Ok(())
            }
            Op::Err("Invalid Subject") => {
                self.answered(&Answer::Err("Invalid Subject")).map(|_| ())
            }
            Op::Err(text) => {
                let is_right = match self.fatal {
                    Some((_, Some(said))) if said == text => true,
                    _ => text == "Slow Consumer",
                };
                self.last_words = Some(text.to_string());
                if is_right { Ok(()) } else { Err(format!("an error that is not due: {text}")) }
            }
            Op::Message { sid, delivered_at } => self.message(ledger, sid, delivered_at),
        }
    }

    /// Answers come in the order of commands; without `verbose` errors may overtake PONGs.
    fn answered(&mut self, answer: &Answer) -> Result<Answer, String> {
        let same = |expected: &Answer| match (expected, answer) {
            (Answer::Pong(_), Answer::Pong(_)) => true,
            (expected, answer) => expected == answer,
        };
        let place = match self.options.verbose {
            true => self.expected.front().is_some_and(same).then_some(0),
            false => self.expected.iter().position(same),
        };
        let found = place.and_then(|place| self.expected.remove(place));
        found.ok_or_else(|| format!("{answer:?} came where {:?} is due", self.expected))
    }

    /// Everything up to a command has taken effect.
    fn confirm(&mut self, ledger: &mut Ledger, command: u64) -> Verdict {
        let now = ledger.tick();
        let mut confirmed = Vec::new();
        self.unconfirmed.retain(|number| {
            let is_before = ledger.messages[*number].command < command;
            if is_before {
                confirmed.push(*number);
            }
            !is_before
        });
        for number in &confirmed {
            ledger.messages[*number].confirmed = Some(now);
        }
        for index in self.sids.values() {
            let subscription = &mut ledger.subscriptions[*index];
            if subscription.command > command {
                continue;
            }
            subscription.confirmed.get_or_insert(now);
            subscription.end_confirmed |= subscription.ended.is_some_and(|ended| ended < command);
            if subscription.queue.is_some() || !self.options.echo {
                continue;
            }
            for number in &confirmed {
                let message = &ledger.messages[*number];
                let is_owed = message.command > subscription.command
                    && subscription.ended.is_none_or(|ended| message.command < ended)
                    && matches(&subscription.pattern, &message.subject);
                if is_owed && !subscription.has(*number) {
                    subscription.late.insert(*number);
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, ledger: &mut Ledger, sid: &str, at: DeliveredAt<'_>) -> Verdict {
        let index = *self.sids.get(sid).ok_or_else(|| format!("a message to {sid}: {at:?}"))?;
        let DeliveredAt { subject, reply, headers, payload } = at;
        if subject.starts_with(GAP_PREFIX) && self.is_monitor {
            return ledger.told_gap(subject, payload);
        }
        // Limit: `>` gets what the broker says as well; it counts as a message.
        if subject.starts_with(GAP_PREFIX) && ledger.subscriptions[index].pattern == ">" {
            ledger.subscriptions[index].of_system += 1;
            return Ok(());
        }
        if let Some(rest) = headers.strip_prefix(b"NATS/1.0 503\r\nNats-Subject: ") {
            let asked = String::from_utf8_lossy(rest);
            return self.unheard(ledger, subject, asked.trim_end(), payload);
        }
        let delivered = Delivered { subject, reply, headers, payload };
        let wants = (self.options.echo, self.options.headers);
        ledger.deliver(index, wants, &delivered)?;
        if let Some(reply) = reply.filter(|_| subject.starts_with("q.")) {
            self.asked.push(reply.to_string());
        }
        Ok(())
    }

    /// Nobody listens to a request: one of those that are to be answered there.
    fn unheard(
        &mut self,
        ledger: &mut Ledger,
        inbox: &str,
        subject: &str,
        payload: &[u8],
    ) -> Verdict {
        let own = self.wire;
        let asked = ledger.messages.iter_mut().find(|message| {
            message.publisher == own
                && message.wants_responder
                && message.reply.as_deref() == Some(inbox)
                && message.subject == subject
        });
        match asked {
            Some(asked)
                if payload.is_empty() && asked.unheard == 0 && asked.confirmed.is_none() =>
            {
                asked.unheard += 1;
                Ok(())
            }
            asked => Err(format!("a 503 of `{subject}` to {asked:?}")),
        }
    }

    /// The server has closed the connection, and everything was read.
    pub fn closed(&mut self, ledger: &mut Ledger, unread: &[u8], stopping: bool) -> Verdict {
        self.state = State::Closed;
        self.leave_queues(ledger);
        if !unread.is_empty() {
            return Err(format!("cut off in {:?}", String::from_utf8_lossy(unread)));
        }
        if self.was_too_slow() || stopping {
            return Ok(());
        }
        let Some((command, said)) = self.fatal else {
            return Err("closed without a reason".to_string());
        };
        if self.last_words.as_deref() != said || !self.expected.is_empty() {
            let (last_words, expected) = (&self.last_words, &self.expected);
            return Err(format!("closed with {last_words:?}, not {said:?}; due: {expected:?}"));
        }
        self.confirm(ledger, command)
    }

    /// Nothing moves any more: everything was answered.
    pub fn check_answered(&self) -> Verdict {
        match self.expected.is_empty() && self.fatal.is_none() {
            true => Ok(()),
            false => Err(format!("not answered: {:?}, {:?}", self.expected, self.fatal)),
        }
    }
}
