//! `blipmq top`: a broker's dashboard in a terminal.
//!
//! Called by `cli`. Asks the admin API of `[metrics] bind_addr`; the broker is only read.
//!
//! | to learn | read |
//! |---|---|
//! | what is asked, and how often | `poll` |
//! | what is computed of two answers | `rates` |
//! | what a key does | `input`, then `state` |
//! | what is drawn | `view` |
//! | how the terminal is taken and given back | `terminal` |
//! | what is printed without a terminal | `once` |
//!
//! # Always true
//! - The terminal is given back however it ends: a key, SIGINT, SIGTERM, an error or a panic.
//! - One thread draws and nothing else does; those of the keys, the signals and the questions send
//!   it events.

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

use self::poll::Answer;
use self::state::State;
use self::terminal::Screen;
use self::view::theme::Theme;
use super::admin::{Admin, AdminArgs};
use super::{Outcome, parse_duration};

pub const EXAMPLES: &str = "Examples:
  blipmq top                                      the broker of this machine
  blipmq top --metrics http://10.0.0.7:9090       another one, with its token in
                                                  BLIPMQ_METRICS_TOKEN
  blipmq top --once                               print how it is once, and end
  blipmq top --once --interval 10s | grep lost    what it lost in ten seconds

Keys: tab or 1 to 4 for the view, s to sort, arrows and PageUp/PageDown, p to pause, ? for all, q to
quit. NO_COLOR is respected.

Where stdout is no terminal, or one that calls itself dumb, it does what --once does.
It ends with status 1 when the broker cannot be reached at the start; later it keeps trying.";

/// How often a broker may be asked. Each time it looks through its lists.
const INTERVALS_MS: std::ops::RangeInclusive<u128> = 100..=3_600_000;

/// Watch a broker: rates, latency, cores, slowest subscribers, topics, limits.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    admin: AdminArgs,
    /// The time between two polls: 500ms, 2s, or plain milliseconds; 100ms to 1h.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Poll twice, print what was found as plain text, and end.
    #[arg(long)]
    once: bool,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    match INTERVALS_MS.contains(&interval.as_millis()) {
        true => Ok(interval),
        false => Err("it has to be between 100ms and 1h".to_owned()),
    }
}

/// What the thread that draws waits for.
enum Event {
    Terminal(event::Event),
    Answer(Answer),
    /// SIGINT or SIGTERM.
    Stopped,
    /// A thread that sends events is gone, with the reason if there is one.
    Lost(Option<String>),
}

impl Top {
    pub fn run(self) -> Outcome {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let admin = Admin::new(self.admin);
        match self.once || !std::io::stdout().is_terminal() || is_dumb {
            true => once::run(&admin, self.interval),
            false => watch(admin, self.interval),
        }
    }
}

fn watch(admin: Admin, interval: Duration) -> Outcome {
    // A wrong address or token is told before the screen is taken.
    admin.status().map_err(|error| error.to_string())?;
    // Before any thread starts: threads inherit what is blocked.
    let signals = Signals::block().map_err(|error| format!("cannot block signals: {error}"))?;
    let mut state = State::new(admin.base().to_owned(), interval);
    let theme = Theme::from_environment();
    let (sender, events) = mpsc::channel();
    let mut screen = Screen::take()?;

    // None of these is waited for: they end with the process.
    let of_signals = Farewell(sender.clone());
    std::thread::spawn(move || match signals.wait() {
        Ok(_) => of_signals.send(Event::Stopped),
        Err(error) => {
            of_signals.send(Event::Lost(Some(format!("cannot wait for signals: {error}"))))
        }
    });
    let of_keys = Farewell(sender.clone());
    std::thread::spawn(move || {
        loop {
            let event = match event::read() {
                Ok(event) => Event::Terminal(event),
                Err(error) => Event::Lost(Some(format!("cannot read the terminal: {error}"))),
            };
            let is_last = matches!(event, Event::Lost(_));
            if of_keys.send(event).is_err() || is_last {
                return;
            }
        }
    });
    let of_answers = Farewell(sender);
    let (wanted, wants) = mpsc::channel();
    std::thread::spawn(move || {
        poll::run(&admin, interval, &wants, |answer| of_answers.send(Event::Answer(answer)));
    });

    let mut last_wanted = None;
    loop {
        screen.draw(|frame| view::draw(frame, &state, theme))?;
        let now_wanted = Some(state.wanted(screen.size()?));
        if last_wanted != now_wanted {
            // A thread that is gone has said so.
            let _ = wanted.send(now_wanted.clone().unwrap_or_default());
            last_wanted = now_wanted;
        }
        let first = events.recv().expect("its senders are never all gone without an event");
        // What came meanwhile is drawn at once.
        for event in std::iter::once(first).chain(events.try_iter()) {
            match event {
                Event::Terminal(event::Event::Key(key)) => {
                    let Some(action) = input::action(key) else { continue };
                    if !state.act(action, screen.size()?) {
                        return Ok(());
                    }
                }
                // Drawing finds the new size.
                Event::Terminal(_) => {}
                Event::Answer(answer) => take(&mut state, answer),
                Event::Stopped => return Ok(()),
                Event::Lost(reason) => {
                    drop(screen);
                    return Err(reason.unwrap_or("a part of it panicked, see above".to_owned()));
                }
            }
        }
    }
}

fn take(state: &mut State, answer: Answer) {
    match answer {
        Answer::Polled(Ok(poll)) => state.take_poll(*poll),
        Answer::Listed(Ok(lists)) => state.take_lists(lists),
        Answer::Polled(Err(error)) | Answer::Listed(Err(error)) => {
            state.take_failure(error.to_string(), Instant::now());
        }
    }
}

/// Sends events, and says so when its thread panics.
struct Farewell(mpsc::Sender<Event>);

impl Farewell {
    /// An error when nobody draws any more.
    fn send(&self, event: Event) -> Result<(), ()> {
        self.0.send(event).map_err(|_| ())
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Event::Lost(None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_neither_a_flood_nor_forever() {
        assert_eq!(parse_interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_interval("1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["0", "99ms", "2h", "soon"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
    }
}
