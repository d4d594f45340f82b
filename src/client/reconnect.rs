//! When a client reconnects, and how long it waits before.
//!
//! Called by the reading thread between two connections. Next on the path: `connect`.

use std::time::Duration;

use crate::connect::{self, Welcomed};
use crate::endpoint::Endpoint;
use crate::events::Event;
use crate::shared::Shared;
use crate::{ClientError, ClientOptions};

/// ERROR codes after which another connection can succeed: no answer to PING, slow subscriber, too many connections at
/// once, server stopping.
const TEMPORARY_CODES: [u16; 4] = [4080, 4290, 4291, 5030];

/// How a client reconnects: after delays that double, each shortened at random by up to half, so that
/// the clients of a restarted broker do not all come at once.
///
/// ```no_run
/// use std::time::Duration;
/// use blipmq_client::{ClientOptions, Event, ReconnectPolicy, SubscribeOptions};
///
/// let policy = ReconnectPolicy::new().first_delay(Duration::from_millis(20)).attempts_max(100);
/// let client = ClientOptions::new().reconnect(policy).connect("127.0.0.1:7878")?;
/// client.subscribe("orders.eu", SubscribeOptions::new().resume(true))?;
/// loop {
///     match client.recv()? {
///         Event::Messages(messages) => println!("{} messages", messages.len()),
///         Event::Gap(gap) => println!("missed {}: {}", gap.messages, gap.reason),
///         Event::Disconnected { cause, unconfirmed } => {
///             println!("{cause}; {unconfirmed} messages may be lost");
///         }
///         Event::Reconnected { same_server: false } => println!("sequences start over"),
///         _ => {}
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), blipmq_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectPolicy {
    first_delay: Duration,
    delay_max: Duration,
    attempts_max: Option<u32>,
}

impl Default for ReconnectPolicy {
    fn default() -> ReconnectPolicy {
        ReconnectPolicy {
            first_delay: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
            attempts_max: None,
        }
    }
}

impl ReconnectPolicy {
    /// Returns the defaults.
    pub fn new() -> ReconnectPolicy {
        ReconnectPolicy::default()
    }

    /// Sets the delay before the first attempt; default 100 ms.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Bounds the delays; default 10 s.
    pub fn delay_max(mut self, delay: Duration) -> Self {
        self.delay_max = delay;
        self
    }

    /// Bounds the attempts for one lost connection, after which the client ends with the error of the
    /// last one; default no bound.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = Some(attempts.max(1));
        self
    }

    /// Returns the delay before an attempt, counted from 1. `random` is any number.
    fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doublings = (attempt - 1).min(31);
        let whole = self.first_delay.saturating_mul(1 << doublings).min(self.delay_max);
        let shorten = whole.as_nanos() / 2 * u128::from(random >> 32) / u128::from(u32::MAX);
        whole.saturating_sub(Duration::from_nanos(shorten as u64))
    }
}

/// Everything that reconnecting takes.
pub(crate) struct Plan {
    pub(crate) options: ClientOptions,
    pub(crate) endpoint: Endpoint,
    pub(crate) policy: ReconnectPolicy,
}

/// Waits for the next connection, or returns why there is none. The caller hands the connection to the
/// client.
pub(crate) fn next_connection(
    shared: &Shared,
    plan: Option<&Plan>,
    end: ClientError,
) -> Result<Welcomed, ClientError> {
    let Some(plan) = plan.filter(|_| is_temporary(&end)) else { return Err(end) };
    let mut conversation = shared.lock();
    if conversation.closing || conversation.ended.is_some() {
        return Err(end);
    }
    let unconfirmed = conversation.disconnect();
    shared.answer(conversation);
    shared.shut_down();
    shared.push_events(&mut vec![Event::Disconnected { cause: end, unconfirmed }]);
    for attempt in 1.. {
        if !shared.sleep(plan.policy.delay(attempt, connect::random())) {
            shared.lock().give_up_unsent();
            return Err(ClientError::Closed);
        }
        match connect::open(&plan.options, &plan.endpoint) {
            Ok(welcomed) => return Ok(welcomed),
            Err(failure)
                if !is_temporary(&failure) || plan.policy.attempts_max == Some(attempt) =>
            {
                return Err(failure);
            }
            Err(_) => shared.move_on(),
        }
    }
    unreachable!("attempts are counted in 32 bits, and each of them waits")
}

/// Returns whether another connection can succeed after this end.
fn is_temporary(end: &ClientError) -> bool {
    match end {
        ClientError::ConnectionLost(_)
        | ClientError::ClosedByServer { .. }
        | ClientError::CannotConnect { .. }
        | ClientError::NoWelcome { .. }
        | ClientError::BadAddress { .. } => true,
        #[cfg(feature = "tls")]
        ClientError::Tls { fault, .. } => fault.is_temporary(),
        ClientError::EndedByServer(error) => TEMPORARY_CODES.contains(&error.code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound_and_are_shortened_by_half_at_most() {
        let policy = ReconnectPolicy::new();
        for (attempt, whole_ms) in [(1, 100), (2, 200), (5, 1_600), (8, 10_000), (4_000, 10_000)] {
            assert_eq!(policy.delay(attempt, 0), Duration::from_millis(whole_ms));
            assert_eq!(policy.delay(attempt, u64::MAX), Duration::from_millis(whole_ms / 2));
        }
    }
}
