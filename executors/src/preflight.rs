//! What must be true of the machine before any executor starts. Each failure names its fix.
//!
//! Called by `main` before `launch`. glommio itself panics or exits under a seccomp filter, so
//! everything it needs is tried here first.

use std::io;
use std::net::SocketAddr;

use crate::StartError;
use crate::listener::Purpose;

/// glommio refuses to start below this, even for root.
const MEMLOCK_PER_CORE: u64 = 512 * 1024;
/// Descriptors an executor uses beside its connections: rings, eventfd, glommio's own.
const FILES_PER_CORE: u64 = 32;
/// Descriptors of the rest of the process, and of connections that are only told they are too many.
const FILES_OTHER: u64 = 128;

/// Checks kernel, io_uring, memory and file limits, and raises the limits as far as it may.
pub fn check(cores: usize, connections_max: u32) -> Result<(), StartError> {
    kernel()?;
    disabled()?;
    memlock(cores as u64)?;
    probe()?;
    open_files(cores, connections_max)?;
    register_membarrier();
    Ok(())
}

fn kernel() -> Result<(), StartError> {
    let found = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match parse_release(&found) {
        Some(version) if version < (6, 1) => {
            Err(StartError::Kernel { found: found.trim().to_string() })
        }
        // An unreadable release is no reason to refuse: the probe below decides.
        _ => Ok(()),
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn disabled() -> Result<(), StartError> {
    // The file is missing before kernel 6.6, where nothing can be disabled.
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    match setting.and_then(|text| text.trim().parse().ok()) {
        None | Some(0) => Ok(()),
        // 1 still serves CAP_SYS_ADMIN and one group: only trying tells.
        Some(1) if io_uring::IoUring::new(8).is_ok() => Ok(()),
        Some(setting) => Err(StartError::Disabled { setting }),
    }
}

fn probe() -> Result<(), StartError> {
    let probe: io::Result<io_uring::IoUring> =
        io_uring::IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8);
    probe.map(drop).map_err(|source| StartError::Forbidden { source })
}

fn memlock(cores: u64) -> Result<(), StartError> {
    let needed = MEMLOCK_PER_CORE * cores;
    match raise(libc::RLIMIT_MEMLOCK, needed) {
        Ok(()) => Ok(()),
        Err(found) => Err(StartError::Memlock { found, needed }),
    }
}

/// Raises the limit of open files for so many connections, as far as it may; also later, when there
/// are to be more.
pub fn open_files(cores: usize, connections_max: u32) -> Result<(), StartError> {
    let cores = cores as u64;
    let other = FILES_PER_CORE * cores + FILES_OTHER;
    let needed = u64::from(connections_max) + other;
    match raise(libc::RLIMIT_NOFILE, needed) {
        Ok(()) => Ok(()),
        Err(found) => Err(StartError::OpenFiles {
            found,
            needed,
            connections_max,
            fitting: found.saturating_sub(other),
        }),
    }
}

/// Makes a limit at least `needed`; else says what the hard limit is.
fn raise(resource: libc::__rlimit_resource_t, needed: u64) -> Result<(), u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to for the length of the call.
    let result = unsafe { libc::getrlimit(resource, &mut limit) };
    assert!(result == 0, "the resource exists on every Linux");
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    // Raising the hard limit too works for root, so a root shell with small limits still starts.
    let wanted = libc::rlimit { rlim_cur: needed, rlim_max: limit.rlim_max.max(needed) };
    // SAFETY: `wanted` is a valid rlimit to read for the length of the call.
    if unsafe { libc::setrlimit(resource, &wanted) } == 0 { Ok(()) } else { Err(limit.rlim_max) }
}

/// glommio uses private expedited membarriers to fall asleep; registering when only one thread
/// runs is instant, later it takes some 10 ms of the first sleep.
fn register_membarrier() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: this membarrier command has no memory arguments. A kernel without it answers with an
    // error, and glommio registers by itself later.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
}

/// An error of listening, with its fix.
pub(crate) fn listen_error(address: SocketAddr, purpose: Purpose, source: io::Error) -> StartError {
    let fix = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has this port, maybe a second broker: stop it or choose another"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: choose another"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: choose another"
        }
        _ => "choose another address",
    };
    StartError::Listen { address, purpose, source, fix }
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
    fn a_limit_that_is_high_enough_is_left_alone() {
        assert_eq!(raise(libc::RLIMIT_NOFILE, 1), Ok(()));
    }

    #[test]
    fn a_limit_beyond_the_hard_one_of_the_kernel_is_an_error_with_the_number() {
        // No process can have more files than fs.nr_open, root or not.
        let found = raise(libc::RLIMIT_NOFILE, 1 << 40).expect_err("beyond fs.nr_open");
        assert!(found < 1 << 40);
    }
}
