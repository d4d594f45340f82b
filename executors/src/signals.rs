//! Signals as a call that returns, not a handler that interrupts.

use std::io;
use std::time::Duration;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM: to stop. The second one asks to stop at once.
    Stop(&'static str),
    /// SIGUSR2: to let clients leave, and then to stop. Does not count for a stop at once.
    Drain,
    /// SIGHUP: to read the configuration again.
    Reload,
    /// SIGUSR1: to open the files of the log again.
    ReopenLog,
}

/// Signals that ask for something, whatever the process that started this one has them do: under `nohup`
/// SIGHUP would be ignored, and no reload possible.
const ASK: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP];

/// Signals that would end or halt the process for what a write can say as well: the peer is gone, the file
/// is at its limit, the terminal belongs to another process.
const IGNORED: [libc::c_int; 3] = [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGTTOU];

/// The signals that ask for something, kept from killing the process. Make it in `main` before any
/// thread starts: threads inherit what is blocked.
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks these signals for this thread and all threads it starts, and ignores those that would end
    /// the process for a write that fails.
    pub fn block() -> io::Result<Signals> {
        for signal in ASK {
            set_action(signal, libc::SIG_DFL)?;
        }
        for signal in IGNORED {
            set_action(signal, libc::SIG_IGN)?;
        }
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set it is given; the other calls read and write
        // that set only, and a null old set is allowed.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            // A SIGINT that was ignored stays so: the broker was started in the background.
            for signal in ASK.into_iter().chain([libc::SIGINT]) {
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
            0 => Ok(asked(signal)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Waits for the next of these signals, but not longer than `at_most`.
    pub fn wait_for(&self, at_most: Duration) -> io::Result<Option<Asked>> {
        let at_most = libc::timespec {
            tv_sec: at_most.as_secs() as libc::time_t,
            tv_nsec: at_most.subsec_nanos().into(),
        };
        // SAFETY: the set was initialised by `block`, and both it and the time are only read; a null
        // pointer means that nothing more of the signal is wanted.
        let signal = unsafe { libc::sigtimedwait(&self.set, std::ptr::null_mut(), &at_most) };
        if signal > 0 {
            return Ok(Some(asked(signal)));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        }
    }
}

fn asked(signal: libc::c_int) -> Asked {
    match signal {
        libc::SIGHUP => Asked::Reload,
        libc::SIGUSR1 => Asked::ReopenLog,
        libc::SIGUSR2 => Asked::Drain,
        libc::SIGINT => Asked::Stop("SIGINT"),
        _ => Asked::Stop("SIGTERM"),
    }
}

fn set_action(signal: libc::c_int, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: both actions are the kernel's own; no function of this process becomes a handler.
    match unsafe { libc::signal(signal, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
