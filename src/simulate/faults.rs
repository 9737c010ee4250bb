//! Faults on a script: what goes wrong, and when.
//!
//! 1. A script is a list of rules, `name[:argument]` and `=chance`, `@moment`, `@every:time` or `*count`; see [`GRAMMAR`].
//! 2. Every draw comes from a seeded generator (`dice.rs`): the same script, seed and clients spoil the same frames of the same
//!    market. A trade or ticker that nobody hears gives no opportunity.
//! 3. A moment is one on the event clock, outages apart. A fault that needs a frame takes the next one after it.
//! 4. Each fault that fires is counted by its name and written to the ledger, with whom and what it struck.

use std::time::Duration;

/// The grammar of a script, as `--help` shows it.
pub const GRAMMAR: &str = "\
Faults, separated by commas: NAME[:ARGUMENT] followed by =CHANCE (0.01 or 1/1000, per opportunity), @MOMENT (5s, on the event clock, once), \
@every:TIME (again and again, half the time to one and a half between; a connection's own faults: for each connection by itself) \
or *COUNT (the first so many opportunities; *1 where nothing is said).
  each trade or ticker (Advanced: each trade, and drop each ticker too): drop, duplicate, reorder, delay[:200ms], absurd-id, absurd-time, junk
  each frame to each connection: lose (this connection does not get it)
  a product:            stall[:2s] (its trades come late; its tickers and heartbeats flow), stall-lost[:2s] (they never come), delist
  a connection:         silent[:15s], reset, close[:1000|1001|1006|...], half-frame, refuse-connection, refuse-subscription
  the exchange:         outage[:10m] (so much event time passes at once and nobody is told), clock-step[:-50ms] (event times are off by so much for a second)
  a REST request:       rest-slow[:2s], rest-429, rest-500, rest-truncate, rest-hole
calm@MOMENT: from then on nothing goes wrong.
Example: drop=0.01,duplicate=1/500,reset@5s,close:1001@every:3s,refuse-connection*2,rest-429=0.1,calm@60s";

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A trade or ticker is never sent; on the Advanced feed `sequence_num` skips one.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the one behind it.
    Reorder,
    /// It is sent later.
    Delay,
    /// One product's trades wait while everything else flows; then they come, in their order.
    Stall,
    /// One product's trades are not sent for a while, while everything else flows.
    StallLost,
    /// One connection does not get one frame; others may.
    Lose,
    /// Event time passes at once: what happens in it is sent to nobody.
    Outage,
    /// The event clock is wrong for a second.
    ClockStep,
    /// One connection stays open and says nothing; what it would have said is lost.
    Silent,
    /// One connection is reset.
    Reset,
    /// One connection is closed.
    Close,
    /// One connection ends in the middle of a frame.
    HalfFrame,
    /// A frame that means nothing is sent.
    Junk,
    /// A subscription is answered by an error.
    RefuseSubscription,
    /// A connection ends before its handshake.
    RefuseConnection,
    /// One product stops trading and is subscribed to no more.
    Delist,
    /// A REST answer takes its time.
    RestSlow,
    /// A REST request is one too many.
    Rest429,
    /// A REST request fails.
    Rest500,
    /// A REST answer ends before its end.
    RestTruncate,
    /// A REST page lacks a trade.
    RestHole,
    /// An extra copy of a trade with an id far ahead is sent before it.
    AbsurdId,
    /// An extra copy of a trade with a time of the year 1 is sent before it.
    AbsurdTime,
}

impl FaultKind {
    /// All kinds with the names they have in a script.
    pub const NAMES: [(&'static str, Self); 24] = [
        ("drop", Self::Drop),
        ("duplicate", Self::Duplicate),
        ("reorder", Self::Reorder),
        ("delay", Self::Delay),
        ("stall", Self::Stall),
        ("stall-lost", Self::StallLost),
        ("lose", Self::Lose),
        ("outage", Self::Outage),
        ("clock-step", Self::ClockStep),
        ("silent", Self::Silent),
        ("reset", Self::Reset),
        ("close", Self::Close),
        ("half-frame", Self::HalfFrame),
        ("junk", Self::Junk),
        ("refuse-subscription", Self::RefuseSubscription),
        ("refuse-connection", Self::RefuseConnection),
        ("delist", Self::Delist),
        ("rest-slow", Self::RestSlow),
        ("rest-429", Self::Rest429),
        ("rest-500", Self::Rest500),
        ("rest-truncate", Self::RestTruncate),
        ("rest-hole", Self::RestHole),
        ("absurd-id", Self::AbsurdId),
        ("absurd-time", Self::AbsurdTime),
    ];

    /// Gives the name it has in a script, in totals and in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether its opportunities are requests and connections rather than frames.
    pub(super) fn waits_for_a_client(self) -> bool {
        use FaultKind as K;
        matches!(self, K::RefuseSubscription | K::RefuseConnection | K::RestSlow | K::Rest429 | K::Rest500 | K::RestTruncate | K::RestHole)
    }

    /// Whether it befalls one trade or ticker.
    pub(super) fn strikes_an_item(self) -> bool {
        use FaultKind as K;
        matches!(self, K::Drop | K::Duplicate | K::Reorder | K::Delay | K::AbsurdId | K::AbsurdTime | K::Junk)
    }

    /// Whether it befalls one open connection, so that a repeated one has a clock for each.
    pub(super) fn strikes_a_connection(self) -> bool {
        matches!(self, Self::Silent | Self::Reset | Self::Close | Self::HalfFrame)
    }

    /// Whether it takes its time.
    pub(super) fn has_length(self) -> bool {
        matches!(self, Self::Delay | Self::Stall | Self::StallLost | Self::Silent | Self::Outage | Self::RestSlow)
    }

    fn usual_length(self) -> Duration {
        match self {
            Self::Delay => Duration::from_millis(200),
            Self::Silent => Duration::from_secs(15),
            Self::Outage => Duration::from_secs(600),
            Self::ClockStep => Duration::from_secs(1),
            _ => Duration::from_secs(2),
        }
    }
}

/// One fault that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For how long, where that means something.
    pub length: Duration,
    /// The close code, where that means something.
    pub code: u16,
    /// How far the event clock is off, in nanoseconds, where that means something.
    pub step_nanos: i64,
}

impl Fault {
    /// A fault as it usually is.
    #[must_use]
    pub fn of_kind(kind: FaultKind) -> Self {
        Self { kind, length: kind.usual_length(), code: 1000, step_nanos: USUAL_STEP_NANOS }
    }
}

/// When a rule fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// At each opportunity with this chance.
    Chance(f64),
    /// Once.
    At(Duration),
    /// Again and again.
    Every(Duration),
    /// At the first so many opportunities.
    Count(u32),
}

/// How far a clock is off where a script does not say: 50 ms back.
const USUAL_STEP_NANOS: i64 = -50_000_000;

/// A checked script; the default has no faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    pub(super) rules: Vec<(Fault, When)>,
    /// From when on nothing goes wrong.
    pub(super) calm: Option<Duration>,
}

/// Says which part of a script makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no fault (want NAME[:ARGUMENT] and =CHANCE, @MOMENT, @every:TIME or *COUNT, as in drop=0.01 or close:1001@5s)")]
pub struct FaultsError {
    part: String,
}

impl Faults {
    /// Reads a script; see [`GRAMMAR`].
    ///
    /// # Errors
    /// Names the first part that is no rule.
    pub fn parse(script: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        for part in script.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || FaultsError { part: part.to_owned() };
            match part.strip_prefix("calm@") {
                Some(moment) => faults.calm = Some(parse_duration(moment).ok_or_else(wrong)?),
                None => faults.rules.push(parse_rule(part).ok_or_else(wrong)?),
            }
        }
        Ok(faults)
    }

    /// Adds up the outages whose number the script tells.
    pub(super) fn outages(&self) -> Duration {
        let length = |(fault, when): &(Fault, When)| match when {
            When::At(_) if fault.kind == FaultKind::Outage => fault.length,
            When::Count(count) if fault.kind == FaultKind::Outage => fault.length.saturating_mul(*count),
            _ => Duration::ZERO,
        };
        self.rules.iter().map(length).fold(Duration::ZERO, Duration::saturating_add)
    }
}

fn parse_rule(part: &str) -> Option<(Fault, When)> {
    let end = part.find(['=', '@', '*']).unwrap_or(part.len());
    let (what, when) = part.split_at(end);
    let (name, argument) = what.split_once(':').map_or((what, None), |(name, argument)| (name, Some(argument)));
    let kind = FaultKind::NAMES.iter().find(|(known, _)| *known == name)?.1;
    let mut fault = Fault::of_kind(kind);
    match (kind, argument) {
        (_, None) => {}
        (FaultKind::Close, Some(code)) => fault.code = code.parse().ok().filter(|code| (1000..5000).contains(code))?,
        (FaultKind::ClockStep, Some(step)) => {
            let nanos = i64::try_from(parse_duration(step.trim_start_matches('-'))?.as_nanos()).ok()?;
            fault.step_nanos = if step.starts_with('-') { -nanos } else { nanos };
        }
        (kind, Some(length)) if kind.has_length() => fault.length = parse_duration(length)?,
        _ => return None,
    }
    let when = match when.split_at_checked(1) {
        None => When::Count(1),
        Some(("=", chance)) => When::Chance(parse_chance(chance)?),
        Some(("@", moment)) => match moment.strip_prefix("every:") {
            Some(time) => When::Every(parse_duration(time).filter(|time| !time.is_zero())?),
            None => When::At(parse_duration(moment)?),
        },
        Some((_, count)) => When::Count(count.parse().ok()?),
    };
    Some((fault, when))
}

fn parse_chance(text: &str) -> Option<f64> {
    let chance = match text.split_once('/') {
        Some((part, whole)) => part.parse::<f64>().ok()? / whole.parse::<f64>().ok()?,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&chance).then_some(chance)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_rule_is_read() {
        let faults = Faults::parse("drop=0.01, junk=1/1000,close:1006@500ms,refuse-connection*2,stall:3s,reset@every:3s,calm@60s")
            .expect("a script");
        let read: Vec<_> =
            faults.rules.iter().map(|(fault, when)| (fault.kind.name(), fault.code, fault.length.as_millis(), *when)).collect();
        assert_eq!(
            read,
            [
                ("drop", 1000, 2000, When::Chance(0.01)),
                ("junk", 1000, 2000, When::Chance(0.001)),
                ("close", 1006, 2000, When::At(Duration::from_millis(500))),
                ("refuse-connection", 1000, 2000, When::Count(2)),
                ("stall", 1000, 3000, When::Count(1)),
                ("reset", 1000, 2000, When::Every(Duration::from_secs(3))),
            ]
        );
        assert_eq!(faults.calm, Some(Duration::from_secs(60)));
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
        let steps = |script| Faults::parse(script).expect("a script").rules[0].0.step_nanos;
        assert_eq!((steps("clock-step"), steps("clock-step:5m"), steps("clock-step:-7ms@1s")), (-50_000_000, 300_000_000_000, -7_000_000));
        let outages = |script| Faults::parse(script).expect("a script").outages();
        assert_eq!(outages("outage@1s,outage:20s*2,stall:5s"), Duration::from_secs(640));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for bad in [
            "drip",
            "drop=2",
            "drop=x",
            "close:99",
            "drop:1s",
            "stall:2",
            "reset@5",
            "junk*-1",
            "drop=1/0",
            "drop=NaN",
            "reset@every:0s",
            "calm",
            "clock-step:x",
        ] {
            assert_eq!(Faults::parse(&format!("reset@1s,{bad}")), Err(FaultsError { part: bad.to_owned() }));
        }
    }

    #[test]
    fn every_kind_has_a_name_and_a_place_in_the_help() {
        for (name, kind) in FaultKind::NAMES {
            assert_eq!(kind.name(), name);
            assert!(GRAMMAR.contains(name), "{name}");
        }
    }
}
