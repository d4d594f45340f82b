//! What must be true of the machine before any executor starts.
//!
//! Called before `launch`; the parts can be called one by one, for a report about the machine.
//! glommio itself panics or exits under a seccomp filter, so everything glommio needs is tried here
//! first.

use std::io;

use crate::error::StartError;

/// The oldest kernel with multishot receive into ring buffers.
pub const KERNEL_MIN: (u32, u32) = (6, 1);
/// glommio refuses to start below this, even for root.
pub const MEMLOCK_PER_CORE: u64 = 512 * 1024;
/// Descriptors an executor uses beside its connections: rings, eventfd, glommio's own.
const FILES_PER_CORE: u64 = 32;
/// Descriptors of the rest of the process, and of connections over the limit until they are closed.
const FILES_OTHER: u64 = 128;

/// Checks kernel, io_uring, memory and file limits, and raises the limits as far as the process may.
pub fn check(cores: usize, connections_max: u32) -> Result<(), StartError> {
    kernel(&std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default())?;
    memlock(cores)?;
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    io_uring(disabled.and_then(|text| text.trim().parse().ok()), make_ring())?;
    open_files(cores, connections_max)?;
    register_membarrier();
    Ok(())
}

/// Whether a kernel of this release, as `uname -r` gives it, is new enough.
pub fn kernel(release: &str) -> Result<(), StartError> {
    match parse_release(release) {
        Some(version) if version < KERNEL_MIN => {
            Err(StartError::Kernel { found: release.trim().to_string(), needed: KERNEL_MIN })
        }
        // An unreadable release is no reason to refuse: making a ring decides.
        _ => Ok(()),
    }
}

/// The first two numbers of a kernel release.
pub fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether rings can be made. `disabled` is kernel.io_uring_disabled, which is missing before
/// kernel 6.6, where nothing can be disabled; `made` is what [`make_ring`] gave.
pub fn io_uring(disabled: Option<u32>, made: io::Result<()>) -> Result<(), StartError> {
    match (disabled, made) {
        // 1 still serves CAP_SYS_ADMIN and one group: only trying shows which.
        (None | Some(0 | 1), Ok(())) => Ok(()),
        (None | Some(0), Err(source)) => Err(StartError::Forbidden { source }),
        (Some(setting), _) => Err(StartError::Disabled { setting }),
    }
}

/// Makes a ring as a core does, and lets go of the ring.
pub fn make_ring() -> io::Result<()> {
    let made: io::Result<io_uring::IoUring> =
        io_uring::IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8);
    made.map(drop)
}

/// Bytes that so many cores must be able to lock.
pub fn memlock_needed(cores: usize) -> u64 {
    MEMLOCK_PER_CORE * cores as u64
}

/// Open files that so many cores need for so many connections.
pub fn files_needed(cores: usize, connections_max: u32) -> u64 {
    u64::from(connections_max) + files_beside(cores)
}

/// Connections that so many cores can have with so many open files.
pub fn connections_fitting(cores: usize, files: u64) -> u64 {
    files.saturating_sub(files_beside(cores))
}

fn files_beside(cores: usize) -> u64 {
    FILES_PER_CORE * cores as u64 + FILES_OTHER
}

fn memlock(cores: usize) -> Result<(), StartError> {
    let needed = memlock_needed(cores);
    match Resource::LockedMemory.raise(needed) {
        Limit { enough: true, .. } => Ok(()),
        Limit { hard: found, .. } => Err(StartError::Memlock { found, needed }),
    }
}

/// Raises the limit of open files for so many connections, as far as the process may; also later,
/// when there are to be more connections.
pub fn open_files(cores: usize, connections_max: u32) -> Result<(), StartError> {
    let needed = files_needed(cores, connections_max);
    match Resource::OpenFiles.raise(needed) {
        Limit { enough: true, .. } => Ok(()),
        Limit { hard: found, .. } => Err(StartError::OpenFiles {
            found,
            needed,
            connections_max,
            fitting: connections_fitting(cores, found),
        }),
    }
}

/// What the kernel limits of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of locked memory, `ulimit -l` (which counts KiB).
    LockedMemory,
    /// Open files, `ulimit -n`.
    OpenFiles,
}

/// A limit of this process, before it was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What applied.
    pub soft: u64,
    /// What any process may raise it to. Root may go on, up to a bound of the kernel's.
    pub hard: u64,
    /// Whether the limit is now what was needed.
    pub enough: bool,
}

impl Limit {
    /// No limit.
    pub const UNLIMITED: u64 = libc::RLIM_INFINITY;
}

impl Resource {
    /// Makes the limit of this process at least `needed`, if that is allowed.
    pub fn raise(self, needed: u64) -> Limit {
        let resource = match self {
            Resource::LockedMemory => libc::RLIMIT_MEMLOCK,
            Resource::OpenFiles => libc::RLIMIT_NOFILE,
        };
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid rlimit to write to for the length of the call.
        let result = unsafe { libc::getrlimit(resource, &mut limit) };
        assert!(result == 0, "the resource exists on every Linux");
        let libc::rlimit { rlim_cur: soft, rlim_max: hard } = limit;
        if soft >= needed {
            return Limit { soft, hard, enough: true };
        }
        // Raising the hard limit too works for root, so a root shell with small limits still starts.
        let wanted = libc::rlimit { rlim_cur: needed, rlim_max: hard.max(needed) };
        // SAFETY: `wanted` is a valid rlimit to read for the length of the call.
        let enough = unsafe { libc::setrlimit(resource, &wanted) } == 0;
        Limit { soft, hard, enough }
    }
}

/// glommio uses private expedited membarriers to fall asleep; registering when only one thread
/// runs is instant, later it takes some 10 ms of the first sleep.
fn register_membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: this membarrier command has no memory arguments. A kernel without it answers with an
    // error, and glommio registers by itself later.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_as_numbers() {
        assert_eq!(parse_release("6.18.44-fc-v595\n"), Some((6, 18)));
        assert!(parse_release("5.15.0-91-generic") < Some((6, 1)));
        assert!(parse_release("10.0") > Some((6, 1)));
        assert_eq!(parse_release("unknown"), None);
    }

    #[test]
    fn a_kernel_is_refused_only_if_it_is_known_to_be_too_old() {
        assert!(kernel("6.1.0\n").is_ok() && kernel("").is_ok());
        let error = kernel("6.0.19-generic\n").expect_err("multishot receive came with 6.1");
        assert!(error.to_string().contains("6.0.19-generic is too old"), "{error}");
        assert!(error.to_string().contains("needs 6.1 or later"), "{error}");
    }

    #[test]
    fn rings_are_off_if_the_setting_says_so_and_where_one_cannot_be_made() {
        let forbidden = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        for setting in [None, Some(0), Some(1)] {
            assert!(io_uring(setting, Ok(())).is_ok(), "{setting:?}");
        }
        for (setting, made) in [(2, Ok(())), (1, forbidden()), (2, forbidden())] {
            let error = io_uring(Some(setting), made).expect_err("it is disabled");
            assert!(matches!(error, StartError::Disabled { setting: found } if found == setting));
        }
        for setting in [None, Some(0)] {
            let error = io_uring(setting, forbidden()).expect_err("a filter forbids it");
            assert!(matches!(error, StartError::Forbidden { .. }), "{error}");
        }
    }

    #[test]
    fn a_limit_that_is_high_enough_is_left_alone() {
        let before = Resource::OpenFiles.raise(1);
        assert!(before.enough && before.soft <= before.hard);
        assert_eq!(Resource::OpenFiles.raise(1), before);
    }

    #[test]
    fn a_limit_beyond_the_hard_one_of_the_kernel_is_not_enough_and_stays() {
        // No process can have more files than fs.nr_open, root or not.
        let limit = Resource::OpenFiles.raise(1 << 40);
        assert!(!limit.enough && limit.hard < 1 << 40);
        assert_eq!(Resource::OpenFiles.raise(1).hard, limit.hard);
    }

    #[test]
    fn as_many_connections_fit_as_files_were_counted_for() {
        assert_eq!(connections_fitting(4, files_needed(4, 10_000)), 10_000);
        assert_eq!(connections_fitting(4, 5), 0);
        assert_eq!(memlock_needed(3), 3 * 512 * 1024);
    }
}
