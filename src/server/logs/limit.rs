//! So many lines a second from one place in the code, and then one line that says how many more there
//! were.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use super::LEFT_OUT;

/// Lines are counted over so long.
const WINDOW: Duration = Duration::from_secs(1);

/// The filter, and what it has left out.
#[derive(Clone)]
pub struct Limiter {
    lines_max: u32,
    places: Arc<Mutex<HashMap<Identifier, Place>>>,
    /// Called when something is left out that nobody looks after yet.
    begins: Arc<dyn Fn() + Send + Sync>,
}

/// A place in the code.
struct Place {
    begun: Instant,
    lines: u32,
    left_out: u64,
    level: Level,
    /// The first line that was left out.
    example: String,
}

/// Lines that were left out.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    lines: u64,
    level: Level,
    example: String,
}

impl Limiter {
    pub fn new(lines_max: u32, begins: impl Fn() + Send + Sync + 'static) -> Limiter {
        Limiter { lines_max, places: Arc::default(), begins: Arc::new(begins) }
    }

    /// Whether one more line of a place is let through.
    fn lets_through(
        &self,
        now: Instant,
        place: Identifier,
        level: Level,
        text: impl FnOnce() -> String,
    ) -> bool {
        let mut places = self.places.lock().expect("nothing panics with it");
        let new = || Place { begun: now, lines: 0, left_out: 0, level, example: String::new() };
        let place = places.entry(place).or_insert_with(new);
        // What was left out is told by `sweep` before it is counted anew.
        if place.left_out == 0 && now.duration_since(place.begun) >= WINDOW {
            *place = new();
        }
        if place.lines < self.lines_max {
            place.lines += 1;
            return true;
        }
        place.left_out += 1;
        let begins = place.left_out == 1;
        if begins {
            place.example = text();
        }
        drop(places);
        if begins {
            (self.begins)();
        }
        false
    }

    /// How long until `sweep` has something to tell, if something was left out.
    pub fn sweep_in(&self, now: Instant) -> Option<Duration> {
        let places = self.places.lock().expect("nothing panics with it");
        let ends =
            places.values().filter(|place| place.left_out > 0).map(|place| place.begun + WINDOW);
        ends.min().map(|end| end.saturating_duration_since(now))
    }

    /// Logs what was left out and is old enough.
    pub fn sweep(&self, now: Instant) {
        for LeftOut { lines, level, example } in self.take(now) {
            match level {
                Level::ERROR => tracing::error!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::WARN => tracing::warn!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::INFO => tracing::info!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::DEBUG => tracing::debug!(target: LEFT_OUT, "{lines} more like: {example}"),
                Level::TRACE => tracing::trace!(target: LEFT_OUT, "{lines} more like: {example}"),
            }
        }
    }

    fn take(&self, now: Instant) -> Vec<LeftOut> {
        let mut places = self.places.lock().expect("nothing panics with it");
        let is_due =
            |place: &&mut Place| place.left_out > 0 && now.duration_since(place.begun) >= WINDOW;
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
            || self.lets_through(Instant::now(), metadata.callsite(), *metadata.level(), text)
    }
}

/// What an event says, without its other fields.
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
            unreachable!("nobody asks")
        }
    }

    static ONE: Here = Here;

    #[test]
    fn what_is_beyond_the_limit_is_counted_and_told_once_with_its_first_line() {
        let began = Arc::new(AtomicU32::new(0));
        let begins = began.clone();
        let limiter = Limiter::new(3, move || {
            begins.fetch_add(1, Ordering::Relaxed);
        });
        let now = Instant::now();
        // Made once: its hash is of the vtable too, of which there may be several.
        let here = Identifier(&ONE);
        let log = |now, text: &str| {
            limiter.lets_through(now, here.clone(), Level::WARN, || text.to_owned())
        };
        let let_through: Vec<bool> =
            ["a", "b", "c", "d", "e"].iter().map(|text| log(now, text)).collect();
        assert_eq!(let_through, [true, true, true, false, false]);
        assert_eq!(began.load(Ordering::Relaxed), 1, "whoever tells is woken once");
        assert_eq!(limiter.sweep_in(now), Some(WINDOW));
        assert_eq!(limiter.take(now), []);
        assert!(!log(now + WINDOW, "f"), "what was left out is told first");
        let left_out = LeftOut { lines: 3, level: Level::WARN, example: "d".to_owned() };
        assert_eq!(limiter.take(now + WINDOW), [left_out]);
        assert_eq!(limiter.sweep_in(now + WINDOW), None);
        assert!(log(now + WINDOW, "g"));
    }

    #[test]
    fn a_place_that_logs_seldom_is_never_left_out() {
        let limiter = Limiter::new(1, || panic!("nothing is left out"));
        let (begun, here) = (Instant::now(), Identifier(&ONE));
        for second in 0..10 {
            let now = begun + WINDOW * second;
            assert!(limiter.lets_through(now, here.clone(), Level::INFO, String::new));
        }
    }
}
