//! A [`Report`] as text: an aligned table with the findings below it, or JSON Lines.
//!
//! Each JSON object has a `line` that says what it is: "day" (one for each product-day, with its datasets), "hole" (a gap), "finding", "not_checked",
//! "ledger", and at the end "summary", whose `holds` is the answer.
//!
//! Names of files, texts of a journal and messages of the system come from outside: whatever is shown of them is escaped, into a pipe too.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::coverage::Verdict;
use super::finding::Finding;
use super::report::{DatasetDay, ProductDay, Report};
use crate::escape::Escaped;
use crate::json::{Object, quoted};
use crate::schema::{ColumnSet, Dataset};
use crate::store::DayState;

/// How many reasons the table shows of one day.
const SHOWN_REASONS: usize = 3;
/// How many things the table names that could not be checked.
const SHOWN_NOT_CHECKED: usize = 20;

/// Writes the report for people.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn write_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let width = report.days.iter().map(|day| day.product.as_str().len()).max().unwrap_or(0).max("product".len());
    if !report.days.is_empty() {
        writeln!(
            out,
            "{:width$}  {:10}  {:12} {:>11} {:>8} {:>8} {:>9} {:>9} |{} {:>9}",
            "product",
            "date",
            "verdict",
            Dataset::Trades.heading(),
            "late",
            "missing",
            "order ids",
            "live",
            for_tickers(|dataset| dataset.heading().to_owned()),
            "named"
        )?;
    }
    for day in &report.days {
        write_day(day, width, out)?;
    }
    write_remarks(report, out)?;
    write_ledger(report, out)?;
    if report.holds() {
        let count = |verdict| report.count(verdict);
        let (whole, partial, unverifiable) = (count(Verdict::Whole), count(Verdict::Partial), count(Verdict::Unverifiable));
        let beside = if report.not_checked.is_empty() { "" } else { " in what could be checked" };
        let archived = match report.archived() {
            0 => String::new(),
            days => format!(" ({days} of them archived)"),
        };
        return writeln!(
            out,
            "holds: {whole} whole, {partial} partial, {unverifiable} unverifiable{archived}; nothing wrong was found{beside}"
        );
    }
    writeln!(out, "DOES NOT HOLD")?;
    for (kind, count) in report.findings.counts() {
        writeln!(out, "{:>10}  {}", count, kind.name())?;
        let listed: Vec<&Finding> = report.findings.listed().iter().filter(|finding| finding.kind == kind).collect();
        for finding in &listed {
            let location = finding.location.to_string();
            let between = if location.is_empty() { "" } else { ": " };
            writeln!(out, "            {location}{between}{}", Escaped(&finding.text))?;
        }
        if (listed.len() as u64) < count && listed.len() >= super::finding::LISTED_PER_KIND {
            writeln!(out, "            … the first {} are shown", listed.len())?;
        }
    }
    Ok(())
}

/// Writes a cell for each dataset of tickers.
fn for_tickers(cell: impl Fn(Dataset) -> String) -> String {
    Dataset::of_tickers().map(|dataset| format!(" {:>11}", cell(dataset))).collect()
}

/// Tells whether a dataset has columns whose f32 can be checked against an exact value.
fn has_exact_columns(dataset: Dataset) -> bool {
    dataset.columns().iter().any(|column| column.name.ends_with("_f64"))
}

fn write_day(day: &ProductDay, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let of = |dataset| day.dataset(dataset);
    let records = |kept: Option<&DatasetDay>| kept.map_or_else(|| "-".to_owned(), |kept| kept.sums.records.to_string());
    let trades = of(Dataset::Trades);
    let total = trades.map_or(0, |kept| kept.sums.records);
    let share = |part: Option<u64>| part.and_then(|part| percent(part, total)).unwrap_or_else(|| "-".to_owned());
    writeln!(
        out,
        "{:width$}  {:10}  {:12} {:>11} {:>8} {:>8} {:>9} {:>9} |{} {:>9}",
        day.product,
        day.date,
        day.coverage.verdict.name(),
        records(trades),
        trades.map_or(0, |kept| kept.late),
        day.coverage.missing,
        share(trades.map(|kept| kept.sums.with_order_ids)),
        share(trades.filter(|kept| kept.set == ColumnSet::Full).map(|kept| kept.sums.with_recv)),
        for_tickers(|dataset| records(of(dataset))),
        share(day.named)
    )?;
    let archives: BTreeSet<&Path> = day.datasets.iter().filter_map(|kept| kept.archive.as_deref()).collect();
    for archive in archives {
        let names: Vec<&str> =
            day.datasets.iter().filter(|kept| kept.archive.as_deref() == Some(archive)).map(|kept| kept.dataset.folder()).collect();
        writeln!(out, "{:width$}    archived in {}: {}", "", Escaped(archive.display()), names.join(", "))?;
    }
    for reason in day.coverage.reasons.iter().take(SHOWN_REASONS) {
        writeln!(out, "{:width$}    {}", "", Escaped(reason))?;
    }
    if day.coverage.reasons.len() > SHOWN_REASONS {
        writeln!(out, "{:width$}    … and {} more reasons", "", day.coverage.reasons.len() - SHOWN_REASONS)?;
    }
    Ok(())
}

fn write_remarks(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let regressions: u64 = report.days.iter().flat_map(|day| &day.datasets).map(|kept| kept.sums.regressions).sum();
    writeln!(out, "times that fall from one record to the next: {regressions} (the exchange's clock; no fault)")?;
    let has_tickers = report.days.iter().flat_map(|day| &day.datasets).any(|kept| kept.dataset.is_of_tickers());
    if has_tickers {
        let unpaired: u64 = report.days.iter().filter_map(|day| day.pairing).map(|pairing| pairing.unpaired).sum();
        writeln!(
            out,
            "tickers: completeness cannot be proved, as tickers may skip trades; {unpaired} stand in only one of MD and TICKER_TRADES"
        )?;
    }
    let core =
        report.days.iter().flat_map(|day| &day.datasets).filter(|kept| kept.set == ColumnSet::Core && has_exact_columns(kept.dataset));
    let core = core.count();
    if core > 0 {
        writeln!(out, "f32 = rounded exact value: not checkable in {core} dataset-days that hold core columns alone")?;
    }
    let of_all = |sum: fn(&DatasetDay) -> u64| report.days.iter().flat_map(|day| &day.datasets).map(sum).sum::<u64>();
    let flagged = of_all(|kept| kept.sums.flagged);
    if flagged > 0 {
        writeln!(out, "trades kept although a size, a price or the order ids are not plausible: {flagged}")?;
    }
    let behind = of_all(|kept| kept.sums.clock_behind);
    if behind > 0 {
        writeln!(out, "records received by a clock that was more than an hour behind the exchange's: {behind}")?;
    }
    for (count, what) in [
        (report.torn_journal_lines, "are cut off, as by a crash: what they said is not known"),
        (report.unknown_journal_lines, "are of events that this version does not know"),
    ] {
        if count > 0 {
            writeln!(out, "journal: {count} lines {what}")?;
        }
    }
    for what in report.not_checked.iter().take(SHOWN_NOT_CHECKED) {
        writeln!(out, "not checked: {}", Escaped(what))?;
    }
    if report.not_checked.len() > SHOWN_NOT_CHECKED {
        writeln!(out, "not checked: … and {} more", report.not_checked.len() - SHOWN_NOT_CHECKED)?;
    }
    Ok(())
}

fn write_ledger(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Some(sums) = report.ledger else { return Ok(()) };
    writeln!(
        out,
        "ledger: {} of {} trades stored, every field equal ({} of them shown on subscribing or supplied by REST; {} without order ids)",
        sums.trades_equal, sums.trades, sums.trades_fetched, sums.without_order_ids
    )?;
    if sums.trades_before + sums.trades_after > 0 {
        writeln!(
            out,
            "        never sent and not stored: {} from before the first trade sent, {} from after the last",
            sums.trades_before, sums.trades_after
        )?;
    }
    writeln!(
        out,
        "        {} ticker records stored, every field equal, of {} tickers; {} tickers never sent, {} sent out of turn or into a broken connection",
        sums.tickers_equal, sums.tickers, sums.tickers_never_sent, sums.tickers_excused
    )
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with one decimal")]
fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| format!("{:.1} %", part as f64 * 100.0 / whole as f64))
}

/// Writes the report for programs.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn write_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for day in &report.days {
        writeln!(out, "{}", day_line(day))?;
    }
    for (product, gap) in &report.gaps {
        let line = Object::default()
            .text("line", "hole")
            .text("product", product.as_str())
            .plain("from_id", gap.ids.first())
            .plain("to_id", gap.ids.last())
            .text("from_date", &gap.dates.0.to_string())
            .text("to_date", &gap.dates.1.to_string())
            .optional("after", gap.before.map(|link| format!("\"{}\"", link.time)))
            .optional("before", gap.after.map(|link| format!("\"{}\"", link.time)))
            .plain("is_absence", gap.is_absence)
            .text("why", &gap.why);
        writeln!(out, "{}", line.done())?;
    }
    for finding in report.findings.listed() {
        let line = Object::default()
            .text("line", "finding")
            .text("kind", finding.kind.name())
            .optional("product", finding.location.product.as_ref().map(|product| format!("\"{product}\"")))
            .optional("dataset", finding.location.dataset.map(|dataset| format!("\"{}\"", dataset.name())))
            .optional("date", finding.location.date.map(|date| format!("\"{date}\"")))
            .text("text", &finding.text);
        writeln!(out, "{}", line.done())?;
    }
    for what in &report.not_checked {
        writeln!(out, "{}", Object::default().text("line", "not_checked").text("text", what).done())?;
    }
    if let Some(sums) = report.ledger {
        let line = Object::default()
            .text("line", "ledger")
            .plain("trades", sums.trades)
            .plain("trades_equal", sums.trades_equal)
            .plain("trades_fetched", sums.trades_fetched)
            .plain("trades_never_sent_before", sums.trades_before)
            .plain("trades_never_sent_after", sums.trades_after)
            .plain("without_order_ids", sums.without_order_ids)
            .plain("tickers", sums.tickers)
            .plain("ticker_records_equal", sums.tickers_equal)
            .plain("tickers_never_sent", sums.tickers_never_sent)
            .plain("tickers_excused", sums.tickers_excused);
        writeln!(out, "{}", line.done())?;
    }
    let counts = report.findings.counts().fold(Object::default(), |counts, (kind, count)| counts.plain(kind.name(), count));
    let summary = Object::default()
        .text("line", "summary")
        .plain("holds", report.holds())
        .plain("whole", report.count(Verdict::Whole))
        .plain("partial", report.count(Verdict::Partial))
        .plain("open", report.count(Verdict::Open))
        .plain("unverifiable", report.count(Verdict::Unverifiable))
        .plain("archived", report.archived())
        .object("findings", counts)
        .plain("not_checked", report.not_checked.len())
        .plain("unreadable_journal_lines", report.unreadable_journal_lines)
        .plain("torn_journal_lines", report.torn_journal_lines)
        .plain("unknown_journal_lines", report.unknown_journal_lines);
    writeln!(out, "{}", summary.done())
}

fn day_line(day: &ProductDay) -> String {
    let (first, last) = day.coverage.ends.unzip();
    let line = Object::default()
        .text("line", "day")
        .text("product", day.product.as_str())
        .text("date", &day.date.to_string())
        .text("verdict", day.coverage.verdict.name())
        .plain("missing_ids", day.coverage.missing)
        .optional("first_id", first.map(|link| link.id))
        .optional("last_id", last.map(|link| link.id))
        .optional("first_time", first.map(|link| format!("\"{}\"", link.time)))
        .optional("last_time", last.map(|link| format!("\"{}\"", link.time)))
        .texts("reasons", &day.coverage.reasons)
        .optional("named_by_ticker", day.named)
        .optional("ticker_pairs", day.pairing.map(|pairing| pairing.pairs))
        .optional("tickers_alone", day.pairing.map(|pairing| pairing.unpaired))
        .plain("tickers_provable", false);
    day.datasets.iter().fold(line, |line, kept| line.object(kept.dataset.name(), dataset_object(kept))).done()
}

fn dataset_object(kept: &DatasetDay) -> Object {
    let (state, generation) = match kept.state {
        Some(DayState::Sealed { generation }) if kept.archive.is_some() => ("archived", Some(generation)),
        Some(_) if kept.archive.is_some() => ("archived", None),
        None => ("unreadable", None),
        Some(DayState::Live) => ("live", None),
        Some(DayState::Bare) => ("bare", None),
        Some(DayState::Sealed { generation }) => ("sealed", Some(generation)),
    };
    Object::default()
        .text("state", state)
        .optional("archive", kept.archive.as_ref().map(|archive| quoted(&archive.to_string_lossy())))
        .optional("generation", generation)
        .text("columns", if kept.set == ColumnSet::Full { "full" } else { "core" })
        .plain("records", kept.sums.records)
        .plain("late", kept.late)
        .plain("unproven", kept.unproven)
        .plain("flagged", kept.sums.flagged)
        .plain("clock_behind", kept.sums.clock_behind)
        .plain("time_regressions", kept.sums.regressions)
        .plain("with_order_ids", kept.sums.with_order_ids)
        .plain("with_receive_time", kept.sums.with_recv)
        .optional("f32_checked", kept.sums.rounded)
}
