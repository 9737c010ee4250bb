//! `coltape.py`'s frames: pandas, polars and pyarrow show the same values, pyarrow without a copy, and null where the feed sent nothing.

use coltape::internals::record::{OrderId, Ticker, Trade};
use coltape::internals::schema::{ColumnSet, Md, TickerTrades, Trades};
use coltape::internals::store::{Day, StoreOptions};
use coltape::internals::time::UnixNanos;

use super::{output_of, python, script};
use crate::market::{FIRST_DAY, data_dir, insert, prints, product, store, ticker};

/// 300 trades of one day, of which some have no order ids, sequence or receive time.
fn trades() -> Vec<Trade> {
    let all = prints(1, 300, UnixNanos(FIRST_DAY.start().0 + 1_000_000_007), 1_000_000_000);
    all.into_iter()
        .map(|print| match print.trade.trade_id % 10 {
            0 => Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, sequence: 0, recv: UnixNanos(0), ..print.trade },
            _ => print.trade,
        })
        .collect()
}

/// The tickers of the day. Some have no trade, some no sizes of the quote.
fn tickers() -> Vec<Ticker> {
    let all = prints(1, 300, UnixNanos(FIRST_DAY.start().0 + 1_000_000_007), 1_000_000_000);
    all.iter()
        .map(|print| match print.trade.trade_id % 10 {
            0 => Ticker { volume: coltape::internals::decimal::Decimal::NONE, side: None, trade_id: 0, sequence: 0, ..ticker(print) },
            5 => Ticker { best_bid_size: f64::NAN, best_ask_size: f64::NAN, ..ticker(print) },
            _ => ticker(print),
        })
        .collect()
}

fn nulls(dir: &std::path::Path, dataset: &str) -> String {
    output_of(script("frames.py").arg(dir).args(["BTC-USD", dataset, "2025-06-07"])).trim().to_owned()
}

#[test]
fn every_frame_has_the_values_of_the_files_and_null_for_what_was_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_dir(dir.path(), StoreOptions::default());
    store::<Trades>(&data, &product(), &trades());
    store::<Md>(&data, &product(), &tickers());
    store::<TickerTrades>(&data, &product(), &tickers());
    let of_trades = "maker_order_id:30 taker_order_id:30 trade_sequence:30 trade_recv_nanos:30";
    assert_eq!(nulls(dir.path(), "trades"), of_trades);
    assert_eq!(nulls(dir.path(), "md"), "volume:30 trade_id:30 sequence:30 volume_f64:30 best_bid_size_f64:30 best_ask_size_f64:30");
    assert_eq!(nulls(dir.path(), "ticker_trades"), "trade_volume:30");
    // Late records: the columns are merged, so they are arrays of their own.
    let (mut day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, FIRST_DAY.next().start()).unwrap();
    let late = prints(1000, 1, UnixNanos(FIRST_DAY.start().0 + 500_000_000_000), 1)[0].trade;
    insert(&mut day, &late);
    insert(&mut day, &Trade { trade_id: 500, maker_order_id: OrderId::NIL, ..late });
    day.commit();
    assert_eq!(nulls(dir.path(), "trades"), "maker_order_id:31 taker_order_id:30 trade_sequence:30 trade_recv_nanos:30");
}

#[test]
fn the_core_alone_and_an_empty_day_make_frames_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_dir(dir.path(), StoreOptions::default().columns(ColumnSet::Core));
    store::<Trades>(&data, &product(), &trades());
    assert_eq!(nulls(dir.path(), "trades"), "maker_order_id:30 taker_order_id:30");
    let (day, _) = Day::<Md>::open(&data, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    assert_eq!(nulls(dir.path(), "md"), "");
    let count = "import coltape, sys\nprint(len(coltape.day(sys.argv[1], 'BTC-USD', 'md', '2025-06-07')), len(list(coltape.iterate(sys.argv[1], 'BTC-USD', 'md'))))";
    assert_eq!(output_of(python().args(["-c", count]).arg(dir.path())), "0 0\n");
    drop(day);
}
