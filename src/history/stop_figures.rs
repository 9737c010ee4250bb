//! [`StopFigures`]: what a capture says of itself at its end, and what of it cannot be so.
//!
//! 1. Its figures must add up: what came from the feed and from REST is what was written, late, a duplicate, a conflict, shed or rejected. A message that
//!    could not be read as a trade is rejected and counted with the trades, but not as one that came. So the sum may be larger than what came, by the
//!    rejected ones at most.
//! 2. What is lost to the tape has lines of its own: each conflict, what a full queue gave up, and what was rejected in the file of rejects. Where there are
//!    fewer, nobody knows which trades they were. A journal of which only the lines of some products were copied names fewer, too
//!    ([`NamedLosses::is_of_some_products`]).

use crate::store::event::{Event, SumCheck};

/// What the lines of a capture have named until its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NamedLosses {
    /// Conflicts of its connections.
    pub(super) conflicts: u64,
    /// Trades that a full queue gave up.
    pub(super) shed: u64,
    /// Products that it began with, and those of them that its lines name.
    products: u64,
    added: u64,
}

impl NamedLosses {
    /// Takes the next line of the capture.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::CaptureStarted { products, .. } => *self = Self { products: *products, ..Self::default() },
            Event::ProductAdded { .. } => self.added += 1,
            Event::Conflict { by: None, .. } => self.conflicts += 1,
            Event::ShedEnded { trades, .. } => self.shed = self.shed.saturating_add(*trades),
            _ => {}
        }
    }

    /// Tells whether lines of some of its products may have been left out.
    pub(super) const fn is_of_some_products(self) -> bool {
        self.added < self.products
    }
}

/// The figures of a capture's end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StopFigures {
    received: u64,
    fetched: u64,
    written: u64,
    late: u64,
    duplicate: u64,
    conflict: u64,
    shed: u64,
    /// Trades that were rejected, and messages that could not be read as trades.
    pub(super) rejected: u64,
    do_hold: bool,
}

impl StopFigures {
    /// Reads them.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Event::CaptureStopped {
            sums,
            trades_received,
            trades_fetched,
            trades_written,
            trades_late,
            trades_duplicate,
            trades_conflict,
            trades_shed,
            trades_rejected,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            received: *trades_received,
            fetched: *trades_fetched,
            written: *trades_written,
            late: *trades_late,
            duplicate: *trades_duplicate,
            conflict: *trades_conflict,
            shed: *trades_shed,
            rejected: *trades_rejected,
            do_hold: *sums == SumCheck::Hold,
        })
    }

    /// Says what its figures say against the capture.
    pub(super) fn faults(self) -> Vec<String> {
        let Self { received, fetched, written, late, duplicate, conflict, shed, rejected, do_hold } = self;
        let sum = |parts: &[u64]| parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
        let (came, known) = (sum(&[received, fetched]), sum(&[written, late, duplicate, conflict, shed]));
        let mut said = Vec::new();
        if !do_hold {
            said.push("says that its sums do not hold".to_owned());
        } else if came < known || came > known.saturating_add(rejected) {
            said.push(format!("says that its sums hold, and they do not: {came} trades came, {known} were stored, given up or in conflict, {rejected} rejected"));
        }
        if came > 0 && rejected > 0 && sum(&[written, late, duplicate]) == 0 {
            said.push(format!("stored none of {came} trades and rejected {rejected}"));
        }
        said
    }

    /// Says which losses no line of the capture names.
    pub(super) fn unnamed(self, named: NamedLosses) -> Vec<String> {
        let mut said = Vec::new();
        if self.conflict > named.conflicts {
            said.push(format!("met {} conflicts, of which the journal names {}", self.conflict, named.conflicts));
        }
        if self.shed > named.shed {
            said.push(format!("gave up {} trades because a queue was full, of which the journal names {}", self.shed, named.shed));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_do_not_add_up_or_that_no_line_names_speak_against_a_capture() {
        let fine = StopFigures {
            received: 10,
            fetched: 3,
            written: 9,
            late: 2,
            duplicate: 1,
            conflict: 1,
            do_hold: true,
            ..StopFigures::default()
        };
        let named = NamedLosses { conflicts: 1, ..NamedLosses::default() };
        let faults = |figures: StopFigures| figures.faults().len() + figures.unnamed(named).len();
        assert_eq!(faults(fine), 0);
        // Messages that could not be read are rejected ones that never came as trades.
        assert_eq!(faults(StopFigures { rejected: 4, ..fine }), 0);
        assert_eq!(faults(StopFigures { rejected: 4, received: 14, ..fine }), 0);
        for wrong in [
            StopFigures { written: 8, ..fine },
            StopFigures { written: 10, ..fine },
            StopFigures { fetched: 0, ..fine },
            StopFigures { rejected: 4, received: 15, ..fine },
            StopFigures { do_hold: false, ..fine },
            StopFigures { conflict: 2, written: 8, ..fine },
            StopFigures { shed: 1, written: 8, ..fine },
            StopFigures { received: u64::MAX, ..fine },
        ] {
            assert_eq!(faults(wrong), 1, "{wrong:?}");
        }
        assert_eq!(fine.unnamed(NamedLosses::default()).len(), 1);
    }
}
