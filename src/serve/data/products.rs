//! `/v1/products`: what there is.

use std::sync::Arc;

use super::coverage::state;
use super::parameters::Parameters;
use super::product_days::{self, DaysQuestion, ProductDays};
use super::refusal::{Refusal, of_tape};
use super::table::Field;
use crate::export::stream::CellKind::{self, Count, Number, Text, Time};
use crate::json::Object;
use crate::market::CoveredDay;
use crate::product::ProductId;
use crate::rows::Cell;
use crate::schema::{Dataset, Trades};
use crate::serve::http::request::Request;
use crate::serve::http::response::Response;
use crate::serve::server::Server;
use crate::tape::{Tape, TapeError};
use crate::time_range::TimeRange;

/// The columns.
static COLUMNS: [(&str, CellKind); 10] = [
    ("product", Text),
    ("datasets", Text),
    ("state", Text),
    ("verdict", Text),
    ("first_trade_id", Count),
    ("first_trade_time", Time),
    ("last_trade_id", Count),
    ("last_trade_time", Time),
    ("last_price", Number),
    ("days", Text),
];

/// Answers with a row for each product.
///
/// # Errors
/// Where the request makes no sense, or the directory cannot be read. A day that cannot be read has a verdict.
pub(super) fn answer(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["format"])?;
    let format = parameters.format()?;
    let refused = |error: TapeError| of_tape(server, &error);
    let tape = server.tape().map_err(refused)?;
    let products = tape.products().map_err(refused)?;
    product_days::answer(server, request, DaysQuestion { tape, products, range: TimeRange::ALL, format, columns: &COLUMNS, rows })
}

fn rows(server: &Server, tape: &Tape, days: &ProductDays) -> Result<Vec<Vec<Field>>, Refusal> {
    days.all.iter().map(|(product, days)| row(tape, product, days).map_err(|error| of_tape(server, &error))).collect()
}

fn row(tape: &Tape, product: &ProductId, days: &[CoveredDay]) -> Result<Vec<Field>, TapeError> {
    let ends = |day: &CoveredDay| day.ends;
    let (first, last) = (days.iter().find_map(ends), days.iter().rev().find_map(ends));
    let (is_live, is_archived) = (days.iter().any(|day| day.is_live == Some(true)), days.iter().all(|day| day.is_archived));
    let listed: Vec<String> = days.iter().map(day_json).collect();
    Ok(vec![
        Field::text(product.as_str()),
        Field::texts(tape.datasets(product)?.into_iter().map(Dataset::name)),
        Field::text(if is_live {
            "live"
        } else if is_archived && !days.is_empty() {
            "archived"
        } else {
            "sealed"
        }),
        days.iter().map(|day| day.verdict).max().map_or(Cell::None, |verdict| Cell::Text(verdict.name().to_owned())).into(),
        Field::count(first.map(|(first, _)| first.id)),
        first.map_or(Cell::None, |(first, _)| Cell::Time(first.time)).into(),
        Field::count(last.map(|(_, last)| last.id)),
        last.map_or(Cell::None, |(_, last)| Cell::Time(last.time)).into(),
        Cell::number(last_price(tape, product, days)).into(),
        Field::Json(format!("[{}]", listed.join(","))),
    ])
}

fn day_json(day: &CoveredDay) -> String {
    Object::default()
        .text("date", &day.date.to_string())
        .text("state", state(day))
        .text("verdict", day.verdict.name())
        .plain("trades", day.records)
        .optional("first_trade_id", day.ends.map(|(first, _)| first.id))
        .optional("last_trade_id", day.ends.map(|(_, last)| last.id))
        .plain("missing_ids", day.missing.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.ids.count())))
        .done()
}

/// Gives the price of the last trade, as the columns have it. A day that cannot be read has none.
fn last_price(tape: &Tape, product: &ProductId, days: &[CoveredDay]) -> Option<f64> {
    let date = days.iter().rev().find(|day| day.records > 0)?.date;
    let day = tape.day::<Trades>(product, date).ok()??;
    let trade = day.row(day.count().checked_sub(1)?)?;
    Some(crate::market::candles::price_of(&day, trade.price))
}
