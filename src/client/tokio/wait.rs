//! How a task waits: like `Shared::wait`, without blocking a thread.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use ::tokio::task::consume_budget;
use ::tokio::time::timeout_at;

use crate::ClientError;
use crate::conversation::Conversation;
use crate::shared::{Shared, Wait};

/// Calls `publish` once there is room.
pub(super) async fn publish<T>(
    shared: &Shared,
    mut publish: impl FnMut(&mut Conversation) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    // Publishing that never waits must not keep the other tasks of the thread waiting.
    consume_budget().await;
    let published = wait(shared, Wait::new("publish"), |now| match now.check_open() {
        Err(end) => Some(Err(end)),
        Ok(()) => now.has_room().then(|| publish(now)),
    });
    let published = published.await?;
    shared.send(shared.lock());
    Ok(published)
}

/// Waits until `done` returns a result, like `Shared::wait`.
pub(super) async fn wait<T>(
    shared: &Shared,
    wait: Wait,
    mut done: impl FnMut(&mut Conversation) -> Option<Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let started = Instant::now();
    loop {
        let moved = shared.moved();
        let answer = poll_fn(|context| {
            let mut conversation = shared.lock();
            // The answer comes first: it may have arrived just before the end.
            if let Some(result) = done(&mut conversation) {
                return Poll::Ready(result);
            }
            if let Some(ended) = &conversation.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let wakers = &mut conversation.wakers;
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        });
        let still_until = match wait.for_others {
            true => None,
            false => Instant::now().checked_add(shared.request_timeout),
        };
        let Some(deadline) = [wait.until, still_until].into_iter().flatten().min() else {
            return answer.await;
        };
        if let Ok(result) = timeout_at(deadline.into(), answer).await {
            return result;
        }
        let is_over = wait.until.is_some_and(|until| until <= Instant::now());
        if is_over || shared.moved() == moved {
            return Err(shared.timeout(wait.what, started.elapsed()));
        }
    }
}
