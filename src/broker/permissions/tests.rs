//! Lists of topics, patterns and groups, allowed and denied.

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
    for nothing in [Permissions::default(), Permissions::unlimited_without_block(), without_list] {
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

/// Goal: entries with a group say who may be a member there.
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
    let filter = permissions.filter_for("c.>", Some("v1.two"), verdict).expect("some are denied");
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
