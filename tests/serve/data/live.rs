//! `/v1/live`: each record once, whatever happens between its commit and the client.

use std::collections::BTreeSet;
use std::sync::Arc;

use coltape::internals::schema::{Layout, Md, Trades};
use coltape::internals::store::{Day, Syncer, seal};
use coltape::internals::time::UtcDay;
use serde_json::Value;

use super::client::{Event, Events};
use super::{LiveDay, Served};
use crate::market::{FIRST_DAY, Print, data_dir, insert, prints, product, ticker};

const PATH: &str = "/v1/live?product=BTC-USD";

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.data["trade_id"].as_u64().unwrap()).collect()
}

/// Makes trades of a day from its beginning on, one a millisecond.
fn day_of(first: u64, count: u64, date: UtcDay) -> Vec<Print> {
    prints(first, count, date.start(), 1_000_000)
}

/// Seals a day, with its late records in their place.
fn seal_day<L: Layout>(dir: &Arc<coltape::internals::store::DataDir>, day: Day<L>) {
    let mut syncer = Syncer::new(Arc::clone(dir));
    syncer.watch(day.files());
    let closed = day.close();
    syncer.cycle().unwrap();
    for outcome in seal::seal(dir, vec![closed]) {
        outcome.sealed.unwrap();
    }
}

#[test]
fn events_are_the_records_that_trades_give_and_begin_with_the_next_commit() {
    let folder = tempfile::tempdir().unwrap();
    let all = day_of(1, 40, FIRST_DAY);
    let mut live = LiveDay::begin(folder.path(), FIRST_DAY);
    live.add(&all[..10]);
    let served = Served::start(folder.path());
    let mut events = Events::open(served.address(), PATH, &[]);
    live.add(&all[10..30]);
    let got = events.take(20);
    assert_eq!(ids(&got), (11..=30).collect::<Vec<u64>>());
    let rows = served.rows("/v1/trades?product=BTC-USD&after_id=10");
    assert_eq!(got.iter().map(|event| event.data.clone()).collect::<Vec<Value>>(), rows);
    assert!(got.iter().all(|event| event.id.parse().ok() == event.data["trade_id"].as_u64()));
    // The server stops: the stream ends, and its end is told.
    drop(served);
    assert_eq!(events.next(), Ok(None));
    drop(live);
}

#[test]
fn a_client_that_comes_back_gets_each_record_once_over_midnight_seals_and_late_records() {
    let folder = tempfile::tempdir().unwrap();
    let random = &mut fastrand::Rng::with_seed(11);
    let dir = data_dir(folder.path(), coltape::internals::store::StoreOptions::default());
    let mut live = LiveDay::begin_in(Arc::clone(&dir), FIRST_DAY);
    live.add(&day_of(1, 5, FIRST_DAY));
    let served = Served::start(folder.path());
    let mut events = Events::open(served.address(), PATH, &[]);
    let (mut got, mut next, mut held) = (Vec::<u64>::new(), 6, Vec::<Print>::new());
    let mut last = String::new();
    let mut stored = BTreeSet::new();
    for date in [FIRST_DAY, FIRST_DAY.next(), FIRST_DAY.next().next()] {
        if date != FIRST_DAY {
            // Yesterday is sealed, and its late records come into their place.
            seal_day(&dir, live.day);
            live = LiveDay::begin_in(Arc::clone(&dir), date);
        }
        for _ in 0..25 {
            let count = random.u64(1..40);
            let fresh = day_of(next, count, date);
            next += count;
            let (late, timely): (Vec<Print>, Vec<Print>) = fresh.into_iter().partition(|_| random.u8(..) < 40);
            held.extend(late);
            live.add(&timely);
            stored.extend(timely.iter().map(|print| print.trade.trade_id));
            if random.bool() {
                let come: Vec<Print> = held.extract_if(.., |print| print.trade.time.day() == date).collect();
                live.add(&come);
                stored.extend(come.iter().map(|print| print.trade.trade_id));
            }
            let there = stored.len() - got.len();
            if random.u8(..) < 90 && there > 0 {
                // Cut: somewhere behind what was read.
                let read = random.usize(1..=there.min(30));
                for event in events.take(read) {
                    got.push(event.data["trade_id"].as_u64().unwrap());
                    last = event.id;
                }
                events = Events::open(served.address(), PATH, &[("Last-Event-ID", &last)]);
            }
        }
        held.retain(|print| print.trade.time.day() != date);
    }
    let left = stored.len() - got.len();
    got.extend(ids(&events.take(left)));
    assert_eq!(got.len(), stored.len(), "none twice");
    assert_eq!(got.into_iter().collect::<BTreeSet<u64>>(), stored, "none missing");
    drop(live);
}

#[test]
fn a_client_that_comes_back_to_a_new_server_gets_what_lies_behind_its_last_trade() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), coltape::internals::store::StoreOptions::default());
    let mut first = LiveDay::begin_in(Arc::clone(&dir), FIRST_DAY);
    first.add(&day_of(1, 6_000, FIRST_DAY));
    let mut second = LiveDay::begin_in(dir, FIRST_DAY.next());
    let fresh = day_of(6_001, 7_000, FIRST_DAY.next());
    second.add(&fresh[..5_000]);
    let served = Served::start(folder.path());
    for headers in [&[("Last-Event-ID", "500")][..], &[]] {
        let path = if headers.is_empty() { "/v1/live?product=BTC-USD&after_id=500" } else { PATH };
        let mut events = Events::open(served.address(), path, headers);
        assert_eq!(ids(&events.take(10_500)), (501..=11_000).collect::<Vec<u64>>());
    }
    let mut events = Events::open(served.address(), "/v1/live?product=BTC-USD&after_id=10999", &[]);
    second.add(&fresh[5_000..]);
    assert_eq!(ids(&events.take(2_001)), (11_000..=13_000).collect::<Vec<u64>>());
    drop((first, second));
}

#[test]
fn tickers_come_once_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), coltape::internals::store::StoreOptions::default());
    let all: Vec<_> = day_of(1, 600, FIRST_DAY).iter().filter(|print| print.has_ticker).map(ticker).collect();
    let (mut day, _) = Day::<Md>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    let add = |day: &mut Day<Md>, from: usize, to: usize| {
        for ticker in &all[from..to] {
            insert(day, ticker);
        }
        day.commit();
    };
    // The product has trades too: a tape without them has no product.
    let (trades, _) = Day::<Trades>::open(&dir, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    add(&mut day, 0, 100);
    let path = "/v1/live?product=BTC-USD&dataset=md";
    let want = |from: usize, to: usize| all[from..to].iter().map(|ticker| ticker.trade_id).collect::<Vec<u64>>();
    let first = Served::start(folder.path());
    let mut events = Events::open(first.address(), path, &[]);
    add(&mut day, 100, 200);
    let got = events.take(60);
    assert_eq!(ids(&got), want(100, 160));
    // Cut, and back to the same server; then to another one.
    let last = got.last().unwrap().id.clone();
    let mut events = Events::open(first.address(), path, &[("Last-Event-ID", &last)]);
    assert_eq!(ids(&events.take(40)), want(160, 200));
    drop(first);
    let second = Served::start(folder.path());
    let mut events = Events::open(second.address(), "/v1/live?product=BTC-USD&dataset=tickers", &[("Last-Event-ID", &last)]);
    add(&mut day, 200, 300);
    assert_eq!(ids(&events.take(140)), want(160, 300));
    drop((day, trades, events));
}
