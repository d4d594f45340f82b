//! The rounds of one target summed up: medians of numbers, and the sum of histograms.
//!
//! Created by `mod`; read by `table`, `json`, `hgrm` and `plot`.

use hdrhistogram::Histogram;

use super::round::Round;
use super::target::Target;
use super::worker;

/// The unit of a number, which decides its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Megabytes,
    Nanoseconds,
    Percent,
    Bytes,
    Micros,
}

/// One measured number, with its key in JSON and its name in the table.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    pub key: &'static str,
    pub name: &'static str,
    pub unit: Unit,
    of: fn(&Round) -> Option<f64>,
}

fn per(total: u64, parts: u64) -> Option<f64> {
    (parts > 0).then(|| total as f64 / parts as f64)
}

fn latency(round: &Round, quantile: f64) -> Option<f64> {
    let latency = &round.latency;
    (!latency.is_empty()).then(|| latency.value_at_quantile(quantile) as f64 / 1_000.0)
}

/// All numbers of a round, in the order of the table.
pub const NUMBERS: [Number; 16] = [
    Number {
        key: "messages_per_s",
        name: "messages/s",
        unit: Unit::Count,
        of: |round| Some(round.published as f64 / round.seconds),
    },
    Number {
        key: "deliveries_per_s",
        name: "deliveries/s",
        unit: Unit::Count,
        of: |round| Some(round.delivered as f64 / round.seconds),
    },
    Number {
        key: "payload_mb_per_s",
        name: "payload MB/s",
        unit: Unit::Megabytes,
        of: |round| {
            Some(round.delivered as f64 * round.payload_len as f64 / round.seconds / 1_000_000.0)
        },
    },
    Number {
        key: "broker_cpu_ns_per_delivery",
        name: "broker CPU per delivery",
        unit: Unit::Nanoseconds,
        of: |round| per(round.broker?.total_ns, round.delivered),
    },
    Number {
        key: "broker_cpu_ns_per_message",
        name: "broker CPU per message",
        unit: Unit::Nanoseconds,
        of: |round| per(round.broker?.total_ns, round.published),
    },
    Number {
        key: "broker_cpu_percent",
        name: "broker CPU",
        unit: Unit::Percent,
        of: |round| Some(round.broker?.percent()),
    },
    Number {
        key: "broker_busiest_thread_percent",
        name: "broker's busiest thread",
        unit: Unit::Percent,
        of: |round| Some(round.broker?.busiest_percent()),
    },
    Number {
        key: "broker_resident_bytes",
        name: "broker memory",
        unit: Unit::Bytes,
        of: |round| round.resident_bytes.map(|bytes| bytes as f64),
    },
    Number {
        key: "generator_cpu_percent",
        name: "generator CPU",
        unit: Unit::Percent,
        of: |round| Some(round.generator.percent()),
    },
    Number {
        key: "generator_busiest_thread_percent",
        name: "generator's busiest thread",
        unit: Unit::Percent,
        of: |round| Some(round.generator.busiest_percent()),
    },
    Number {
        key: "latency_p50_us",
        name: "latency p50",
        unit: Unit::Micros,
        of: |round| latency(round, 0.5),
    },
    Number {
        key: "latency_p90_us",
        name: "latency p90",
        unit: Unit::Micros,
        of: |round| latency(round, 0.9),
    },
    Number {
        key: "latency_p99_us",
        name: "latency p99",
        unit: Unit::Micros,
        of: |round| latency(round, 0.99),
    },
    Number {
        key: "latency_p999_us",
        name: "latency p99.9",
        unit: Unit::Micros,
        of: |round| latency(round, 0.999),
    },
    Number {
        key: "latency_p9999_us",
        name: "latency p99.99",
        unit: Unit::Micros,
        of: |round| latency(round, 0.9999),
    },
    Number {
        key: "latency_max_us",
        name: "latency max",
        unit: Unit::Micros,
        of: |round| latency(round, 1.0),
    },
];

impl Number {
    pub fn of(&self, round: &Round) -> Option<f64> {
        (self.of)(round)
    }

    /// Returns the median over the rounds that have this number.
    pub fn median(&self, rounds: &[Round]) -> Option<f64> {
        median(rounds.iter().filter_map(self.of).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A target and the results of its rounds.
#[derive(Debug)]
pub struct Measured {
    pub target: Target,
    pub pid: Option<u32>,
    pub rounds: Vec<Round>,
}

impl Measured {
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().all(|round| round.faults.is_empty())
    }

    /// Returns the latencies of all rounds, in nanoseconds.
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = worker::histogram();
        for round in &self.rounds {
            all.add(&round.latency).expect("all histograms have the same bounds");
        }
        all
    }

    /// Whether the generator had no CPU time left while the broker had some. `None` if the generator
    /// had none left and the broker's use is unknown.
    pub fn generator_was_bottleneck(&self) -> Option<bool> {
        let [generator, broker] = self.busiest_percent();
        if !is_busy(generator?) {
            return Some(false);
        }
        broker.map(|broker| !is_busy(broker))
    }

    /// Whether broker and generator both had CPU time left, or did not get the CPU they needed: then
    /// the rates are the limit of neither. `None` if the broker's use is unknown.
    pub fn neither_was_busy(&self) -> Option<bool> {
        let [generator, broker] = self.busiest_percent();
        Some(!is_busy(generator?) && !is_busy(broker?))
    }

    /// Returns the CPU use of the busiest threads of generator and broker.
    fn busiest_percent(&self) -> [Option<f64>; 2] {
        ["generator_busiest_thread_percent", "broker_busiest_thread_percent"].map(|key| {
            let number = NUMBERS.iter().find(|number| number.key == key).expect("a key of NUMBERS");
            number.median(&self.rounds)
        })
    }
}

/// Whether a thread had no CPU time left.
fn is_busy(percent: f64) -> bool {
    const BUSY_PERCENT: f64 = 90.0;
    percent >= BUSY_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_value_or_the_mean_of_the_middle_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
