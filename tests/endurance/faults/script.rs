//! Which fault comes when: a script drawn from a seed, in which every kind comes as often as asked.

use std::time::Duration;

use fastrand::Rng;

/// A kind as the script spells it, and how often it is to come.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) spelled: &'static str,
    pub(crate) times: u64,
}

impl Asked {
    /// The name in the ledger, with the code where it has one.
    pub(crate) fn label(&self) -> &'static str {
        if self.spelled.starts_with("close:") { self.spelled } else { self.spelled.split(':').next().unwrap() }
    }
}

/// Kinds that strike frames, products or the clock: cheap, and spread over the whole run.
const FRAMES: [&str; 11] = [
    "drop",
    "duplicate",
    "reorder",
    "delay:600ms",
    "absurd-id",
    "absurd-time",
    "junk",
    "lose",
    // Longer than a heartbeat may run ahead of its trade.
    "stall:3s",
    "stall-lost:400ms",
    "clock-step:-50ms",
];
/// Ends of connections: a capture opens one a second at most, so these decide how long a run takes.
const ENDS: [&str; 6] = ["reset", "close:1000", "close:1001", "close:1006", "half-frame", "silent:3s"];
/// What meets a capture that comes back; each needs an end after it.
const REFUSALS: [&str; 2] = ["refuse-connection", "refuse-subscription"];
const REST: [&str; 5] = ["rest-slow:300ms", "rest-429", "rest-500", "rest-truncate", "rest-hole"];

/// How often each group comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) frames: u64,
    pub(crate) connections: u64,
    pub(crate) rest: u64,
    pub(crate) outages: u64,
    pub(crate) delisted: u64,
}

/// A script of faults for `length`, and what it asks for.
pub(crate) fn draw(seed: u64, length: Duration, times: Times) -> (String, Vec<Asked>) {
    let mut rng = Rng::with_seed(seed);
    let mut asked = Vec::new();
    let mut parts = Vec::new();
    let length_ms = length.as_millis() as f64;
    let mut spread = |rng: &mut Rng, spelled: &'static str, times: u64, from: f64, to: f64| {
        for at in 0..times {
            let place = (at as f64 + rng.f64()) / times as f64;
            parts.push((length_ms * (from + (to - from) * place), spelled));
        }
        asked.push(Asked { spelled, times });
    };
    for spelled in FRAMES {
        spread(&mut rng, spelled, times.frames, 0.03, 1.0);
    }
    // The clock goes forward by minutes too.
    spread(&mut rng, "clock-step:90s", times.outages, 0.1, 0.9);
    spread(&mut rng, "outage:2s", times.outages, 0.1, 0.9);
    spread(&mut rng, "delist", times.delisted, 0.2, 0.8);
    for spelled in REST {
        spread(&mut rng, spelled, times.rest, 0.1, 0.7);
    }
    let mut ends: Vec<&'static str> = ENDS.iter().flat_map(|kind| (0..times.connections).map(move |_| *kind)).collect();
    rng.shuffle(&mut ends);
    for spelled in ENDS.into_iter().chain(REFUSALS) {
        asked.push(Asked { spelled, times: times.connections });
    }
    let slot = length_ms * 0.92 / ends.len() as f64;
    let mut refusals: Vec<&'static str> = REFUSALS.iter().flat_map(|kind| (0..times.connections).map(move |_| *kind)).collect();
    rng.shuffle(&mut refusals);
    for (at, end) in ends.iter().enumerate() {
        let moment = length_ms * 0.05 + slot * (at as f64 + 0.3 * rng.f64());
        // A refusal a little before an end, so that who comes back meets it; never before the last ends, which must find their way.
        if at % 2 == 0
            && at + 2 < ends.len()
            && let Some(refusal) = refusals.pop()
        {
            parts.push(((moment - 150.0).max(0.0), refusal));
        }
        parts.push((moment, end));
    }
    assert!(refusals.is_empty(), "an end for every refusal");
    let rules: Vec<String> = parts.iter().map(|(moment, spelled)| format!("{spelled}@{}ms", moment.round())).collect();
    // One kind asked for in two ways is one kind.
    let mut merged: Vec<Asked> = Vec::new();
    for one in asked {
        match merged.iter_mut().find(|other| other.label() == one.label()) {
            Some(other) => other.times += one.times,
            None => merged.push(one),
        }
    }
    // What waits for somebody to strike may do so a while longer.
    (format!("{},calm@{}ms", rules.join(","), length.as_millis() + 5000), merged)
}
