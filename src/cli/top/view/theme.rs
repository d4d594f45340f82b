//! The colours of the screen. Words or positions say the same, so nothing is lost with `NO_COLOR`.

use ratatui::style::{Color, Modifier, Style};

/// The used fractions of a limit from which on a value is a warning, and is bad.
const HIGH: f64 = 0.75;
const FULL: f64 = 0.9;

#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub has_colour: bool,
}

impl Theme {
    /// Follows <https://no-color.org>: any value of `NO_COLOR` but an empty one turns colours off.
    pub fn from_environment() -> Theme {
        Theme { has_colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Uses one of the sixteen colours that every terminal has and its user can configure.
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

    /// Returns the style for a used fraction of a limit.
    pub fn for_share(self, share: f64) -> Style {
        match share {
            FULL.. => self.bad(),
            HIGH.. => self.warning(),
            _ => self.good(),
        }
    }

    /// Returns the style for a number that should be 0.
    pub fn for_loss(self, lost: f64) -> Style {
        if lost > 0.0 { self.warning() } else { self.plain() }
    }
}
