//! The source of a chapter as plain text for a terminal.
//!
//! Called by `help`. Reads the Markdown that the chapters are written in and no more: headings,
//! paragraphs, lists, tables, code blocks; links, emphasis and code inside lines.
//!
//! # Always true
//! - No line is longer than [`LINE_LEN`], but those of code blocks, which stay as they are.
//! - What is in a code block or in backticks is printed as it is.

/// What every terminal has room for.
const LINE_LEN: usize = 80;
/// Between columns of a table.
const GAP: &str = "  ";
/// A space at which no line is broken, until all lines are made.
const FIXED_SPACE: char = '\u{a0}';
/// Code of up to so many characters is not broken.
const FIXED_LEN: usize = 40;
/// A column of up to so many characters is not broken.
const NARROW: usize = 14;

/// A piece of a chapter.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Heading(String),
    Paragraph(String),
    /// What an item begins with, and the item.
    Item(String, String),
    Code(Vec<String>),
    Table(Table),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Whether a column is one of numbers.
    right: Vec<bool>,
    /// The first is the header, if any of its cells says something.
    rows: Vec<Vec<String>>,
}

/// A chapter as it is printed.
pub fn text(source: &str) -> String {
    let mut printed: Vec<String> = Vec::new();
    let mut after_item = false;
    for block in blocks(&doc_lines(source)) {
        let is_item = matches!(block, Block::Item(..));
        // Items stand close together, everything else has room around it.
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

/// What a chapter is about: its first line, without the point.
pub fn title(source: &str) -> String {
    let lines = doc_lines(source);
    let first = lines.first().map_or("", |line| line.trim_end_matches(['.', ':']));
    plain(first).replace(FIXED_SPACE, " ")
}

/// The text of the module's documentation, at the top of the file.
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
            // In Rust these are for the compiler alone.
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

/// Whether a line cannot go on with the paragraph or the item before it.
fn begins_block(line: &str) -> bool {
    line.is_empty()
        || line.starts_with(['|', '#'])
        || line.starts_with("```")
        || !mark_of(line).0.is_empty()
}

/// `- ` or `1. `, and the rest.
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

/// Words without what Markdown marks: links become their text, and where they lead if that is
/// another place than these documents.
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

/// Code, with its backticks, and how long it is.
fn code(text: &str) -> Option<(String, usize)> {
    let len = text[1..].find('`')? + 2;
    let code = &text[..len];
    let fits = code.chars().count() <= FIXED_LEN;
    Some((if fits { code.replace(' ', &FIXED_SPACE.to_string()) } else { code.to_owned() }, len))
}

/// `[text](target)` or [`name`], and how long it is.
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

/// `*words*`, and how long it is; a star that stands alone is one.
fn emphasis(text: &str, before: Option<char>) -> Option<(String, usize)> {
    if before.is_some_and(char::is_alphanumeric) || text[1..].starts_with([' ', '*']) {
        return None;
    }
    let len = text[1..].find('*')?;
    Some((plain(&text[1..=len]), len + 2))
}

/// Lines of at most so many characters. What is longer in one piece is broken.
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

/// A word, or what it is broken into: at its fixed spaces, then behind a sign, then anywhere.
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
    /// Of its first line and those after.
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
        // Where rows have several lines it has to be seen where each begins.
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

    /// As wide as its cells where there is room. Else words stay whole as far as that goes, and what
    /// is left goes where most lines are.
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

/// What stands between the bars of a row.
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
