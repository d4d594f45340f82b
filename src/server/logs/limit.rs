//! The rate limit of the log: a number of lines a second for each place in the code, and then one line
//! that reports how many more there were.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use super::LEFT_OUT;

/// The time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The filter, and the lines it has left out.
#[derive(Clone)]
pub struct Limiter {
    lines_max: u32,
    places: Arc<Mutex<HashMap<Identifier, Place>>>,
    /// Called when a place begins to leave lines out: a `sweep` must follow.
    on_left_out: Arc<dyn Fn() + Send + Sync>,
}

/// The lines of one place in the code within a window.
struct Place {
    window_start: Instant,
    lines: u32,
    left_out: u64,
    level: Level,
    /// The first line that was left out.
    example: String,
}

/// The lines of one place that were left out within a window.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    lines: u64,
    level: Level,
    example: String,
}

impl Limiter {
    pub fn new(lines_max: u32, on_left_out: impl Fn() + Send + Sync + 'static) -> Limiter {
        Limiter { lines_max, places: Arc::default(), on_left_out: Arc::new(on_left_out) }
    }

    /// Counts one more line of a place. Returns whether the line is to be logged.
    fn admit(
        &self,
        now: Instant,
        place: Identifier,
        level: Level,
        text: impl FnOnce() -> String,
    ) -> bool {
        let mut places = self.places.lock().expect("nothing panics with it");
        let new_window =
            || Place { window_start: now, lines: 0, left_out: 0, level, example: String::new() };
        let place = places.entry(place).or_insert_with(new_window);
        // A window with lines that were left out stays until `sweep` has reported them.
        if place.left_out == 0 && now.duration_since(place.window_start) >= WINDOW {
            *place = new_window();
        }
        if place.lines < self.lines_max {
            place.lines += 1;
            return true;
        }
        place.left_out += 1;
        let is_first = place.left_out == 1;
        if is_first {
            place.example = text();
        }
        drop(places);
        if is_first {
            (self.on_left_out)();
        }
        false
    }

    /// The time until `sweep` has something to report, if lines were left out.
    pub fn sweep_in(&self, now: Instant) -> Option<Duration> {
        let places = self.places.lock().expect("nothing panics with it");
        let with_left_out = places.values().filter(|place| place.left_out > 0);
        let ends = with_left_out.map(|place| place.window_start + WINDOW);
        ends.min().map(|end| end.saturating_duration_since(now))
    }

    /// Logs how many lines were left out in windows that have ended.
    pub fn sweep(&self, now: Instant) {
        for LeftOut { lines, level, example } in self.take_left_out(now) {
            match level {
                Level::ERROR => tracing::error!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::WARN => tracing::warn!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::INFO => tracing::info!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::DEBUG => tracing::debug!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::TRACE => tracing::trace!(target: LEFT_OUT, "{lines} more like: {example}"),
            }
        }
    }

    fn take_left_out(&self, now: Instant) -> Vec<LeftOut> {
        let mut places = self.places.lock().expect("nothing panics with it");
        let is_due = |place: &&mut Place| {
            place.left_out > 0 && now.duration_since(place.window_start) >= WINDOW
        };
        let due = places.values_mut().filter(is_due).map(|place| {
            let lines = std::mem::take(&mut place.left_out);
            LeftOut { lines, level: place.level, example: std::mem::take(&mut place.example) }
        });
        due.collect()
    }
}

impl<S> Filter<S> for Limiter {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let text = || {
            let mut message = Message(String::new());
            event.record(&mut message);
            message.0
        };
        metadata.target() == LEFT_OUT
            || self.admit(Instant::now(), metadata.callsite(), *metadata.level(), text)
    }
}

/// The message of an event, without its other fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tracing::callsite::{Callsite, Identifier};
    use tracing::subscriber::Interest;

    use super::*;

    struct Here;

    impl Callsite for Here {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("the limiter uses only the identifier")
        }
    }

    static ONE: Here = Here;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_reported_once_with_the_first_of_them() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let limiter = Limiter::new(3, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let now = Instant::now();
        // Made once: the hash includes the vtable, of which there may be several.
        let here = Identifier(&ONE);
        let log =
            |now, text: &str| limiter.admit(now, here.clone(), Level::WARN, || text.to_owned());
        let admitted: Vec<bool> =
            ["a", "b", "c", "d", "e"].iter().map(|text| log(now, text)).collect();
        assert_eq!(admitted, [true, true, true, false, false]);
        assert_eq!(calls.load(Ordering::Relaxed), 1, "one call for all lines of a window");
        assert_eq!(limiter.sweep_in(now), Some(WINDOW));
        assert_eq!(limiter.take_left_out(now), []);
        assert!(!log(now + WINDOW, "f"), "lines that were left out are reported first");
        let left_out = LeftOut { lines: 3, level: Level::WARN, example: "d".to_owned() };
        assert_eq!(limiter.take_left_out(now + WINDOW), [left_out]);
        assert_eq!(limiter.sweep_in(now + WINDOW), None);
        assert!(log(now + WINDOW, "g"));
    }

    #[test]
    fn lines_of_a_place_that_logs_seldom_are_never_left_out() {
        let limiter = Limiter::new(1, || panic!("nothing is left out"));
        let (begun, here) = (Instant::now(), Identifier(&ONE));
        for second in 0..10 {
            let now = begun + WINDOW * second;
            assert!(limiter.admit(now, here.clone(), Level::INFO, String::new));
        }
    }
}
