//! Sets up the terminal, and restores it on every exit.
//!
//! Called by `mod`.

use std::fmt::Display;

use ratatui::layout::Size;
use ratatui::{DefaultTerminal, Frame};

/// The terminal while top runs: the alternate screen, no cursor, raw keys. Dropping restores the
/// terminal; so does a panic, before its message is printed.
pub struct Screen(DefaultTerminal);

impl Screen {
    pub fn open() -> Result<Screen, String> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Screen(terminal)),
            Err(error) => {
                // Undo the part that succeeded.
                let _ = ratatui::try_restore();
                Err(format!("cannot set up the terminal: {error}; `blipmq top --once` needs none"))
            }
        }
    }

    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> Result<(), String> {
        self.0.draw(render).map_err(terminal_error)?;
        Ok(())
    }

    pub fn size(&self) -> Result<Size, String> {
        self.0.size().map_err(terminal_error)
    }
}

fn terminal_error(error: impl Display) -> String {
    format!("cannot write to the terminal: {error}")
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        // An error means that the terminal is gone.
        let _ = ratatui::try_restore();
    }
}
