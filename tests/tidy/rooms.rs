//! Rooms: the modules directly below one module, each with everything inside. The paths in their files
//! say which room uses which; these uses must form no cycle.
//!
//! The module above (`mod.rs` or `lib.rs`) puts the rooms together and may use all of them. A name
//! that the module above re-exports from a room counts as that room's.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;
use crate::paths::{self, Found};

/// The number of lines in which a room describes itself.
pub const DOC_LINES: std::ops::RangeInclusive<usize> = 3..=20;

/// Stands for the module above, where a room uses an item of that module itself.
pub const ABOVE: &str = "(the module above)";

/// For each room the rooms that it uses, each with the first place of such a use.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The graph of the rooms in `folder`, which holds the module `module` of its crate.
pub fn graph(files: &[File], folder: &str, module: &[&str]) -> Graph {
    let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
    let crates = crates_below(files, folder);
    let inside: Vec<(&File, Vec<String>)> = files
        .iter()
        .filter(|file| !crates.iter().any(|below| file.path.starts_with(below)))
        .filter_map(|file| Some((file, inner_module(file, folder)?)))
        .collect();
    let rooms: BTreeSet<String> =
        inside.iter().filter_map(|(_, inner)| inner.first().cloned()).collect();
    let names: Vec<String> = rooms.iter().cloned().collect();
    let read: Vec<_> = inside
        .iter()
        .map(|(file, inner)| {
            let names = if inner.is_empty() { &names[..] } else { &[] };
            (*file, inner, paths::read(&file.text, &[&module[..], inner].concat(), names))
        })
        .collect();
    let of_tests: Vec<&Vec<String>> =
        read.iter().flat_map(|(.., said)| &said.test_modules).collect();
    let above = read.iter().filter(|(_, inner, _)| inner.is_empty());
    let re_exported = re_exported(above.flat_map(|(.., said)| &said.paths), &module, &rooms);
    let mut graph = Graph::new();
    for (file, inner, said) in &read {
        let whole = [&module[..], inner].concat();
        let Some(room) = inner.first() else { continue };
        if of_tests.iter().any(|test| whole.starts_with(test)) {
            continue;
        }
        let uses = graph.entry(room.clone()).or_default();
        for found in &said.paths {
            let Some(rest) = found.path.strip_prefix(&module[..]) else { continue };
            let used = used_room(rest, &rooms, &re_exported);
            if used != room.as_str() {
                let place = format!("{}:{}", file.path, found.line);
                uses.entry(used.to_owned()).or_insert(place);
            }
        }
    }
    graph
}

/// The folders below `folder` that are crates of their own, whose `crate` is another.
fn crates_below<'a>(files: &'a [File], folder: &str) -> Vec<&'a str> {
    let manifests = files.iter().filter_map(|file| file.path.strip_suffix("Cargo.toml"));
    let below = |path: &&str| path.strip_prefix(folder).is_some_and(|rest| rest.len() > 1);
    manifests.filter(below).collect()
}

/// The module of a file, from `folder` on; none for a file that is elsewhere or is no Rust.
fn inner_module(file: &File, folder: &str) -> Option<Vec<String>> {
    let inside = file.path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut names: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|name| name == "mod") || names == ["lib"] || names == ["main"] {
        names.pop();
    }
    Some(names)
}

/// The names that the module above imports from a room, each with that room.
fn re_exported<'a>(
    found: impl Iterator<Item = &'a Found>,
    module: &[String],
    rooms: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let named = found.filter_map(|found| {
        let room = found.path.strip_prefix(module)?.first()?;
        Some((found.alias.clone()?, rooms.get(room)?.clone()))
    });
    named.collect()
}

/// The room that a path from the module above leads to.
fn used_room<'a>(
    path: &'a [String],
    rooms: &'a BTreeSet<String>,
    re_exported: &'a BTreeMap<String, String>,
) -> &'a str {
    let Some(first) = path.first() else { return ABOVE };
    rooms.get(first).or_else(|| re_exported.get(first)).map_or(ABOVE, String::as_str)
}

/// The shortest cycle of the graph: its rooms, and the place where each uses the next.
pub fn cycle(graph: &Graph) -> Option<String> {
    let shortest = graph.keys().filter_map(|room| cycle_from(graph, room)).min_by_key(Vec::len)?;
    let steps = shortest.iter().zip(shortest.iter().cycle().skip(1));
    let steps = steps.map(|(from, to)| format!("{from} uses {to} ({})", graph[*from][*to]));
    Some(steps.collect::<Vec<_>>().join(", "))
}

/// The shortest way from a room back to the same room, breadth first.
fn cycle_from<'a>(graph: &'a Graph, begin: &'a String) -> Option<Vec<&'a String>> {
    let mut ways = vec![vec![begin]];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while at < ways.len() {
        let way = ways[at].clone();
        at += 1;
        for next in graph.get(way[way.len() - 1]).into_iter().flat_map(BTreeMap::keys) {
            if next == begin {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push([&way[..], &[next]].concat());
            }
        }
    }
    None
}

/// Uses of the module above by rooms. The rooms in `above` belong to that module in this respect: they
/// may use all other rooms, and no other room may use them.
pub fn uses_of_above(graph: &Graph, above: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (room, uses) in graph.iter().filter(|(room, _)| !above.contains(&room.as_str())) {
        for (used, place) in uses {
            if used == ABOVE || above.contains(&used.as_str()) {
                found.push(format!("{place}: {room} uses {used}"));
            }
        }
    }
    found
}

/// Rooms of `folder` whose first file begins with too few or too many lines about the room.
pub fn undescribed(files: &[File], folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let Some(inner) = inner_module(file, folder) else { continue };
        if inner.len() != 1 {
            continue;
        }
        let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        if !DOC_LINES.contains(&lines) {
            found.push(format!("{} begins with {lines} lines of `//!`", file.path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    fn graph_of(files: &[(&str, &str)]) -> Graph {
        let files: Vec<File> =
            files.iter().map(|(path, text)| file(&format!("src/broker/{path}"), text)).collect();
        graph(&files, "src/broker", &["broker"])
    }

    /// `from>to` for each use.
    fn uses(graph: &Graph) -> Vec<String> {
        let uses = |(from, to): (&String, &BTreeMap<String, String>)| {
            to.keys().map(|to| format!("{from}>{to}")).collect::<Vec<_>>()
        };
        graph.iter().flat_map(uses).collect()
    }

    #[test]
    fn rooms_in_one_direction_form_no_cycle() {
        let graph = graph_of(&[
            ("mod.rs", "mod topics; mod delivery; mod port; pub use delivery::Queue;"),
            ("port.rs", "pub trait Port {}"),
            ("topics/mod.rs", "mod log; use log::Log; pub use self::log::Start;"),
            ("topics/log.rs", "use super::Start; use crate::limits;"),
            ("delivery/mod.rs", "use crate::broker::{port::Port, topics};"),
            ("delivery/deep/queue.rs", "fn f(log: super::super::super::topics::Log) {}"),
        ]);
        assert_eq!(uses(&graph), ["delivery>port", "delivery>topics"]);
        assert_eq!(cycle(&graph), None);
    }

    #[test]
    fn a_cycle_is_named_with_the_places_that_make_it() {
        let graph = graph_of(&[
            ("mod.rs", "mod a; mod b; mod c;"),
            ("a/mod.rs", "use super::b::B;"),
            ("b.rs", "\nuse crate::broker::c;"),
            ("c/mod.rs", "mod d;"),
            ("c/d.rs", "fn f() { super::super::a::g() }"),
        ]);
        let expected = "a uses b (src/broker/a/mod.rs:1), b uses c (src/broker/b.rs:2), \
            c uses a (src/broker/c/d.rs:1)";
        assert_eq!(cycle(&graph).as_deref(), Some(expected));
    }

    #[test]
    fn the_shortest_cycle_is_the_one_named() {
        let graph = graph_of(&[
            ("a.rs", "use super::b;"),
            ("b.rs", "use super::c;"),
            ("c.rs", "use super::{a, d};"),
            ("d.rs", "use super::c;"),
        ]);
        let expected = "c uses d (src/broker/c.rs:1), d uses c (src/broker/d.rs:1)";
        assert_eq!(cycle(&graph).as_deref(), Some(expected));
    }

    #[test]
    fn a_name_that_the_module_above_re_exports_counts_as_the_rooms() {
        let graph = graph_of(&[
            ("mod.rs", "pub use a::Long as Short; pub use self::a::deep::Deep;"),
            ("a/mod.rs", "use super::b::B;"),
            ("b.rs", "use super::Short; use crate::broker::Deep;"),
        ]);
        assert_eq!(uses(&graph), ["a>b", "b>a"]);
        assert_eq!(uses_of_above(&graph, &[]), [""; 0]);
    }

    #[test]
    fn uses_of_the_module_above_and_of_the_turn_are_found() {
        let graph = graph_of(&[
            ("mod.rs", "pub struct Broker;"),
            ("a.rs", "use super::Broker;"),
            ("b.rs", "use super::*;"),
            ("c.rs", "fn f() { crate::broker::turn::run() }"),
            ("turn/mod.rs", "use super::{Broker, a, b, c};"),
        ]);
        let expected = [
            "src/broker/a.rs:1: a uses (the module above)",
            "src/broker/b.rs:1: b uses (the module above)",
            "src/broker/c.rs:1: c uses turn",
        ];
        assert_eq!(uses_of_above(&graph, &["turn"]), expected);
    }

    #[test]
    fn what_only_tests_use_makes_no_cycle() {
        let graph = graph_of(&[
            ("a/mod.rs", "#[cfg(test)] mod tests; #[cfg(test)] #[path = \"a_tests.rs\"] mod more;"),
            ("a/tests.rs", "use crate::broker::b;"),
            ("a/a_tests.rs", "use crate::broker::b;"),
            ("b.rs", "use super::a; #[cfg(test)] mod tests { use super::super::turn; }"),
        ]);
        assert_eq!(uses(&graph), ["b>a"]);
    }

    #[test]
    fn the_roots_of_crates_are_above_their_rooms_too() {
        let files = [
            file("src/lib.rs", "pub mod a; pub mod b;"),
            file("src/a.rs", "use crate::b;"),
            file("src/a/c.rs", "use super::super::b; use crate::a::d;"),
            file("src/b.rs", "fn f() {}"),
            file("src/main.rs", "mod c; use crate::a;"),
            file("src/c/Cargo.toml", ""),
            file("src/c/lib.rs", "use crate::a; use crate::b;"),
        ];
        assert_eq!(uses(&graph(&files, "src", &[])), ["a>b"]);
    }

    #[test]
    fn rooms_have_three_to_twenty_lines_about_themselves() {
        let lines =
            |count: usize| format!("{}\nuse x;\n//! not counted\n", "//! a\n".repeat(count));
        let files = [
            file("src/broker/mod.rs", ""),
            file("src/broker/short/mod.rs", &lines(2)),
            file("src/broker/right/mod.rs", &lines(3)),
            file("src/broker/right/inner.rs", ""),
            file("src/broker/also.rs", &lines(20)),
            file("src/broker/long.rs", &lines(21)),
        ];
        let expected = [
            "src/broker/short/mod.rs begins with 2 lines of `//!`",
            "src/broker/long.rs begins with 21 lines of `//!`",
        ];
        assert_eq!(undescribed(&files, "src/broker"), expected);
    }
}
