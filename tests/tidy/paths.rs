//! The paths that a file's code takes through the modules of its crate: in `use` lines, with their
//! groups and globs, and inline. Code that only tests have is left out.

use crate::tokens::{Kind, Token, code};

/// A path from the root of the crate, and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Modules, then perhaps an item; a glob ends with the module.
    pub path: Vec<String>,
    /// The name under which the file imports the end of the path.
    pub alias: Option<String>,
    pub line: usize,
}

/// The uses and the test modules of one file.
#[derive(Debug, Default)]
pub struct Said {
    pub paths: Vec<Found>,
    /// Modules that are declared for tests alone.
    pub test_modules: Vec<Vec<String>>,
}

/// Reads the file of the module `module`. Paths of its `use` lines may begin with the modules `inner`.
pub fn read(text: &str, module: &[String], inner: &[String]) -> Said {
    let code = code(text);
    let mut reader = Reader {
        code: &code,
        at: 0,
        module: module.to_vec(),
        inner,
        inline: Vec::new(),
        depth: 0,
        said: Said::default(),
    };
    while reader.at < code.len() {
        reader.step();
    }
    reader.said
}

struct Reader<'a> {
    code: &'a [Token<'a>],
    at: usize,
    /// The module that the code at `at` is in.
    module: Vec<String>,
    /// Modules with which an imported path may begin.
    inner: &'a [String],
    /// The depths at which modules within the file began.
    inline: Vec<usize>,
    depth: usize,
    said: Said,
}

impl Reader<'_> {
    fn word(&self, ahead: usize, word: &str) -> bool {
        self.code.get(self.at + ahead).is_some_and(|token| token.is_word(word))
    }

    fn mark(&self, ahead: usize, mark: &str) -> bool {
        self.code.get(self.at + ahead).is_some_and(|token| token.is_mark(mark))
    }

    fn step(&mut self) {
        let token = self.code[self.at];
        let heads_a_path = self.mark(1, ":") && self.mark(2, ":");
        match token.text {
            "#" if self.is_for_tests() => return self.skip_item(),
            "{" => self.depth += 1,
            "}" => self.close(),
            "mod" if self.mark(2, "{") => return self.open_module(),
            "use" if token.kind == Kind::Word => return self.import(),
            "crate" | "super" | "self" if token.kind == Kind::Word && heads_a_path => {
                return self.inline_path();
            }
            _ => {}
        }
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.inline.last() == Some(&self.depth) {
            self.inline.pop();
            self.module.pop();
        }
    }

    /// `mod NAME {`
    fn open_module(&mut self) {
        self.module.push(self.code[self.at + 1].text.to_owned());
        self.inline.push(self.depth);
        self.depth += 1;
        self.at += 3;
    }

    /// Whether attributes begin here that leave their item to tests: `#[cfg(test)]`, also with other
    /// conditions that have to hold.
    fn is_for_tests(&self) -> bool {
        let alone = ["#", "[", "cfg", "(", "test", ")", "]"];
        let all = ["#", "[", "cfg", "(", "all", "(", "test"];
        let mut at = self.at;
        while self.code.get(at).is_some_and(|token| token.is_mark("#")) {
            let texts = || self.code[at..].iter().map(|token| token.text);
            if [alone, all]
                .iter()
                .any(|wanted| texts().take(wanted.len()).eq(wanted.iter().copied()))
            {
                return true;
            }
            at = after_brackets(self.code, at + 1);
        }
        false
    }

    /// Skips attributes and the item after them; a module in another file is noted.
    fn skip_item(&mut self) {
        let mut file = None;
        while self.mark(0, "#") {
            if self.word(2, "path") {
                file = self.code.get(self.at + 4).map(|token| token.text.trim_matches('"'));
            }
            self.at = after_brackets(self.code, self.at + 1);
        }
        let begin = self.at;
        while self.at < self.code.len() && !self.mark(0, ";") {
            let is_body = self.mark(0, "{");
            self.at = after_brackets(self.code, self.at);
            if is_body && !self.code[begin..].iter().take(3).any(|token| token.is_word("use")) {
                break;
            }
        }
        let names = self.code[begin..self.at].windows(2).find(|pair| pair[0].is_word("mod"));
        if let Some(pair) = names {
            let names = [Some(pair[1].text), file.map(|file| file.trim_end_matches(".rs"))];
            for name in names.into_iter().flatten() {
                let module = self.module.iter().cloned().chain([name.to_owned()]).collect();
                self.said.test_modules.push(module);
            }
        }
        if self.mark(0, ";") {
            self.at += 1;
        }
    }

    /// `use TREE;`, where a path may begin with any name.
    fn import(&mut self) {
        self.at += 1;
        // `use ::name` is another crate; the bound `use<'a>` is no import.
        if !self.mark(0, ":") && !self.mark(0, "<") {
            self.tree(&[]);
        }
    }

    /// A path within code. That of a visibility, as in `pub(in crate::a)`, uses nothing.
    fn inline_path(&mut self) {
        let is_visibility = self.at > 0 && self.code[self.at - 1].is_word("in");
        let count = self.said.paths.len();
        self.tree(&[]);
        if is_visibility && self.mark(0, ")") {
            self.said.paths.truncate(count);
        }
    }

    /// A path that goes on from `before`, or a group of them.
    fn tree(&mut self, before: &[&str]) {
        let mut path = before.to_vec();
        loop {
            let Some(token) = self.code.get(self.at).copied() else { return };
            match token.kind {
                Kind::Word => path.push(token.text),
                Kind::Mark if token.text == "{" => return self.group(&path),
                // A glob, or what follows a path inline, as `<` of `::<T>`.
                _ => {
                    self.at += usize::from(token.is_mark("*"));
                    return self.note(&path, None, token.line);
                }
            }
            self.at += 1;
            if self.mark(0, ":") && self.mark(1, ":") {
                self.at += 2;
                continue;
            }
            let mut alias = path.last().copied();
            if self.word(0, "as") {
                alias = self.code.get(self.at + 1).map(|token| token.text);
                self.at += 2;
            }
            return self.note(&path, alias, token.line);
        }
    }

    /// `{TREE, TREE}`
    fn group(&mut self, path: &[&str]) {
        self.at += 1;
        while self.at < self.code.len() && !self.mark(0, "}") {
            let begun = self.at;
            self.tree(path);
            self.at += usize::from(self.mark(0, ",") || self.at == begun);
        }
        self.at += 1;
    }

    /// Notes a path if it leads into this crate.
    fn note(&mut self, path: &[&str], alias: Option<&str>, line: usize) {
        let mut absolute = self.module.clone();
        let mut rest = path;
        match path.first() {
            Some(&"crate") => {
                absolute.clear();
                rest = &rest[1..];
            }
            Some(&"self" | &"super") => {}
            Some(first) if self.inner.iter().any(|inner| inner == first) => {}
            _ => return,
        }
        while let [first @ ("self" | "super"), after @ ..] = rest {
            if *first == "super" {
                absolute.pop();
            }
            rest = after;
        }
        // `{self}` names what the group follows.
        let items = rest.iter().filter(|name| **name != "self");
        absolute.extend(items.map(|name| (*name).to_owned()));
        self.said.paths.push(Found { path: absolute, alias: alias.map(str::to_owned), line });
    }
}

/// The place after the token at `at`, or after the bracket that closes the one there.
fn after_brackets(code: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = code.get(at) {
        if token.kind == Kind::Mark {
            depth += i32::from(matches!(token.text, "(" | "[" | "{"));
            depth -= i32::from(matches!(token.text, ")" | "]" | "}"));
        }
        at += 1;
        if depth <= 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(path: &str) -> Vec<String> {
        path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// The paths that a text of module `a::b` has, whose own modules are `c` and `d`.
    fn paths(text: &str) -> Vec<String> {
        let said = read(text, &owned("a::b"), &owned("c::d"));
        said.paths.iter().map(|found| found.path.join("::")).collect()
    }

    #[test]
    fn imports_lead_through_groups_globs_and_names() {
        assert_eq!(paths("use crate::x::Y;"), ["x::Y"]);
        assert_eq!(paths("pub(crate) use super::x::Y as Z;"), ["a::x::Y"]);
        assert_eq!(
            paths("use super::super::{x, y::{self, Z as W}, v::*};"),
            ["x", "y", "y::Z", "v"]
        );
        assert_eq!(
            paths("use self::c::X; use d::Y; use std::io; use ::c::X;"),
            ["a::b::c::X", "a::b::d::Y"]
        );
        assert_eq!(paths("use {super::x, crate::y,};"), ["a::x", "y"]);
        assert_eq!(paths("use super::*;"), ["a"]);
    }

    #[test]
    fn imports_keep_the_name_they_give() {
        let said = read("use crate::x::Y as Z; use crate::x::W;", &[], &[]);
        let aliases: Vec<_> = said.paths.iter().map(|found| found.alias.as_deref()).collect();
        assert_eq!(aliases, [Some("Z"), Some("W")]);
    }

    #[test]
    fn paths_within_code_are_found() {
        let text =
            "fn f(x: super::x::Y) -> Vec<crate::v::W> {\n    self::c::g::<u8>(crate::z::<u8>())\n}";
        assert_eq!(paths(text), ["a::x::Y", "v::W", "a::b::c::g", "z"]);
        let said = read("\n\nlet a = crate::x::y();", &[], &[]);
        assert_eq!(said.paths[0].line, 3);
    }

    #[test]
    fn visibilities_receivers_comments_and_texts_use_nothing() {
        let text = "
            pub(in crate::a) fn f(self, b: &Self) { self.x(); say(\"use crate::x;\"); }
            pub(super) struct S; // use crate::x;
            fn g<'a>() -> impl Iterator<Item = u8> + use<'a> {}
            for at in crate::x::all() {}
        ";
        assert_eq!(paths(text), ["x::all"]);
    }

    #[test]
    fn modules_within_a_file_count_for_super() {
        let text =
            "mod e { use super::x; mod f { use super::super::y; } use super::z; } use super::w;";
        assert_eq!(paths(text), ["a::b::x", "a::b::y", "a::b::z", "a::w"]);
    }

    #[test]
    fn code_of_tests_is_left_out_and_their_files_are_named() {
        let text = "
            #[cfg(test)]
            use crate::x::{Y, Z};
            #[cfg(test)]
            mod tests { use super::*; fn f() { crate::y::g() } }
            #[path = \"b_tests.rs\"]
            #[cfg(test)]
            mod more;
            #[cfg(test)]
            #[path = \"c_tests.rs\"]
            mod most;
            #[cfg(all(test, unix))]
            fn f(x: crate::x::Y) { crate::y::g() }
            #[cfg(not(test))]
            use crate::v;
            #[derive(Debug)]
            struct S(crate::w::T);
        ";
        assert_eq!(paths(text), ["v", "w::T"]);
        let said = read(text, &owned("a::b"), &[]);
        let expected =
            ["a::b::tests", "a::b::more", "a::b::b_tests", "a::b::most", "a::b::c_tests"];
        assert_eq!(said.test_modules, expected.map(owned));
    }
}
