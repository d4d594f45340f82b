//! Clients that say nothing: when the broker may ask them, and when it may close their connections.

use blipmq::config::Settings;
use blipmq::protocol::encode;

use crate::conversation::{Conversation, Sent};
use crate::truth::Moment;
use crate::wire::{ClientEnd, Wire};

type Verdict = Result<(), String>;

/// How long a client may say nothing, and how often it is asked before the end.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    interval_ns: u64,
    pings_max: u64,
}

impl Patience {
    pub fn of(settings: &Settings) -> Patience {
        Patience {
            interval_ns: u64::from(settings.server.ping_interval_ms) * 1_000_000,
            pings_max: settings.server.pings_max.into(),
        }
    }
}

impl Conversation {
    /// Checks a PING: the client had said nothing for long, and the PINGs are counted since then.
    pub fn asked(&mut self, patience: Patience, sent: Moment, number: u64) -> Verdict {
        let is_first = number == 1;
        if !is_first && number != self.asked + 1 {
            return Err(format!("PING {number} after PING {}", self.asked));
        }
        if number > patience.pings_max || patience.interval_ns == 0 {
            return Err(format!("PING {number} of {patience:?}"));
        }
        self.asked = number;
        self.pongs_due.push(number);
        // A PING may wait for a free socket, and the client may have been heard again meanwhile.
        let heard_ns = self.heard.iter().map(|heard| heard.now.monotonic_ns);
        let heard_ns: Vec<u64> = heard_ns.chain([sent.now.monotonic_ns]).collect();
        let silences = heard_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        match silences.max() {
            Some(longest_ns) if longest_ns >= patience.interval_ns * number => Ok(()),
            longest_ns => Err(format!("PING {number} after {longest_ns:?} ns of silence")),
        }
    }

    /// Checks that a connection was closed because its client had answered nothing for long enough.
    pub fn was_silent(&self, patience: Patience, sent: Moment) -> Verdict {
        let heard_ns = self.heard.last().map_or(0, |heard| heard.now.monotonic_ns);
        let silent_ns = sent.now.monotonic_ns.saturating_sub(heard_ns);
        let is_right = patience.interval_ns > 0
            && self.asked == patience.pings_max
            && silent_ns >= patience.interval_ns * (patience.pings_max + 1);
        match is_right {
            true => Ok(()),
            false => {
                Err(format!("closed after PING {} and {silent_ns} ns: {patience:?}", self.asked))
            }
        }
    }

    /// Writes the PONGs that are due, if the client still talks.
    pub fn answer(&mut self, wire: &mut Wire) {
        let talks = !self.close_written && wire.client_end == ClientEnd::No;
        for number in std::mem::take(&mut self.pongs_due) {
            if talks {
                let mut bytes = Vec::new();
                encode::pong(&mut bytes, number);
                self.raw(&mut wire.upstream, &bytes, Sent::Pong);
            }
        }
    }
}
