//! The pace of a connection that holds publishers up: how much it takes while they wait for it.
//!
//! Kept by `block` for each connection with a subscription that ever held publishers up, over all of
//! these together. Time counts only while publishers wait; bytes count always.
//!
//! # Always true
//! - A connection that takes a little now and then is judged like one that takes nothing: the waits in
//!   between add up, whichever of its subscriptions they were for.

use std::collections::BTreeMap;

use super::subscriptions::SubscriptionIndex;

const NS_PER_S: u128 = 1_000_000_000;

/// The pace of one connection.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Its subscriptions that hold publishers up, in the order in which they began.
    pub holding: BTreeMap<u64, SubscriptionIndex>,
    /// The connection will be judged.
    pub is_due: bool,
    /// Publishers have waited since then, and that is not in `held_ns`; also at the end of a wait, until
    /// it is settled.
    since_ns: Option<u64>,
    /// How long publishers waited since the last judgement.
    held_ns: u64,
    /// Bytes of the sends that the kernel has taken since the last judgement.
    taken_bytes: u64,
    /// When the wait began, or the kernel has taken a send since.
    taken_ns: u64,
}

/// What is demanded of a connection that holds publishers up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// `queues.block_timeout_ms`, in nanoseconds.
    pub timeout_ns: u64,
    /// `queues.block_min_rate`: bytes a second.
    pub min_rate: u64,
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing is wrong so far.
    Fine,
    /// It took nothing for the whole timeout.
    TookNothing,
    /// It took so many bytes, too few, while publishers waited for so long.
    TookLittle { taken_bytes: u64, held_ns: u64 },
}

impl Pace {
    /// A subscription begins to hold publishers up.
    pub fn begin(&mut self, now_ns: u64, number: u64, index: SubscriptionIndex) {
        if self.holding.is_empty() {
            self.taken_ns = now_ns;
        }
        self.since_ns.get_or_insert(now_ns);
        self.holding.insert(number, index);
    }

    /// Settles a wait that has ended.
    pub fn settle(&mut self, now_ns: u64) {
        if self.holding.is_empty() {
            self.held_ns = self.held_until(now_ns);
            self.since_ns = None;
        }
    }

    /// The kernel has taken a send.
    pub fn take(&mut self, now_ns: u64, bytes: u64) {
        self.taken_ns = now_ns;
        self.taken_bytes += bytes;
    }

    /// When the connection has to be judged, if publishers go on waiting.
    pub fn due_ns(&self, now_ns: u64, timeout_ns: u64) -> u64 {
        let left_ns = timeout_ns.saturating_sub(self.held_until(now_ns));
        (now_ns + left_ns).min(self.taken_ns + timeout_ns)
    }

    /// Judges the connection.
    pub fn judge(&mut self, now_ns: u64, demand: Demand) -> Judgement {
        let Demand { timeout_ns, min_rate } = demand;
        if !self.holding.is_empty() && self.taken_ns + timeout_ns <= now_ns {
            return Judgement::TookNothing;
        }
        let held_ns = self.held_until(now_ns);
        if held_ns < timeout_ns {
            return Judgement::Fine;
        }
        let taken_bytes = std::mem::take(&mut self.taken_bytes);
        self.held_ns = 0;
        self.since_ns = self.since_ns.map(|_| now_ns);
        let demanded = u128::from(min_rate) * u128::from(held_ns) / NS_PER_S;
        match u128::from(taken_bytes) < demanded {
            true => Judgement::TookLittle { taken_bytes, held_ns },
            false => Judgement::Fine,
        }
    }

    fn held_until(&self, now_ns: u64) -> u64 {
        self.held_ns + self.since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const INDEX: SubscriptionIndex = SubscriptionIndex(0);
    const DEMAND: Demand = Demand { timeout_ns: 1_000 * MS, min_rate: 1_000 };

    /// Publishers wait for 99 of every 100 ms, then a send of so many bytes is taken. Returns the first
    /// judgement that is not fine, and when it comes.
    fn judged_with(bytes_per_send: u64, demand: Demand) -> Option<(u64, Judgement)> {
        let mut pace = Pace::default();
        for number in 0..100 {
            let start_ns = number * 100 * MS;
            pace.begin(start_ns, number, INDEX);
            let end_ns = start_ns + 99 * MS;
            pace.take(end_ns, bytes_per_send);
            pace.holding.clear();
            pace.settle(end_ns);
            match pace.judge(end_ns, demand) {
                Judgement::Fine => {}
                judgement => return Some((end_ns, judgement)),
            }
        }
        None
    }

    #[test]
    fn a_connection_that_takes_a_little_now_and_then_has_taken_too_little() {
        // After eleven waits of 99 ms they are longer than the timeout together.
        let held_ns = 11 * 99 * MS;
        let little = Judgement::TookLittle { taken_bytes: 11, held_ns };
        assert_eq!(judged_with(1, DEMAND), Some((1_099 * MS, little)));
        let little = Judgement::TookLittle { taken_bytes: 11 * 98, held_ns };
        assert_eq!(judged_with(98, DEMAND), Some((1_099 * MS, little)));
    }

    #[test]
    fn a_connection_that_takes_at_the_rate_is_fine_and_a_rate_of_0_demands_none() {
        assert_eq!(judged_with(99, DEMAND), None);
        assert_eq!(judged_with(0, Demand { min_rate: 0, ..DEMAND }), None);
    }

    #[test]
    fn time_in_which_no_publisher_waits_does_not_count() {
        let mut pace = Pace::default();
        pace.begin(0, 0, INDEX);
        pace.holding.clear();
        pace.settle(999 * MS);
        assert_eq!(pace.judge(100_000 * MS, DEMAND), Judgement::Fine);
        pace.begin(200_000 * MS, 1, INDEX);
        assert_eq!(pace.due_ns(200_000 * MS, DEMAND.timeout_ns), 200_001 * MS);
        let held_ns = 1_000 * MS;
        let little = Judgement::TookLittle { taken_bytes: 0, held_ns };
        assert_eq!(pace.judge(200_001 * MS, DEMAND), little);
    }

    #[test]
    fn a_connection_that_takes_nothing_for_the_timeout_is_judged_also_without_a_rate() {
        let mut pace = Pace::default();
        let demand = Demand { min_rate: 0, ..DEMAND };
        pace.begin(5 * MS, 0, INDEX);
        pace.take(500 * MS, 1);
        assert_eq!(pace.due_ns(600 * MS, demand.timeout_ns), 1_005 * MS);
        assert_eq!(pace.judge(1_005 * MS, demand), Judgement::Fine);
        assert_eq!(pace.judge(1_500 * MS, demand), Judgement::TookNothing);
    }
}
