//! Prepares this process for measuring: its CPUs and its limit of open files.
//!
//! Called by `mod`, `idle` and `mirror`, and by `round` for each thread.

/// Pins the calling thread, and the threads it starts later, to CPUs.
pub fn pin(cpus: &[usize]) -> Result<(), String> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        if *cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(format!("there is no CPU {cpu}: `nproc --all` prints how many there are"));
        }
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
        format!("cannot run on CPUs {cpus:?}: {error}; are they allowed? See `taskset -p`")
    })
}

/// Raises the limit of open files to its maximum: each connection is an open file, and the default
/// is low for the sake of programs that use `select`.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If the limit is still too low, opening a connection fails with advice.
    let _ = setrlimit(Resource::Nofile, limit);
}
