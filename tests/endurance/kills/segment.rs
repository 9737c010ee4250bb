//! One market, and the captures that are killed under it: what was seen is found again after every kill, and at the end all of it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use coltape::product::ProductId;
use coltape::store::holes;
use coltape::time::UtcDay;
use fastrand::Rng;
use serde_json::Value;

use super::account::{self, Ledger, Sums};
use super::exchange::{Exchange, Market};
use super::journal::Journal;
use super::page;
use super::reader::Reader;
use super::tally::Tally;
use super::tape::Tape;
use super::victim::{End, Victim, coltape};

/// How long anything may take before it is given up on.
const DEADLINE: Duration = Duration::from_secs(90);

/// A start that is killed is killed within so many milliseconds.
const START_MS: u64 = 300;

/// When a capture is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// While it starts: recovery, the seal of what is left over, the look for holes.
    Start,
    /// While it records.
    Load,
    /// While it records and trades are known to be missing.
    Gap,
    /// While it records and nothing is known to be missing.
    Whole,
    /// Shortly after the first trades of the next day.
    RollOver,
    /// Within 200 ms of SIGTERM.
    Stop,
    /// As soon as a day is being sealed.
    Seal,
    /// As soon as a day is being replaced.
    Replace,
}

/// What one market is like.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) rate: u32,
    pub(crate) plans: Vec<Plan>,
    /// The days on either side of the midnight that it passes.
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
    /// All that has been seen so far.
    seen: BTreeMap<ProductId, Tape>,
    /// The newest tickers' sequences that each capture left.
    ends: BTreeMap<ProductId, BTreeSet<u64>>,
    tally: Tally,
}

const PRODUCTS: usize = 20;
/// Products that the live reader looks at during one run.
const WATCHED: usize = 5;

/// Runs a market to its end.
pub(crate) fn run(script: &Script, folder: &Path) -> Result<Tally, String> {
    let ledger = folder.join("ledger.jsonl");
    let market = Market {
        products: PRODUCTS,
        rate: script.rate,
        seed: script.seed,
        lasts: script.before_midnight + Duration::from_millis(1300 * script.plans.len() as u64),
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
        coltape::time::UnixNanos(self).to_string()
    }
}

impl Segment<'_> {
    fn capture(&self) -> Victim {
        Victim::start(&self.args, &self.data, &self.said)
    }

    /// Lets some random time pass.
    fn dawdle(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.rng.u64(0..=at_most_ms * 1000)));
    }

    /// Waits until something is so, the market is over, the reader has found something wrong, or `at_most` has passed.
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
        let scene_before = page::scene(&self.data, &self.exchange.products, self.script.dates);
        let left_files = page::new_files(&self.data, &self.exchange.products, self.script.dates);
        let mut names: Vec<ProductId> = self.exchange.products.clone();
        self.rng.shuffle(&mut names);
        let watched = names.into_iter().take(WATCHED).map(|name| (name.clone(), self.seen[&name].clone())).collect();
        let reader = Reader::start(&self.data, self.script.dates, watched);
        let began = Instant::now();
        let mut victim = self.capture();
        let mut is_stopping = false;
        if plan == Plan::Start {
            self.dawdle(START_MS);
        } else {
            let records = || reader.progress.fresh.load(Relaxed) > 0;
            self.wait(&reader, DEADLINE, records);
            match plan {
                Plan::Gap => {
                    self.wait(&reader, Duration::from_secs(4), || journal.gapped() > 0);
                    self.dawdle(100);
                }
                Plan::Whole => {
                    // What passed while nothing ran is noticed a moment after the first trades have come.
                    self.dawdle(500);
                    self.wait(&reader, Duration::from_secs(6), || journal.gapped() == 0);
                }
                Plan::RollOver => {
                    self.wait(&reader, DEADLINE, || reader.progress.of_second_day.load(Relaxed) > 0);
                    self.dawdle(300);
                }
                Plan::Load => self.dawdle(800),
                _ => self.dawdle(400),
            }
        }
        if matches!(plan, Plan::Stop | Plan::Seal | Plan::Replace) {
            is_stopping = true;
            victim.ask_to_stop();
            self.let_it_stop(plan, &mut victim)?;
        }
        let end = victim.kill()?;
        let took = began.elapsed();
        let seen_live = reader.finish()?;
        let scene = page::scene(&self.data, &self.exchange.products, self.script.dates);
        let gapped = journal.gapped();
        let had_second_day = self.newest_time() >= self.script.dates[1].start().0;
        let had_new = self.look(&seen_live)?;
        if matches!(end, End::Itself) {
            self.tally.too_late += 1;
            return Ok(());
        }
        self.tally.kills += 1;
        let is_start = plan == Plan::Start && took <= Duration::from_millis(START_MS + 50);
        let is_load = !is_stopping && plan != Plan::Start && had_new;
        // What an earlier kill left and this capture did not get to is not this kill's.
        let files = page::new_files(&self.data, &self.exchange.products, self.script.dates);
        let is_other = files != left_files || scene.replacing != scene_before.replacing || scene.new_files != scene_before.new_files;
        let is_replace = is_other && (scene.new_files > 0 || scene.replacing > 0);
        let has_closed = (scene.cut, scene.sealed_newest) != (scene_before.cut, scene_before.sealed_newest);
        let is_seal = is_stopping && has_closed && (scene.cut > 0 || scene.sealed_newest > 0);
        let is_roll_over = scene.left_over > 0 || (!had_second_day && had_new && self.newest_time() >= self.script.dates[1].start().0);
        let tally = &mut self.tally;
        for (count, is) in tally.kinds.iter_mut().zip([is_start, is_load, is_seal, is_replace, is_roll_over]) {
            *count += u64::from(is);
        }
        tally.draining += u64::from(is_stopping && !is_seal && !is_replace);
        tally.announced += u64::from(is_replace && scene.replacing > 0);
        tally.unannounced += u64::from(is_replace && scene.replacing == 0);
        tally.gaps_open += u64::from(is_load && gapped > 0);
        tally.no_gap += u64::from(is_load && gapped == 0);
        if std::env::var_os("COLTAPE_KILLS_TELL").is_some() {
            eprintln!("  {plan:?} after {} ms, {gapped} products with gaps, {scene:?}", took.as_millis());
        }
        Ok(())
    }

    /// Waits for the moment of a stop at which it is to be killed.
    fn let_it_stop(&mut self, plan: Plan, victim: &mut Victim) -> Result<(), String> {
        let start = Instant::now();
        let (data, products, dates) = (&self.data, &self.exchange.products, self.script.dates);
        let left_files = page::new_files(data, products, dates);
        let newest = if dates[1].start().0 > self.newest_time() { dates[0] } else { dates[1] };
        let is_reached = || match plan {
            Plan::Replace => page::new_files(data, products, dates) != left_files,
            Plan::Seal => page::is_sealing(data, products, newest),
            _ => true,
        };
        while !is_reached() && !victim.has_ended() {
            if start.elapsed() > DEADLINE {
                return Err("a capture that was asked to stop neither seals nor ends".to_owned());
            }
        }
        let at_most = if plan == Plan::Stop { 200 } else { [1, 5, 20, 80][self.rng.usize(0..4)] };
        self.dawdle(at_most);
        Ok(())
    }

    /// The newest event time seen.
    fn newest_time(&self) -> u64 {
        self.seen.values().filter_map(|tape| tape.trades.values().next_back()).map(|trade| trade.time.0).max().unwrap_or(0)
    }

    /// Looks at everything that is stored, and holds it against all that has been seen. Tells whether there is anything new.
    fn look(&mut self, seen_live: &BTreeMap<ProductId, Tape>) -> Result<bool, String> {
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

    /// Captures until nothing is missing, stops, and holds the whole of it against the ledger.
    fn finish(mut self, path: &Path) -> Result<Tally, String> {
        let mut victim = self.capture();
        let start = Instant::now();
        while !self.exchange.is_over() {
            if start.elapsed() > DEADLINE {
                return Err("the market does not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let start = Instant::now();
        let ledger = Ledger::read(path);
        while let Some(lacks) = self.lacks(&ledger)? {
            if start.elapsed() > DEADLINE || victim.has_ended() {
                victim.ask_to_stop();
                victim.wait()?;
                return Err(format!("what is missing does not come: {lacks}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        victim.ask_to_stop();
        if matches!(victim.wait()?, End::Killed) {
            return Err("somebody else killed the capture".to_owned());
        }
        self.look(&BTreeMap::new())?;
        let scene = page::scene(&self.data, &self.exchange.products, self.script.dates);
        if scene.live + scene.replacing + scene.new_files > 0 {
            return Err(format!("not all is sealed after a clean stop: {scene:?}"));
        }
        let _totals = self.exchange.close();
        let ledger = Ledger::read(path);
        let products: Vec<ProductId> = self.seen.keys().cloned().collect();
        self.tally.sums = account::settle(&self.data, &products, self.script.dates, &ledger, self.script.lines, &self.ends)?;
        verify(&self.data, path, &self.tally.sums)?;
        Ok(self.tally)
    }

    /// Says what is missing up to the market's last trades; nothing where it is all there.
    fn lacks(&self, ledger: &Ledger) -> Result<Option<String>, String> {
        for product in &self.exchange.products {
            let stored = holes(&self.data, product, None).map_err(|error| error.to_string())?;
            if !stored.gaps.is_empty() || stored.last != ledger.last(product) || !stored.unreadable.is_empty() {
                return Ok(Some(format!("{product}: {stored:?}, the last is {:?}", ledger.last(product))));
            }
        }
        Ok(None)
    }
}

/// Holds the tape against itself and against the ledger by `coltape verify`. Only tickers may be missing, those that passed while
/// nothing ran, and what lies before a product's first stored trade.
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
    // What lies before a product's first stored trade cannot be known to be missing: all others are there, every field equal.
    let is_all = sum("trades") == sum("trades_equal") + counted.before && sum("trades_equal") == counted.trades;
    if !others.is_empty() || !is_all {
        let findings: Vec<&Value> = lines.iter().filter(|line| line["line"] == "finding" && line["kind"] != "lost").take(10).collect();
        return Err(format!("verify --ledger: {summary}\n{sums}\n{counted:?}\n{findings:?}"));
    }
    Ok(())
}
