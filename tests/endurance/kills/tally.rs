//! The counts of a run of kills, and whether every kind of kill has happened.

use std::ops::AddAssign;

use super::final_check::Sums;

/// The kinds of kill that must happen. One kill may be of several kinds.
pub(crate) const KINDS: [&str; 5] = ["start", "load", "seal", "replace", "roll-over"];

/// The counts of a run of kills.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    /// Kills of each kind, in the order of [`KINDS`].
    pub(crate) kinds: [u64; 5],
    /// Kills after SIGTERM, before a day was sealed.
    pub(crate) draining: u64,
    /// Kills while a replacement was announced. The next start completes it.
    pub(crate) announced: u64,
    /// Kills while the new files of a replacement were not announced yet. The next start removes them.
    pub(crate) unannounced: u64,
    /// Kills under load with trades known to be missing.
    pub(crate) gaps_open: u64,
    /// Kills under load without.
    pub(crate) no_gap: u64,
    /// Captures that had ended before the SIGKILL.
    pub(crate) too_late: u64,
    pub(crate) segments: u64,
    /// Records that were found again after a kill.
    pub(crate) held: u64,
    /// Trades and tickers that a live reader saw while a capture ran.
    pub(crate) seen_live: u64,
    pub(crate) sums: Sums,
}

impl Tally {
    /// Gives the kinds that have not happened.
    pub(crate) fn missing_kinds(&self) -> Vec<&'static str> {
        KINDS.into_iter().zip(self.kinds).filter(|(_, count)| *count == 0).map(|(kind, _)| kind).collect()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.kinds.iter_mut().zip(other.kinds).for_each(|(sum, count)| *sum += count);
        self.draining += other.draining;
        self.announced += other.announced;
        self.unannounced += other.unannounced;
        self.gaps_open += other.gaps_open;
        self.no_gap += other.no_gap;
        self.too_late += other.too_late;
        self.segments += other.segments;
        self.held += other.held;
        self.seen_live += other.seen_live;
        self.sums.trades += other.sums.trades;
        self.sums.from_rest += other.sums.from_rest;
        self.sums.tickers += other.sums.tickers;
        self.sums.tickers_missed += other.sums.tickers_missed;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<String> = KINDS.into_iter().zip(self.kinds).map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "{} kills over {} markets: {}", self.kills, self.segments, kinds.join(", "))?;
        writeln!(
            f,
            "  under load {} with gaps open, {} without; stopping {} before the seal; replacing {} before the announcement, {} after it; {} came too late",
            self.gaps_open, self.no_gap, self.draining, self.unannounced, self.announced, self.too_late
        )?;
        writeln!(f, "  {} records found again after a kill, {} of them first seen by a live reader", self.held, self.seen_live)?;
        write!(
            f,
            "  at the end {} trades, each once and equal to the ledger ({} from REST, without order ids), {} tickers stored, {} missed while no capture ran",
            self.sums.trades, self.sums.from_rest, self.sums.tickers, self.sums.tickers_missed
        )
    }
}
