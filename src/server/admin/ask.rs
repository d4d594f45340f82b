//! Asking every core at once, and not for ever.
//!
//! Called by the pages whose answer only the cores have.

use std::time::Duration;

use blipmq::broker::inspect::{self, Answer, Question};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::server::control::{Command, Control, Fill, Reply};

/// Time a core has to answer. One that is busy answers within a turn; a list takes more of them.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Whether each core runs.
pub async fn whether_they_run(control: &Control) -> Vec<bool> {
    let answers = ask(control, Command::Ping).await;
    answers.into_iter().map(|answer| answer.is_some()).collect()
}

/// How full each core is, if it answers.
pub async fn how_full(control: &Control) -> Vec<Option<Fill>> {
    ask(control, Command::Fill).await
}

/// One list of all cores, and those that did not answer.
pub async fn list(control: &Control, question: Question) -> (Answer, Vec<usize>) {
    let answers = ask(control, |reply| Command::Inspect(question, reply)).await;
    let unanswered = answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
    let unanswered = unanswered.map(|(core, _)| core).collect();
    (inspect::merge(question, answers.into_iter().flatten()), unanswered)
}

async fn ask<T: Send + 'static>(
    control: &Control,
    command: impl Fn(Reply<T>) -> Command,
) -> Vec<Option<T>> {
    let asked = |core| {
        let (sender, receiver) = oneshot::channel();
        // Nobody may be waiting any more.
        let reply = Box::new(move |answer| drop(sender.send(answer)));
        control.tell(core, command(reply)).ok().map(|()| receiver)
    };
    // All are asked before any is waited for.
    let receivers: Vec<_> = (0..control.cores()).map(asked).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut answers = Vec::with_capacity(receivers.len());
    for receiver in receivers {
        answers.push(match receiver {
            Some(receiver) => timeout_at(deadline, receiver).await.ok().and_then(Result::ok),
            None => None,
        });
    }
    answers
}
