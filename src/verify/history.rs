//! What the journal says about a product: when no capture was running, which ids were lost and why, and what was tried to get them.
//!
//! 1. The journal explains and never excuses. A verdict depends on it in two cases only: an absence over midnight (see [`super::coverage`]), and where
//!    trading began or ended.
//! 2. A capture that ended without saying so was running until its last line.
//! 3. A line that cannot be read is counted and passed over. An event that this version does not know still shows that a capture was running.
//! 4. The number of explanations kept is bounded.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::store::Opening;
use crate::store::event::{Event, Line, LineError, SumCheck};
use crate::store::journal::{self, JOURNAL};
use crate::time::{NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Explanations kept of a product, and as many of all products together.
const MAX_EXPLANATIONS: usize = 100_000;
/// How far from a gap an event without ids may lie to explain it, in nanoseconds. The loss of a connection lies between the trade before the gap and the
/// one after it; this is for two clocks that differ.
const NEAR_NANOS: u64 = 2 * NANOS_PER_SECOND;
/// Causes, and attempts, that are shown of one gap.
const MAX_SHOWN: usize = 5;

/// A stretch of time in which no capture was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Absence {
    /// The end of one capture, as far as it is known.
    pub from: UnixNanos,
    /// The start of the next one.
    pub to: UnixNanos,
}

/// How an event bears on missing ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It may have lost them, or says what became of them.
    Cause,
    /// It was an attempt to get them from REST.
    Attempt,
}

/// An event that may explain a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Explanation {
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
    pub(super) fn new(time: UnixNanos, event: &Event) -> Option<Self> {
        use Role::{Attempt, Cause};
        let none = String::new;
        let (role, ids, text) = match event {
            Event::GapOpened { ids, why, .. } => (Cause, Some(*ids), why.to_string()),
            Event::GapLeft { ids, .. } | Event::GapFilled { ids, .. } => (Cause, Some(*ids), none()),
            Event::ShedStarted { .. } => (Cause, None, none()),
            Event::ShedEnded { trades: 0, .. } => return None,
            Event::ShedEnded { first_trade_id, last_trade_id, .. } => {
                (Cause, Some(IdRange::one(*first_trade_id).span(IdRange::one(*last_trade_id))), none())
            }
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

/// What the journal says about one product.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// When no capture was running, in order.
    pub absences: Vec<Absence>,
    /// What may explain its gaps, in order.
    pub explanations: Vec<Explanation>,
    /// The id of its first trade ever, where known.
    pub first_id_ever: Option<u64>,
    /// The id of its last trade ever, where known.
    pub last_id_ever: Option<u64>,
}

impl History {
    /// Tells whether no capture was running at a time.
    #[must_use]
    pub(super) fn was_absent(&self, at: UnixNanos) -> bool {
        self.absences.iter().any(|absence| absence.from <= at && absence.to >= at)
    }

    /// Tells whether there is a midnight between two days, and no capture was running at any such midnight.
    #[must_use]
    pub(super) fn was_absent_between(&self, before: UtcDay, after: UtcDay) -> bool {
        before < after && (before.0 + 1..=after.0).all(|date| self.was_absent(UtcDay(date).start()))
    }

    /// Says why `ids` are missing between the times of the trades before and after them, and what was tried.
    #[must_use]
    pub(super) fn explain(&self, ids: IdRange, from: UnixNanos, to: UnixNanos) -> String {
        let absences = self.absences.iter().filter(|absence| absence.from <= to && absence.to >= from);
        let mut said: Vec<String> = absences.map(ToString::to_string).collect();
        let (mut causes, attempts): (Vec<&Explanation>, Vec<&Explanation>) = self
            .explanations
            .iter()
            .filter(|explanation| explanation.concerns(ids, from, to))
            .partition(|explanation| explanation.role == Role::Cause);
        // Those that name the very ids say most.
        causes.sort_by_key(|cause| cause.ids.is_none());
        for explanations in [&causes, &attempts] {
            said.extend(explanations.iter().take(MAX_SHOWN).map(ToString::to_string));
            if explanations.len() > MAX_SHOWN {
                said.push(format!("{} more such lines", explanations.len() - MAX_SHOWN));
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
}

/// The journal of a data directory.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// What concerns every product.
    shared: History,
    products: BTreeMap<ProductId, History>,
    /// The last line of a running capture.
    newest: Option<UnixNanos>,
    is_running: bool,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// When captures stopped whose sums did not hold.
    pub unbalanced: Vec<UnixNanos>,
}

impl Journal {
    /// Reads the journals of a data directory, oldest first. It is empty where there are none.
    #[must_use]
    pub(super) fn read(dir: &Path) -> Self {
        let mut journal = Self::default();
        journal::events(dir, JOURNAL, UtcDay(0), UtcDay(u32::MAX)).for_each(|line| journal.take(line));
        journal
    }

    /// Gives what is known of a product.
    #[must_use]
    pub(super) fn of(&self, product: &ProductId) -> History {
        let mut history = self.products.get(product).cloned().unwrap_or_default();
        history.absences.clone_from(&self.shared.absences);
        history.explanations.extend(self.shared.explanations.iter().cloned());
        history.explanations.sort_by_key(|explanation| explanation.time);
        history
    }

    fn take(&mut self, line: Result<Line, LineError>) {
        let Ok(Line { time, event }) = line else {
            self.unreadable += 1;
            return;
        };
        self.note_presence(time, event.as_ref());
        let Some(event) = event else { return };
        if let Event::CaptureStopped { sums: SumCheck::DoNotHold, .. } = event {
            self.unbalanced.push(time);
        }
        let history = match event.product() {
            Some(product) => self.products.entry(product.clone()).or_default(),
            None => &mut self.shared,
        };
        match event {
            Event::TradingBegan { first_id, .. } => history.first_id_ever = Some(first_id),
            Event::TradingEnded { last_id, .. } => history.last_id_ever = Some(last_id),
            _ if history.explanations.len() < MAX_EXPLANATIONS => history.explanations.extend(Explanation::new(time, &event)),
            _ => {}
        }
    }

    /// Takes into account what a line shows about when a capture was running.
    fn note_presence(&mut self, time: UnixNanos, event: Option<&Event>) {
        match event {
            Some(Event::CaptureStarted { .. }) => {
                // Before the first capture ever nothing was captured.
                self.shared.absences.push(Absence { from: self.newest.unwrap_or_default(), to: time });
                self.is_running = true;
            }
            // `repair` and `backfill` hold the directory. A capture that has not said that it stopped was killed before.
            Some(Event::CaptureStopped { .. } | Event::RepairStarted { .. } | Event::BackfillStarted { .. }) => self.is_running = false,
            _ => {}
        }
        // Lines behind a capture's end, a repair's for example, do not show a capture.
        if self.is_running || matches!(event, Some(Event::CaptureStopped { .. })) {
            self.newest = self.newest.max(Some(time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::event::GapFiller;
    use crate::time::{Timestamp, parse_rfc3339};

    const STARTED: &str = r#""event":"capture_started","endpoint":"exchange","products":1,"version":"0.1.0"}"#;
    const STOPPED: &str = r#""event":"capture_stopped","frames":0,"trades_received":0,"trades_fetched":0,"trades_written":0,"trades_late":0,"trades_duplicate":0,"trades_conflict":0,"trades_shed":0,"trades_rejected":0,"sums":"hold","failure":""}"#;

    fn at(time: &str, event: &str) -> String {
        format!(r#"{{"time":"{time}",{event}"#)
    }

    fn journal(lines: &[String]) -> Journal {
        let dir = tempfile::tempdir().expect("a folder");
        let own = dir.path().join(crate::store::OWN_FOLDER);
        std::fs::create_dir(&own).expect("made");
        // Two files, so that the order of days is shown to count.
        let (first, second) = lines.split_at(lines.len() / 2);
        std::fs::write(own.join("journal.2025-06-08.jsonl"), second.join("\n")).expect("written");
        std::fs::write(own.join("journal.2025-06-07.jsonl"), first.join("\n") + "\n").expect("written");
        Journal::read(dir.path())
    }

    fn moment(text: &str) -> UnixNanos {
        parse_rfc3339(text.as_bytes()).ok().and_then(Timestamp::to_unix).expect("a time")
    }

    #[test]
    fn between_a_stop_and_the_next_start_nobody_captured() {
        let repaired =
            r#""event":"repaired","product":"BTC-USD","from_tapes":0,"from_rest":1,"completed":0,"disagreements":0,"missing":0}"#;
        let raised = r#""event":"alert_raised","alert":"lag_above_1_s","subject":"","text":"2 s"}"#;
        let read = journal(&[
            at("2025-06-07T10:00:00Z", STARTED),
            at("2025-06-07T12:00:00Z", STOPPED),
            at("2025-06-07T13:00:00Z", repaired),
            at("2025-06-08T09:00:00Z", STARTED),
            at("2025-06-08T10:00:00Z", raised),
            at("2025-06-08T11:00:00Z", r#""event":"an_event_of_a_later_version"}"#),
            at("2025-06-08T13:00:00Z", r#""event":"repair_started","from":"","rest":true}"#),
            at("2025-06-08T13:01:00Z", repaired),
            at("2025-06-08T15:00:00Z", STARTED),
        ]);
        let absences = read.of(&ProductId::new("BTC-USD").expect("a product")).absences;
        let ends: Vec<(UnixNanos, UnixNanos)> = absences.iter().map(|absence| (absence.from, absence.to)).collect();
        assert_eq!(
            ends,
            [
                (UnixNanos(0), moment("2025-06-07T10:00:00Z")),
                (moment("2025-06-07T12:00:00Z"), moment("2025-06-08T09:00:00Z")),
                // It was killed; its last line was at eleven, whatever it says.
                (moment("2025-06-08T11:00:00Z"), moment("2025-06-08T15:00:00Z")),
            ]
        );
    }

    #[test]
    fn a_product_is_told_of_its_own_ids_and_of_what_concerns_every_product() {
        let opened = |product: &str| format!(r#""event":"gap_opened","product":"{product}","from_id":5,"to_id":9,"why":"jump"}}"#);
        let read = journal(&[
            at("2025-06-07T10:00:00Z", &opened("BTC-USD")),
            at("2025-06-07T10:00:00Z", &opened("ETH-USD")),
            at("2025-06-07T10:00:01Z", r#""event":"connection_lost","line":"line:0.0","why":"reset by peer"}"#),
            at("2025-06-07T10:00:01Z", r#""event":}"#),
            at("2025-06-07T10:00:01Z", r#""event":"gap_opened","product":"BTC-USD","from_id":5}"#),
            at("2025-06-07T10:00:02Z", r#""event":"trading_ended","product":"BTC-USD","last_id":77}"#),
            at("2025-06-07T10:00:02Z", STARTED),
        ]);
        let history = read.of(&ProductId::new("BTC-USD").expect("a product"));
        assert_eq!((history.explanations.len(), history.last_id_ever, read.unreadable), (2, Some(77), 2));
        let range = |from, to| IdRange::new(from, to).expect("a range");
        let why = history.explain(range(9, 12), moment("2025-06-07T10:00:00Z"), moment("2025-06-07T10:00:00Z"));
        assert!(why.contains("gap_opened") && why.contains("reset by peer"), "{why}");
        let far = history.explain(range(10, 12), moment("2025-06-07T11:00:00Z"), moment("2025-06-07T11:00:01Z"));
        assert!(far.contains("does not say why") && far.contains("no backfill tried"), "{far}");
    }

    #[test]
    fn every_event_that_bears_on_missing_ids_explains_in_its_own_words() {
        let product = || ProductId::new("BTC-USD").expect("a product");
        let (ids, error) = (IdRange::one(7), "HTTP 429".to_owned());
        let said = |event: Event| Explanation::new(UnixNanos(0), &event).map(|said| (said.role, said.ids, said.text));
        assert_eq!(
            said(Event::BackfillFailed { product: product(), ids, failures: None, error: error.clone() }),
            Some((Role::Attempt, Some(ids), error.clone()))
        );
        assert_eq!(said(Event::BackfillEmpty { product: product(), ids, attempts: 4 }), Some((Role::Attempt, Some(ids), String::new())));
        assert_eq!(said(Event::GapFilled { product: product(), ids, by: GapFiller::Rest }), Some((Role::Cause, Some(ids), String::new())));
        assert_eq!(said(Event::SyncFailed { error: error.clone() }), Some((Role::Cause, None, error.clone())));
        let shed = |trades| {
            let (first_trade_id, last_trade_id) = if trades == 0 { (0, 0) } else { (7, 9) };
            said(Event::ShedEnded { product: product(), first_trade_id, last_trade_id, trades, tickers: 1 })
        };
        assert_eq!(shed(0), None, "tickers have no ids");
        assert_eq!(shed(3), Some((Role::Cause, IdRange::new(7, 9), String::new())));
        // A connection that could not be opened has lost nothing.
        assert_eq!(said(Event::ConnectFailed { line: String::new(), error }), None);
    }
}
