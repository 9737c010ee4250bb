//! The script of faults: what goes wrong, and when.
//!
//! 1. A script is a list of rules: `name[:argument]`, then `=chance`, `@moment`, `@every:time` or `*count`; see [`GRAMMAR`].
//! 2. Every draw comes from a seeded generator (`schedule.rs`). The same script, seed and clients damage the same frames of the same market. A trade or
//!    ticker that no client would receive is no opportunity.
//! 3. A moment is a time on the event clock, outages not counted. A fault that needs a frame applies to the first frame after its moment.
//! 4. Each fault that fires is counted by its name and written to the ledger, with the connection, the product or the trade that it affected.
//!
//! A new kind of fault is described here ([`FaultKind`], [`FaultKind::ALL`], [`FaultKind::spec`], [`GRAMMAR`]). Its effect stands in one other file:
//! `distortion.rs` for a single trade or ticker, `disruption.rs` for a connection, a product or the exchange, `rest.rs` for an answer of REST.

use std::time::Duration;

/// The grammar of a script, as `--help` shows it.
pub(crate) const GRAMMAR: &str = "\
Faults, separated by commas: NAME[:ARGUMENT] followed by =CHANCE (0.01 or 1/1000, per opportunity), @MOMENT (5s, on the event clock, once), \
@every:TIME (again and again, with half to one and a half times TIME between; faults of a connection: for each connection by itself) \
or *COUNT (at the first COUNT opportunities; *1 is the default).
  each trade or ticker (Advanced: each trade, and drop each ticker too): drop, duplicate, reorder, delay[:200ms], absurd-id, absurd-time, junk
  each frame to each connection: lose (this connection does not get it)
  a product:            stall[:2s] (its trades come late; its tickers and heartbeats come in time), stall-lost[:2s] (its trades never come), delist,
                        list (a new listing: until then the last of the products is not there)
  a connection:         silent[:15s], reset, close[:1000|1001|1006|...], half-frame, refuse-connection, refuse-subscription
  the exchange:         outage[:10m] (this much event time passes at once, and nothing of it is sent), clock-step[:-50ms] (event times are off by this much for a second)
  a REST request:       rest-slow[:2s], rest-429, rest-500, rest-truncate, rest-hole
calm@MOMENT: from then on nothing goes wrong.
Example: drop=0.01,duplicate=1/500,reset@5s,close:1001@every:3s,refuse-connection*2,rest-429=0.1,calm@60s";

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultKind {
    /// A trade or ticker is never sent. On the Advanced feed `sequence_num` skips one.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the next one.
    Reorder,
    /// It is sent later.
    Delay,
    /// An extra copy of a trade with an id far ahead is sent before it.
    AbsurdId,
    /// An extra copy of a trade with a time of the year 1 is sent before it.
    AbsurdTime,
    /// A frame without meaning is sent before it.
    Junk,
    /// One connection does not get one frame. Others may.
    Lose,
    /// The trades of one product wait while everything else is sent. Then they are sent in their order.
    Stall,
    /// The trades of one product are not sent for a while. Everything else is sent.
    StallLost,
    /// One product stops trading and accepts no more subscriptions.
    Delist,
    /// A new product begins to trade. Until then nothing shows that it exists.
    List,
    /// One connection stays open, and nothing is sent to it. What it would have received is lost.
    Silent,
    /// One connection is reset.
    Reset,
    /// One connection is closed.
    Close,
    /// One connection ends in the middle of a frame.
    HalfFrame,
    /// Event time passes at once. What happens in it is sent to nobody.
    Outage,
    /// The event clock is wrong for a second.
    ClockStep,
    /// A connection ends before its handshake.
    RefuseConnection,
    /// A subscription is answered by an error.
    RefuseSubscription,
    /// A REST answer comes late.
    RestSlow,
    /// A REST request is refused for the rate limit.
    Rest429,
    /// A REST request fails.
    Rest500,
    /// A REST answer stops half-way.
    RestTruncate,
    /// A REST page leaves a trade out.
    RestGap,
}

/// What a fault affects, and so what its opportunities are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One trade or ticker.
    Update,
    /// One frame on its way to one connection.
    Frame,
    /// One product.
    Product,
    /// One open connection. A repeated fault has a clock for each.
    Connection,
    /// The exchange as a whole.
    Exchange,
    /// One thing that a client asks for: a connection, a subscription, a REST answer.
    Request,
}

/// What follows a fault's name in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// Nothing.
    None,
    /// How long the fault lasts.
    Length(Duration),
    /// The code of a close frame.
    CloseCode(u16),
    /// How far the event clock is off, in nanoseconds.
    StepNanos(i64),
}

/// What is fixed for a kind of fault.
#[derive(Debug, Clone, Copy)]
struct Spec {
    /// The name in a script, in totals and in the ledger.
    name: &'static str,
    scope: Scope,
    /// The setting where a rule gives none.
    default: Setting,
}

const fn spec(name: &'static str, scope: Scope, default: Setting) -> Spec {
    Spec { name, scope, default }
}

const fn length_ms(milliseconds: u64) -> Setting {
    Setting::Length(Duration::from_millis(milliseconds))
}

impl FaultKind {
    /// Every kind.
    const ALL: [Self; 25] = [
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::AbsurdId,
        Self::AbsurdTime,
        Self::Junk,
        Self::Lose,
        Self::Stall,
        Self::StallLost,
        Self::Delist,
        Self::List,
        Self::Silent,
        Self::Reset,
        Self::Close,
        Self::HalfFrame,
        Self::Outage,
        Self::ClockStep,
        Self::RefuseConnection,
        Self::RefuseSubscription,
        Self::RestSlow,
        Self::Rest429,
        Self::Rest500,
        Self::RestTruncate,
        Self::RestGap,
    ];

    const fn spec(self) -> Spec {
        match self {
            Self::Drop => spec("drop", Scope::Update, Setting::None),
            Self::Duplicate => spec("duplicate", Scope::Update, Setting::None),
            Self::Reorder => spec("reorder", Scope::Update, Setting::None),
            Self::Delay => spec("delay", Scope::Update, length_ms(200)),
            Self::AbsurdId => spec("absurd-id", Scope::Update, Setting::None),
            Self::AbsurdTime => spec("absurd-time", Scope::Update, Setting::None),
            Self::Junk => spec("junk", Scope::Update, Setting::None),
            Self::Lose => spec("lose", Scope::Frame, Setting::None),
            Self::Stall => spec("stall", Scope::Product, length_ms(2000)),
            Self::StallLost => spec("stall-lost", Scope::Product, length_ms(2000)),
            Self::Delist => spec("delist", Scope::Product, Setting::None),
            Self::List => spec("list", Scope::Product, Setting::None),
            Self::Silent => spec("silent", Scope::Connection, length_ms(15_000)),
            Self::Reset => spec("reset", Scope::Connection, Setting::None),
            Self::Close => spec("close", Scope::Connection, Setting::CloseCode(1000)),
            Self::HalfFrame => spec("half-frame", Scope::Connection, Setting::None),
            Self::Outage => spec("outage", Scope::Exchange, length_ms(600_000)),
            Self::ClockStep => spec("clock-step", Scope::Exchange, Setting::StepNanos(-50_000_000)),
            Self::RefuseConnection => spec("refuse-connection", Scope::Request, Setting::None),
            Self::RefuseSubscription => spec("refuse-subscription", Scope::Request, Setting::None),
            Self::RestSlow => spec("rest-slow", Scope::Request, length_ms(2000)),
            Self::Rest429 => spec("rest-429", Scope::Request, Setting::None),
            Self::Rest500 => spec("rest-500", Scope::Request, Setting::None),
            Self::RestTruncate => spec("rest-truncate", Scope::Request, Setting::None),
            Self::RestGap => spec("rest-hole", Scope::Request, Setting::None),
        }
    }

    /// Gives the name that the kind has in a script, in totals and in the ledger.
    pub(super) const fn name(self) -> &'static str {
        self.spec().name
    }

    /// Gives what the kind affects.
    pub(super) const fn scope(self) -> Scope {
        self.spec().scope
    }
}

/// One fault that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) setting: Setting,
}

impl Fault {
    /// Makes a fault with its default setting.
    pub(super) const fn of_kind(kind: FaultKind) -> Self {
        Self { kind, setting: kind.spec().default }
    }

    /// Gives how long the fault lasts; zero for one that does not last.
    pub(super) const fn length(self) -> Duration {
        match self.setting {
            Setting::Length(length) => length,
            _ => Duration::ZERO,
        }
    }
}

/// When a rule fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// At each opportunity with this chance.
    Chance(f64),
    /// Once, at this moment.
    At(Duration),
    /// Again and again, with this time between on average.
    Every(Duration),
    /// At the first so many opportunities.
    Count(u32),
}

/// One rule of a script.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    pub(super) fault: Fault,
    pub(super) when: When,
}

/// A checked script. The default has no faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    pub(super) rules: Vec<Rule>,
    /// The moment after which nothing goes wrong any more.
    pub(super) calm: Option<Duration>,
}

/// Names the part of a script that is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no fault (want NAME[:ARGUMENT] and =CHANCE, @MOMENT, @every:TIME or *COUNT, as in drop=0.01 or close:1001@5s)")]
#[non_exhaustive]
pub struct FaultsError {
    part: String,
}

impl Faults {
    /// Reads a script, as `coltape simulate --help` describes it.
    ///
    /// # Errors
    /// Names the first part that is not a rule.
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

    /// Counts the listings whose number the script fixes.
    pub(super) fn listings(&self) -> usize {
        let listings = self.rules.iter().filter(|rule| rule.fault.kind == FaultKind::List);
        let count = |rule: &Rule| match rule.when {
            When::At(_) => 1,
            When::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            When::Chance(_) | When::Every(_) => 0,
        };
        listings.map(count).fold(0, usize::saturating_add)
    }

    /// Adds up the outages whose number the script fixes.
    pub(super) fn outages(&self) -> Duration {
        let outages = self.rules.iter().filter(|rule| rule.fault.kind == FaultKind::Outage);
        let length = |rule: &Rule| match rule.when {
            When::At(_) => rule.fault.length(),
            When::Count(count) => rule.fault.length().saturating_mul(count),
            When::Chance(_) | When::Every(_) => Duration::ZERO,
        };
        outages.map(length).fold(Duration::ZERO, Duration::saturating_add)
    }
}

fn parse_rule(part: &str) -> Option<Rule> {
    let end = part.find(['=', '@', '*']).unwrap_or(part.len());
    let (what, when) = part.split_at(end);
    let (name, argument) = what.split_once(':').map_or((what, None), |(name, argument)| (name, Some(argument)));
    let kind = FaultKind::ALL.into_iter().find(|kind| kind.name() == name)?;
    let mut fault = Fault::of_kind(kind);
    if let Some(argument) = argument {
        fault.setting = parse_setting(fault.setting, argument)?;
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
    Some(Rule { fault, when })
}

/// Reads the argument of a fault whose default setting is given.
fn parse_setting(default: Setting, argument: &str) -> Option<Setting> {
    match default {
        Setting::None => None,
        Setting::Length(_) => parse_duration(argument).map(Setting::Length),
        Setting::CloseCode(_) => argument.parse().ok().filter(|code| (1000..5000).contains(code)).map(Setting::CloseCode),
        Setting::StepNanos(_) => {
            let nanos = i64::try_from(parse_duration(argument.trim_start_matches('-'))?.as_nanos()).ok()?;
            Some(Setting::StepNanos(if argument.starts_with('-') { -nanos } else { nanos }))
        }
    }
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
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_rule_is_read() {
        let faults = Faults::parse("drop=0.01, junk=1/1000,close:1006@500ms,refuse-connection*2,stall:3s,stall,reset@every:3s,calm@60s")
            .expect("a script");
        let read: Vec<_> = faults.rules.iter().map(|rule| (rule.fault.kind.name(), rule.fault.setting, rule.when)).collect();
        assert_eq!(
            read,
            [
                ("drop", Setting::None, When::Chance(0.01)),
                ("junk", Setting::None, When::Chance(0.001)),
                ("close", Setting::CloseCode(1006), When::At(Duration::from_millis(500))),
                ("refuse-connection", Setting::None, When::Count(2)),
                ("stall", Setting::Length(Duration::from_secs(3)), When::Count(1)),
                ("stall", Setting::Length(Duration::from_secs(2)), When::Count(1)),
                ("reset", Setting::None, When::Every(Duration::from_secs(3))),
            ]
        );
        assert_eq!(faults.calm, Some(Duration::from_secs(60)));
        assert_eq!(Faults::parse(""), Ok(Faults::default()));
        let setting = |script| Faults::parse(script).expect("a script").rules[0].fault.setting;
        assert_eq!(setting("close"), Setting::CloseCode(1000));
        assert_eq!(setting("clock-step"), Setting::StepNanos(-50_000_000));
        assert_eq!(setting("clock-step:5m"), Setting::StepNanos(300_000_000_000));
        assert_eq!(setting("clock-step:-7ms@1s"), Setting::StepNanos(-7_000_000));
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
    fn every_kind_has_a_name_of_its_own_and_stands_in_the_help() {
        for (at, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "no kind is left out of the list");
            assert!(FaultKind::ALL.iter().all(|other| *other == kind || other.name() != kind.name()), "{}", kind.name());
            assert!(GRAMMAR.contains(kind.name()), "{}", kind.name());
        }
    }
}
