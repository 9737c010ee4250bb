//! `/v1/coverage`: for each product and day how complete it is, and why not.

use std::path::Path;
use std::sync::Arc;

use super::ground::days;
use super::parameters::Parameters;
use super::product_days::{self, DaysQuestion, ProductDays};
use super::refusal::{Refusal, of_tape};
use super::table::Field;
use crate::export::stream::CellKind::{self, Count, Number, Text, Time};
use crate::json::Object;
use crate::market::{CoveredDay, MissingIds};
use crate::product::ProductId;
use crate::rows::Cell;
use crate::schema::Dataset;
use crate::serve::folder::without_folder;
use crate::serve::http::request::Request;
use crate::serve::http::response::Response;
use crate::serve::server::Server;
use crate::tape::Tape;

/// The columns.
static COLUMNS: [(&str, CellKind); 14] = [
    ("product", Text),
    ("date", Text),
    ("state", Text),
    ("verdict", Text),
    ("reason", Text),
    ("trades", Count),
    ("first_id", Count),
    ("first_time", Time),
    ("last_id", Count),
    ("last_time", Time),
    ("missing_ids", Count),
    ("missing", Text),
    ("order_ids_share", Number),
    ("receive_time_share", Number),
];

/// Answers with a row for each product and day.
///
/// # Errors
/// Where the request makes no sense, or the directory cannot be read. A day that cannot be read has a verdict.
pub(super) fn answer(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["product", "from", "to", "format"])?;
    let (format, range) = (parameters.format()?, parameters.range()?);
    let tape = server.tape().map_err(|error| of_tape(server, &error))?;
    let products = match parameters.get("product") {
        Some(_) => vec![parameters.product(server, &tape)?],
        None => tape.products().map_err(|error| of_tape(server, &error))?,
    };
    for product in &products {
        days(server, &tape, product, Dataset::Trades, range)?;
    }
    product_days::answer(server, request, DaysQuestion { tape, products, range, format, columns: &COLUMNS, rows })
}

fn rows(server: &Server, _: &Tape, days: &ProductDays) -> Result<Vec<Vec<Field>>, Refusal> {
    Ok(days.all.iter().flat_map(|(product, days)| days.iter().map(|day| row(server.dir(), product, day))).collect())
}

fn row(dir: &Path, product: &ProductId, day: &CoveredDay) -> Vec<Field> {
    #[expect(clippy::cast_precision_loss, reason = "counts of a day are far below 2^53")]
    let share = |count: u64| Cell::number((day.records > 0).then(|| count as f64 / day.records as f64));
    let missing: Vec<String> = day.missing.iter().map(|gap| missing_json(dir, gap)).collect();
    let count = day.missing.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.ids.count()));
    vec![
        Field::text(product.as_str()),
        Field::text(day.date.to_string()),
        Field::text(state(day)),
        Field::text(day.verdict.name()),
        (if day.reasons.is_empty() { Cell::None } else { Cell::Text(without_folder(dir, &day.reasons.join("; "))) }).into(),
        Field::count(Some(day.records)),
        Field::count(day.ends.map(|(first, _)| first.id)),
        day.ends.map_or(Cell::None, |(first, _)| Cell::Time(first.time)).into(),
        Field::count(day.ends.map(|(_, last)| last.id)),
        day.ends.map_or(Cell::None, |(_, last)| Cell::Time(last.time)).into(),
        Field::count(Some(count)),
        Field::Json(format!("[{}]", missing.join(","))),
        share(day.with_order_ids).into(),
        share(day.with_recv).into(),
    ]
}

/// Names the state of a day.
pub(super) fn state(day: &CoveredDay) -> &'static str {
    if day.is_archived {
        return "archived";
    }
    match day.is_live {
        Some(true) => "live",
        Some(false) => "sealed",
        None => "unreadable",
    }
}

fn missing_json(dir: &Path, gap: &MissingIds) -> String {
    let (first, last) = gap.times();
    Object::default()
        .plain("first_id", gap.ids.first())
        .plain("last_id", gap.ids.last())
        .text("from", &first.to_string())
        .text("to", &last.to_string())
        .text("reason", &without_folder(dir, &gap.why))
        .done()
}
