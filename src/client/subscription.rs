//! The handle of a subscription.

use std::sync::Arc;

use blipmq_protocol::SubscriptionId;

/// A handle of a subscription, for [`Client::unsubscribe`](crate::Client::unsubscribe). Dropping the handle does not end the
/// subscription: its messages are events of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) pattern: Arc<str>,
}

impl Subscription {
    /// Returns the pattern of the subscription.
    pub fn pattern(&self) -> &Arc<str> {
        &self.pattern
    }

    /// Returns whether both handles are of one subscription of one client: then they share an
    /// allocation.
    pub(crate) fn is_same(&self, other: &Subscription) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.pattern, &other.pattern)
    }
}
