//! Why the broker cannot start: the machine's or the configuration's fault, each with its fix.

use std::io;
use std::net::SocketAddr;

use crate::listener::Purpose;
use crate::preflight::KERNEL_MIN;

/// Refusal to start. The text says what happened, the numbers, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel is too old.
    #[error(
        "kernel {found} is too old: multishot receive into ring buffers needs {}.{} or later; \
         upgrade the kernel", KERNEL_MIN.0, KERNEL_MIN.1
    )]
    Kernel {
        /// What `uname -r` says.
        found: String,
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
    /// Too little lockable memory.
    #[error(
        "locked-memory limit is {} KiB, io_uring needs at least {} KiB: set \
         LimitMEMLOCK={}K in blipmq.service, `ulimit -l {}` in a root shell, or memlock in \
         /etc/security/limits.conf", found / 1024, needed / 1024, needed / 1024, needed / 1024
    )]
    Memlock {
        /// The hard limit in bytes.
        found: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// Too few open files.
    #[error(
        "open-file limit is {found}, but server.max_connections = {connections_max} needs {needed}: \
         set LimitNOFILE={needed} in blipmq.service, `ulimit -n {needed}` in the shell, or lower \
         server.max_connections to {fitting} or less"
    )]
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
    /// A core that this process may not use.
    #[error(
        "core {cpu} is not among the cores this process may use ({allowed}): change \
         server.cores or --cores, or start it under another taskset or cpuset"
    )]
    CoreNotAllowed {
        /// The CPU number asked for.
        cpu: usize,
        /// The CPU numbers allowed.
        allowed: String,
    },
    /// The list of cores cannot be read.
    #[error("cannot find out which cores this process may use: is /proc mounted?")]
    CoresUnknown,
    /// More cores than the broker can use.
    #[error("{found} cores were chosen, the limit is {cores_max}: name fewer in server.cores")]
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
        /// What it is for.
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
