//! Maps keys to actions.
//!
//! Called by `mod` for each key. Next on the path: `state`, which applies the action.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::navigation::View;

/// The meaning of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Quit,
    Show(View),
    NextView,
    PreviousView,
    NextSort,
    ReverseOrder,
    /// Scroll by rows; negative towards the beginning.
    Rows(i64),
    /// Scroll by screens; negative towards the beginning.
    Pages(i64),
    First,
    Last,
    Pause,
    Help,
}

/// The keys and their meanings, as `?` shows them.
pub const KEYS: [(&str, &str); 10] = [
    ("1 2 3 4", "overview, subscribers, topics, connections"),
    ("tab, shift-tab", "the next view, the previous view"),
    ("s", "sort by the next column"),
    ("r", "reverse the order"),
    ("up down, k j", "scroll by a row"),
    ("PageUp PageDown", "scroll by a screen; also b and space"),
    ("Home End, g G", "the first row, the last"),
    ("p", "pause: poll only the rows that scrolling needs"),
    ("?", "show or hide this help"),
    ("q, Esc, Ctrl-C", "quit; Esc closes this help first"),
];

/// Returns the action of a key, or `None` for a key without a meaning.
pub fn action(key: KeyEvent) -> Option<Action> {
    // Some terminals report key releases too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Action::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Action::Quit,
        KeyCode::Char('1') => Action::Show(View::Overview),
        KeyCode::Char('2') => Action::Show(View::Subscribers),
        KeyCode::Char('3') => Action::Show(View::Topics),
        KeyCode::Char('4') => Action::Show(View::Connections),
        KeyCode::Tab | KeyCode::Right => Action::NextView,
        KeyCode::BackTab | KeyCode::Left => Action::PreviousView,
        KeyCode::Char('s') => Action::NextSort,
        KeyCode::Char('r') => Action::ReverseOrder,
        KeyCode::Up | KeyCode::Char('k') => Action::Rows(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Rows(1),
        KeyCode::PageUp | KeyCode::Char('b') => Action::Pages(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Action::Pages(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char('p') => Action::Pause,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Action::Help,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn q_escape_and_ctrl_c_quit() {
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(code), Some(Action::Quit));
        }
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(action(control_c), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('c')), None);
    }

    #[test]
    fn digits_select_the_views_in_order() {
        for (digit, view) in ('1'..).zip(View::ALL) {
            assert_eq!(press(KeyCode::Char(digit)), Some(Action::Show(view)));
        }
        assert_eq!(press(KeyCode::Char('5')), None);
        assert_eq!(press(KeyCode::Tab), Some(Action::NextView));
        assert_eq!(press(KeyCode::BackTab), Some(Action::PreviousView));
    }

    #[test]
    fn releases_and_unknown_keys_do_nothing() {
        let mut release = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert_eq!(action(release), None);
        let control_s = KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL);
        assert_eq!(action(control_s), None);
        assert_eq!(press(KeyCode::Insert), None);
    }

    #[test]
    fn lists_scroll_by_row_page_and_end() {
        assert_eq!(press(KeyCode::Down), Some(Action::Rows(1)));
        assert_eq!(press(KeyCode::PageUp), Some(Action::Pages(-1)));
        assert_eq!(press(KeyCode::End), Some(Action::Last));
        assert_eq!(press(KeyCode::Char('s')), Some(Action::NextSort));
        assert_eq!(press(KeyCode::Char('p')), Some(Action::Pause));
        assert_eq!(press(KeyCode::Char('?')), Some(Action::Help));
    }
}
