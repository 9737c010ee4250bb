//! [`Mention`]: what a line of a journal is about, whatever its event: also of events that this version does not know.

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::time::{UnixNanos, UtcDay};

use super::field::{Field, Fields};

/// What a line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) time: UnixNanos,
    pub(crate) event: String,
    pub(crate) product: Option<ProductId>,
    pub(crate) dataset: Option<Dataset>,
    pub(crate) date: Option<UtcDay>,
    /// From the lowest to the highest trade id that it names.
    pub(crate) ids: Option<IdRange>,
}

impl Mention {
    /// Reads a line; nothing where it is none of a journal.
    #[must_use]
    pub(crate) fn of(line: &str) -> Option<Self> {
        let mut line = line.as_bytes().to_vec();
        let fields = Fields::parse(&mut line)?;
        let ids = fields.numbers_ending_with("_id").filter(|id| *id > 0).map(IdRange::one).reduce(IdRange::span);
        Some(Self {
            time: Field::read("time", &fields).ok()?,
            event: fields.text("event")?.to_owned(),
            product: Field::read("product", &fields).ok()?,
            dataset: Field::read("dataset", &fields).ok()?,
            date: Field::read("date", &fields).ok()?,
            ids,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_what_it_names_whether_or_not_its_event_is_known() {
        let line = |rest: &str| format!(r#"{{"time":"2025-06-07T00:00:00Z","event":"of_tomorrow"{rest}}}"#);
        let of = |rest: &str| Mention::of(&line(rest)).expect("a line");
        let plain = of("");
        assert_eq!((plain.event.as_str(), plain.product, plain.ids), ("of_tomorrow", None, None));
        let named = of(r#","product":"BTC-USD","dataset":"md","date":"2025-06-06","from_id":7,"to_id":9,"first_trade_id":0,"products":3"#);
        assert_eq!(named.product.map(|product| product.to_string()).as_deref(), Some("BTC-USD"));
        assert_eq!((named.dataset, named.date), (Some(Dataset::Md), UtcDay::parse("2025-06-06").ok()));
        assert_eq!(named.ids, IdRange::new(7, 9));
        assert_eq!(of(r#","trade_id":5"#).ids, Some(IdRange::one(5)));
        for none in ["", "{}", "[1]", r#"{"time":"yesterday","event":"x"}"#, r#"{"time":"2025-06-07T00:00:00Z"}"#] {
            assert_eq!(Mention::of(none), None, "{none}");
        }
    }
}
