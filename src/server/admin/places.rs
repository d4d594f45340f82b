//! The places of connections to the admin pages, and which connection ends when all are taken.
//!
//! Used by `bounded`.
//!
//! # Always true
//! - A silent connection, whose request has not come, ends before one that is answered. One that is
//!   answered ends for another only if its client has taken nothing for [`STALLED_AFTER`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Time without progress after which an answer no longer keeps its place.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Every place.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    freed: Arc<Notify>,
    places_max: usize,
}

#[derive(Default)]
struct Taken {
    /// By number, so that the oldest come first.
    by_number: BTreeMap<u64, Holder>,
    next_number: u64,
}

/// The connection in a place.
struct Holder {
    /// Whether the head of its request is whole.
    has_request: bool,
    progressed: Instant,
    /// Another needs its place.
    is_to_end: bool,
    waker: Option<Waker>,
}

/// A place that a connection holds. Dropping it frees the place.
pub(super) struct Place {
    places: Places,
    number: u64,
}

impl Places {
    pub(super) fn new(places_max: usize) -> Places {
        Places { taken: Arc::default(), freed: Arc::default(), places_max }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nothing panics while it holds the lock")
    }

    /// Takes a place, if one is free.
    pub(super) fn take(&self) -> Option<Place> {
        let mut taken = self.taken();
        if taken.by_number.len() >= self.places_max {
            return None;
        }
        let number = taken.next_number;
        taken.next_number += 1;
        let progressed = Instant::now();
        let holder = Holder { has_request: false, progressed, is_to_end: false, waker: None };
        taken.by_number.insert(number, holder);
        Some(Place { places: self.clone(), number })
    }

    /// Ends the connection that can best be spared, unless one is ending already or none can be.
    pub(super) fn end_one(&self) {
        let mut taken = self.taken();
        let holders = taken.by_number.values();
        if holders.clone().any(|holder| holder.is_to_end) {
            return;
        }
        let can_be_spared =
            |holder: &&Holder| !holder.has_request || holder.progressed.elapsed() >= STALLED_AFTER;
        let by_use = |holder: &&Holder| (holder.has_request, holder.progressed);
        let Some(number) = taken
            .by_number
            .iter()
            .filter(|(_, holder)| can_be_spared(holder))
            .min_by_key(|(_, holder)| by_use(holder))
            .map(|(number, _)| *number)
        else {
            return;
        };
        let spared = taken.by_number.get_mut(&number).expect("found just now");
        spared.is_to_end = true;
        if let Some(waker) = spared.waker.take() {
            waker.wake();
        }
    }

    /// Waits until a place was freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Place {
    fn holder<T>(&self, read: impl FnOnce(&mut Holder) -> T) -> T {
        let mut taken = self.places.taken();
        read(taken.by_number.get_mut(&self.number).expect("a place is taken until it is dropped"))
    }

    /// Whether the connection ends for another; if not yet, the task is woken when it is to.
    pub(super) fn is_to_end(&self, context: &Context<'_>) -> bool {
        self.holder(|holder| {
            holder.waker = Some(context.waker().clone());
            holder.is_to_end
        })
    }

    /// Bytes came or went; `has_request` is whether the head of the request is whole.
    pub(super) fn progressed(&self, has_request: bool) {
        self.holder(|holder| {
            holder.progressed = Instant::now();
            holder.has_request = has_request;
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_number.remove(&self.number);
        self.places.freed.notify_one();
    }
}
