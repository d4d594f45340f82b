//! Waking a core that sleeps.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes one core, but only if it sleeps.
///
/// The sleeper says so, then looks once more at everything that could wake it; the waker makes its
/// work visible, then looks whether the sleeper said so. With a full fence between the two steps on
/// both sides at least one of them sees the other.
#[derive(Debug)]
pub struct Waker {
    asleep: AtomicBool,
    bell: Bell,
}

/// What a wake rings.
#[derive(Debug)]
enum Bell {
    Eventfd(File),
    /// Looked at by the simulator.
    Simulated(AtomicBool),
}

impl Waker {
    /// A waker with an eventfd of its own.
    pub fn new() -> io::Result<Waker> {
        // SAFETY: eventfd has no memory arguments.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open and nothing else owns it.
        let eventfd = unsafe { File::from_raw_fd(fd) };
        Ok(Waker { asleep: AtomicBool::new(false), bell: Bell::Eventfd(eventfd) })
    }

    /// A waker whose wakes the simulator sees, without a descriptor.
    pub(crate) fn simulated() -> Waker {
        Waker { asleep: AtomicBool::new(false), bell: Bell::Simulated(AtomicBool::new(false)) }
    }

    /// Wakes the core if it sleeps. What it is to find must have been stored before.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Rings the bell, whether the core sleeps or not.
    pub(crate) fn ring(&self) {
        match &self.bell {
            Bell::Eventfd(eventfd) => (&*eventfd)
                .write_all(&1u64.to_ne_bytes())
                .expect("an eventfd far from overflowing takes every write"),
            Bell::Simulated(rung) => rung.store(true, Ordering::Relaxed),
        }
    }

    /// The sleeper's half: from here on `wake` rings. Look at everything once more before sleeping.
    pub(crate) fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// The eventfd, which a simulated waker has not.
    pub(crate) fn eventfd(&self) -> &File {
        match &self.bell {
            Bell::Eventfd(eventfd) => eventfd,
            Bell::Simulated(_) => panic!("a simulated waker has no eventfd"),
        }
    }

    /// Whether a simulated waker has rung since it was silenced.
    pub(crate) fn is_rung(&self) -> bool {
        self.simulated_bell().load(Ordering::Relaxed)
    }

    pub(crate) fn silence(&self) {
        self.simulated_bell().store(false, Ordering::Relaxed);
    }

    fn simulated_bell(&self) -> &AtomicBool {
        match &self.bell {
            Bell::Eventfd(_) => panic!("the kernel alone knows whether an eventfd was written to"),
            Bell::Simulated(rung) => rung,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let waker = Waker::new().expect("an eventfd");
        waker.wake();
        waker.about_to_sleep();
        waker.wake();
        waker.wake();
        let mut count = [0; 8];
        io::Read::read_exact(&mut waker.eventfd(), &mut count).expect("one wake");
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}
