//! Compares the screens, as text, with the files in `snapshots/`. `BLIPMQ_BLESS=1` rewrites the files;
//! review the difference before you commit it.

use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::Color;

use super::theme::Theme;
use crate::cli::admin::model::Printable;
use crate::cli::top::input::Action;
use crate::cli::top::navigation::View;
use crate::cli::top::samples;
use crate::cli::top::state::State;

const SMALL: Size = Size { width: 80, height: 24 };
const LARGE: Size = Size { width: 160, height: 50 };

fn watching(cores: u32) -> State {
    let mut state = State::new("http://127.0.0.1:9090".to_owned(), Duration::from_secs(1));
    state.set_poll(samples::poll(cores, 1));
    state.set_poll(samples::poll(cores, 2));
    state
}

fn draw(state: &State, size: Size, has_colour: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).expect("memory");
    terminal.draw(|frame| super::draw(frame, state, Theme { has_colour })).expect("memory");
    terminal.backend().buffer().clone()
}

fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(buffer.area.width.into()) {
        let mut line = String::new();
        let mut hidden = 0;
        for cell in row {
            // A wide character covers the next cell too.
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = crate::cli::top::text::width(cell.symbol()).saturating_sub(1);
            line.push_str(cell.symbol());
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn screen_text(state: &State, size: Size) -> String {
    text_of(&draw(state, size, true))
}

#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/view/snapshots");
    let path = folder.join(name).with_extension("txt");
    if std::env::var_os("BLIPMQ_BLESS").is_some() {
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(&path, text).expect("a file can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the snapshot is there");
    assert!(expected == text, "{} differs; the screen is\n{text}", path.display());
}

#[test]
fn every_view_matches_its_snapshot_on_a_small_and_a_large_screen() {
    let mut state = watching(4);
    for view in View::ALL {
        state.apply(Action::Show(view), SMALL);
        let name = view.title().to_lowercase();
        assert_snapshot(&format!("{name}_80x24"), &screen_text(&state, SMALL));
        assert_snapshot(&format!("{name}_160x50"), &screen_text(&state, LARGE));
    }
}

#[test]
fn help_covers_the_screen() {
    let mut state = watching(4);
    state.apply(Action::Help, SMALL);
    assert_snapshot("help_80x24", &screen_text(&state, SMALL));
}

#[test]
fn lists_of_256_cores_scroll_and_cores_without_an_answer_are_named() {
    let mut state = watching(256);
    let text = screen_text(&state, SMALL);
    assert!(text.contains("no answer from core 200"), "{text}");
    state.apply(Action::Last, SMALL);
    assert_snapshot("cores_256_80x24", &screen_text(&state, SMALL));
    state.apply(Action::First, SMALL);
    for _ in 0..3 {
        state.apply(Action::NextSort, SMALL);
    }
    let text = screen_text(&state, SMALL);
    assert!(text.contains("by delivered, highest first"), "{text}");
    let first = text.lines().skip_while(|line| !line.starts_with("CORE")).nth(1).expect("a core");
    assert!(first.starts_with(" 255 257"), "{text}");
}

#[test]
fn an_idle_broker_matches_its_snapshot() {
    let mut state = State::new("http://127.0.0.1:9090".to_owned(), Duration::from_secs(1));
    state.set_poll(samples::empty(1));
    state.set_poll(samples::empty(2));
    assert_snapshot("empty_80x24", &screen_text(&state, SMALL));
    state.apply(Action::Show(View::Topics), SMALL);
    let text = screen_text(&state, SMALL);
    assert!(text.contains("Topics none of 0  by rate, highest first"), "{text}");
}

#[test]
fn unknown_values_are_dashes_before_the_second_poll() {
    let mut state = State::new("http://127.0.0.1:9090".to_owned(), Duration::from_secs(1));
    assert!(screen_text(&state, SMALL).starts_with("BlipMQ at http://127.0.0.1:9090\n"));
    state.set_poll(samples::poll(2, 1));
    let text = screen_text(&state, SMALL);
    assert!(text.contains("published         -             -  "), "{text}");
    assert!(text.contains("CPU -  RSS 19.1 MiB"), "{text}");
}

#[test]
fn an_outage_is_shown_above_the_old_data() {
    let mut state = watching(2);
    let begun = Instant::now();
    let error = "cannot reach http://127.0.0.1:9090: Connection refused; is the broker running?";
    state.set_failure(error.to_owned(), begun);
    state.set_failure(error.to_owned(), begun + Duration::from_secs(12));
    assert_snapshot("gone_80x24", &screen_text(&state, SMALL));
}

#[test]
fn draining_restarting_and_pausing_are_shown() {
    let mut state = watching(2);
    let mut poll = samples::poll(2, 1);
    poll.status.state = Printable::new("draining");
    poll.status.server_id = Printable::new("0000000000000001");
    state.set_poll(poll);
    state.apply(Action::Pause, SMALL);
    let text = screen_text(&state, SMALL);
    assert!(text.contains("BlipMQ 0.1.0  draining  restarted  up"), "{text}");
    assert!(text.trim_end().ends_with("PAUSED"), "{text}");
}

#[test]
fn hostile_names_are_escaped_in_every_cell() {
    let mut state = watching(2);
    for view in View::ALL {
        state.apply(Action::Show(view), LARGE);
        for cell in &draw(&state, LARGE, true).content {
            let is_plain = |character: char| !character.is_control() && character != '\u{202e}';
            assert!(cell.symbol().chars().all(is_plain), "{:?}", cell.symbol());
        }
    }
    state.apply(Action::Show(View::Topics), LARGE);
    let text = screen_text(&state, LARGE);
    assert!(text.contains("orders.\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{9b}31m.\\r\\n\\u{202e}live"));
}

#[test]
fn no_screen_size_causes_a_panic() {
    let mut state = watching(3);
    state.set_failure("a long story ".repeat(50), Instant::now());
    for help in [false, true] {
        state.help = help;
        for view in View::ALL {
            state.apply(Action::Show(view), SMALL);
            for width in [0, 1, 2, 7, 20, 79, 131, 400] {
                for height in [0, 1, 2, 3, 5, 9, 23, 37, 120] {
                    let size = Size { width, height };
                    state.apply(Action::Pages(1), size);
                    draw(&state, size, true);
                }
            }
        }
    }
}

#[test]
fn screens_without_colours_have_the_same_text() {
    let state = watching(4);
    let (with, without) = (draw(&state, LARGE, true), draw(&state, LARGE, false));
    assert_eq!(text_of(&with), text_of(&without));
    let is_coloured = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(is_coloured(&with) && !is_coloured(&without));
}
