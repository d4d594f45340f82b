//! The mesh: bounded channels, one per ordered pair of cores and lane, and the waking of sleepers.
//!
//! Used by services through [`Io::mesh`](crate::Io::mesh), and by the driver to sleep and wake.
//!
//! # Always true
//! - Messages of one lane between two cores arrive in the order they were sent.
//! - Nothing here waits: a full channel gives the message back.
//! - A core that sleeps while a message lies in its channels has been woken: see [`Waker`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

pub use crate::waker::Waker;

/// One core's end of the mesh. `M` is the mesh message.
pub struct MeshEnd<M> {
    core: usize,
    lanes: usize,
    /// By core and lane; the one to itself is never used.
    outgoing: Vec<Outgoing<M>>,
    incoming: Vec<Incoming<M>>,
    wakers: Arc<[Arc<Waker>]>,
}

struct Outgoing<M> {
    channel: Sender<M>,
    transit: Option<Arc<Transit>>,
}

struct Incoming<M> {
    channel: Receiver<M>,
    transit: Option<Arc<Transit>>,
}

/// The way of a simulated lane. Messages and the wakes that follow them are on their way until the
/// simulator lets them arrive; real lanes have no way.
#[derive(Debug, Default)]
struct Transit {
    /// Messages in the channel that the receiver does not see yet: the newest ones.
    messages: AtomicUsize,
    wakes: AtomicUsize,
}

/// The ways of all lanes of a simulated mesh.
pub(crate) struct Transits {
    cores: usize,
    lanes: usize,
    /// By sender, receiver and lane.
    transits: Vec<Arc<Transit>>,
    wakers: Arc<[Arc<Waker>]>,
}

/// The ends of a mesh of `wakers.len()` cores: `messages_max` per ordered pair and lane.
pub fn build<M>(wakers: Arc<[Arc<Waker>]>, lanes: usize, messages_max: usize) -> Vec<MeshEnd<M>> {
    build_with(wakers, lanes, messages_max, |_| None)
}

/// The same mesh, of which the simulator decides when messages arrive.
pub(crate) fn build_simulated<M>(
    wakers: Arc<[Arc<Waker>]>,
    lanes: usize,
    messages_max: usize,
) -> (Vec<MeshEnd<M>>, Transits) {
    let cores = wakers.len();
    let transits: Vec<_> = (0..cores * cores * lanes).map(|_| Arc::default()).collect();
    let ends =
        build_with(wakers.clone(), lanes, messages_max, |index| Some(Arc::clone(&transits[index])));
    (ends, Transits { cores, lanes, transits, wakers })
}

fn build_with<M>(
    wakers: Arc<[Arc<Waker>]>,
    lanes: usize,
    messages_max: usize,
    transit: impl Fn(usize) -> Option<Arc<Transit>>,
) -> Vec<MeshEnd<M>> {
    let cores = wakers.len();
    let mut ends: Vec<MeshEnd<M>> = (0..cores)
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
            for lane in 0..lanes {
                // Filled in the same order on both sides, so both index by core and lane.
                let (sender, receiver) = bounded(if from == to { 0 } else { messages_max });
                let transit = transit((from * cores + to) * lanes + lane);
                ends[from].outgoing.push(Outgoing { channel: sender, transit: transit.clone() });
                ends[to].incoming.push(Incoming { channel: receiver, transit });
            }
        }
    }
    ends
}

impl<M> MeshEnd<M> {
    /// This core.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.wakers.len()
    }

    /// Messages from other cores that wait to be read.
    pub fn waiting(&self) -> usize {
        self.incoming.iter().map(Incoming::len).sum()
    }

    /// Sends a message and wakes its core if that sleeps, or gives the message back if the channel
    /// is full.
    pub fn try_send(&self, to: usize, lane: usize, message: M) -> Result<(), M> {
        assert!(to != self.core, "a core does not write to itself");
        let outgoing = &self.outgoing[to * self.lanes + lane];
        match outgoing.channel.try_send(message) {
            Ok(()) => {
                if let Some(transit) = &outgoing.transit {
                    transit.messages.fetch_add(1, Ordering::Relaxed);
                }
                self.wake(to, outgoing);
                Ok(())
            }
            // The other core has stopped: it took all it wanted, as the order of stopping says.
            Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(message)) => Err(message),
        }
    }

    /// The wake of a message that was sent: as late as the message itself.
    fn wake(&self, to: usize, outgoing: &Outgoing<M>) {
        match &outgoing.transit {
            None => self.wakers[to].wake(),
            Some(transit) => {
                transit.wakes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether any message waits.
    pub(crate) fn has_messages(&self) -> bool {
        self.incoming.iter().any(|incoming| match &incoming.transit {
            None => !incoming.channel.is_empty(),
            Some(_) => incoming.len() > 0,
        })
    }

    /// The next message of a lane.
    pub fn try_recv(&self, from: usize, lane: usize) -> Option<M> {
        let incoming = &self.incoming[from * self.lanes + lane];
        if incoming.transit.is_some() && incoming.len() == 0 {
            return None;
        }
        let receiver = &incoming.channel;
        let message = receiver.try_recv().ok()?;
        // Its sender may have kept messages back and gone to sleep when the channel was full.
        if receiver.len() + 1 == receiver.capacity().unwrap_or(0) {
            self.wakers[from].wake();
        }
        Some(message)
    }
}

impl<M> Incoming<M> {
    /// Messages that have arrived.
    fn len(&self) -> usize {
        let under_way = |transit: &Arc<Transit>| transit.messages.load(Ordering::Relaxed);
        self.channel.len() - self.transit.as_ref().map_or(0, under_way)
    }
}

impl Transits {
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    fn of(&self, from: usize, to: usize, lane: usize) -> &Transit {
        &self.transits[(from * self.cores + to) * self.lanes + lane]
    }

    /// Messages of a lane that were sent and have not arrived.
    pub(crate) fn under_way(&self, from: usize, to: usize, lane: usize) -> usize {
        self.of(from, to, lane).messages.load(Ordering::Relaxed)
    }

    /// Lets the oldest message under way arrive, and the wake that follows it.
    pub(crate) fn arrive(&self, from: usize, to: usize, lane: usize) {
        let transit = self.of(from, to, lane);
        let messages = transit.messages.load(Ordering::Relaxed);
        assert!(messages > 0, "no message is under way");
        transit.messages.store(messages - 1, Ordering::Relaxed);
        let wakes = transit.wakes.load(Ordering::Relaxed);
        if wakes > 0 {
            transit.wakes.store(wakes - 1, Ordering::Relaxed);
            self.wakers[to].wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakers(cores: usize) -> Arc<[Arc<Waker>]> {
        (0..cores).map(|_| Arc::new(Waker::new().expect("an eventfd"))).collect()
    }

    #[test]
    fn messages_of_a_lane_arrive_in_order_and_lanes_fill_on_their_own() {
        let mut ends = build::<u32>(wakers(3), 2, 4);
        let two = ends.pop().expect("core 2");
        let zero = ends.swap_remove(0);
        for message in 0..4 {
            assert_eq!(zero.try_send(2, 0, message), Ok(()));
        }
        assert_eq!(zero.try_send(2, 0, 9), Err(9), "the lane is full");
        assert_eq!(zero.try_send(2, 1, 7), Ok(()), "the other lane is not");
        assert_eq!(two.try_recv(0, 1), Some(7));
        let received: Vec<_> = std::iter::from_fn(|| two.try_recv(0, 0)).collect();
        assert_eq!(received, [0, 1, 2, 3]);
    }

    /// Goal: no message is left in a channel while its core sleeps.
    /// Method: two threads, one sleeps on the eventfd whenever it sees no message; a lost wake hangs.
    #[test]
    fn no_wake_is_lost_between_a_sender_and_a_sleeper() {
        const MESSAGES: u32 = 200_000;
        let mut ends = build::<u32>(wakers(2), 1, 8);
        let receiver = ends.pop().expect("core 1");
        let sender = ends.pop().expect("core 0");
        let thread = std::thread::spawn(move || {
            let waker = receiver.wakers[1].clone();
            let mut expected = 0;
            while expected < MESSAGES {
                if let Some(message) = receiver.try_recv(0, 0) {
                    assert_eq!(message, expected);
                    expected += 1;
                    continue;
                }
                waker.about_to_sleep();
                if !receiver.has_messages() {
                    let mut count = [0; 8];
                    std::io::Read::read_exact(&mut waker.eventfd(), &mut count).expect("a wake");
                }
                waker.awake();
            }
        });
        for message in 0..MESSAGES {
            let mut message = message;
            while let Err(back) = sender.try_send(1, 0, message) {
                message = back;
                std::hint::spin_loop();
            }
        }
        thread.join().expect("every message arrives");
    }

    /// Goal: a simulated lane has the bound and the wakes of a real one, and is late.
    #[test]
    fn messages_under_way_count_as_sent_and_are_not_seen() {
        let wakers: Arc<[_]> = (0..2).map(|_| Arc::new(Waker::simulated())).collect();
        let (ends, transits) = build_simulated::<u32>(wakers.clone(), 1, 2);
        wakers.iter().for_each(|waker| waker.about_to_sleep());
        assert_eq!((ends[0].try_send(1, 0, 1), ends[0].try_send(1, 0, 2)), (Ok(()), Ok(())));
        assert_eq!(ends[0].try_send(1, 0, 3), Err(3), "the lane is full");
        assert_eq!((ends[1].try_recv(0, 0), ends[1].waiting()), (None, 0));
        assert!(!wakers[1].is_rung());
        transits.arrive(0, 1, 0);
        assert!(wakers[1].is_rung());
        assert_eq!((transits.under_way(0, 1, 0), ends[1].waiting()), (1, 1));
        assert_eq!((ends[1].try_recv(0, 0), ends[1].try_recv(0, 0)), (Some(1), None));
        assert!(wakers[0].is_rung(), "the sender may have kept messages back");
    }
}
