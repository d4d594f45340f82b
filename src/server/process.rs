//! What the kernel reports about this process: CPU time, memory, files, threads.
//!
//! Called by the admin pages, at every fetch.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The process at one moment. A number that cannot be read is 0: `/proc` may not be mounted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// CPU time of all threads since the start.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open files, connections among them.
    pub open_files: u64,
    /// The limit on open files.
    pub open_files_max: u64,
    pub threads: u64,
}

impl Process {
    /// Reads the numbers of this process.
    pub fn read() -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Process {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: number_in(&status, "VmRSS:").unwrap_or(0) * 1_024,
            open_files: open_files(),
            open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            threads: number_in(&status, "Threads:").unwrap_or(0),
        }
    }
}

/// The number behind a name in the text of `/proc/PID/status` or `/proc/meminfo`.
pub fn number_in(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn open_files() -> u64 {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the size of the folder is the number of open files. Older kernels report 0, and
    // the entries have to be counted.
    match fs::metadata(FOLDER).map(|folder| folder.len()) {
        Ok(files) if files > 0 => files,
        _ => fs::read_dir(FOLDER).map_or(0, |files| files.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_status_are_found_by_name() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        assert_eq!(number_in(status, "VmRSS:"), Some(2_048));
        assert_eq!(number_in(status, "Threads:"), Some(3));
        assert_eq!(number_in(status, "VmSwap:"), None);
    }

    #[test]
    fn every_number_of_this_process_is_read() {
        let process = Process::read();
        assert!(process.cpu_seconds > 0.0, "{process:?}");
        assert!(process.resident_bytes > 1 << 20 && process.threads > 0, "{process:?}");
        assert!((3..process.open_files_max).contains(&process.open_files), "{process:?}");
    }

    #[test]
    fn further_open_files_are_counted() {
        // Other tests open and close files meanwhile, so this one opens many.
        let before = open_files();
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files() >= before + 100, "{before} and 200 more are {}", open_files());
        drop(files);
    }
}
