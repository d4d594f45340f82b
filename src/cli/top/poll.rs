//! Polls the broker, in a thread of its own: a broker that hangs never delays a key.
//!
//! Called by `mod`. Next on the path: `state`, which stores the results.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::cli::admin::model::{Connection, Cores, Page, Status, Subscription, Topic};
use crate::cli::admin::{Admin, AdminError, Query};

/// The ranges of lists that the screen shows, and whether polling is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollRequest {
    pub paused: bool,
    pub subscriptions: Option<Query>,
    pub topics: Option<Query>,
    pub connections: Option<Query>,
}

/// The requested ranges of lists.
#[derive(Debug, Default)]
pub struct Lists {
    pub subscriptions: Option<Page<Subscription>>,
    pub topics: Option<Page<Topic>>,
    pub connections: Option<Page<Connection>>,
}

/// The results of one poll.
#[derive(Debug)]
pub struct Poll {
    /// When the answer about the cores arrived, by the clock of this process.
    pub at: Instant,
    pub status: Status,
    pub cores: Cores,
    pub lists: Lists,
}

/// A result for the screen.
#[derive(Debug)]
pub enum PollResult {
    Polled(Result<Box<Poll>, AdminError>),
    /// Lists only, because the screen shows other ranges of them.
    Listed(Result<Lists, AdminError>),
}

pub fn poll(admin: &Admin, request: &PollRequest) -> Result<Box<Poll>, AdminError> {
    let status = admin.status()?;
    let cores = admin.cores()?;
    let at = Instant::now();
    let lists = lists(admin, request)?;
    Ok(Box::new(Poll { at, status, cores, lists }))
}

fn lists(admin: &Admin, request: &PollRequest) -> Result<Lists, AdminError> {
    let subscriptions = request.subscriptions.as_ref();
    let topics = request.topics.as_ref();
    let connections = request.connections.as_ref();
    Ok(Lists {
        subscriptions: subscriptions.map(|query| admin.subscriptions(query)).transpose()?,
        topics: topics.map(|query| admin.topics(query)).transpose()?,
        connections: connections.map(|query| admin.connections(query)).transpose()?,
    })
}

/// Polls every `interval`, and requests lists at once when their ranges change, until either channel
/// is closed.
pub fn run(
    admin: &Admin,
    interval: Duration,
    requests: &Receiver<PollRequest>,
    send: impl Fn(PollResult) -> Result<(), ()>,
) {
    let Ok(mut request) = requests.recv() else { return };
    let mut next = Instant::now();
    loop {
        if !request.paused && next <= Instant::now() {
            next = Instant::now() + interval;
            if send(PollResult::Polled(poll(admin, &request))).is_err() {
                return;
            }
        }
        let newer = match request.paused {
            true => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => requests.recv_timeout(next.saturating_duration_since(Instant::now())),
        };
        let mut newer = match newer {
            Ok(newer) => newer,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // A repeated key makes requests faster than a broker answers: only the newest one counts.
        while let Ok(newest) = requests.try_recv() {
            newer = newest;
        }
        let previous = std::mem::replace(&mut request, newer);
        if previous.paused && !request.paused {
            next = Instant::now();
        } else if (PollRequest { paused: request.paused, ..previous }) != request
            && send(PollResult::Listed(lists(admin, &request))).is_err()
        {
            return;
        }
    }
}
