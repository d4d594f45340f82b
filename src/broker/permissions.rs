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
        // Who may answer requests, and is given no list, may publish nothing else, as in nats-server.
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

    /// Whether a pattern may be subscribed to by a member of a group, if it is one. As in nats-server, where
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

    /// Goal: entries with a group mean what they mean in nats-server.
    #[test]
    fn a_group_behind_a_pattern_allows_or_denies_its_members_there() {
        let permissions = Arc::new(Permissions::new(&PermissionLists {
            subscribe: list(&["a.*", "a.b team", "c.> v1.*", "d"]),
            subscribe_deny: list(&["d bad", "c.x bad.>", "c.secret v1.two"]),
            ..PermissionLists::default()
        }));
        for (pattern, group, verdict) in [
            ("a.b", None, Verdict::Allowed),
            ("a.b", Some("team"), Verdict::Allowed),
            // Groups are named there, and this one is none of them.
            ("a.b", Some("other"), Verdict::Denied),
            ("a.c", Some("other"), Verdict::Allowed),
            ("a.*", Some("other"), Verdict::Allowed),
            ("c.x", None, Verdict::Denied),
            ("c.x", Some("v1.one"), Verdict::Allowed),
            ("c.x", Some("v1"), Verdict::Denied),
            ("c.x", Some("v2.one"), Verdict::Denied),
            ("c.>", Some("v1.one"), Verdict::Allowed),
            ("c.>", Some("v1.two"), Verdict::AllowedExcept),
            ("c.secret", Some("v1.two"), Verdict::Denied),
            ("d", None, Verdict::Allowed),
            ("d", Some("good"), Verdict::Allowed),
            ("d", Some("bad"), Verdict::Denied),
        ] {
            assert_eq!(permissions.may_join(pattern, group), verdict, "{pattern} {group:?}");
        }
        let verdict = permissions.may_join("c.>", Some("v1.two"));
        let filter =
            permissions.filter_for("c.>", Some("v1.two"), verdict).expect("some are denied");
        assert!(filter.may_receive("c.y") && !filter.may_receive("c.secret"));
        assert_eq!(permissions.filter_for("a.b", Some("team"), Verdict::Allowed), None);
    }

    #[test]
    fn who_may_answer_may_publish_nothing_else_without_a_list() {
        let allow_responses = Some(Responses::default());
        let lists = PermissionLists { allow_responses, ..PermissionLists::default() };
        let permissions = Permissions::new(&lists);
        assert!(!permissions.may_publish("a") && permissions.responses().is_some());
        let permissions = Permissions::new(&PermissionLists { publish: list(&["a"]), ..lists });
        assert!(permissions.may_publish("a") && !permissions.may_publish("b"));
        assert_eq!(Permissions::unlimited().responses(), None);
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
