//! Handshakes that wait for their turn, and how many of them a turn serves.
//!
//! Called by `sessions` in each turn.
//!
//! # Always true
//! - Clients are served in the order in which they came.
//! - A turn serves one of those that wait; further ones only as long as handshakes have had no more than
//!   half of the time.

use std::collections::VecDeque;
use std::time::Duration;

use blipmq::broker::ConnectionId;

/// What the handshakes of one turn take, unless the first one takes more.
const TURN: Duration = Duration::from_micros(250);
/// What handshakes may save up, or owe.
const CREDIT_NS_MAX: i64 = 500_000;

/// Handshakes that wait.
#[derive(Debug, Default)]
pub struct Handshakes {
    waiting: VecDeque<ConnectionId>,
    /// Nanoseconds that handshakes may take now.
    credit_ns: i64,
    /// When the credit last grew.
    credited_ns: u64,
}

impl Handshakes {
    /// Adds a connection at the end.
    pub fn push(&mut self, connection: ConnectionId) {
        self.waiting.push_back(connection);
    }

    /// The connection that has waited longest.
    pub fn pop(&mut self) -> Option<ConnectionId> {
        self.waiting.pop_front()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A turn begins: half of the time since the last one is for handshakes.
    pub fn begin_turn(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.credited_ns) / 2;
        self.credited_ns = now_ns;
        let earned_ns = i64::try_from(since_ns).unwrap_or(CREDIT_NS_MAX);
        self.credit_ns = self.credit_ns.saturating_add(earned_ns).min(CREDIT_NS_MAX);
    }

    /// Whether another handshake may be served in a turn that has spent so long on the ones before.
    pub fn may_go_on(&self, spent: Duration) -> bool {
        spent < TURN && nanoseconds(spent) < self.credit_ns
    }

    /// The turn has spent so long on handshakes.
    pub fn end_turn(&mut self, spent: Duration) {
        self.credit_ns = (self.credit_ns - nanoseconds(spent)).max(-CREDIT_NS_MAX);
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// How many handshakes of 72 us a turn at this time serves.
    fn serve(handshakes: &mut Handshakes, now_us: u64) -> u32 {
        handshakes.begin_turn(now_us * US);
        let mut served = 1;
        while handshakes.may_go_on(Duration::from_micros(72) * served) {
            served += 1;
        }
        handshakes.end_turn(Duration::from_micros(72) * served);
        served
    }

    #[test]
    fn a_turn_after_a_rest_serves_several_and_no_more_than_a_quarter_of_a_millisecond() {
        let mut handshakes = Handshakes::default();
        assert_eq!(serve(&mut handshakes, 100_000), 4);
    }

    /// Goal: handshakes have half of the time, whatever the length of the turns.
    #[test]
    fn handshakes_have_half_of_the_time() {
        for turn_us in [300, 500, 1_000] {
            let mut handshakes = Handshakes::default();
            let served: u32 = (1..=1_000).map(|turn| serve(&mut handshakes, turn * turn_us)).sum();
            let share = f64::from(served) * 72.0 / (1_000.0 * turn_us as f64);
            let most = 0.5_f64.min(4.0 * 72.0 / turn_us as f64);
            assert!((share - most).abs() < 0.03, "{share} of turns of {turn_us} us");
        }
    }

    #[test]
    fn turns_in_a_row_serve_one_each() {
        let mut handshakes = Handshakes::default();
        serve(&mut handshakes, 1);
        assert!((1..100).all(|turn| serve(&mut handshakes, 1 + turn * 80) == 1));
    }
}
