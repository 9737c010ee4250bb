//! `coltape orders`: makes a question of the arguments and prints the orders to stdout.

use clap::Args;

use super::market::MarketArgs;
use super::outcome::Failure;
use super::values::positive_number;
use crate::market::Orders;
use crate::orders::print_orders;

/// `coltape orders`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape orders BTC-USD --from 1h --min-fills 5\n  coltape orders BTC-USD --from 2025-06-07 --to 2025-06-08 --min-size 1 --format csv\n\n\
    One row for each taker's order, put together from its consecutive fills. Columns:\n  \
    time, last_time        first and last fill\n  \
    side                   the taker's\n  \
    fills, makers, levels  fills, different orders that were met, different prices\n  \
    size, notional, vwap   exact sums, and the mean price weighted by size\n  \
    worst_price            the highest price of a buy, the lowest of a sell\n  \
    bid_before, ask_before the quote of the ticker with the next lower sequence than the first fill; empty where there is none\n  \
    quote_age_ms           how old that quote was at the first fill\n  \
    bid_after, ask_after   the quote of the ticker with the last fill's sequence; empty where there is none\n  \
    slippage_bps           vwap against the middle of the quote before, in hundredths of a per cent; above 0 = paid\n  \
    first_trade_id, last_trade_id, taker_order_id\n\n\
    An order belongs to the time in which its first fill is, and is given whole. The Advanced feed and REST send neither order ids nor sequences: each of \
    their trades stands alone, without quotes, and stderr says how many there are. It also says when the time is not whole.\n\
    Exit 0: done. Exit 1: there are no such trades, or a day cannot be read. Exit 2: the command line is wrong."
)]
pub(crate) struct OrdersArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Only orders of this size or more
    #[arg(long, value_name = "X", value_parser = positive_number)]
    pub min_size: Option<f64>,
    /// Only orders with this many fills or more
    #[arg(long, value_name = "N")]
    pub min_fills: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where there are no such trades, or a day cannot be read.
pub(crate) fn run(args: &OrdersArgs) -> Result<u8, Failure> {
    let OrdersArgs { market, min_size, min_fills } = args;
    let mut asked = Orders::new(market.tape()?, market.range.product.clone());
    (asked.range, asked.min_size, asked.min_fills) = (market.range(), *min_size, *min_fills);
    market.answer(|out| print_orders(&asked, market.format, market.summary, out).map(|found| found.notes()))
}
