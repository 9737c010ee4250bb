//! Which records are given: by time, by id, a limit, an order, some columns.

use coltape::internals::record::Trade;
use coltape::internals::time::UnixNanos;

use super::{Served, mixed, store_sealed};
use crate::market::FIRST_DAY;

fn ids(served: &Served, path: &str) -> Vec<u64> {
    served.rows(path).iter().map(|row| row["trade_id"].as_u64().unwrap()).collect()
}

#[test]
fn records_are_those_of_a_filter_in_either_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = mixed(1_200);
    // The exchange's clock was set back for a while: times fall, ids rise.
    let spell = UnixNanos(FIRST_DAY.next().start().0 + 300 * 1_000_000_000);
    all.iter_mut().filter(|print| (1_950..2_050).contains(&print.trade.trade_id)).for_each(|print| print.trade.time = spell);
    store_sealed(folder.path(), &all);
    let served = Served::start(folder.path());
    let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
    let random = &mut fastrand::Rng::with_seed(7);
    let times: Vec<UnixNanos> = trades.iter().map(|trade| trade.time).collect();
    for _ in 0..60 {
        let mut edge = || random.bool().then(|| UnixNanos(random.choice(&times).unwrap().0 + random.u64(0..3) - 1));
        let (from, to) = (edge(), edge());
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            continue;
        }
        let after = random.bool().then(|| random.u64(900..2_300));
        let limit = random.bool().then(|| random.usize(0..900));
        let descending = random.bool();
        let mut path = "/v1/trades?product=BTC-USD".to_owned();
        from.iter().for_each(|time| path += &format!("&from={time}"));
        to.iter().for_each(|time| path += &format!("&to={}", time.0));
        after.iter().for_each(|id| path += &format!("&after_id={id}"));
        limit.iter().for_each(|limit| path += &format!("&limit={limit}"));
        path += if descending { "&order=desc" } else { "" };
        let is_in = |trade: &&Trade| {
            from.is_none_or(|from| trade.time >= from) && to.is_none_or(|to| trade.time < to) && after.is_none_or(|id| trade.trade_id > id)
        };
        let mut want: Vec<u64> = trades.iter().filter(is_in).map(|trade| trade.trade_id).collect();
        if descending {
            want.reverse();
        }
        want.truncate(limit.unwrap_or(usize::MAX));
        assert_eq!(ids(&served, &path), want, "{path}");
    }
}

#[test]
fn columns_are_those_asked_for_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(50));
    let served = Served::start(folder.path());
    let path = "/v1/trades?product=BTC-USD&columns=price,trade_id&limit=1";
    assert_eq!(served.get(&format!("{path}&format=jsonl")).whole(), "{\"price\":131003,\"trade_id\":1000}\n");
    assert_eq!(served.get(&format!("{path}&format=csv")).whole(), "price,trade_id\n131003,1000\n");
    assert_eq!(served.get(&format!("{path}&format=json")).whole(), "[\n{\"price\":131003,\"trade_id\":1000}\n]\n");
    assert_eq!(served.get("/v1/trades?product=BTC-USD&limit=0&format=json").whole(), "[]\n");
    assert_eq!(served.get("/v1/trades?product=BTC-USD&limit=0&columns=side&format=csv").whole(), "side\n");
}

#[test]
fn the_format_follows_what_is_accepted_and_is_json_lines_else() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(50));
    let served = Served::start(folder.path());
    let of = |accept: &[(&str, &str)]| {
        let reply = served.get_with("/v1/trades?product=BTC-USD&limit=1", accept);
        assert_eq!(reply.status, 200);
        reply.header("Content-Type").unwrap().split(';').next().unwrap().to_owned()
    };
    assert_eq!(of(&[]), "application/x-ndjson");
    for (accept, want) in [
        ("*/*", "application/x-ndjson"),
        ("application/json", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
    ] {
        assert_eq!(of(&[("Accept", accept)]), want, "{accept}");
    }
}

#[test]
fn a_time_without_records_gives_an_empty_answer() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(50));
    let served = Served::start(folder.path());
    for path in ["trades", "tickers", "candles", "orders", "stats"] {
        let reply = served.get(&format!("/v1/{path}?product=BTC-USD&from=2020-01-01&to=2020-01-02&format=json"));
        assert_eq!(reply.whole(), "[]\n", "{path}");
        assert_ne!(reply.verdict(), "whole", "{path}");
    }
}

#[test]
fn a_limit_makes_days_needless_and_they_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(2_000));
    let served = Served::start_with(folder.path(), |config| config.max_days = 1);
    assert_eq!(ids(&served, "/v1/trades?product=BTC-USD&order=desc&limit=3"), [2_999, 2_998, 2_997]);
    assert_eq!(ids(&served, "/v1/trades?product=BTC-USD&limit=2"), [1_000, 1_001]);
    let (status, text) = served.get("/v1/trades?product=BTC-USD&order=desc&limit=1900").error();
    assert_eq!(status, 400, "{text}");
}
