//! What this process sets for itself before it measures: its CPUs, and its limit of open files.
//!
//! Called by `mod`, `idle` and `mirror`, and by `round` for each thread.

/// Binds the calling thread, and those it starts, to CPUs.
pub fn pin(cpus: &[usize]) -> Result<(), String> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        if *cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(format!(
                "there is no CPU {cpu}: the highest is the one `nproc --all` says"
            ));
        }
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
        format!("cannot run on CPU {cpus:?}: {error}; does this process have it? See `taskset -p`")
    })
}

/// Each connection is an open file; the limit at the start is for programs that use `select`.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is too few shows when a connection cannot be opened.
    let _ = setrlimit(Resource::Nofile, limit);
}
