//! Draws a script of faults from a seed. Every kind fires as often as asked.

use std::time::Duration;

use fastrand::Rng;

/// A kind as the script writes it, and how often it must fire.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) text: &'static str,
    pub(crate) times: u64,
}

impl Asked {
    /// The name in the ledger, with the code where it has one.
    pub(crate) fn label(&self) -> &'static str {
        if self.text.starts_with("close:") { self.text } else { self.text.split(':').next().unwrap() }
    }
}

/// Faults of frames, products and the clock. They cost little time, and are spread over the whole run.
const FRAMES: [&str; 11] = [
    "drop",
    "duplicate",
    "reorder",
    "delay:600ms",
    "absurd-id",
    "absurd-time",
    "junk",
    "lose",
    // Longer than a heartbeat may come before its trade.
    "stall:3s",
    "stall-lost:400ms",
    "clock-step:-50ms",
];
/// Ends of connections. A capture opens at most one connection a second, so their number decides how long a run takes.
const ENDS: [&str; 6] = ["reset", "close:1000", "close:1001", "close:1006", "half-frame", "silent:3s"];
/// Faults of a capture that connects again. Each needs an end of a connection after it.
const REFUSALS: [&str; 2] = ["refuse-connection", "refuse-subscription"];
const REST: [&str; 5] = ["rest-slow:300ms", "rest-429", "rest-500", "rest-truncate", "rest-hole"];

/// How often each group of kinds fires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) frames: u64,
    pub(crate) connections: u64,
    pub(crate) rest: u64,
    pub(crate) outages: u64,
    pub(crate) delisted: u64,
}

/// Draws a script of faults for `length`. Gives it with the number of each kind.
pub(crate) fn draw(seed: u64, length: Duration, times: Times) -> (String, Vec<Asked>) {
    let mut rng = Rng::with_seed(seed);
    let mut asked = Vec::new();
    let mut parts = Vec::new();
    let length_ms = length.as_millis() as f64;
    let mut spread = |rng: &mut Rng, text: &'static str, times: u64, from: f64, to: f64| {
        for at in 0..times {
            let place = (at as f64 + rng.f64()) / times as f64;
            parts.push((length_ms * (from + (to - from) * place), text));
        }
        asked.push(Asked { text, times });
    };
    for text in FRAMES {
        spread(&mut rng, text, times.frames, 0.03, 1.0);
    }
    // The clock also goes forward by minutes.
    spread(&mut rng, "clock-step:90s", times.outages, 0.1, 0.9);
    spread(&mut rng, "outage:2s", times.outages, 0.1, 0.9);
    spread(&mut rng, "delist", times.delisted, 0.2, 0.8);
    for text in REST {
        spread(&mut rng, text, times.rest, 0.1, 0.7);
    }
    let mut ends: Vec<&'static str> = ENDS.iter().flat_map(|kind| (0..times.connections).map(move |_| *kind)).collect();
    rng.shuffle(&mut ends);
    for text in ENDS.into_iter().chain(REFUSALS) {
        asked.push(Asked { text, times: times.connections });
    }
    let slot = length_ms * 0.92 / ends.len() as f64;
    let mut refusals: Vec<&'static str> = REFUSALS.iter().flat_map(|kind| (0..times.connections).map(move |_| *kind)).collect();
    rng.shuffle(&mut refusals);
    for (at, end) in ends.iter().enumerate() {
        let moment = length_ms * 0.05 + slot * (at as f64 + 0.3 * rng.f64());
        // The refusal comes shortly before the end, so that the capture meets it when it connects again. The last ends have none.
        if at % 2 == 0
            && at + 2 < ends.len()
            && let Some(refusal) = refusals.pop()
        {
            parts.push(((moment - 150.0).max(0.0), refusal));
        }
        parts.push((moment, end));
    }
    assert!(refusals.is_empty(), "there is an end for every refusal");
    let rules: Vec<String> = parts.iter().map(|(moment, text)| format!("{text}@{}ms", moment.round())).collect();
    // A kind that is asked for with two settings is one kind.
    let mut merged: Vec<Asked> = Vec::new();
    for one in asked {
        match merged.iter_mut().find(|other| other.label() == one.label()) {
            Some(other) => other.times += one.times,
            None => merged.push(one),
        }
    }
    // A fault may have to wait for something to affect, so `calm` comes 5 s later.
    (format!("{},calm@{}ms", rules.join(","), length.as_millis() + 5000), merged)
}
