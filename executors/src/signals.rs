//! Signals as a call that returns, not a handler that interrupts.

use std::io;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM: to stop. The second one asks to stop at once.
    Stop(&'static str),
    /// SIGUSR2, which operators of NATS send before a stop that may take its time.
    LameDuck,
    /// SIGHUP: to read the configuration again.
    Reload,
}

/// The signals that ask a broker for something, kept from killing the process. Make it in `main`
/// before any thread starts: threads inherit what is blocked.
pub struct Signals(Blocked);

/// SIGINT and SIGTERM alone, for programs that only end.
pub struct StopSignals(Blocked);

impl Signals {
    /// Blocks them for this thread and all it starts.
    pub fn block() -> io::Result<Signals> {
        let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGUSR2, libc::SIGHUP];
        Ok(Signals(Blocked::new(&signals)?))
    }

    /// Waits for one of them.
    pub fn wait(&self) -> io::Result<Asked> {
        Ok(match self.0.wait()? {
            libc::SIGHUP => Asked::Reload,
            libc::SIGUSR2 => Asked::LameDuck,
            signal => Asked::Stop(stop_name(signal)),
        })
    }
}

impl StopSignals {
    /// Blocks them for this thread and all it starts.
    pub fn block() -> io::Result<StopSignals> {
        Ok(StopSignals(Blocked::new(&[libc::SIGINT, libc::SIGTERM])?))
    }

    /// Waits for one of them and returns its name.
    pub fn wait(&self) -> io::Result<&'static str> {
        self.0.wait().map(stop_name)
    }
}

fn stop_name(signal: libc::c_int) -> &'static str {
    if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
}

/// Signals that do nothing but end a wait.
struct Blocked {
    set: libc::sigset_t,
}

impl Blocked {
    fn new(signals: &[libc::c_int]) -> io::Result<Blocked> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set it is given; the other calls read and write
        // that set only, and a null old set is allowed.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(Blocked { set }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    fn wait(&self) -> io::Result<libc::c_int> {
        let mut signal = 0;
        // SAFETY: the set was initialised by `new`, and `signal` is written by the call only.
        match unsafe { libc::sigwait(&self.set, &mut signal) } {
            0 => Ok(signal),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
