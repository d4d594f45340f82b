//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use super::Conversation;
use crate::events::Event;
use crate::{ClientError, ServerError, SubscribeOptions, Subscription};
use blipmq_protocol::decode::Subscribe;
use blipmq_protocol::{Start, SubscriptionId, encode};

/// A subscription of this client.
pub(super) struct Entry {
    pub(super) subscription: Subscription,
    pub(super) options: SubscribeOptions,
    pub(super) progress: Progress,
    /// The sequence after the last frame for this subscription alone, or the one to resume at.
    pub(super) next: Option<u64>,
}

/// How the answer to a SUBSCRIBE is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To the call that waits for the answer.
    ByCall,
    /// As an event.
    ForEvent,
}

/// The state of a subscription.
#[derive(Debug)]
pub(super) enum Progress {
    Asked(Asked),
    Active,
    /// Asked for again, over a new connection.
    Renewing {
        resumed: bool,
    },
    /// A call waits for the answer to UNSUBSCRIBE.
    Ending,
    Ended,
    Refused(ServerError),
}

impl Conversation {
    /// Sends a SUBSCRIBE.
    pub(crate) fn subscribe(
        &mut self,
        pattern: &str,
        options: SubscribeOptions,
        asked: Asked,
    ) -> Subscription {
        let id = SubscriptionId(self.take_id());
        let subscription = Subscription { id, pattern: pattern.into() };
        let entry = Entry {
            subscription: subscription.clone(),
            options,
            progress: Progress::Asked(asked),
            next: None,
        };
        write_subscribe(self.out.control(), &entry, entry.options.start);
        self.subscriptions.insert(id.0, entry);
        subscription
    }

    /// Sends an UNSUBSCRIBE.
    pub(crate) fn unsubscribe(&mut self, subscription: &Subscription) -> Result<(), ClientError> {
        match self.subscriptions.get_mut(&subscription.id.0) {
            Some(entry)
                if entry.subscription.is_same(subscription)
                    && !matches!(entry.progress, Progress::Ending | Progress::Ended) =>
            {
                entry.progress = Progress::Ending;
            }
            _ => return Err(ClientError::NotSubscribed { pattern: subscription.pattern.clone() }),
        }
        encode::unsubscribe(self.out.control(), subscription.id);
        Ok(())
    }

    /// Takes the answer to a SUBSCRIBE or UNSUBSCRIBE that a call waits for.
    pub(crate) fn take_answer(&mut self, id: SubscriptionId) -> Option<Result<(), ClientError>> {
        let answer = match &self.subscriptions.get(&id.0)?.progress {
            Progress::Asked(_) | Progress::Renewing { .. } | Progress::Ending => return None,
            Progress::Active => return Some(Ok(())),
            Progress::Ended => Ok(()),
            Progress::Refused(error) => Err(error.clone()),
        };
        let Subscription { pattern, .. } = self.subscriptions.remove(&id.0)?.subscription;
        Some(answer.map_err(|error| ClientError::PatternRefused { pattern, error }))
    }

    /// Ends a subscription whose caller gave up, and has no handle of it.
    pub(crate) fn abandon(&mut self, id: SubscriptionId) {
        if self.subscriptions.remove(&id.0).is_some() {
            encode::unsubscribe(self.out.control(), id);
        }
    }

    /// Handles SUBSCRIBED. Returns an event if no call waits for the answer.
    pub(crate) fn on_subscribed(
        &mut self,
        id: SubscriptionId,
    ) -> Result<Option<Event>, ClientError> {
        let was_asked = self.was_asked(id);
        match self.subscriptions.get_mut(&id.0) {
            Some(Entry { subscription, progress: progress @ Progress::Asked(_), .. }) => {
                let asked = std::mem::replace(progress, Progress::Active);
                Ok(match asked {
                    Progress::Asked(Asked::ForEvent) => {
                        Some(Event::Subscribed(subscription.clone()))
                    }
                    _ => None,
                })
            }
            Some(Entry {
                subscription, progress: progress @ Progress::Renewing { .. }, ..
            }) => {
                let Progress::Renewing { resumed } = std::mem::replace(progress, Progress::Active)
                else {
                    unreachable!("the pattern has just matched")
                };
                let subscription = subscription.clone();
                let is_inbox = self.requests.is_inbox(id);
                Ok((!is_inbox).then_some(Event::Resubscribed { subscription, resumed }))
            }
            Some(Entry { progress: Progress::Ending, .. }) => Ok(None),
            // The caller gave up, or has already unsubscribed.
            None if was_asked => Ok(None),
            _ => Err(ClientError::Unexpected(format!(
                "SUBSCRIBED answers subscription {id}, which was not asked for"
            ))),
        }
    }

    /// Handles UNSUBSCRIBED.
    pub(crate) fn on_unsubscribed(&mut self, id: SubscriptionId) {
        if let Some(Entry { progress: progress @ Progress::Ending, .. }) =
            self.subscriptions.get_mut(&id.0)
        {
            *progress = Progress::Ended;
        }
    }

    /// Returns the subscription that a frame is addressed to; `None` if it has ended.
    pub(crate) fn addressed(
        &mut self,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, ClientError> {
        match self.subscriptions.get(&id.0) {
            Some(Entry { progress: Progress::Ended | Progress::Refused(_), .. }) => Ok(None),
            Some(entry) => Ok(Some(entry.subscription.clone())),
            None if self.was_asked(id) => Ok(None),
            None => Err(ClientError::Unexpected(format!(
                "a frame is addressed to subscription {id}, which was not asked for"
            ))),
        }
    }

    fn was_asked(&self, id: SubscriptionId) -> bool {
        id.0 != 0 && id.0 < self.next_id
    }

    /// Handles an ERROR about a subscription. Returns an event if no call waits for the answer.
    pub(super) fn on_pattern_refused(&mut self, about: u32, error: ServerError) -> Option<Event> {
        let entry = self.subscriptions.get_mut(&about)?;
        let pattern = entry.subscription.pattern.clone();
        match &mut entry.progress {
            progress @ (Progress::Asked(Asked::ByCall) | Progress::Ending) => {
                *progress = Progress::Refused(error);
                return None;
            }
            progress @ Progress::Renewing { resumed: true } if error.code == 4220 => {
                // The broker retains nothing to resume from: live messages are better than none.
                *progress = Progress::Renewing { resumed: false };
                write_subscribe(self.out.control(), entry, Start::Live);
                return None;
            }
            Progress::Asked(Asked::ForEvent) | Progress::Renewing { .. } => {
                self.subscriptions.remove(&about);
                self.requests.forget_inbox(SubscriptionId(about));
            }
            _ => {}
        }
        Some(Event::Error(ClientError::PatternRefused { pattern, error }))
    }
}

pub(super) fn write_subscribe(out: &mut Vec<u8>, entry: &Entry, start: Start) {
    let (start, start_argument) = start.to_wire();
    let subscribe = Subscribe {
        subscription: entry.subscription.id,
        overflow: entry.options.overflow as u8,
        start,
        capacity: entry.options.capacity,
        start_argument,
        pattern: &entry.subscription.pattern,
        group: entry.options.group.as_deref().unwrap_or(""),
    };
    encode::subscribe(out, &subscribe);
}
