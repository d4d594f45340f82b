//! Signals as a call that returns, not a handler that interrupts.

use std::io;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM: to stop. The second one asks to stop at once.
    Stop(&'static str),
    /// SIGUSR2: to stop, in its own time. Does not count for a stop at once.
    Drain,
    /// SIGHUP: to read the configuration again.
    Reload,
}

/// The signals that ask for something, kept from killing the process. Make it in `main` before any
/// thread starts: threads inherit what is blocked.
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks these signals for this thread and all threads it starts.
    pub fn block() -> io::Result<Signals> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set it is given; the other calls read and write
        // that set only, and a null old set is allowed.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR2, libc::SIGHUP] {
                libc::sigaddset(&mut set, signal);
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(Signals { set }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Waits for the next of these signals.
    pub fn wait(&self) -> io::Result<Asked> {
        let mut signal = 0;
        // SAFETY: the set was initialised by `block`, and `signal` is written by the call only.
        match unsafe { libc::sigwait(&self.set, &mut signal) } {
            0 => Ok(match signal {
                libc::SIGHUP => Asked::Reload,
                libc::SIGUSR2 => Asked::Drain,
                libc::SIGINT => Asked::Stop("SIGINT"),
                _ => Asked::Stop("SIGTERM"),
            }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
