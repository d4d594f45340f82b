//! The mesh: bounded channels, one per ordered pair of cores and lane, and the waking of sleepers.
//!
//! Used by services through [`Io::mesh`](crate::Io::mesh), and by the driver to sleep and wake.
//!
//! # Always true
//! - Letters of one lane between two cores arrive in the order they were sent.
//! - Nothing here waits: a full channel gives the letter back.
//! - A core that sleeps while a letter lies in its channels has been woken: see [`Waker`].

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Wakes one core, but only if it sleeps.
///
/// The sleeper says so, then looks once more at everything that could wake it; the waker makes its
/// work visible, then looks whether the sleeper said so. With a full fence between the two steps on
/// both sides at least one of them sees the other.
#[derive(Debug)]
pub struct Waker {
    asleep: AtomicBool,
    eventfd: File,
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
        Ok(Waker { asleep: AtomicBool::new(false), eventfd: unsafe { File::from_raw_fd(fd) } })
    }

    /// Wakes the core if it sleeps. What it is to find must have been stored before.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            (&self.eventfd)
                .write_all(&1u64.to_ne_bytes())
                .expect("an eventfd far from overflowing takes every write");
        }
    }

    /// The sleeper's half: from here on `wake` writes to the eventfd. Look at everything once more
    /// before sleeping.
    pub(crate) fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Another descriptor of the eventfd.
    pub(crate) fn eventfd(&self) -> io::Result<File> {
        self.eventfd.try_clone()
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

/// One core's end of the mesh.
pub struct MeshEnd<L> {
    core: usize,
    lanes: usize,
    /// By core and lane; the one to itself is never used.
    outgoing: Vec<Sender<L>>,
    incoming: Vec<Receiver<L>>,
    wakers: Arc<[Arc<Waker>]>,
}

/// The ends of a mesh of `wakers.len()` cores: `letters_max` per ordered pair and lane.
pub fn build<L>(wakers: Arc<[Arc<Waker>]>, lanes: usize, letters_max: usize) -> Vec<MeshEnd<L>> {
    let cores = wakers.len();
    let mut ends: Vec<MeshEnd<L>> = (0..cores)
        .map(|core| MeshEnd {
            core,
            lanes,
            outgoing: Vec::with_capacity(cores * lanes),
            incoming: Vec::with_capacity(cores * lanes),
            wakers: wakers.clone(),
        })
        .collect();
    for from in 0..cores {
        for to in 0..cores {
            for _ in 0..lanes {
                // Filled in the same order on both sides, so both index by core and lane.
                let (sender, receiver) = bounded(if from == to { 0 } else { letters_max });
                ends[from].outgoing.push(sender);
                ends[to].incoming.push(receiver);
            }
        }
    }
    ends
}

impl<L> MeshEnd<L> {
    /// This core.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.wakers.len()
    }

    /// Letters from other cores that wait to be read.
    pub fn waiting(&self) -> usize {
        self.incoming.iter().map(Receiver::len).sum()
    }

    /// Sends a letter and wakes its core if that sleeps, or gives the letter back if the channel
    /// is full.
    pub fn try_send(&self, to: usize, lane: usize, letter: L) -> Result<(), L> {
        assert!(to != self.core, "a core does not write to itself");
        match self.outgoing[to * self.lanes + lane].try_send(letter) {
            Ok(()) => {
                self.wakers[to].wake();
                Ok(())
            }
            // The other core has stopped: it took all it wanted, as the order of stopping says.
            Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(letter)) => Err(letter),
        }
    }

    /// Whether any letter waits.
    pub(crate) fn has_letters(&self) -> bool {
        self.incoming.iter().any(|lane| !lane.is_empty())
    }

    /// The next letter of a lane.
    pub fn try_recv(&self, from: usize, lane: usize) -> Option<L> {
        let receiver = &self.incoming[from * self.lanes + lane];
        let letter = receiver.try_recv().ok()?;
        // Its sender may have kept letters back and gone to sleep when the channel was full.
        if receiver.len() + 1 == receiver.capacity().unwrap_or(0) {
            self.wakers[from].wake();
        }
        Some(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakers(cores: usize) -> Arc<[Arc<Waker>]> {
        (0..cores).map(|_| Arc::new(Waker::new().expect("an eventfd"))).collect()
    }

    #[test]
    fn letters_of_a_lane_arrive_in_order_and_lanes_fill_on_their_own() {
        let mut ends = build::<u32>(wakers(3), 2, 4);
        let two = ends.pop().expect("core 2");
        let zero = ends.swap_remove(0);
        for letter in 0..4 {
            assert_eq!(zero.try_send(2, 0, letter), Ok(()));
        }
        assert_eq!(zero.try_send(2, 0, 9), Err(9), "the lane is full");
        assert_eq!(zero.try_send(2, 1, 7), Ok(()), "the other lane is not");
        assert_eq!(two.try_recv(0, 1), Some(7));
        let received: Vec<_> = std::iter::from_fn(|| two.try_recv(0, 0)).collect();
        assert_eq!(received, [0, 1, 2, 3]);
    }

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let waker = Waker::new().expect("an eventfd");
        waker.wake();
        waker.about_to_sleep();
        waker.wake();
        waker.wake();
        let mut count = [0; 8];
        std::io::Read::read_exact(&mut &waker.eventfd, &mut count).expect("one wake");
        assert_eq!(u64::from_ne_bytes(count), 1);
    }

    /// Goal: no letter is left in a channel while its core sleeps.
    /// Method: two threads, one sleeps on the eventfd whenever it sees no letter; a lost wake hangs.
    #[test]
    fn no_wake_is_lost_between_a_sender_and_a_sleeper() {
        const LETTERS: u32 = 200_000;
        let mut ends = build::<u32>(wakers(2), 1, 8);
        let receiver = ends.pop().expect("core 1");
        let sender = ends.pop().expect("core 0");
        let thread = std::thread::spawn(move || {
            let waker = receiver.wakers[1].clone();
            let mut expected = 0;
            while expected < LETTERS {
                if let Some(letter) = receiver.try_recv(0, 0) {
                    assert_eq!(letter, expected);
                    expected += 1;
                    continue;
                }
                waker.about_to_sleep();
                if receiver.incoming[0].is_empty() {
                    let mut count = [0; 8];
                    std::io::Read::read_exact(&mut &waker.eventfd, &mut count).expect("a wake");
                }
                waker.awake();
            }
        });
        for letter in 0..LETTERS {
            let mut letter = letter;
            while let Err(back) = sender.try_send(1, 0, letter) {
                letter = back;
                std::hint::spin_loop();
            }
        }
        thread.join().expect("every letter arrives");
    }
}
