//! The query of a list: the measure to sort by, the order, and the page.

use blipmq::broker::inspect::{ConnectionsBy, List, Question, SubscriptionsBy, TopicsBy};
use blipmq::config::Choice;

/// Rows of a page without `limit`.
const LIMIT_DEFAULT: usize = 50;
/// Most rows of a page.
const LIMIT_MAX: usize = 1_000;
/// Rows that pages can reach: a core sorts so many rows for a question.
const REACH_MAX: usize = 10_000;

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The question to the cores.
    pub question: Question,
    /// The name of the measure.
    pub sort: &'static str,
    /// Rows before this page.
    pub offset: usize,
    /// Rows of this page.
    pub limit: usize,
}

/// The list that a path serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/api/v1/connections`
    Connections,
    /// `/api/v1/subscriptions`
    Subscriptions,
    /// `/api/v1/topics`
    Topics,
}

impl Kind {
    /// The measures by which the list can be sorted.
    fn names(self) -> Vec<&'static str> {
        fn all<C: Choice>() -> Vec<&'static str> {
            C::NAMES.iter().map(|(name, _)| *name).collect()
        }
        match self {
            Kind::Connections => all::<ConnectionsBy>(),
            Kind::Subscriptions => all::<SubscriptionsBy>(),
            Kind::Topics => all::<TopicsBy>(),
        }
    }

    fn list(self, sort: &str) -> Option<List> {
        Some(match self {
            Kind::Connections => List::Connections(ConnectionsBy::named(sort)?),
            Kind::Subscriptions => List::Subscriptions(SubscriptionsBy::named(sort)?),
            Kind::Topics => List::Topics(TopicsBy::named(sort)?),
        })
    }
}

impl Page {
    /// Parses `sort=lag&order=asc&limit=10&offset=20`, each part of which may be missing. The error
    /// says what is allowed.
    pub fn parse(kind: Kind, query: &str) -> Result<Page, String> {
        let names = kind.names();
        let mut sort = names[0];
        let mut ascending = false;
        let (mut limit, mut offset) = (LIMIT_DEFAULT, 0);
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "sort" => {
                    let known = names.iter().find(|known| **known == value);
                    sort = known
                        .ok_or_else(|| format!("sort={value}: use one of {}", names.join(", ")))?;
                }
                "order" => {
                    ascending = match value {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(format!("order={value}: use asc or desc")),
                    };
                }
                "limit" => limit = number(name, value, 1, LIMIT_MAX)?,
                "offset" => offset = number(name, value, 0, REACH_MAX)?,
                _ => return Err(format!("{name}: use sort, order, limit and offset")),
            }
        }
        if offset + limit > REACH_MAX {
            return Err(format!(
                "offset={offset} and limit={limit} reach beyond the first {REACH_MAX} rows: sort by \
                 another measure, or in the other order"
            ));
        }
        let list = kind.list(sort).expect("`sort` is one of the names");
        let question = Question { list, ascending, rows_max: offset + limit };
        Ok(Page { question, sort, offset, limit })
    }
}

fn number(name: &str, value: &str, from: usize, to: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| format!("{name}={value}: use a whole number from {from} to {to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_query_has_the_first_fifty_rows_by_the_first_measure() {
        let page = Page::parse(Kind::Subscriptions, "").unwrap();
        assert_eq!((page.sort, page.offset, page.limit), ("dropped", 0, 50));
        let list = List::Subscriptions(SubscriptionsBy::Dropped);
        assert_eq!(page.question, Question { list, ascending: false, rows_max: 50 });
    }

    #[test]
    fn each_part_is_read_and_the_question_includes_the_rows_before_the_page() {
        let page = Page::parse(Kind::Topics, "limit=10&sort=name&offset=20&order=asc").unwrap();
        assert_eq!((page.sort, page.offset, page.limit), ("name", 20, 10));
        assert_eq!((page.question.ascending, page.question.rows_max), (true, 30));
        assert!(Page::parse(Kind::Topics, "limit=1000&offset=9000").is_ok());
    }

    #[test]
    fn every_error_says_what_is_allowed() {
        for (kind, query, error) in [
            (Kind::Topics, "sort=lag", "sort=lag: use one of rate, published, kept_bytes, name"),
            (Kind::Connections, "order=up", "order=up: use asc or desc"),
            (Kind::Connections, "limit=0", "limit=0: use a whole number from 1 to 1000"),
            (Kind::Connections, "limit=1001", "limit=1001: use a whole number from 1 to 1000"),
            (Kind::Connections, "offset=-1", "offset=-1: use a whole number from 0 to 10000"),
            (Kind::Connections, "page=2", "page: use sort, order, limit and offset"),
            (
                Kind::Connections,
                "offset=9951",
                "offset=9951 and limit=50 reach beyond the first 10000 rows: sort by another \
                 measure, or in the other order",
            ),
        ] {
            assert_eq!(Page::parse(kind, query).unwrap_err(), error, "{query}");
        }
    }
}
