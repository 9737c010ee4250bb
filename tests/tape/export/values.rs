//! The values: read back by the Parquet crate here, and by pyarrow, Polars and both versions of DuckDB, against the column files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use coltape::internals::query::{Format, QueryConfig, query};
use coltape::internals::record::Ticker;
use coltape::internals::schema::{ColumnSet, Dataset};
use coltape::internals::store::StoreOptions;
use parquet::basic::{Encoding, LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::{export, exported, mixed, mixed_ticker, said, store_mixed};
use crate::capture::programs::{Capture, Simulator, await_that, recording};
use crate::market::{FIRST_DAY, product};
use crate::python::{interpreter, output_of, root, script};

/// How many trades the made-up day has: enough for two row groups where the tests are optimised.
fn trades() -> u64 {
    let asked = std::env::var("COLTAPE_EXPORT_TRADES").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(if cfg!(debug_assertions) { 60_000 } else { 5_000_000 })
}

/// An exported day, to be held against its column files.
struct ExportedDay {
    out: PathBuf,
    form: &'static str,
    types: &'static str,
    of: [String; 3],
    rows: u64,
}

impl ExportedDay {
    fn new(out: &Path, form: &'static str, types: &'static str, of: [&str; 3], rows: u64) -> Self {
        Self { out: out.to_owned(), form, types, of: of.map(str::to_owned), rows }
    }

    /// How many engines read it: both versions of DuckDB, pyarrow as a file and as a data set, and Polars. Of other formats pyarrow and Polars.
    fn engines(&self) -> usize {
        if (self.form, self.types) == ("parquet", "safe") { 5 } else { 2 }
    }
}

/// Lets every engine read the days, and holds each value against the column files.
fn assert_equal(tape: &Path, days: &[ExportedDay]) {
    let newer = root().join("target/venv/duckdb2");
    assert!(newer.exists() && interpreter().exists(), "run scripts/setup_python.sh");
    let asked: String = days.iter().map(|day| format!("{} {} {} {}\n", day.out.display(), day.form, day.types, day.of.join(" "))).collect();
    let input = tape.with_extension("asked");
    std::fs::write(&input, asked).unwrap();
    let compare = |add: &[(&str, &str)]| {
        let mut command = script("same_as_columns.py");
        command.arg(tape).envs(add.iter().copied()).stdin(File::open(&input).unwrap());
        output_of(&mut command)
    };
    let said = compare(&[]) + &compare(&[("PYTHONPATH", newer.to_str().unwrap()), ("DUCKDB_ONLY", "1")]);
    for (number, day) in days.iter().enumerate() {
        let prefix = format!("{number} ");
        let found: BTreeSet<&str> = said.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        assert_eq!(found.len(), day.engines(), "{:?}: {said}", day.of);
        let count = day.rows.to_string();
        assert!(day.rows > 0 && found.iter().all(|line| line.ends_with(&format!(" {count}"))), "{count}: {found:?}");
    }
}

#[test]
fn every_engine_reads_every_value_of_a_bad_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, date) = (folder.path().join("tape"), FIRST_DAY.to_string());
    let all = mixed(trades());
    store_mixed(&tape, &all, StoreOptions::default());
    let tickers: Vec<Ticker> = all.iter().filter(|print| print.has_ticker).map(mixed_ticker).collect();
    let with_trades = tickers.iter().filter(|ticker| ticker.carries_trade()).count() as u64;
    let rows = [("trades", all.len() as u64), ("md", tickers.len() as u64), ("ticker_trades", with_trades)];
    let mut days = Vec::new();
    for (form, types, args) in [
        ("parquet", "safe", &["--dataset", "trades,md,ticker_trades"][..]),
        ("parquet", "rich", &["--types", "rich", "--bloom"]),
        ("parquet", "safe", &["--dataset", "trades", "--encoding", "plain", "--compression", "none"]),
        ("parquet", "safe", &["--dataset", "trades", "--compression", "snappy"]),
        ("arrow", "safe", &["--jobs", "7"]),
        ("arrow", "rich", &["--types", "rich"]),
    ] {
        let out = folder.path().join(days.len().to_string());
        exported(&tape, &out, &[&["--format", form], args].concat());
        for (dataset, count) in rows {
            if out.join(format!("dataset={dataset}")).exists() {
                days.push(ExportedDay::new(&out, form, types, ["BTC-USD", dataset, &date], count));
            }
        }
    }
    assert_eq!(days.len(), 3 + 2 + 1 + 1 + 2 + 2);
    assert_equal(&tape, &days);
}

#[test]
fn a_day_of_the_core_alone_has_the_same_columns_with_nulls() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out, date) = (folder.path().join("tape"), folder.path().join("out"), FIRST_DAY.to_string());
    let all = mixed(3_000);
    store_mixed(&tape, &all, StoreOptions::default().columns(ColumnSet::Core));
    exported(&tape, &out, &[]);
    let tickers = all.iter().filter(|print| print.has_ticker).count() as u64;
    let day = |dataset, rows| ExportedDay::new(&out, "parquet", "safe", ["BTC-USD", dataset, &date], rows);
    assert_equal(&tape, &[day("trades", all.len() as u64), day("md", tickers)]);
    assert_eq!(csv_of(&tape, &folder.path().join("csv"), Dataset::Trades, "2"), asked(&tape, Dataset::Trades));
}

/// Records a session and exports it; every engine reads what the columns hold.
fn assert_session_is_exported(file: &str, feed: &str, products: &[&str]) {
    let Some(path) = recording(file) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let mut simulator = Simulator::start(&["--feed", feed, "--replay", path.to_str().unwrap(), "--linger", "60s"]);
    let websocket = simulator.websocket();
    let args: Vec<&str> = products.iter().copied().chain(["--feed", feed, "--url", &websocket, "--no-backfill"]).collect();
    let capture = Capture::start(&tape, &args);
    simulator.await_totals();
    await_that("the session is stored", || products.iter().all(|product| tape.join(product).join("TRADES").exists()));
    capture.stop();
    drop(simulator);
    exported(&tape, &out, &[]);
    let arrow = folder.path().join("arrow");
    exported(&tape, &arrow, &["--format", "arrow"]);
    let manifest = super::manifest(&out);
    let mut days = Vec::new();
    for day in manifest["files"].as_array().unwrap() {
        let text = |key: &str| day[key].as_str().unwrap();
        let (of, rows) = ([text("product"), text("dataset"), text("date")], day["rows"].as_u64().unwrap());
        days.push(ExportedDay::new(&out, "parquet", "safe", of, rows));
        days.push(ExportedDay::new(&arrow, "arrow", "safe", of, rows));
    }
    assert!(days.len() >= products.len() * 2, "{manifest}");
    assert_equal(&tape, &days);
}

#[test]
fn the_recorded_exchange_session_is_exported_value_by_value() {
    assert_session_is_exported("exchange-2021-04-17.tsv", "exchange", &["SKL-USD", "DASH-BTC"]);
}

#[test]
fn the_recorded_advanced_session_is_exported_value_by_value() {
    assert_session_is_exported("advanced-2026-08-09.tsv", "advanced", &["BTC-USD", "ETH-USD"]);
}

/// Reads a Parquet file with the crate's own reader.
fn open(out: &Path, dataset: &str) -> SerializedFileReader<File> {
    let path = out.join(format!("dataset={dataset}/product=BTC-USD/date={FIRST_DAY}/part-0.parquet"));
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

#[test]
fn the_schema_the_encodings_and_the_metadata_are_those_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_mixed(&tape, &mixed(20_000), StoreOptions::default());
    exported(&tape, &out, &["--bloom"]);
    let file = open(&out, "trades");
    let schema = file.metadata().file_metadata().schema_descr();
    let columns: Vec<String> = schema
        .columns()
        .iter()
        .map(|column| {
            let logical = match column.logical_type_ref() {
                Some(LogicalType::Timestamp(time)) if time.is_adjusted_to_u_t_c && time.unit == TimeUnit::MICROS => " utc micros",
                Some(LogicalType::String) => " string",
                None => "",
                Some(_) => " other",
            };
            let null = if column.self_type().is_optional() { "?" } else { "" };
            format!("{}{null} {}{logical}", column.name(), column.physical_type())
        })
        .collect();
    let want = [
        "time INT64 utc micros",
        "time_ns INT64",
        "recv_ns? INT64",
        "trade_id INT64",
        "sequence? INT64",
        "price? DOUBLE",
        "size? DOUBLE",
        "side? BYTE_ARRAY string",
        "maker_order_id? FIXED_LEN_BYTE_ARRAY",
        "taker_order_id? FIXED_LEN_BYTE_ARRAY",
        "origin? BYTE_ARRAY string",
        "line? INT32",
        "feed? BYTE_ARRAY string",
    ];
    assert_eq!(columns, want);
    let group = file.metadata().row_group(0);
    for column in group.columns() {
        let name = column.column_path().string();
        assert!(column.column_index_offset().is_some() && column.offset_index_offset().is_some(), "{name}: no page index");
        assert!(column.statistics().is_some(), "{name}: no statistics");
        assert_eq!(column.bloom_filter_offset().is_some(), name.ends_with("order_id"), "{name}: Bloom filter");
        let encoding = match name.as_str() {
            "price" | "size" => Encoding::BYTE_STREAM_SPLIT,
            "side" | "origin" | "feed" => Encoding::RLE_DICTIONARY,
            "maker_order_id" | "taker_order_id" => Encoding::PLAIN,
            _ => Encoding::DELTA_BINARY_PACKED,
        };
        assert!(column.encodings().any(|found| found == encoding), "{name}: {encoding}");
        assert!(column.compression().to_string().starts_with("ZSTD"), "{name}");
    }
    let pairs = file.metadata().file_metadata().key_value_metadata().unwrap();
    let value =
        |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(value("coltape.verdict"), "open");
    assert_eq!(value("coltape.version"), env!("CARGO_PKG_VERSION"));
    let ids: Vec<(u64, u64)> = serde_json::from_str(&value("coltape.ids")).unwrap();
    let missing: Vec<(u64, u64)> = serde_json::from_str(&value("coltape.missing")).unwrap();
    assert_eq!((ids.first().unwrap().0, ids.last().unwrap().1), (1_000, 20_999));
    assert_eq!(missing.iter().map(|(first, last)| last - first + 1).sum::<u64>(), 20_000 - u64::try_from(mixed(20_000).len()).unwrap());
    assert_eq!(missing, ids.iter().zip(&ids[1..]).map(|(before, after)| (before.1 + 1, after.0 - 1)).collect::<Vec<_>>());
    let crcs: BTreeMap<String, String> = serde_json::from_str(&value("coltape.source_crc")).unwrap();
    let column = std::fs::read(tape.join(format!("BTC-USD/TRADES/trade_id.{FIRST_DAY}.bin"))).unwrap();
    assert_eq!(crcs["trade_id"], format!("{:08x}", crc32c::crc32c(&column)));
    assert_eq!(value("coltape.increments"), "[]");
    assert_eq!(open(&out, "md").metadata().file_metadata().key_value_metadata().unwrap()[0].value.as_deref(), Some("unverifiable"));
}

#[test]
fn rows_come_in_the_order_of_their_ids_and_a_part_of_a_day_by_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let all = mixed(5_000);
    store_mixed(&tape, &all, StoreOptions::default());
    let (from, to) = (all[1_000].trade.time, all[3_000].trade.time);
    exported(&tape, &out, &["--from", &from.to_string(), "--to", &to.to_string(), "--dataset", "trades"]);
    let file = open(&out, "trades");
    let ids: Vec<i64> = file
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            let row = row.unwrap();
            let column = row.get_column_iter().find(|(name, _)| *name == "trade_id").unwrap();
            if let Field::Long(id) = column.1 { *id } else { panic!("{column:?}") }
        })
        .collect();
    let want = all.iter().map(|print| print.trade).filter(|trade| from <= trade.time && trade.time < to);
    assert_eq!(ids, want.map(|trade| trade.trade_id.cast_signed()).collect::<Vec<i64>>());
    assert_eq!(super::manifest(&out)["files"][0]["from_ns"], from.0);
}

fn asked(tape: &Path, dataset: Dataset) -> String {
    let mut config = QueryConfig::new(tape, product());
    (config.dataset, config.format) = (dataset, Format::Csv);
    let mut text = Vec::new();
    query(&config, &|| true, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn csv_of(tape: &Path, out: &Path, dataset: Dataset, jobs: &str) -> String {
    exported(tape, out, &["--format", "csv", "--dataset", dataset.name(), "--jobs", jobs]);
    let path = format!("dataset={}/product=BTC-USD/date={FIRST_DAY}/part-0.csv", dataset.name());
    std::fs::read_to_string(out.join(path)).unwrap()
}

#[test]
fn csv_is_what_query_prints() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_mixed(&tape, &mixed(20_000), StoreOptions::default());
    // A text that no f64 gives back, as a capture writes it down.
    let line = format!(
        r#"{{"time":"{FIRST_DAY}T12:00:00Z","event":"exact","product":"BTC-USD","column":"trade_size_f64","key":1004,"text":"{}"}}"#,
        "0.0000000000000010040000000000000001"
    );
    std::fs::write(tape.join(format!("_coltape/exact.{FIRST_DAY}.jsonl")), line + "\n").unwrap();
    // One file: its blocks are printed by so many threads.
    for (dataset, jobs) in Dataset::ALL.iter().flat_map(|dataset| ["1", "2", "7"].map(|jobs| (*dataset, jobs))) {
        let text = csv_of(&tape, &folder.path().join(format!("{}.{jobs}", dataset.name())), dataset, jobs);
        assert!(text.lines().count() > 10_000);
        assert!(text == asked(&tape, dataset), "{} by {jobs}", dataset.name());
        assert_eq!(text.contains(",0.0000000000000010040000000000000001,"), dataset == Dataset::Trades, "{}", dataset.name());
    }
}

#[test]
fn late_records_of_a_live_day_are_exported_in_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    let all = mixed(2_000);
    let dir = crate::market::data_dir(&tape, StoreOptions::default());
    let date = FIRST_DAY;
    let (mut day, _) =
        coltape::internals::store::Day::<coltape::internals::schema::Trades>::open(&dir, &product(), date, date.start()).unwrap();
    let (late, timely): (Vec<_>, Vec<_>) = all.iter().partition(|print| print.trade.trade_id % 10 == 4);
    for print in timely.iter().chain(&late) {
        crate::market::insert(&mut day, &print.trade);
    }
    day.commit();
    let left_out = export(&tape, &out, &[]).output().unwrap();
    assert!(said(&left_out).contains("--live") && left_out.status.code() == Some(1), "{}", said(&left_out));
    exported(&tape, &out, &["--live"]);
    let file = open(&out, "trades");
    let ids = file.get_row_iter(None).unwrap().map(|row| row.unwrap().get_column_iter().nth(3).unwrap().1.clone());
    let want = all.iter().map(|print| Field::Long(print.trade.trade_id.cast_signed()));
    assert!(ids.eq(want));
    let sources = super::manifest(&out)["files"][0]["facts"]["sources"][0].clone();
    assert_eq!((sources["state"].as_str(), sources["late"].as_u64()), (Some("live"), Some(late.len() as u64)));
    assert_eq!(csv_of_live(&tape, &folder.path().join("csv")), asked(&tape, Dataset::Trades));
    drop(day);
}

fn csv_of_live(tape: &Path, out: &Path) -> String {
    exported(tape, out, &["--format", "csv", "--live"]);
    std::fs::read_to_string(out.join(format!("dataset=trades/product=BTC-USD/date={FIRST_DAY}/part-0.csv"))).unwrap()
}
