//! The line on stderr while a round runs, where stderr is a terminal.
//!
//! Called by `round` and `idle`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::target::Target;
use crate::cli::units;

pub struct Progress {
    bar: ProgressBar,
    /// Such as `round 2/5`.
    round: String,
}

impl Progress {
    pub fn new(round: usize, rounds: usize) -> Progress {
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("it is a constant");
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::new_spinner().with_style(style);
        Progress { bar, round: format!("round {round}/{rounds}") }
    }

    pub fn show(&self, target: &Target, deliveries_per_s: f64) {
        let rate = units::count(deliveries_per_s);
        self.say(format!("{target} {}: {rate} deliveries/s", self.round));
    }

    pub fn say(&self, message: String) {
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// Shows for a while that it waits.
    pub fn wait(&self, target: &Target, duration: Duration) {
        self.say(format!("{target} {}: idle for {:.1} s", self.round, duration.as_secs_f64()));
        std::thread::sleep(duration);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
