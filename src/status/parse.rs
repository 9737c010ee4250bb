//! Reads the file's JSON back. It may hold anything.
//!
//! 1. What is missing, or of another type, has its default: an old file, one of a later version and a damaged one are read alike.
//! 2. Lists and texts are cut where they are longer than anything that a capture writes. A text that nests deeper than the format does is refused before it
//!    is parsed.

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::report::{Disk, DownConnection, LagMillis, LastError, ProductStatus, Queue, RaisedAlert, RunState, StatusReport};
use crate::json::is_shallow;
use crate::time::{Timestamp, UnixNanos, parse_rfc3339};

/// Characters of a text that are kept.
const MAX_TEXT: usize = 400;
/// Items of a list that are kept.
const MAX_ITEMS: usize = 10_000;
/// How deep the format nests: an object, a list, an object; with some to spare.
const MAX_DEPTH: usize = 8;

impl StatusReport {
    /// Reads the text of a file; nothing where it is not a JSON object with a state and a process id.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if !is_shallow(text, MAX_DEPTH) {
            return None;
        }
        let mut text = text.to_vec();
        let value = simd_json::to_borrowed_value(&mut text).ok()?;
        let fields = Fields(&value);
        let none = BorrowedValue::default();
        let part = |key: &str| Fields(value.get(key).unwrap_or(&none));
        let (connections, queue) = (part("connections"), part("queue"));
        Some(Self {
            program: fields.text("program"),
            pid: u32::try_from(fields.optional("pid")?).ok()?,
            state: RunState::from_name(value.get_str("state")?)?,
            endpoint: fields.text("endpoint"),
            started: fields.time("started").unwrap_or_default(),
            written: fields.time("written").unwrap_or_default(),
            connections_up: connections.count("up"),
            connections: connections.count("wanted"),
            down: connections.list("down", |of| DownConnection {
                connection: of.text("connection"),
                lasts_s: of.count("lasts_s"),
                why: of.text("why"),
            }),
            messages_per_s: fields.number("messages_per_s"),
            trades_per_s: fields.number("trades_per_s"),
            tickers_per_s: fields.number("tickers_per_s"),
            messages: fields.count("messages"),
            trades: fields.count("trades"),
            tickers: fields.count("tickers"),
            rejected: fields.count("rejected"),
            shed: fields.count("shed"),
            conflicts: fields.count("conflicts"),
            lag_ms: value.get("lag_ms").filter(|lag| lag.is_object()).map(Fields).map(|lag| LagMillis {
                p50: lag.number("p50"),
                p99: lag.number("p99"),
                worst: lag.number("worst"),
            }),
            queue: Queue { waiting: queue.count("waiting"), capacity: queue.count("capacity"), product: queue.text("product") },
            missing_ids: fields.count("missing_ids"),
            last_error: value
                .get("last_error")
                .map(Fields)
                .and_then(|error| Some(LastError { time: error.time("time")?, text: error.text("text") })),
            alerts: fields.list("alerts", |of| RaisedAlert {
                alert: of.text("alert"),
                subject: of.text("subject"),
                text: of.text("text"),
                lasts_s: of.count("lasts_s"),
                remedy: of.text("remedy"),
            }),
            problems: texts(value.get("problems")),
            disk: value.get("disk").map(Fields).and_then(|disk| {
                Some(Disk { free_bytes: disk.optional("free_bytes")?, days_until_full: disk.optional_number("days_until_full") })
            }),
            memory_bytes: fields.optional("memory_bytes"),
            products: fields.list("products", product),
        })
    }
}

fn product(of: Fields<'_>) -> ProductStatus {
    ProductStatus {
        product: of.text("product"),
        state: of.text("state"),
        trades: of.count("trades"),
        trades_per_s: of.number("trades_per_s"),
        last_trade_id: of.optional("last_trade_id"),
        last_trade: of.time("last_trade"),
        last_trade_age_s: of.optional_number("last_trade_age_s"),
        last_ticker_age_s: of.optional_number("last_ticker_age_s"),
        missing_ids: of.count("missing_ids"),
        queue: of.count("queue"),
    }
}

/// The fields of an object, or of something that is none.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a BorrowedValue<'a>);

impl<'a> Fields<'a> {
    fn text(self, key: &str) -> String {
        cut(self.0.get_str(key).unwrap_or_default())
    }

    fn optional(self, key: &str) -> Option<u64> {
        self.0.get_u64(key)
    }

    fn count(self, key: &str) -> u64 {
        self.optional(key).unwrap_or(0)
    }

    /// Reads a finite number; a capture writes no other.
    fn optional_number(self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(ValueAsScalar::cast_f64).filter(|number| number.is_finite())
    }

    fn number(self, key: &str) -> f64 {
        self.optional_number(key).unwrap_or(0.0)
    }

    fn time(self, key: &str) -> Option<UnixNanos> {
        parse_rfc3339(self.0.get_str(key)?.as_bytes()).ok().and_then(Timestamp::to_unix)
    }

    fn list<T>(self, key: &str, item: impl Fn(Fields<'a>) -> T) -> Vec<T> {
        self.0.get_array(key).into_iter().flatten().take(MAX_ITEMS).map(|value| item(Fields(value))).collect()
    }
}

fn texts(value: Option<&BorrowedValue<'_>>) -> Vec<String> {
    let items = value.and_then(|value| value.as_array()).into_iter().flatten();
    items.take(MAX_ITEMS).filter_map(|item| item.as_str()).map(cut).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> StatusReport {
        StatusReport {
            program: "coltape 0.1.0".to_owned(),
            pid: 4711,
            state: RunState::Running,
            endpoint: "exchange wss://somewhere".to_owned(),
            started: UnixNanos(1_700_000_000_000_000_000),
            written: UnixNanos(1_700_000_100_000_000_001),
            connections_up: 1,
            connections: 2,
            down: vec![DownConnection { connection: "line:0.1".to_owned(), lasts_s: 4, why: "refused\n\u{1b}[31m\"".to_owned() }],
            messages_per_s: 12.5,
            trades_per_s: 7.25,
            tickers_per_s: 0.125,
            messages: 1,
            trades: 2,
            tickers: 3,
            rejected: 4,
            shed: 5,
            conflicts: 6,
            lag_ms: Some(LagMillis { p50: 0.25, p99: 1.5, worst: 20.0 }),
            queue: Queue { waiting: 7, capacity: 50_000, product: "BTC-USD".to_owned() },
            missing_ids: 8,
            last_error: Some(LastError { time: UnixNanos(1_700_000_050_000_000_000), text: "connect_failed".to_owned() }),
            alerts: vec![RaisedAlert {
                alert: "lag_above_1_s".to_owned(),
                subject: String::new(),
                text: "2000 ms".to_owned(),
                lasts_s: 9,
                remedy: "look".to_owned(),
            }],
            problems: vec!["1 of 2 connections work".to_owned()],
            disk: Some(Disk { free_bytes: 10 << 30, days_until_full: Some(3.5) }),
            memory_bytes: Some(11),
            products: vec![
                ProductStatus { product: "ETH-USD".to_owned(), state: "waiting".to_owned(), ..ProductStatus::default() },
                ProductStatus {
                    product: "BTC-USD".to_owned(),
                    state: "recorded".to_owned(),
                    trades: 12,
                    trades_per_s: 0.5,
                    last_trade_id: Some(u64::MAX),
                    last_trade: Some(UnixNanos(1_700_000_099_000_000_000)),
                    last_trade_age_s: Some(1.0),
                    last_ticker_age_s: Some(0.5),
                    missing_ids: 8,
                    queue: 7,
                },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(StatusReport::parse(full().json().as_bytes()), Some(full()));
        let least = StatusReport { pid: 1, ..StatusReport::default() };
        assert_eq!(StatusReport::parse(least.json().as_bytes()), Some(least));
    }

    #[test]
    fn a_file_that_is_cut_anywhere_or_holds_something_else_is_no_report() {
        let text = full().json();
        for end in 0..text.trim_end().len() {
            assert_eq!(StatusReport::parse(&text.as_bytes()[..end]), None, "cut at {end}");
        }
        let deep = ["[".repeat(5_000_000), format!("{{\"pid\":1,\"state\":\"running\",\"x\":{}", "{\"a\":".repeat(1_000_000))];
        for other in ["", "null", "[]", "{}", "7", "{\"pid\":-1,\"state\":\"running\"}", "{\"pid\":1,\"state\":7}", &deep[0], &deep[1]] {
            assert_eq!(StatusReport::parse(other.as_bytes()), None);
        }
        // Brackets in a text do not nest.
        assert!(StatusReport::parse(format!("{{\"pid\":1,\"state\":\"running\",\"x\":\"\\\"{}\"}}", "[".repeat(99)).as_bytes()).is_some());
    }

    #[test]
    fn a_file_of_another_version_has_what_it_says() {
        let text = r#"{"format":9,"new":{"a":[1]},"pid":7,"state":"running","alerts":{"a":1},"problems":[7,"text"],"lag_ms":3,"disk":null,
            "products":[{"product":"A-B"},7,null],"messages_per_s":"many","trades_per_s":3}"#;
        let read = StatusReport::parse(text.as_bytes()).expect("a report");
        assert_eq!((read.pid, read.state, read.alerts.len(), read.problems), (7, RunState::Running, 0, vec!["text".to_owned()]));
        assert_eq!((read.products.len(), read.products[0].product.as_str(), read.trades_per_s), (3, "A-B", 3.0));
        let long = format!("{{\"pid\":7,\"state\":\"running\",\"endpoint\":\"{}\"}}", "é".repeat(9999));
        assert_eq!(StatusReport::parse(long.as_bytes()).expect("a report").endpoint.chars().count(), MAX_TEXT);
    }

    proptest! {
        #[test]
        fn no_bytes_harm_the_reader(at in any::<prop::sample::Index>(), new in prop::collection::vec(any::<u8>(), 0..20), taken in 0_usize..20) {
            let mut text = full().json().into_bytes();
            let at = at.index(text.len());
            let end = (at + taken).min(text.len());
            text.splice(at..end, new);
            if let Some(read) = StatusReport::parse(&text) {
                // What was read can be written and read again.
                prop_assert_eq!(StatusReport::parse(read.json().as_bytes()).map(|again| again.pid), Some(read.pid));
            }
        }
    }
}
