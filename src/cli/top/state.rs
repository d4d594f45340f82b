//! The state of the screen: the newest answers, their rates, and the user's position.
//!
//! Called by `mod`, with actions and poll results. Drawn by `view`. Pure: times are arguments.

use std::time::{Duration, Instant};

use ratatui::layout::Size;

use super::input::Action;
use super::navigation::{Sort, View};
use super::poll::{Lists, Poll, PollRequest};
use super::rates::{Losses, Rates};
use super::view;
use crate::cli::admin::Query;
use crate::cli::admin::model::{Cores, Status};

/// The most rows of a list that the broker returns.
const LIST_LEN_MAX: u64 = 10_000;

/// The user's position in a view.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    sort: usize,
    is_reversed: bool,
    /// The first row on the screen.
    offset: u64,
}

/// A period in which the broker does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    pub text: String,
    /// The time since the first failed poll.
    pub duration: Duration,
    since: Instant,
}

/// The last successful poll.
#[derive(Debug)]
pub struct LastPoll {
    pub at: Instant,
    pub status: Status,
    pub cores: Cores,
}

#[derive(Debug)]
pub struct State {
    /// The URL of the admin API.
    pub base: String,
    pub interval: Duration,
    pub view: View,
    pub help: bool,
    pub paused: bool,
    places: [Place; View::ALL.len()],
    pub last_poll: Option<LastPoll>,
    pub rates: Option<Rates>,
    /// The broker was restarted since the poll before the last.
    pub restarted: bool,
    pub outage: Option<Outage>,
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
            last_poll: None,
            rates: None,
            restarted: false,
            outage: None,
            lists: Lists::default(),
            losses: Losses::default(),
        }
    }

    pub fn sort(&self) -> Sort {
        let place = self.place();
        let sort = self.view.sorts()[place.sort];
        Sort { descending: sort.descending != place.is_reversed, ..sort }
    }

    pub fn offset(&self) -> u64 {
        self.place().offset
    }

    /// Applies an action. Returns `false` if the user quits.
    pub fn apply(&mut self, action: Action, size: Size) -> bool {
        let page = i64::from(view::rows_fit(self, size)).max(1);
        match action {
            Action::Quit if self.help => self.help = false,
            Action::Quit => return false,
            Action::Show(view) => self.view = view,
            Action::NextView => self.view = self.view.cycle(1),
            Action::PreviousView => self.view = self.view.cycle(View::ALL.len() - 1),
            Action::NextSort => {
                let sorts = self.view.sorts().len();
                let place = self.place_mut();
                *place = Place { sort: (place.sort + 1) % sorts, ..Place::default() };
            }
            Action::ReverseOrder => {
                let place = self.place_mut();
                place.is_reversed = !place.is_reversed;
                place.offset = 0;
            }
            Action::Rows(rows) => self.scroll(rows, page),
            Action::Pages(pages) => self.scroll(pages * page, page),
            Action::First => self.scroll(i64::MIN / 2, page),
            Action::Last => self.scroll(i64::MAX / 2, page),
            Action::Pause => self.paused = !self.paused,
            Action::Help => self.help = !self.help,
        }
        true
    }

    /// Stores the results of a poll.
    pub fn set_poll(&mut self, poll: Poll) {
        let Poll { at, status, cores, lists } = poll;
        self.outage = None;
        let mut waited = Duration::ZERO;
        self.rates = None;
        if let Some(before) = &self.last_poll {
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
            self.losses.update(&page.rows, waited.as_secs_f64());
        }
        self.last_poll = Some(LastPoll { at, status, cores });
        self.set_lists(lists);
    }

    /// Stores ranges of lists; lists that were not requested stay.
    pub fn set_lists(&mut self, lists: Lists) {
        let Lists { subscriptions, topics, connections } = lists;
        self.lists.subscriptions = subscriptions.or(self.lists.subscriptions.take());
        self.lists.topics = topics.or(self.lists.topics.take());
        self.lists.connections = connections.or(self.lists.connections.take());
    }

    /// Notes a failed poll; the last results stay on the screen, marked as old.
    pub fn set_failure(&mut self, text: String, at: Instant) {
        let since = self.outage.as_ref().map_or(at, |outage| outage.since);
        let duration = at.saturating_duration_since(since);
        self.outage = Some(Outage { text, duration, since });
    }

    /// Returns the request for the rows that fit on a screen of this size.
    pub fn request(&self, size: Size) -> PollRequest {
        let mut request = PollRequest { paused: self.paused, ..PollRequest::default() };
        // By the height of the whole screen, so that the request stays the same when the lines of an
        // outage take some rows.
        let limit = u64::from(size.height).clamp(1, 1_000);
        let Sort { key: sort, descending } = self.sort();
        let offset = self.offset().min(LIST_LEN_MAX - limit);
        let query = Some(Query { sort, descending, offset, limit });
        match self.view {
            View::Subscribers => request.subscriptions = query,
            View::Topics => request.topics = query,
            View::Connections => request.connections = query,
            View::Overview => {
                let first = |sort| {
                    let limit = u64::from(view::overview::list_rows(size));
                    (limit > 0).then_some(Query { sort, descending: true, offset: 0, limit })
                };
                request.subscriptions = first("lag");
                request.topics = first("rate");
            }
        }
        request
    }

    fn place(&self) -> &Place {
        &self.places[self.view as usize]
    }

    fn place_mut(&mut self) -> &mut Place {
        &mut self.places[self.view as usize]
    }

    fn scroll(&mut self, rows: i64, page: i64) {
        let total = match self.view {
            View::Overview => {
                self.last_poll.as_ref().map_or(0, |last_poll| last_poll.cores.cores.len() as u64)
            }
            View::Subscribers => self.lists.subscriptions.as_ref().map_or(0, |page| page.total),
            View::Topics => self.lists.topics.as_ref().map_or(0, |page| page.total),
            View::Connections => self.lists.connections.as_ref().map_or(0, |page| page.total),
        };
        // The last screen is full.
        let last = (total.min(LIST_LEN_MAX) as i64 - page).max(0);
        let place = self.place_mut();
        place.offset = (place.offset as i64).saturating_add(rows).clamp(0, last) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::admin::model::Printable;
    use crate::cli::top::navigation::{ascending, descending};
    use crate::cli::top::samples;

    const SIZE: Size = Size { width: 80, height: 24 };

    fn state() -> State {
        State::new("http://127.0.0.1:9090".to_owned(), Duration::from_secs(1))
    }

    #[test]
    fn views_cycle_and_each_keeps_its_position() {
        let mut state = state();
        assert!(state.apply(Action::NextSort, SIZE));
        assert_eq!(state.sort(), descending("load"));
        state.apply(Action::ReverseOrder, SIZE);
        assert_eq!(state.sort(), ascending("load"));
        for view in [View::Subscribers, View::Topics, View::Connections, View::Overview] {
            state.apply(Action::NextView, SIZE);
            assert_eq!(state.view, view);
        }
        assert_eq!(state.sort(), ascending("load"));
        state.apply(Action::PreviousView, SIZE);
        assert_eq!((state.view, state.sort()), (View::Connections, descending("queued_bytes")));
        for _ in View::Connections.sorts() {
            state.apply(Action::NextSort, SIZE);
        }
        assert_eq!(state.sort(), descending("queued_bytes"));
    }

    #[test]
    fn quitting_closes_the_help_first() {
        let mut state = state();
        state.apply(Action::Help, SIZE);
        assert!(state.apply(Action::Quit, SIZE) && !state.help);
        assert!(!state.apply(Action::Quit, SIZE));
    }

    #[test]
    fn scrolling_ends_with_a_full_screen_and_within_the_rows_the_broker_lists() {
        let mut state = state();
        state.set_poll(samples::poll(2, 1));
        state.apply(Action::Show(View::Topics), SIZE);
        let fit = u64::from(view::rows_fit(&state, SIZE));
        let total = |state: &mut State, total| {
            state.lists.topics.as_mut().expect("the sample has topics").total = total;
        };
        total(&mut state, 3);
        state.apply(Action::Last, SIZE);
        assert_eq!(state.offset(), 0);
        total(&mut state, 100);
        state.apply(Action::Pages(1), SIZE);
        assert_eq!(state.offset(), fit);
        state.apply(Action::Last, SIZE);
        assert_eq!(state.offset(), 100 - fit);
        state.apply(Action::Rows(1), SIZE);
        assert_eq!(state.offset(), 100 - fit);
        total(&mut state, 1_000_000);
        state.apply(Action::Last, SIZE);
        let query = state.request(SIZE).topics.expect("the view shows topics");
        assert!(query.offset + query.limit <= LIST_LEN_MAX, "{query:?}");
        state.apply(Action::First, SIZE);
        assert_eq!(state.offset(), 0);
    }

    #[test]
    fn only_visible_rows_are_requested() {
        let mut state = state();
        let small = state.request(SIZE);
        assert_eq!(small, PollRequest::default());
        let large = state.request(Size { width: 160, height: 50 });
        assert!(large.subscriptions.is_some() && large.topics.is_some());
        state.apply(Action::Show(View::Subscribers), SIZE);
        state.apply(Action::Pause, SIZE);
        let request = state.request(SIZE);
        let query = Query { sort: "lag", descending: true, offset: 0, limit: 24 };
        assert_eq!(
            request,
            PollRequest { paused: true, subscriptions: Some(query), ..PollRequest::default() }
        );
    }

    #[test]
    fn a_restart_is_recognised_by_the_server_id_and_resets_the_rates() {
        let mut state = state();
        state.set_poll(samples::poll(2, 1));
        assert!(state.rates.is_none() && !state.restarted);
        state.set_poll(samples::poll(2, 2));
        assert!(state.rates.is_some());
        let mut other = samples::poll(2, 1);
        other.status.server_id = Printable::new("0000000000000001");
        state.set_poll(other);
        assert!(state.rates.is_none() && state.restarted);
        let mut other = samples::poll(2, 2);
        other.status.server_id = Printable::new("0000000000000001");
        state.set_poll(other);
        assert!(state.rates.is_some() && !state.restarted);
    }

    #[test]
    fn an_outage_is_shown_with_its_duration_until_the_broker_answers() {
        let mut state = state();
        let begun = Instant::now();
        state.set_failure("gone".to_owned(), begun);
        state.set_failure("gone".to_owned(), begun + Duration::from_secs(12));
        let outage = state.outage.as_ref().expect("an outage");
        assert_eq!(outage.duration, Duration::from_secs(12));
        state.set_poll(samples::poll(1, 1));
        assert_eq!(state.outage, None);
    }
}
