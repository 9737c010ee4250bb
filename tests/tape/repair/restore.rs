//! A lost tape, product or day comes back from another box: with all that was known of it, and without its damage.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, Ticker, Trade};
use coltape::internals::repair::repair;
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use coltape::internals::simulate::{SimulateConfig, Simulation};
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::JournalFile;
use coltape::internals::store::{Day, DayState, Inserted, Snapshot, StoreOptions, Syncer};
use coltape::internals::time::{Clock, UnixNanos, UtcDay};
use coltape::internals::verify::{Report as Proof, VerifyConfig, verify};

use super::tape::{
    as_rest, await_that, coltape, config, copy_folder, files, journal, market, memory_folder, repaired, said, sealed, stored, told, trades,
};
use crate::market::{FIRST_DAY, Print, column_path, data_dir, insert, prints, product, rewrite, store, store_all, ticker};

fn proof(path: &Path) -> Proof {
    verify(&VerifyConfig::new(path, Clock::System.now())).unwrap()
}

/// What `verify` says day by day, and what it finds, without the folder's name.
fn verdicts(path: &Path) -> Vec<String> {
    let mut proof = proof(path);
    // A trade that another tape supplied was not received live here.
    proof.days.iter_mut().flat_map(|day| &mut day.datasets).for_each(|dataset| dataset.sums.first_live = None);
    let days =
        proof.days.iter().map(|day| format!("{} {:?} {:?} {:?} {:?}", day.product, day.coverage, day.pairing, day.named, day.datasets));
    let findings = proof.findings.listed().iter().map(|finding| format!("{finding:?}"));
    // How often files were replaced is their own affair.
    let own = path.display().to_string();
    let mut said: Vec<String> = days.chain(findings).map(|text| text.replace(&own, "DIR")).collect();
    for text in &mut said {
        for generation in 0..9 {
            *text = text.replace(&format!("generation: {generation}"), "generation");
        }
    }
    said
}

/// The columns of a day with their bytes.
fn columns<L: Layout>(path: &Path, product: &ProductId, date: UtcDay) -> Vec<(&'static str, Vec<u8>)> {
    let day = Snapshot::<L>::open(path, product, date).unwrap().unwrap_or_else(|| panic!("no {} of {product} {date}", L::DATASET.folder()));
    day.columns().iter().enumerate().map(|(at, column)| (column.name, day.column_bytes(at).to_vec())).collect()
}

fn lines(path: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path.join("_coltape").join(file)).unwrap_or_default();
    // A line that was cut short is none.
    text.lines().filter(|line| !line.starts_with('{') || line.ends_with('}')).map(str::to_owned).collect()
}

/// Cuts the end of a file, as a death in the middle of writing it does.
fn cut(path: &Path, bytes: u64) {
    let length = std::fs::metadata(path).unwrap().len();
    std::fs::File::options().write(true).open(path).unwrap().set_len(length - bytes).unwrap();
}

/// Three days of a market, one trade a minute.
fn three_days() -> Vec<Print> {
    prints(1000, 3 * 1440, FIRST_DAY.start(), 60_000_000_000)
}

fn tickers(prints: &[Print]) -> Vec<Ticker> {
    prints.iter().filter(|print| print.has_ticker).map(ticker).collect()
}

fn dates() -> [UtcDay; 3] {
    [FIRST_DAY, FIRST_DAY.next(), FIRST_DAY.next().next()]
}

#[test]
fn a_lost_tape_comes_back_with_all_that_its_journal_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("lost/own"), folder.path().join("other"));
    let all: Vec<Print> = three_days().into_iter().filter(|print| !(2400..2500).contains(&print.trade.trade_id)).collect();
    store_all(&other, &all, StoreOptions::default());
    let mut seals = JournalFile::new(&other, "journal");
    for date in dates() {
        for dataset in [Dataset::Trades, Dataset::Md, Dataset::TickerTrades] {
            let is_of = |print: &&Print| print.trade.time.day() == date && (dataset == Dataset::Trades || print.has_ticker);
            let records = all.iter().filter(is_of).count() as u64;
            let day = coltape::DayKey { product: product(), dataset, date };
            seals
                .append(
                    UnixNanos(date.next().start().0 + 4_000_000_000_000),
                    &Event::DaySealed { day, records, late_merged: 0, generation: 0 },
                )
                .unwrap();
        }
    }
    seals.finish().unwrap();
    // No capture was running over the second midnight; a trade of the first day was a conflict; the last 51 trades never came.
    let at = |date: UtcDay, nanos: u64| UnixNanos(date.start().0 + nanos);
    let raw = [
        (
            dates()[0],
            format!(r#"{{"time":"{}","event":"capture_started","endpoint":"exchange","products":1,"version":"0.1.0"}}"#, at(dates()[0], 0)),
        ),
        (dates()[0], format!(r#"{{"time":"{}","event":"conflict","product":"BTC-USD","trade_id":1007}}"#, at(dates()[0], 5))),
        (dates()[0], format!(r#"{{"time":"{}","event":"of_a_later_version","product":"BTC-USD","trade_id":1007}}"#, at(dates()[0], 6))),
        (
            dates()[0],
            format!(
                r#"{{"time":"{}","event":"capture_stopped","frames":0,"trades_received":0,"trades_fetched":0,"trades_written":0,"trades_late":0,"trades_duplicate":0,"trades_conflict":0,"trades_shed":0,"trades_rejected":0,"sums":"hold","failure":""}}"#,
                at(dates()[0], 83_000_000_000_000)
            ),
        ),
        (
            dates()[1],
            format!(
                r#"{{"time":"{}","event":"capture_started","endpoint":"exchange","products":1,"version":"0.1.0"}}"#,
                at(dates()[1], 3_600_000_000_000)
            ),
        ),
        (
            dates()[2],
            format!(
                r#"{{"time":"{}","event":"gap_opened","product":"BTC-USD","from_id":5320,"to_id":5370,"why":"heartbeat"}}"#,
                at(dates()[2], 9)
            ),
        ),
    ];
    for (date, line) in &raw {
        let path = other.join("_coltape").join(format!("journal.{date}.jsonl"));
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, format!("{before}{line}\n")).unwrap();
    }
    std::fs::write(
        other.join("_coltape/rejects.2025-06-07.jsonl"),
        "{\"time\":\"2025-06-07T00:00:00Z\",\"event\":\"reject\",\"reason\":\"clock\",\"raw\":\"x\"}\n",
    )
    .unwrap();
    let product_line = r#"{"time":"2025-06-07T00:00:00Z","event":"product","product":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_increment":"0.00000001","quote_increment":"0.01","min_market_funds":"1","status":"online","alias":"","trading_disabled":false,"source":"x"}"#;
    std::fs::write(other.join("_coltape/products.jsonl"), format!("{product_line}\n")).unwrap();
    let mut exact = JournalFile::new(&other, "exact");
    for (column, key) in [("trade_size_f64", 1100), ("price_f64", all[0].trade.sequence)] {
        let event = Event::Exact { product: product(), column: column.into(), key, text: "1234567890.12345678".to_owned() };
        exact.append(all[100].trade.time, &event).unwrap();
    }
    let before = files(&other);
    for run in 0..2 {
        let report = repair(&config(&own, &[&other])).unwrap();
        assert_eq!(report.failures, [""; 0]);
        // Those between the stored ones, and the 51 that the journal of the other tape names behind the last.
        assert_eq!((report.brought.len(), report.missing_ids), (if run == 0 { 9 } else { 0 }, 151), "{:#?}", report.lines());
        assert_eq!(files(&other), before, "another tape is only read");
        assert_eq!(verdicts(&own), verdicts(&other), "run {run}");
        for date in dates() {
            assert_eq!(columns::<Md>(&own, &product(), date), columns::<Md>(&other, &product(), date));
            assert_eq!(columns::<TickerTrades>(&own, &product(), date), columns::<TickerTrades>(&other, &product(), date));
            for (restored, original) in columns::<Trades>(&own, &product(), date).iter().zip(&columns::<Trades>(&other, &product(), date)) {
                assert!(restored.0 == "trade_origin" || restored == original, "{}", restored.0);
            }
        }
        assert!(stored(&own).iter().all(|trade| trade.origin.means() == Some(Means::Tape) && trade.recv.0 != 0));
        for (date, line) in &raw {
            let of_day = lines(&own, &format!("journal.{date}.jsonl"));
            assert_eq!(of_day.iter().filter(|own| *own == line).count(), 1, "run {run}: {line}");
        }
        assert_eq!(lines(&own, "rejects.2025-06-07.jsonl").len(), 1);
        assert_eq!(lines(&own, "products.jsonl"), [product_line]);
        assert_eq!(lines(&own, "exact.2025-06-07.jsonl"), lines(&other, "exact.2025-06-07.jsonl"));
        assert_eq!(lines(&own, "endpoint"), ["exchange wss://test"]);
        // What a repair that died left of the copies. (Texts are on disk before their records are.)
        for file in ["journal.2025-06-07.jsonl", "products.jsonl", "rejects.2025-06-07.jsonl"] {
            cut(&own.join("_coltape").join(file), 9);
        }
    }
    assert_eq!(journal(&own, "day_brought").len(), 9);
}

#[test]
fn a_lost_day_brings_what_the_other_journal_says_of_it_and_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = three_days();
    store_all(&other, &all, StoreOptions::default());
    let here: Vec<Print> = all.iter().filter(|print| print.trade.time.day() != dates()[1]).cloned().collect();
    store_all(&own, &here, StoreOptions::default());
    let started = |product: &str| {
        format!(r#"{{"time":"2025-06-07T00:00:00Z","event":"capture_started","endpoint":"{product}","products":1,"version":"0.1.0"}}"#)
    };
    std::fs::write(own.join("_coltape/journal.2025-06-07.jsonl"), format!("{}\n", started("own"))).unwrap();
    let of = |event: &str| format!(r#"{{"time":"2025-06-08T00:00:00Z","event":{event}}}"#);
    let (about, others): (Vec<String>, Vec<String>) = (
        [
            r#""conflict","product":"BTC-USD","trade_id":2500"#,
            r#""gap_left","product":"BTC-USD","from_id":2500,"to_id":2501"#,
            r#""sequence_restarted","product":"BTC-USD","dataset":"md","date":"2025-06-08","from":7"#,
            r#""write_failed","product":"BTC-USD","error":"x""#,
        ]
        .map(of)
        .into(),
        [
            r#""conflict","product":"BTC-USD","trade_id":1100"#,
            r#""gap_left","product":"BTC-USD","from_id":1000,"to_id":1001"#,
            r#""sequence_restarted","product":"BTC-USD","dataset":"md","date":"2025-06-07","from":7"#,
            r#""conflict","product":"ETH-USD","trade_id":2500"#,
            r#""backfill_started","product":"BTC-USD","from":"2025-06-07T00:00:00Z""#,
            r#""connected","line":"0.0""#,
        ]
        .map(of)
        .into(),
    );
    let text = [&about[..], &others[..], &[started("other")]].concat().join("\n");
    std::fs::write(other.join("_coltape/journal.2025-06-08.jsonl"), format!("{text}\n")).unwrap();
    let report = repaired(&own, &[&other]);
    assert!(report.is_whole() && report.brought.len() == 3, "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), trades(&all));
    assert_eq!(lines(&own, "journal.2025-06-08.jsonl"), about);
}

#[test]
fn damage_of_the_other_tape_is_reported_and_never_copied() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("a flipped byte", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[17] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("a file that is too short", |path| std::fs::File::options().write(true).open(path).unwrap().set_len(9).unwrap()),
        ("a file that is too long", |path| {
            let length = std::fs::metadata(path).unwrap().len();
            std::fs::File::options().write(true).open(path).unwrap().set_len(length + 8).unwrap();
        }),
        ("a file that is gone", |path| std::fs::remove_file(path).unwrap()),
        ("a torn page", |path| {
            let page = path.parent().unwrap().join(format!("commit.{}.bin", dates()[1]));
            std::fs::write(page, [7; 4096]).unwrap();
        }),
    ];
    let (all, folder) = (three_days(), memory_folder());
    let sound = folder.path().join("sound");
    store_all(&sound, &all, StoreOptions::default());
    for dataset in Dataset::ALL {
        let ends = [dataset.columns().first(), dataset.columns().last()].map(|column| column.unwrap().name);
        for column in dataset.columns() {
            for (name, damage) in damages {
                // Every column with a flipped byte, the first and the last one with the others.
                if name != "a flipped byte" && !ends.contains(&column.name) {
                    continue;
                }
                let what = format!("{name} of {}", column.name);
                let (own, other) = (folder.path().join(format!("own {what}")), folder.path().join(format!("other {what}")));
                copy_folder(&sound, &other);
                damage(&column_path(&other, dataset, column.name, dates()[1]));
                let report = repair(&config(&own, &[&other])).unwrap();
                let text = report.lines().join("\n");
                assert!(!report.is_whole() && report.failures.len() == 1, "{what}: {text}");
                assert!(report.failures[0].contains(&dates()[1].to_string()), "{what}: {text}");
                assert_eq!(report.brought.len(), 8, "{what}: {text}");
                assert!(!column_path(&own, dataset, "commit", dates()[1]).exists(), "{what}");
                for date in [dates()[0], dates()[2]] {
                    assert_eq!(columns::<Md>(&own, &product(), date), columns::<Md>(&other, &product(), date), "{what}");
                }
                // From a sound tape the rest comes.
                let report = repair(&config(&own, &[&other, &sound])).unwrap();
                assert!(report.brought.len() == 1 && report.is_whole(), "{what}: {:#?}", report.lines());
                assert_eq!(told(&stored(&own)), trades(&all), "{what}");
                std::fs::remove_dir_all(&own).unwrap();
                std::fs::remove_dir_all(&other).unwrap();
            }
        }
    }
}

#[test]
fn a_day_without_a_commit_page_comes_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = three_days();
    store_all(&other, &all, StoreOptions::default());
    for dataset in Dataset::ALL {
        rewrite(&other, dataset, dates()[1], |_| {});
    }
    for _ in 0..2 {
        let report = repaired(&own, &[&other]);
        assert!(report.is_whole(), "{:#?}", report.lines());
        assert!(report.brought.is_empty() || report.brought.iter().filter(|day| day.is_unproven).count() == 3);
        assert_eq!(verdicts(&own), verdicts(&other), "nothing proves its bytes here either");
    }
    let day = Snapshot::<Trades>::open(&own, &product(), dates()[1]).unwrap().unwrap();
    assert_eq!((day.state(), day.count()), (DayState::Bare, 1440));
}

#[test]
fn a_day_here_without_a_commit_page_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = three_days();
    sealed(&other, &trades(&all));
    sealed(&own, &trades(&all).into_iter().filter(|trade| trade.trade_id != 3000).collect::<Vec<_>>());
    rewrite(&own, Dataset::Trades, dates()[1], |_| {});
    let before = stored(&own);
    let report = repair(&config(&own, &[&other])).unwrap();
    assert!(!report.is_whole() && report.failures.iter().any(|failure| failure.contains("no commit page")), "{:#?}", report.lines());
    assert_eq!(stored(&own), before, "nothing was set aside");
}

#[test]
fn a_day_that_another_capture_is_writing_comes_as_far_as_it_is_and_grows_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = prints(1000, 90, FIRST_DAY.start(), 60_000_000_000);
    let dir = data_dir(&other, StoreOptions::default());
    let mut trades_day = Day::<Trades>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap().0;
    let mut md = Day::<Md>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap().0;
    let mut ticker_trades = Day::<TickerTrades>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap().0;
    let mut syncer = Syncer::new(std::sync::Arc::clone(&dir));
    syncer.watch(trades_day.files());
    syncer.watch(md.files());
    syncer.watch(ticker_trades.files());
    for part in [0..5, 5..30, 30..31, 31..90] {
        // One trade of each part comes late.
        for print in all[part.clone()].iter().skip(1).chain(&all[part.start..part.start + 1]) {
            insert(&mut trades_day, &print.trade);
            if print.has_ticker && print.trade.trade_id != all[part.start].trade.trade_id {
                insert(&mut md, &ticker(print));
                insert(&mut ticker_trades, &ticker(print));
            }
        }
        trades_day.commit();
        md.commit();
        ticker_trades.commit();
        if part.start == 30 {
            syncer.cycle().unwrap();
        }
        let report = repaired(&own, &[&other]);
        assert!(report.is_whole(), "{:#?}", report.lines());
        assert_eq!(told(&stored(&own)), trades(&all[..part.end]));
        for (own, other) in columns::<Md>(&own, &product(), FIRST_DAY).iter().zip(&columns::<Md>(&other, &product(), FIRST_DAY)) {
            assert_eq!(own, other);
        }
        assert_eq!(columns::<TickerTrades>(&own, &product(), FIRST_DAY), columns::<TickerTrades>(&other, &product(), FIRST_DAY));
        assert_eq!(proof(&own).findings.listed().len(), 0);
    }
}

#[test]
fn late_records_of_the_other_tape_come_in_their_place_with_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = prints(1000, 90, FIRST_DAY.start(), 60_000_000_000);
    let dir = data_dir(&other, StoreOptions::default());
    let on_time: Vec<Print> = all.iter().filter(|print| print.trade.trade_id % 10 != 0).cloned().collect();
    store::<Trades>(&dir, &product(), &trades(&on_time));
    store::<Md>(&dir, &product(), &tickers(&all[..60]));
    store::<TickerTrades>(&dir, &product(), &tickers(&all[..60]));
    // Late records beside days that are sealed, as a capture leaves them that was killed.
    let later = UnixNanos(dates()[2].start().0);
    let mut trades_day = Day::<Trades>::open(&dir, &product(), FIRST_DAY, later).unwrap().0;
    all.iter()
        .filter(|print| print.trade.trade_id % 10 == 0)
        .for_each(|print| assert!(matches!(insert(&mut trades_day, &print.trade), Inserted::Late)));
    let mut md = Day::<Md>::open(&dir, &product(), FIRST_DAY, later).unwrap().0;
    let mut ticker_trades = Day::<TickerTrades>::open(&dir, &product(), FIRST_DAY, later).unwrap().0;
    for told in tickers(&all[60..]) {
        insert(&mut md, &told);
        insert(&mut ticker_trades, &told);
    }
    drop((trades_day.close(), md.close(), ticker_trades.close()));
    assert!(repaired(&own, &[&other]).is_whole());
    assert_eq!(told(&stored(&own)), trades(&all));
    let spreads = &columns::<TickerTrades>(&own, &product(), FIRST_DAY)[5].1;
    let want: Vec<u8> = tickers(&all).iter().flat_map(|told| told.spread().to_le_bytes()).collect();
    assert_eq!(spreads, &want);
    let md = Snapshot::<Md>::open(&own, &product(), FIRST_DAY).unwrap().unwrap();
    assert_eq!(md.rows().collect::<Vec<_>>(), tickers(&all));
}

#[test]
fn days_that_were_only_prepared_take_what_comes_and_days_on_which_nothing_happened_stay_empty() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let all: Vec<Print> = three_days().into_iter().filter(|print| print.trade.time.day() != dates()[1]).collect();
    store_all(&other, &all, StoreOptions::default());
    // On the second day nothing happened there. Of the fourth the files were made.
    let dir = data_dir(&other, StoreOptions::default());
    let seal = |key: &coltape::internals::store::DayFiles| {
        assert_eq!(coltape::internals::store::seal::seal_at_rest(&dir, key.key()).unwrap().records, 0)
    };
    let date = dates()[1];
    seal(&Day::<Trades>::open(&dir, &product(), date, date.start()).unwrap().0.close());
    seal(&Day::<Md>::open(&dir, &product(), date, date.start()).unwrap().0.close());
    seal(&Day::<TickerTrades>::open(&dir, &product(), date, date.start()).unwrap().0.close());
    Day::<Trades>::prepare(&dir, &product(), dates()[2].next(), 9).unwrap();
    drop(dir);
    for columns in [ColumnSet::Full, ColumnSet::Core] {
        let own = folder.path().join(format!("{columns:?}"));
        let dir = data_dir(&own, StoreOptions::default().columns(columns));
        for date in dates() {
            Day::<Trades>::prepare(&dir, &product(), date, 9).unwrap();
            Day::<Md>::prepare(&dir, &product(), date, 9).unwrap();
            Day::<TickerTrades>::prepare(&dir, &product(), date, 9).unwrap();
        }
        drop(dir);
        let report = repaired(&own, &[&other]);
        assert!(report.brought.len() == 6, "{:#?}", report.lines());
        assert_eq!(told(&stored(&own)), trades(&all));
        assert_eq!(columns_of(&own, dates()[0]), columns_of(&other, dates()[0]));
        assert!(!repaired(&own, &[&other]).has_changed_anything());
    }
    let new = folder.path().join("new");
    assert_eq!(repaired(&new, &[&other]).brought.len(), 9);
    let day = Snapshot::<Trades>::open(&new, &product(), dates()[1]).unwrap().unwrap();
    assert!(day.count() == 0 && matches!(day.state(), DayState::Sealed { .. }) && day.check().unwrap().is_empty());
    assert!(!repaired(&new, &[&other]).has_changed_anything());
}

/// The columns of a day of tickers.
fn columns_of(path: &Path, date: UtcDay) -> [Vec<(&'static str, Vec<u8>)>; 2] {
    [columns::<Md>(path, &product(), date), columns::<TickerTrades>(path, &product(), date)]
}

#[test]
fn a_damaged_day_of_tickers_is_set_aside_and_brought_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = three_days();
    store_all(&own, &all, StoreOptions::default());
    store_all(&other, &all, StoreOptions::default());
    std::fs::remove_file(column_path(&own, Dataset::Md, "best_ask", dates()[1])).unwrap();
    assert!(repaired(&own, &[&other]).is_whole());
    assert_eq!(columns::<Md>(&own, &product(), dates()[1]), columns::<Md>(&other, &product(), dates()[1]));
    assert!(own.join("_coltape/quarantine/BTC-USD/MD").is_dir());
    assert_eq!(journal(&own, "day_opened").iter().filter(|line| line["how"] == "quarantined").count(), 1);
}

#[test]
fn a_trade_that_is_dated_wrongly_there_keeps_no_day_from_coming() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = trades(&three_days());
    sealed(&other, &all);
    // On the second day a copy of a trade of the first, and one of another year.
    rewrite(&other, Dataset::Trades, dates()[1], |rows| {
        let copy = rows[0].clone();
        rows.insert(0, copy);
        rows[0][0] = 2000u64.to_le_bytes().to_vec();
        let seconds = dates()[0].start().seconds().to_le_bytes().to_vec();
        rows[7][1] = seconds;
    });
    let report = repair(&config(&own, &[&other])).unwrap();
    assert_eq!(report.missing_ids, 1, "{:#?}", report.lines());
    assert!(!report.is_whole() && report.disagreements == 1, "{:#?}", report.lines());
    let want: Vec<Trade> = all.iter().filter(|trade| trade.trade_id != 1000 + 1440 + 6).copied().collect();
    assert_eq!(told(&stored(&own)), want);
}

#[test]
fn columns_and_dates_are_those_of_the_other_tape_where_nothing_is_here() {
    use coltape::internals::time::DateFormat;
    let folder = tempfile::tempdir().unwrap();
    let all = three_days();
    for (columns, date_format) in
        [(ColumnSet::Core, DateFormat::Dmy), (ColumnSet::Full, DateFormat::Iso), (ColumnSet::Core, DateFormat::Iso)]
    {
        let own = folder.path().join(format!("{columns:?}{date_format:?}"));
        let other = own.with_extension("other");
        store_all(&other, &all, StoreOptions::default().columns(columns).date_format(date_format));
        assert!(repaired(&own, &[&other]).is_whole());
        let names = |path: &Path| {
            let of = |path: &Path| files(path).into_keys().map(|file| file.strip_prefix(path).unwrap().to_owned()).collect::<Vec<_>>();
            of(&path.join("BTC-USD"))
        };
        assert_eq!(names(&own), names(&other));
        assert_eq!(verdicts(&own), verdicts(&other));
    }
}

#[test]
fn what_is_no_tape_or_one_of_another_market_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, sandbox, empty) = (folder.path().join("tape"), folder.path().join("sandbox"), folder.path().join("empty"));
    let all = trades(&market(60));
    sealed(&tape, &all);
    let dir =
        std::sync::Arc::new(coltape::internals::store::DataDir::open(&sandbox, StoreOptions::default(), "exchange wss://sandbox").unwrap());
    store::<Trades>(&dir, &product(), &all);
    drop(dir);
    std::fs::create_dir_all(empty.join("BTC-USD/TRADES")).unwrap();
    let new = folder.path().join("new");
    let run = |args: &[&Path]| {
        let mut command = coltape("repair");
        command.arg(&new).arg("--no-rest");
        for from in args {
            command.arg("--from").arg(from);
        }
        command.output().unwrap()
    };
    for (from, why) in [
        (vec![empty.as_path()], "holds no tape"),
        (vec![Path::new("/etc/passwd")], "is no directory"),
        (vec![Path::new("/etc/ssl")], "holds no tape"),
        (vec![folder.path().join("nowhere").as_path()], "is no directory"),
        (vec![tape.as_path(), sandbox.as_path()], "holds the tape of exchange wss://sandbox"),
        (vec![], "does not exist; --from OTHER_DIR restores it"),
    ]
    .map(|(from, why)| (from.into_iter().map(Path::to_owned).collect::<Vec<_>>(), why))
    {
        let from: Vec<&Path> = from.iter().map(std::path::PathBuf::as_path).collect();
        let output = run(&from);
        assert!(output.status.code() == Some(1) && said(&output).contains(why), "{from:?}: {}", said(&output));
        assert!(!new.exists(), "{from:?}: nothing is made");
    }
    std::fs::create_dir(&new).unwrap();
    let output = run(&[]);
    assert!(output.status.code() == Some(1) && said(&output).contains("holds no tape; --from DIR"), "{}", said(&output));
    // Production is not asked for what a test's tape lacks.
    let mut command = coltape("repair");
    let output = command.arg(&new).arg("--from").arg(&tape).output().unwrap();
    assert!(output.status.success() && said(&output).contains("without --rest-url no REST is asked"), "{}", said(&output));
    assert!(run(&[&tape]).status.success());
    assert!(said(&run(&[&tape])).contains("nothing to do"));
    // What it was restored from is remembered.
    assert!(said(&run(&[&sandbox])).contains("holds the tape of exchange wss://sandbox, not of exchange wss://test"));
}

#[test]
fn only_the_product_that_is_asked_for_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = trades(&market(60));
    let names = ["BTC-USD", "BTC-USDC", "ETH-USD"].map(|name| ProductId::new(name).unwrap());
    for name in &names {
        store::<Trades>(&data_dir(&other, StoreOptions::default()), name, &all);
    }
    let mut config = config(&own, &[&other]);
    config.product = Some(names[0].clone());
    assert_eq!(repair(&config).unwrap().products, [names[0].clone()]);
    assert!(own.join("BTC-USD").is_dir() && !own.join("BTC-USDC").exists() && !own.join("ETH-USD").exists());
}

#[test]
fn a_series_that_is_over_comes_with_the_newest_one_and_rest_is_not_asked_for_its_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = trades(&market(60));
    let holed: Vec<Trade> = all.iter().filter(|trade| trade.trade_id != 1020).copied().collect();
    let second = ProductId::new("BTC-USD~2").unwrap();
    store::<Trades>(&data_dir(&other, StoreOptions::default()), &product(), &holed);
    store::<Trades>(&data_dir(&other, StoreOptions::default()), &second, &all);
    let mut config = config(&own, &[&other]);
    config.product = Some(product());
    config.rest = Some(coltape::RestConfig::new("http://127.0.0.1:9", coltape::TlsRoots { ca_file: None }, 8.0));
    let report = repair(&config).unwrap();
    assert_eq!(report.products, [product(), second.clone()]);
    assert_eq!((report.missing_ids, report.failures.len()), (1, 0), "{:#?}", report.lines());
    assert!(report.missing[0].why.contains("begun anew"), "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), holed);
    assert_eq!(columns::<Trades>(&own, &second, FIRST_DAY).len(), columns::<Trades>(&other, &second, FIRST_DAY).len());
}

#[test]
fn a_clock_that_is_behind_loses_no_trade_of_the_other_tape() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other, third) = (folder.path().join("own"), folder.path().join("other"), folder.path().join("third"));
    let all = trades(&three_days());
    sealed(&other, &all);
    sealed(&third, &all.iter().filter(|trade| trade.trade_id % 7 != 3).copied().collect::<Vec<_>>());
    for dir in [&own, &third] {
        let mut config = config(dir, &[&other]);
        config.clock = Clock::Manual(std::sync::Arc::new((FIRST_DAY.start().0 - 86_400_000_000_000 * 400).into()));
        let report = repair(&config).unwrap();
        assert!(report.is_whole(), "{:#?}", report.lines());
        assert_eq!(told(&stored(dir)), all);
    }
}

#[test]
fn trades_of_rest_stay_without_order_ids_until_a_tape_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (own, poor, rich) = (folder.path().join("own"), folder.path().join("poor"), folder.path().join("rich"));
    let all = trades(&market(600));
    sealed(&poor, &all.iter().map(as_rest).collect::<Vec<_>>());
    sealed(&rich, &all.iter().filter(|trade| trade.trade_id % 2 == 0).copied().collect::<Vec<_>>());
    let report = repaired(&own, &[&poor, &rich]);
    assert!(report.is_whole() && report.sums().completed == 300, "{:#?}", report.lines());
    let want: Vec<Trade> = all.iter().map(|trade| if trade.trade_id % 2 == 0 { *trade } else { as_rest(trade) }).collect();
    assert_eq!(told(&stored(&own)), told(&want));
}

/// Runs a capture of a market to its end, or until `stop` says so.
fn captured(simulation: &Simulation, dir: &Path, duration: &str) -> Output {
    let rest = simulation.endpoints().rest_url.clone().unwrap();
    let mut command = coltape("capture");
    command.args(["BTC-USD", "ETH-USD", "--url", &simulation.endpoints().websocket_url, "--rest-url", &rest]);
    command.args(["--duration", duration, "--data-dir"]).arg(dir).output().unwrap()
}

#[test]
fn a_lost_disk_is_restored_from_the_box_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (big, new) = (folder.path().join("big"), folder.path().join("new"));
    let mut config = SimulateConfig::default();
    config.products = ["BTC-USD", "ETH-USD"].map(|name| ProductId::new(name).unwrap()).into();
    config.rate_per_product = 200.0;
    config.duration = Some(Duration::from_secs(3));
    let simulation = Simulation::start(config).unwrap();
    let output = captured(&simulation, &big, "4s");
    assert!(output.status.success(), "{}", said(&output));
    simulation.stop().unwrap();
    let output = coltape("repair").arg(&new).arg("--from").arg(&big).arg("--no-rest").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("2 products; 6 days brought"), "{}", said(&output));
    let verified = |dir: &Path| {
        let output = coltape("verify").arg(dir).arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap().replace(&dir.display().to_string(), "DIR");
        (output.status.code(), text.replace("\"generation\":0", "").replace("\"generation\":1", ""))
    };
    assert_eq!(verified(&new), verified(&big));
    let query = |dir: &Path, dataset: &str| {
        let output = coltape("query").args(["ETH-USD", "--dataset", dataset, "--format", "csv", "--data-dir"]).arg(dir).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    assert!(query(&new, "md") == query(&big, "md") && query(&new, "ticker_trades") == query(&big, "ticker_trades"));
    let date = coltape::internals::store::catalog::days(&big, &product(), Dataset::Trades).unwrap()[0];
    assert_eq!(columns::<Md>(&new, &product(), date), columns::<Md>(&big, &product(), date));
}

/// A tmpfs of so many megabytes, unmounted when it is dropped; nothing where none can be mounted.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn of(megabytes: u32, at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: nothing can be mounted here\n");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_what_fits_is_whole() {
    let folder = memory_folder();
    let (disk, other) = (folder.path().join("disk"), folder.path().join("other"));
    let Some(mounted) = SmallDisk::of(3, &disk) else { return };
    let all = prints(1000, 3 * 8640, FIRST_DAY.start(), 10_000_000_000);
    store_all(&other, &all, StoreOptions::default());
    let own = disk.join("own");
    let report = repair(&config(&own, &[&other])).unwrap();
    let text = report.lines().join("\n");
    assert!(!report.is_whole() && text.contains("no space left"), "{text}");
    // What is there is whole; nothing half written is left behind.
    for date in dates() {
        if let Some(day) = Snapshot::<Trades>::open(&own, &product(), date).unwrap() {
            assert_eq!((day.count(), day.check().unwrap().len()), (8640, 0));
        }
    }
    assert!(files(&own).keys().all(|path| !path.display().to_string().ends_with(".tmp")), "{:?}", files(&own).keys());
    // With more room the same command does the rest.
    let bigger = std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk).status().unwrap();
    assert!(bigger.success());
    assert!(repaired(&own, &[&other]).is_whole());
    assert_eq!(told(&stored(&own)), trades(&all));
    assert_eq!(verdicts(&own), verdicts(&other));
    drop(mounted);
}

#[test]
fn a_long_repair_shows_its_progress_on_stderr_alone() {
    let folder = memory_folder();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    store_all(&other, &three_days(), StoreOptions::default());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&seen);
    let mut config = config(&own, &[&other]);
    config.observer = coltape::Observer::new(move |step| sink.lock().unwrap().push((step.unit, step.done, step.of)));
    repair(&config).unwrap();
    let records: Vec<(u64, u64)> = seen.lock().unwrap().iter().filter(|step| step.0 == "records").map(|step| (step.1, step.2)).collect();
    let total = 3 * (1440 + 2 * 1080);
    assert!(records.windows(2).all(|pair| pair[0].0 <= pair[1].0) && records.iter().all(|step| step.1 == total), "{records:?}");
    assert_eq!(records.last(), Some(&(total, total)));
    // A short one shows nothing but the log, and stdout has the report alone.
    let again = coltape("repair").arg(&own).arg("--from").arg(&other).arg("--no-rest").env("RUST_LOG", "off").output().unwrap();
    assert!(again.status.success() && again.stderr.is_empty(), "{}", said(&again));
    let proof = coltape("verify").arg(&own).env("RUST_LOG", "off").output().unwrap();
    assert!(proof.status.success() && proof.stderr.is_empty(), "{}", said(&proof));
}

#[test]
fn a_capture_that_holds_the_directory_says_what_only_the_other_tape_has() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let all = three_days();
    store_all(&other, &all, StoreOptions::default());
    let mut config = SimulateConfig::default();
    config.products = vec![ProductId::new("ETH-USD").unwrap()];
    config.duration = Some(Duration::from_secs(60));
    let simulation = Simulation::start(config).unwrap();
    let dir = data_dir(&own, StoreOptions::default());
    drop(dir);
    let mut command = coltape("capture");
    command.args(["ETH-USD", "--url", &simulation.endpoints().websocket_url, "--no-backfill", "--data-dir"]).arg(&own);
    std::fs::write(own.join("_coltape/endpoint"), format!("exchange {}\n", simulation.endpoints().websocket_url)).unwrap();
    let mut capture = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    await_that("the capture holds the directory", || coltape::internals::store::holder_of(&own).unwrap().is_some());
    let output = coltape("repair").arg(&own).arg("--from").arg(&other).args(["--no-rest", "--any-endpoint"]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for dataset in ["TRADES", "MD", "TICKER_TRADES"] {
        assert!(text.contains(&format!("BTC-USD {dataset}: 3 days")), "{text}");
    }
    assert!(text.contains("when the capture has stopped"), "{text}");
    capture.kill().unwrap();
    capture.wait().unwrap();
    simulation.stop().unwrap();
    let output = coltape("repair").arg(&own).arg("--from").arg(&other).args(["--no-rest", "--any-endpoint"]).output().unwrap();
    assert!(said(&output).contains("9 days brought"), "{}", said(&output));
    assert_eq!(told(&stored(&own)), trades(&all));
}
