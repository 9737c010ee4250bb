//! The commands as they are typed: formats, what stderr says, exit codes, bad input.

use std::path::Path;
use std::process::Output;

use coltape::internals::schema::Trades;
use coltape::internals::store::StoreOptions;

use super::candles::stored;
use super::exactly::Told;
use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, data_dir, product, store};

const SECOND: u64 = 1_000_000_000;
const COMMANDS: [&str; 3] = ["candles", "stats", "orders"];

fn run(data: &Path, args: &[&str]) -> Output {
    coltape().args(args).arg("--data-dir").arg(data).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A tape of four trades, one of them missing.
fn tape() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told =
        |id: u64| Told { id, time: noon + id * SECOND, price: "100.5".to_owned(), size: "0.25".to_owned(), is_buy: id.is_multiple_of(2) };
    let trades: Vec<_> = [1, 2, 4, 5].map(|id| stored(&told(id))).into();
    store::<Trades>(&data_dir(folder.path(), StoreOptions::default()), &product(), &trades);
    folder
}

#[test]
fn each_command_says_on_stderr_and_in_its_last_line_that_the_time_is_not_whole() {
    let tape = tape();
    for command in COMMANDS {
        let output = run(tape.path(), &[command, "BTC-USD", "--format", "jsonl", "--summary"]);
        assert!(output.status.success());
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(said.contains("BTC-USD: this time is not whole (open): 1 trade missing: id 3 between 2025-06-07T12:00:02"), "{said}");
        let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(
            (last["summary"].as_bool(), last["whole"].as_bool(), last["missing"].as_u64()),
            (Some(true), Some(false), Some(1)),
            "{command}"
        );
        assert_eq!(last["gaps"][0]["first_id"].as_u64(), Some(3));
        assert!(last["gaps"][0]["why"].as_str().is_some_and(|why| why.contains("the journal does not say why")), "{last}");
        // Between two trades whose ids adjoin all is known.
        let whole = ["--from", "2025-06-07T12:00:04.5Z", "--to", "2025-06-07T12:00:05Z"];
        let output = run(tape.path(), &[&[command, "BTC-USD"][..], &whole].concat());
        assert_eq!(output.status.code(), Some(1), "no trade is in it: {}", text(&output.stdout));
        let whole = ["--from", "2025-06-07T12:00:01Z", "--to", "2025-06-07T12:00:02Z", "--format", "jsonl", "--summary"];
        let output = run(tape.path(), &[&[command, "BTC-USD"][..], &whole].concat());
        let last: serde_json::Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
        assert_eq!((last["whole"].as_bool(), last["verdict"].as_str()), (Some(true), Some("whole")), "{command} {last}");
        assert!(!text(&output.stderr).contains("not whole"), "{}", text(&output.stderr));
    }
}

#[test]
fn the_columns_are_those_of_the_contract_in_order() {
    let tape = tape();
    let header = |args: &[&str]| text(&run(tape.path(), args).stdout).lines().next().unwrap_or_default().to_owned();
    assert_eq!(
        header(&["candles", "BTC-USD", "--format", "csv"]),
        "time,open,high,low,close,volume,buy_volume,sell_volume,trades,vwap,trades_per_s,missing"
    );
    assert_eq!(
        header(&["orders", "BTC-USD", "--format", "csv"]),
        "time,last_time,side,fills,makers,levels,size,notional,vwap,worst_price,bid_before,ask_before,quote_age_ms,bid_after,ask_after,slippage_bps,\
        first_trade_id,last_trade_id,taker_order_id"
    );
    let rows = text(&run(tape.path(), &["candles", "BTC-USD", "--interval", "5m", "--format", "csv"]).stdout);
    assert_eq!(rows.lines().nth(1), Some("2025-06-07T12:00:00Z,100.5,100.5,100.5,100.5,1,0.5,0.5,4,100.5,0.013333333333333334,1"));
    let table = text(&run(tape.path(), &["candles", "BTC-USD", "--interval", "5m"]).stdout);
    assert!(table.starts_with("time                   open   high    low  close  volume"), "{table}");
    let stats = text(&run(tape.path(), &["stats", "BTC-USD", "--format", "csv", "--top", "1"]).stdout);
    let stats: Vec<&str> = stats.lines().collect();
    assert!(
        stats[0].starts_with("product,first_time,last_time,trades,volume,notional,vwap,") && stats[1].starts_with("BTC-USD,"),
        "{stats:?}"
    );
    assert_eq!(stats[2..], ["", "time,trade_id,side,price,size,notional", "2025-06-07T12:00:01.000000Z,1,sell,100.5,0.25,25.125"]);
}

#[test]
fn bad_input_gets_one_clear_line() {
    let tape = tape();
    let empty = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let said = |data: &Path, args: &[&str], code: i32| {
            let output = run(data, &[&[command][..], args].concat());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{command} {args:?}: {said}");
            assert!(output.stdout.is_empty(), "{command} {args:?}");
            said
        };
        assert!(said(tape.path(), &["BTCUSD"], 1).contains("did you mean BTC-USD?"));
        assert!(said(empty.path(), &["BTC-USD"], 1).contains("is no tape"));
        assert!(said(tape.path(), &["BTC-USD", "--from", "2025-06-08", "--to", "2025-06-07"], 1).contains("must lie after"));
        assert!(said(tape.path(), &["BTC-USD", "--from", "2025-06-09"], 1).contains("there are days from"));
        assert!(said(tape.path(), &["BTC-USD", "--to", "2025-06-07T01:00:00Z"], 1).contains("no trade of BTC-USD in that time"));
        assert!(said(tape.path(), &["BTC-USD", "--summary"], 2).contains("--format jsonl"));
        assert!(said(tape.path(), &["BTC-USD", "--from", "soon"], 2).contains("is not a time"));
        for args in [&["BTC-USD"][..], &["BTC-USD", "--from", "2025-06-08", "--to", "2025-06-07"]] {
            assert_eq!(said(&empty.path().join("none"), args, 1).lines().count(), 1);
        }
    }
    // A column that is cut.
    let column = tape.path().join("BTC-USD/TRADES/trade_price.2025-06-07.bin");
    std::fs::write(&column, [0; 5]).unwrap();
    for command in COMMANDS {
        let output = run(tape.path(), &[command, "BTC-USD"]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("trade_price.2025-06-07.bin") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_trade_of_another_day_in_a_days_file_is_told_and_not_counted() {
    let tape = tape();
    let folder = tape.path().join("BTC-USD/TRADES");
    std::fs::remove_file(folder.join("commit.2025-06-07.bin")).unwrap();
    let path = folder.join("trade_time.2025-06-07.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&7u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    for command in ["candles", "stats"] {
        let output = run(tape.path(), &[command, "BTC-USD"]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("holds a trade of another day, near id 4"), "{said}");
    }
}
