//! How long functions and files may be.

use crate::File;
use crate::tokens::{Kind, Token, code};

pub const FUNCTION_LINES_MAX: usize = 70;
pub const FILE_LINES_MAX: usize = 400;

/// An exception: a file that may be longer, and the reason.
pub type LongFile = (&'static str, &'static str);
/// An exception: the file of a function that may be longer, its name, and the reason.
pub type LongFunction = (&'static str, &'static str, &'static str);

/// Functions of more than [`FUNCTION_LINES_MAX`] lines without an exception, counted from `fn` to the
/// closing brace; and exceptions without need.
pub fn long_functions(files: &[File], allowed: &[LongFunction]) -> Vec<String> {
    let mut needed = vec![false; allowed.len()];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for (name, line, lines) in functions(&file.text) {
            if lines <= FUNCTION_LINES_MAX {
                continue;
            }
            match allowed.iter().position(|long| (long.0, long.1) == (&file.path, name)) {
                Some(at) => needed[at] = true,
                None => found.push(format!("{}:{line}: `{name}` has {lines} lines", file.path)),
            }
        }
    }
    for ((path, name, _), needed) in allowed.iter().zip(needed) {
        if !needed {
            found.push(format!("{path}: `{name}` is not that long: strike it from the list"));
        }
    }
    found
}

/// Files of more than [`FILE_LINES_MAX`] lines without an exception; and exceptions without need, so
/// that the list can only shrink.
pub fn long_files(files: &[File], allowed: &[LongFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        let listed = allowed.iter().any(|(path, _)| *path == file.path);
        if lines > FILE_LINES_MAX && !listed {
            found.push(format!("{} has {lines} lines", file.path));
        }
        if lines <= FILE_LINES_MAX && listed {
            found.push(format!("{} has {lines} lines: strike it from the list", file.path));
        }
    }
    for (path, _) in allowed {
        if !files.iter().any(|file| file.path == *path) {
            found.push(format!("{path} does not exist: strike it from the list"));
        }
    }
    found
}

/// Name, first line and number of lines of every function with a body.
fn functions(text: &str) -> Vec<(&str, usize, usize)> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, token) in code.iter().enumerate() {
        if !token.is_word("fn") {
            continue;
        }
        // `fn(u8)` is a type; `fn $name` is in a macro.
        let Some(name) =
            code.get(at + 1).filter(|name| name.kind == Kind::Word || name.is_mark("$"))
        else {
            continue;
        };
        if let Some(end) = end_of_body(&code[at..]) {
            found.push((name.text, token.line, end - token.line + 1));
        }
    }
    found
}

/// The line of the brace that closes the function's body; none if there is only a signature.
fn end_of_body(code: &[Token]) -> Option<usize> {
    // Within parentheses and brackets: `;` and braces there belong to types.
    let mut depth = 0;
    let mut begin = None;
    for (at, token) in code.iter().enumerate() {
        match token.text {
            _ if token.kind != Kind::Mark => {}
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            ";" if depth == 0 => return None,
            "{" if depth == 0 => {
                begin = Some(at);
                break;
            }
            _ => {}
        }
    }
    let mut braces = 0;
    for token in &code[begin?..] {
        braces += i32::from(token.is_mark("{")) - i32::from(token.is_mark("}"));
        if braces == 0 {
            return Some(token.line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    /// A function of so many lines.
    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    let a = 1;\n".repeat(lines - 2))
    }

    #[test]
    fn functions_may_have_as_many_lines_as_allowed_and_no_more() {
        let short = file("a.rs", &function(FUNCTION_LINES_MAX));
        let long = file("b.rs", &format!("//! b\n{}", function(FUNCTION_LINES_MAX + 1)));
        assert_eq!(long_functions(&[short, long], &[]), ["b.rs:2: `long` has 71 lines"]);
    }

    #[test]
    fn the_list_of_long_functions_can_only_shrink() {
        let files = [file("a.rs", &function(71)), file("b.rs", &function(70))];
        let allowed = [("a.rs", "long", "a table"), ("b.rs", "long", "a table")];
        let expected = ["b.rs: `long` is not that long: strike it from the list"];
        assert_eq!(long_functions(&files, &allowed), expected);
    }

    #[test]
    fn functions_are_measured_by_their_own_braces() {
        let text = "
            fn a(b: [u8; 3], c: impl Fn(u8) -> [u8; 3]) -> [u8; { 1 + 2 }]
            where
                u8: Copy,
            {
                let open = \"{\"; let one = '{'; // {
                if true { [1, 2, 3] } else { /* { */ [0; 3] }
            }
            trait T { fn signature(&self) -> [u8; 2]; fn given(&self) {} }
            type F = fn(u8) -> u8;
            macro_rules! m { ($name:ident) => { fn $name() {
            } } }
            async fn r#await() {
                fn inner() {
                }
            }
        ";
        let expected =
            [("a", 2, 7), ("given", 9, 1), ("$", 11, 2), ("r#await", 13, 4), ("inner", 14, 2)];
        assert_eq!(functions(text), expected);
    }

    #[test]
    fn files_may_have_as_many_lines_as_allowed_and_no_more() {
        let lines = |count: usize| "// a\n".repeat(count);
        let files =
            [file("a.rs", &lines(400)), file("b.py", &lines(401)), file("c.rs", &lines(500))];
        assert_eq!(long_files(&files, &[("c.rs", "a table")]), ["b.py has 401 lines"]);
    }

    #[test]
    fn the_list_of_long_files_can_only_shrink() {
        let files = [file("a.rs", "fn main() {}\n")];
        let allowed = [("a.rs", "a table"), ("gone.rs", "a table")];
        let expected = [
            "a.rs has 1 lines: strike it from the list",
            "gone.rs does not exist: strike it from the list",
        ];
        assert_eq!(long_files(&files, &allowed), expected);
    }
}
