//! What is on the screen: the newest answers, what was computed of them, and where the user is.
//!
//! Called by `mod`, with actions and answers. Drawn by `view`. Pure: times come in.

use std::time::{Duration, Instant};

use ratatui::layout::Size;

use super::input::Action;
use super::navigation::{Sort, View};
use super::poll::{Lists, Poll, Wanted};
use super::rates::{Losses, Rates};
use super::view;
use crate::cli::admin::Query;
use crate::cli::admin::model::{Cores, Status};

/// The broker lists no row behind.
const LIST_LEN_MAX: u64 = 10_000;

/// Where the user is in a view.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    sort: usize,
    is_turned: bool,
    /// The first row that is shown.
    offset: u64,
}

/// The broker does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    /// Since the first poll that failed.
    pub lasts: Duration,
    since: Instant,
}

/// The last poll that was answered.
#[derive(Debug)]
pub struct Seen {
    pub at: Instant,
    pub status: Status,
    pub cores: Cores,
}

#[derive(Debug)]
pub struct State {
    /// Where the broker is asked.
    pub base: String,
    pub interval: Duration,
    pub view: View,
    pub help: bool,
    pub paused: bool,
    places: [Place; View::ALL.len()],
    pub seen: Option<Seen>,
    pub rates: Option<Rates>,
    /// It was started again while we watched.
    pub restarted: bool,
    pub trouble: Option<Trouble>,
    pub lists: Lists,
    pub losses: Losses,
}

impl State {
    pub fn new(base: String, interval: Duration) -> State {
        State {
            base,
            interval,
            view: View::Overview,
            help: false,
            paused: false,
            places: Default::default(),
            seen: None,
            rates: None,
            restarted: false,
            trouble: None,
            lists: Lists::default(),
            losses: Losses::default(),
        }
    }

    pub fn sort(&self) -> Sort {
        let place = self.place();
        let sort = self.view.sorts()[place.sort];
        Sort { descending: sort.descending != place.is_turned, ..sort }
    }

    pub fn offset(&self) -> u64 {
        self.place().offset
    }

    /// Whether to go on.
    pub fn act(&mut self, action: Action, size: Size) -> bool {
        let page = i64::from(view::rows_fit(self, size)).max(1);
        match action {
            Action::Quit if self.help => self.help = false,
            Action::Quit => return false,
            Action::Show(view) => self.view = view,
            Action::NextView => self.view = self.view.moved(1),
            Action::PreviousView => self.view = self.view.moved(View::ALL.len() - 1),
            Action::NextSort => {
                let sorts = self.view.sorts().len();
                let place = self.place_mut();
                *place = Place { sort: (place.sort + 1) % sorts, ..Place::default() };
            }
            Action::TurnRound => {
                let place = self.place_mut();
                place.is_turned = !place.is_turned;
                place.offset = 0;
            }
            Action::Rows(rows) => self.go(rows, page),
            Action::Pages(pages) => self.go(pages * page, page),
            Action::First => self.go(i64::MIN / 2, page),
            Action::Last => self.go(i64::MAX / 2, page),
            Action::Pause => self.paused = !self.paused,
            Action::Help => self.help = !self.help,
        }
        true
    }

    /// Takes what a poll gave.
    pub fn take_poll(&mut self, poll: Poll) {
        let Poll { at, status, cores, lists } = poll;
        self.trouble = None;
        let mut waited = Duration::ZERO;
        self.rates = None;
        if let Some(before) = &self.seen {
            waited = at.saturating_duration_since(before.at);
            let (earlier, now) = ((&before.status, &before.cores), (&status, &cores));
            self.rates = Rates::between(earlier, now, waited);
            if before.status.server_id != status.server_id {
                self.restarted = true;
                self.losses = Losses::default();
            } else if self.rates.is_some() {
                self.restarted = false;
            }
        }
        if let Some(page) = &lists.subscriptions {
            self.losses.poll(&page.rows, waited.as_secs_f64());
        }
        self.seen = Some(Seen { at, status, cores });
        self.take_lists(lists);
    }

    /// Takes parts of lists; what was not asked for stays.
    pub fn take_lists(&mut self, lists: Lists) {
        let Lists { subscriptions, topics, connections } = lists;
        self.lists.subscriptions = subscriptions.or(self.lists.subscriptions.take());
        self.lists.topics = topics.or(self.lists.topics.take());
        self.lists.connections = connections.or(self.lists.connections.take());
    }

    /// What was seen stays, and is said to be old.
    pub fn take_failure(&mut self, text: String, at: Instant) {
        let since = self.trouble.as_ref().map_or(at, |trouble| trouble.since);
        let lasts = at.saturating_duration_since(since);
        self.trouble = Some(Trouble { text, lasts, since });
    }

    /// What there is room for on a screen of this size.
    pub fn wanted(&self, size: Size) -> Wanted {
        let mut wanted = Wanted { paused: self.paused, ..Wanted::default() };
        // Of the height, not of what is free: so it stays the same when a line of trouble comes.
        let limit = u64::from(size.height).clamp(1, 1_000);
        let Sort { key: sort, descending } = self.sort();
        let offset = self.offset().min(LIST_LEN_MAX - limit);
        let query = Some(Query { sort, descending, offset, limit });
        match self.view {
            View::Subscribers => wanted.subscriptions = query,
            View::Topics => wanted.topics = query,
            View::Connections => wanted.connections = query,
            View::Overview => {
                let first = |sort| {
                    let limit = u64::from(view::overview::list_rows(size));
                    (limit > 0).then_some(Query { sort, descending: true, offset: 0, limit })
                };
                wanted.subscriptions = first("lag");
                wanted.topics = first("rate");
            }
        }
        wanted
    }

    fn place(&self) -> &Place {
        &self.places[self.view as usize]
    }

    fn place_mut(&mut self) -> &mut Place {
        &mut self.places[self.view as usize]
    }

    fn go(&mut self, rows: i64, page: i64) {
        let total = match self.view {
            View::Overview => self.seen.as_ref().map_or(0, |seen| seen.cores.cores.len() as u64),
            View::Subscribers => self.lists.subscriptions.as_ref().map_or(0, |page| page.total),
            View::Topics => self.lists.topics.as_ref().map_or(0, |page| page.total),
            View::Connections => self.lists.connections.as_ref().map_or(0, |page| page.total),
        };
        // The last screen is a full one.
        let last = (total.min(LIST_LEN_MAX) as i64 - page).max(0);
        let place = self.place_mut();
        place.offset = (place.offset as i64).saturating_add(rows).clamp(0, last) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::admin::model::Printable;
    use crate::cli::top::navigation::{falling, rising};
    use crate::cli::top::samples;

    const SIZE: Size = Size { width: 80, height: 24 };

    fn state() -> State {
        State::new("http://127.0.0.1:9090".to_owned(), Duration::from_secs(1))
    }

    #[test]
    fn views_come_round_and_each_keeps_its_place() {
        let mut state = state();
        assert!(state.act(Action::NextSort, SIZE));
        assert_eq!(state.sort(), falling("load"));
        state.act(Action::TurnRound, SIZE);
        assert_eq!(state.sort(), rising("load"));
        for view in [View::Subscribers, View::Topics, View::Connections, View::Overview] {
            state.act(Action::NextView, SIZE);
            assert_eq!(state.view, view);
        }
        assert_eq!(state.sort(), rising("load"));
        state.act(Action::PreviousView, SIZE);
        assert_eq!((state.view, state.sort()), (View::Connections, falling("queued_bytes")));
        for _ in View::Connections.sorts() {
            state.act(Action::NextSort, SIZE);
        }
        assert_eq!(state.sort(), falling("queued_bytes"));
    }

    #[test]
    fn quitting_closes_the_help_first() {
        let mut state = state();
        state.act(Action::Help, SIZE);
        assert!(state.act(Action::Quit, SIZE) && !state.help);
        assert!(!state.act(Action::Quit, SIZE));
    }

    #[test]
    fn lists_end_with_a_full_screen_and_never_behind_what_the_broker_lists() {
        let mut state = state();
        state.take_poll(samples::poll(2, 1));
        state.act(Action::Show(View::Topics), SIZE);
        let fit = u64::from(view::rows_fit(&state, SIZE));
        let total = |state: &mut State, total| {
            state.lists.topics.as_mut().expect("the sample has topics").total = total;
        };
        total(&mut state, 3);
        state.act(Action::Last, SIZE);
        assert_eq!(state.offset(), 0);
        total(&mut state, 100);
        state.act(Action::Pages(1), SIZE);
        assert_eq!(state.offset(), fit);
        state.act(Action::Last, SIZE);
        assert_eq!(state.offset(), 100 - fit);
        state.act(Action::Rows(1), SIZE);
        assert_eq!(state.offset(), 100 - fit);
        total(&mut state, 1_000_000);
        state.act(Action::Last, SIZE);
        let query = state.wanted(SIZE).topics.expect("it is what is seen");
        assert!(query.offset + query.limit <= LIST_LEN_MAX, "{query:?}");
        state.act(Action::First, SIZE);
        assert_eq!(state.offset(), 0);
    }

    #[test]
    fn only_what_is_seen_is_asked_for() {
        let mut state = state();
        let small = state.wanted(SIZE);
        assert_eq!(small, Wanted::default());
        let large = state.wanted(Size { width: 160, height: 50 });
        assert!(large.subscriptions.is_some() && large.topics.is_some());
        state.act(Action::Show(View::Subscribers), SIZE);
        state.act(Action::Pause, SIZE);
        let wanted = state.wanted(SIZE);
        let query = Query { sort: "lag", descending: true, offset: 0, limit: 24 };
        assert_eq!(
            wanted,
            Wanted { paused: true, subscriptions: Some(query), ..Wanted::default() }
        );
    }

    #[test]
    fn a_restart_is_seen_by_the_server_id_and_rates_begin_anew() {
        let mut state = state();
        state.take_poll(samples::poll(2, 1));
        assert!(state.rates.is_none() && !state.restarted);
        state.take_poll(samples::poll(2, 2));
        assert!(state.rates.is_some());
        let mut other = samples::poll(2, 1);
        other.status.server_id = Printable::new("0000000000000001");
        state.take_poll(other);
        assert!(state.rates.is_none() && state.restarted);
        let mut other = samples::poll(2, 2);
        other.status.server_id = Printable::new("0000000000000001");
        state.take_poll(other);
        assert!(state.rates.is_some() && !state.restarted);
    }

    #[test]
    fn a_broker_that_is_gone_is_told_with_its_time_until_it_answers() {
        let mut state = state();
        let begun = Instant::now();
        state.take_failure("gone".to_owned(), begun);
        state.take_failure("gone".to_owned(), begun + Duration::from_secs(12));
        let trouble = state.trouble.as_ref().expect("there is trouble");
        assert_eq!(trouble.lasts, Duration::from_secs(12));
        state.take_poll(samples::poll(1, 1));
        assert_eq!(state.trouble, None);
    }
}
