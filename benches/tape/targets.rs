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

const TARGETS: [(&str, Series, Series, Bound); 14] = [
    ("parse of a match at least 3.7 times as fast as by Value", (MATCH, parse::VALUE), (MATCH, parse::COLTAPE), AtLeast(3.7)),
    ("parse of a match at most 1.15 times sonic-rs typed", (MATCH, parse::COLTAPE), (MATCH, parse::SONIC), AtMost(1.15)),
    ("parse of a match at most 1.45 times simd-json's bare tape", (MATCH, parse::COLTAPE), (MATCH, parse::BARE_TAPE), AtMost(1.45)),
    ("full record, provisioned ahead, at most 3 times plain memory", (FULL, write::AHEAD), (FULL, write::MEMORY), AtMost(3.0)),
    (
        "full record, provisioned ahead, at least 1.5 times as fast as BufWriters",
        (FULL, write::BUFFERED),
        (FULL, write::AHEAD),
        AtLeast(1.5),
    ),
    ("12 products: at least 2.7 times the naive design's messages/s", (TWELVE, CAPTURE_RATE), (TWELVE, NAIVE_RATE), AtLeast(2.7)),
    ("12 products: at most 60 % of its CPU a message", (TWELVE, CAPTURE_CPU), (TWELVE, NAIVE_CPU), AtMost(0.6)),
    ("400 products: at least 3 times the naive design's messages/s", (MANY, CAPTURE_RATE), (MANY, NAIVE_RATE), AtLeast(3.0)),
    ("TLS: at least 80 % of the messages/s without", (TLS, CAPTURE_RATE), (TWELVE, CAPTURE_RATE), AtLeast(0.8)),
    ("1 000 messages/s: CPU a message no higher than the naive design's", (CALM, CAPTURE_CPU), (CALM, NAIVE_CPU), AtMost(1.0)),
    ("10 000 messages/s: CPU a message no higher than the naive design's", (BUSY, CAPTURE_CPU), (BUSY, NAIVE_CPU), AtMost(1.0)),
    ("10 000 messages/s over 400 products: at most twice the CPU of 12", (BUSY_MANY, CAPTURE_CPU), (BUSY, CAPTURE_CPU), AtMost(2.0)),
    ("as fast as it goes over 400 products: at most twice the CPU of 12", (MANY, CAPTURE_CPU), (TWELVE, CAPTURE_CPU), AtMost(2.0)),
    ("TLS: still at least 2.7 times the naive design's messages/s", (TLS, CAPTURE_RATE), (TLS, NAIVE_RATE), AtLeast(2.7)),
];

/// Latencies at 10 000 messages a second over 12 products: the design, the quantile, the most it may be in microseconds.
const LATENCIES: [(&str, &str, f64); 4] = [(CAPTURE, "p50", 1_000.0), (CAPTURE, "p99", 3_000.0), (SPIN, "p50", 50.0), (SPIN, "p99", 500.0)];

/// Prints whether each target that was measured is met; tells whether all are.
pub fn judge(measured: &Measured) -> bool {
    assert!(CAPTURE_RATE.starts_with(CAPTURE) && NAIVE_RATE.starts_with(NAIVE));
    println!("\ntargets: median of the rounds' ratios (quartiles)");
    let judged = TARGETS.map(|(text, above, below, bound)| Target { text, above, below, bound }.judge(measured));
    let mut are_met = judged.into_iter().flatten().all(|is_met| is_met);
    for (design, quantile, most) in LATENCIES {
        let Some(series) = measured.find(BUSY, &latency(design, quantile)) else { continue };
        let [low, middle, high] = quartiles(&series.values);
        let text = format!("10 000 messages/s, {design}: {quantile} from sent to visible at most {most} us");
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
