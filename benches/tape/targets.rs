//! What has to be held, and on which machine it was measured.

use crate::parse;
use crate::pipeline::{BUSY, BUSY_MANY, CALM, CAPTURE, MANY, NAIVE, SPIN, TLS, TWELVE, latency};
use crate::rounds::Bound::{AtLeast, AtMost};
use crate::rounds::{Bound, Measured, Target, quartiles, short};
use crate::write;

const MATCH: &str = "parse: match";
const FULL: &str = "write: full record, 13 columns, 96 bytes";

type Series = (&'static str, &'static str);

const CAPTURE_RATE: &str = "capture: messages/s";
const CAPTURE_CPU: &str = "capture: CPU a message";
const NAIVE_RATE: &str = "naive: messages/s";
const NAIVE_CPU: &str = "naive: CPU a message";

const TICKER: &str = "parse: ticker";
const BATCH_1: &str = "parse: Advanced batch of 1";
const BATCH_100: &str = "parse: Advanced batch of 100";

const RIVAL_CPU: &str = "rival: CPU a message";
const DISCARD_RATE: &str = "discard: messages/s";

const fn by_value(contest: &'static str) -> (Series, Series) {
    ((contest, parse::VALUE), (contest, parse::COLTAPE))
}

const fn by_sonic(contest: &'static str) -> (Series, Series) {
    ((contest, parse::SONIC), (contest, parse::COLTAPE))
}

const fn of(contest: &'static str, above: &'static str, below: &'static str) -> (Series, Series) {
    ((contest, above), (contest, below))
}

const TARGETS: [(&str, (Series, Series), Bound); 25] = [
    ("parse of a match at least 8 times as fast as by Value", by_value(MATCH), AtLeast(8.0)),
    ("parse of a ticker at least 8 times as fast as by Value", by_value(TICKER), AtLeast(8.0)),
    ("parse of a batch of 1 at least 5 times as fast as by Value", by_value(BATCH_1), AtLeast(5.0)),
    ("parse of a batch of 100 at least 5 times as fast as by Value", by_value(BATCH_100), AtLeast(5.0)),
    ("parse of a match at least 1.5 times as fast as sonic-rs typed", by_sonic(MATCH), AtLeast(1.5)),
    ("parse of a ticker at least 1.5 times as fast as sonic-rs typed", by_sonic(TICKER), AtLeast(1.5)),
    ("parse of a batch of 1 at least 1.5 times as fast as sonic-rs typed", by_sonic(BATCH_1), AtLeast(1.5)),
    ("parse of a batch of 100 at least 1.5 times as fast as sonic-rs typed", by_sonic(BATCH_100), AtLeast(1.5)),
    ("full record, provisioned ahead, at most 3 times plain memory", of(FULL, write::AHEAD, write::MEMORY), AtMost(3.0)),
    ("full record, provisioned ahead, at least 1.5 times as fast as BufWriters", of(FULL, write::BUFFERED, write::AHEAD), AtLeast(1.5)),
    ("12 products: at least 7 times the naive design's messages/s", of(TWELVE, CAPTURE_RATE, NAIVE_RATE), AtLeast(7.0)),
    ("12 products: at least 38 % of reading and discarding", of(TWELVE, CAPTURE_RATE, DISCARD_RATE), AtLeast(0.38)),
    ("12 products: at most 60 % of the naive design's CPU a message", of(TWELVE, CAPTURE_CPU, NAIVE_CPU), AtMost(0.6)),
    ("12 products: CPU a message no higher than the rival's", of(TWELVE, CAPTURE_CPU, RIVAL_CPU), AtMost(1.0)),
    ("TLS: at least 4.5 times the naive design's messages/s", of(TLS, CAPTURE_RATE, NAIVE_RATE), AtLeast(4.5)),
    ("TLS: at least 80 % of the messages/s without", ((TLS, CAPTURE_RATE), (TWELVE, CAPTURE_RATE)), AtLeast(0.8)),
    ("400 products: at least 5.5 times the naive design's messages/s", of(MANY, CAPTURE_RATE, NAIVE_RATE), AtLeast(5.5)),
    ("400 products: CPU a message no higher than the rival's", of(MANY, CAPTURE_CPU, RIVAL_CPU), AtMost(1.0)),
    ("400 products: at most twice the CPU of 12", ((MANY, CAPTURE_CPU), (TWELVE, CAPTURE_CPU)), AtMost(2.0)),
    ("1 000 messages/s: CPU a message no higher than the naive design's", of(CALM, CAPTURE_CPU, NAIVE_CPU), AtMost(1.0)),
    ("1 000 messages/s: CPU a message no higher than the rival's", of(CALM, CAPTURE_CPU, RIVAL_CPU), AtMost(1.0)),
    ("10 000 messages/s: CPU a message no higher than the naive design's", of(BUSY, CAPTURE_CPU, NAIVE_CPU), AtMost(1.0)),
    ("10 000 messages/s: CPU a message no higher than the rival's", of(BUSY, CAPTURE_CPU, RIVAL_CPU), AtMost(1.0)),
    ("10 000 messages/s over 400 products: CPU no higher than the naive design's", of(BUSY_MANY, CAPTURE_CPU, NAIVE_CPU), AtMost(1.0)),
    ("10 000 messages/s over 400 products: at most twice the CPU of 12", ((BUSY_MANY, CAPTURE_CPU), (BUSY, CAPTURE_CPU)), AtMost(2.0)),
];

/// Latencies at 10 000 messages a second: the contest, the design, the quantile, the most it may be in microseconds.
const LATENCIES: [(&str, &str, &str, f64); 5] = [
    (BUSY, CAPTURE, "p50", 75.0),
    (BUSY, CAPTURE, "p99", 1_000.0),
    (BUSY, SPIN, "p50", 50.0),
    (BUSY, SPIN, "p99", 200.0),
    (BUSY_MANY, CAPTURE, "p99", 3_000.0),
];

/// Prints whether each target that was measured is met; tells whether all are.
pub fn judge(measured: &Measured) -> bool {
    assert!(CAPTURE_RATE.starts_with(CAPTURE) && NAIVE_RATE.starts_with(NAIVE));
    println!("\ntargets: median of the rounds' ratios (quartiles)");
    let judged = TARGETS.map(|(text, (above, below), bound)| Target { text, above, below, bound }.judge(measured));
    let mut are_met = judged.into_iter().flatten().all(|is_met| is_met);
    for (contest, design, quantile, most) in LATENCIES {
        let Some(series) = measured.find(contest, &latency(design, quantile)) else { continue };
        let [low, middle, high] = quartiles(&series.values);
        let contest = contest.trim_start_matches("pipeline: ");
        let text = format!("{contest}, {design}: {quantile} from sent to visible at most {most} us");
        println!(
            "  {:<8} {text:<92} {} ({} to {})",
            if middle <= most { "met" } else { "NOT MET" },
            short(middle),
            short(low),
            short(high)
        );
        are_met &= middle <= most;
    }
    are_met
}

/// Says what it ran on.
pub fn print_machine(rounds: usize) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let of = |text: &str, key: &str| {
        text.lines().find(|line| line.starts_with(key)).and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = of(&read("/proc/meminfo"), "MemTotal");
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    println!("machine: {cores} x {}, {memory} memory, Linux {}", of(&cpuinfo, "model name"), kernel.trim());
    println!(
        "files on: {}; CPU governor: {}",
        std::env::temp_dir().display(),
        if governor.is_empty() { "not told" } else { governor.trim() }
    );
    println!("load before: {}; rounds: {rounds}, entrants alternating", read("/proc/loadavg").trim());
}
