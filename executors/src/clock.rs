//! The time, read once per turn and handed to everything that needs it.

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since some fixed point; the same on all cores, never set back.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch; can jump when the clock is set.
    pub unix_ns: u64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Now {
        Now { monotonic_ns: monotonic_ns(), unix_ns: read(libc::CLOCK_REALTIME) }
    }
}

/// Reads the one clock, for waits shorter than a turn.
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to for the length of the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert!(result == 0, "the two clocks exist on every Linux");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back() {
        let mut last = Now::read();
        for _ in 0..1_000 {
            let now = Now::read();
            assert!(now.monotonic_ns >= last.monotonic_ns);
            last = now;
        }
    }
}
