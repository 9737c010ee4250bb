//! The time until the first byte of an answer, on a day of 50 million trades that the server has not been asked about before.

use std::rc::Rc;

use coltape::{ServeConfig, Serving};

use crate::client::ask;
use crate::rounds::{Contest, Entrant};
use crate::sealed_day::SealedDay;

pub const NAME: &str = "first byte: a day of 50 million trades";
pub const JSONL: &str = "coltape: all trades as JSON Lines";
pub const ARROW: &str = "coltape: all trades as Arrow";
pub const NEWEST: &str = "coltape: all trades as CSV, newest first";
pub const IDS: &str = "coltape: ten trades behind an id in the middle";

pub fn contest() -> Contest {
    let day = Rc::new(SealedDay::make());
    let middle = day.trades / 2;
    let asked = [
        (JSONL, "format=jsonl".to_owned()),
        (ARROW, "format=arrow".to_owned()),
        (NEWEST, "format=csv&order=desc".to_owned()),
        (IDS, format!("after_id={middle}&limit=10")),
    ];
    let entrants = asked.map(|(name, question)| {
        let day = Rc::clone(&day);
        let target = format!("/v1/trades?product=BTC-USD&{question}");
        let run = move || {
            // A server that knows nothing of the day yet.
            let serving = Serving::start(ServeConfig::new(day.folder.path())).unwrap();
            let first = ask(serving.address(), &target, false).first;
            serving.stop().unwrap();
            first
        };
        Entrant { name, run: Box::new(run) }
    });
    Contest { name: NAME, per: "ns / answer", elements: 1, entrants: entrants.into() }
}
