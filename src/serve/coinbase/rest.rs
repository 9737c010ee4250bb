//! The REST endpoints of the exchange: `/products`, `/products/{id}` with `/trades`, `/candles` and `/ticker`, `/currencies`, `/time`.
//!
//! 1. Paths, parameters, order and spelling are those of `api.exchange.coinbase.com`. Errors have the exchange's `message` beside `error` and `hint`.
//! 2. `/trades` is newest first, with the **maker's** side. `after` and `before` are trade ids: below and above. `CB-AFTER` names the page's oldest id,
//!    `CB-BEFORE` its newest. Order ids are not part of it.
//! 3. `/candles` is newest first: `[time, low, high, open, close, volume]`, buckets from `start` to `end`, both included, at most 300. Without both of them
//!    it is the newest 300 up to the last trade.
//! 4. The bytes of every day that an answer is made of are compared with their checksums: an altered trade must not look like a stored one.
//! 5. Where a product has several series, it is the newest one that is served.

use std::io::Write;
use std::sync::Arc;

use super::glance::{Glance, LARGE_TRADES, is_large};
use super::pages::{self, Page};
use super::record::{Row, Stored, Texts, TradeNumbers};
use super::refused::{Refused, broken_off};
use super::source::{Source, check_bytes};
use super::spelling::{PADDED_DECIMALS, Times, text};
use super::{moment, products};
use crate::digits::{push_f64, push_u64};
use crate::market::{Candle, Candles, Coverage, Interval, MarketError, Verdict};
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Md, Trades};
use crate::serve::http::request::Request;
use crate::serve::http::response::{JSON, Response};
use crate::serve::server::Server;
use crate::tape::{Tape, TapeError};
use crate::time::{Clock, NANOS_PER_SECOND, SECONDS_PER_DAY, UnixNanos};
use crate::time_range::TimeRange;

/// Most trades of a page, and as many as are given where the client does not say.
const MAX_TRADES: usize = 1000;
/// The header that says how much of the time asked for is known to be there.
pub(super) const VERDICT: &str = "X-Coltape-Verdict";
/// Most candles of an answer.
const MAX_CANDLES: u64 = 300;
/// The lengths of a candle that the exchange has, in seconds.
const GRANULARITIES: [Interval; 6] =
    [Interval::Minute, Interval::FiveMinutes, Interval::QuarterHour, Interval::Hour, Interval::SixHours, Interval::Day];

/// Answers a request below `/products`, or for `/currencies` or `/time`.
pub(super) fn answer(server: &Arc<Server>, request: &Request) -> Response {
    let steps: Vec<&str> = request.path().split('/').filter(|step| !step.is_empty()).collect();
    if steps.as_slice() == ["time"] {
        return time();
    }
    let answered = server.tape().map_err(Refused::Tape).and_then(|tape| {
        let known = products::Products::read(&tape)?;
        let mut out = Vec::new();
        match steps.as_slice() {
            ["products"] => known.write_all(&mut out),
            ["currencies"] => known.write_currencies(&mut out),
            ["products", name, rest @ ..] => {
                let Some(product) = known.find(name) else { return Err(unknown_product(&known, name)) };
                let asked = Asked { server, tape: &tape, known: &known, product, request };
                match rest {
                    [] => known.write_one(&mut out, product),
                    ["trades"] => return asked.trades(),
                    ["candles"] => return asked.candles(),
                    ["ticker"] => return asked.ticker(),
                    _ => return Err(Refused::of(404, "Route not found", "there are /trades, /candles and /ticker of a product")),
                }
            }
            _ => return Err(Refused::of(404, "Route not found", "there are /products, /currencies and /time")),
        }
        Ok(Response::bytes(JSON, out))
    });
    answered.unwrap_or_else(|refused| refused.into_response(server.dir()))
}

/// Refuses a product that the tape does not have. Names those that it has.
pub(super) fn unknown_product(known: &products::Products, name: &str) -> Refused {
    const MOST: usize = 20;
    let names: Vec<&str> = known.names().map(ProductId::as_str).collect();
    let listed = names.iter().take(MOST).copied().collect::<Vec<&str>>().join(", ");
    let more = if names.len() > MOST { format!(" and {} more", names.len() - MOST) } else { String::new() };
    let shown: String = name.chars().take(80).collect();
    Refused::of(404, "NotFound", format!("there is no {shown}; there are {listed}{more}"))
}

fn time() -> Response {
    let now = Clock::System.now();
    let mut out = b"{\"iso\":\"".to_vec();
    Times::default().script(&mut out, UnixNanos(now.0 / 1_000_000 * 1_000_000));
    text(&mut out, &format!("\",\"epoch\":{}.{:03}}}", now.seconds(), now.subsec_nanos() / 1_000_000));
    Response::bytes(JSON, out)
}

/// A request about a product.
struct Asked<'a> {
    server: &'a Arc<Server>,
    tape: &'a Tape,
    known: &'a products::Products,
    product: &'a ProductId,
    request: &'a Request,
}

impl Asked<'_> {
    fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(given) = self.request.parameter(name).filter(|given| !given.is_empty()) else { return Ok(None) };
        match given.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refused::of(400, format!("Invalid {name}"), format!("{name} is a whole number, as in {name}=100"))),
        }
    }

    fn moment(&self, name: &str) -> Result<Option<UnixNanos>, Refused> {
        let Some(given) = self.request.parameter(name).filter(|given| !given.is_empty()) else { return Ok(None) };
        match moment::parse(given) {
            Some(time) => Ok(Some(time)),
            None => Err(Refused::of(
                400,
                format!("invalid {name}"),
                format!("{name} is a time such as 2025-06-07T12:00:00Z, or seconds since the epoch"),
            )),
        }
    }

    fn trades(&self) -> Result<Response, Refused> {
        let limit = self.number("limit")?.map_or(MAX_TRADES, |limit| usize::try_from(limit).unwrap_or(MAX_TRADES).min(MAX_TRADES));
        let (above, below) = (self.number("before")?.unwrap_or(0), self.number("after")?.unwrap_or(u64::MAX));
        let series = pages::newest_series(self.tape, self.product)?;
        let mut page =
            if limit == 0 { Page::default() } else { pages::newest_first(self.tape, self.product, series, above, below, limit)? };
        let first_day = page.oldest().map_or_else(|| Clock::System.now().day(), |(_, oldest)| oldest.time.day());
        let texts = Texts::read(self.tape, self.known, std::slice::from_ref(self.product), first_day);
        let mut out = Vec::with_capacity(page.trades.len() * 160 + 2);
        let mut times = Times::default();
        out.push(b'[');
        for (at, stored) in page.trades.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_trade(&mut out, &mut times, &texts, stored);
        }
        out.push(b']');
        self.server.counters().send_rows(page.trades.len() as u64);
        let ends = page.newest().zip(page.oldest()).map(|((_, newest), (_, oldest))| [newest.trade_id, oldest.trade_id]);
        let is_later = page.records() >= LARGE_TRADES && !self.request.is_head();
        let tape = self.tape.clone();
        let response = self.checked(is_later, move || {
            page.check(&tape)?;
            Ok(out)
        })?;
        Ok(match ends {
            Some([newest, oldest]) => response.with_header("CB-BEFORE", newest.to_string()).with_header("CB-AFTER", oldest.to_string()),
            None => response,
        })
    }

    /// Answers with what is made, and checked, at once, or where that takes its time when the head of the answer has gone out.
    fn checked(&self, is_later: bool, make: impl FnOnce() -> Result<Vec<u8>, Refused> + Send + 'static) -> Result<Response, Refused> {
        if !is_later {
            return Ok(Response::bytes(JSON, make()?));
        }
        let server = Arc::clone(self.server);
        Ok(Response::stream(JSON, move |out| {
            out.flush()?;
            Ok(out.write_all(&make().map_err(|refused| broken_off(&server, refused))?)?)
        }))
    }

    fn candles(&self) -> Result<Response, Refused> {
        let seconds = self.number("granularity")?.unwrap_or(60);
        let Some(interval) = GRANULARITIES.into_iter().find(|interval| u64::from(interval.seconds()) == seconds) else {
            return Err(Refused::of(400, "Unsupported granularity", "granularity is 60, 300, 900, 3600, 21600 or 86400 seconds"));
        };
        let step = seconds * NANOS_PER_SECOND;
        let series = pages::newest_series(self.tape, self.product)?;
        let Some(stored) = products::stored_name(self.product, series) else { return Ok(Response::json("[]".to_owned())) };
        let (first, last) = match (self.moment("start")?, self.moment("end")?) {
            (Some(start), Some(end)) if start > end => return Err(Refused::of(400, "start must be before end", "change the two")),
            (Some(start), Some(end)) => {
                if end.since(start) / step > MAX_CANDLES {
                    let message = "granularity too small for the requested time range. Count of aggregations requested exceeds 300";
                    return Err(Refused::of(400, message, "ask for a shorter time, or a larger granularity"));
                }
                (start.0.div_ceil(step) * step, end.0 / step * step)
            }
            _ => match pages::newest_first(self.tape, self.product, series, 0, u64::MAX, 1)?.newest() {
                Some((_, newest)) => {
                    let last = newest.time.0 / step * step;
                    // As many as there may be days.
                    let days = u64::from(self.server.config().max_days.saturating_sub(1)) * SECONDS_PER_DAY;
                    let most = MAX_CANDLES.min(days / seconds + 1);
                    (last.saturating_sub(step * (most - 1)), last)
                }
                None => return Ok(Response::json("[]".to_owned())),
            },
        };
        let range = TimeRange::new(UnixNanos(first), UnixNanos(last.saturating_add(step)));
        self.check_days(&stored, range)?;
        if first <= last
            && !self.request.is_head()
            && let Some(glance) = Glance::at(self.server, self.tape, &stored, range)?
        {
            return Ok(self.candles_later(stored, range, interval, glance));
        }
        let (candles, coverage) = if first > last { (Vec::new(), None) } else { candles(self.tape, &stored, range, interval)? };
        let verdict = coverage.map_or(Verdict::Unverifiable, |coverage| coverage.verdict());
        Ok(Response::bytes(JSON, candles_json(&candles)).with_header(VERDICT, verdict.name()))
    }

    /// Answers with candles of many trades: the head goes out before they are added up.
    fn candles_later(&self, stored: ProductId, range: TimeRange, interval: Interval, glance: Glance) -> Response {
        let (server, tape) = (Arc::clone(self.server), self.tape.clone());
        let verdict = glance.verdict();
        let response = Response::stream(JSON, move |out| {
            out.flush()?;
            let (candles, found) = match candles(&tape, &stored, range, interval) {
                Ok((candles, found)) => (candles, Ok(found)),
                Err(refused) => (Vec::new(), Err(refused)),
            };
            glance.confirm_as(&server, found).map_err(|refused| broken_off(&server, refused))?;
            Ok(out.write_all(&candles_json(&candles))?)
        });
        response.with_header(VERDICT, verdict.name())
    }

    /// Refuses a range that touches more stored days than a request may.
    fn check_days(&self, stored: &ProductId, range: TimeRange) -> Result<(), Refused> {
        check_days(self.server, self.tape, std::slice::from_ref(stored), range)
    }

    fn ticker(&self) -> Result<Response, Refused> {
        let series = pages::newest_series(self.tape, self.product)?;
        let mut page = pages::newest_first(self.tape, self.product, series, 0, u64::MAX, 1)?;
        let Some((Stored { is_core, .. }, trade)) = page.newest() else { return Ok(Response::json("{}".to_owned())) };
        let is_core = *is_core;
        let Some(name) = products::stored_name(self.product, series) else { return Ok(Response::json("{}".to_owned())) };
        let day = TimeRange::new(UnixNanos(trade.time.0.saturating_sub(SECONDS_PER_DAY * NANOS_PER_SECOND)), UnixNanos(trade.time.0 + 1));
        let texts = Texts::read(self.tape, self.known, std::slice::from_ref(self.product), trade.time.day());
        let mut tickers = Source::<Md>::at_end(self.tape, &name)?;
        let (tape, product) = (self.tape.clone(), self.product.clone());
        let is_later = !self.request.is_head() && is_large(self.tape, &name, day);
        self.checked(is_later, move || {
            page.check(&tape)?;
            tickers.check()?;
            let mut out = b"{".to_vec();
            if let Some(quote) = tickers.last() {
                let numbers = texts.of_ticker(&product, &quote.row, quote.is_core);
                for (name, number) in [("\"ask\":\"", numbers.ask), ("\"bid\":\"", numbers.bid)] {
                    if !number.is_none() {
                        text(&mut out, name);
                        number.write_padded(&mut out, texts.quote_decimals(&product));
                        text(&mut out, "\",");
                    }
                }
                text(&mut out, "\"volume\":\"");
                push_f64(&mut out, candles(&tape, &name, day, Interval::Hour)?.0.iter().map(|candle| candle.volume).sum());
                text(&mut out, "\",");
            }
            write_ticker_trade(&mut out, texts.of_trade(&product, &trade, is_core), &trade);
            Ok(out)
        })
    }
}

fn write_ticker_trade(out: &mut Vec<u8>, numbers: TradeNumbers<'_>, trade: &Trade) {
    text(out, "\"trade_id\":");
    push_u64(out, trade.trade_id);
    text(out, ",\"price\":\"");
    numbers.price.write(out);
    text(out, "\",\"size\":\"");
    numbers.size.write(out);
    text(out, "\",\"time\":\"");
    Times::default().micros(out, trade.time);
    text(out, "\"}");
}

/// Writes candles, the newest first.
fn candles_json(candles: &[Candle]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, candle) in candles.iter().rev().take(usize::try_from(MAX_CANDLES).unwrap_or(usize::MAX)).enumerate() {
        text(&mut out, if at > 0 { ",[" } else { "[" });
        push_u64(&mut out, u64::from(candle.time.seconds()));
        for value in [candle.low, candle.high, candle.open, candle.close, candle.volume] {
            out.push(b',');
            push_f64(&mut out, value);
        }
        out.push(b']');
    }
    out.push(b']');
    out
}

/// Refuses a range that touches more stored days than a request may.
pub(super) fn check_days(server: &Server, tape: &Tape, stored: &[ProductId], range: TimeRange) -> Result<(), Refused> {
    let most = server.config().max_days;
    for product in stored {
        let days = tape.days(product, Dataset::Trades)?.into_iter().filter(|date| range.overlaps_day(*date)).count();
        match tape.check_archived(product, Dataset::Trades, range, 0) {
            Err(TapeError::Archived(span)) => {
                let message = format!("the days from {} to {} are archived, and not here", span.first, span.last);
                return Err(Refused::of(404, message, "coltape restore brings them back, where the tape is"));
            }
            checked => checked?,
        }
        if days > usize::try_from(most).unwrap_or(usize::MAX) {
            let message = format!("the time covers {days} days, and a request at most {most}");
            return Err(Refused::of(400, message, "ask for fewer days, or start the server with a larger --max-days"));
        }
    }
    Ok(())
}

/// Adds up candles, oldest first, of days that are as they were written, and tells how much of the time is known to be there; nothing where no trade is. A time without a trade has no candle.
fn candles(tape: &Tape, stored: &ProductId, range: TimeRange, interval: Interval) -> Result<(Vec<Candle>, Option<Coverage>), Refused> {
    for date in tape.days(stored, Dataset::Trades)?.into_iter().filter(|date| range.overlaps_day(*date)) {
        if let Some(mut day) = tape.day::<Trades>(stored, date)? {
            check_bytes(tape, &mut day)?;
        }
    }
    let mut asked = Candles::new(tape.clone(), stored.clone());
    (asked.range, asked.interval) = (range, interval);
    let mut found = Vec::new();
    match asked.for_each(|candle| {
        found.push(*candle);
        Ok(())
    }) {
        Ok(basis) => Ok((found, Some(basis.coverage))),
        Err(MarketError::NoTrades { .. } | MarketError::Tape(TapeError::NothingThen { .. })) => Ok((found, None)),
        Err(MarketError::Tape(error)) => Err(Refused::Tape(error)),
        Err(error) => Err(Refused::of(500, error.to_string(), "coltape verify says more")),
    }
}

fn write_trade(out: &mut Vec<u8>, times: &mut Times, texts: &Texts, stored: &Stored) {
    let Row::Trade(trade) = &stored.row else { return };
    let numbers = texts.of_trade(&stored.product, trade, stored.is_core);
    text(out, "{\"time\":\"");
    times.micros(out, trade.time);
    text(out, "\",\"trade_id\":");
    push_u64(out, trade.trade_id);
    text(out, ",\"price\":\"");
    numbers.price.write_padded(out, PADDED_DECIMALS);
    text(out, "\",\"size\":\"");
    numbers.size.write_padded(out, PADDED_DECIMALS);
    text(out, "\",\"side\":\"");
    text(out, trade.side.turned().name());
    text(out, "\"}");
}
