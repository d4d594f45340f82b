//! Why executors cannot start: the machine's or the configuration's fault.
//!
//! A text says what happened, the numbers, and what to do, as far as this crate can know: settings
//! and services have names that only the caller knows, so the caller adds what to do with them.

use std::io;
use std::net::SocketAddr;

/// What a listener is for, in the words of its error.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// Whose connections it takes, such as "clients".
    pub of: &'static str,
    /// What changes its address, such as the name of a setting, and how to do without the listener
    /// if that is possible.
    pub change: &'static str,
}

/// Refusal to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel is too old.
    #[error(
        "kernel {found} is too old: multishot receive into ring buffers needs {}.{} or later; \
         upgrade the kernel", needed.0, needed.1
    )]
    Kernel {
        /// What `uname -r` says.
        found: String,
        /// The oldest version that will do.
        needed: (u32, u32),
    },
    /// The administrator switched io_uring off.
    #[error(
        "io_uring is disabled on this machine (kernel.io_uring_disabled = {setting}): run \
         `sysctl kernel.io_uring_disabled=0` as root, or for 1 add the user to the group in \
         kernel.io_uring_group"
    )]
    Disabled {
        /// 1 or 2.
        setting: u32,
    },
    /// Something forbids the system call.
    #[error(
        "io_uring is forbidden here ({source}): most likely the container's seccomp profile; \
         allow io_uring_setup, io_uring_enter and io_uring_register in it"
    )]
    Forbidden {
        /// What the kernel said.
        source: io::Error,
    },
    /// Too little lockable memory. The caller knows where limits are set.
    #[error(
        "locked-memory limit is {} KiB, io_uring needs at least {} KiB", found / 1024, needed / 1024
    )]
    Memlock {
        /// The hard limit in bytes.
        found: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// Too few open files. The caller knows where limits are set, and how many connections.
    #[error("open-file limit is {found}, but {connections_max} connections need {needed}")]
    OpenFiles {
        /// The hard limit.
        found: u64,
        /// What is needed.
        needed: u64,
        /// As configured.
        connections_max: u32,
        /// The most connections the limit has room for.
        fitting: u64,
    },
    /// A core that this process may not use. The caller knows where cores are chosen.
    #[error("core {cpu} is not among the cores this process may use ({allowed})")]
    CoreNotAllowed {
        /// The CPU number asked for.
        cpu: usize,
        /// The CPU numbers allowed.
        allowed: String,
    },
    /// The list of cores cannot be read.
    #[error("cannot find out which cores this process may use: is /proc mounted?")]
    CoresUnknown,
    /// More cores than one process can use. The caller knows where cores are chosen.
    #[error("{found} cores were chosen, the limit is {cores_max}")]
    TooManyCores {
        /// How many were chosen.
        found: usize,
        /// How many can be used.
        cores_max: usize,
    },
    /// Pinning failed although the core is allowed.
    #[error("cannot pin a thread to core {cpu}: the set of allowed cores changed during the start")]
    Pin {
        /// The CPU number.
        cpu: usize,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address} for {}: {source}; {fix} with {}", purpose.of, purpose.change
    )]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the listener is for.
        purpose: Purpose,
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        fix: &'static str,
    },
    /// The rings of one core could not be made.
    #[error("cannot start on core {cpu}: {what} failed: {source}")]
    Core {
        /// The CPU number.
        cpu: usize,
        /// The step.
        what: &'static str,
        /// What the kernel or glommio said.
        source: io::Error,
    },
}
