//! `coltape candles`: makes a question of the arguments and prints the candles to stdout.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::market::MarketArgs;
use super::outcome::Failure;
use crate::candles::print_candles;
use crate::market::{Candles, Fill, Interval};

/// `coltape candles`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape candles BTC-USD --interval 1h --from 7d\n  coltape candles BTC-USD --interval 1m --fill flat --from 2025-06-07 --to 2025-06-08 --format csv\n\n\
    Columns: time (where the bucket begins), open, high, low, close, volume, buy_volume, sell_volume (by the taker's side), trades, vwap, trades_per_s, \
    missing. Buckets are aligned to the epoch and filled by event time. Open and close are those of the lowest and highest trade id. Sums are exact.\n\n\
    missing: trade ids that are known to be missing in the bucket. Those of a gap that spans several buckets are spread evenly over its time. Where a \
    bucket has no row, they count in the row before it. Each missing id counts once.\n\n\
    On stderr it says when the time is not whole: trades are missing, or the tape begins or ends in it.\n\
    Exit 0: done. Exit 1: there are no such trades, or a day cannot be read. Exit 2: the command line is wrong."
)]
pub(crate) struct CandlesArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The length of a bucket
    #[arg(long, value_enum, default_value_t)]
    pub interval: Interval,
    /// What stands for a bucket without a trade
    #[arg(long, value_enum, default_value_t)]
    pub fill: Fill,
}

impl ValueEnum for Interval {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Fill {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::None, Self::Flat]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::None => PossibleValue::new("none").help("No row, as Coinbase does"),
            Self::Flat => PossibleValue::new("flat").help("The last close four times, volume 0, vwap empty"),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where there are no such trades, or a day cannot be read.
pub(crate) fn run(args: &CandlesArgs) -> Result<u8, Failure> {
    let CandlesArgs { market, interval, fill } = args;
    let mut asked = Candles::new(market.tape()?, market.range.product.clone());
    (asked.range, asked.interval, asked.fill) = (market.range(), *interval, *fill);
    market.answer(|out| print_candles(&asked, market.format, market.summary, out).map(|basis| basis.notes()))
}
