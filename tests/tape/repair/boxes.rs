//! Two boxes recorded one market; each lost something else.

use std::collections::BTreeSet;
use std::path::Path;

use coltape::internals::record::{Means, Trade};
use coltape::internals::repair::{RepairError, repair};
use coltape::internals::schema::{ColumnSet, Dataset, Trades};
use coltape::internals::store::{Snapshot, StoreOptions};
use coltape::internals::time::{Clock, UnixNanos};
use coltape::internals::verify::{VerifyConfig, verify};

use super::tape::{
    as_rest, await_that, coltape, config, count, dry_config, files, filled_by, journal, killed, market, repaired, said, sealed, stored,
    told, trades,
};
use crate::market::{self, FIRST_DAY, Print, column, column_path, data_dir, prints, product, rewrite, store, write_ledger};

/// Splits a market in what two boxes kept: each lost another 5 % of it, neither the first nor the last.
fn losses(prints: &[Print]) -> (Vec<Trade>, Vec<Trade>) {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (at, print) in prints.iter().enumerate() {
        let is_end = at == 0 || at + 1 == prints.len();
        let draw = random.u32(0..100);
        if is_end || draw >= 5 {
            first.push(print.trade);
        }
        if is_end || !(5..10).contains(&draw) {
            second.push(print.trade);
        }
    }
    (first, second)
}

fn ids(trades: &[Trade]) -> BTreeSet<u64> {
    trades.iter().map(|trade| trade.trade_id).collect()
}

#[test]
fn two_boxes_that_lost_different_trades_make_one_whole_tape() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(4000);
    let (first, second) = losses(&prints);
    sealed(&own, &first);
    killed(&other, &second, second.len());
    let before = files(&other);
    let report = repaired(&own, &[&other]);
    assert_eq!(files(&other), before, "another tape is only read");
    assert!(report.is_whole(), "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), trades(&prints), "every field of every trade");
    let lost: Vec<u64> = ids(&trades(&prints)).difference(&ids(&first)).copied().collect();
    assert!(lost.len() > 100 && report.sums().from_tapes == lost.len() as u64);
    assert_eq!(filled_by(&own, "tape"), lost);
    for trade in stored(&own) {
        let means = if lost.binary_search(&trade.trade_id).is_ok() { Means::Tape } else { Means::Live };
        assert_eq!(trade.origin.means(), Some(means));
    }
    let ledger = folder.path().join("ledger");
    let without_tickers: Vec<Print> = prints.iter().map(|print| Print { has_ticker: false, ..print.clone() }).collect();
    write_ledger(&ledger, &without_tickers);
    let now = Clock::System.now();
    let proof = {
        let mut config = VerifyConfig::new(&own, now);
        config.ledger = Some(ledger);
        verify(&config).unwrap()
    };
    assert!(proof.holds() && proof.ledger.is_some(), "{:#?}", proof.findings.listed());
    // A second time there is nothing to do, and nothing is written but the journal.
    let tape = |path: &Path| files(path).into_iter().filter(|(path, _)| !path.to_string_lossy().contains("_coltape")).collect::<Vec<_>>();
    let whole = tape(&own);
    assert_eq!(repaired(&own, &[&other]).sums().from_tapes, 0);
    assert_eq!(tape(&own), whole);
}

#[test]
fn a_box_that_went_down_is_repaired_by_the_other_and_seals_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(4000);
    let (first, second) = losses(&prints);
    // Of the last thousand only some had reached the disk; the box was down for the rest.
    killed(&own, &first[..first.len() - 300], first.len() - 1000);
    sealed(&other, &second);
    assert!(stored(&own).len() <= first.len() - 1000);
    let report = repaired(&own, &[&other]);
    let missing: Vec<u64> =
        ids(&trades(&prints)).difference(&ids(&second)).copied().filter(|id| *id > first[first.len() - 1001].trade_id).collect();
    assert!(!missing.is_empty());
    assert_eq!((report.is_whole(), report.missing_ids), (false, missing.len() as u64), "neither has them: {:#?}", report.lines());
    let want: Vec<Trade> = trades(&prints).into_iter().filter(|trade| missing.binary_search(&trade.trade_id).is_err()).collect();
    assert_eq!(told(&stored(&own)), want);
    assert!(stored(&own).iter().all(|trade| !trade.maker_order_id.is_nil() && !trade.taker_order_id.is_nil()));
    for date in [FIRST_DAY, FIRST_DAY.next()] {
        let day = Snapshot::<Trades>::open(&own, &product(), date).unwrap().unwrap();
        assert!(matches!(day.state(), coltape::internals::store::DayState::Sealed { .. }) && day.late().is_empty());
        assert_eq!(day.check().unwrap(), []);
    }
    assert!(journal(&own, "day_opened").iter().any(|line| line["believed"] == "durable" && line["how"] == "continued"));
}

#[test]
fn what_two_tapes_tell_differently_is_reported_and_never_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    let own_trades: Vec<Trade> = trades(&prints)
        .into_iter()
        .filter(|trade| trade.trade_id != 1100)
        .map(|trade| if trade.trade_id == 1200 { as_rest(&trade) } else { trade })
        .collect();
    let others: Vec<Trade> = trades(&prints)
        .into_iter()
        .map(|trade| match trade.trade_id {
            // One with a last digit that only the f64 shows, one whose order ids are missing here.
            1150 => Trade { size: coltape::internals::decimal::parse(b"3.14159265").unwrap(), ..trade },
            1200 => Trade {
                side: if trade.side == coltape::internals::record::Side::Buy {
                    coltape::internals::record::Side::Sell
                } else {
                    coltape::internals::record::Side::Buy
                },
                ..trade
            },
            _ => trade,
        })
        .collect();
    sealed(&own, &own_trades);
    sealed(&other, &others);
    let output = coltape("repair").arg(&own).arg("--from").arg(&other).arg("--no-rest").output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("trade 1150: trade_size differ") && text.contains("trade 1200: trade_side differ"), "{text}");
    assert!(text.contains("1 trades taken from other tapes, 0 from REST; 0 given order ids; 2 disagree; 0 ids missing"), "{text}");
    let mut want = trades(&prints);
    want[200] = as_rest(&want[200]);
    assert_eq!(told(&stored(&own)), told(&want), "the first is kept, and its order ids stay unknown");
    let conflicts = journal(&own, "conflict");
    assert_eq!(conflicts.iter().map(|line| line["trade_id"].as_u64().unwrap()).collect::<Vec<_>>(), [1150, 1200]);
    assert!(conflicts[0]["sent"].as_str().unwrap().contains("3.14159265"));
}

#[test]
fn trades_of_rest_get_the_order_ids_that_another_tape_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    let rest: Vec<Trade> = trades(&prints).iter().map(|trade| if trade.trade_id % 3 == 0 { as_rest(trade) } else { *trade }).collect();
    sealed(&own, &rest);
    sealed(&other, &trades(&prints));
    let report = repaired(&own, &[&other]);
    assert!(report.is_whole() && report.sums().completed == 200, "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), trades(&prints));
    assert_eq!(filled_by(&own, "tape"), [0; 0], "nothing was missing");
    assert!(stored(&own).iter().all(|trade| trade.origin.means() == Some(if trade.trade_id % 3 == 0 { Means::Tape } else { Means::Live })));
}

#[test]
fn a_dry_run_says_the_same_and_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let (first, second) = losses(&market(2000));
    killed(&own, &first, first.len());
    sealed(&other, &second);
    let before = (files(&own), files(&other));
    let dry = repair(&dry_config(&own, &[&other])).unwrap();
    assert_eq!((files(&own), files(&other)), before);
    assert!(dry.sums().from_tapes > 50);
    let output = coltape("repair").arg(&own).arg("--from").arg(&other).arg("--dry-run").output().unwrap();
    assert!(output.status.success() && said(&output).contains("would be taken"), "{}", said(&output));
    assert_eq!((files(&own), files(&other)), before);
    let done = repaired(&own, &[&other]);
    assert_eq!((dry.sums(), dry.missing_ids), (done.sums(), done.missing_ids));
    // Gaps that no tape fills are what is left of it.
    let dry = repair(&dry_config(&other, &[])).unwrap();
    assert!(!dry.is_whole() && dry.missing_ids > 50);
}

#[test]
fn days_between_and_days_outside_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    // One trade every four hours, six days.
    let all = trades(&prints(1, 36, FIRST_DAY.start(), 4 * 3_600_000_000_000));
    let day_of = |trade: &Trade| trade.time.day().0 - FIRST_DAY.0;
    let own_trades: Vec<Trade> = all.iter().filter(|trade| [1, 3, 4].contains(&day_of(trade)) && trade.trade_id != 30).copied().collect();
    sealed(&own, &own_trades);
    sealed(&other, &all);
    let report = repaired(&own, &[&other]);
    assert!(report.is_whole(), "{:#?}", report.lines());
    assert_eq!(told(&stored(&own)), all, "the end of a day that is here, and the days before, between and after");
    assert_eq!(report.brought.len(), 3);
}

#[test]
fn a_tape_is_taken_from_only_where_it_can_be_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    let holed: Vec<Trade> = trades(&prints).into_iter().filter(|trade| ![1100, 1101, 1400, 1401].contains(&trade.trade_id)).collect();
    sealed(&own, &holed);
    sealed(&other, &trades(&prints));
    // The first day: one bit of a price. The second, whose page goes: a trade of another day, and one that cannot be.
    let path = column_path(&other, Dataset::Trades, "trade_price_f64", FIRST_DAY);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    rewrite(&other, Dataset::Trades, FIRST_DAY.next(), |rows| {
        let (time, size) = (column(Dataset::Trades, "trade_time"), column(Dataset::Trades, "trade_size_f64"));
        let row = |id: u64| rows.iter().position(|row| row[0] == id.to_le_bytes()).unwrap();
        let (of_another_day, without_size) = (row(1400), row(1401));
        rows[of_another_day][time] = FIRST_DAY.start().seconds().to_le_bytes().to_vec();
        rows[without_size][size] = 0f64.to_le_bytes().to_vec();
    });
    let report = repaired(&own, &[&other]);
    let lines = report.lines().join("\n");
    assert!(lines.contains("the checksum of its first") && lines.contains("2 trades that are implausible or of another day"), "{lines}");
    assert_eq!((report.missing_ids, report.sums().from_tapes), (4, 0), "{lines}");
    assert_eq!(told(&stored(&own)), holed);
    rewrite(&other, Dataset::Trades, FIRST_DAY.next(), |rows| rows.swap(3, 4));
    assert!(repaired(&own, &[&other]).lines().join("\n").contains("its ids do not rise"));
}

#[test]
fn a_trade_that_is_filed_under_another_day_is_not_stored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    // The last trade before midnight; to the other box it came a second later.
    let moved: Vec<Trade> = trades(&prints)
        .into_iter()
        .map(|trade| if trade.trade_id == 1299 { Trade { time: UnixNanos(trade.time.0 + 1_000_000_000), ..trade } } else { trade })
        .collect();
    let (first, second) = (trades(&prints)[298].time.day(), moved[299].time.day());
    assert!(first != second);
    let own_trades: Vec<Trade> = trades(&prints).into_iter().filter(|trade| trade.trade_id != 1400).collect();
    sealed(&own, &own_trades);
    sealed(&other, &moved);
    let report = repaired(&own, &[&other]);
    assert_eq!(told(&stored(&own)), trades(&prints));
    assert_eq!((report.disagreements, report.sums().from_tapes), (1, 1), "{:#?}", report.lines());
    assert_eq!(report.differences[0].columns, ["trade_time"]);
}

#[test]
fn a_coarser_tape_gives_order_ids_and_no_prices() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    let core = StoreOptions::default().columns(ColumnSet::Core);
    let holed: Vec<Trade> = trades(&prints)
        .iter()
        .filter(|trade| trade.trade_id != 1100)
        .map(|trade| if trade.trade_id == 1200 { as_rest(trade) } else { *trade })
        .collect();
    sealed(&own, &holed);
    store::<Trades>(&data_dir(&other, core.clone()), &product(), &trades(&prints));
    let report = repaired(&own, &[&other]);
    let sums = report.sums();
    assert_eq!((sums.from_tapes, sums.completed, report.missing_ids, report.disagreements), (0, 1, 1, 0), "{:#?}", report.lines());
    let of = |id: u64| stored(&own).into_iter().find(|trade| trade.trade_id == id).unwrap();
    assert_eq!(
        (of(1200).taker_order_id, of(1200).price, of(1200).size),
        (prints[200].trade.taker_order_id, prints[200].trade.price, prints[200].trade.size)
    );
    // The other way round the finer tape gives all that the coarser one can hold, and their roundings are no difference.
    let third = folder.path().join("third");
    let holed: Vec<Trade> = trades(&prints).into_iter().filter(|trade| trade.trade_id % 50 != 0).collect();
    store::<Trades>(&data_dir(&third, core), &product(), &holed);
    sealed(&folder.path().join("fine"), &trades(&prints));
    let report = repaired(&third, &[&folder.path().join("fine")]);
    assert!(report.is_whole() && report.sums().from_tapes == 12, "{:#?}", report.lines());
    let coarse = |trade: &Trade| (trade.trade_id, trade.price.as_f32, trade.size.as_f32, trade.maker_order_id);
    assert_eq!(stored(&third).iter().map(coarse).collect::<Vec<_>>(), trades(&prints).iter().map(coarse).collect::<Vec<_>>());
    assert!(!column_path(&third, Dataset::Trades, "trade_price_f64", FIRST_DAY).exists());
}

#[test]
fn texts_that_no_float_holds_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    let long = Trade { size: coltape::internals::decimal::parse(b"1234567890.12345678").unwrap(), ..prints[100].trade };
    let mut all = trades(&prints);
    all[100] = long;
    sealed(&own, &all.iter().filter(|trade| trade.trade_id != 1100).copied().collect::<Vec<_>>());
    sealed(&other, &all);
    let mut exact = coltape::internals::store::journal::JournalFile::new(&other, "exact");
    for key in [1099, 1100] {
        let text = "1234567890.12345678".to_owned();
        let event = coltape::internals::store::event::Event::Exact { product: product(), column: "trade_size_f64".into(), key, text };
        exact.append(long.time, &event).unwrap();
    }
    assert!(repaired(&own, &[&other]).is_whole());
    let output = coltape("query")
        .args(["BTC-USD", "--format", "csv", "--columns", "trade_id,trade_size_f64", "--data-dir"])
        .arg(&own)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("1100,1234567890.12345678"), "{}", said(&output));
    let kept: Vec<String> = coltape::internals::store::journal::read(&own, "exact", FIRST_DAY, FIRST_DAY.next()).collect();
    assert_eq!(kept.len(), 1, "only of trades that were taken: {kept:?}");
}

#[test]
fn sandbox_and_production_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(60);
    sealed(&own, &trades(&prints));
    let dir =
        std::sync::Arc::new(coltape::internals::store::DataDir::open(&other, StoreOptions::default(), "exchange wss://sandbox").unwrap());
    market::store::<Trades>(&dir, &product(), &trades(&prints));
    drop(dir);
    assert!(matches!(repair(&config(&own, &[&other])), Err(RepairError::Tape { .. })));
    let mut of_any_endpoint = config(&own, &[&other]);
    of_any_endpoint.any_endpoint = true;
    assert!(repair(&of_any_endpoint).unwrap().is_whole());
    for wrong in [own.as_path(), folder.path()] {
        assert!(repair(&config(&own, &[wrong])).is_err(), "{}", wrong.display());
    }
    let output = coltape("repair").arg(&own).args(["--product", "ETH-USD", "--no-rest"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn a_day_that_was_damaged_is_set_aside_and_taken_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let prints = market(600);
    sealed(&other, &trades(&prints));
    // Once too short to be read, once too long to be believed.
    for (at, length) in [8u64, 80_000].into_iter().enumerate() {
        let own = own.join(at.to_string());
        sealed(&own, &trades(&prints).into_iter().filter(|trade| trade.trade_id != 1001).collect::<Vec<_>>());
        let path = column_path(&own, Dataset::Trades, "trade_size_f64", FIRST_DAY);
        std::fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        let report = repaired(&own, &[&other]);
        assert!(report.is_whole(), "{:#?}", report.lines());
        assert_eq!(told(&stored(&own)), trades(&prints), "length {length}");
        assert_eq!(journal(&own, "day_opened").iter().filter(|line| line["how"] == "quarantined").count(), 1);
    }
}

#[test]
fn a_day_that_cannot_be_opened_is_named_and_the_repair_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let all = market(600);
    market::store_all(&own, &all, StoreOptions::default());
    assert!(repair(&config(&own, &[])).unwrap().is_whole(), "nothing is missing");
    for (dataset, name) in [(Dataset::Trades, "trade_id"), (Dataset::Md, "price"), (Dataset::TickerTrades, "trade_spread")] {
        let path = column_path(&own, dataset, name, FIRST_DAY);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        // A rehearsal sets nothing aside, so the day stays as it is.
        let report = repair(&dry_config(&own, &[])).unwrap();
        let is_named = report.failures.iter().any(|failure| failure.contains(dataset.folder()) && failure.contains("cannot be read"));
        assert!(!report.is_whole() && is_named, "{name}: {:#?}", report.lines());
        let output = coltape("repair").arg(&own).args(["--no-rest", "--dry-run"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains("cannot be read"), "{name}: {}", said(&output));
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(repair(&config(&own, &[])).unwrap().is_whole(), "whole again");
}

/// Reads a capture's trades as they would be told.
fn of_capture(dir: &Path) -> Vec<Trade> {
    stored(dir)
        .into_iter()
        .map(|trade| Trade { origin: coltape::internals::record::Origin::default(), recv: UnixNanos(0), ..trade })
        .collect()
}

#[test]
fn a_capture_that_was_killed_is_made_whole_from_the_box_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let mut config = coltape::internals::simulate::SimulateConfig::default();
    config.products = vec![product()];
    config.rate_per_product = 400.0;
    config.tickers = false;
    config.duration = Some(std::time::Duration::from_secs(4));
    let simulation = coltape::internals::simulate::Simulation::start(config).unwrap();
    let capture = |dir: &Path| {
        let mut command = coltape("capture");
        command.args([product().as_str(), "--url", &simulation.endpoints().websocket_url, "--data-dir"]).arg(dir);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    // Both are there before either is killed: what one has and the other does not is then lost, not before its time.
    let (mut killed, mut beside) = (capture(&own), capture(&other));
    await_that("both have some trades", || count(&own) >= 100 && count(&other) >= 100);
    // However long the kill takes, most of the market comes after it.
    simulation.pause();
    killed.kill().unwrap();
    killed.wait().unwrap();
    simulation.resume();
    let totals = simulation.wait();
    assert!(totals.trades_produced > 1500);
    // The last of them may still be on its way.
    let mut last = 0;
    await_that("the other box has them all", || {
        let now = count(&other);
        std::mem::replace(&mut last, now) == now && now as u64 >= totals.trades_produced
    });
    let left = stored(&own);
    assert!(left.len() < last);
    // It goes on recording while it is read from.
    let output = coltape("repair").arg(&own).arg("--from").arg(&other).arg("--no-rest").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (own_trades, others) = (of_capture(&own), of_capture(&other));
    let from = others.iter().position(|trade| trade.trade_id == left[0].trade_id.max(others[0].trade_id)).unwrap();
    let own_from = own_trades.iter().position(|trade| trade.trade_id == others[from].trade_id).unwrap();
    assert_eq!(own_trades[own_from..], others[from..], "every field");
    assert!(own_trades.iter().all(|trade| !trade.maker_order_id.is_nil() && !trade.taker_order_id.is_nil()));
    assert!(own_trades.windows(2).all(|pair| pair[0].trade_id + 1 == pair[1].trade_id));
    beside.kill().unwrap();
    beside.wait().unwrap();
    simulation.stop().unwrap();
    let proof = coltape("verify").arg(&own).output().unwrap();
    assert!(proof.status.success(), "{}", said(&proof));
}
