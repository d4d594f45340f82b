//! What a NATS client makes of what it reads.

use super::{Answer, Client, State};
use crate::nats::ledger::{Delivered, GAP_PREFIX, Ledger, Verdict};
use crate::nats::op::{DeliveredAt, Op, next_op, parse_info};
use crate::truth::matches;

impl Client {
    /// Processes what the client has read. `stopping` is whether the broker is stopping.
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
        if let Some(last_error_text) = &self.last_error_text {
            // For want of memory one of its subscriptions was refused, and which the server does not
            // say: such a client is promised nothing any more.
            if self.found_no_memory() {
                return Ok(());
            }
            return Err(format!("{op:?} after {last_error_text:?}"));
        }
        match op {
            Op::Info(json) => {
                let (client_id, leaves) = parse_info(json)?;
                if self.client_id == 0 {
                    self.client_id = client_id;
                } else if !leaves || self.was_asked_to_leave || !stopping {
                    return Err(format!("a second INFO: {json}"));
                }
                self.was_asked_to_leave |= leaves;
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
                    _ => super::says_too_slow(text),
                };
                self.last_error_text = Some(text.to_string());
                if is_right { Ok(()) } else { Err(format!("an error that is not due: {text}")) }
            }
            Op::Message { sid, delivered_at } => self.message(ledger, sid, delivered_at),
        }
    }

    /// Takes the expected answer. Answers come in the order of commands, except that without
    /// `verbose` errors may overtake PONGs.
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

    /// Notes that everything before a command has taken effect.
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
            return ledger.report_gap(subject, payload);
        }
        // Limit: `>` also gets messages of the broker itself, which count as messages.
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

    /// Checks a 503: one of the client's requests with this inbox has no subscription.
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

    /// Checks the close of the connection by the server, after everything was read.
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
        if self.last_error_text.as_deref() != said || !self.expected.is_empty() {
            let (last_error_text, expected) = (&self.last_error_text, &self.expected);
            return Err(format!(
                "closed with {last_error_text:?}, not {said:?}; due: {expected:?}"
            ));
        }
        self.confirm(ledger, command)
    }

    /// Checks that everything was answered, once the world is at rest.
    pub fn check_answered(&self) -> Verdict {
        let is_answered = self.expected.is_empty() && self.fatal.is_none();
        match is_answered || self.found_no_memory() {
            true => Ok(()),
            false => Err(format!("unanswered: {:?}, {:?}", self.expected, self.fatal)),
        }
    }
}
