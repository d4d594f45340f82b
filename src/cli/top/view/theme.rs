//! What is said by colour. All of it is said by words or place too: with `NO_COLOR` nothing is lost.

use ratatui::style::{Color, Modifier, Style};

/// From where on a share of a limit is worth a look, and from where on it is bad.
const HIGH: f64 = 0.75;
const FULL: f64 = 0.9;

#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub has_colour: bool,
}

impl Theme {
    /// <https://no-color.org>: whatever the value, unless it is empty.
    pub fn from_environment() -> Theme {
        Theme { has_colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Of the sixteen colours that every terminal has, and that its user may have chosen.
    fn coloured(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn plain(self) -> Style {
        Style::new()
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn title(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub fn warning(self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// How near a limit is.
    pub fn of_share(self, share: f64) -> Style {
        match share {
            FULL.. => self.bad(),
            HIGH.. => self.warning(),
            _ => self.good(),
        }
    }

    /// What should not be there.
    pub fn of_loss(self, lost: f64) -> Style {
        if lost > 0.0 { self.warning() } else { self.plain() }
    }
}
