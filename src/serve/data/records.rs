//! `/v1/trades` and `/v1/tickers`: stored records, late ones in their place.

use std::sync::Arc;

use super::ground::{Ground, all_days, check_days};
use super::parameters::Parameters;
use super::parquet_file;
use super::refusal::{Refusal, of_day, of_stream, of_tape};
use crate::export::stream::{ColumnChoice, Order, RecordStream, Records, StreamFormat, column_names, count_records};
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::serve::http::request::Request;
use crate::serve::http::response::Response;
use crate::serve::server::Server;
use crate::store::DayKey;
use crate::tape::Tape;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// The parameters.
const PARAMETERS: [&str; 8] = ["product", "from", "to", "after_id", "limit", "order", "columns", "format"];

/// Answers with records.
///
/// # Errors
/// Where the request makes no sense, or a day cannot be read.
pub(super) fn answer(server: &Arc<Server>, request: &Request, dataset: Dataset) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &PARAMETERS)?;
    let format = parameters.format()?;
    let range = parameters.range()?;
    let (after_id, limit) = (parameters.count("after_id")?, parameters.count("limit")?);
    let order = parameters.one_of("order", &[("asc", Order::Ascending), ("desc", Order::Descending)])?.unwrap_or_default();
    let columns = columns(&parameters, dataset)?;
    let tape = server.tape().map_err(|error| super::refusal::of_tape(server, &error))?;
    let product = parameters.product(server, &tape)?;
    let dates = match after_id {
        Some(after) if dataset == Dataset::Trades => days_behind(server, &tape, &product, range, after)?,
        _ => days_needed(server, &tape, &product, (dataset, range), limit, order)?,
    };
    let first = dates.first().copied();
    let question = (
        (dataset.name(), product.as_str().to_owned(), range.from.map(|from| from.0), range.to.map(|to| to.0)),
        (after_id, limit, order, parameters.get("columns").map(str::to_owned), format),
    );
    let asked = Records { tape: tape.clone(), product: product.clone(), dataset, dates, range, after_id, limit, order, columns };
    let mut stream = RecordStream::open(asked).map_err(|error| of_day(server, &error))?;
    let mut ground = Ground::of(stream.identities());
    // Days that a limit makes needless are no part of the answer.
    let covered = TimeRange { from: range.from.max(first.filter(|_| limit.is_some()).map(UtcDay::start)), ..range };
    ground.judge(server, &tape, &product, dataset, covered)?;
    if ground.is_sealed() {
        stream.promise();
    }
    let (metadata, is_large, pledge) = (ground.metadata(), ground.has_large_day(), ground.pledge(server, request)?);
    let writer = Arc::clone(server);
    let write = move |out: &mut dyn std::io::Write| {
        let rows = stream.write(format, metadata, out, &|| !writer.stopping())?;
        if let Some(pledge) = pledge {
            out.flush()?;
            pledge.redeem(&writer)?;
        }
        writer.counters().send_rows(rows);
        Ok(())
    };
    if format == StreamFormat::Parquet && parquet_file::is_wanted(request) {
        let response = parquet_file::answer(server, request, ground.tag(&question).as_deref(), write)?;
        return Ok(ground.describe(response, &question));
    }
    let failing = Arc::clone(server);
    let response = Response::stream(format.content_type(), move |out| {
        if is_large {
            std::io::Write::flush(out)?;
        }
        write(out).map_err(|error| of_stream(&failing, error))
    });
    Ok(ground.describe(response, &question))
}

fn columns(parameters: &Parameters<'_>, dataset: Dataset) -> Result<ColumnChoice, Refusal> {
    let Some(list) = parameters.get("columns") else { return Ok(ColumnChoice::all(dataset)) };
    let names = list.split(',').map(str::trim);
    ColumnChoice::of(dataset, names).map_err(|name| {
        let known: Vec<&str> = column_names(dataset).collect();
        Refusal::parameter("columns", name, format!("columns is a list of some of {}, each once", known.join(",")))
    })
}

/// Lists the days that hold the records asked for. Where there is a limit, those that are not needed for it do not count.
fn days_needed(
    server: &Server,
    tape: &Tape,
    product: &ProductId,
    (dataset, range): (Dataset, TimeRange),
    limit: Option<u64>,
    order: Order,
) -> Result<Vec<UtcDay>, Refusal> {
    // Without a first time asked for, an answer begins with what is here.
    if range.from.is_some() {
        tape.check_archived(product, dataset, range, 0).map_err(|error| of_tape(server, &error))?;
    }
    let mut dates = all_days(server, tape, product, dataset, range)?;
    let most = usize::try_from(server.config().max_days).unwrap_or(usize::MAX);
    let Some(limit) = limit.filter(|_| dates.len() > most) else {
        check_days(server, dates.len() as u64)?;
        return Ok(dates);
    };
    if order == Order::Descending {
        dates.reverse();
    }
    let mut left = limit;
    for (at, date) in dates.iter().enumerate().take(most) {
        let key = DayKey { product: product.clone(), dataset, date: *date };
        // A day that is covered in part may hold none of them.
        if range.covers_day(*date) {
            left = left.saturating_sub(count_records(tape, &key).map_err(|error| of_day(server, &error))?);
        }
        if left == 0 {
            dates.truncate(at + 1);
            dates.sort();
            return Ok(dates);
        }
    }
    check_days(server, dates.len() as u64)?;
    Ok(dates)
}

/// Lists the days that may hold trades behind an id. Those before it do not count among the days of a request.
pub(super) fn days_behind(server: &Server, tape: &Tape, product: &ProductId, range: TimeRange, after: u64) -> Result<Vec<UtcDay>, Refusal> {
    tape.check_archived(product, Dataset::Trades, range, after).map_err(|error| of_tape(server, &error))?;
    let dates = all_days(server, tape, product, Dataset::Trades, range)?;
    // A day that cannot be read stays in: whoever reads it says why.
    let is_before = |date: &UtcDay| {
        let day = tape.day::<Trades>(product, *date).ok().flatten();
        day.is_some_and(|day| day.count().checked_sub(1).and_then(|last| day.row(last)).is_some_and(|last| last.trade_id <= after))
    };
    let first = dates.partition_point(is_before);
    let dates = dates.get(first..).unwrap_or_default().to_vec();
    check_days(server, dates.len() as u64)?;
    Ok(dates)
}
