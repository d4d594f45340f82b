//! The views of the screen and their sort orders.
//!
//! Used by `input`, `state` and `view`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Overview,
    Subscribers,
    Topics,
    Connections,
}

/// A sort order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The name of the order in the admin API.
    pub key: &'static str,
    pub descending: bool,
}

pub const fn descending(key: &'static str) -> Sort {
    Sort { key, descending: true }
}

pub const fn ascending(key: &'static str) -> Sort {
    Sort { key, descending: false }
}

impl View {
    pub const ALL: [View; 4] = [View::Overview, View::Subscribers, View::Topics, View::Connections];

    pub fn title(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Subscribers => "Subscribers",
            View::Topics => "Topics",
            View::Connections => "Connections",
        }
    }

    /// Returns the sort orders of the view, the default first. The overview sorts the cores, which
    /// happens in this process; the broker sorts the other lists.
    pub fn sorts(self) -> &'static [Sort] {
        match self {
            View::Overview => {
                const {
                    &[
                        ascending("core"),
                        descending("load"),
                        descending("published"),
                        descending("delivered"),
                        descending("lost"),
                        descending("connections"),
                    ]
                }
            }
            View::Subscribers => {
                const {
                    &[
                        descending("lag"),
                        descending("dropped"),
                        descending("queued_bytes"),
                        descending("queued_messages"),
                        descending("delivered"),
                    ]
                }
            }
            View::Topics => {
                const {
                    &[
                        descending("rate"),
                        descending("published"),
                        descending("kept_bytes"),
                        ascending("name"),
                    ]
                }
            }
            View::Connections => {
                const {
                    &[
                        descending("queued_bytes"),
                        descending("queued_messages"),
                        descending("lag"),
                        descending("dropped"),
                        descending("published"),
                        descending("delivered"),
                        descending("subscriptions"),
                        descending("age"),
                    ]
                }
            }
        }
    }

    pub fn cycle(self, by: usize) -> View {
        View::ALL[(self as usize + by) % View::ALL.len()]
    }
}
