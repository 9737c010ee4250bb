//! The time until the first byte of an answer, on a day of 50 million trades that the server has not been asked about before.
//!
//! Records are given while they are read, so what counts is the first byte of the body. Other answers are made of the whole day: what counts is the first byte
//! of the head, with which a client knows that it is being answered; the first byte of the body stands beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use coltape::{ServeConfig, Serving};

use crate::client::{Portion, ask};
use crate::rounds::{Contest, Entrant, Measured};
use crate::sealed_day::SealedDay;

pub const NAME: &str = "first byte: a day of 50 million trades";

/// What is asked for, and whether it is records.
pub const ASKED: [(&str, &str, bool); 20] = [
    ("all trades as JSON Lines", "/v1/trades?product=BTC-USD&format=jsonl", true),
    ("all trades as Arrow", "/v1/trades?product=BTC-USD&format=arrow", true),
    ("all trades as CSV, newest first", "/v1/trades?product=BTC-USD&format=csv&order=desc", true),
    ("ten trades behind an id in the middle", "/v1/trades?product=BTC-USD&after_id={middle}&limit=10", true),
    ("trades of a minute", "/v1/trades?product=BTC-USD&from=2024-10-04T12:00:00Z&to=2024-10-04T12:01:00Z", false),
    ("products", "/v1/products", false),
    ("coverage", "/v1/coverage", false),
    ("candles of a minute", "/v1/candles?product=BTC-USD", false),
    ("candles of a minute, an hour", "/v1/candles?product=BTC-USD&from=2024-10-04T12:00:00Z&to=2024-10-04T13:00:00Z", false),
    ("orders of a minute", "/v1/orders?product=BTC-USD&from=2024-10-04T12:00:00Z&to=2024-10-04T12:01:00Z", false),
    ("stats", "/v1/stats?product=BTC-USD", false),
    ("stats of an hour", "/v1/stats?product=BTC-USD&from=2024-10-04T12:00:00Z&to=2024-10-04T13:00:00Z", false),
    ("live", "/v1/live?product=BTC-USD", false),
    ("REST: /products", "/products", false),
    ("REST: /products/BTC-USD/trades", "/products/BTC-USD/trades?limit=100", false),
    ("REST: /products/BTC-USD/candles", "/products/BTC-USD/candles", false),
    ("REST: /products/BTC-USD/candles, a day", "/products/BTC-USD/candles?granularity=3600&start=2024-10-04&end=2024-10-05", false),
    ("REST: /products/BTC-USD/candles, an hour", "/products/BTC-USD/candles?start=2024-10-04T12:00:00Z&end=2024-10-04T13:00:00Z", false),
    ("REST: /products/BTC-USD/ticker", "/products/BTC-USD/ticker", false),
    (
        "/replay-normalized of a minute",
        "/replay-normalized?options=%7B%22exchange%22:%22coinbase%22,%22symbols%22:%5B%22BTC-USD%22%5D,%22dataTypes%22:%5B%22trade%22%5D,\
         %22from%22:%222024-10-04T12:00:00Z%22,%22to%22:%222024-10-04T12:01:00Z%22%7D",
        false,
    ),
];

/// Holds the contest.
pub fn hold(day: &Rc<SealedDay>, rounds: usize, measured: &mut Measured) {
    let mut bodies = Vec::new();
    let entrants = ASKED.map(|(name, target, is_records)| {
        let (day, body) = (Rc::clone(day), Rc::new(Cell::new(Duration::ZERO)));
        bodies.push((name, is_records, Rc::clone(&body)));
        let target = target.replace("{middle}", &(day.trades / 2).to_string());
        let run = move || {
            // A server that knows nothing of the day yet.
            let serving = Serving::start(ServeConfig::new(day.folder.path())).unwrap();
            let received = ask(serving.address(), &target, Portion::First);
            // An answer that is made of the whole day may still be on its way.
            let _ = serving.stop();
            body.set(received.first);
            if is_records { received.first } else { received.head }
        };
        Entrant { name, run: Box::new(run) }
    });
    Contest { name: NAME, per: "ns / answer", elements: 1, entrants: entrants.into() }.hold(rounds, measured);
    for (name, _, body) in bodies.iter().filter(|(_, is_records, _)| !is_records) {
        measured.note(NAME, &format!("{name}: body"), "ns / answer", body.get().as_nanos() as f64);
    }
}
