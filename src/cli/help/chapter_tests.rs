//! How chapters look in a terminal.

use super::*;

fn printed(markdown: &str) -> String {
    let source: String = markdown.lines().map(|line| format!("//! {line}\n")).collect();
    text(&source)
}

#[test]
fn only_the_documentation_at_the_top_is_printed() {
    let source = "//! One line.\n//!\n//! Another.\n\nfn main() {}\n//! No line.\n";
    assert_eq!(text(source), "One line.\n\nAnother.\n");
    assert_eq!(title(source), "One line");
}

#[test]
fn links_become_their_text_and_external_links_keep_their_target() {
    for (marked, expected) in [
        ("See [the turn](super::architecture#the-turn).", "See the turn."),
        ("See [`nats`](super::nats) and [`tuning`].", "See `nats` and `tuning`."),
        ("See [perf](https://example.org/perf).", "See perf (https://example.org/perf)."),
        ("Set `[auth] token` and a[0] to b[i](c.", "Set `[auth] token` and a[0] to b[i](c."),
        ("[Two](a) [links](b) [open", "Two links [open"),
    ] {
        assert_eq!(printed(marked), format!("{expected}\n"));
    }
}

#[test]
fn emphasis_is_removed_and_stars_of_patterns_stay() {
    for (marked, expected) in [
        ("The *floor* is *that*.", "The floor is that."),
        ("In `orders.*` a `*` is a token.", "In `orders.*` a `*` is a token."),
        ("2 * 3 * 4, and 2*3*4", "2 * 3 * 4, and 2*3*4"),
        (r"An escaped \* and \|.", "An escaped * and |."),
        ("A `backtick that never ends", "A `backtick that never ends"),
    ] {
        assert_eq!(printed(marked), format!("{expected}\n"));
    }
}

#[test]
fn paragraphs_are_filled_and_short_code_is_not_broken() {
    let words = "word ".repeat(15);
    let text = printed(&format!("{words}\n`a b c` end"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, [words.trim_end(), "`a b c` end"]);
    let text = printed(&"x".repeat(200));
    assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [80, 80, 40]);
}

#[test]
fn headings_are_underlined_and_items_hang() {
    let long = "word ".repeat(20);
    let text = printed(&format!("# Of `x`\n\nText:\n\n- {long}\n  tail\n- two\n1. three\nfour"));
    let expected = format!(
        "Of `x`\n------\n\nText:\n\n- {}\n  {}tail\n- two\n1. three four\n",
        "word ".repeat(15).trim_end(),
        "word ".repeat(5)
    );
    assert_eq!(text, expected);
}

#[test]
fn code_is_indented_and_otherwise_unchanged() {
    let long = "x".repeat(120);
    let markdown = format!("Run:\n\n```sh root\na  *b* [c](d)\n\n# {long}\n```\n\nThen.");
    assert_eq!(printed(&markdown), format!("Run:\n\n    a  *b* [c](d)\n\n    # {long}\n\nThen.\n"));
    assert_eq!(printed("```rust,no_run\n# hidden\nlet a;\n```"), "    let a;\n");
    assert_eq!(printed("```text\nnever ends"), "    never ends\n");
}

#[test]
fn tables_are_aligned_as_their_source_says() {
    let text = printed("| name | number |\n|---|--:|\n| `a\\|b` | 7 |\n| [c](d) | 1,000 |");
    assert_eq!(text, "name   number\n-----  ------\n`a|b`       7\nc       1,000\n");
    // An empty header is not printed.
    assert_eq!(printed("| | |\n|---|---|\n| a | b |"), "a  b\n");
}

#[test]
fn wide_tables_wrap_their_long_columns_and_part_their_rows() {
    let long = "word ".repeat(30);
    let text = printed(&format!("| key | meaning |\n|---|---|\n| `k` | {long} |\n| `l` | x |"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[2], format!("`k`  {}", "word ".repeat(15).trim_end()));
    assert_eq!(lines[3], format!("     {}", "word ".repeat(15).trim_end()));
    assert_eq!(lines[4..], ["", "`l`  x"]);
}

#[test]
fn a_long_name_stays_whole_beside_a_long_text() {
    let name = format!("`{}`", "n".repeat(48));
    let text = printed(&format!("| {name} | {} |\n|---|---|\n| a | b |", "word ".repeat(20)));
    assert!(text.starts_with(&name), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= LINE_LEN), "{text}");
}

#[test]
fn words_without_room_are_broken_at_spaces_then_at_signs_then_anywhere() {
    let broken = |words: &str| wrap(&plain(words), 12);
    assert_eq!(broken("a `b c` d"), ["a `b\u{a0}c` d"]);
    assert_eq!(broken("`some words here`"), ["`some words", "here`"]);
    assert_eq!(broken("net.ipv4.tcp_wmem"), ["net.ipv4.", "tcp_wmem"]);
    assert_eq!(broken("abcdefghijklmnop"), ["abcdefghijkl", "mnop"]);
}

/// Goal: no line of the manual is wider than a terminal, and no Markdown is left.
/// Method: all chapters; code blocks are exempt.
#[test]
fn every_chapter_fits_a_terminal() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual");
    for file in std::fs::read_dir(folder).expect("the manual is there") {
        let path = file.expect("it is read").path();
        let text = text(&std::fs::read_to_string(&path).expect("it is read"));
        assert!(text.lines().count() > 10, "{path:?}");
        // Only code blocks have this indent; continued items have less.
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            assert!(line.chars().count() <= LINE_LEN, "{path:?}: {line}");
            assert!(!line.contains("](") && !line.starts_with('|'), "{path:?}: {line}");
        }
    }
}
