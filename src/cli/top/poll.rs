//! Asks the broker, in a thread of its own: a broker that hangs never holds up a key.
//!
//! Called by `mod`. Next on the path: `state`, which takes what was answered.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::cli::admin::model::{Connection, Cores, Page, Status, Subscription, Topic};
use crate::cli::admin::{Admin, AdminError, Query};

/// What the screen has room for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub paused: bool,
    pub subscriptions: Option<Query>,
    pub topics: Option<Query>,
    pub connections: Option<Query>,
}

/// The parts of lists that were wanted.
#[derive(Debug, Default)]
pub struct Lists {
    pub subscriptions: Option<Page<Subscription>>,
    pub topics: Option<Page<Topic>>,
    pub connections: Option<Page<Connection>>,
}

/// Everything the broker said at one time.
#[derive(Debug)]
pub struct Poll {
    /// When it had told of its cores, by the clock of this side.
    pub at: Instant,
    pub status: Status,
    pub cores: Cores,
    pub lists: Lists,
}

/// What a thread of questions finds out.
#[derive(Debug)]
pub enum Answer {
    Polled(Result<Box<Poll>, AdminError>),
    /// Lists alone, because something else of them is to be seen.
    Listed(Result<Lists, AdminError>),
}

pub fn poll(admin: &Admin, wanted: &Wanted) -> Result<Box<Poll>, AdminError> {
    let status = admin.status()?;
    let cores = admin.cores()?;
    let at = Instant::now();
    let lists = lists(admin, wanted)?;
    Ok(Box::new(Poll { at, status, cores, lists }))
}

fn lists(admin: &Admin, wanted: &Wanted) -> Result<Lists, AdminError> {
    let subscriptions = wanted.subscriptions.as_ref();
    let topics = wanted.topics.as_ref();
    let connections = wanted.connections.as_ref();
    Ok(Lists {
        subscriptions: subscriptions.map(|query| admin.subscriptions(query)).transpose()?,
        topics: topics.map(|query| admin.topics(query)).transpose()?,
        connections: connections.map(|query| admin.connections(query)).transpose()?,
    })
}

/// Polls every `interval`, and lists at once when others are wanted, until nobody wants or takes
/// any more.
pub fn run(
    admin: &Admin,
    interval: Duration,
    wants: &Receiver<Wanted>,
    tell: impl Fn(Answer) -> Result<(), ()>,
) {
    let Ok(mut wanted) = wants.recv() else { return };
    let mut next = Instant::now();
    loop {
        if !wanted.paused && next <= Instant::now() {
            next = Instant::now() + interval;
            if tell(Answer::Polled(poll(admin, &wanted))).is_err() {
                return;
            }
        }
        let newer = match wanted.paused {
            true => wants.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => wants.recv_timeout(next.saturating_duration_since(Instant::now())),
        };
        let mut newer = match newer {
            Ok(newer) => newer,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // A key that repeats asks faster than a broker answers; only the last place counts.
        while let Ok(newest) = wants.try_recv() {
            newer = newest;
        }
        let was = std::mem::replace(&mut wanted, newer);
        if was.paused && !wanted.paused {
            next = Instant::now();
        } else if (Wanted { paused: wanted.paused, ..was }) != wanted
            && tell(Answer::Listed(lists(admin, &wanted))).is_err()
        {
            return;
        }
    }
}
