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

use super::pattern::{is_within, matches, overlap};
use super::quotas::Quota;
use crate::config::OverflowPolicy;
use crate::config::auth::PermissionLists;
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
    block: Rules,
    quota: Option<Quota>,
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
        Permissions {
            publish: Rules::new(&lists.publish, &lists.publish_deny),
            subscribe: Rules::new(&lists.subscribe, &lists.subscribe_deny),
            block: Rules::new(&block, &None),
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
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> Option<Vec<String>> {
        Some(patterns.iter().map(|pattern| pattern.to_string()).collect())
    }

    #[test]
    fn absent_lists_allow_everything_and_empty_ones_nothing() {
        let unlimited = Permissions::unlimited();
        assert!(unlimited.is_unlimited() && unlimited.may_publish("a"));
        assert_eq!(unlimited.may_subscribe(">"), Verdict::Allowed);
        for nothing in [
            Permissions::default(),
            Permissions::new(&PermissionLists {
                publish: list(&[]),
                subscribe: list(&[]),
                ..PermissionLists::default()
            }),
        ] {
            assert!(!nothing.is_unlimited());
            assert!(!nothing.may_publish("a") && !nothing.may_receive("a"));
            assert_eq!(nothing.may_subscribe("a"), Verdict::Denied);
        }
    }

    #[test]
    fn deny_wins_over_allow() {
        let permissions = Permissions::new(&PermissionLists {
            publish: list(&["a.>"]),
            publish_deny: list(&["a.secret", "*.x"]),
            ..PermissionLists::default()
        });
        assert!(permissions.may_publish("a.b") && permissions.may_publish("a.secret.b"));
        for denied in ["a.secret", "a.x", "b.a"] {
            assert!(!permissions.may_publish(denied), "{denied}");
        }
        assert!(!permissions.is_unlimited() && !permissions.may_publish_everything());
        assert_eq!(permissions.may_subscribe(">"), Verdict::Allowed);
    }

    #[test]
    fn block_is_allowed_only_within_what_its_own_list_gives() {
        let without_list = Permissions::new(&PermissionLists::default());
        for nothing in
            [Permissions::default(), Permissions::unlimited_without_block(), without_list]
        {
            assert!(!nothing.may_block("a") && !nothing.may_block(">"));
        }
        assert!(Permissions::unlimited().may_block(">"));
        assert!(Permissions::unlimited().may_block("$SYS.>"));
        let lists = PermissionLists { block: list(&["a.*", "b.>"]), ..PermissionLists::default() };
        let permissions = Permissions::new(&lists);
        for (pattern, is_allowed) in [
            ("a.b", true),
            ("a.*", true),
            ("a.>", false),
            ("a", false),
            ("b.>", true),
            ("b.*.c", true),
            ("*.b", false),
            (">", false),
        ] {
            assert_eq!(permissions.may_block(pattern), is_allowed, "{pattern}");
        }
        assert!(permissions.is_unlimited(), "the right to block changes no other");
    }

    #[test]
    fn the_configured_policy_block_becomes_drop_oldest_where_the_client_has_no_right_to_it() {
        use OverflowPolicy::{Block, DropNew, DropOldest};
        let lists = PermissionLists { block: list(&["a.*"]), ..PermissionLists::default() };
        let permissions = Permissions::new(&lists);
        assert_eq!(permissions.default_policy(Block, "a.b"), Block);
        assert_eq!(permissions.default_policy(Block, "a.>"), DropOldest);
        assert_eq!(permissions.default_policy(DropNew, "a.>"), DropNew);
    }

    #[test]
    fn a_pattern_must_be_within_one_allowed_pattern_and_is_filtered_if_some_topics_are_denied() {
        let permissions = Permissions::new(&PermissionLists {
            subscribe: list(&["a.*", "b.>"]),
            subscribe_deny: list(&["b.secret.>", "a.x"]),
            ..PermissionLists::default()
        });
        for (pattern, verdict) in [
            ("a.b", Verdict::Allowed),
            ("a.*", Verdict::AllowedExcept),
            ("a.x", Verdict::Denied),
            ("a.>", Verdict::Denied),
            (">", Verdict::Denied),
            ("b.>", Verdict::AllowedExcept),
            ("b.*", Verdict::Allowed),
            ("b.*.c", Verdict::AllowedExcept),
            ("b.secret", Verdict::Allowed),
            ("b.secret.*", Verdict::Denied),
            ("c", Verdict::Denied),
        ] {
            assert_eq!(permissions.may_subscribe(pattern), verdict, "{pattern}");
        }
        assert!(permissions.may_receive("b.secret") && !permissions.may_receive("b.secret.c"));
    }
}
