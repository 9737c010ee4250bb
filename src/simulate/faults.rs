//! Faults on a script: what goes wrong, and when.
//!
//! 1. A script is a list of rules, `name[:argument]` and `=chance`, `@moment` or `*count`; see [`GRAMMAR`].
//! 2. Every draw comes from a seeded generator: the same script and seed spoil the same frames of the same market.
//! 3. A moment is one on the event clock. A rule at a moment fires once; a fault that needs a frame takes the next one.
//! 4. Each fault that fires is counted by its name and written to the ledger.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

/// The grammar of a script, as `--help` shows it.
pub const GRAMMAR: &str = "\
Faults, separated by commas: NAME[:ARGUMENT] followed by =CHANCE (0.01 or 1/1000, per opportunity), @MOMENT (5s, on the event clock, once) \
or *COUNT (the first so many opportunities; *1 where nothing is said).
  each trade or ticker (Advanced: each trade): drop, duplicate, reorder, delay[:200ms], absurd-id, absurd-time, junk, half-frame
  a product's trades:   stall[:2s] (its tickers flow on), delist
  a connection:         silent[:15s], reset, close[:1000|1001|1006|...], refuse-connection, refuse-subscription
  a REST request:       rest-slow[:2s], rest-429, rest-500, rest-truncate, rest-hole
Example: drop=0.01,duplicate=1/500,reset@5s,close:1001@9s,refuse-connection*2,rest-429=0.1";

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
    /// One product's trades wait while everything else flows.
    Stall,
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
    pub const NAMES: [(&'static str, Self); 20] = [
        ("drop", Self::Drop),
        ("duplicate", Self::Duplicate),
        ("reorder", Self::Reorder),
        ("delay", Self::Delay),
        ("stall", Self::Stall),
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
    fn waits_for_a_client(self) -> bool {
        use FaultKind as K;
        matches!(self, K::RefuseSubscription | K::RefuseConnection | K::RestSlow | K::Rest429 | K::Rest500 | K::RestTruncate | K::RestHole)
    }

    fn usual_length(self) -> Duration {
        match self {
            Self::Delay => Duration::from_millis(200),
            Self::Silent => Duration::from_secs(15),
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
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Chance(f64),
    At(Duration),
    Count(u32),
}

/// A checked script; the default has no faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    rules: Vec<(Fault, When)>,
}

/// Says which part of a script makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no fault (want NAME[:ARGUMENT] and =CHANCE, @MOMENT or *COUNT, as in drop=0.01 or close:1001@5s)")]
pub struct FaultsError {
    part: String,
}

impl Faults {
    /// Reads a script; see [`GRAMMAR`].
    ///
    /// # Errors
    /// Names the first part that is no rule.
    pub fn parse(script: &str) -> Result<Self, FaultsError> {
        let parts = script.split(',').map(str::trim).filter(|part| !part.is_empty());
        let rules = parts.map(|part| parse_rule(part).ok_or_else(|| FaultsError { part: part.to_owned() }));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }
}

fn parse_rule(part: &str) -> Option<(Fault, When)> {
    let end = part.find(['=', '@', '*']).unwrap_or(part.len());
    let (what, when) = part.split_at(end);
    let (name, argument) = what.split_once(':').map_or((what, None), |(name, argument)| (name, Some(argument)));
    let kind = FaultKind::NAMES.iter().find(|(known, _)| *known == name)?.1;
    let mut fault = Fault { kind, length: kind.usual_length(), code: 1000 };
    match (kind, argument) {
        (_, None) => {}
        (FaultKind::Close, Some(code)) => fault.code = code.parse().ok().filter(|code| (1000..5000).contains(code))?,
        (FaultKind::Delay | FaultKind::Stall | FaultKind::Silent | FaultKind::RestSlow, Some(length)) => {
            fault.length = parse_duration(length)?
        }
        _ => return None,
    }
    let when = match when.split_at_checked(1) {
        None => When::Count(1),
        Some(("=", chance)) => When::Chance(parse_chance(chance)?),
        Some(("@", moment)) => When::At(parse_duration(moment)?),
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

/// Draws the faults of one part of the simulator.
#[derive(Debug)]
pub(super) struct Dice {
    rules: Vec<(Fault, When)>,
    /// Faults whose moment has come and that wait for a frame.
    armed: VecDeque<Fault>,
    rng: Rng,
}

impl Dice {
    /// The dice of the frames and connections, thrown by the floor.
    pub(super) fn for_frames(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed, |kind| !kind.waits_for_a_client())
    }

    /// The dice of connections, subscriptions and REST requests as they come in.
    pub(super) fn for_clients(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed.wrapping_add(1), FaultKind::waits_for_a_client)
    }

    fn new(faults: &Faults, seed: u64, belongs: impl Fn(FaultKind) -> bool) -> Self {
        let rules = faults.rules.iter().copied().filter(|(fault, _)| belongs(fault.kind)).collect();
        Self { rules, armed: VecDeque::new(), rng: Rng::with_seed(seed ^ 0x5eed_fa17) }
    }

    /// Whether there is anything left to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.armed.is_empty()
    }

    /// Arms the faults whose moment has come. Call it as the event clock moves.
    pub(super) fn arm(&mut self, offset: Duration) {
        let armed = &mut self.armed;
        self.rules.retain(|(fault, when)| match when {
            When::At(moment) if *moment <= offset => {
                armed.push_back(*fault);
                false
            }
            _ => true,
        });
    }

    /// Takes an armed fault that `is_wanted`.
    pub(super) fn take_armed(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let at = self.armed.iter().position(|fault| is_wanted(fault.kind))?;
        self.armed.remove(at)
    }

    /// Gives every opportunity to one kind: for connections and requests.
    pub(super) fn draw_of(&mut self, kind: FaultKind) -> Option<Fault> {
        self.take_armed(|armed| armed == kind).or_else(|| self.throw(|drawn| drawn == kind))
    }

    /// Gives one frame's opportunity to all kinds; the first rule that fires has it.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        self.armed.pop_front().or_else(|| self.throw(|_| true))
    }

    fn throw(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let Self { rules, rng, .. } = self;
        rules.iter_mut().filter(|(fault, _)| is_wanted(fault.kind)).find_map(|(fault, when)| match when {
            When::Chance(chance) => (rng.f64() < *chance).then_some(*fault),
            When::Count(left) if *left > 0 => {
                *left -= 1;
                Some(*fault)
            }
            When::Count(_) | When::At(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_rule_is_read() {
        let faults = Faults::parse("drop=0.01, junk=1/1000,close:1006@500ms,refuse-connection*2,stall:3s,reset").expect("a script");
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
                ("reset", 1000, 2000, When::Count(1)),
            ]
        );
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for bad in ["drip", "drop=2", "drop=x", "close:99", "drop:1s", "stall:2", "reset@5", "junk*-1", "drop=1/0", "drop=NaN"] {
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

    #[test]
    fn dice_fire_by_count_by_moment_and_by_chance() {
        let faults = Faults::parse("duplicate*2,drop@1s,rest-429*1").expect("a script");
        let mut dice = Dice::for_frames(&faults, 1);
        let kinds = |dice: &mut Dice| (0..4).filter_map(|_| dice.draw()).map(|fault| fault.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&mut dice), [FaultKind::Duplicate, FaultKind::Duplicate]);
        dice.arm(Duration::from_millis(999));
        assert_eq!(kinds(&mut dice), []);
        dice.arm(Duration::from_secs(1));
        assert_eq!(kinds(&mut dice), [FaultKind::Drop]);
        dice.arm(Duration::from_secs(2));
        assert_eq!(kinds(&mut dice), []);
        let mut rest = Dice::for_clients(&faults, 1);
        assert_eq!(rest.draw_of(FaultKind::Rest500), None);
        assert!(rest.draw_of(FaultKind::Rest429).is_some());
        assert_eq!(rest.draw_of(FaultKind::Rest429), None);
        let mut dice = Dice::for_frames(&Faults::parse("drop=0.1").expect("a script"), 9);
        let fired = (0..10_000).filter(|_| dice.draw().is_some()).count();
        assert!((800..1200).contains(&fired), "{fired}");
    }
}
