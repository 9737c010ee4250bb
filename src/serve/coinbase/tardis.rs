//! `GET /replay` and `GET /replay-normalized`: the past as tardis-machine gives it, one JSON text a line.
//!
//! 1. `options` is a JSON object: `exchange` (`coinbase`), `symbols` (all where there are none), `from`, `to`, which is exclusive, and `dataTypes` (`trade`,
//!    `book_ticker`) or `filters` (`match`, `ticker`).
//! 2. Lines are in order of receipt. A record that was not received live has its event time as `localTimestamp`.
//! 3. `side` is the **taker's** in normalised trades, as tardis has it, and the maker's in messages of the exchange.
//! 4. Where trade ids are missing, `/replay-normalized` says `disconnect` in front of the trade behind them, unless `withDisconnectMessages` is `false`;
//!    `/replay` has an empty line there where `withDisconnects` is `true`.
//! 5. A day that cannot be read breaks the answer off. It never looks whole. The head of an answer about many trades goes out before they are looked at.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::glance::Glance;
use super::products::{self, Products};
use super::record::{Row, Stored, Texts};
use super::refused::{Refused, broken_off};
use super::replay::{Kind, Next, Pace, Replay};
use super::rest::{VERDICT, check_days, unknown_product};
use super::spelling::{Number, Times, quoted, text};
use super::{exchange, moment};
use crate::json::is_shallow;
use crate::market::{Coverage, Verdict};
use crate::product::ProductId;
use crate::serve::http::body::BodyWriter;
use crate::serve::http::request::Request;
use crate::serve::http::response::{Response, StreamFailed};
use crate::serve::server::Server;
use crate::tape::{Tape, TapeError};
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Type of the answer, as tardis-machine has it.
const LINES: &str = "application/x-json-stream";
/// How deep options nest.
const MAX_DEPTH: usize = 8;
/// Records whose texts are made at once.
const BATCH: usize = 1024;

/// Which form the lines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Messages of the exchange.
    Native,
    /// tardis' own.
    Normalized,
}

/// What is asked for, checked.
#[derive(Debug)]
struct Options {
    subjects: Vec<(ProductId, Kind)>,
    range: TimeRange,
    says_gaps: bool,
}

/// Answers a request.
pub(super) fn answer(server: &Arc<Server>, request: &Request, form: Form) -> Response {
    match prepare(server, request, form) {
        Ok((mut lines, mut replay)) => {
            let server = Arc::clone(server);
            let verdict = lines.verdict;
            let write = move |body: &mut BodyWriter<'_>| {
                if !lines.glances.is_empty() {
                    body.flush()?;
                }
                let written = lines.write(&server, &mut replay, body);
                if matches!(written, Err(StreamFailed::Source { .. })) {
                    lines.glances.iter().for_each(|glance| glance.forget(&server));
                }
                written
            };
            Response::stream(LINES, write).with_header(VERDICT, verdict.name())
        }
        Err(refused) => refused.into_response(server.dir()),
    }
}

fn prepare(server: &Server, request: &Request, form: Form) -> Result<(Lines, Replay), Refused> {
    const HINT: &str = "as in options={\"exchange\":\"coinbase\",\"symbols\":[\"BTC-USD\"],\"from\":\"2025-06-07\",\"to\":\"2025-06-08\",\"dataTypes\":[\"trade\"]}";
    let tape = server.tape()?;
    let known = Products::read(&tape)?;
    let mut all = request.parameters().iter().filter(|(name, _)| name == "options");
    let given = match (all.next(), all.next()) {
        (Some((_, given)), None) => given,
        (Some(_), Some(_)) => return Err(Refused::of(400, "options stands there twice", "give options once")),
        (None, _) => return Err(Refused::of(400, "options is missing", HINT)),
    };
    let mut bytes = given.as_bytes().to_vec();
    if !is_shallow(&bytes, MAX_DEPTH) {
        return Err(Refused::of(400, "options is not JSON, or nests too deep", HINT));
    }
    let value = simd_json::to_borrowed_value(&mut bytes).map_err(|_| Refused::of(400, "options is not JSON", HINT))?;
    // tardis-machine takes an array of such objects, too.
    let value = match value.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        Some(_) => return Err(Refused::of(400, "options names several replays", "ask for one at a time")),
        None => &value,
    };
    let options = Options::read(value, form, &known)?;
    let names: Vec<ProductId> = options.subjects.iter().map(|(product, _)| product.clone()).collect();
    for product in &names {
        check_days(server, &tape, &products::series(&tape, product)?, options.range)?;
    }
    let mut replay = Replay::new(&tape, options.range, Pace::Fastest);
    for (product, kind) in &options.subjects {
        replay.add(product, *kind)?;
    }
    let first = options.range.from.unwrap_or_default().day();
    let texts = Texts::read(&tape, &known, &names, first);
    let (verdict, glances) = verdict(server, &tape, &options, !request.is_head())?;
    let (says_gaps, times) = (options.says_gaps, Times::default());
    Ok((Lines { form, verdict, glances, says_gaps, tape, texts, times, last_ids: BTreeMap::new() }, replay))
}

impl Options {
    fn read(value: &BorrowedValue<'_>, form: Form, known: &Products) -> Result<Self, Refused> {
        if value.get_str("exchange") != Some("coinbase") {
            return Err(wrong("exchange", "it is coinbase"));
        }
        let time = |name: &str| {
            value.get_str(name).and_then(moment::parse).ok_or_else(|| wrong(name, "it is a time such as 2025-06-07T12:00:00Z"))
        };
        let range = TimeRange::new(time("from")?, time("to")?);
        if range.is_empty() {
            return Err(wrong("to", "it has to lie after from"));
        }
        let mut subjects = Vec::new();
        match form {
            Form::Normalized => {
                let symbols = symbols(value, known)?;
                let types = value.get_array("dataTypes").filter(|types| !types.is_empty());
                for name in types.ok_or_else(|| wrong("dataTypes", "it lists trade, book_ticker or both"))? {
                    let kind = match name.as_str() {
                        Some("trade") => Kind::Trades,
                        Some("book_ticker") => Kind::Tickers,
                        _ => return Err(wrong("dataTypes", "a tape has trade and book_ticker")),
                    };
                    subjects.extend(symbols.iter().map(|product| (product.clone(), kind)));
                }
            }
            Form::Native => {
                for filter in value
                    .get_array("filters")
                    .filter(|filters| !filters.is_empty())
                    .ok_or_else(|| wrong("filters", "as in [{\"channel\":\"match\",\"symbols\":[\"BTC-USD\"]}]"))?
                {
                    let kind = match filter.get_str("channel") {
                        Some("match") => Kind::Trades,
                        Some("ticker") => Kind::Tickers,
                        _ => return Err(wrong("filters", "a tape has the channels match and ticker")),
                    };
                    subjects.extend(symbols(filter, known)?.into_iter().map(|product| (product, kind)));
                }
            }
        }
        let (name, otherwise) = match form {
            Form::Normalized => ("withDisconnectMessages", true),
            Form::Native => ("withDisconnects", false),
        };
        let says_gaps = match value.get(name).filter(|given| !given.is_null()) {
            Some(given) => given.as_bool().ok_or_else(|| wrong(name, "it is true or false"))?,
            None => otherwise,
        };
        Ok(Self { subjects, range, says_gaps })
    }
}

fn wrong(name: &str, hint: &str) -> Refused {
    Refused::of(400, format!("{name} is missing or wrong"), hint)
}

/// Reads the symbols of an object; all products where it names none.
fn symbols(value: &BorrowedValue<'_>, known: &Products) -> Result<Vec<ProductId>, Refused> {
    let given = value.get("symbols").filter(|given| !given.is_null()).map(|given| given.as_array().ok_or(given));
    let names = match given {
        Some(Ok(names)) if !names.is_empty() => names,
        Some(Err(_)) => return Err(wrong("symbols", "it is a list, as in [\"BTC-USD\"]")),
        _ => return Ok(known.names().cloned().collect()),
    };
    let find = |name: &BorrowedValue<'_>| {
        let name = name.as_str().unwrap_or_default();
        known.find(name).or_else(|| known.find(&name.to_ascii_uppercase())).cloned().ok_or_else(|| unknown_product(known, name))
    };
    names.iter().map(find).collect()
}

/// Tells how much of what is asked for is known to be there: the worst of the products. Of tickers that cannot be told. Gives what is to be confirmed of it.
fn verdict(server: &Server, tape: &Tape, options: &Options, may_glance: bool) -> Result<(Verdict, Vec<Glance>), TapeError> {
    let (mut worst, mut glances) = (None, Vec::new());
    for (product, _) in options.subjects.iter().filter(|(_, kind)| *kind == Kind::Trades) {
        let glance = if may_glance { Glance::at(server, tape, product, options.range)? } else { None };
        let verdict = match &glance {
            Some(glance) => glance.verdict(),
            None => Coverage::of(tape, product, options.range)?.verdict(),
        };
        worst = worst.max(Some(verdict));
        glances.extend(glance);
    }
    Ok((worst.unwrap_or(Verdict::Unverifiable), glances))
}

/// Writes lines.
struct Lines {
    form: Form,
    verdict: Verdict,
    /// What the verdict says without a look at all trades.
    glances: Vec<Glance>,
    says_gaps: bool,
    tape: Tape,
    texts: Texts,
    times: Times,
    /// The last trade id of each series.
    last_ids: BTreeMap<(ProductId, u32), u64>,
}

impl Lines {
    fn write(&mut self, server: &Server, replay: &mut Replay, body: &mut BodyWriter<'_>) -> Result<(), StreamFailed> {
        let failed = |error: TapeError| StreamFailed::source(error.to_string(), Refused::Tape(error).into_response(server.dir()));
        replay.look().map_err(failed)?;
        let (mut batch, mut out, now) = (Vec::new(), Vec::new(), Instant::now());
        loop {
            let next = replay.next(now).map_err(failed)?;
            let is_over = matches!(next, Next::Nothing | Next::Waits(_));
            if let Next::Record(stored) = next {
                batch.push(stored);
            }
            if batch.len() >= BATCH || (is_over && !batch.is_empty()) {
                if server.stopping() {
                    return Err(StreamFailed::source("the server stops", Response::error(503, "the server stops", "ask again")));
                }
                replay.check_not_cut(is_over).map_err(failed)?;
                self.texts.refresh();
                out.clear();
                batch.iter().for_each(|stored| self.write_record(&mut out, stored));
                body.write_all(&out)?;
                server.counters().send_rows(batch.len() as u64);
                batch.clear();
            }
            if is_over {
                self.glances
                    .iter()
                    .try_for_each(|glance| glance.confirm(server, &self.tape))
                    .map_err(|refused| broken_off(server, refused))?;
                // Files that are gone end a replay like the end of a tape would.
                return self.check_tape();
            }
        }
    }

    fn check_tape(&self) -> Result<(), StreamFailed> {
        match Tape::open(self.tape.dir()) {
            Ok(_) => Ok(()),
            Err(error) => Err(StreamFailed::source(error.to_string(), Refused::Tape(error).into_response(self.tape.dir()))),
        }
    }

    fn write_record(&mut self, out: &mut Vec<u8>, stored: &Stored) {
        if let Row::Trade(trade) = &stored.row {
            let last = self.last_ids.insert((stored.product.clone(), stored.series), trade.trade_id);
            if self.says_gaps && last.is_some_and(|last| last.saturating_add(1) < trade.trade_id) {
                self.write_gap(out, stored);
            }
        }
        match self.form {
            Form::Native => {
                text(out, "{\"localTimestamp\":\"");
                self.times.ticks(out, stored.received());
                text(out, "\",\"message\":");
                exchange::write_record(out, &mut self.times, &self.texts, stored);
                text(out, "}");
            }
            Form::Normalized => self.write_normalized(out, stored),
        }
        out.push(b'\n');
    }

    fn write_gap(&mut self, out: &mut Vec<u8>, stored: &Stored) {
        if self.form == Form::Normalized {
            text(out, "{\"type\":\"disconnect\",\"exchange\":\"coinbase\",\"localTimestamp\":\"");
            self.times.script(out, stored.received());
            text(out, "\",\"symbols\":[");
            quoted(out, stored.product.as_str());
            text(out, "]}");
        }
        out.push(b'\n');
    }

    fn write_normalized(&mut self, out: &mut Vec<u8>, stored: &Stored) {
        let product = stored.product.as_str();
        let time = match &stored.row {
            Row::Trade(trade) => {
                let numbers = self.texts.of_trade(&stored.product, trade, stored.is_core);
                text(
                    out,
                    &format!("{{\"type\":\"trade\",\"symbol\":\"{product}\",\"exchange\":\"coinbase\",\"id\":\"{}\"", trade.trade_id),
                );
                write_number(out, "price", numbers.price);
                write_number(out, "amount", numbers.size);
                text(out, ",\"side\":\"");
                text(out, trade.side.name());
                text(out, "\"");
                trade.time
            }
            Row::Ticker(ticker) => {
                let numbers = self.texts.of_ticker(&stored.product, ticker, stored.is_core);
                text(out, &format!("{{\"type\":\"book_ticker\",\"symbol\":\"{product}\",\"exchange\":\"coinbase\""));
                write_number(out, "askAmount", numbers.ask_size);
                write_number(out, "askPrice", numbers.ask);
                write_number(out, "bidPrice", numbers.bid);
                write_number(out, "bidAmount", numbers.bid_size);
                ticker.time
            }
        };
        self.write_times(out, time, stored.received());
    }

    fn write_times(&mut self, out: &mut Vec<u8>, time: UnixNanos, received: UnixNanos) {
        text(out, ",\"timestamp\":\"");
        self.times.script(out, time);
        text(out, "\",\"localTimestamp\":\"");
        self.times.script(out, received);
        text(out, "\"}");
    }
}

/// Adds a number as a field, if there is one.
fn write_number(out: &mut Vec<u8>, name: &str, number: Number<'_>) {
    if !number.is_none() {
        text(out, ",\"");
        text(out, name);
        text(out, "\":");
        number.write(out);
    }
}
