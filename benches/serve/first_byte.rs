//! The time until the first byte of an answer, on a day of 50 million trades.

use std::rc::Rc;

use coltape::{ServeConfig, Serving};

use crate::client::ask;
use crate::day::BenchDay;
use crate::rounds::{Contest, Entrant};

pub const NAME: &str = "first byte: a day of 50 million trades";
pub const JSONL: &str = "coltape: all trades as JSON Lines";
pub const ARROW: &str = "coltape: all trades as Arrow";
pub const NEWEST: &str = "coltape: all trades as CSV, newest first";
pub const IDS: &str = "coltape: ten trades behind an id in the middle";

pub fn contest() -> Contest {
    let day = Rc::new(BenchDay::make());
    let serving = Rc::new(Serving::start(ServeConfig::new(day.folder.path())).unwrap());
    let middle = day.trades / 2;
    let asked = [
        (JSONL, "format=jsonl".to_owned()),
        (ARROW, "format=arrow".to_owned()),
        (NEWEST, "format=csv&order=desc".to_owned()),
        (IDS, format!("after_id={middle}&limit=10")),
    ];
    let entrants = asked.map(|(name, question)| {
        let (day, serving) = (Rc::clone(&day), Rc::clone(&serving));
        let target = format!("/v1/trades?product={}&{question}", day.product);
        Entrant { name, run: Box::new(move || ask(serving.address(), &target, false).first) }
    });
    Contest { name: NAME, per: "ns / answer", elements: 1, entrants: entrants.into() }
}
