//! Questions to every core at once, with a timeout.
//!
//! Called by the pages whose answer only the cores know.

use std::time::Duration;

use blipmq::broker::inspect::{self, Answer, Question};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::server::control::{Command, Control, Fill, Reply};

/// Time a core has to answer. A busy core answers within a turn; a list takes several turns.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The cores that do not answer.
pub async fn unanswered_cores(control: &Control) -> Vec<usize> {
    without_answer(&ask(control, Command::Ping).await)
}

/// How full each core is, `None` for a core that does not answer.
pub async fn fills(control: &Control) -> Vec<Option<Fill>> {
    ask(control, Command::Fill).await
}

/// One list over all cores, and the cores that did not answer.
pub async fn list(control: &Control, question: Question) -> (Answer, Vec<usize>) {
    let answers = ask(control, |reply| Command::Inspect(question, reply)).await;
    let unanswered = without_answer(&answers);
    (inspect::merge(question, answers.into_iter().flatten()), unanswered)
}

fn without_answer<T>(answers: &[Option<T>]) -> Vec<usize> {
    let unanswered = answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
    unanswered.map(|(core, _)| core).collect()
}

async fn ask<T: Send + 'static>(
    control: &Control,
    command: impl Fn(Reply<T>) -> Command,
) -> Vec<Option<T>> {
    let ask_core = |core| {
        let (sender, receiver) = oneshot::channel();
        // The receiver may be gone: the timeout has passed, or the request ended.
        let reply = Box::new(move |answer| drop(sender.send(answer)));
        control.send(core, command(reply)).ok().map(|()| receiver)
    };
    // Every core is asked before the first answer is awaited.
    let receivers: Vec<_> = (0..control.cores()).map(ask_core).collect();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut answers = Vec::with_capacity(receivers.len());
    for receiver in receivers {
        answers.push(match receiver {
            Some(receiver) => timeout_at(deadline, receiver).await.ok().and_then(Result::ok),
            None => None,
        });
    }
    answers
}
