//! SIGINT and SIGTERM as a call that returns, not a handler that interrupts.

use std::io;

/// The two signals that ask for a stop, kept from killing the process. Make it in `main` before
/// any thread starts: threads inherit what is blocked.
pub struct StopSignals {
    set: libc::sigset_t,
}

impl StopSignals {
    /// Blocks both signals for this thread and all it starts.
    pub fn block() -> io::Result<StopSignals> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set it is given; the other calls read and write
        // that set only, and a null old set is allowed.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigaddset(&mut set, libc::SIGTERM);
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(StopSignals { set }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Waits for one of them and returns its name.
    pub fn wait(&self) -> io::Result<&'static str> {
        let mut signal = 0;
        // SAFETY: the set was initialised by `block`, and `signal` is written by the call only.
        match unsafe { libc::sigwait(&self.set, &mut signal) } {
            0 if signal == libc::SIGINT => Ok("SIGINT"),
            0 => Ok("SIGTERM"),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
