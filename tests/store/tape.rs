//! A tape of several days, products and spellings of dates, read over all of them, and followed while it is written.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Ticker, Trade};
use coltape::internals::schema::{Dataset, Layout, Md, Trades};
use coltape::internals::store::{DataDir, Day, InsertError, StoreOptions, seal};
use coltape::internals::time::{DateFormat, UnixNanos, UtcDay};
use coltape::{Arrivals, Follow, Tape, TapeError, TimeRange};

const DAY: UtcDay = UtcDay(20_000);
const HOUR: u64 = 3_600_000_000_000;

fn product(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

fn trade(id: u64, time: u64) -> Trade {
    let value = Decimal::new(1.5, 1.5, true);
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + time), price: value, size: value, ..Trades::EMPTY }
}

fn ticker(sequence: u64, time: u64) -> Ticker {
    Ticker { sequence, time: UnixNanos(DAY.start().0 + time), ..Md::EMPTY }
}

fn data_dir(folder: &Path, format: DateFormat) -> Arc<DataDir> {
    crate::opened(folder, StoreOptions::default().date_format(format), "test")
}

fn open<L: Layout>(dir: &Arc<DataDir>, name: &str, date: UtcDay, now: UtcDay) -> Day<L> {
    Day::<L>::open(dir, &product(name), date, now.start()).unwrap().0
}

fn insert<L: Layout>(day: &mut Day<L>, rows: impl IntoIterator<Item = L::Row>) {
    for row in rows {
        while let Err(InsertError::NoRoom) = day.insert(&row) {
            day.files().provision().unwrap();
        }
    }
    day.commit();
}

fn seal_day<L: Layout>(dir: &DataDir, day: Day<L>) {
    let sealed = seal::seal(dir, vec![day.close()]);
    assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
}

/// Three days of BTC-USD: the first with dates spelled the other way, the second without a page, the third live. Trades are an hour apart.
fn three_days(folder: &Path) -> (Arc<DataDir>, Day<Trades>) {
    let dir = data_dir(folder, DateFormat::Dmy);
    let mut day = open::<Trades>(&dir, "BTC-USD", DAY, DAY);
    insert(&mut day, (0..24).map(|hour| trade(hour + 1, hour * HOUR)));
    seal_day(&dir, day);
    drop(dir);
    let dir = data_dir(folder, DateFormat::Iso);
    let mut day = open::<Trades>(&dir, "BTC-USD", DAY.next(), DAY.next());
    insert(&mut day, (24..48).map(|hour| trade(hour + 1, hour * HOUR)));
    seal_day(&dir, day);
    std::fs::remove_file(folder.join(format!("BTC-USD/TRADES/commit.{}.bin", DAY.next()))).unwrap();
    let mut day = open::<Trades>(&dir, "BTC-USD", DAY.next().next(), DAY.next().next());
    insert(&mut day, (48..60).map(|hour| trade(hour + 1, hour * HOUR)));
    (dir, day)
}

fn at(hour: u64) -> UnixNanos {
    UnixNanos(DAY.start().0 + hour * HOUR)
}

#[test]
fn a_range_of_time_goes_over_days_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, _live) = three_days(folder.path());
    drop(open::<Trades>(&dir, "BTC-USD~2", DAY, DAY));
    drop(open::<Md>(&dir, "ETH-USD", DAY, DAY));
    let tape = Tape::open(folder.path()).unwrap();
    assert_eq!(tape.products().unwrap(), ["BTC-USD", "BTC-USD~2", "ETH-USD"].map(product), "a later series is a product of its own");
    let btc = product("BTC-USD");
    assert_eq!((tape.datasets(&btc).unwrap(), tape.datasets(&product("ETH-USD")).unwrap()), (vec![Dataset::Trades], vec![Dataset::Md]));
    let days = [DAY, DAY.next(), DAY.next().next()];
    assert_eq!(tape.days(&btc, Dataset::Trades).unwrap(), days);
    for (range, ids, dates) in [
        (TimeRange::ALL, 1..61, days.as_slice()),
        (TimeRange::new(at(23), at(25)), 24..26, &days[..2]),
        (TimeRange::new(at(24), at(48)), 25..49, &days[1..2]),
        (TimeRange { from: Some(at(50)), to: None }, 51..61, &days[2..]),
        (TimeRange { from: None, to: Some(UnixNanos(at(24).0 + 1)) }, 1..26, &days[..2]),
        (TimeRange::new(UnixNanos(at(30).0 + 1), at(31)), 0..0, &days[1..2]),
    ] {
        let parts = tape.range::<Trades>(&btc, range).unwrap();
        assert_eq!(parts.dates(), dates);
        let mut found = Vec::new();
        for part in parts {
            let part = part.unwrap();
            let before = found.len();
            found.extend(part.rows().map(|row| row.trade_id));
            assert_eq!(part.count(), found.len() - before);
        }
        assert!(found.iter().copied().eq(ids), "{found:?} for {range:?}");
    }
}

#[test]
fn what_is_no_tape_or_not_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| Tape::open(path).unwrap_err().to_string();
    assert!(said(folder.path()).contains("is no tape"), "an empty directory");
    assert!(said(&folder.path().join("none")).contains("does not exist"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(said(&file).contains("is not a directory"));
    let (_dir, _live) = three_days(folder.path());
    assert!(said(&folder.path().join("BTC-USD")).contains("give the directory above it"));
    assert!(said(&folder.path().join("BTC-USD/TRADES")).contains("is no tape"));
    let tape = Tape::open(folder.path()).unwrap();
    let wrong = |name: &str, range| tape.range::<Trades>(&product(name), range).unwrap_err().to_string();
    assert!(wrong("BTC-USDD", TimeRange::ALL).ends_with("which holds BTC-USD; did you mean BTC-USD?"));
    assert!(tape.range::<Md>(&product("BTC-USD"), TimeRange::ALL).unwrap_err().to_string().contains("which holds TRADES of it"));
    assert!(wrong("BTC-USD", TimeRange::new(at(5), at(4))).contains("must lie after"));
    let said = wrong("BTC-USD", TimeRange::new(at(100), at(101)));
    assert!(said.contains(&format!("from {DAY} to {}", DAY.next().next())), "{said}");
}

#[test]
fn a_day_that_cannot_be_read_is_an_error_in_its_turn_and_never_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, live) = three_days(folder.path());
    drop((dir, live));
    let column = |name: &str| folder.path().join(format!("BTC-USD/TRADES/{name}.{}.bin", DAY.next()));
    let tape = Tape::open(folder.path()).unwrap();
    let read =
        || tape.range::<Trades>(&product("BTC-USD"), TimeRange::ALL).unwrap().map(|part| part.map(|part| part.count())).collect::<Vec<_>>();
    assert!(matches!(read().as_slice(), [Ok(24), Ok(24), Ok(12)]));
    std::fs::rename(column("trade_id"), folder.path().join("trade_id")).unwrap();
    let found = read();
    assert!(matches!(found.as_slice(), [Ok(24), Err(TapeError::Store(_)), Ok(12)]), "{found:?}");
}

/// Looks once. Gives the keys of what was given.
fn keys<L: Layout>(follow: &mut Follow<L>) -> Vec<u64> {
    let mut keys = Vec::new();
    let look = |arrivals: &Arrivals<'_, L>| {
        keys.extend(arrivals.records().map(|record| L::key(&record.row().unwrap())));
        Ok::<(), TapeError>(())
    };
    let count = follow.look(look).unwrap();
    assert_eq!(count, keys.len() as u64);
    keys
}

#[test]
fn a_follower_is_given_every_trade_once_over_late_ones_seals_replacements_and_midnight() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, mut day) = three_days(folder.path());
    let tape = Tape::open(folder.path()).unwrap();
    let mut all = tape.follow::<Trades>(&product("BTC-USD"), TimeRange::ALL);
    let mut some = tape.follow::<Trades>(&product("BTC-USD"), TimeRange::new(at(58), at(73)));
    assert_eq!((keys(&mut all), keys(&mut some)), ((1..61).collect(), vec![59, 60]));
    insert(&mut day, [trade(70, 62 * HOUR), trade(71, 63 * HOUR), trade(65, 61 * HOUR)]);
    assert_eq!((keys(&mut all), keys(&mut some)), (vec![70, 71, 65], vec![70, 71, 65]));
    // A late trade that comes, and is put in its place, between two looks.
    insert(&mut day, [trade(66, 61 * HOUR)]);
    seal_day(&dir, day);
    assert_eq!(keys(&mut all), [66]);
    assert_eq!(keys(&mut all), [0; 0], "nothing is new");
    let today = DAY.next().next();
    let mut next = open::<Trades>(&dir, "BTC-USD", today.next(), today.next());
    assert_eq!(keys(&mut all), [0; 0], "tomorrow's files are there, and empty");
    insert(&mut next, (0..3).map(|hour| trade(80 + hour, (72 + hour) * HOUR)));
    assert_eq!((keys(&mut all), keys(&mut some)), (vec![80, 81, 82], vec![66, 80]));
    // Yesterday's late trade, after midnight.
    let mut yesterday = open::<Trades>(&dir, "BTC-USD", today, today.next());
    insert(&mut yesterday, [trade(67, 61 * HOUR)]);
    assert_eq!((keys(&mut all), keys(&mut some)), (vec![67], vec![67]));
}

#[test]
fn a_follower_of_tickers_is_given_each_once_whatever_becomes_of_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), DateFormat::Iso);
    let mut day = open::<Md>(&dir, "BTC-USD", DAY, DAY);
    let tape = Tape::open(folder.path()).unwrap();
    let mut follow = tape.follow::<Md>(&product("BTC-USD"), TimeRange::ALL);
    assert_eq!(keys(&mut follow), [0; 0]);
    insert(&mut day, (1..5).map(|sequence| ticker(sequence, sequence)));
    assert_eq!(keys(&mut follow), [1, 2, 3, 4]);
    seal_day(&dir, day);
    let mut day = open::<Md>(&dir, "BTC-USD", DAY, DAY.next());
    insert(&mut day, [ticker(9, 9)]);
    assert_eq!(keys(&mut follow), [9], "late");
    insert(&mut day, [ticker(10, 8)]);
    seal_day(&dir, day);
    assert_eq!(keys(&mut follow), [10], "late, and in the columns when the follower looked");
    // A day that was begun anew has nothing of what was given.
    std::fs::rename(folder.path().join("BTC-USD/MD"), folder.path().join("moved")).unwrap();
    assert_eq!(keys(&mut follow), [0; 0]);
    let mut day = open::<Md>(&dir, "BTC-USD", DAY, DAY);
    insert(&mut day, (20..30).map(|sequence| ticker(sequence, sequence)));
    let given: BTreeSet<u64> = keys(&mut follow).into_iter().collect();
    assert_eq!(given, (20..30).collect());
}
