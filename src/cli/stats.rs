//! `coltape stats`: makes a question of the arguments and prints the figures to stdout.

use clap::Args;

use super::market::MarketArgs;
use super::outcome::Failure;
use super::values::positive_number;
use crate::market::{Basis, Significant};
use crate::stats::print_stats;

/// Significant trades where nothing else is asked for.
const TOP: usize = 10;

/// Most trades that `--top` keeps.
const MAX_TOP: u32 = 1_000_000;

/// `coltape stats`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape stats BTC-USD --from 2025-06-07 --to 2025-06-08\n  coltape stats BTC-USD --from 1d --min-notional 1000000 --format jsonl\n\n\
    First the figures: trades, volume, notional, vwap, the range of prices, what takers bought and sold and its share of the volume, the spread (median, \
    95 % quantile, mean weighted by time) of the tickers, trades per second and the busiest second, the time between two trades (median and 99 % \
    quantile), the verdict and the number of missing ids. Then the significant trades. Sums are exact; quantiles are interpolated as numpy and DuckDB do.\n\n\
    As CSV the figures are a table of one row; an empty line and the table of the trades follow. As JSON Lines the first object has \"kind\":\"stats\", \
    the others \"kind\":\"trade\".\n\n\
    On stderr it says when the time is not whole: trades are missing, or the tape begins or ends in it.\n\
    Exit 0: done. Exit 1: there are no such trades, or a day cannot be read. Exit 2: the command line is wrong."
)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The significant trades: those whose price times size is X or more, in order of id
    #[arg(long, value_name = "X", value_parser = positive_number, conflicts_with = "top")]
    pub min_notional: Option<f64>,
    /// The significant trades: the N largest by price times size, the largest first [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_TOP)))]
    pub top: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where there are no such trades, or a day cannot be read.
pub(crate) fn run(args: &StatsArgs) -> Result<u8, Failure> {
    let StatsArgs { market, min_notional, top } = args;
    let top = top.map_or(TOP, |top| usize::try_from(top).unwrap_or(usize::MAX));
    let which = min_notional.map_or(Significant::Top(top), Significant::MinNotional);
    let tape = market.tape()?;
    market.answer(|out| {
        print_stats(&tape, &market.range.product, market.range(), which, market.format, market.summary, out)
            .map(|basis: Basis| basis.notes())
    })
}
