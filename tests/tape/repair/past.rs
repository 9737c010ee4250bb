//! REST, played by the simulator: gaps and a product's past, through its faults.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use coltape::internals::decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{Means, OrderId, Origin, Side, Trade};
use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::simulate::{Faults, SimulateConfig, Simulation};
use coltape::internals::store::{DayState, Snapshot, StoreOptions};
use coltape::internals::time::{Clock, Timestamp, UnixNanos, UtcDay, parse_rfc3339};
use coltape::internals::verify::{Verdict, VerifyConfig, verify};

use super::tape::{await_that, coltape, filled_by, journal, repaired, said, sealed, stored, told};
use crate::market::{FIRST_DAY, column_path, data_dir, product, rewrite};

/// A market whose past REST knows, and its ledger.
struct Exchange {
    folder: tempfile::TempDir,
    simulation: Simulation,
}

impl Exchange {
    /// Trades at two a second before `now`, which only REST shows.
    fn with_past(count: u64, now: UnixNanos, faults: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SimulateConfig::default();
        config.products = vec![product()];
        config.history = count;
        config.start = Some(now);
        config.faults = Faults::parse(faults).unwrap();
        config.ledger = Some(folder.path().join("ledger"));
        Self { simulation: Simulation::start(config).unwrap(), folder }
    }

    fn rest(&self) -> &str {
        self.simulation.endpoints().rest_url.as_deref().unwrap()
    }
}

/// The trades of such a past, as a market of the same seed writes them into its ledger when it ends.
fn past(count: u64, now: UnixNanos) -> Vec<Trade> {
    let Exchange { folder, simulation } = Exchange::with_past(count, now, "");
    simulation.stop().unwrap();
    let text = std::fs::read_to_string(folder.path().join("ledger")).unwrap();
    text.lines().filter_map(trade_of).collect()
}

/// Reads a line of the ledger.
fn trade_of(line: &str) -> Option<Trade> {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| line[key].as_str().unwrap();
    let number = |key: &str| decimal::parse(text(key).as_bytes()).unwrap();
    let id = |key: &str| {
        let mut id = [0; 16];
        hex::decode_to_slice(text(key).replace('-', ""), &mut id).unwrap();
        OrderId(id)
    };
    (line["kind"] == "trade").then(|| Trade {
        trade_id: line["trade_id"].as_u64().unwrap(),
        time: parse_rfc3339(text("time").as_bytes()).ok().and_then(Timestamp::to_unix).unwrap(),
        price: number("price"),
        size: number("size"),
        side: if text("side") == "buy" { Side::Buy } else { Side::Sell },
        maker_order_id: id("maker"),
        taker_order_id: id("taker"),
        sequence: line["sequence"].as_u64().unwrap(),
        recv: UnixNanos(7),
        origin: Origin::new(Means::Live, 0, 0),
    })
}

fn as_rest(trade: &Trade) -> Trade {
    super::tape::as_rest(trade)
}

/// One hour after the second midnight.
fn now() -> UnixNanos {
    UnixNanos(FIRST_DAY.next().next().start().0 + 3_600_000_000_000)
}

fn backfill(dir: &Path, exchange: &Exchange, args: &[&str]) -> Command {
    let mut command = coltape("backfill");
    command.args([product().as_str(), "--rest-url", exchange.rest(), "--rest-rate", "500", "--data-dir"]).arg(dir).args(args);
    command
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn ids_that_are_missing_come_from_rest_through_its_faults_and_get_their_order_ids_later() {
    let exchange = Exchange::with_past(3000, now(), "rest-429*1,rest-500*1,rest-truncate*1,rest-hole*2");
    let own = exchange.folder.path().join("own");
    let all = past(3000, now());
    assert_eq!(all.len(), 3000);
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let is_kept: Vec<bool> = (0..all.len()).map(|at| at == 0 || at + 1 == all.len() || random.u32(0..100) >= 5).collect();
    let kept: Vec<Trade> = all.iter().zip(&is_kept).filter(|(_, kept)| **kept).map(|(trade, _)| *trade).collect();
    let lost: Vec<u64> = all.iter().zip(&is_kept).filter(|(_, kept)| !**kept).map(|(trade, _)| trade.trade_id).collect();
    sealed(&own, &kept);
    let output = run({
        let mut command = coltape("repair");
        command.arg(&own).args(["--rest-url", exchange.rest(), "--rest-rate", "500"]);
        command
    });
    assert!(output.status.success(), "{}", said(&output));
    let want: Vec<Trade> = all.iter().map(|trade| if lost.contains(&trade.trade_id) { as_rest(trade) } else { *trade }).collect();
    assert_eq!(stored(&own), want);
    assert_eq!(filled_by(&own, "rest"), lost);
    let totals = exchange.simulation.totals();
    let faults: std::collections::BTreeSet<&str> = totals.faults.keys().copied().collect();
    assert!(["rest-429", "rest-500", "rest-truncate", "rest-hole"].iter().all(|name| faults.contains(name)), "{faults:?}");
    // The other box comes back: its tape has the order ids.
    let other = exchange.folder.path().join("other");
    sealed(&other, &all);
    let report = repaired(&own, &[&other]);
    assert!(report.is_whole() && report.sums().completed == lost.len() as u64, "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), told(&all));
}

#[test]
fn ids_that_rest_does_not_have_are_said_to_be_missing() {
    let exchange = Exchange::with_past(200, now(), "");
    let all = past(200, now());
    let own = exchange.folder.path().join("own");
    // What lies before the exchange's memory.
    let old = Trade { trade_id: all[0].trade_id - 50, time: UnixNanos(all[0].time.0 - 1_000_000_000), ..all[0] };
    let mut kept = vec![old];
    kept.extend(all.iter().filter(|trade| !trade.trade_id.is_multiple_of(9)));
    sealed(&own, &kept);
    let output = run({
        let mut command = coltape("repair");
        command.arg(&own).args(["--rest-url", exchange.rest(), "--rest-rate", "500"]);
        command
    });
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    let (from, to) = (old.trade_id + 1, all[0].trade_id - 1);
    assert!(text.contains(&format!("ids {from} to {to} missing: REST does not have them (asked 3 times)")), "{text}");
    assert!(text.contains("49 ids missing"), "{text}");
    let absent = journal(&own, "backfill_lacks");
    assert_eq!(absent.len(), 1);
    assert_eq!(
        (absent[0]["from_id"].as_u64(), absent[0]["to_id"].as_u64(), absent[0]["attempts"].as_u64()),
        (Some(from), Some(to), Some(3))
    );
    assert_eq!(stored(&own).len(), all.len() + 1, "all others are there");
}

#[test]
fn a_past_is_fetched_with_the_trade_before_and_the_one_behind() {
    let now = UnixNanos(FIRST_DAY.next().start().0 + 40_000_000_000);
    let exchange = Exchange::with_past(2000, now, "rest-429*1,rest-500*1,rest-hole*1");
    let own = exchange.folder.path().join("own");
    let (from, to) = (UnixNanos(FIRST_DAY.next().start().0 - 100_000_000_000), FIRST_DAY.next().start());
    let output = run(backfill(&own, &exchange, &["--from", &from.to_string(), "--to", &to.to_string()]));
    assert!(output.status.success(), "{}", said(&output));
    let all = past(2000, now);
    let first = all.iter().position(|trade| trade.time >= from).unwrap();
    let behind = all.iter().position(|trade| trade.time >= to).unwrap();
    let want: Vec<Trade> = all[first - 1..=behind].iter().map(as_rest).collect();
    assert_eq!(stored(&own), want, "from the one before to the one behind");
    assert!(journal(&own, "trading_began").is_empty());
}

/// A quiet market's REST: trade `id` came `id - 1` times fifty seconds after `start`; there are `count`.
fn quiet_market(start: UnixNanos, count: u64) -> String {
    market_that(1, count, move |_, id| shown(start, id))
}

/// A trade of a quiet market as REST shows it.
fn shown(start: UnixNanos, id: u64) -> String {
    let time = UnixNanos(start.0 + (id - 1) * 50_000_000_000);
    format!(r#"{{"time":"{time}","trade_id":{id},"price":"65083.67","size":"0.002186","side":"buy"}}"#)
}

/// A REST with trades up to `count`, none of them below `lowest`, that are shown as `show` says, which gets the number of the request and the id. One that shows nothing of its first trade
/// answers with 403.
fn market_that(lowest: u64, count: u64, show: impl Fn(u64, u64) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process.
    std::thread::spawn(move || {
        for (asked, connection) in (0..).zip(listener.incoming()) {
            let mut connection = connection.unwrap();
            let mut request = String::new();
            BufReader::new(&connection).read_line(&mut request).unwrap();
            let number = |key: &str| {
                let (_, rest) = request.split_once(key)?;
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
            };
            let newest = number("after=").map_or(count, |after| count.min(after - 1));
            let oldest = (newest + 1).saturating_sub(number("limit=").unwrap()).max(lowest);
            let shown: Vec<String> = (oldest..=newest).rev().map(|id| show(asked, id)).collect();
            let status = if shown.first().is_some_and(String::is_empty) { "403 Forbidden" } else { "200 OK" };
            let body = shown.join(",");
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len() + 2);
            let _ = connection.write_all(format!("{head}[{body}]").as_bytes());
        }
    });
    url
}

#[test]
fn a_day_of_the_past_is_fetched_whole() {
    let folder = tempfile::tempdir().unwrap();
    let url = quiet_market(UnixNanos(FIRST_DAY.start().0 - 86_400_000_000_000), 6000);
    let fetch = |name: &str, from: &str| {
        let own = folder.path().join(name);
        let mut command = coltape("backfill");
        command.args([product().as_str(), "--rest-url", &url, "--rest-rate", "500", "--columns", "core", "--data-dir"]).arg(&own);
        let output = command.args(["--from", from, "--to", &FIRST_DAY.next().to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let proof = verify(&VerifyConfig::new(&own, Clock::System.now())).unwrap();
        assert!(proof.holds(), "{:#?}", proof.findings.listed());
        assert!(!column_path(&own, Dataset::Trades, "trade_price_f64", FIRST_DAY).exists());
        proof.days.iter().map(|day| (day.coverage.verdict, day.coverage.records)).collect::<Vec<_>>()
    };
    // With the trade before and the one behind, the day between is shown to be whole.
    let (whole, partial) = (Verdict::Whole, Verdict::Partial);
    assert_eq!(fetch("a day", &FIRST_DAY.to_string()), [(partial, 1), (whole, 1728), (partial, 1)]);
    assert_eq!(fetch("from the first", "2025-01-01"), [(whole, 1728), (whole, 1728), (partial, 1)]);
}

#[test]
fn wherever_the_retention_of_rest_ends_no_day_is_whole_because_of_it() {
    let start = UnixNanos(FIRST_DAY.start().0 - 86_400_000_000_000);
    let folder = tempfile::tempdir().unwrap();
    // 1728 trades a day. The days asked for are the first two.
    let last = [1728, 3456];
    let chance = fastrand::u64(3..1728);
    for lowest in [1, 2, chance, 1727, 1728, 1729, 1730, 1728 + chance, 3456] {
        let url = market_that(lowest, 6000, move |_, id| shown(start, id));
        let own = folder.path().join(lowest.to_string());
        let fetch = |url: &str| {
            let mut command = coltape("backfill");
            command.args([product().as_str(), "--rest-url", url, "--rest-rate", "500", "--from", "2025-01-01", "--data-dir"]).arg(&own);
            let output = command.args(["--to", &FIRST_DAY.next().to_string()]).output().unwrap();
            assert!(output.status.success(), "{lowest}: {}", said(&output));
            let proof = verify(&VerifyConfig::new(&own, Clock::System.now())).unwrap();
            assert!(proof.holds(), "{lowest}: {:#?}", proof.findings.listed());
            let verdicts: Vec<(Verdict, u64)> = proof.days.iter().map(|day| (day.coverage.verdict, day.coverage.records)).collect();
            (said(&output), verdicts)
        };
        let (text, verdicts) = fetch(&url);
        let expected = |lowest: u64| {
            let of_day = |day: usize| {
                let first = last[day] - 1727;
                // Joined by the trade before it, or from the first trade ever.
                let verdict = if lowest < first || lowest == 1 { Verdict::Whole } else { Verdict::Partial };
                (lowest <= last[day]).then(|| (verdict, last[day] + 1 - lowest.max(first)))
            };
            (0..2).filter_map(of_day).chain([(Verdict::Partial, 1)]).collect::<Vec<_>>()
        };
        assert_eq!(verdicts, expected(lowest), "REST has nothing below {lowest}");
        let of_journal = |event: &str, id: &str| journal(&own, event).iter().map(|line| line[id].as_u64().unwrap()).collect::<Vec<_>>();
        let (began, limits) = if lowest == 1 { (vec![1], vec![]) } else { (vec![], vec![lowest]) };
        assert_eq!((of_journal("trading_began", "first_id"), of_journal("rest_retention", "lowest_id")), (began, limits));
        assert_eq!(text.contains(&format!("REST has no trade below id {lowest}")), lowest != 1, "{text}");
        // A REST that keeps more makes it whole.
        if lowest == 1728 {
            assert_eq!(fetch(&quiet_market(start, 6000)).1, expected(1));
        }
    }
}

#[test]
fn a_cut_backfill_goes_on_and_the_limit_of_rest_is_no_beginning() {
    let now = UnixNanos(FIRST_DAY.next().start().0 + 400_000_000_000);
    let (exchange, all) = (Exchange::with_past(12_000, now, ""), past(12_000, now));
    let own = exchange.folder.path().join("own");
    // Slow enough to be killed in the middle of its twelve pages.
    let mut slow = coltape("backfill");
    slow.args([product().as_str(), "--rest-url", exchange.rest(), "--rest-rate", "40", "--from", "2025-06-01", "--data-dir"]).arg(&own);
    let mut child = slow.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let count = |dir: &Path| {
        let day = |date: UtcDay| Snapshot::<Trades>::open(dir, &product(), date).ok().flatten().map_or(0, |day| day.count());
        day(FIRST_DAY) + day(FIRST_DAY.next())
    };
    await_that("some pages are stored", || count(&own) >= 2000);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = count(&own);
    assert!(left < 12_000, "killed too late to show anything");
    let output = run(backfill(&own, &exchange, &["--from", "2025-06-01"]));
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("{left} were stored already")) && text.contains(&format!("{} from REST", 12_000 - left)), "{text}");
    assert_eq!(stored(&own), all.iter().map(as_rest).collect::<Vec<_>>());
    let limits: Vec<u64> = journal(&own, "rest_retention").iter().map(|line| line["lowest_id"].as_u64().unwrap()).collect();
    assert_eq!((limits, journal(&own, "trading_began").len()), (vec![all[0].trade_id], 0));
    assert!(text.contains(&format!("REST has no trade below id {}", all[0].trade_id)), "{text}");
    let proof = verify(&VerifyConfig::new(&own, Clock::System.now())).unwrap();
    assert!(proof.holds(), "{:#?}", proof.findings.listed());
    let verdicts: Vec<Verdict> = proof.days.iter().map(|day| day.coverage.verdict).collect();
    assert_eq!(verdicts, [Verdict::Partial, Verdict::Partial], "nothing shows what came before the first, and after the last");
    for date in [FIRST_DAY, FIRST_DAY.next()] {
        let day = Snapshot::<Trades>::open(&own, &product(), date).unwrap().unwrap();
        assert!(matches!(day.state(), DayState::Sealed { .. }) && day.check().unwrap().is_empty());
    }
}

#[test]
fn what_a_capture_stored_is_kept_and_only_the_rest_is_fetched() {
    let now = UnixNanos(FIRST_DAY.next().start().0 + 100_000_000_000);
    let (exchange, all) = (Exchange::with_past(3000, now, ""), past(3000, now));
    let own = exchange.folder.path().join("own");
    let kept: Vec<Trade> = all.iter().filter(|trade| trade.trade_id % 100 < 60).copied().collect();
    sealed(&own, &kept);
    let output = run(backfill(&own, &exchange, &["--from", "2025-06-01"]));
    assert!(output.status.success(), "{}", said(&output));
    let want: Vec<Trade> = all.iter().map(|trade| if trade.trade_id % 100 < 60 { *trade } else { as_rest(trade) }).collect();
    assert_eq!(stored(&own), want, "live trades keep their order ids");
}

#[test]
fn what_rest_has_is_not_written_to_a_day_without_a_commit_page() {
    let now = UnixNanos(FIRST_DAY.next().start().0 + 100_000_000_000);
    let (exchange, all) = (Exchange::with_past(400, now, ""), past(400, now));
    let own = exchange.folder.path().join("own");
    sealed(&own, &all.iter().filter(|trade| trade.trade_id % 100 != 50).copied().collect::<Vec<_>>());
    rewrite(&own, Dataset::Trades, FIRST_DAY, |_| {});
    let of_day = || stored(&own).into_iter().filter(|trade| trade.time.day() == FIRST_DAY).collect::<Vec<_>>();
    let before = of_day();
    assert!(before.len() > 100 && !before.iter().any(|trade| trade.trade_id % 100 == 50));
    let mut repair = coltape("repair");
    repair.arg(&own).args(["--rest-url", exchange.rest(), "--rest-rate", "500"]);
    for command in [repair, backfill(&own, &exchange, &["--from", "2025-06-01"])] {
        let output = run(command);
        assert!(output.status.code() == Some(1) && said(&output).contains("no commit page"), "{}", said(&output));
        assert_eq!(of_day(), before, "nothing was set aside");
    }
}

#[test]
fn a_first_day_is_whole_from_id_1_on() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let url = quiet_market(FIRST_DAY.start(), 3000);
    let mut command = coltape("backfill");
    command.args([product().as_str(), "--rest-url", &url, "--rest-rate", "500", "--from", "2025-01-01", "--data-dir"]).arg(&own);
    let output = command.output().unwrap();
    assert!(output.status.success() && said(&output).contains("began trading with id 1"), "{}", said(&output));
    assert!(!said(&output).contains("REST has no trade below"), "{}", said(&output));
    assert_eq!(journal(&own, "trading_began").iter().map(|line| line["first_id"].as_u64().unwrap()).collect::<Vec<_>>(), [1]);
    let proof = verify(&VerifyConfig::new(&own, Clock::System.now())).unwrap();
    let verdicts: Vec<Verdict> = proof.days.iter().map(|day| day.coverage.verdict).collect();
    assert_eq!(verdicts, [Verdict::Whole, Verdict::Partial]);
}

#[test]
fn a_backfill_goes_past_what_it_cannot_use_and_brings_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    // The newest trade, those that a search asks about first, and some in the middle of pages. Two requests are refused.
    let is_bad = |id: u64| id == 3000 || (2990..=2995).contains(&id) || [1500, 1501, 750, 2250].contains(&id) || id.is_multiple_of(700);
    let start = FIRST_DAY.start();
    let broken = market_that(1, 3000, move |asked, id| match asked {
        0 | 20 => String::new(),
        _ if id == 1500 => shown(start, id).replace("\"65083.67\"", "NaN"),
        _ if is_bad(id) => shown(start, id).replace("65083.67", "x"),
        _ => shown(start, id),
    });
    let fetch = |url: &str| {
        let mut command = coltape("backfill");
        command.args([product().as_str(), "--rest-url", url, "--rest-rate", "500", "--from", "2025-01-01", "--data-dir"]).arg(&own);
        command.output().unwrap()
    };
    let output = fetch(&broken);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && text.contains("REST shows trade 750 in a form that cannot be used: not a price"), "{text}");
    let ids = || stored(&own).iter().map(|trade| trade.trade_id).collect::<Vec<_>>();
    let usable: Vec<u64> = (1..=2999).filter(|id| !is_bad(*id)).collect();
    assert_eq!(ids(), usable);
    let entries = std::fs::read_dir(own.join("_coltape")).unwrap().map(|entry| entry.unwrap());
    let rejects: String = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("rejects."))
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
        .collect();
    assert!([750, 1500, 2990].iter().all(|id| rejects.contains(&format!("trade_id\\\":{id},"))), "{rejects}");
    // Mended, it brings the rest.
    let output = fetch(&quiet_market(start, 3000));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(ids(), (1..=3000).collect::<Vec<_>>());
}

#[test]
fn a_backfill_says_what_it_cannot_do() {
    let exchange = Exchange::with_past(50, now(), "");
    let own = exchange.folder.path().join("own");
    let none = run(backfill(&own, &exchange, &["--from", "2025-07-01"]));
    assert!(none.status.success() && said(&none).contains("has no trades in that time"), "{}", said(&none));
    let none = run(backfill(&own, &exchange, &["--from", "2024-01-01", "--to", "2024-01-02"]));
    assert!(none.status.success() && said(&none).contains("has no trades in that time"), "{}", said(&none));
    assert_eq!(run(backfill(&own, &exchange, &["--from", "2025-06-08", "--to", "2025-06-08"])).status.code(), Some(1));
    assert_eq!(run(backfill(&own, &exchange, &["--from", "2025-06-01", "--rest-rate", "0"])).status.code(), Some(2));
    let mut unknown = coltape("backfill");
    unknown.args(["NO-SUCH", "--rest-url", exchange.rest(), "--from", "2025-06-01", "--data-dir"]).arg(&own);
    let unknown = run(unknown);
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("refused with 404"), "{}", said(&unknown));
    let _held = data_dir(&own, StoreOptions::default());
    let held = run(backfill(&own, &exchange, &["--from", "2025-06-01"]));
    assert!(held.status.code() == Some(1) && said(&held).contains("--backfill-from"), "{}", said(&held));
    let mut elsewhere = coltape("backfill");
    elsewhere.args([product().as_str(), "--from", "2025-06-01", "--data-dir"]).arg(&own);
    assert_eq!(run(elsewhere).status.code(), Some(2), "a test's directory is not filled from production");
    assert!(!column_path(&own, Dataset::Trades, "commit", FIRST_DAY).exists());
    assert_eq!(ProductId::new("BTC-USD").unwrap(), product());
}
