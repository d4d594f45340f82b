//! `blipmq top`: a broker's dashboard in a terminal.
//!
//! Called by `cli`. Reads the broker's admin API at `[metrics] bind_addr`; nothing is changed there.
//!
//! | to learn | read |
//! |---|---|
//! | what is polled, and how often | `poll` |
//! | how rates are computed from two polls | `rates` |
//! | what a key does | `input`, then `state` |
//! | what is drawn | `view` |
//! | how the terminal is set up and restored | `terminal` |
//! | what is printed without a terminal | `once` |
//!
//! # Always true
//! - The terminal is restored on every exit: a key, SIGINT, SIGTERM, an error or a panic.
//! - Only one thread draws; the threads for keys, signals and polls send events to it.

mod input;
mod navigation;
mod once;
mod poll;
mod rates;
#[cfg(test)]
mod samples;
mod state;
mod terminal;
mod text;
mod view;

use std::io::IsTerminal;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use executors::signals::Signals;
use ratatui::crossterm::event;

use self::poll::{PollRequest, PollResult};
use self::state::State;
use self::terminal::Screen;
use self::view::theme::Theme;
use super::admin::{Admin, AdminArgs};
use super::{Outcome, parse_duration};

pub const EXAMPLES: &str = "Examples:
  blipmq top                                      the broker on this machine
  blipmq top --metrics http://10.0.0.7:9090       another broker, with its token in
                                                  BLIPMQ_METRICS_TOKEN
  blipmq top --once                               print the state once, and exit
  blipmq top --once --interval 10s | grep lost    messages lost within ten seconds

Keys: tab or 1 to 4 select the view, s sorts, arrows and PageUp/PageDown scroll, p pauses, ? shows all
keys, q quits. NO_COLOR is respected.

If stdout is not a terminal, or TERM is dumb, --once is implied.
Exit status 1: the broker cannot be reached at the start; later, top keeps trying.";

/// The range of --interval. The broker walks its lists for each poll.
const INTERVALS_MS: std::ops::RangeInclusive<u128> = 100..=3_600_000;

/// Watch a broker: rates, latency, cores, slowest subscribers, topics, limits.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    admin: AdminArgs,
    /// The time between two polls: 500ms, 2s, or a number of milliseconds; 100ms to 1h.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Poll twice, print the results as plain text, and exit.
    #[arg(long)]
    once: bool,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    match INTERVALS_MS.contains(&interval.as_millis()) {
        true => Ok(interval),
        false => Err("use an interval from 100ms to 1h".to_owned()),
    }
}

/// An event for the thread that draws.
enum Event {
    Terminal(event::Event),
    Polled(PollResult),
    /// SIGINT or SIGTERM.
    Stopped,
    /// Another thread ended: with an error, or with a panic.
    ThreadEnded(Option<String>),
}

impl Top {
    pub fn run(self) -> Outcome {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let admin = Admin::new(self.admin)?;
        match self.once || !std::io::stdout().is_terminal() || is_dumb {
            true => once::run(&admin, self.interval),
            false => watch(admin, self.interval),
        }
    }
}

fn watch(admin: Admin, interval: Duration) -> Outcome {
    // A wrong address or token is reported before the screen is set up.
    admin.status().map_err(|error| error.to_string())?;
    // Before any thread starts, because threads inherit the signal mask.
    let signals = Signals::block().map_err(|error| format!("cannot block signals: {error}"))?;
    let mut state = State::new(admin.base().to_owned(), interval);
    let theme = Theme::from_environment();
    let (sender, events) = mpsc::channel();
    let mut screen = Screen::open()?;
    // These threads are never joined: they end with the process.
    spawn_signal_thread(signals, EventSender(sender.clone()));
    spawn_key_thread(EventSender(sender.clone()));
    let requests = spawn_poll_thread(admin, interval, EventSender(sender));
    let mut last_request = None;
    loop {
        screen.draw(|frame| view::draw(frame, &state, theme))?;
        let request = state.request(screen.size()?);
        if last_request.as_ref() != Some(&request) {
            // An error means that the thread has ended, which is an event.
            let _ = requests.send(request.clone());
            last_request = Some(request);
        }
        let first = events.recv().expect("a sender sends an event before it is dropped");
        // All events that have arrived are applied before the next draw.
        for event in std::iter::once(first).chain(events.try_iter()) {
            match event {
                Event::Terminal(event::Event::Key(key)) => {
                    let Some(action) = input::action(key) else { continue };
                    if !state.apply(action, screen.size()?) {
                        return Ok(());
                    }
                }
                // Drawing picks up a new size.
                Event::Terminal(_) => {}
                Event::Polled(result) => update(&mut state, result),
                Event::Stopped => return Ok(()),
                Event::ThreadEnded(reason) => {
                    drop(screen);
                    return Err(reason.unwrap_or("a thread panicked, see above".to_owned()));
                }
            }
        }
    }
}

fn spawn_signal_thread(signals: Signals, sender: EventSender) {
    std::thread::spawn(move || match signals.wait() {
        Ok(_) => sender.send(Event::Stopped),
        Err(error) => {
            sender.send(Event::ThreadEnded(Some(format!("cannot wait for signals: {error}"))))
        }
    });
}

fn spawn_key_thread(sender: EventSender) {
    std::thread::spawn(move || {
        loop {
            let event = match event::read() {
                Ok(event) => Event::Terminal(event),
                Err(error) => {
                    Event::ThreadEnded(Some(format!("cannot read the terminal: {error}")))
                }
            };
            let is_last = matches!(event, Event::ThreadEnded(_));
            if sender.send(event).is_err() || is_last {
                return;
            }
        }
    });
}

/// Starts the thread that polls the broker, and returns the channel for its requests.
fn spawn_poll_thread(
    admin: Admin,
    interval: Duration,
    sender: EventSender,
) -> mpsc::Sender<PollRequest> {
    let (requests, received) = mpsc::channel();
    std::thread::spawn(move || {
        poll::run(&admin, interval, &received, |result| sender.send(Event::Polled(result)));
    });
    requests
}

fn update(state: &mut State, result: PollResult) {
    match result {
        PollResult::Polled(Ok(poll)) => state.set_poll(*poll),
        PollResult::Listed(Ok(lists)) => state.set_lists(lists),
        PollResult::Polled(Err(error)) | PollResult::Listed(Err(error)) => {
            state.set_failure(error.to_string(), Instant::now());
        }
    }
}

/// Sends events to the thread that draws; a panic of its own thread is an event too.
struct EventSender(mpsc::Sender<Event>);

impl EventSender {
    /// Sends an event. An error means that nothing is drawn any more.
    fn send(&self, event: Event) -> Result<(), ()> {
        self.0.send(event).map_err(|_| ())
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Event::ThreadEnded(None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_minimum_and_a_maximum() {
        assert_eq!(parse_interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_interval("1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["0", "99ms", "2h", "soon"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
    }
}
