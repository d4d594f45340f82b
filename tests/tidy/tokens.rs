//! Tokens of Rust source: enough of the grammar that a brace in a string, `fn` in a comment or the quote
//! of a lifetime misleads no rule.

/// The sort of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or a keyword.
    Word,
    Number,
    /// A string of any sort: plain, raw, of bytes or for C.
    Text,
    /// A character or a byte.
    Char,
    Lifetime,
    /// A comment of one line or a nested one, documentation included.
    Comment,
    /// One character of punctuation.
    Mark,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// The line of its first character, counted from 1.
    pub line: usize,
}

impl Token<'_> {
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    pub fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    pub fn last_line(&self) -> usize {
        self.line + self.text.matches('\n').count()
    }
}

/// All tokens of a file, in order.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            line += usize::from(first == '\n');
            at += first.len_utf8();
            continue;
        }
        let (kind, len) = token(&text[at..], first);
        let token = Token { kind, text: &text[at..at + len], line };
        line = token.last_line();
        at += len;
        found.push(token);
    }
    found
}

/// The tokens of a file without its comments.
pub fn code(text: &str) -> Vec<Token<'_>> {
    tokens(text).into_iter().filter(|token| token.kind != Kind::Comment).collect()
}

/// Returns the kind of the token that `rest` begins with, and its length in bytes.
fn token(rest: &str, first: char) -> (Kind, usize) {
    match first {
        '/' if rest.starts_with("//") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => (Kind::Comment, nested_comment_len(rest)),
        '"' => (Kind::Text, quoted_len(rest, '"')),
        '\'' => quote(rest),
        '0'..='9' => (Kind::Number, number_len(rest)),
        _ if is_word_start(first) => word_or_literal(rest),
        _ => (Kind::Mark, first.len_utf8()),
    }
}

fn is_word_start(first: char) -> bool {
    first == '_' || first.is_alphabetic()
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
}

/// A word, or a literal whose prefix looks like one.
fn word_or_literal(rest: &str) -> (Kind, usize) {
    let len = word_len(rest);
    let (word, after) = rest.split_at(len);
    if matches!(word, "r" | "br" | "cr") {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            return (Kind::Text, len + raw_len(after, hashes));
        }
        if word == "r" && hashes == 1 {
            return (Kind::Word, len + 1 + word_len(&after[1..]));
        }
    }
    match word {
        "b" | "c" if after.starts_with('"') => (Kind::Text, len + quoted_len(after, '"')),
        "b" if after.starts_with('\'') => (Kind::Char, len + quoted_len(after, '\'')),
        _ => (Kind::Word, len),
    }
}

/// The length of a raw string that begins with its `#` marks.
fn raw_len(rest: &str, hashes: usize) -> usize {
    let begin = hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
}

/// The length of a literal with its quotes, in which a backslash takes the next character along.
fn quoted_len(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// A character, or a lifetime or label.
fn quote(rest: &str) -> (Kind, usize) {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return (Kind::Char, quoted_len(rest, '\''));
    }
    (Kind::Lifetime, 1 + word_len(&rest[1..]))
}

/// The length of a number; of `0..10` only `0` is one.
fn number_len(rest: &str) -> usize {
    let len = word_len(rest);
    match rest[len..].strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            len + 1 + word_len(fraction)
        }
        _ => len,
    }
}

fn nested_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and texts, without punctuation.
    fn pieces(text: &str) -> Vec<(Kind, &str)> {
        let all = tokens(text).into_iter().filter(|token| token.kind != Kind::Mark);
        all.map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn strings_of_all_sorts_are_one_token() {
        for text in [
            r#""fn f() {""#,
            r#""a \" { b""#,
            r#""a \\""#,
            r###"r#"a " { b"#"###,
            r####"br##"a "# b"##"####,
            r#"r"\""#,
            r#"b"{""#,
            r#"c"{""#,
            "\"two\nlines\"",
        ] {
            assert_eq!(pieces(text), [(Kind::Text, text)]);
        }
    }

    #[test]
    fn characters_and_lifetimes_are_not_mixed_up() {
        for text in ["'{'", r"'\''", r"'\\'", r"'\u{1f600}'", "'é'", "b'{'", r"b'\''"] {
            assert_eq!(pieces(text), [(Kind::Char, text)]);
        }
        let expected = [(Kind::Lifetime, "'a"), (Kind::Word, "str")];
        assert_eq!(pieces("&'a str"), expected);
        assert_eq!(pieces("<'a, 'b>"), [(Kind::Lifetime, "'a"), (Kind::Lifetime, "'b")]);
        assert_eq!(pieces("'_>"), [(Kind::Lifetime, "'_")]);
    }

    #[test]
    fn comments_nest_and_end() {
        let text = "/* a /* fn b() { */ c */ d // e {\nf /// g\n";
        let expected = [
            (Kind::Comment, "/* a /* fn b() { */ c */"),
            (Kind::Word, "d"),
            (Kind::Comment, "// e {"),
            (Kind::Word, "f"),
            (Kind::Comment, "/// g"),
        ];
        assert_eq!(pieces(text), expected);
        assert_eq!(code(text).len(), 2);
    }

    #[test]
    fn raw_identifiers_and_numbers_are_one_token_each() {
        assert_eq!(pieces("r#type"), [(Kind::Word, "r#type")]);
        assert_eq!(pieces("0..10"), [(Kind::Number, "0"), (Kind::Number, "10")]);
        assert_eq!(pieces("1_000.5f64"), [(Kind::Number, "1_000.5f64")]);
        assert_eq!(pieces("0xff_u8"), [(Kind::Number, "0xff_u8")]);
    }

    #[test]
    fn lines_count_through_strings_and_comments() {
        let all = tokens("a\n\"b\nc\" d\n/* e\n\n*/ f");
        let lines: Vec<_> = all.iter().map(|token| (token.line, token.last_line())).collect();
        assert_eq!(lines, [(1, 1), (2, 3), (3, 3), (4, 6), (6, 6)]);
    }
}
