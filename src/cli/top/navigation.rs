//! The views of the screen, and the orders each can be sorted by.
//!
//! Read by `input`, `state` and `view`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Overview,
    Subscribers,
    Topics,
    Connections,
}

/// An order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// What the API calls it.
    pub key: &'static str,
    pub descending: bool,
}

pub const fn falling(key: &'static str) -> Sort {
    Sort { key, descending: true }
}

pub const fn rising(key: &'static str) -> Sort {
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

    /// The first is where it begins. Those of the overview are of the cores, and sorted here.
    pub fn sorts(self) -> &'static [Sort] {
        match self {
            View::Overview => {
                const {
                    &[
                        rising("core"),
                        falling("load"),
                        falling("published"),
                        falling("delivered"),
                        falling("lost"),
                        falling("connections"),
                    ]
                }
            }
            View::Subscribers => {
                const {
                    &[
                        falling("lag"),
                        falling("dropped"),
                        falling("queued_bytes"),
                        falling("queued_messages"),
                        falling("delivered"),
                    ]
                }
            }
            View::Topics => {
                const { &[falling("rate"), falling("published"), falling("kept_bytes"), rising("name")] }
            }
            View::Connections => {
                const {
                    &[
                        falling("queued_bytes"),
                        falling("queued_messages"),
                        falling("lag"),
                        falling("dropped"),
                        falling("published"),
                        falling("delivered"),
                        falling("subscriptions"),
                        falling("age"),
                    ]
                }
            }
        }
    }

    pub fn moved(self, by: usize) -> View {
        View::ALL[(self as usize + by) % View::ALL.len()]
    }
}
