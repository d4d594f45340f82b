//! A histogram that one core writes at almost no cost and any thread may read.
//!
//! Each power of two is divided into four buckets, so a value is read at most a fifth too large.
//!
//! # Always true
//! - Every number up to 4 and every power of two up to 2^24 is a bound, so a coarser reader may add
//!   up the buckets between two powers.

use super::counter::Counter;

/// Number of buckets with a bound; the last bound is 2^24.
pub const BOUNDS: usize = 92;

/// Number of values per bucket.
#[derive(Debug)]
pub struct Histogram {
    /// The last bucket has no bound and counts the values above all bounds.
    counts: [Counter; BOUNDS + 1],
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: std::array::from_fn(|_| Counter::default()), sum: Counter::default() }
    }
}

/// The largest value of a bucket; `index` must be below [`BOUNDS`].
pub fn bound(index: usize) -> u64 {
    assert!(index < BOUNDS);
    if index < 4 {
        return index as u64 + 1;
    }
    let (octave, quarter) = ((index - 4) / 4, (index - 4) % 4);
    (quarter as u64 + 5) << octave
}

fn index_of(value: u64) -> usize {
    let below = value.saturating_sub(1);
    if below < 4 {
        return below as usize;
    }
    let octave = below.ilog2() as usize - 2;
    (4 + octave * 4 + ((below >> octave) & 3) as usize).min(BOUNDS)
}

impl Histogram {
    /// Counts a value several times; only on the core that owns this histogram.
    pub fn record(&self, value: u64, times: u64) {
        self.counts[index_of(value)].add(times);
        self.sum.add(value.wrapping_mul(times));
    }

    /// Number of values in each bucket; the bucket without a bound is the last.
    pub fn counts(&self) -> [u64; BOUNDS + 1] {
        std::array::from_fn(|index| self.counts[index].get())
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }
}

/// The smallest bound that a share of all values, such as 0.99, does not exceed. `None` without
/// values; `Some(None)` if the share reaches values above all bounds.
pub fn quantile(counts: &[u64; BOUNDS + 1], share: f64) -> Option<Option<u64>> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = (all as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    let reaches = |count: &u64| {
        seen += count;
        seen >= wanted
    };
    let index = counts.iter().position(reaches).expect("the share is at most 1");
    Some((index < BOUNDS).then(|| bound(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_first_bucket_whose_bound_is_not_below_it() {
        let bounds: Vec<u64> = (0..BOUNDS).map(bound).collect();
        assert!(bounds.is_sorted_by(|lower, higher| lower < higher));
        assert_eq!(bounds[BOUNDS - 1], 1 << 24);
        let values =
            (0..5_000).chain(bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]));
        for value in values.chain([u64::MAX]) {
            let naive = bounds.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS);
            assert_eq!(index_of(value), naive, "{value}");
        }
    }

    #[test]
    fn powers_of_two_are_bounds() {
        for exponent in 0..=24 {
            assert!((0..BOUNDS).any(|index| bound(index) == 1 << exponent), "2^{exponent}");
        }
    }

    #[test]
    fn a_quantile_is_the_smallest_bound_that_its_share_of_values_does_not_exceed() {
        let histogram = Histogram::default();
        assert_eq!(quantile(&histogram.counts(), 0.5), None);
        histogram.record(1, 98);
        histogram.record(100, 1);
        histogram.record(1 << 30, 1);
        let counts = histogram.counts();
        assert_eq!(quantile(&counts, 0.0), Some(Some(1)));
        assert_eq!(quantile(&counts, 0.98), Some(Some(1)));
        assert_eq!(quantile(&counts, 0.99), Some(Some(112)));
        assert_eq!(quantile(&counts, 1.0), Some(None));
        assert_eq!(histogram.sum(), 98 + 100 + (1 << 30));
    }
}
