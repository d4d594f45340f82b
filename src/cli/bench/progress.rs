//! The progress line on stderr while a round runs, if stderr is a terminal.
//!
//! Called by `watch` and `idle`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::target::Target;
use crate::cli::units;

pub struct Progress {
    bar: ProgressBar,
    /// The label, such as `round 2/5`.
    round: String,
}

impl Progress {
    pub fn new(round: usize, rounds: usize) -> Progress {
        let style =
            ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant");
        // indicatif hides the line if stderr is not a terminal.
        let bar = ProgressBar::new_spinner().with_style(style);
        Progress { bar, round: format!("round {round}/{rounds}") }
    }

    pub fn show_rate(&self, target: &Target, deliveries_per_s: f64) {
        let rate = units::count(deliveries_per_s);
        self.show(format!("{target} {}: {rate} deliveries/s", self.round));
    }

    pub fn show(&self, message: String) {
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// Sleeps, and shows for how long.
    pub fn sleep(&self, target: &Target, duration: Duration) {
        self.show(format!("{target} {}: idle for {:.1} s", self.round, duration.as_secs_f64()));
        std::thread::sleep(duration);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
