//! Configuration files with secrets, broken at random: no piece of a secret is ever shown.

use blipmq::config::Settings;
use proptest::prelude::*;
use proptest::sample::Index;

/// Shortest piece of a secret that tells something about it.
const PIECE_LEN: usize = 4;

/// What breaks files: the syntax of TOML, and the names at which secrets stand.
const PIECES: [&str; 22] = [
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\n",
    "\r\n",
    "=",
    " = ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "#",
    "\\",
    " ",
    "token",
    "password = ",
    "users = [{",
    "\n[auth]\n",
    "x",
];

/// Characters before a secret, where its key and its quote are, and behind it.
const NEAR: (usize, usize) = (12, 4);

/// A place in a file: around one of its secrets as long as it has that one, else anywhere.
#[derive(Debug, Clone)]
struct Place {
    near: Option<usize>,
    at: Index,
}

impl Place {
    fn of(&self, text: &str, secrets: &[String; 3]) -> usize {
        let bounds: Vec<usize> =
            text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let found = self.near.and_then(|near| {
            let start = text.find(&secrets[near])?;
            let end = start + secrets[near].len();
            let is_near = |at: &usize| *at + NEAR.0 >= start && *at <= end + NEAR.1;
            Some(bounds.iter().copied().filter(is_near).collect::<Vec<_>>())
        });
        let bounds = found.unwrap_or(bounds);
        bounds[self.at.index(bounds.len())]
    }
}

/// A change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Insert {
        at: Place,
        piece: &'static str,
    },
    Delete {
        at: Place,
        len: usize,
    },
    MoveLine {
        from: Index,
        to: Index,
    },
    /// Puts a secret on a line of its own, with its quotes or without.
    Wrap {
        secret: usize,
        quotes: bool,
        before: &'static str,
        after: &'static str,
    },
}

impl Edit {
    fn apply(&self, text: &mut String, secrets: &[String; 3]) {
        match self {
            Edit::Insert { at, piece } => text.insert_str(at.of(text, secrets), piece),
            Edit::Delete { at, len } => {
                let start = at.of(text, secrets);
                let len = text[start..].chars().take(*len).map(char::len_utf8).sum::<usize>();
                text.replace_range(start..start + len, "");
            }
            Edit::MoveLine { from, to } => {
                let mut lines: Vec<&str> = text.split('\n').collect();
                let line = lines.remove(from.index(lines.len()));
                lines.insert(to.index(lines.len() + 1), line);
                *text = lines.join("\n");
            }
            Edit::Wrap { secret, quotes, before, after } => {
                let Some(start) = text.find(&secrets[*secret]) else { return };
                let end = start + secrets[*secret].len();
                let quotes = usize::from(*quotes);
                let at = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at));
                let start = at(start.saturating_sub(quotes)).expect("0 is a boundary");
                let end = at((end + quotes).min(text.len())).expect("0 is a boundary");
                text.insert_str(end, after);
                text.insert_str(start, before);
            }
        }
    }
}

fn place() -> impl Strategy<Value = Place> {
    let near = prop::option::weighted(0.8, 0..3_usize);
    (near, any::<Index>()).prop_map(|(near, at)| Place { near, at })
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop::sample::select(&PIECES[..]);
    let before = prop::sample::select(&["\n", "\n[", "\n[[", "\n[server]\n", "=\n"][..]);
    let after = prop::sample::select(&["", "]", "]]", " = 1", " = \"x\"\n", ".x = 5\n"][..]);
    prop_oneof![
        3 => (place(), piece).prop_map(|(at, piece)| Edit::Insert { at, piece }),
        2 => (place(), 1..4_usize).prop_map(|(at, len)| Edit::Delete { at, len }),
        1 => (0..3_usize, any::<bool>(), before, after).prop_map(|(secret, quotes, before, after)| {
            Edit::Wrap { secret, quotes, before, after }
        }),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Edit::MoveLine { from, to }),
    ]
}

/// A secret that no other text of a file contains a piece of, with the syntax of TOML in it.
fn secret() -> impl Strategy<Value = String> {
    "[Q-Z][Q-Z5-9]{3}[Q-Z5-9=#.,{}\\[\\] ]{4,20}"
}

/// A file with three secrets, in one of the notations of TOML.
fn file(notation: usize, [metrics, first, second]: &[String; 3]) -> String {
    match notation {
        0 => format!(
            "[server]\ncores = \"0-3\"\n\n[[auth.users]]\nuser = \"eu\"\npassword = \"{first}\"\n\
             publish = [\"a.>\"]\n[[auth.users]]\nuser = \"us\"\npassword = '{second}'\n\n\
             [metrics]\nbind_addr = \"0.0.0.0:9090\"\ntoken = \"{metrics}\"\n[logging]\n\
             level = \"info\"\n"
        ),
        1 => format!(
            "metrics = {{ enabled = true, token = \"{metrics}\" }}\n[auth]\nusers = [{{ user = \"eu\", \
             password = \"{first}\" }}, {{ user = \"us\", password = '{second}', publish = [] }}]\n\
             [limits]\nmax_topics = 5\n"
        ),
        2 => format!(
            "metrics.token = \"{metrics}\"\nauth.users = [\n  {{ user = \"eu\", password = \"{first}\" \
             }},\n  {{ user = \"us\", password = \"{second}\" }},\n]\nserver.bind_addr = \
             \"127.0.0.1:7\"\n"
        ),
        _ => format!(
            "[metrics]\ntoken = \"\"\"\\\n  {metrics}\\\n  \"\"\"\n[[auth.users]]\nuser = \"eu\"\n\
             password = '''{first}'''\n[[auth.users]]\nuser = \"us\"\npassword = \"\"\"{second}\"\"\"\n\
             [queues]\noverflow_policy = \"latest\"\n"
        ),
    }
}

/// Everything about the file that anybody is shown.
fn shown(text: &str) -> String {
    match Settings::parse("blipmq.toml", text) {
        Ok(mut settings) => {
            // Names and patterns of users are printed, and an edit may have made one of a secret.
            settings.auth.users.clear();
            format!("{settings}\n{settings:?}")
        }
        Err(error) => format!("{error}\n{error:?}"),
    }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn no_error_shows_a_piece_of_a_secret_however_its_file_is_broken(
        secrets in [secret(), secret(), secret()],
        notation in 0..4_usize,
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let mut text = file(notation, &secrets);
        for edit in &edits {
            edit.apply(&mut text, &secrets);
        }
        let shown = shown(&text);
        for secret in &secrets {
            for piece in secret.as_bytes().windows(PIECE_LEN) {
                let piece = std::str::from_utf8(piece).expect("ASCII");
                let is_letter = |byte: u8| byte.is_ascii_alphabetic();
                // Digits alone, and syntax, stand in other texts too.
                let tells = piece.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && piece.bytes().any(is_letter);
                prop_assert!(!tells || !shown.contains(piece), "{text}\n{shown}");
            }
        }
    }
}
