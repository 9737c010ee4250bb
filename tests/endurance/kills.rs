//! kill -9: the real program is killed at random moments, again and again, and started again each time.
//!
//! No committed record is lost, none is stored twice, none is changed. A reader that has seen a record finds it again, before the next start and after it.
//! The trades of the time in which no capture ran are fetched, until every trade that the exchange made is stored once.
//!
//! `scripts/kills.sh` runs hundreds of kills; here there are ten or a few more. `COLTAPE_SEED` repeats the draws of a run, `COLTAPE_KILLS` sets the number of
//! kills, `COLTAPE_KILLS_RATE` the trades per second and product, and `COLTAPE_KILLS_TELL` prints each kill.

pub(crate) mod capture_process;
pub(crate) mod exchange;
pub(crate) mod final_check;
pub(crate) mod journal;
pub(crate) mod page;
pub(crate) mod reader;
pub(crate) mod segment;
pub(crate) mod tally;
pub(crate) mod tape;

use std::time::Duration;

use coltape::internals::time::{Clock, UtcDay};
use fastrand::Rng;
use segment::{Plan, Script};
use tally::Tally;

/// Most kills of one market.
const KILLS_PER_MARKET: usize = 20;

/// Kills where the environment sets no number.
const FEW: u64 = 10;

/// Markets beyond the expected number, before the test fails because a kind of kill has not happened.
const SPARE_MARKETS: u64 = 4;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Draws a market. `left` is the number of kills that are left, `missing` the kinds that have not happened yet.
fn script(seed: u64, number: u64, left: u64, missing: &[&str], rate: u32) -> Script {
    let mut rng = Rng::with_seed(seed.wrapping_add(number));
    let mut plans = if number > 0 {
        let plan = |kind: &&str| match *kind {
            "start" => Plan::Start,
            "seal" => Plan::Seal,
            "replace" => Plan::Replace,
            "roll-over" => Plan::RollOver,
            _ => Plan::Load,
        };
        missing.iter().map(plan).collect()
    } else if rng.bool() {
        vec![Plan::Load, Plan::RollOver, Plan::Start]
    } else {
        vec![Plan::RollOver, Plan::Start, Plan::Load]
    };
    let mut rest = vec![Plan::Replace, Plan::Seal, Plan::Gap, Plan::Start, Plan::Stop, Plan::Replace, Plan::Load];
    if left > FEW {
        rest.extend([
            Plan::RollOver,
            Plan::NoGap,
            Plan::NoGap,
            Plan::Seal,
            Plan::Stop,
            Plan::Start,
            Plan::Start,
            Plan::Replace,
            Plan::Gap,
            Plan::Load,
        ]);
    }
    rng.shuffle(&mut rest);
    plans.extend(rest);
    plans.truncate(usize::try_from(left).unwrap().clamp(3.max(missing.len()), KILLS_PER_MARKET));
    let today = Clock::System.now().day();
    // One in four markets has days long past. They are sealed at every start, and all their trades are late.
    let is_past = number > 0 && left > FEW && rng.u32(0..4) == 0;
    let second = if is_past { UtcDay(today.0 - 100) } else { today };
    let faults = if rng.bool() {
        "drop=1/3000,duplicate=1/3000,reorder=1/5000,delay:300ms=1/5000,rest-429=0.01,rest-500=0.05,rest-slow:200ms=0.1"
    } else {
        "drop=1/800,duplicate=1/1000,reorder=1/1000,delay:600ms=1/1500,rest-429=0.04,rest-500=0.15,rest-slow:800ms=0.15,rest-truncate=0.02"
    };
    Script {
        seed: seed.wrapping_add(number),
        rate,
        plans,
        dates: [UtcDay(second.0 - 1), second],
        before_midnight: Duration::from_millis(rng.u64(2000..4000)),
        lines: rng.u8(1..=2),
        faults: faults.to_owned(),
    }
}

#[test]
fn committed_records_survive_kill_9_and_missed_trades_are_fetched() {
    let seed = setting("COLTAPE_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let wanted = setting("COLTAPE_KILLS").unwrap_or(FEW);
    let rate = u32::try_from(setting("COLTAPE_KILLS_RATE").unwrap_or(150)).unwrap();
    println!("seed {seed}: {wanted} kills, 20 products at {rate} trades/s each");
    let mut tally = Tally::default();
    for number in 0.. {
        if tally.kills >= wanted && tally.missing_kinds().is_empty() && tally.gaps_open > 0 {
            break;
        }
        assert!(number < wanted / 5 + SPARE_MARKETS, "these kinds of kill have not happened: {:?}\n{tally}", tally.missing_kinds());
        let script = script(seed, number, wanted.saturating_sub(tally.kills), &tally.missing_kinds(), rate);
        let folder = tempfile::tempdir().unwrap();
        match segment::run(&script, folder.path()) {
            Ok(of_one) => tally += of_one,
            Err(what) => panic!("market {number} of seed {seed} (kept in {}): {what}\n{script:?}\n{tally}", folder.keep().display()),
        }
        println!("market {number}:\n{tally}");
    }
    assert!(tally.gaps_open > 0, "no kill under load met an open gap\n{tally}");
    assert!(wanted <= FEW || tally.no_gap > 0, "no kill under load met a time without gaps\n{tally}");
}
