//! `query` over stored days: formats, ranges, tails, orders, live days, and following over a midnight.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coltape::internals::query::{Format, QueryConfig, QueryError, query, query_with_notes};
use coltape::internals::record::{OrderId, Trade};
use coltape::internals::schema::{ColumnSet, Dataset, TickerTrades, Trades};
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{EXACT_TEXTS, JournalFile};
use coltape::internals::store::{Day, Inserted, StoreOptions, seal};
use coltape::internals::time::UnixNanos;

use crate::market::{FIRST_DAY, Print, data_dir, insert, prints, product, store, store_all, ticker};

mod followed;
mod several;

const SECOND: u64 = 1_000_000_000;

fn noon() -> UnixNanos {
    UnixNanos(FIRST_DAY.start().0 + 43_200 * SECOND)
}

/// 600 trades, half of them before a midnight.
fn two_days() -> Vec<Print> {
    prints(1, 600, UnixNanos(FIRST_DAY.next().start().0 - 300 * SECOND), SECOND)
}

fn config(dir: &Path, format: Format) -> QueryConfig {
    with(QueryConfig::new(dir, product()), |asked| asked.format = format)
}

/// The question with a change.
fn with(mut asked: QueryConfig, change: impl FnOnce(&mut QueryConfig)) -> QueryConfig {
    change(&mut asked);
    asked
}

fn ask(config: &QueryConfig) -> String {
    let mut out = Vec::new();
    query(config, &|| true, &mut out).expect("answered");
    String::from_utf8(out).expect("text")
}

/// Gives the trade ids printed.
fn ids(config: &QueryConfig) -> Vec<u64> {
    let only = with(config.clone(), |asked| {
        asked.columns = vec!["trade_id".to_owned()];
        asked.format = Format::Csv;
    });
    ask(&only).lines().skip(1).map(|line| line.parse().expect("an id")).collect()
}

#[test]
fn csv_has_one_header_line_and_every_field_as_it_came() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = two_days();
    store_all(dir.path(), &all, StoreOptions::default());
    let text = ask(&config(dir.path(), Format::Csv));
    let mut lines = text.lines();
    let names: Vec<&str> = Dataset::Trades.columns().iter().map(|column| column.name).collect();
    assert_eq!(lines.next(), Some(names.join(",").as_str()));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 600);
    for (line, print) in lines.iter().zip(&all) {
        let cells: Vec<&str> = line.split(',').collect();
        let trade = print.trade;
        let numbers = [trade.trade_id.to_string(), trade.time.seconds().to_string(), trade.time.subsec_nanos().to_string()];
        assert_eq!(&cells[..3], &numbers);
        assert_eq!(cells[5..8], [trade.side.name(), &trade.maker_order_id.to_string(), &trade.taker_order_id.to_string()]);
        // The shortest decimal of the f64 is the text, trailing zeros aside.
        assert_eq!(
            cells[8..10].iter().map(|cell| cell.parse().ok()).collect::<Vec<Option<f64>>>(),
            [print.price.parse().ok(), print.size.parse().ok()]
        );
        assert_eq!(cells[8], print.price.trim_end_matches('0').trim_end_matches('.'));
        assert_eq!(cells[3].parse(), Ok(trade.price.as_f32));
    }
}

#[test]
fn json_lines_have_every_column_in_order_and_null_for_what_was_not_sent() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let mut row = ticker(&prints(1, 1, noon(), SECOND)[0]);
    (row.best_bid_size, row.side) = (f64::NAN, None);
    store::<coltape::internals::schema::Md>(&data, &product(), &[row]);
    let text = ask(&with(config(dir.path(), Format::Jsonl), |asked| asked.dataset = Dataset::Md));
    let names = Dataset::Md.columns().iter().map(|column| text.find(&format!("\"{}\":", column.name)).expect("a key"));
    assert!(names.is_sorted());
    let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((line["side"].as_str(), line["best_bid_size_f64"].is_null(), line["trade_id"].as_u64()), (Some("unknown"), true, Some(1)));
    assert_eq!(line["price_f64"].as_f64(), Some(row.price.as_f64));
    let csv = ask(&with(config(dir.path(), Format::Csv), |asked| {
        asked.dataset = Dataset::Md;
        asked.columns = vec!["best_bid_size_f64".into(), "trade_id".into()];
    }));
    assert_eq!(csv, "best_bid_size_f64,trade_id\n,1\n");
}

#[test]
fn raw_values_are_codes_and_hex() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = prints(1, 1, noon(), SECOND);
    store_all(dir.path(), &all, StoreOptions::default());
    let columns = vec!["trade_side".to_owned(), "maker_order_id".to_owned()];
    let text = ask(&with(config(dir.path(), Format::Csv), |asked| {
        asked.columns = columns;
        asked.raw = true;
    }));
    let uuid = all[0].trade.maker_order_id.to_string().replace('-', "");
    assert_eq!(text, format!("trade_side,maker_order_id\n{},{uuid}\n", all[0].trade.side.code()));
}

#[test]
fn a_range_has_its_first_moment_and_not_its_last() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = two_days();
    store_all(dir.path(), &all, StoreOptions::default());
    for (from, to) in [(0, 600), (3, 6), (297, 303), (299, 300), (590, 599)] {
        let (from, to) = (all[from].trade.time, all[to.min(599)].trade.time);
        let want: Vec<u64> =
            all.iter().map(|print| print.trade).filter(|trade| (from..to).contains(&trade.time)).map(|trade| trade.trade_id).collect();
        let asked = with(config(dir.path(), Format::Csv), |asked| {
            asked.from = Some(from);
            asked.to = Some(to);
        });
        if from >= to {
            assert!(matches!(query(&asked, &|| true, &mut Vec::new()), Err(QueryError::Tape(_))));
            continue;
        }
        assert_eq!(ids(&asked), want, "{from} to {to}");
        let off_by_one = with(asked, |asked| {
            asked.from = Some(UnixNanos(from.0 + 1));
            asked.to = Some(UnixNanos(to.0 + 1));
        });
        let moved: Vec<u64> =
            all.iter().map(|print| print.trade).filter(|trade| trade.time > from && trade.time <= to).map(|trade| trade.trade_id).collect();
        assert_eq!(ids(&off_by_one), moved, "one nanosecond later");
    }
}

#[test]
fn a_trade_whose_time_falls_is_in_the_range_of_its_own_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all: Vec<Trade> = prints(1, 30, noon(), SECOND).iter().map(|print| print.trade).collect();
    all[20].time = UnixNanos(all[3].time.0 + 1);
    store::<Trades>(&data_dir(dir.path(), StoreOptions::default()), &product(), &all);
    let asked = with(config(dir.path(), Format::Csv), |asked| {
        asked.from = Some(all[3].time);
        asked.to = Some(all[6].time);
    });
    assert_eq!(ids(&asked), [4, 5, 6, 21]);
    let asked = with(config(dir.path(), Format::Csv), |asked| asked.from = Some(all[18].time));
    assert!(!ids(&asked).contains(&21));
}

#[test]
fn limit_takes_the_first_and_tail_the_last_over_midnight() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &two_days(), StoreOptions::default());
    let plain = config(dir.path(), Format::Csv);
    assert_eq!(ids(&with(plain.clone(), |asked| asked.limit = Some(3))), [1, 2, 3]);
    assert_eq!(ids(&with(plain.clone(), |asked| asked.limit = Some(0))), Vec::<u64>::new());
    assert_eq!(ids(&with(plain.clone(), |asked| asked.tail = Some(2))), [599, 600]);
    assert_eq!(ids(&with(plain.clone(), |asked| asked.tail = Some(302))), (299..=600).collect::<Vec<u64>>());
    assert_eq!(ids(&with(plain.clone(), |asked| asked.tail = Some(9999))).len(), 600);
    assert_eq!(ids(&with(plain, |asked| asked.tail = Some(0))), Vec::<u64>::new());
}

#[test]
fn an_orders_trades_are_found_on_either_side_of_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = two_days();
    store_all(dir.path(), &all, StoreOptions::default());
    let of = |order| ids(&with(config(dir.path(), Format::Csv), |asked| asked.order = Some(order)));
    assert_eq!(of(all[302].trade.maker_order_id), [303]);
    assert_eq!(of(all[2].trade.taker_order_id), [3, 4, 5]);
    assert_eq!(of(OrderId([9; 16])), Vec::<u64>::new());
    let md = with(config(dir.path(), Format::Csv), |asked| {
        asked.order = Some(OrderId([9; 16]));
        asked.dataset = Dataset::Md;
    });
    assert!(matches!(query(&md, &|| true, &mut Vec::new()), Err(QueryError::Question(_))));
}

#[test]
fn columns_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 3, noon(), SECOND), StoreOptions::default().columns(ColumnSet::Core));
    let refused = |name: &str| {
        let asked = with(config(dir.path(), Format::Csv), |asked| asked.columns = vec![name.to_owned()]);
        query(&asked, &|| true, &mut Vec::new()).expect_err("refused").to_string()
    };
    assert!(refused("price").contains("there is no column price; there are trade_id"), "{}", refused("price"));
    assert!(refused("trade_price_f64").contains("core columns alone"));
    assert_eq!(ask(&config(dir.path(), Format::Csv)).lines().next().map(|line| line.split(',').count()), Some(8));
    let other = with(config(dir.path(), Format::Csv), |asked| asked.products = vec!["ETH-USD".parse().expect("a product")]);
    assert!(query(&other, &|| true, &mut Vec::new()).expect_err("refused").to_string().contains("which holds BTC-USD"));
}

#[test]
fn a_table_is_aligned_and_fits_the_terminal() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &two_days(), StoreOptions::default());
    let text = ask(&with(config(dir.path(), Format::Table), |asked| asked.width = Some(80)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 601);
    assert!(lines[0].starts_with("event time"), "{}", lines[0]);
    assert!(lines[1].starts_with("2025-06-07T23:55:00.000000Z"), "{}", lines[1]);
    assert!(lines.iter().all(|line| line.len() <= 80), "{}", lines[0]);
    for name in ["trade_id", "trade_side", "trade_price_f64"] {
        assert!(lines[0].contains(name), "{}", lines[0]);
    }
    // Numbers end where their column's name does.
    let end = lines[0].find("trade_id").expect("a column") + "trade_id".len();
    assert!(lines.iter().all(|line| line.as_bytes()[end - 1] != b' ' && line.as_bytes()[end] == b' '));
    let wide = ask(&with(config(dir.path(), Format::Table), |asked| asked.limit = Some(1)));
    assert_eq!(
        wide.lines().next().map(|line| line.split_whitespace().count()),
        Some(Dataset::Trades.columns().len() + 2),
        "the time is two words"
    );
}

#[test]
fn the_spread_of_ticker_trades_is_what_is_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = prints(1, 3, noon(), SECOND);
    let rows: Vec<_> = all.iter().map(ticker).collect();
    store::<TickerTrades>(&data_dir(dir.path(), StoreOptions::default()), &product(), &rows);
    let asked = with(config(dir.path(), Format::Csv), |asked| {
        asked.dataset = Dataset::TickerTrades;
        asked.columns = vec!["trade_spread".into()];
    });
    let want: Vec<String> = rows.iter().map(|row| row.spread().to_string()).collect();
    assert_eq!(ask(&asked).lines().skip(1).collect::<Vec<_>>(), want);
}

#[test]
fn a_late_ticker_trade_has_all_that_was_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let rows: Vec<_> = prints(1, 3, noon(), SECOND).iter().map(ticker).collect();
    store::<TickerTrades>(&data, &product(), &rows[..1]);
    // The day is over: it takes late records only.
    let (mut day, _) = Day::<TickerTrades>::open(&data, &product(), FIRST_DAY, FIRST_DAY.next().next().start()).expect("a day");
    for row in &rows[1..] {
        assert_eq!(insert(&mut day, row), Inserted::Late);
    }
    day.commit();
    let asked = with(config(dir.path(), Format::Csv), |asked| asked.dataset = Dataset::TickerTrades);
    let before = ask(&asked);
    let spreads: Vec<&str> = before.lines().skip(1).filter_map(|line| line.split(',').next_back()).collect();
    assert_eq!(spreads, rows.iter().map(|row| row.spread().to_string()).collect::<Vec<_>>());
    assert!(seal::seal(&data, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    assert_eq!(ask(&asked), before, "merged into the columns it is the same");
}

#[test]
fn a_text_longer_than_an_f64_prints_as_it_came_unless_raw() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = prints(1, 2, noon(), SECOND);
    let long = "0.12345678901234567890";
    all[1].trade.price = coltape::internals::decimal::parse(long.as_bytes()).expect("a decimal");
    store_all(dir.path(), &all, StoreOptions::default());
    let event = Event::Exact { product: product(), column: "trade_price_f64".into(), key: 2, text: long.to_owned() };
    JournalFile::new(dir.path(), EXACT_TEXTS).append(noon(), &event).expect("written");
    let asked = with(config(dir.path(), Format::Jsonl), |asked| {
        asked.columns = vec!["trade_id".into(), "trade_price_f64".into()];
        asked.tail = Some(1);
    });
    assert_eq!(ask(&asked), format!("{{\"trade_id\":2,\"trade_price_f64\":{long}}}\n"));
    assert_eq!(ask(&with(asked, |asked| asked.raw = true)), "{\"trade_id\":2,\"trade_price_f64\":0.12345678901234568}\n");
}

#[test]
fn a_live_day_is_read_with_its_late_records_in_their_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let all: Vec<Trade> = prints(1, 9, noon(), SECOND).iter().map(|print| print.trade).collect();
    let (mut day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    for at in [0, 1, 5, 6, 8] {
        insert(&mut day, &all[at]);
    }
    day.commit();
    assert_eq!(insert(&mut day, &all[3]), Inserted::Late);
    assert_eq!(ids(&config(dir.path(), Format::Csv)), [1, 2, 6, 7, 9]);
    day.commit();
    let plain = config(dir.path(), Format::Csv);
    assert_eq!(ids(&plain), [1, 2, 4, 6, 7, 9]);
    assert_eq!(ids(&with(plain.clone(), |asked| asked.order = Some(all[3].maker_order_id))), [4]);
    assert_eq!(
        ids(&with(plain, |asked| {
            asked.from = Some(all[3].time);
            asked.to = Some(all[6].time);
        })),
        [4, 6]
    );
}

/// A pipe's end that goes away after so many writes.
struct Pipe(usize);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_the_end_and_no_failure() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &two_days(), StoreOptions::default());
    for writes in [0, 1] {
        assert!(query(&config(dir.path(), Format::Csv), &|| true, &mut Pipe(writes)).is_ok());
    }
}

/// What a follower has printed so far.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("printed").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Printed {
    fn ids(&self) -> Vec<u64> {
        let text = String::from_utf8(self.0.lock().expect("printed").clone()).expect("text");
        text.lines().skip(1).filter_map(|line| line.parse().ok()).collect()
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().expect("printed").clone()).expect("text").lines().skip(1).map(str::to_owned).collect()
    }

    fn wait_for_lines(&self, want: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.lines() != want {
            assert!(Instant::now() < deadline, "{:?} and not {want:?}", self.lines());
            std::thread::yield_now();
        }
    }

    fn wait_for(&self, want: &[u64]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.ids() != want {
            assert!(Instant::now() < deadline, "{:?} and not {want:?}", self.ids());
            std::thread::yield_now();
        }
    }
}

/// Ends a follower even where the test fails, which would otherwise wait for it for ever.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn following_prints_what_comes_once_over_late_records_a_seal_and_midnight() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let start = UnixNanos(FIRST_DAY.next().start().0 - 12 * SECOND);
    let all: Vec<Trade> = prints(1, 30, start, SECOND).iter().map(|print| print.trade).collect();
    let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, start).expect("a day");
    for trade in &all[..4] {
        insert(&mut today, trade);
    }
    today.commit();
    let (printed, is_over) = (Printed::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asked = with(config(dir.path(), Format::Csv), |asked| {
            asked.columns = vec!["trade_id".into()];
            asked.follow = true;
            asked.tail = Some(2);
        });
        let (mut out, is_over) = (printed.clone(), &is_over);
        let follower = scope.spawn(move || query(&asked, &|| is_over.load(Ordering::Acquire), &mut out));
        let end = EndOnDrop(is_over);
        let mut want = vec![3, 4];
        printed.wait_for(&want);
        insert(&mut today, &all[6]);
        today.commit();
        want.push(7);
        printed.wait_for(&want);
        insert(&mut today, &all[5]);
        today.commit();
        want.push(6);
        printed.wait_for(&want);
        // Midnight: the new day begins, the old one is sealed with its late record in its place and opened again.
        let (mut tomorrow, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY.next(), all[12].time).expect("a day");
        insert(&mut tomorrow, &all[12]);
        tomorrow.commit();
        want.push(13);
        printed.wait_for(&want);
        for seal::SealOutcome { sealed, .. } in seal::seal(&data, vec![today.close()]) {
            assert_eq!(sealed.expect("sealed").merged, 1);
        }
        let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, start).expect("a day");
        insert(&mut today, &all[7]);
        today.commit();
        want.push(8);
        printed.wait_for(&want);
        insert(&mut tomorrow, &all[13]);
        tomorrow.commit();
        want.push(14);
        printed.wait_for(&want);
        drop(end);
        assert_eq!(follower.join().expect("ended").expect("answered"), want.len() as u64);
        assert_eq!(printed.ids(), want);
    });
}

#[test]
fn following_a_product_that_has_nothing_yet_waits_for_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let (printed, is_over) = (Printed::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asked = with(config(dir.path(), Format::Csv), |asked| {
            asked.columns = vec!["trade_id".into()];
            asked.follow = true;
            asked.limit = Some(2);
        });
        let (mut out, is_over) = (printed.clone(), &is_over);
        let follower = scope.spawn(move || query(&asked, &|| is_over.load(Ordering::Acquire), &mut out));
        let all: Vec<Trade> = prints(1, 3, noon(), SECOND).iter().map(|print| print.trade).collect();
        store::<Trades>(&data, &product(), &all);
        assert_eq!(follower.join().expect("ended").expect("answered"), 2);
        assert_eq!(printed.ids(), [1, 2]);
    });
}

#[test]
fn following_from_before_midnight_on_prints_today_though_tomorrows_files_are_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let all: Vec<Trade> = prints(1, 3, noon(), SECOND).iter().map(|print| print.trade).collect();
    let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    insert(&mut today, &all[0]);
    today.commit();
    Day::<Trades>::prepare(&data, &product(), FIRST_DAY.next(), 100).expect("made ahead");
    let (printed, is_over) = (Printed::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asked = with(config(dir.path(), Format::Csv), |asked| {
            asked.columns = vec!["trade_id".into()];
            asked.follow = true;
            asked.tail = Some(0);
        });
        let (mut out, is_over) = (printed.clone(), &is_over);
        scope.spawn(move || query(&asked, &|| is_over.load(Ordering::Acquire), &mut out));
        let _end = EndOnDrop(is_over);
        let deadline = Instant::now() + Duration::from_secs(60);
        while printed.0.lock().expect("printed").is_empty() {
            assert!(Instant::now() < deadline, "the header is printed");
            std::thread::yield_now();
        }
        // The header is written with the first look; the second one follows by itself.
        std::thread::sleep(Duration::from_millis(200));
        insert(&mut today, &all[1]);
        today.commit();
        printed.wait_for(&[2]);
    });
}

#[test]
fn following_up_to_a_time_that_is_past_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &two_days(), StoreOptions::default());
    let asked = with(config(dir.path(), Format::Csv), |asked| {
        asked.follow = true;
        asked.to = Some(FIRST_DAY.next().start());
    });
    let mut out = Vec::new();
    assert_eq!(query(&asked, &|| false, &mut out).expect("answered"), 300);
}

#[test]
fn a_day_that_cannot_be_opened_is_an_error_and_an_empty_one_is_none() {
    for harm in ["the page is cut", "the page is torn", "a column is gone, and the page"] {
        let dir = tempfile::tempdir().expect("a folder");
        store_all(dir.path(), &two_days(), StoreOptions::default());
        let folder = dir.path().join("BTC-USD/TRADES");
        let page = folder.join(format!("commit.{FIRST_DAY}.bin"));
        match harm {
            "the page is cut" => std::fs::write(&page, [0; 100]).expect("written"),
            "the page is torn" => {
                let mut bytes = std::fs::read(&page).expect("read");
                bytes[9] ^= 1;
                std::fs::write(&page, bytes).expect("written");
            }
            _ => {
                std::fs::remove_file(&page).expect("removed");
                std::fs::remove_file(folder.join(format!("trade_size.{FIRST_DAY}.bin"))).expect("removed");
            }
        }
        let refused = query(&config(dir.path(), Format::Csv), &|| true, &mut Vec::new());
        assert!(matches!(refused, Err(QueryError::Store(_))), "{harm}: {refused:?}");
        let tail = with(config(dir.path(), Format::Csv), |asked| asked.tail = Some(301));
        assert!(query(&tail, &|| true, &mut Vec::new()).is_err(), "{harm}");
        let other = with(config(dir.path(), Format::Csv), |asked| asked.from = Some(FIRST_DAY.next().start()));
        assert_eq!(ids(&other).len(), 300, "the other day is not concerned");
        for file in std::fs::read_dir(&folder).expect("listed").flatten() {
            if file.file_name().to_string_lossy().contains(&FIRST_DAY.to_string()) {
                std::fs::write(file.path(), []).expect("emptied");
            }
        }
        assert_eq!(ids(&config(dir.path(), Format::Csv)).len(), 300, "as a death left it that came before the first record");
    }
}

#[test]
fn days_with_and_without_the_exact_columns_are_printed_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let (full, core): (Vec<Print>, Vec<Print>) = two_days().into_iter().partition(|print| print.trade.time.day() == FIRST_DAY);
    store_all(dir.path(), &full, StoreOptions::default());
    store_all(dir.path(), &core, StoreOptions::default().columns(ColumnSet::Core));
    let asked = with(config(dir.path(), Format::Csv), |asked| asked.columns = vec!["trade_id".into(), "trade_price_f64".into()]);
    let text = ask(&asked);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 600);
    assert!(lines[..300].iter().all(|line| !line.ends_with(',')) && lines[300..].iter().all(|line| line.ends_with(',')), "{}", lines[300]);
}

/// Asks, and gives the table and what was said about it.
fn table_and_notes(config: &QueryConfig) -> (String, Vec<String>) {
    let (mut out, mut told) = (Vec::new(), Vec::new());
    query_with_notes(config, &|| true, &mut out, &mut |note| told.push(note.to_owned())).expect("answered");
    (String::from_utf8(out).expect("text"), told)
}

#[test]
fn at_every_width_a_column_is_shown_or_named() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 3, noon(), SECOND), StoreOptions::default());
    for dataset in Dataset::ALL {
        let whole = with(config(dir.path(), Format::Table), |asked| asked.dataset = dataset);
        for width in (1..320).map(Some).chain([None]) {
            let (table, told) = table_and_notes(&with(whole.clone(), |asked| asked.width = width));
            let header: Vec<&str> = table.lines().next().expect("a header").split_whitespace().collect();
            assert!(header.starts_with(&["event", "time"]), "{header:?}");
            assert!(width.is_some() || told.is_empty(), "into a pipe nothing is dropped: {told:?}");
            let named: Vec<&str> = told.iter().flat_map(|note| note.split([' ', ',', ':'])).collect();
            for column in dataset.columns() {
                let is_time = matches!(column.name, "time" | "nanos" | "trade_time" | "trade_nanos");
                let (is_shown, is_named) = (header.contains(&column.name), named.contains(&column.name));
                // On a terminal the readable time stands for the columns of the time.
                assert!(
                    is_shown != is_named || (is_time && width.is_some() && !is_named),
                    "{} at {width:?}: {header:?} {told:?}",
                    column.name
                );
            }
        }
        for format in [Format::Csv, Format::Jsonl] {
            let asked = with(whole.clone(), |asked| (asked.format, asked.width) = (format, Some(20)));
            let (text, told) = table_and_notes(&asked);
            assert!(told.is_empty() && dataset.columns().iter().all(|column| text.contains(column.name)), "{text}");
        }
    }
}

#[test]
fn the_readable_time_stays_whatever_columns_are_asked_for_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 3, noon(), SECOND), StoreOptions::default());
    for dataset in Dataset::ALL {
        let names: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
        for first in &names {
            for second in &names {
                for width in [Some(80), None] {
                    let columns = vec![(*first).to_owned(), (*second).to_owned()];
                    let asked = with(config(dir.path(), Format::Table), |asked| {
                        (asked.dataset, asked.columns, asked.width) = (dataset, columns, width)
                    });
                    let (table, told) = table_and_notes(&asked);
                    let has_time = [first, second].into_iter().any(|name| matches!(*name, "time" | "nanos" | "trade_time" | "trade_nanos"));
                    let row = table.lines().nth(1).expect("a row");
                    assert_eq!(row.contains("2025-06-07T12:00:00.000000Z"), has_time, "{first},{second} at {width:?}: {row}");
                    assert!(told.is_empty(), "what was asked for is all shown");
                    let raw = with(asked, |asked| asked.raw = true);
                    assert_eq!(
                        table_and_notes(&raw).0.lines().next().map(|line| line.split_whitespace().count()),
                        Some(2),
                        "stored values alone"
                    );
                }
            }
        }
    }
}
