//! How many connections each address has, and how fast it makes new ones.
//!
//! # Always true
//! - An address without connections is forgotten once it may make as many new ones as any other.

use std::collections::HashMap;

use crate::clock::Now;
use crate::control::Tuning;
use crate::place::Place;
use crate::service::Admission;

const SECOND_NS: u64 = 1_000_000_000;

/// Addresses that are known before the first look for some to forget.
const SWEEP_MIN: usize = 1_024;

/// The addresses that have connections, or had some lately.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    by_place: HashMap<Place, OfAddress>,
    /// How many are known at the next look for some to forget.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct OfAddress {
    connections: u32,
    /// When the address could make as many new connections as any other: a bucket of tokens, as the time
    /// at which it is full.
    full_at_ns: u64,
}

impl Addresses {
    /// Gives a place to a new connection, or says why there is none.
    pub(super) fn admit(&mut self, now: Now, place: Place, tuning: &Tuning) -> Admission {
        self.sweep(now);
        let connections_max = tuning.connections_per_address_max();
        let per_second_max = u64::from(tuning.new_per_second_per_address_max());
        let of = self.by_place.entry(place).or_default();
        if connections_max > 0 && of.connections >= connections_max {
            return Admission::AddressFull;
        }
        if let Some(each_ns) = SECOND_NS.checked_div(per_second_max) {
            let full_at_ns = of.full_at_ns.max(now.monotonic_ns) + each_ns;
            if full_at_ns > now.monotonic_ns + SECOND_NS {
                return Admission::AddressTooFast;
            }
            of.full_at_ns = full_at_ns;
        }
        of.connections += 1;
        Admission::Admitted
    }

    /// A connection of this place is gone.
    pub(super) fn left(&mut self, place: Place) {
        let of = self.by_place.get_mut(&place).expect("the place was given");
        of.connections -= 1;
        if of.connections == 0 && of.full_at_ns == 0 {
            self.by_place.remove(&place);
        }
    }

    fn sweep(&mut self, now: Now) {
        if self.by_place.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.by_place.retain(|_, of| of.connections > 0 || of.full_at_ns > now.monotonic_ns);
        self.sweep_at = 2 * self.by_place.len();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use super::*;

    fn at(monotonic_ns: u64) -> Now {
        Now { monotonic_ns, unix_ns: 0 }
    }

    fn place(address: &str) -> Place {
        Place::of(SocketAddr::new(address.parse().expect("an address"), 7))
    }

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_no_other_is_counted_with_it() {
        let tuning = Tuning::new(100, Duration::ZERO);
        tuning.set_address_limits(2, 0);
        let mut addresses = Addresses::default();
        let mut admit = |address: &str| addresses.admit(at(5), place(address), &tuning);
        assert_eq!(admit("10.0.0.1"), Admission::Admitted);
        // The same one, as a socket of both families shows it.
        assert_eq!(admit("::ffff:10.0.0.1"), Admission::Admitted);
        assert_eq!(admit("10.0.0.1"), Admission::AddressFull);
        assert_eq!(admit("10.0.0.2"), Admission::Admitted);
        for last in ["1", "2"] {
            assert_eq!(admit(&format!("2001:db8::{last}")), Admission::Admitted);
        }
        assert_eq!(admit("2001:db8::3"), Admission::AddressFull, "one network");
        assert_eq!(admit("2001:db8:0:1::3"), Admission::Admitted);
        addresses.left(place("10.0.0.1"));
        assert_eq!(addresses.admit(at(5), place("10.0.0.1"), &tuning), Admission::Admitted);
    }

    #[test]
    fn an_address_makes_so_many_new_connections_a_second_also_at_once() {
        let tuning = Tuning::new(100, Duration::ZERO);
        tuning.set_address_limits(0, 4);
        let mut addresses = Addresses::default();
        let mut admitted = |ns, tries: u32| {
            let tries = (0..tries).map(|_| addresses.admit(at(ns), place("10.0.0.1"), &tuning));
            tries.filter(|admission| *admission == Admission::Admitted).count()
        };
        let begun = 7 * SECOND_NS;
        assert_eq!(admitted(begun, 9), 4);
        assert_eq!(admitted(begun + SECOND_NS / 4, 9), 1);
        assert_eq!(admitted(begun + SECOND_NS / 4 * 3, 9), 2);
        assert_eq!(admitted(begun + 9 * SECOND_NS, 9), 4);
    }

    #[test]
    fn addresses_that_are_gone_are_forgotten() {
        let tuning = Tuning::new(100, Duration::ZERO);
        tuning.set_address_limits(0, 100);
        let mut addresses = Addresses::default();
        for number in 0..10_000u32 {
            let place = Place::of(SocketAddr::new(IpAddr::from(number.to_be_bytes()), 7));
            let now = at(u64::from(number) * SECOND_NS);
            assert_eq!(addresses.admit(now, place, &tuning), Admission::Admitted);
            addresses.left(place);
        }
        assert!(addresses.by_place.len() <= SWEEP_MIN, "{}", addresses.by_place.len());
    }
}
