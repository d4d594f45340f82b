//! What each core is given when it starts.
//!
//! Made by `launch` and `simulated`, used by `driver`.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::accept::{Accepted, Accepting, Balance, Dealer};
use crate::control::{Stop, Tuning};
use crate::mesh::MeshEnd;
use crate::waker::Waker;

/// What a core needs to run. `M` is the mesh message, `S` a socket of the ring.
pub(crate) struct Seat<M, S> {
    pub(crate) core: usize,
    pub(crate) waker: Arc<Waker>,
    pub(crate) mesh: MeshEnd<M>,
    pub(crate) accepted: Receiver<Accepted<S>>,
    pub(crate) balance: Arc<Balance>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) tuning: Arc<Tuning>,
    pub(crate) linger_ns: u64,
    /// Core 0 accepts for all.
    pub(crate) accepting: Option<Accepting<S>>,
}

/// What the seats of all cores share.
pub(crate) struct Shared {
    pub(crate) wakers: Arc<[Arc<Waker>]>,
    pub(crate) tuning: Arc<Tuning>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) linger: Duration,
}

/// A seat for each end of the mesh.
pub(crate) fn seats<M, S>(
    shared: &Shared,
    mesh: Vec<MeshEnd<M>>,
    listeners: usize,
) -> Vec<Seat<M, S>> {
    let Shared { wakers, tuning, stop, linger } = shared;
    let balance = Balance::new(wakers.len());
    let (dealer, accepted) = Dealer::new(tuning.clone(), balance.clone(), wakers.clone());
    let mut accepting = Some(Accepting::new(listeners, dealer));
    let seats = mesh.into_iter().zip(accepted).enumerate();
    seats
        .map(|(core, (mesh, accepted))| Seat {
            core,
            waker: wakers[core].clone(),
            mesh,
            accepted,
            balance: balance.clone(),
            stop: stop.clone(),
            tuning: tuning.clone(),
            linger_ns: linger.as_nanos() as u64,
            accepting: accepting.take(),
        })
        .collect()
}
