//! Permissions: what a client may publish and subscribe to, and where it may hold up publishers.
//!
//! Granted by `auth` when a client has authenticated; checked by the frontends on publish and
//! subscribe, and by `subscriptions` when a topic is matched to subscriptions.
//!
//! # Always true
//! - A denied topic is denied, whatever is allowed.
//! - A user has the right to `block` only where the configuration gives it, because `block` is a power
//!   over other clients.
//! - A check allocates nothing, because every topic that a client names is checked.

use std::sync::Arc;

use super::pattern::{is_within, matches, overlap};
use super::quotas::Quota;
use crate::config::OverflowPolicy;
use crate::config::auth::{PermissionLists, Responses, pattern_and_group};
use crate::protocol::name::SYSTEM_PREFIX;

/// Whether a pattern may be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every topic that matches the pattern may be received.
    Allowed,
    /// Some topics that match the pattern are denied: `may_receive` says which.
    AllowedExcept,
    /// The pattern matches more than what is allowed, or only denied topics.
    Denied,
}

/// What one user may do. The default is nothing, for clients that have not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    publish: Rules,
    subscribe: Rules,
    /// What holds for members of some groups. Boxed: most users have none of that.
    groups: Option<Box<GroupRules>>,
    block: Rules,
    quota: Option<Quota>,
    responses: Option<Responses>,
}

/// Patterns that a user may or may not subscribe to as a member of a group, each with the group, which may
/// be a pattern as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct GroupRules {
    allow: Vec<(String, String)>,
    deny: Vec<(String, String)>,
}

/// Whether what is said of a group holds for this one.
fn is_meant(said: &str, group: &str) -> bool {
    said == group || matches(said, group)
}

/// Takes the entries with a group out of a list.
fn take_groups(list: &mut Option<Vec<String>>) -> Vec<(String, String)> {
    let mut groups = Vec::new();
    for entries in list.iter_mut() {
        entries.retain(|entry| match pattern_and_group(entry) {
            (pattern, Some(group)) => {
                groups.push((pattern.to_owned(), group.to_owned()));
                false
            }
            (_, None) => true,
        });
    }
    groups
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rules {
    allow: Vec<String>,
    deny: Vec<String>,
    /// Everything is allowed, so the lists need not be searched.
    is_unlimited: bool,
}

impl Rules {
    fn new(allow: &Option<Vec<String>>, deny: &Option<Vec<String>>) -> Rules {
        let deny = deny.clone().unwrap_or_default();
        let is_unlimited = allow.is_none() && deny.is_empty();
        let allow = allow.clone().unwrap_or_else(|| vec![">".to_owned()]);
        Rules { allow, deny, is_unlimited }
    }

    fn allows(&self, topic: &str) -> bool {
        self.is_unlimited
            || (self.allow.iter().any(|pattern| matches(pattern, topic))
                && !self.deny.iter().any(|pattern| matches(pattern, topic)))
    }
}

impl Permissions {
    /// The permissions that are configured for a user.
    pub fn new(lists: &PermissionLists) -> Permissions {
        let block = Some(lists.block.clone().unwrap_or_default());
        let (mut subscribe, mut deny) = (lists.subscribe.clone(), lists.subscribe_deny.clone());
        let groups =
            GroupRules { allow: take_groups(&mut subscribe), deny: take_groups(&mut deny) };
        let responses = lists.allow_responses;
        // Who may answer requests, and is given no list, may publish nothing else.
        let publish = lists.publish.clone().or(responses.map(|_| Vec::new()));
        Permissions {
            publish: Rules::new(&publish, &lists.publish_deny),
            subscribe: Rules::new(&subscribe, &deny),
            groups: (groups != GroupRules::default()).then(|| Box::new(groups)),
            block: Rules::new(&block, &None),
            responses,
            quota: None,
        }
    }

    /// These permissions for a user with a quota, if it has one.
    pub fn with_quota(self, quota: Option<Quota>) -> Permissions {
        Permissions { quota, ..self }
    }

    /// What all connections of the user may take together, if that is limited.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// How the client may answer requests on topics that it may not publish to.
    pub fn responses(&self) -> Option<Responses> {
        self.responses
    }

    /// Whether the same may be published.
    pub fn publishes_as(&self, other: &Permissions) -> bool {
        self.publish == other.publish
    }

    /// Permissions that allow everything.
    pub fn unlimited() -> Permissions {
        Permissions { block: Rules::new(&None, &None), ..Permissions::unlimited_without_block() }
    }

    /// Permissions that allow everything but to subscribe with `block`.
    pub fn unlimited_without_block() -> Permissions {
        Permissions::new(&PermissionLists::default())
    }

    /// Whether every topic may be published to and received, so that these need no check.
    pub fn is_unlimited(&self) -> bool {
        self.publish.is_unlimited && self.subscribe.is_unlimited
    }

    /// Whether the client may publish to a legal topic.
    pub fn may_publish(&self, topic: &str) -> bool {
        self.publish.allows(topic)
    }

    /// Whether the client may publish to every topic.
    pub fn may_publish_everything(&self) -> bool {
        self.publish.is_unlimited
    }

    /// Whether the client may subscribe to a legal pattern. The pattern must be within one allowed
    /// pattern; to be within the union of several is not enough.
    pub fn may_subscribe(&self, pattern: &str) -> Verdict {
        let Rules { allow, deny, is_unlimited } = &self.subscribe;
        if *is_unlimited {
            return Verdict::Allowed;
        }
        let is_allowed = allow.iter().any(|allowed| is_within(pattern, allowed));
        if !is_allowed || deny.iter().any(|denied| is_within(pattern, denied)) {
            return Verdict::Denied;
        }
        match deny.iter().any(|denied| overlap(pattern, denied)) {
            true => Verdict::AllowedExcept,
            false => Verdict::Allowed,
        }
    }

    /// Whether a pattern may be subscribed to by a member of a group, if it is one. Where
    /// the list names groups for a pattern, only members of those may have it.
    pub fn may_join(&self, pattern: &str, group: Option<&str>) -> Verdict {
        let (Some(groups), Some(group)) = (&self.groups, group) else {
            return self.may_subscribe(pattern);
        };
        let Rules { allow, deny, .. } = &self.subscribe;
        let mut named = groups.allow.iter().filter(|(of, _)| is_within(pattern, of)).peekable();
        let is_allowed = match named.peek() {
            Some(_) => named.any(|(_, said)| is_meant(said, group)),
            None => allow.iter().any(|allowed| is_within(pattern, allowed)),
        };
        let denied = groups.deny.iter().filter(|(_, said)| is_meant(said, group));
        let denied = || deny.iter().chain(denied.clone().map(|(of, _)| of));
        if !is_allowed || denied().any(|denied| is_within(pattern, denied)) {
            return Verdict::Denied;
        }
        match denied().any(|denied| overlap(pattern, denied)) {
            true => Verdict::AllowedExcept,
            false => Verdict::Allowed,
        }
    }

    /// What a subscription may be sent, if that has to be looked at message by message.
    pub fn filter_for(
        self: &Arc<Self>,
        pattern: &str,
        group: Option<&str>,
        verdict: Verdict,
    ) -> Option<Arc<Permissions>> {
        if !self.has_to_filter(pattern, verdict) {
            return None;
        }
        let (Some(groups), Some(group)) = (&self.groups, group) else { return Some(self.clone()) };
        let mut of_member = Permissions { groups: None, ..(**self).clone() };
        let subscribe = &mut of_member.subscribe;
        let meant = |rules: &[(String, String)]| {
            let meant = rules.iter().filter(|(_, said)| is_meant(said, group));
            meant.map(|(of, _)| of.clone()).collect::<Vec<_>>()
        };
        subscribe.allow.extend(meant(&groups.allow));
        subscribe.deny.extend(meant(&groups.deny));
        subscribe.is_unlimited = false;
        Some(Arc::new(of_member))
    }

    /// Whether the client may hold up publishers of all topics that match a legal pattern: whether a
    /// subscription to the pattern may have the overflow policy `block`.
    pub fn may_block(&self, pattern: &str) -> bool {
        let Rules { allow, is_unlimited, .. } = &self.block;
        *is_unlimited || allow.iter().any(|allowed| is_within(pattern, allowed))
    }

    /// The policy of a subscription that asked for none: the configured one, or `drop_oldest` where that
    /// is `block` and the client has no right to it.
    pub fn default_policy(&self, configured: OverflowPolicy, pattern: &str) -> OverflowPolicy {
        match configured {
            OverflowPolicy::Block if !self.may_block(pattern) => OverflowPolicy::DropOldest,
            policy => policy,
        }
    }

    /// Whether the client may receive every message of a topic or of a pattern: the filter for what the
    /// broker publishes about it.
    pub fn may_receive_all(&self, about: &str) -> bool {
        self.may_subscribe(about) == Verdict::Allowed
    }

    /// Whether what a subscription gets has to be looked at, message by message.
    pub fn has_to_filter(&self, pattern: &str, verdict: Verdict) -> bool {
        verdict == Verdict::AllowedExcept
            || (pattern.starts_with(SYSTEM_PREFIX) && !self.subscribe.is_unlimited)
    }

    /// Whether the client may receive messages of a topic: the filter for
    /// [`Verdict::AllowedExcept`].
    pub fn may_receive(&self, topic: &str) -> bool {
        self.subscribe.allows(topic)
    }
}

#[cfg(test)]
mod tests;
