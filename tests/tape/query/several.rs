//! `query` of several products: their records in order of time, and the columns that are not stored.

use std::path::Path;

use coltape::internals::product::ProductId;
use coltape::internals::query::{Format, QueryConfig, QueryError, query_with_notes};
use coltape::internals::record::Trade;
use coltape::internals::schema::{Dataset, Md, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;

use super::{SECOND, ask, noon, table_and_notes, with};
use crate::market::{FIRST_DAY, data_dir, prints, store, ticker};

const NAMES: [&str; 3] = ["BTC-USD", "ETH-USD", "AAA-USD"];

fn product(name: &str) -> ProductId {
    ProductId::new(name).expect("a product")
}

/// Trades of three products over a midnight. Times are equal between products, repeat within one, and now and then fall.
fn trades_of(name: &str) -> Vec<Trade> {
    let start = UnixNanos(FIRST_DAY.next().start().0 - 60 * SECOND);
    let (first, step) = match name {
        "BTC-USD" => (1000, SECOND),
        "ETH-USD" => (1, 2 * SECOND),
        _ => (1_000_000, SECOND / 2),
    };
    let mut all: Vec<Trade> = prints(first, 90, start, step).into_iter().map(|print| print.trade).collect();
    for at in (7..90).step_by(13) {
        let fallen = UnixNanos(all[at].time.0 - 5 * SECOND / 2);
        if fallen.day() == all[at].time.day() && fallen > start {
            all[at].time = fallen;
        }
    }
    all
}

fn tape() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_dir(folder.path(), StoreOptions::default());
    for name in NAMES {
        store::<Trades>(&data, &product(name), &trades_of(name));
    }
    folder
}

fn config(dir: &Path, names: &[&str]) -> QueryConfig {
    with(QueryConfig::new(dir, product(names[0])), |asked| {
        asked.products = names.iter().map(|name| product(name)).collect();
        asked.format = Format::Csv;
        asked.columns = vec!["trade_id".into()];
    })
}

/// The records in the order that is promised, found in another way: a record is not before one of its product with a lower id, nor on another day.
fn expected(names: &[&str], admits: impl Fn(&Trade) -> bool) -> Vec<String> {
    let mut keyed = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let mut latest = UnixNanos(0);
        for trade in trades_of(name).iter().filter(|trade| admits(trade)) {
            latest = if latest.day() == trade.time.day() { latest.max(trade.time) } else { trade.time };
            keyed.push((latest, number, format!("{name},{}", trade.trade_id)));
        }
    }
    keyed.sort_by_key(|(time, number, _)| (*time, *number));
    keyed.into_iter().map(|(_, _, line)| line).collect()
}

fn lines(config: &QueryConfig) -> Vec<String> {
    ask(config).lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn records_of_several_products_come_in_order_of_time_and_ids_never_fall() {
    let folder = tape();
    for names in [&NAMES[..2], &NAMES[..], &["AAA-USD", "ETH-USD", "BTC-USD"]] {
        let asked = config(folder.path(), names);
        assert_eq!(ask(&asked).lines().next(), Some("product,trade_id"));
        let want = expected(names, |_| true);
        assert_eq!(want.len(), 90 * names.len());
        assert_eq!(lines(&asked), want);
        for count in [0, 1, 5, 89, 91, 200, 1000] {
            let limited = with(asked.clone(), |asked| asked.limit = Some(count as u64));
            assert_eq!(lines(&limited), want[..count.min(want.len())], "the first {count}");
            let tail = with(asked.clone(), |asked| asked.tail = Some(count as u64));
            assert_eq!(lines(&tail), want[want.len() - count.min(want.len())..], "the last {count}");
        }
        let (from, to) = (UnixNanos(FIRST_DAY.next().start().0 - 20 * SECOND), UnixNanos(FIRST_DAY.next().start().0 + 30 * SECOND));
        let ranged = with(asked, |asked| (asked.from, asked.to) = (Some(from), Some(to)));
        assert_eq!(lines(&ranged), expected(names, |trade| trade.time >= from && trade.time < to));
    }
}

#[test]
fn the_product_comes_first_or_where_it_is_asked_for() {
    let folder = tape();
    let two = config(folder.path(), &NAMES[..2]);
    let first_line = |columns: &[&str], format: Format, config: &QueryConfig| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let asked = with(config.clone(), |asked| (asked.columns, asked.format, asked.limit) = (columns, format, Some(1)));
        ask(&asked).lines().next().expect("a line").to_owned()
    };
    assert_eq!(first_line(&["trade_id", "product"], Format::Csv, &two), "trade_id,product");
    assert!(first_line(&[], Format::Csv, &two).starts_with("product,trade_id,trade_time,"));
    assert_eq!(first_line(&["trade_id"], Format::Jsonl, &two), r#"{"product":"BTC-USD","trade_id":1000}"#);
    assert!(first_line(&[], Format::Table, &two).starts_with("product  event time "));
    let one = config(folder.path(), &NAMES[..1]);
    assert_eq!(first_line(&["product", "trade_id"], Format::Csv, &one), "product,trade_id");
    assert!(first_line(&[], Format::Csv, &one).starts_with("trade_id,"));
    let wide = with(two, |asked| (asked.columns, asked.format, asked.width) = (Vec::new(), Format::Table, Some(80)));
    let (table, told) = table_and_notes(&wide);
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    for column in Dataset::Trades.columns().iter().filter(|column| !column.name.contains("time") && column.name != "trade_nanos") {
        assert!(table.contains(column.name) != told.iter().any(|note| note.contains(column.name)), "{}: {told:?}", column.name);
    }
}

#[test]
fn the_event_time_is_readable_in_every_format_and_dataset() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_dir(folder.path(), StoreOptions::default());
    let mut all = prints(1, 1, noon(), SECOND);
    all[0].trade.time = UnixNanos(noon().0 + 1);
    store::<Trades>(&data, &product("BTC-USD"), &[all[0].trade]);
    store::<Md>(&data, &product("BTC-USD"), &[ticker(&all[0])]);
    let answer = |dataset: Dataset, column: &str, format: Format, raw: bool| {
        let asked = with(config(folder.path(), &["BTC-USD"]), |asked| {
            (asked.dataset, asked.columns, asked.format, asked.raw) = (dataset, vec![column.to_owned()], format, raw);
        });
        ask(&asked)
    };
    const TIME: &str = "2025-06-07T12:00:00.000000001Z";
    for dataset in [Dataset::Trades, Dataset::Md] {
        for raw in [false, true] {
            assert_eq!(answer(dataset, "event_time", Format::Csv, raw), format!("event_time\n{TIME}\n"));
            assert_eq!(answer(dataset, "event_time", Format::Jsonl, raw), format!("{{\"event_time\":\"{TIME}\"}}\n"));
            assert_eq!(answer(dataset, "event_time", Format::Table, raw).lines().nth(1), Some(TIME));
        }
    }
    assert_eq!(answer(Dataset::Trades, "time", Format::Csv, false), format!("time\n{TIME}\n"));
    assert_eq!(answer(Dataset::Trades, "time", Format::Table, false).lines().nth(1), Some(TIME));
    let seconds = (noon().0 / SECOND).to_string();
    assert_eq!(answer(Dataset::Md, "time", Format::Csv, false), format!("time\n{seconds}\n"), "a stored column stays what it is");
}

#[test]
fn a_product_without_records_of_that_time_is_named_and_one_that_is_unknown_is_refused() {
    let folder = tape();
    let data = data_dir(folder.path(), StoreOptions::default());
    store::<Trades>(&data, &product("NEW-USD"), &[prints(1, 1, UnixNanos(noon().0 + 10 * 86_400 * SECOND), SECOND)[0].trade]);
    let asked = with(config(folder.path(), &["BTC-USD", "NEW-USD"]), |asked| asked.to = Some(FIRST_DAY.next().start()));
    let (mut out, mut told) = (Vec::new(), Vec::new());
    let count = query_with_notes(&asked, &|| true, &mut out, &mut |note| told.push(note.to_owned())).expect("answered");
    assert_eq!(count, trades_of("BTC-USD").iter().filter(|trade| trade.time.day() == FIRST_DAY).count() as u64);
    assert!(matches!(told.as_slice(), [note] if note.contains("NEW-USD") && note.contains("2025-06-17")), "{told:?}");
    for names in [&["BTC-USD", "ETHUSD"][..], &["ETHUSD", "BTC-USD"]] {
        let refused = query_with_notes(&config(folder.path(), names), &|| true, &mut Vec::new(), &mut |_| {}).expect_err("refused");
        assert!(matches!(&refused, QueryError::Tape(_)) && refused.to_string().contains("did you mean ETH-USD?"), "{refused}");
    }
}

#[test]
fn an_answer_without_a_record_says_so() {
    let folder = tape();
    let quiet = UnixNanos(FIRST_DAY.start().0 + SECOND);
    let asked = with(config(folder.path(), &NAMES[..1]), |asked| {
        asked.to = Some(quiet);
        asked.from = Some(FIRST_DAY.start());
    });
    let (text, told) = table_and_notes(&asked);
    assert_eq!((text.as_str(), told.len()), ("trade_id\n", 1), "{told:?}");
    assert!(told[0].contains("no record matches"));
    let none_asked = with(asked, |asked| asked.limit = Some(0));
    assert!(table_and_notes(&none_asked).1.is_empty());
}
