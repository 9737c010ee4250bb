//! What a campaign of kills came to, and whether every kind of kill happened.

use std::ops::AddAssign;

use super::account::Sums;

/// The kinds of kill that must happen. One kill may be of several.
pub(crate) const KINDS: [&str; 5] = ["start", "load", "seal", "replace", "roll-over"];

/// Counts of a campaign.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    /// By [`KINDS`].
    pub(crate) kinds: [u64; 5],
    /// After SIGTERM, before anything was sealed.
    pub(crate) draining: u64,
    /// While replacements were announced: they are rolled forward.
    pub(crate) announced: u64,
    /// While the new files of a replacement were not announced yet: they are discarded.
    pub(crate) unannounced: u64,
    /// Under load, with trades known to be missing and without.
    pub(crate) gaps_open: u64,
    pub(crate) no_gap: u64,
    /// Captures that had ended before SIGKILL came.
    pub(crate) too_late: u64,
    pub(crate) segments: u64,
    /// Records that were found again after a kill.
    pub(crate) held: u64,
    /// Trades and tickers that a live reader saw while a capture ran.
    pub(crate) seen_live: u64,
    pub(crate) sums: Sums,
}

impl Tally {
    /// The kinds that have not happened.
    pub(crate) fn lacks(&self) -> Vec<&'static str> {
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
            "  at the end {} trades, each once and equal to the ledger ({} from REST, without order ids), {} tickers stored, {} missed while dead",
            self.sums.trades, self.sums.from_rest, self.sums.tickers, self.sums.tickers_missed
        )
    }
}
