//! How long the page takes for a frame of a million trades, in a browser that draws without a graphics processor. It measures, so `scripts/page_frames.sh`
//! runs it alone.

use coltape::internals::decimal::parse;
use coltape::internals::record::{OrderId, Side, Trade};
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;
use serde_json::json;

use super::driver::shared;
use crate::market::{FIRST_DAY, data_dir, product, store};
use crate::served::Served;

/// Trades of the view.
const IN_VIEW: u64 = 1_000_000;
/// Milliseconds between the first trade of the tape and the last one; the view is the middle five sixths of them.
const SPAN_MS: u64 = 6 * 3_600_000;
/// Frames that are measured.
const FRAMES: usize = 24;
/// The most that one may take, in milliseconds.
const MOST_MS: f64 = 300.0;

/// A walk of the price, sizes of many orders of magnitude, both sides.
fn trades(count: u64) -> Vec<Trade> {
    let (prices, sizes): (Vec<_>, Vec<_>) = (
        (0..4_000).map(|step| parse(format!("{}.{:02}", 60_000 + step / 100, step % 100).as_bytes()).unwrap()).collect(),
        (1..500).map(|step| parse(format!("0.{:08}", step * step * step % 99_999_989 + 1).as_bytes()).unwrap()).collect(),
    );
    let mut random = fastrand::Rng::with_seed(7);
    let mut at = 2_000_i64;
    (0..count)
        .map(|number| {
            at = (at + random.i64(-3..=3)).clamp(0, 3_999);
            let time = UnixNanos(FIRST_DAY.start().0 + number * (SPAN_MS * 1_000_000 / count));
            Trade {
                trade_id: number + 1,
                time,
                recv: UnixNanos(time.0 + 2_000_000),
                price: prices[usize::try_from(at).unwrap()],
                size: sizes[random.usize(0..sizes.len())],
                side: if random.bool() { Side::Buy } else { Side::Sell },
                sequence: 7 * number + 7,
                maker_order_id: OrderId([1; 16]),
                taker_order_id: OrderId([2; 16]),
                ..Trades::EMPTY
            }
        })
        .collect()
}

/// Moves the chart to and fro. Each time is from the key until the browser wants the frame behind the one that shows the move.
const MOVES: &str = "
    window.frames_seen = { whole: [], drawn: [] };
    const chart = document.getElementById('chart');
    const move = (left) => {
        if (left === 0) { window.frames_seen.is_done = true; return; }
        requestAnimationFrame(() => {
            const begun = performance.now();
            document.body.dispatchEvent(new KeyboardEvent('keydown', { key: left % 2 ? '+' : '-', bubbles: true }));
            requestAnimationFrame(() => requestAnimationFrame(() => {
                window.frames_seen.whole.push(performance.now() - begun);
                window.frames_seen.drawn.push(Number(chart.dataset.frame));
                // What the move has asked for comes first.
                setTimeout(() => move(left - 1), 150);
            }));
        });
    };
    move(arguments[0]);";

#[test]
#[ignore = "scripts/page_frames.sh runs it: it measures"]
fn a_frame_of_a_million_trades_takes_less_than_300_ms() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    store::<Trades>(&data_dir(&data, StoreOptions::default()), &product(), &trades(IN_VIEW * 6 / 5));
    let served = Served::start(&data, &[]);
    let browser = shared.take_turn();
    let start = FIRST_DAY.start().0;
    let at = |part: u64| UnixNanos(start + SPAN_MS * 1_000_000 / 12 * part);
    browser.open(&format!("http://{}/?product=BTC-USD&view=trades&from={}&to={}", served.address, at(1), at(11)));
    let chart = "document.getElementById('chart').dataset";
    browser
        .await_that(&format!("{chart}.mode === 'trades' && Number({chart}.trades) >= {IN_VIEW} && document.getElementById('busy').hidden"));
    browser.run(MOVES, &[json!(FRAMES)]);
    browser.await_that("window.frames_seen.is_done");
    let trades = browser.value(&format!("Number({chart}.trades)"));
    let seen = browser.value("window.frames_seen");
    let sorted = |name: &str| {
        let mut all: Vec<f64> = seen[name].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (whole, drawn) = (sorted("whole"), sorted("drawn"));
    println!(
        "{trades} trades: of {FRAMES} frames the middle one took {:.0} ms, the longest {:.0} ms; the page's own part {:.0} ms and {:.0} ms",
        whole[FRAMES / 2],
        whole[FRAMES - 1],
        drawn[FRAMES / 2],
        drawn[FRAMES - 1],
    );
    assert!(whole[FRAMES - 1] <= MOST_MS, "{whole:?}");
}
