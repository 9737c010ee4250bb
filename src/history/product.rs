//! [`History`]: what the journal says about a product: when no capture was running, which ids there were, which were lost and why, and what was tried to
//! get them.
//!
//! 1. The journal explains and excuses in one case only: an absence over midnight (see `verify`).
//! 2. It accuses wherever it knows better than the files: ids that a heartbeat named or a full queue gave up, trades that came with other fields, days that
//!    were opened or sealed and are gone.
//! 3. That REST has nothing below an id is what it keeps, and no beginning.
//! 4. What is kept of each kind is bounded. What is beyond is counted.

use std::collections::{BTreeMap, HashSet};

use crate::ids::{IdRange, IdSet};
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::journal::{JOURNAL, REJECTS};
use crate::store::{Opening, Trusted};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Explanations kept of a product, and as many of all products together.
const MAX_EXPLANATIONS: usize = 100_000;
/// Conflicts of a product that are kept with their words.
const MAX_CONFLICTS: usize = 10_000;
/// Stretches kept of which the journal does not tell all.
const MAX_UNKNOWN: usize = 10_000;
/// How far from a gap an event without ids may lie to explain it, in nanoseconds. The loss of a connection lies between the trade before the gap and the
/// one after it; this is for two clocks that differ.
const NEAR_NANOS: u64 = 2 * NANOS_PER_SECOND;
/// Causes, and attempts, that are shown of one gap.
const MAX_SHOWN: usize = 5;

/// A stretch of time in which no capture was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absence {
    /// The end of one capture, as far as it is known.
    pub from: UnixNanos,
    /// The start of the next one.
    pub to: UnixNanos,
}

/// How an event bears on missing ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It may have lost them, or says what became of them.
    Cause,
    /// It was an attempt to get them from REST.
    Attempt,
}

/// An event that may explain a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// When it was written.
    pub time: UnixNanos,
    /// The name of the event.
    pub event: &'static str,
    /// How it bears on missing ids.
    pub role: Role,
    /// The trade ids that it names. Without them it explains gaps of about its time.
    pub ids: Option<IdRange>,
    /// The event's own words.
    pub text: String,
}

impl Explanation {
    /// Makes an explanation of an event; nothing where the event has nothing to do with missing ids.
    #[must_use]
    pub(crate) fn new(time: UnixNanos, event: &Event) -> Option<Self> {
        use Role::{Attempt, Cause};
        let none = String::new;
        let (role, ids, text) = match event {
            Event::GapOpened { ids, why, .. } if why == TICKER => return Some(Self::of_ticker(time, *ids)),
            Event::GapOpened { ids, why, .. } => (Cause, Some(*ids), why.to_string()),
            Event::GapLeft { ids, .. } | Event::GapFilled { ids, .. } => (Cause, Some(*ids), none()),
            Event::ShedStarted { .. } => (Cause, None, none()),
            Event::ShedEnded { trades: 0, .. } => return None,
            Event::ShedEnded { first_trade_id, last_trade_id, .. } => {
                (Cause, Some(IdRange::one(*first_trade_id).span(IdRange::one(*last_trade_id))), none())
            }
            Event::DayOpened { opening: Opening::Quarantined { why, .. }, .. } => (Cause, None, why.clone()),
            Event::DayOpened { opening: Opening::Continued { given_up, .. }, .. } if *given_up > 0 => {
                (Cause, None, format!("{given_up} records given up"))
            }
            Event::ConnectionLost { why, .. } => (Cause, None, why.clone()),
            Event::SyncFailed { error } | Event::WriteFailed { error, .. } | Event::AllocationFailed { error, .. } => {
                (Cause, None, error.clone())
            }
            Event::ConnectionProven { .. }
            | Event::ConnectionSilent { .. }
            | Event::WriterRestarted { .. }
            | Event::FlushRecovered
            | Event::LinesLost { .. } => (Cause, None, none()),
            Event::BackfillFailed { ids, error, .. } => (Attempt, Some(*ids), error.clone()),
            Event::BackfillEmpty { ids, .. } => (Attempt, Some(*ids), none()),
            Event::BackfillStarted { .. } | Event::Backfilled { .. } => (Attempt, None, none()),
            _ => return None,
        };
        Some(Self { time, event: event.name(), role, ids, text })
    }

    /// Makes one of a ticker that names trades which never came.
    fn of_ticker(time: UnixNanos, ids: IdRange) -> Self {
        Self { time, event: "a ticker", role: Role::Cause, ids: Some(ids), text: "it names trades that did not come".to_owned() }
    }

    /// Tells whether it may explain why `ids` are missing between two times.
    fn concerns(&self, ids: IdRange, from: UnixNanos, to: UnixNanos) -> bool {
        match self.ids {
            Some(named) => named.overlaps(ids),
            None => self.time.0 >= from.0.saturating_sub(NEAR_NANOS) && self.time.0 <= to.0.saturating_add(NEAR_NANOS),
        }
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.event, self.time)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, " ({})", self.text) }
    }
}

impl std::fmt::Display for Absence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no capture was running from {} to {}", self.from, self.to)
    }
}

/// A trade that came again with other fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disputed {
    /// When that was written.
    pub time: UnixNanos,
    /// The trade's id.
    pub id: u64,
    /// Whose other trade it is, or in what they differ.
    pub text: String,
}

/// Days of which the journal does not tell all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The first day.
    pub from: UtcDay,
    /// The last day.
    pub to: UtcDay,
    /// Why.
    pub why: String,
}

/// A dataset-day that the journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KnownDay {
    /// The most records that it was sealed with.
    sealed: u64,
    /// The records that it was last opened with. A power cut may have cost some between that and an earlier opening.
    opened: u64,
}

impl KnownDay {
    /// Gives how many records it must hold.
    #[must_use]
    pub(crate) const fn records(self) -> u64 {
        if self.sealed > self.opened { self.sealed } else { self.opened }
    }
}

/// What the journal says about one product.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// When no capture was running, in order.
    pub absences: Vec<Absence>,
    /// When captures ran that did not record the product.
    pub unrecorded: Vec<Absence>,
    /// What may explain its gaps, in order.
    pub explanations: Vec<Explanation>,
    /// Ids that the exchange has named or sent while a capture was running.
    pub named: IdSet,
    /// Ids that the exchange has named or sent when a capture began anew: they passed meanwhile.
    pub passed: IdSet,
    /// The newest line that names ids.
    pub named_at: UnixNanos,
    /// Trades that came again with other fields.
    pub disputed: Vec<Disputed>,
    /// Disputed trades beyond those kept.
    pub more_disputed: u64,
    /// The lowest id that REST had.
    pub kept_from: Option<u64>,
    /// The dataset-days that were opened or sealed.
    pub days: BTreeMap<(Dataset, UtcDay), KnownDay>,
    /// The sequences at which the product's tickers began anew.
    pub restarted_sequences: Vec<u64>,
    /// Days of which the journal does not tell all.
    pub unknown: Vec<Unknown>,
}

impl History {
    /// Tells whether no capture was running at a time, or only such that did not record the product.
    #[must_use]
    pub(crate) fn was_absent(&self, at: UnixNanos) -> bool {
        self.absences.iter().chain(&self.unrecorded).any(|absence| absence.from <= at && absence.to >= at)
    }

    /// Tells whether there is a midnight between two days, and no capture was running at any such midnight.
    #[must_use]
    pub(crate) fn was_absent_between(&self, before: UtcDay, after: UtcDay) -> bool {
        before < after && (before.0 + 1..=after.0).all(|date| self.was_absent(UtcDay(date).start()))
    }

    /// Says why `ids` are missing between the times of the trades before and after them, and what was tried.
    #[must_use]
    pub(crate) fn explain(&self, ids: IdRange, from: UnixNanos, to: UnixNanos) -> String {
        let absences = self.absences.iter().filter(|absence| absence.from <= to && absence.to >= from);
        let mut said: Vec<String> = absences.map(ToString::to_string).collect();
        let unrecorded = self.unrecorded.iter().filter(|absence| absence.from <= to && absence.to >= from);
        said.extend(unrecorded.map(|absence| format!("the product was not captured from {} to {}", absence.from, absence.to)));
        let (mut causes, mut attempts): (Vec<&Explanation>, Vec<&Explanation>) = self
            .explanations
            .iter()
            .filter(|explanation| explanation.concerns(ids, from, to))
            .partition(|explanation| explanation.role == Role::Cause);
        // Those that name the very ids say most. By time, wherever each was found: a tape that was restored says what the other one says.
        let order = |one: &&Explanation, other: &&Explanation| {
            let key = |of: &Explanation| (of.ids.is_none(), of.time);
            key(one).cmp(&key(other)).then_with(|| (one.event, &one.text).cmp(&(other.event, &other.text)))
        };
        causes.sort_by(order);
        attempts.sort_by(order);
        for explanations in [&causes, &attempts] {
            let mut seen = HashSet::new();
            let different: Vec<String> = explanations.iter().map(ToString::to_string).filter(|text| seen.insert(text.clone())).collect();
            said.extend(different.iter().take(MAX_SHOWN).cloned());
            if different.len() > MAX_SHOWN {
                said.push(format!("{} more such lines", different.len() - MAX_SHOWN));
            }
        }
        if said.is_empty() {
            said.push("the journal does not say why".to_owned());
        }
        if attempts.is_empty() {
            said.push("no backfill tried".to_owned());
        }
        said.join("; ")
    }

    /// Takes what an event says of the product.
    pub(crate) fn take(&mut self, time: UnixNanos, event: &Event) {
        let named = match event {
            Event::GapOpened { ids, why, .. } if why != ASKED && why != RESTART => Some(*ids),
            Event::GapFilled { ids, .. } => Some(*ids),
            Event::Conflict { trade_id, .. } => Some(IdRange::one(*trade_id)),
            Event::TradingEnded { last_id, .. } => Some(IdRange::one(*last_id)),
            // All between the first and the last were given up. Where there are more, one of the two is no id of this chain.
            Event::ShedEnded { first_trade_id, last_trade_id, trades, .. } => {
                IdRange::new(*first_trade_id, *last_trade_id).filter(|ids| ids.first() > 0 && ids.count() <= *trades)
            }
            _ => None,
        };
        let passed = match event {
            Event::GapOpened { ids, why, .. } if why == RESTART => Some(*ids),
            _ => None,
        };
        if let Some(ids) = passed {
            self.named_at = self.named_at.max(time);
            self.passed.insert(ids);
        }
        if let Some(ids) = named {
            self.note_named(time, ids);
        }
        match event {
            Event::Conflict { trade_id, by, columns, text, .. } => {
                let words = [by, columns, text].map(|word| word.clone().unwrap_or_default()).join(" ");
                self.dispute(Disputed { time, id: *trade_id, text: words.trim().to_owned() });
            }
            Event::TradingBegan { first_id, .. } => self.kept_from = Some(*first_id),
            Event::RestRetention { lowest_id, .. } => self.kept_from = Some(*lowest_id),
            // The capture ended before anything settled it: the message may have been a real one.
            Event::DoubtRefuted { key, why, .. } if why == STOPPED => {
                let why = format!("a message with the key {key} was doubted when the capture stopped, and is kept with the rejects");
                self.note_unknown(time.day(), time.day(), why);
            }
            Event::SequenceRestarted { first_sequence, .. } => self.restarted_sequences.push(*first_sequence),
            Event::DayOpened { day, opening } => {
                self.days.entry((day.dataset, day.date)).or_default().opened = match opening {
                    Opening::Reopened { records } | Opening::Sealed { records } => *records,
                    Opening::Continued { records, trusted: Trusted::Durable, .. } => *records,
                    // What is only committed may still be lost by a power cut.
                    Opening::Created | Opening::Quarantined { .. } | Opening::Continued { .. } => 0,
                };
            }
            // It is stored again from what the capture held in memory.
            Event::DayRestored { day, records, .. } => self.days.entry((day.dataset, day.date)).or_default().opened = *records,
            Event::FileDisturbed { file, what } => {
                if let Some(date) = day_of_lines(file) {
                    self.note_unknown(date, date, format!("{file}, {time}: {what}; lines of it may be gone"));
                }
            }
            Event::DaySealed { day, records, .. } => {
                let known = self.days.entry((day.dataset, day.date)).or_default();
                known.sealed = known.sealed.max(*records);
            }
            _ => {}
        }
        if self.explanations.len() < MAX_EXPLANATIONS {
            self.explanations.extend(Explanation::new(time, event));
        }
    }

    /// Notes that tickers have named trades which are not there.
    pub(crate) fn note_ticker(&mut self, time: UnixNanos, ids: IdRange) {
        self.explanations.push(Explanation::of_ticker(time, ids));
        self.note_named(time, ids);
    }

    /// Notes that there are such trades.
    pub(super) fn note_named(&mut self, time: UnixNanos, ids: IdRange) {
        self.named_at = self.named_at.max(time);
        self.named.insert(ids);
    }

    fn dispute(&mut self, disputed: Disputed) {
        if self.disputed.len() < MAX_CONFLICTS {
            self.disputed.push(disputed);
        } else {
            self.more_disputed += 1;
        }
    }

    /// Notes that the journal does not tell all of some days.
    pub(crate) fn note_unknown(&mut self, from: UtcDay, to: UtcDay, why: String) {
        let is_full = self.unknown.len() >= MAX_UNKNOWN;
        match self.unknown.last_mut() {
            // Days are never forgotten: what is beyond the bound is one stretch of them.
            Some(last) if is_full => {
                (last.from, last.to) = (last.from.min(from), last.to.max(to));
            }
            _ => self.unknown.push(Unknown { from, to, why }),
        }
    }

    /// Gives why the journal does not tell all of a day. What happens to a day's records may be written the day after.
    pub(crate) fn unknown_of(&self, date: UtcDay) -> impl Iterator<Item = &str> {
        let touches = move |unknown: &&Unknown| unknown.from.0 <= date.0.saturating_add(1) && date <= unknown.to;
        self.unknown.iter().filter(touches).map(|unknown| unknown.why.as_str())
    }
}

/// Gives the day of a file of lines that say what was lost: a journal, or rejects.
fn day_of_lines(file: &str) -> Option<UtcDay> {
    let mut parts = file.split('.');
    parts.next().filter(|name| [JOURNAL, REJECTS].contains(name))?;
    UtcDay::parse(parts.next()?).ok()
}

/// The cause of a gap whose ids were only asked for: nothing shows that there are such trades.
pub(crate) const ASKED: &str = "asked";
/// Why a doubt ended that nothing settled.
const STOPPED: &str = "stopped";
/// The cause of a gap that only tickers show.
pub(crate) const TICKER: &str = "ticker";
/// The cause of a gap that was there when a capture began.
const RESTART: &str = "restart";

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
