//! `/v1/candles`, `/v1/orders` and `/v1/stats`: the rows of the commands of the same name.

use std::hash::Hash;
use std::io::{self, Write};
use std::sync::Arc;

use super::ground::{Ground, all_days, check_days, days, widened};
use super::parameters::Parameters;
use super::parquet_file;
use super::refusal::{Refusal, of_market, of_stream, of_tape};
use crate::export::stream::CellKind::{Count, Number, Text, Time};
use crate::export::stream::{Budget, CellKind, RowStream, StreamError, StreamFormat, write_empty, write_lines};
use crate::market::{Candles, Fill, Interval, MarketError, Orders, Significant, StatsOf};
use crate::product::ProductId;
use crate::rows::{Cell, Format};
use crate::schema::Dataset;
use crate::serve::http::request::Request;
use crate::serve::http::response::{Response, StreamFailed};
use crate::serve::server::Server;
use crate::tape::{Tape, TapeError};
use crate::time::{NANOS_PER_SECOND, UnixNanos};
use crate::time_range::TimeRange;

/// The columns of candles.
const CANDLES: [(&str, CellKind); 12] =
    typed(crate::candles::COLUMNS, [Time, Number, Number, Number, Number, Number, Number, Number, Count, Number, Number, Count]);
/// The columns of orders.
const ORDERS: [(&str, CellKind); 19] = typed(
    crate::orders::COLUMNS,
    [
        Time, Time, Text, Count, Count, Count, Number, Number, Number, Number, Number, Number, Number, Number, Number, Number, Count,
        Count, Text,
    ],
);
/// The figures.
const FIGURES: [(&str, CellKind); 27] = typed(
    crate::stats::FIGURES,
    [
        Text, Text, Time, Time, Count, Number, Number, Number, Number, Number, Number, Number, Number, Number, Number, Number, Number,
        Number, Number, Number, Time, Count, Number, Number, Text, Count, Text,
    ],
);
/// What a significant trade has beside the columns that the figures have, too.
const LARGE_TRADE: [(&str, CellKind); 5] = [("time", Time), ("trade_id", Count), ("side", Text), ("price", Number), ("size", Number)];
/// Place of the notional among the figures.
const NOTIONAL: usize = 6;
/// Significant trades where nothing else is asked for, as the command has it.
const TOP: u64 = 10;
/// Most significant trades by rank.
const MAX_TOP: u64 = 1_000_000;
/// How far beside a range the fills of its orders may lie: as far as the command looks.
const AROUND_NANOS: u64 = 60 * NANOS_PER_SECOND;

const fn typed<const N: usize>(names: [&'static str; N], kinds: [CellKind; N]) -> [(&'static str, CellKind); N] {
    let mut columns = [("", Text); N];
    let mut at = 0;
    while at < N {
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        {
            columns[at] = (names[at], kinds[at]);
        }
        at += 1;
    }
    columns
}

/// What a question about a market has in common with the others.
struct Question {
    tape: Tape,
    product: ProductId,
    range: TimeRange,
    format: StreamFormat,
}

impl Question {
    fn of(server: &Server, parameters: &Parameters<'_>) -> Result<Self, Refusal> {
        let (format, range) = (parameters.format()?, parameters.range()?);
        let tape = server.tape().map_err(|error| of_tape(server, &error))?;
        let product = parameters.product(server, &tape)?;
        Ok(Self { tape, product, range, format })
    }

    /// Looks at the days of the range, and at those beside it that have a part in the answer.
    fn ground(&self, server: &Server, datasets: &[Dataset], around: TimeRange) -> Result<Ground, Refusal> {
        let (mut ground, mut budget) = (Ground::default(), Budget::default());
        for dataset in datasets {
            self.tape.check_archived(&self.product, *dataset, self.range, 0).map_err(|error| of_tape(server, &error))?;
            days(server, &self.tape, &self.product, *dataset, self.range)?;
            let dates = all_days(server, &self.tape, &self.product, *dataset, around)?;
            let is_beside = |date| !self.range.overlaps_day(date);
            ground = ground.and(Ground::look((server, &self.tape), &self.product, *dataset, &dates, is_beside, &mut budget)?);
        }
        ground.judge(server, &self.tape, &self.product, Dataset::Trades, self.range)?;
        Ok(ground)
    }
}

/// Answers with candles.
///
/// # Errors
/// Where the request makes no sense, or a day cannot be read.
pub(super) fn candles(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["product", "interval", "from", "to", "fill", "format"])?;
    let interval = parameters.one_of("interval", &Interval::ALL.map(|interval| (interval.name(), interval)))?.unwrap_or_default();
    let fill = parameters.one_of("fill", &[("none", Fill::None), ("flat", Fill::Flat)])?.unwrap_or_default();
    let question = Question::of(server, &parameters)?;
    let mut ground = question.ground(server, &[Dataset::Trades], question.range)?;
    if fill == Fill::Flat {
        // A flat candle may have the price of a day before the range, and a candle is made for each bucket of it.
        ground = ground.depends_on_more();
        if let (Some(from), Some(to)) = (question.range.from, question.range.to) {
            check_days(server, u64::from(UnixNanos(to.0.saturating_sub(1)).day().0.saturating_sub(from.day().0)) + 1)?;
        }
    }
    let mut asked = Candles::new(question.tape.clone(), question.product.clone());
    (asked.range, asked.interval, asked.fill) = (question.range, interval, fill);
    let rows = asked.clone();
    let answer = Answer {
        columns: &CANDLES,
        print: Box::new(move |format, out| crate::candles::print_candles(&asked, format, false, out).map(drop)),
        rows: Box::new(move |add| rows.for_each(|candle| add(crate::candles::row(candle, interval.seconds()))).map(drop)),
    };
    answer.send(server, request, &question, &ground, &(interval.name(), fill == Fill::Flat))
}

/// Answers with takers' orders.
///
/// # Errors
/// As [`candles`].
pub(super) fn orders(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["product", "from", "to", "min_size", "min_fills", "format"])?;
    let (min_size, min_fills) = (parameters.positive("min_size")?, parameters.count("min_fills")?);
    let question = Question::of(server, &parameters)?;
    let ground = question.ground(server, &[Dataset::Trades, Dataset::Md], widened(question.range, AROUND_NANOS))?;
    let mut asked = Orders::new(question.tape.clone(), question.product.clone());
    (asked.range, asked.min_size, asked.min_fills) = (question.range, min_size, min_fills);
    let rows = asked.clone();
    let answer = Answer {
        columns: &ORDERS,
        print: Box::new(move |format, out| crate::orders::print_orders(&asked, format, false, out).map(drop)),
        rows: Box::new(move |add| rows.for_each(|order| add(crate::orders::row(order))).map(drop)),
    };
    answer.send(server, request, &question, &ground, &(min_size.map(f64::to_bits), min_fills))
}

/// Answers with a range of time in figures, and its significant trades.
///
/// # Errors
/// As [`candles`].
pub(super) fn stats(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["product", "from", "to", "top", "min_notional", "format"])?;
    let (top, min_notional) = (parameters.count("top")?, parameters.positive("min_notional")?);
    let which = match (top, min_notional) {
        (Some(top), Some(_)) => return Err(Refusal::parameter("top", &top.to_string(), "give top or min_notional, not both")),
        (Some(top), None) if top > MAX_TOP => {
            return Err(Refusal::parameter("top", &top.to_string(), format!("top is a whole number from 0 to {MAX_TOP}")));
        }
        (_, Some(least)) => Significant::MinNotional(least),
        (top, None) => Significant::Top(usize::try_from(top.unwrap_or(TOP)).unwrap_or(usize::MAX)),
    };
    let question = Question::of(server, &parameters)?;
    let ground = question.ground(server, &[Dataset::Trades, Dataset::Md], question.range)?;
    let (tape, product, range) = (question.tape.clone(), question.product.clone(), question.range);
    let (rows_tape, rows_product) = (tape.clone(), product.clone());
    let answer = Answer {
        columns: &STATS,
        print: Box::new(move |format, out| crate::stats::print_stats(&tape, &product, range, which, format, false, out).map(drop)),
        rows: Box::new(move |add| stats_rows(&rows_tape, &rows_product, range, which, add)),
    };
    answer.send(server, request, &question, &ground, &(top, min_notional.map(f64::to_bits)))
}

/// The columns of figures and significant trades in one table.
static STATS: [(&str, CellKind); 32] = stats_columns();

const fn stats_columns() -> [(&'static str, CellKind); 32] {
    let mut columns = [("", Text); 32];
    let mut at = 0;
    while at < columns.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        {
            columns[at] = if at < FIGURES.len() { FIGURES[at] } else { LARGE_TRADE[at - FIGURES.len()] };
        }
        at += 1;
    }
    columns
}

fn stats_rows(tape: &Tape, product: &ProductId, range: TimeRange, which: Significant, add: AddRow<'_>) -> Result<(), MarketError> {
    let days = StatsOf::open(tape, product, range)?;
    let mut first = crate::stats::figures(days.basis(), &days.stats()?, which);
    first.resize(STATS.len(), Cell::None);
    add(first)?;
    days.significant(which, |trade| {
        let mut cells = crate::stats::row(trade).into_iter();
        let mut row = vec![Cell::None; STATS.len()];
        let places = [0].into_iter().chain(FIGURES.len()..STATS.len()).chain([NOTIONAL]);
        for (place, cell) in places.zip(&mut cells) {
            if let Some(to) = row.get_mut(place) {
                *to = cell;
            }
        }
        add(row)
    })
}

type AddRow<'a> = &'a mut dyn FnMut(Vec<Cell>) -> Result<(), MarketError>;
type Print = Box<dyn FnOnce(Format, &mut dyn Write) -> Result<(), MarketError> + Send>;
type MakeRows = Box<dyn FnOnce(AddRow<'_>) -> Result<(), MarketError> + Send>;

/// An answer in every format: as the command prints it, and as rows.
struct Answer {
    columns: &'static [(&'static str, CellKind)],
    print: Print,
    rows: MakeRows,
}

/// Why an answer is not whole.
enum Failed {
    Market(MarketError),
    Stream(StreamError),
}

impl From<StreamError> for Failed {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<MarketError> for Failed {
    fn from(error: MarketError) -> Self {
        match error {
            MarketError::Output(error) => Self::Stream(StreamError::Output(error)),
            error => Self::Market(error),
        }
    }
}

impl Answer {
    fn send(
        self,
        server: &Arc<Server>,
        request: &Request,
        question: &Question,
        ground: &Ground,
        options: &impl Hash,
    ) -> Result<Response, Refusal> {
        let Question { product, range, format, .. } = question;
        let asked =
            ((request.path().to_owned(), product.as_str(), range.from.map(|from| from.0), range.to.map(|to| to.0)), format, options);
        let (format, metadata, is_large) = (*format, ground.metadata(), ground.has_large_day());
        let (pledge, standing) = (ground.pledge(server, request)?, ground.standing(&question.tape, product));
        if format == StreamFormat::Parquet && parquet_file::is_wanted(request) {
            let write = |out: &mut dyn Write| match self.write(format, metadata, out) {
                Ok(()) => standing().and_then(|()| pledge.map_or(Ok(()), |pledge| pledge.redeem(server))),
                Err(Failed::Stream(error)) => Err(error),
                Err(Failed::Market(error)) => Err(StreamError::Encoding(error.to_string())),
            };
            let response = parquet_file::answer(server, request, ground.tag(&asked).as_deref(), write)?;
            return Ok(ground.describe(response, &asked));
        }
        let failing = Arc::clone(server);
        let response = Response::stream(format.content_type(), move |out| {
            if is_large {
                out.flush()?;
            }
            self.write(format, metadata, out).map_err(|error| match error {
                Failed::Stream(error) => of_stream(&failing, error),
                Failed::Market(error) => StreamFailed::source(&error, of_market(&failing, &error).response()),
            })?;
            standing().and_then(|()| pledge.map_or(Ok(()), |pledge| pledge.redeem(&failing))).map_err(|error| of_stream(&failing, error))
        });
        Ok(ground.describe(response, &asked))
    }

    fn write(self, format: StreamFormat, metadata: Vec<(String, String)>, out: &mut dyn Write) -> Result<(), Failed> {
        let printed = match format {
            StreamFormat::Csv => (self.print)(Format::Csv, out).map_err(Failed::from),
            StreamFormat::Json | StreamFormat::Jsonl => {
                return write_lines(format, out, |out| match (self.print)(Format::Jsonl, out) {
                    Err(error) if is_nothing(&error) => Ok(()),
                    printed => printed.map_err(Failed::from),
                });
            }
            StreamFormat::Arrow | StreamFormat::Parquet => {
                let mut stream = RowStream::begin(format, self.columns, metadata, out)?;
                let made = (self.rows)(&mut |row| stream.add(row).map_err(|error| MarketError::Output(as_io(error))));
                match made {
                    Err(error) if !is_nothing(&error) => return Err(error.into()),
                    _ => stream.finish().map_err(Failed::from),
                }
            }
        };
        match printed {
            Err(Failed::Market(error)) if is_nothing(&error) => write_empty(format, self.columns, out).map_err(Failed::from),
            printed => printed,
        }
    }
}

fn as_io(error: StreamError) -> io::Error {
    match error {
        StreamError::Output(error) => error,
        error => io::Error::other(error),
    }
}

/// Tells whether an error says that there is nothing of that time: the answer is empty then.
fn is_nothing(error: &MarketError) -> bool {
    matches!(
        error,
        MarketError::NoTrades { .. }
            | MarketError::Tape(TapeError::NothingThen { .. } | TapeError::NothingStored { .. } | TapeError::EmptyDays { .. })
    )
}
