//! Candles and figures against DuckDB's SQL on the Parquet export of the same tape, and a sample against fractions in Python.

use coltape::internals::record::{OrderId, Ticker, Trade};
use coltape::internals::schema::{Md, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, data_dir, prints, product, store, ticker};
use crate::python::{output_of, script};

const SECOND: u64 = 1_000_000_000;

#[test]
fn candles_and_figures_are_those_that_sql_finds_in_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    // Around a midnight, with gaps, trades that only REST had, and sizes of more digits than an f64 has.
    let begin = UnixNanos(FIRST_DAY.next().start().0 - 6_000 * SECOND);
    let mut all = prints(5_000, 8_000, begin, 1_700_000_000);
    all.retain(|print| print.trade.trade_id % 509 >= 2);
    for print in &mut all {
        let trade = &mut print.trade;
        match trade.trade_id % 13 {
            0 => (trade.maker_order_id, trade.taker_order_id, trade.recv) = (OrderId::NIL, OrderId::NIL, UnixNanos(0)),
            5 => trade.size = coltape::internals::decimal::parse(format!("0.0000{:014}", trade.trade_id * 987_654_321).as_bytes()).unwrap(),
            7 => trade.size = coltape::internals::decimal::parse(b"0.00000001").unwrap(),
            _ => {}
        }
    }
    let dir = data_dir(&tape, StoreOptions::default());
    store::<Trades>(&dir, &product(), &all.iter().map(|print| print.trade).collect::<Vec<Trade>>());
    let quotes = all.iter().filter(|print| print.has_ticker).map(|print| {
        let (id, mut made) = (print.trade.trade_id, ticker(print));
        made.best_bid = coltape::internals::decimal::parse(format!("{}.{:02}", 130_990 + id % 997, id * 37 % 100).as_bytes()).unwrap();
        made
    });
    store::<Md>(&dir, &product(), &quotes.collect::<Vec<Ticker>>());
    let mut export = coltape();
    output_of(export.arg("export").arg("--data-dir").arg(&tape).arg("--out").arg(&out).args(["--dataset", "trades,md"]));
    let program = coltape().get_program().to_owned();
    let said = output_of(script("answers_by_sql.py").arg(program).arg(&tape).arg(&out).arg(product().as_str()));
    let counts: Vec<u64> = said.split_whitespace().map(|count| count.parse().unwrap()).collect();
    let [candles, figures, sampled] = counts.try_into().unwrap();
    assert!(candles > 2_500 && figures > 15 && sampled > 100, "{said}");
}
