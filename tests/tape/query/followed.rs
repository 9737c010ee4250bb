//! `query --follow`: days that appear, disappear and are older than today, several products, and exact texts that come with their records.

use std::sync::atomic::{AtomicBool, Ordering};

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::query::{Format, QueryConfig, query};
use coltape::internals::record::Trade;
use coltape::internals::schema::Trades;
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{EXACT_TEXTS, JournalFile};
use coltape::internals::store::{Day, StoreOptions, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

use super::{EndOnDrop, Printed, SECOND, noon, with};
use crate::market::{FIRST_DAY, data_dir, insert, prints, product, store};

fn config(dir: &std::path::Path, columns: &[&str]) -> QueryConfig {
    with(QueryConfig::new(dir, product()), |asked| {
        asked.format = Format::Csv;
        asked.columns = columns.iter().map(|name| (*name).to_owned()).collect();
        asked.follow = true;
    })
}

/// Follows while `act` does something, until it is done.
fn following(asked: &QueryConfig, act: impl FnOnce(&Printed)) -> Printed {
    let (printed, is_over) = (Printed::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (mut out, is_over) = (printed.clone(), &is_over);
        let follower = scope.spawn(move || query(asked, &|| is_over.load(Ordering::Acquire), &mut out));
        let end = EndOnDrop(is_over);
        act(&printed);
        drop(end);
        follower.join().expect("ended").expect("answered");
    });
    printed
}

fn trade(id: u64, time: UnixNanos) -> Trade {
    Trade { trade_id: id, ..prints(id, 1, time, SECOND)[0].trade }
}

fn day_before(date: UtcDay, days: u32) -> UtcDay {
    UtcDay(date.0 - days)
}

#[test]
fn a_day_that_appears_is_followed_though_it_is_older_than_today() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    insert(&mut today, &trade(100, noon()));
    today.commit();
    following(&config(dir.path(), &["trade_id"]), |printed| {
        let mut want = vec![100];
        printed.wait_for(&want);
        // More days of the past than are followed, the newest first, as a backfill may bring them. Today is followed on.
        for ago in 1..=12 {
            let date = day_before(FIRST_DAY, ago);
            let id = 100 - u64::from(ago);
            store::<Trades>(&data, &product(), &[trade(id, UnixNanos(date.start().0 + SECOND))]);
            want.push(id);
            printed.wait_for(&want);
        }
        insert(&mut today, &trade(101, UnixNanos(noon().0 + SECOND)));
        today.commit();
        want.push(101);
        printed.wait_for(&want);
    });
}

#[test]
fn late_trades_of_an_earlier_day_are_printed_when_they_come() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    for ago in 0..4 {
        let start = day_before(FIRST_DAY, ago).start();
        let first = 1000 - u64::from(ago) * 10;
        store::<Trades>(&data, &product(), &[trade(first, start), trade(first + 2, UnixNanos(start.0 + SECOND))]);
    }
    let asked = with(config(dir.path(), &["trade_id"]), |asked| asked.tail = Some(1));
    following(&asked, |printed| {
        printed.wait_for(&[1002]);
        let date = day_before(FIRST_DAY, 3);
        let (mut day, _) = Day::<Trades>::open(&data, &product(), date, noon()).expect("a day");
        insert(&mut day, &trade(971, UnixNanos(date.start().0 + 1)));
        day.commit();
        printed.wait_for(&[1002, 971]);
        assert!(seal::seal(&data, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
        let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
        insert(&mut today, &trade(1003, noon()));
        today.commit();
        printed.wait_for(&[1002, 971, 1003]);
    });
}

#[test]
fn a_day_whose_files_are_moved_away_ends_nothing_and_is_not_printed_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let yesterday = day_before(FIRST_DAY, 1);
    store::<Trades>(&data, &product(), &[trade(1, yesterday.start()), trade(2, UnixNanos(yesterday.start().0 + SECOND))]);
    let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    insert(&mut today, &trade(3, noon()));
    today.commit();
    let (mut day, _) = Day::<Trades>::open(&data, &product(), yesterday, noon()).expect("a day");
    following(&config(dir.path(), &["trade_id"]), |printed| {
        printed.wait_for(&[1, 2, 3]);
        let folder = dir.path().join("BTC-USD/TRADES");
        let files: Vec<_> = std::fs::read_dir(&folder).expect("listed").flatten().map(|entry| entry.path()).collect();
        let of_yesterday: Vec<_> = files.into_iter().filter(|path| path.to_string_lossy().contains(&yesterday.to_string())).collect();
        assert!(of_yesterday.len() > 10);
        for path in &of_yesterday {
            std::fs::rename(path, dir.path().join(path.file_name().expect("a name"))).expect("moved");
        }
        // Whoever writes to the day does not know yet that its files are elsewhere.
        insert(&mut day, &trade(5, UnixNanos(yesterday.start().0 + 2 * SECOND)));
        day.commit();
        insert(&mut today, &trade(4, UnixNanos(noon().0 + SECOND)));
        today.commit();
        printed.wait_for(&[1, 2, 3, 4]);
        for path in &of_yesterday {
            std::fs::rename(dir.path().join(path.file_name().expect("a name")), path).expect("moved back");
        }
        printed.wait_for(&[1, 2, 3, 4, 5]);
    });
}

#[test]
fn several_products_are_followed_and_one_that_has_nothing_yet_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let other = ProductId::new("ETH-USD").expect("a product");
    let (mut first, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    insert(&mut first, &trade(1, noon()));
    first.commit();
    let asked = with(config(dir.path(), &["trade_id"]), |asked| asked.products = vec![product(), other.clone()]);
    let printed = following(&asked, |printed| {
        printed.wait_for_lines(&["BTC-USD,1"]);
        let (mut second, _) = Day::<Trades>::open(&data, &other, FIRST_DAY, noon()).expect("a day");
        insert(&mut second, &trade(7, noon()));
        second.commit();
        printed.wait_for_lines(&["BTC-USD,1", "ETH-USD,7"]);
        insert(&mut first, &trade(2, noon()));
        first.commit();
        printed.wait_for_lines(&["BTC-USD,1", "ETH-USD,7", "BTC-USD,2"]);
        insert(&mut second, &trade(8, noon()));
        second.commit();
        printed.wait_for_lines(&["BTC-USD,1", "ETH-USD,7", "BTC-USD,2", "ETH-USD,8"]);
    });
    assert_eq!(printed.lines().len(), 4);
}

#[test]
fn the_exact_text_of_a_record_that_comes_is_printed() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = data_dir(dir.path(), StoreOptions::default());
    let (mut today, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, noon()).expect("a day");
    insert(&mut today, &trade(1, noon()));
    today.commit();
    let first = format!("1,{}", trade(1, noon()).price.as_f64);
    following(&config(dir.path(), &["trade_id", "trade_price_f64"]), |printed| {
        printed.wait_for_lines(&[&first]);
        for id in 2..5 {
            let long = format!("0.1234567890123456789{id}");
            let event = Event::Exact { product: product(), column: "trade_price_f64".into(), key: id, text: long.clone() };
            JournalFile::new(dir.path(), EXACT_TEXTS).append(noon(), &event).expect("written");
            let price = decimal::parse(long.as_bytes()).expect("a decimal");
            insert(&mut today, &Trade { price, ..trade(id, noon()) });
            today.commit();
            let come = (2..=id).map(|id| format!("{id},0.1234567890123456789{id}"));
            let want: Vec<String> = std::iter::once(first.clone()).chain(come).collect();
            printed.wait_for_lines(&want.iter().map(String::as_str).collect::<Vec<_>>());
        }
    });
}
