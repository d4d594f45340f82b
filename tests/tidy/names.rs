//! Names that stay in one folder: those of runtimes in `executors/`, those of protocols in their
//! frontends.

use crate::File;
use crate::tokens::{Kind, Token, code, tokens};

/// Crates that only `executors/` may use, as Rust writes them.
pub const RUNTIMES: [&str; 3] = ["glommio", "io_uring", "libc"];
/// Protocols, as parts of identifiers.
pub const PROTOCOLS: [&str; 2] = ["blip", "nats"];

/// An exception: a path, the name that this file may have, and the reason.
pub type Allowed = (&'static str, &'static str, &'static str);

/// Uses of a runtime's crate outside `executors/`: in paths, imports and manifests, and as a text.
/// Comments and functions may have such a name: Linux itself calls the feature io_uring.
pub fn runtimes(files: &[File], allowed: &[Allowed]) -> Vec<String> {
    // The rule itself has them as texts.
    let may_name =
        |file: &File| ["executors/", "tests/tidy/"].iter().any(|at| file.path.starts_with(at));
    let mut hits = Vec::new();
    for file in files.iter().filter(|file| !may_name(file)) {
        if file.path.ends_with(".rs") {
            hits.extend(runtimes_in_rust(file));
        } else if file.path.ends_with("Cargo.toml") {
            hits.extend(runtimes_in_manifest(file));
        }
    }
    unless_allowed(hits, allowed)
}

/// Names of protocols in the files of `folder`, its `frontends/` left out: in paths of files, in
/// identifiers, comments and texts.
pub fn protocols(files: &[File], folder: &str, allowed: &[Allowed]) -> Vec<String> {
    let frontends = format!("{folder}/frontends/");
    let mut hits = Vec::new();
    for file in files {
        let Some(inside) = file.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        if file.path.starts_with(&frontends) {
            continue;
        }
        hits.extend(protocols_of(inside).map(|name| Hit { file, line: 0, name }));
        for token in tokens(&file.text) {
            for (line, text) in (token.line..).zip(token.text.lines()) {
                hits.extend(protocols_of(text).map(|name| Hit { file, line, name }));
            }
        }
    }
    unless_allowed(hits, allowed)
}

/// A name in a forbidden place.
struct Hit<'a> {
    file: &'a File,
    /// 0 for a name in the path.
    line: usize,
    name: &'static str,
}

/// The hits that no exception allows, and the exceptions that allow no hit.
fn unless_allowed(hits: Vec<Hit>, allowed: &[Allowed]) -> Vec<String> {
    let mut needed = vec![false; allowed.len()];
    let mut found = Vec::new();
    for hit in hits {
        let permits = |&(path, name, _): &Allowed| path == hit.file.path && name == hit.name;
        match allowed.iter().position(permits) {
            Some(at) => needed[at] = true,
            None => found.push(format!("{}:{}: `{}`", hit.file.path, hit.line, hit.name)),
        }
    }
    // More than once in a line.
    found.dedup();
    for ((path, name, _), needed) in allowed.iter().zip(needed) {
        if !needed {
            found.push(format!("{path} no longer has `{name}`: strike it from the list"));
        }
    }
    found
}

fn runtimes_in_rust(file: &File) -> Vec<Hit<'_>> {
    let code = code(&file.text);
    let mark = |at: usize, mark| code.get(at).is_some_and(|token| token.is_mark(mark));
    let mut hits = Vec::new();
    for (at, token) in code.iter().enumerate() {
        let Some(name) = RUNTIMES.into_iter().find(|name| names(token, name)) else {
            continue;
        };
        let heads_a_path = mark(at + 1, ":") && mark(at + 2, ":");
        let is_imported = follows_import(&code[..at]);
        if token.kind == Kind::Text || heads_a_path || is_imported {
            hits.push(Hit { file, line: token.line, name });
        }
    }
    hits
}

/// Whether a token is this word, or a text of this word alone.
fn names(token: &Token, name: &str) -> bool {
    match token.kind {
        Kind::Word => token.text == name,
        Kind::Text => token.text.trim_matches('"') == name,
        _ => false,
    }
}

/// Whether these tokens end as `use ` or `extern crate ` do.
fn follows_import(before: &[Token]) -> bool {
    let before = match before {
        [rest @ .., first, second] if first.is_mark(":") && second.is_mark(":") => rest,
        _ => before,
    };
    match before {
        [.., last] if last.is_word("use") => true,
        [.., first, last] => first.is_word("extern") && last.is_word("crate"),
        _ => false,
    }
}

fn runtimes_in_manifest(file: &File) -> Vec<Hit<'_>> {
    let mut hits = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let text = text.split('#').next().unwrap_or_default();
        if text.starts_with("description") {
            continue;
        }
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_') {
            let word = word.replace('-', "_");
            hits.extend(RUNTIMES.into_iter().find(|name| *name == word).map(|name| Hit {
                file,
                line,
                name,
            }));
        }
    }
    hits
}

/// The protocols that a text names, as words or as parts of identifiers: `nats_bind`, `BlipHello`.
fn protocols_of(text: &str) -> impl Iterator<Item = &'static str> {
    let parts = parts(text);
    PROTOCOLS.into_iter().filter(move |name| parts.iter().any(|part| part == name))
}

/// Runs of letters, cut where a capital begins a word, in lower case. `NATS` is one part, `NatsUser`
/// and `NATSUser` are two.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let chars: Vec<char> = text.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(at + 1);
        let after_small = before.is_some_and(|c| !c.is_uppercase());
        let before_small = after.is_some_and(|c| c.is_lowercase());
        if !c.is_alphabetic() || c.is_uppercase() && (after_small || before_small) {
            parts.push(String::new());
        }
        if c.is_alphabetic() {
            parts.last_mut().expect("there is one").extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    #[test]
    fn crates_of_the_runtime_are_found_wherever_code_uses_them() {
        for (text, line) in [
            ("use glommio::timer;", 1),
            ("\npub use ::io_uring as ring;", 2),
            ("extern crate libc;", 1),
            ("fn f() {\n    let limit = libc::getrlimit();\n}", 2),
            ("fn f() -> glommio::Result<()> {}", 1),
            ("const TARGET: &str = \"glommio\";", 1),
        ] {
            let found = runtimes(&[file("src/a.rs", text)], &[]);
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].starts_with(&format!("src/a.rs:{line}: ")), "{found:?}");
            assert_eq!(runtimes(&[file("executors/src/a.rs", text)], &[]), [""; 0]);
        }
    }

    #[test]
    fn comments_functions_and_sentences_may_name_the_runtime() {
        let text = "
            //! use glommio::timer;
            /* libc::c_int */
            fn io_uring() { check(io_uring(1)); say(\"sleeps in io_uring\"); }
        ";
        assert_eq!(runtimes(&[file("src/a.rs", text)], &[]), [""; 0]);
    }

    #[test]
    fn manifests_other_than_that_of_executors_name_no_crate_of_the_runtime() {
        let bad = "description = \"on io-uring\"\n# libc = 1\nlibc = \"1\"\nring = { package = \"io-uring\" }";
        let found =
            runtimes(&[file("fuzz/Cargo.toml", bad), file("executors/Cargo.toml", bad)], &[]);
        assert_eq!(found, ["fuzz/Cargo.toml:3: `libc`", "fuzz/Cargo.toml:4: `io_uring`"]);
        let good = "description = \"on libc\"\n# io-uring\nlibc-print = \"1\"\n";
        assert_eq!(runtimes(&[file("Cargo.toml", good)], &[]), [""; 0]);
    }

    #[test]
    fn identifiers_are_cut_where_words_begin() {
        assert_eq!(parts("NatsUser"), ["nats", "user"]);
        assert_eq!(parts("aNATSUser"), ["a", "nats", "user"]);
        assert_eq!(parts("of_nats2"), ["of", "nats"]);
        assert_eq!(parts("BLIPMQ blip://"), ["blipmq", "blip"]);
    }

    #[test]
    fn protocols_are_found_in_identifiers_comments_texts_and_paths() {
        for text in [
            "struct NatsUser;",
            "fn is_nats() {}",
            "const NATS: u8 = 1;",
            "// BLIP/1",
            "/*\n of Blip */",
            "fn f() { say(\"nats\") }",
            "enum Wire { Blip }",
        ] {
            let found = protocols(&[file("src/broker/topics/log.rs", text)], "src/broker", &[]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
        }
        let found = protocols(&[file("src/broker/nats/mod.rs", "")], "src/broker", &[]);
        assert_eq!(found, ["src/broker/nats/mod.rs:0: `nats`"]);
        let text = "/* a\n b\n nats */";
        let found = protocols(&[file("src/broker/a.rs", text)], "src/broker", &[]);
        assert_eq!(found, ["src/broker/a.rs:3: `nats`"]);
    }

    #[test]
    fn frontends_and_other_folders_may_name_protocols() {
        let text = "struct NatsUser; // BLIP/1";
        for path in ["src/broker/frontends/mod.rs", "src/server/mod.rs", "src/brokers.rs"] {
            assert_eq!(protocols(&[file(path, text)], "src/broker", &[]), [""; 0]);
        }
        let text = "use blipmq::broker; // blipmq, BLIPMQ_SEED, sonatsu";
        assert_eq!(protocols(&[file("src/broker/a.rs", text)], "src/broker", &[]), [""; 0]);
    }

    #[test]
    fn what_is_allowed_is_one_name_in_one_file_and_has_to_be_needed() {
        let files = [file("src/broker/a.rs", "// nats"), file("src/broker/b.rs", "// nats, blip")];
        let allowed = [("src/broker/b.rs", "nats", "why"), ("src/broker/a.rs", "blip", "why")];
        let expected = [
            "src/broker/a.rs:1: `nats`",
            "src/broker/b.rs:1: `blip`",
            "src/broker/a.rs no longer has `blip`: strike it from the list",
        ];
        assert_eq!(protocols(&files, "src/broker", &allowed), expected);
    }
}
