//! `export`: every value of every format is the stored one, whoever reads it; what has not changed is not touched; the data set is the old or the new one.

mod again;
pub(crate) mod ended;
mod refused;
mod values;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coltape::internals::record::{Means, OrderId, Origin, Ticker, Trade};
use coltape::internals::schema::{Md, TickerTrades, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, Print, data_dir, prints, product, store, ticker};

const SECOND: u64 = 1_000_000_000;

/// Gives a command that exports a tape.
fn export(tape: &Path, out: &Path, args: &[&str]) -> Command {
    let mut command = coltape();
    command.arg("export").arg("--data-dir").arg(tape).arg("--out").arg(out).args(args);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exports, and gives the last line that was said.
fn exported(tape: &Path, out: &Path, args: &[&str]) -> String {
    let output = export(tape, out, args).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout.is_empty());
    said(&output).lines().last().unwrap().to_owned()
}

/// Gives the reason of an export that failed: one line.
fn refused(tape: &Path, out: &Path, args: &[&str]) -> String {
    let output = export(tape, out, args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said = said(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    said.strip_prefix("error: ").unwrap_or_else(|| panic!("{said}")).trim_end().to_owned()
}

/// Trades of `count` ids from noon on, as they come in a bad hour: gaps, REST and Advanced rows without order ids, redundant lines, numbers of 18 digits.
pub(crate) fn mixed(count: u64) -> Vec<Print> {
    let noon = UnixNanos(FIRST_DAY.start().0 + 43_200 * SECOND);
    let mut all = prints(1_000, count, noon, 40_000_000_000_000 / count.max(1_000));
    all.retain(|print| print.trade.trade_id % 1_009 >= 3);
    for print in &mut all {
        let trade = &mut print.trade;
        let line = u8::try_from(trade.trade_id % 3).unwrap();
        trade.origin = Origin::new(Means::Live, line, 0);
        match trade.trade_id % 11 {
            0 => {
                (trade.maker_order_id, trade.taker_order_id) = (OrderId::NIL, OrderId::NIL);
                (trade.sequence, trade.recv, trade.origin) = (0, UnixNanos(0), Origin::new(Means::Rest, 0, 0));
            }
            1 => {
                (trade.maker_order_id, trade.taker_order_id) = (OrderId::NIL, OrderId::NIL);
                trade.origin = Origin::new(Means::Snapshot, line, 1);
            }
            2 => trade.origin = Origin::new(Means::Tape, 15, 1),
            3 => trade.size = coltape::internals::decimal::parse(format!("0.0000{:014}", trade.trade_id).as_bytes()).unwrap(),
            _ => {}
        }
    }
    all
}

/// Makes a ticker of a trade, as different feeds send them: without a side, a size, a sequence, or sizes of quotes.
fn mixed_ticker(print: &Print) -> Ticker {
    let mut made = ticker(print);
    match print.trade.trade_id % 7 {
        0 => (made.side, made.sequence, made.trade_id) = (None, 0, 0),
        1 => (made.best_bid_size, made.best_ask_size) = (f64::NAN, f64::NAN),
        2 => made.volume = coltape::internals::decimal::Decimal::NONE,
        _ => {}
    }
    made
}

/// Stores such trades and their tickers.
pub(crate) fn store_mixed(tape: &Path, all: &[Print], options: StoreOptions) {
    let dir = data_dir(tape, options);
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
    let tickers: Vec<Ticker> = all.iter().filter(|print| print.has_ticker).map(mixed_ticker).collect();
    store::<Trades>(&dir, &product(), &trades);
    store::<Md>(&dir, &product(), &tickers);
    let with_trades: Vec<Ticker> = tickers.into_iter().filter(Ticker::carries_trade).collect();
    store::<TickerTrades>(&dir, &product(), &with_trades);
}

/// What the data set is: each file with its bytes, and what tells that it was not touched.
#[derive(Debug, Clone, PartialEq)]
struct FileState {
    inode: u64,
    modified: (i64, i64),
    bytes: Vec<u8>,
}

/// Gives the files of a data set by their paths, without the manifest and what is unfinished.
fn files(out: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut found = BTreeMap::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('_') {
                folders.push(path);
            } else if path.is_file() && !name.starts_with('_') {
                let found_as = std::fs::metadata(&path).unwrap();
                let modified = (found_as.mtime(), found_as.mtime_nsec());
                let state = FileState { inode: found_as.ino(), modified, bytes: std::fs::read(&path).unwrap() };
                found.insert(path.strip_prefix(out).unwrap().to_owned(), state);
            }
        }
    }
    found
}

/// Reads the manifest.
fn manifest(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(out.join("_coltape_export.json")).unwrap()).unwrap()
}

/// Asserts that every file that the manifest names is there and is what it says. Gives their paths.
fn assert_manifest_holds(out: &Path) -> Vec<PathBuf> {
    let files = files(out);
    let named = manifest(out)["files"].as_array().unwrap().clone();
    let check = |entry: &serde_json::Value| {
        let path = PathBuf::from(entry["path"].as_str().unwrap());
        let file = files.get(&path).unwrap_or_else(|| panic!("{} is named and not there", path.display()));
        assert_eq!(entry["bytes"], file.bytes.len(), "{}", path.display());
        assert_eq!(entry["crc32c"], format!("{:08x}", crc32c::crc32c(&file.bytes)), "{}", path.display());
        path
    };
    named.iter().map(check).collect()
}
