//! One market, and the captures that are killed during it. After every kill everything that was seen is found again, and at the end every trade is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use coltape::internals::product::ProductId;
use coltape::internals::store::gaps;
use coltape::internals::time::UtcDay;
use fastrand::Rng;
use serde_json::Value;

use super::capture_process::{CaptureProcess, End, coltape};
use super::exchange::{Exchange, Market};
use super::final_check::{self, Ledger, Sums};
use super::journal::Journal;
use super::page;
use super::reader::Reader;
use super::tally::Tally;
use super::tape::Tape;

/// Longest that anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(90);

/// Longest time from a start to its kill, in milliseconds.
const START_MS: u64 = 300;

/// When a capture is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// While it starts: recovery, the seal of days left over, the search for gaps.
    Start,
    /// While it records.
    Load,
    /// While it records and trades are known to be missing.
    Gap,
    /// While it records and no trade is known to be missing.
    NoGap,
    /// Shortly after the first trades of the next day.
    RollOver,
    /// Within 200 ms of SIGTERM.
    Stop,
    /// As soon as a day is being sealed.
    Seal,
    /// As soon as a day is being replaced.
    Replace,
}

/// The settings of one market, and the plan of its kills.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) rate: u32,
    pub(crate) plans: Vec<Plan>,
    /// The days before and after the midnight that the market passes.
    pub(crate) dates: [UtcDay; 2],
    /// How long before midnight it begins.
    pub(crate) before_midnight: Duration,
    pub(crate) lines: u8,
    pub(crate) faults: String,
}

/// A market under way.
struct Segment<'a> {
    script: &'a Script,
    exchange: Exchange,
    data: PathBuf,
    said: PathBuf,
    args: Vec<String>,
    rng: Rng,
    /// Everything that has been seen so far.
    seen: BTreeMap<ProductId, Tape>,
    /// The sequences of the newest tickers that each capture left.
    ends: BTreeMap<ProductId, BTreeSet<u64>>,
    tally: Tally,
}

const PRODUCTS: usize = 20;
/// Products that the live reader reads during one run.
const WATCHED: usize = 5;

/// Runs a market to its end.
pub(crate) fn run(script: &Script, folder: &Path) -> Result<Tally, String> {
    let ledger = folder.join("ledger.jsonl");
    let market = Market {
        products: PRODUCTS,
        rate: script.rate,
        seed: script.seed,
        duration: script.before_midnight + Duration::from_millis(1300 * script.plans.len() as u64),
        start: (script.dates[1].start().0 - u64::try_from(script.before_midnight.as_nanos()).unwrap()).to_time(),
        faults: script.faults.clone(),
    };
    let exchange = Exchange::start(&market, &ledger);
    let mut args: Vec<String> = exchange.products.iter().map(ToString::to_string).collect();
    let lines = script.lines.to_string();
    let options = ["--url", &exchange.url, "--rest-url", &exchange.rest_url, "--rest-rate", "60", "--gap-wait", "200ms", "--lines", &lines];
    args.extend(options.map(str::to_owned));
    let seen = exchange.products.iter().map(|product| (product.clone(), Tape::default())).collect();
    let mut segment = Segment {
        script,
        exchange,
        data: folder.join("data"),
        said: folder.join("capture.out"),
        args,
        rng: Rng::with_seed(script.seed),
        seen,
        ends: BTreeMap::new(),
        tally: Tally { segments: 1, ..Tally::default() },
    };
    for plan in &script.plans {
        if segment.exchange.is_over() {
            break;
        }
        segment.kill_one(*plan).map_err(|what| format!("kill {} ({plan:?}): {what}", segment.tally.kills))?;
    }
    segment.finish(&ledger)
}

/// Shows nanoseconds since the epoch as RFC 3339.
trait ToTime {
    fn to_time(self) -> String;
}

impl ToTime for u64 {
    fn to_time(self) -> String {
        coltape::internals::time::UnixNanos(self).to_string()
    }
}

impl Segment<'_> {
    fn capture(&self) -> CaptureProcess {
        CaptureProcess::start(&self.args, &self.data, &self.said)
    }

    /// Waits for a random time.
    fn wait_up_to(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.rng.u64(0..=at_most_ms * 1000)));
    }

    /// Waits until `holds`, the market is over, the reader has found an error, or `at_most` has passed. Tells whether `holds`.
    fn wait(&self, reader: &Reader, at_most: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        loop {
            if holds() {
                return true;
            }
            if self.exchange.is_over() || reader.has_failed() || start.elapsed() >= at_most {
                return false;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    fn kill_one(&mut self, plan: Plan) -> Result<(), String> {
        let mut journal = Journal::from_now(&self.data);
        let states_before = page::day_states(&self.data, &self.exchange.products, self.script.dates);
        let left_files = page::new_files(&self.data, &self.exchange.products, self.script.dates);
        let mut names: Vec<ProductId> = self.exchange.products.clone();
        self.rng.shuffle(&mut names);
        let watched = names.into_iter().take(WATCHED).map(|name| (name.clone(), self.seen[&name].clone())).collect();
        let reader = Reader::start(&self.data, self.script.dates, watched);
        let began = Instant::now();
        let mut capture = self.capture();
        let mut is_stopping = false;
        if plan == Plan::Start {
            self.wait_up_to(START_MS);
        } else {
            let records = || reader.progress.fresh.load(Relaxed) > 0;
            self.wait(&reader, DEADLINE, records);
            match plan {
                Plan::Gap => {
                    self.wait(&reader, Duration::from_secs(4), || journal.products_with_gaps() > 0);
                    self.wait_up_to(100);
                }
                Plan::NoGap => {
                    // The gap of the time without a capture is noticed shortly after the first trades.
                    self.wait_up_to(500);
                    self.wait(&reader, Duration::from_secs(6), || journal.products_with_gaps() == 0);
                }
                Plan::RollOver => {
                    self.wait(&reader, DEADLINE, || reader.progress.of_second_day.load(Relaxed) > 0);
                    self.wait_up_to(300);
                }
                Plan::Load => self.wait_up_to(800),
                _ => self.wait_up_to(400),
            }
        }
        if matches!(plan, Plan::Stop | Plan::Seal | Plan::Replace) {
            is_stopping = true;
            capture.ask_to_stop();
            self.wait_for_stop(plan, &mut capture)?;
        }
        let end = capture.kill()?;
        let took = began.elapsed();
        let seen_live = reader.finish()?;
        let states = page::day_states(&self.data, &self.exchange.products, self.script.dates);
        let gapped = journal.products_with_gaps();
        let had_second_day = self.newest_time() >= self.script.dates[1].start().0;
        let had_new = self.check_stored(&seen_live)?;
        if matches!(end, End::Itself) {
            self.tally.too_late += 1;
            return Ok(());
        }
        self.tally.kills += 1;
        let is_start = plan == Plan::Start && took <= Duration::from_millis(START_MS + 50);
        let is_load = !is_stopping && plan != Plan::Start && had_new;
        // Files that an earlier kill left, and that this capture has not touched, do not count for this kill.
        let files = page::new_files(&self.data, &self.exchange.products, self.script.dates);
        let is_other = files != left_files || states.replacing != states_before.replacing || states.new_files != states_before.new_files;
        let is_replace = is_other && (states.new_files > 0 || states.replacing > 0);
        let has_closed = (states.cut, states.sealed_newest) != (states_before.cut, states_before.sealed_newest);
        let is_seal = is_stopping && has_closed && (states.cut > 0 || states.sealed_newest > 0);
        let is_roll_over = states.left_over > 0 || (!had_second_day && had_new && self.newest_time() >= self.script.dates[1].start().0);
        let tally = &mut self.tally;
        for (count, is) in tally.kinds.iter_mut().zip([is_start, is_load, is_seal, is_replace, is_roll_over]) {
            *count += u64::from(is);
        }
        tally.draining += u64::from(is_stopping && !is_seal && !is_replace);
        tally.announced += u64::from(is_replace && states.replacing > 0);
        tally.unannounced += u64::from(is_replace && states.replacing == 0);
        tally.gaps_open += u64::from(is_load && gapped > 0);
        tally.no_gap += u64::from(is_load && gapped == 0);
        if std::env::var_os("COLTAPE_KILLS_TELL").is_some() {
            eprintln!("  {plan:?} after {} ms, {gapped} products with gaps, {states:?}", took.as_millis());
        }
        Ok(())
    }

    /// Waits for the moment of the stop at which the plan kills the capture.
    fn wait_for_stop(&mut self, plan: Plan, capture: &mut CaptureProcess) -> Result<(), String> {
        let start = Instant::now();
        let (data, products, dates) = (&self.data, &self.exchange.products, self.script.dates);
        let left_files = page::new_files(data, products, dates);
        let newest = if dates[1].start().0 > self.newest_time() { dates[0] } else { dates[1] };
        let is_reached = || match plan {
            Plan::Replace => page::new_files(data, products, dates) != left_files,
            Plan::Seal => page::is_sealing(data, products, newest),
            _ => true,
        };
        while !is_reached() && !capture.has_ended() {
            if start.elapsed() > DEADLINE {
                return Err("a capture that was asked to stop neither seals nor ends".to_owned());
            }
        }
        let at_most = if plan == Plan::Stop { 200 } else { [1, 5, 20, 80][self.rng.usize(0..4)] };
        self.wait_up_to(at_most);
        Ok(())
    }

    /// Gives the newest event time seen, in nanoseconds.
    fn newest_time(&self) -> u64 {
        self.seen.values().filter_map(|tape| tape.trades.values().next_back()).map(|trade| trade.time.0).max().unwrap_or(0)
    }

    /// Reads everything that is stored, and compares it with everything that has been seen. Tells whether there is a new trade.
    fn check_stored(&mut self, seen_live: &BTreeMap<ProductId, Tape>) -> Result<bool, String> {
        let mut has_new = false;
        for product in self.exchange.products.clone() {
            let at = |what| format!("{product}: {what}");
            let now = Tape::read(&self.data, &product).map_err(at)?;
            let before = &self.seen[&product];
            self.tally.held += before.is_within(&now).map_err(at)?;
            if let Some(live) = seen_live.get(&product) {
                live.is_within(&now).map_err(|what| format!("{product}, seen by a reader before the kill: {what}"))?;
                self.tally.seen_live += (live.trades.len() + live.md.len() - before.trades.len() - before.md.len()) as u64;
            }
            has_new |= now.trades.len() > before.trades.len();
            let newest = now.md.keys().next_back().copied();
            self.ends.entry(product.clone()).or_default().extend(newest);
            self.seen.insert(product, now);
        }
        Ok(has_new)
    }

    /// Captures until no trade is missing, stops, and compares everything with the ledger.
    fn finish(mut self, path: &Path) -> Result<Tally, String> {
        let mut capture = self.capture();
        let start = Instant::now();
        while !self.exchange.is_over() {
            if start.elapsed() > DEADLINE {
                return Err("the market does not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let start = Instant::now();
        let ledger = Ledger::read(path);
        while let Some(missing) = self.missing(&ledger)? {
            if start.elapsed() > DEADLINE || capture.has_ended() {
                capture.ask_to_stop();
                capture.wait()?;
                return Err(format!("trades are still missing: {missing}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        capture.ask_to_stop();
        if matches!(capture.wait()?, End::Killed) {
            return Err("the capture was killed from outside".to_owned());
        }
        self.check_stored(&BTreeMap::new())?;
        let states = page::day_states(&self.data, &self.exchange.products, self.script.dates);
        if states.live + states.replacing + states.new_files > 0 {
            return Err(format!("days are not sealed after a clean stop: {states:?}"));
        }
        let _totals = self.exchange.close();
        let ledger = Ledger::read(path);
        let products: Vec<ProductId> = self.seen.keys().cloned().collect();
        self.tally.sums = final_check::check(&self.data, &products, self.script.dates, &ledger, self.script.lines, &self.ends)?;
        verify(&self.data, path, &self.tally.sums)?;
        Ok(self.tally)
    }

    /// Tells what is missing up to the market's last trades; `None` where every trade is there.
    fn missing(&self, ledger: &Ledger) -> Result<Option<String>, String> {
        for product in &self.exchange.products {
            let stored = gaps(&self.data, product, None).map_err(|error| error.to_string())?;
            if !stored.missing.is_empty() || stored.last != ledger.last(product) || !stored.unreadable.is_empty() {
                return Ok(Some(format!("{product}: {stored:?}, the last is {:?}", ledger.last(product))));
            }
        }
        Ok(None)
    }
}

/// Checks the tape with `coltape verify`, without and with the ledger. Only tickers of the time without a capture may be missing, and trades before a product's
/// first stored one.
fn verify(data: &Path, ledger: &Path, counted: &Sums) -> Result<(), String> {
    let plain = coltape().arg("verify").arg(data).output().unwrap();
    if !plain.status.success() {
        return Err(format!("verify: {}", String::from_utf8_lossy(&plain.stdout)));
    }
    let output = coltape().arg("verify").arg(data).args(["--json", "--ledger"]).arg(ledger).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |name: &str| lines.iter().find(|line| line["line"] == name).ok_or_else(|| format!("verify says no {name}: {text}"));
    let summary = line("summary")?;
    let others: Vec<&String> =
        summary["findings"].as_object().unwrap().keys().filter(|kind| *kind != "lost" && *kind != "never_sent").collect();
    let sums = line("ledger")?;
    let sum = |key: &str| sums[key].as_u64().unwrap();
    // A capture cannot know of trades before a product's first stored one. All others are there, with every field equal.
    let is_all = sum("trades") == sum("trades_equal") + counted.before && sum("trades_equal") == counted.trades;
    if !others.is_empty() || !is_all {
        let findings: Vec<&Value> = lines.iter().filter(|line| line["line"] == "finding" && line["kind"] != "lost").take(10).collect();
        return Err(format!("verify --ledger: {summary}\n{sums}\n{counted:?}\n{findings:?}"));
    }
    Ok(())
}
