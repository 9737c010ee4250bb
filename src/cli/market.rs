//! What `candles`, `stats`, `orders` and `plot` have in common on the command line.

use std::io::{BufWriter, StdoutLock};

use clap::Args;

use super::data_dir::DataDirArg;
use super::outcome::{DONE, Failure};
use super::{input, output, units};
use crate::escape::Escaped;
use crate::market::MarketError;
use crate::product::ProductId;
use crate::rows::Format;
use crate::schema::Dataset;
use crate::tape::{Tape, TapeError};
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Which records of a market a command is about.
#[derive(Debug, Args)]
pub(crate) struct ProductRangeArgs {
    /// Which product
    #[arg(value_name = "PRODUCT")]
    pub product: ProductId,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// First event time: a date, RFC 3339, now, or how long ago: 7d, 36h [default: the first trade]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: Option<UnixNanos>,
    /// Event time to stop before [default: behind the last record]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
}

/// The options of the commands that answer questions about a market.
#[derive(Debug, Args)]
pub(crate) struct MarketArgs {
    #[command(flatten)]
    pub range: ProductRangeArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::default())]
    pub format: Format,
    /// With --format jsonl: a last line that says what the answer rests on, and whether that is whole
    #[arg(long)]
    pub summary: bool,
}

impl MarketArgs {
    /// Opens the tape, and checks that it has such trades.
    ///
    /// # Errors
    /// [`Failure::Usage`] where `--summary` goes with another format, [`Failure::Failed`] where the directory is no tape, or has no such trades.
    pub(crate) fn tape(&self) -> Result<Tape, Failure> {
        if self.summary && self.format != Format::Jsonl {
            return Err(Failure::Usage("--summary is a line of JSON: it goes with --format jsonl".to_owned()));
        }
        let ProductRangeArgs { product, data_dir, from, to } = &self.range;
        let dir = &data_dir.data_dir;
        input::check(dir, product, Dataset::Trades, *from, *to)?;
        Tape::open(dir).map_err(|error| Failure::failed(Escaped(error)))
    }

    /// Gives the event times asked for.
    #[must_use]
    pub(crate) const fn range(&self) -> TimeRange {
        TimeRange { from: self.range.from, to: self.range.to }
    }

    /// Prints an answer to stdout, and to stderr what has to be said with it.
    ///
    /// # Errors
    /// [`Failure::Failed`] where there is no answer, or stdout takes no more.
    pub(crate) fn answer(
        &self,
        print: impl FnOnce(&mut BufWriter<StdoutLock<'_>>) -> Result<Vec<String>, MarketError>,
    ) -> Result<u8, Failure> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        match print(&mut out) {
            Ok(said) => {
                said.iter().for_each(|note| output::note(note));
                Ok(DONE)
            }
            Err(MarketError::Output(error)) => output::checked(Err(error)).map(|()| DONE),
            Err(MarketError::Tape(TapeError::Store(error))) => Err(input::unreadable(&error, &self.range.data_dir.data_dir)),
            Err(error) => Err(Failure::failed(Escaped(error))),
        }
    }
}
