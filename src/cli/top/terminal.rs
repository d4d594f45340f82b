//! Takes the terminal, and gives it back however the program ends.
//!
//! Called by `mod`.

use std::fmt::Display;

use ratatui::layout::Size;
use ratatui::{DefaultTerminal, Frame};

/// The terminal while it is ours: its other screen, without a cursor, keys as they are pressed.
/// Dropping gives it back; a panic does too, before its message is written.
pub struct Screen(DefaultTerminal);

impl Screen {
    pub fn take() -> Result<Screen, String> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Screen(terminal)),
            Err(error) => {
                // What was changed before it failed.
                let _ = ratatui::try_restore();
                Err(format!("cannot take the terminal: {error}; `blipmq top --once` needs none"))
            }
        }
    }

    pub fn draw(&mut self, of: impl FnOnce(&mut Frame<'_>)) -> Result<(), String> {
        self.0.draw(of).map_err(failed)?;
        Ok(())
    }

    pub fn size(&self) -> Result<Size, String> {
        self.0.size().map_err(failed)
    }
}

fn failed(error: impl Display) -> String {
    format!("cannot write to the terminal: {error}")
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        // A terminal that is gone needs nothing back.
        let _ = ratatui::try_restore();
    }
}
