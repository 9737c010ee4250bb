//! Months on one box: a capture of many products whose clock and market go faster than time, with a midnight on the way, and faults all the time.
//!
//! What a capture holds must not grow with the time that it runs: allocated bytes, anonymous memory, descriptors and maps. Journal and log grow with what
//! happens, not faster. A line is fitted to each over the last four fifths of the run, and what it rises by has to lie within the noise. The midnight stands in
//! the middle of that part, so that the files that two days need at once tilt no line. At the end every trade of the market is stored, as the ledger has it.
//!
//! Anonymous memory rises by what happens for the first time, up to the first midnight, perhaps as each writer's thread then opens a day itself, and touches
//! pages of its stack that it had not needed before. Its line begins behind that. What is allocated has no such steps: it shows a leak. In a run of several days what both
//! rise by from day to day is judged, so that little is seen that is left of each day.
//!
//! `scripts/months.sh` runs an hour of 100 products at 24 times the pace of time, and then some days; here it is 12 seconds of 20 products, in which most of an hour passes. That
//! is too short for a trend of the maps. Instead the run goes on until yesterday is sealed, when there have to be as few maps again as before midnight.
//! `COLTAPE_MONTHS_MINUTES`, `COLTAPE_MONTHS_PRODUCTS`, `COLTAPE_MONTHS_PACE` and `COLTAPE_MONTHS_RATE` (trades a second, of all products together) set them.

#![expect(clippy::cast_possible_truncation, reason = "the figures of a run are small")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use coltape::internals::capture::stop::Stop;
use coltape::internals::capture::{self, CaptureConfig};
use coltape::internals::feed::Feed;
use coltape::internals::product::ProductId;
use coltape::internals::simulate::{Faults, SimulateConfig, Simulation, products};
use coltape::internals::time::{Clock, UnixNanos};
use serde_json::{Value, json};

use crate::faults::tape;
use crate::faults::truth::Truth;
use crate::live_bytes::live_bytes;
use crate::programs::{DEADLINE, await_that_within, coltape};

/// The environment variable that tells a process of this program what it records.
const PLAN: &str = "COLTAPE_MONTHS_PLAN";

/// Samples of a run.
const SAMPLES: u32 = 240;

/// What of the run passes before the trend begins.
const WARM_UP: f64 = 0.2;

/// What of the run passes from the midnight until every writer has opened the new day.
const SETTLED_AFTER: f64 = 0.05;

/// What goes wrong. The moments are of the machine's clock, so that an hour has some hundreds of lost connections and a thousand gaps.
const FAULTS: &str = "drop=1/2000,duplicate=1/2000,reorder=1/2000,reset@every:15s,rest-500=0.02,rest-429=0.02";

fn setting(name: &str, usual: f64) -> f64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number is needed")))
}

/// A run.
struct Plan {
    length: Duration,
    products: usize,
    pace: u32,
    /// Trades a second of the machine's clock, over all products.
    rate: f64,
    /// Where in the run the midnight is: in the middle of the part that has a trend. In a short run it comes early, so that yesterday is sealed soon.
    midnight: f64,
}

impl Plan {
    fn read() -> Self {
        let minutes = setting("COLTAPE_MONTHS_MINUTES", 0.2);
        Self {
            length: Duration::from_secs_f64(minutes * 60.0),
            midnight: if minutes < 2.0 { 0.25 } else { 0.6 },
            products: setting("COLTAPE_MONTHS_PRODUCTS", 20.0) as usize,
            pace: setting("COLTAPE_MONTHS_PACE", 240.0) as u32,
            rate: setting("COLTAPE_MONTHS_RATE", 240.0),
        }
    }

    fn is_short(&self) -> bool {
        self.midnight < 0.5
    }

    /// Gives a clock that comes to a midnight at its place in the run, and to the machine's time at the end or later.
    fn clock(&self) -> Clock {
        let now = Clock::System.now();
        let event = |part: f64| (self.length.as_secs_f64() * f64::from(self.pace) * part * 1e9) as u64;
        let midnight = UnixNanos(now.0 - event(1.0 - self.midnight)).day().start();
        Clock::Fast { from: UnixNanos(midnight.0 - event(self.midnight)), since: now, pace: self.pace }
    }
}

/// What stands before the number of bytes that the capture's process says it has allocated.
const LIVE: &str = "live bytes: ";

/// The capture's process. It says what it has allocated for each byte on its stdin, and ends when that does.
struct Recorder {
    child: Child,
    said: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Recorder {
    fn start(folder: &Path, names: &[ProductId], simulation: &Simulation, clock: &Clock) -> Self {
        let Clock::Fast { from, since, pace } = clock else { panic!("a fast clock") };
        let ends = simulation.endpoints();
        let names: Vec<&str> = names.iter().map(ProductId::as_str).collect();
        let plan = json!({"url": ends.websocket_url, "rest": ends.rest_url, "products": names, "from": from.0, "since": since.0, "pace": pace,
            "data": folder.join("data")});
        let log = folder.join("log");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "--test-threads", "1", "months::records_what_its_plan_says"])
            .env(PLAN, plan.to_string())
            // As `coltape.service` and `capture.sh` have it.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said, log }
    }

    /// Asks what it has allocated.
    fn live_bytes(&mut self) -> f64 {
        self.child.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        // The test harness says other things there.
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "the capture has ended: {}", fs::read_to_string(&self.log).unwrap());
            if let Some((_, bytes)) = line.split_once(LIVE) {
                return bytes.trim().parse().unwrap();
            }
        }
    }

    /// Ends it. Gives whether it did its work, and its log.
    fn stop(mut self) -> (bool, String) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        (status.success(), fs::read_to_string(&self.log).unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the capture of the other test here, in a process of its own"]
fn records_what_its_plan_says() {
    let Some(plan) = std::env::var_os(PLAN) else { return };
    let plan: Value = serde_json::from_str(plan.to_str().unwrap()).unwrap();
    env_logger::Builder::new().filter_level(log::LevelFilter::Info).init();
    let text = |key: &str| plan[key].as_str().unwrap();
    let number = |key: &str| plan[key].as_u64().unwrap();
    let names = plan["products"].as_array().unwrap().iter().map(|name| ProductId::new(name.as_str().unwrap()).unwrap());
    let mut config = CaptureConfig::new(Feed::Exchange, text("url"), names, Path::new(text("data")));
    config.rest_url = Some(text("rest").to_owned());
    config.force_fs = true;
    let pace = u32::try_from(number("pace")).unwrap();
    config.clock = Clock::Fast { from: UnixNanos(number("from")), since: UnixNanos(number("since")), pace };
    let stop = Stop::default();
    let asked = stop.clone();
    std::thread::spawn(move || {
        while std::io::stdin().read_exact(&mut [0]).is_ok() {
            println!("{LIVE}{}", live_bytes());
        }
        asked.ask();
    });
    let summary = capture::run(&config, &stop).unwrap();
    assert!(summary.balances() && summary.failure.is_none(), "{:?}", summary.failure);
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: f64,
    /// Bytes, counts and bytes, in the order of [`NAMES`].
    values: [f64; NAMES.len()],
}

/// Places among them.
const ANONYMOUS: usize = 0;
const MAPS: usize = 2;
const ALLOCATED: usize = 3;

const NAMES: [&str; 6] = ["anonymous memory, bytes", "descriptors", "maps", "allocated, bytes", "journal, bytes", "log, bytes"];

/// Least change over the run that counts: allocators and kernels move in steps of this size.
const STEPS: [f64; 4] = [2e6, 8.0, 8.0, 1e5];

/// Whole days from which on what a figure rises by a day is judged, and not its trend: then it shows whether something is left of each day.
const LEAST_DAYS: usize = 3;

/// What the anonymous memory and what is allocated may rise by a day.
const A_DAY: [(usize, f64); 2] = [(ANONYMOUS, 1e6), (ALLOCATED, 1e5)];

/// In a short run many things happen for the first time.
const STEPS_OF_SHORT: [f64; 4] = [16e6, 16.0, 8.0, 4e6];

fn sample(recorder: &mut Recorder, folder: &Path, at: f64) -> Sample {
    let pid = recorder.child.id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: f64 = anonymous.trim().trim_end_matches("kB").trim().parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines().count();
    let own = fs::read_dir(folder.join("data/_coltape")).into_iter().flatten().flatten();
    let lines = own.filter(|entry| entry.file_name().to_string_lossy().ends_with(".jsonl"));
    let journal: u64 = lines.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    let log = fs::metadata(folder.join("log")).unwrap().len();
    Sample { at, values: [kib * 1024.0, descriptors as f64, maps as f64, recorder.live_bytes(), journal as f64, log as f64] }
}

/// Writes the samples beside what the capture has recorded, as a table.
fn write_samples(samples: &[Sample], folder: &Path) {
    let mut text = format!("seconds\t{}\n", NAMES.join("\t"));
    for sample in samples {
        let values = sample.values.map(|value| value.to_string());
        text += &format!("{:.1}\t{}\n", sample.at, values.join("\t"));
    }
    fs::write(folder.join("samples.tsv"), text).unwrap();
}

/// A line fitted to samples: what it rises by from the first to the last, and how far the samples lie from it (standard deviation).
fn trend(samples: &[Sample], which: usize) -> (f64, f64, f64) {
    let count = samples.len() as f64;
    let mean = |read: &dyn Fn(&Sample) -> f64| samples.iter().map(read).sum::<f64>() / count;
    let (at, value) = (mean(&|sample| sample.at), mean(&|sample| sample.values[which]));
    let covariance = mean(&|sample| (sample.at - at) * (sample.values[which] - value));
    let slope = covariance / mean(&|sample| (sample.at - at).powi(2));
    let noise = mean(&|sample| (sample.values[which] - value - slope * (sample.at - at)).powi(2)).sqrt();
    (slope * (samples.last().unwrap().at - samples[0].at), noise, value)
}

/// The least that a figure was on each whole day of the capture's clock but the first: what is open or waits at a moment is not in it.
fn least_of_days(samples: &[Sample], which: usize, plan: &Plan) -> Vec<f64> {
    let mut days: BTreeMap<i64, f64> = BTreeMap::new();
    for sample in samples {
        let day = (sample.at - plan.length.as_secs_f64() * plan.midnight) * f64::from(plan.pace) / 86_400.0;
        let least = days.entry(day.floor() as i64).or_insert(f64::MAX);
        *least = least.min(sample.values[which]);
    }
    let whole = days.len().saturating_sub(3);
    days.into_values().skip(2).take(whole).collect()
}

/// What a line through values rises by from one to the next.
fn slope(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let steps = || (0..values.len()).map(|at| at as f64 - middle);
    steps().zip(values).map(|(step, value)| step * (value - mean)).sum::<f64>() / steps().map(|step| step * step).sum::<f64>()
}

/// Prints what became of each figure. Gives those that grew; of a short run the maps are not among them.
fn judge(samples: &[Sample], plan: &Plan) -> Vec<String> {
    let is_short = plan.is_short();
    let late = &samples[(samples.len() as f64 * WARM_UP) as usize..];
    let mut grown = Vec::new();
    let settled = &samples[(samples.len() as f64 * (plan.midnight + SETTLED_AFTER)) as usize..];
    for (which, name) in NAMES.iter().enumerate() {
        let late = if which == ANONYMOUS && !is_short { settled } else { late };
        let (change, noise, mean) = trend(late, which);
        let [first, last] = [late[0], late[late.len() - 1]].map(|sample| sample.values[which]);
        let steps = if is_short { STEPS_OF_SHORT } else { STEPS };
        let (bound, held) = if let Some(step) = steps.get(which) {
            // Up to two standard deviations is the noise of what goes up and down.
            let bound = step.max(2.0 * noise);
            (bound, change <= bound)
        } else {
            // These only grow. In the second half of the run not by much more than in the first.
            let middle = late[late.len() / 2].values[which];
            let bound = 1.5 * (middle - first) + 65_536.0;
            (bound, last - middle <= bound)
        };
        println!(
            "{name:24} mean {mean:12.0}, first {first:12.0}, last {last:12.0}, trend {change:+10.0}, noise {noise:10.0}, bound {bound:10.0}"
        );
        let mut days = least_of_days(samples, which, plan);
        if which == ANONYMOUS {
            // What the allocator keeps grows in steps, and fewer of them: only the second half shows whether that ends.
            days.drain(..days.len() / 2);
        }
        if let Some((_, bound)) = A_DAY.iter().find(|(of, _)| *of == which && days.len() >= LEAST_DAYS) {
            let rise = slope(&days);
            let shown: Vec<String> = days.iter().map(|value| format!("{value:.0}")).collect();
            println!("{name:24} least of each day {}, rises by {rise:+.0} a day, bound {bound:.0}", shown.join(" "));
            if rise > *bound {
                grown.push(format!("{name}: {rise:+.0} a day, more than {bound:.0}"));
            }
            continue;
        }
        let is_excused = is_short && which == MAPS;
        if !held && !is_excused {
            grown.push(format!("{name}: {change:+.0} in the part that counts, more than {bound:.0}"));
        }
    }
    grown
}

/// Waits until the capture has every trade that the market made.
fn await_all(data: &Path, ledger: &Path) {
    let status = || serde_json::from_slice::<Value>(&fs::read(data.join("_coltape/status.json")).unwrap_or_default()).unwrap_or_default();
    let mut made = BTreeMap::new();
    await_that_within(DEADLINE, "the ledger has all that was made, and the capture, too", || {
        let truth = Truth::read(ledger, false);
        // Up to the newest one, which a heartbeat names where it was not sent.
        let count = |name: &str| truth.expected(name).0.first().map_or(0, |first| truth.products[name].made.range(first..).count());
        let counts: BTreeMap<String, usize> = truth.products.keys().map(|name| (name.clone(), count(name))).collect();
        let is_all = counts.iter().all(|(name, count)| tape::count(data, name) >= *count) && status()["missing_ids"] == 0;
        // The market stands still: the second look at its ledger shows the same.
        std::mem::replace(&mut made, counts.clone()) == counts && is_all
    });
}

#[test]
fn what_a_capture_holds_does_not_grow_with_time() {
    let plan = Plan::read();
    let mut folder = tempfile::tempdir().unwrap();
    let clock = plan.clock();
    let ledger = folder.path().join("ledger.jsonl");
    let mut config = SimulateConfig::default();
    config.products = products(plan.products).unwrap();
    config.rate_per_product = plan.rate / f64::from(plan.pace) / plan.products as f64;
    config.faults = Faults::parse(FAULTS).unwrap();
    config.ledger = Some(ledger.clone());
    config.clock = clock.clone();
    let names = config.products.clone();
    let simulation = Simulation::start(config).unwrap();
    let mut recorder = Recorder::start(folder.path(), &names, &simulation, &clock);
    assert!(simulation.wait_started(Duration::from_secs(120)), "the capture has not subscribed: {}", folder.keep().display());
    let (began, first_day) = (Instant::now(), clock.now().day());
    let mut samples: Vec<Sample> = Vec::new();
    await_that_within(plan.length + DEADLINE, "the run ends, and yesterday is sealed", || {
        assert!(recorder.child.try_wait().unwrap().is_none(), "the capture has ended: {}", fs::read_to_string(&recorder.log).unwrap());
        let now = sample(&mut recorder, folder.path(), began.elapsed().as_secs_f64());
        let due = plan.length * u32::try_from(samples.len()).unwrap() / SAMPLES;
        if began.elapsed() < plan.length {
            samples.extend((began.elapsed() >= due).then_some(now));
            return false;
        }
        let early = samples[samples.len() / 20..].iter().take(samples.len() / 10).map(|sample| sample.values[MAPS]);
        !plan.is_short() || now.values[MAPS] <= early.fold(f64::MAX, f64::min) + STEPS[MAPS]
    });
    simulation.pause();
    assert!(clock.now().day() > first_day, "a midnight has passed");
    let data = folder.path().join("data");
    await_all(&data, &ledger);
    let (is_good, log) = recorder.stop();
    let totals = simulation.stop().unwrap();
    println!("{} trades of {} products in {:.0} s, {totals:?}", totals.trades_produced, plan.products, plan.length.as_secs_f64());
    folder.disable_cleanup(true);
    write_samples(&samples, folder.path());
    assert!(is_good, "{}: {}", folder.path().display(), log.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
    let grown = judge(&samples, &plan);
    assert!(grown.is_empty(), "{}: {grown:#?}", folder.path().display());
    let verify = coltape().args(["verify", "--json", "--ledger"]).arg(&ledger).arg(&data).output().unwrap();
    let said = String::from_utf8(verify.stdout).unwrap();
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    // A ticker that was sent while no connection stood cannot be fetched.
    let findings = summary["findings"].as_object().unwrap();
    let wrong: Vec<_> = findings.iter().filter(|(kind, count)| *kind != "lost" && **count != 0).collect();
    assert!(wrong.is_empty(), "{}: {wrong:?}\n{said}", folder.path().display());
    println!("verify: {summary}");
    folder.disable_cleanup(false);
}
