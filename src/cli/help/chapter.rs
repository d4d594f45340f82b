//! Turns the source of a chapter into plain text for a terminal.
//!
//! Called by `help`. Reads only the Markdown that the chapters use: headings, paragraphs, lists,
//! tables, code blocks; links, emphasis and code inside lines.
//!
//! # Always true
//! - No line is longer than [`LINE_LEN`], except lines of code blocks, which are not wrapped.
//! - Text in code blocks and in backticks is printed unchanged.

/// Columns that every terminal has.
const LINE_LEN: usize = 80;
/// Space between the columns of a table.
const GAP: &str = "  ";
/// Stands for a space at which no line may be broken. Becomes a space when all lines are made.
const FIXED_SPACE: char = '\u{a0}';
/// Code of up to this many characters is never broken.
const FIXED_LEN: usize = 40;
/// A table cell of up to this many characters is never broken.
const NARROW: usize = 14;

/// One block of a chapter.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Heading(String),
    Paragraph(String),
    /// The mark of a list item, and its text.
    Item(String, String),
    Code(Vec<String>),
    Table(Table),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Whether a column is aligned to the right.
    right: Vec<bool>,
    /// The first row is the header, unless all of its cells are empty.
    rows: Vec<Vec<String>>,
}

/// Returns the chapter as plain text.
pub fn text(source: &str) -> String {
    let mut printed: Vec<String> = Vec::new();
    let mut after_item = false;
    for block in blocks(&doc_lines(source)) {
        let is_item = matches!(block, Block::Item(..));
        // No empty line between two items; one between all other blocks.
        if !(printed.is_empty() || is_item && after_item) {
            printed.push(String::new());
        }
        after_item = is_item;
        match block {
            Block::Heading(words) => {
                let underline = "-".repeat(words.chars().count());
                printed.extend([words, underline]);
            }
            Block::Paragraph(words) => printed.extend(wrap(&words, LINE_LEN)),
            Block::Item(mark, words) => {
                let indent = mark.chars().count();
                let lines = wrap(&words, LINE_LEN - indent);
                printed.extend(lines.iter().enumerate().map(|(number, line)| match number {
                    0 => format!("{mark}{line}"),
                    _ => format!("{:indent$}{line}", ""),
                }));
            }
            Block::Code(lines) => printed.extend(lines.iter().map(|line| format!("    {line}"))),
            Block::Table(table) => printed.extend(table.lines()),
        }
    }
    let printed: String = printed.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    printed.replace(FIXED_SPACE, " ")
}

/// Returns the title of a chapter: its first line, without the full stop.
pub fn title(source: &str) -> String {
    let lines = doc_lines(source);
    let first = lines.first().map_or("", |line| line.trim_end_matches(['.', ':']));
    plain(first).replace(FIXED_SPACE, " ")
}

/// The lines of the module documentation at the top of the file.
fn doc_lines(source: &str) -> Vec<&str> {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

fn blocks(lines: &[&str]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = lines;
    while let [line, after @ ..] = rest {
        rest = after;
        if line.is_empty() {
            continue;
        }
        if let Some(language) = line.strip_prefix("```") {
            let len = rest.iter().position(|line| line.starts_with("```")).unwrap_or(rest.len());
            let (code, after) = rest.split_at(len);
            rest = after.get(1..).unwrap_or(&[]);
            // rustdoc hides these lines; they are there for the compiler.
            let is_hidden = |line: &str| language.starts_with("rust") && line.starts_with("# ");
            let shown = code.iter().filter(|line| !is_hidden(line));
            blocks.push(Block::Code(shown.map(|line| (*line).to_owned()).collect()));
        } else if line.starts_with('#') {
            blocks.push(Block::Heading(plain(line.trim_start_matches('#').trim())));
        } else if line.starts_with('|') {
            let len = rest.iter().position(|line| !line.starts_with('|')).unwrap_or(rest.len());
            let (rows, after) = rest.split_at(len);
            rest = after;
            blocks.push(Block::Table(Table::read(line, rows)));
        } else {
            let len = rest.iter().position(|line| begins_block(line)).unwrap_or(rest.len());
            let (more, after) = rest.split_at(len);
            rest = after;
            let (mark, first) = mark_of(line);
            let words: Vec<&str> =
                [first].into_iter().chain(more.iter().map(|line| line.trim())).collect();
            let words = plain(&words.join(" "));
            blocks.push(match mark {
                "" => Block::Paragraph(words),
                mark => Block::Item(mark.to_owned(), words),
            });
        }
    }
    blocks
}

/// Whether a line starts a block instead of continuing the paragraph or item before it.
fn begins_block(line: &str) -> bool {
    line.is_empty()
        || line.starts_with(['|', '#'])
        || line.starts_with("```")
        || !mark_of(line).0.is_empty()
}

/// Splits a line into its list mark, `- ` or `1. ` or empty, and the rest.
fn mark_of(line: &str) -> (&str, &str) {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let mark_len = match digits {
        0 if line.starts_with("- ") => 2,
        0 => 0,
        _ if line[digits..].starts_with(". ") => digits + 2,
        _ => 0,
    };
    line.split_at(mark_len)
}

/// Removes the marks of Markdown. A link becomes its text, followed by its target if the target is
/// outside the manual.
fn plain(marked: &str) -> String {
    let mut words = String::new();
    let mut rest = marked;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '`' => code(rest),
            '[' => link(rest),
            '*' => emphasis(rest, words.chars().next_back()),
            '\\' => rest[1..]
                .chars()
                .next()
                .map(|escaped| (escaped.to_string(), 1 + escaped.len_utf8())),
            _ => None,
        };
        let (text, len) = taken.unwrap_or_else(|| (next.to_string(), next.len_utf8()));
        words.push_str(&text);
        rest = &rest[len..];
    }
    words
}

/// Returns the code at the start of `text` with its backticks, and the length of the source.
fn code(text: &str) -> Option<(String, usize)> {
    let len = text[1..].find('`')? + 2;
    let code = &text[..len];
    let fits = code.chars().count() <= FIXED_LEN;
    Some((if fits { code.replace(' ', &FIXED_SPACE.to_string()) } else { code.to_owned() }, len))
}

/// Returns the text of `[text](target)` or [`name`], and the length of the source.
fn link(text: &str) -> Option<(String, usize)> {
    let end = text.find(']')?;
    let (inner, after) = (&text[1..end], &text[end + 1..]);
    let words = plain(inner);
    if let Some(target) = after.strip_prefix('(') {
        let target_len = target.find(')')?;
        let len = end + target_len + 3;
        let target = &target[..target_len];
        return Some(match target.contains("://") && target != inner {
            true => (format!("{words} ({target})"), len),
            false => (words, len),
        });
    }
    (inner.len() > 2 && inner.starts_with('`') && inner.ends_with('`')).then_some((words, end + 1))
}

/// Returns the words of `*words*`, and the length of the source. A single `*` stays a star.
fn emphasis(text: &str, before: Option<char>) -> Option<(String, usize)> {
    if before.is_some_and(char::is_alphanumeric) || text[1..].starts_with([' ', '*']) {
        return None;
    }
    let len = text[1..].find('*')?;
    Some((plain(&text[1..=len]), len + 2))
}

/// Wraps words into lines of at most `len_max` characters. Breaks words that are longer.
fn wrap(words: &str, len_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ').flat_map(|word| pieces(word, len_max)) {
        let line = lines.last_mut().expect("there is always one");
        let used = line.chars().count();
        if used == 0 {
            line.push_str(&word);
        } else if used + 1 + word.chars().count() <= len_max {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// Breaks a word that is too long: at its fixed spaces, then behind a sign, then anywhere.
fn pieces(word: &str, len_max: usize) -> Vec<String> {
    if word.chars().count() <= len_max {
        return Vec::from_iter((!word.is_empty()).then(|| word.to_owned()));
    }
    let mut pieces = Vec::new();
    for part in word.split(FIXED_SPACE) {
        let mut rest: Vec<char> = part.chars().collect();
        while rest.len() > len_max {
            let is_sign = |character: &char| !character.is_alphanumeric() && *character != '`';
            let sign = rest[..len_max].iter().rposition(is_sign).map(|at| at + 1);
            let cut = sign.filter(|cut| *cut > len_max / 2).unwrap_or(len_max);
            pieces.push(rest.drain(..cut).collect());
        }
        pieces.push(rest.into_iter().collect());
    }
    pieces
}

impl Table {
    /// Reads a table from its first line and the lines behind it.
    fn read(first: &str, more: &[&str]) -> Table {
        let mut table = Table::default();
        for line in [first].iter().chain(more) {
            let row = cells(line);
            let is_rule = row.iter().all(|cell| {
                cell.contains("--") && cell.chars().all(|character| "-:".contains(character))
            });
            match is_rule {
                true => {
                    table.right = row
                        .iter()
                        .map(|cell| cell.ends_with(':') && !cell.starts_with(':'))
                        .collect()
                }
                false => table.rows.push(row.iter().map(|cell| plain(cell)).collect()),
            }
        }
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
        table.right.resize(columns, false);
        for row in &mut table.rows {
            row.resize(columns, String::new());
        }
        table
    }

    fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let mut rows = self.rows.iter();
        let mut lines = Vec::new();
        let header = rows.next().filter(|row| row.iter().any(|cell| !cell.is_empty()));
        if let Some(header) = header {
            lines.extend(self.row(header, &widths));
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            lines.push(rule.join(GAP));
        }
        let rows: Vec<Vec<String>> = rows.map(|row| self.row(row, &widths)).collect();
        // An empty line shows where each row begins if rows have several lines.
        let is_wrapped = rows.iter().any(|row| row.len() > 1);
        for (number, row) in rows.into_iter().enumerate() {
            if is_wrapped && number > 0 {
                lines.push(String::new());
            }
            lines.extend(row);
        }
        lines
    }

    fn row(&self, row: &[String], widths: &[usize]) -> Vec<String> {
        let cells: Vec<Vec<String>> =
            row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        let line_of = |line: usize| {
            let of_cell = |(column, cell): (usize, &Vec<String>)| {
                let part = cell.get(line).map_or("", String::as_str);
                let width = widths[column];
                match self.right[column] {
                    true => format!("{part:>width$}"),
                    false => format!("{part:<width$}"),
                }
            };
            cells.iter().enumerate().map(of_cell).collect::<Vec<_>>().join(GAP)
        };
        (0..height).map(line_of).collect()
    }

    /// Column widths. Columns are as wide as their cells if all fit. Otherwise words stay whole as far
    /// as possible, and the remaining room goes to the columns with the most lines.
    fn widths(&self) -> Vec<usize> {
        let columns = self.right.len();
        let widest = |of_cell: fn(&str) -> usize| -> Vec<usize> {
            let of_column = |column: usize| self.rows.iter().map(|row| of_cell(&row[column])).max();
            (0..columns).map(|column| of_column(column).unwrap_or(0).max(1)).collect()
        };
        let whole = widest(|cell| cell.chars().count());
        let words = widest(|cell| match cell.chars().count() {
            narrow @ ..=NARROW => narrow,
            _ => cell.split([' ', FIXED_SPACE]).map(|word| word.chars().count()).max().unwrap_or(0),
        });
        let room = LINE_LEN - GAP.len() * columns.saturating_sub(1);
        let capped =
            |cap: usize| -> Vec<usize> { words.iter().map(|word| cap.min(*word)).collect() };
        let fits = |cap: &usize| capped(*cap).iter().sum::<usize>() <= room;
        let mut widths = capped((1..=room).rev().find(fits).unwrap_or(1));
        for _ in widths.iter().sum::<usize>()..room {
            let open = (0..columns).filter(|column| widths[*column] < whole[*column]);
            let lines = |column: &usize| (whole[*column].div_ceil(widths[*column]), whole[*column]);
            let Some(column) = open.max_by_key(lines) else { break };
            widths[column] += 1;
        }
        widths
    }
}

/// The cells of a row.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|');
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let mut cells = vec![String::new()];
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'|') => {
                cells.last_mut().expect("there is one").extend(characters.next());
            }
            '|' => cells.push(String::new()),
            _ => cells.last_mut().expect("there is one").push(character),
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
#[path = "chapter_tests.rs"]
mod tests;
