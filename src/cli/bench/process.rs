//! Data from `/proc`: the CPU time of a process by thread, its memory, and the machine.
//!
//! Called by `watch` and `idle` before and after a measurement, and by the reports.
//!
//! # Always true
//! - The CPU time of a thread that ended during the measurement is not lost: the total of the process,
//!   which is coarser, is used instead if it is larger.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use crate::server::process::number_in;

/// The length of a tick in `/proc/PID/stat`: Linux has 100 per second on all BlipMQ's platforms.
const TICK_NS: u64 = 10_000_000;

/// The CPU time of a process up to an instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    at: Instant,
    /// CPU time in nanoseconds, by thread id.
    threads: BTreeMap<u32, u64>,
    /// CPU time of the whole process, including ended threads, in steps of a tick.
    total_ns: u64,
}

/// CPU time between two instants.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cpu {
    pub total_ns: u64,
    pub busiest_ns: u64,
    pub wall_ns: u64,
}

impl Cpu {
    pub fn percent(&self) -> f64 {
        100.0 * self.total_ns as f64 / self.wall_ns.max(1) as f64
    }

    pub fn busiest_percent(&self) -> f64 {
        100.0 * self.busiest_ns as f64 / self.wall_ns.max(1) as f64
    }
}

impl Snapshot {
    pub fn of(pid: u32) -> Result<Snapshot, String> {
        let cannot = |error| {
            format!("cannot read /proc/{pid}: {error}; does --pid name the broker's process?")
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(cannot)?;
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(cannot)? {
            let task = task.map_err(cannot)?;
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // The thread may have ended since the folder was read.
            if let Ok(text) = fs::read_to_string(task.path().join("schedstat"))
                && let Some(ns) = parse_schedstat(&text)
            {
                threads.insert(id, ns);
            }
        }
        let ticks =
            parse_stat(&stat).ok_or_else(|| format!("cannot parse /proc/{pid}/stat: {stat:?}"))?;
        Ok(Snapshot { at: Instant::now(), threads, total_ns: ticks * TICK_NS })
    }

    /// Returns the CPU time used between `before` and this snapshot.
    pub fn since(&self, before: &Snapshot) -> Cpu {
        let used = |(id, ns): (&u32, &u64)| {
            ns.saturating_sub(before.threads.get(id).copied().unwrap_or(0))
        };
        let sum: u64 = self.threads.iter().map(used).sum();
        let ended = before.threads.keys().any(|id| !self.threads.contains_key(id));
        let total = self.total_ns.saturating_sub(before.total_ns);
        Cpu {
            total_ns: if ended { sum.max(total) } else { sum },
            busiest_ns: self.threads.iter().map(used).max().unwrap_or(0),
            wall_ns: self.at.duration_since(before.at).as_nanos() as u64,
        }
    }
}

/// Parses the time on a CPU, in nanoseconds: the first of three numbers.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Parses the sum of user and system ticks. The name of the process is in parentheses and may
/// contain any character.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    Some(user + fields.next()?.parse::<u64>().ok()?)
}

/// Returns the resident memory of a process.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(number_in(&status, "VmRSS:")? * 1_024)
}

/// The machine that a measurement ran on.
#[derive(Debug, Clone)]
pub struct Machine {
    pub kernel: String,
    pub cpu_model: String,
    pub cpus: usize,
}

impl Machine {
    pub fn here() -> Machine {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let (cpu_model, cpus) =
            parse_cpuinfo(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
        Machine { kernel: kernel.trim().to_owned(), cpu_model, cpus }
    }

    pub fn describe(&self) -> String {
        format!("Linux {}, {}, {} CPUs", self.kernel, self.cpu_model, self.cpus)
    }
}

fn parse_cpuinfo(text: &str) -> (String, usize) {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let fields: Vec<_> = text.lines().filter_map(field).collect();
    let cpus = fields.iter().filter(|(name, _)| name == "processor").count();
    // aarch64 has numbers instead of a name.
    let model = fields.iter().find(|(name, _)| name == "model name" || name == "CPU part");
    (model.map_or_else(|| "unknown CPU".to_owned(), |(_, value)| value.clone()), cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_parsed() {
        assert_eq!(parse_schedstat("2412391 2134 17\n"), Some(2_412_391));
        assert_eq!(parse_schedstat(""), None);
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 3 0 9 1 2 3";
        assert_eq!(parse_stat(stat), Some(175));
        assert_eq!(parse_stat("42 (a) S 1"), None);
        let cpuinfo =
            "processor\t: 0\nmodel name\t: A B: C\n\nprocessor\t: 1\nmodel name\t: A B: C\n";
        assert_eq!(parse_cpuinfo(cpuinfo), ("A B: C".to_owned(), 2));
        assert_eq!(parse_cpuinfo(""), ("unknown CPU".to_owned(), 0));
    }

    #[test]
    fn started_and_ended_threads_are_counted() {
        let snapshot = |threads: &[(u32, u64)], total_ns| Snapshot {
            at: Instant::now(),
            threads: threads.iter().copied().collect(),
            total_ns,
        };
        let before = snapshot(&[(1, 100), (2, 500)], 0);
        let new = snapshot(&[(1, 150), (2, 500), (3, 70)], 9_999).since(&before);
        assert_eq!((new.total_ns, new.busiest_ns), (120, 70));
        // Thread 2 ended; the process's total still has its time.
        let ended = snapshot(&[(1, 150)], 9_999).since(&before);
        assert_eq!((ended.total_ns, ended.busiest_ns), (9_999, 50));
    }

    #[test]
    fn own_process_is_readable_and_a_missing_one_is_an_error() {
        assert!(Snapshot::of(std::process::id()).is_ok());
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 0));
        assert!(Snapshot::of(u32::MAX).unwrap_err().contains("--pid"));
    }
}
