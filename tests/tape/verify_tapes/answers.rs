//! What answers about a market call whole, held against `verify`: of each range of time that is called whole, `verify` must know nothing against the days that
//! it touches.
//!
//! Five things `verify` may know of such a day: that ids are missing at another time of it; that it is not known before or behind the range; that what its
//! tickers hold is wrong, which shows nothing of trades; and that an id in the file of another day, in which ids do not rise, does not fit into the chain:
//! that file is damaged, and the id is none; and that the exact text of a value is another, which shows nothing of completeness.

use std::path::Path;

use coltape::internals::product::ProductId;
use coltape::internals::schema::Dataset;
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::internals::verify::{FindingKind, Report, Verdict};
use coltape::{Candles, Coverage, CoveredDay, ExportConfig, Link, ProductDay, Snapshot, StatsOf, Tape, TimeRange, Trades};

use super::tape::{DaySpec, Spec, State};

/// Ranges of time that are tried of a product, beside all time and each day.
const RANGES: usize = 8;

/// Finds what is called whole and is not, by `verify`.
pub(crate) fn contradictions(dir: &Path, spec: &Spec, report: &Report, rng: &mut fastrand::Rng) -> Vec<String> {
    let Ok(tape) = Tape::open(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for product in spec.products.iter().map(|product| &product.product) {
        for range in ranges(spec, report, product, rng) {
            let Ok(coverage) = Coverage::of(&tape, product, range) else { continue };
            if coverage.is_whole() {
                found.extend(against(&tape, report, product, range).map(|why| format!("{product} {range:?} is called whole: {why}")));
            }
            assert_eq!(coverage.is_whole(), coverage.shortcoming().is_none(), "{coverage:?}");
            found.extend(other_answers(&tape, product, range, &coverage));
        }
        found.extend(days(&tape, report, product));
    }
    found
}

fn ranges(spec: &Spec, report: &Report, product: &ProductId, rng: &mut fastrand::Rng) -> Vec<TimeRange> {
    let of_spec = spec.products.iter().filter(|of| of.product == *product).flat_map(|of| &of.days);
    let mut times: Vec<u64> = of_spec.flat_map(|day| day.trades.iter().map(|trade| trade.time.0)).collect();
    let dates = report.days.iter().filter(|day| day.product == *product).map(|day| day.date);
    let mut ranges = vec![TimeRange::ALL];
    for date in dates {
        ranges.push(TimeRange::day(date));
        times.extend([date.start().0, date.next().start().0]);
    }
    let mut time = || UnixNanos(rng.choice(&times).copied().unwrap_or(0) + rng.u64(..3));
    for _ in 0..RANGES {
        let (one, other) = (time(), time());
        ranges.push(TimeRange::new(one.min(other), one.max(other)));
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// Gives what `verify` knows against a range.
fn against(tape: &Tape, report: &Report, product: &ProductId, range: TimeRange) -> Option<String> {
    let touches =
        |(first, last): (UnixNanos, UnixNanos)| range.from.is_none_or(|from| last >= from) && range.to.is_none_or(|to| first < to);
    let elsewhere = disordered_elsewhere(report, product, range);
    let is_ghost = |link: Option<Link>| link.is_some_and(|link| elsewhere.contains(&link.date));
    let mut gaps = report.gaps.iter().filter(|(of, gap)| of == product && !is_ghost(gap.before) && !is_ghost(gap.after));
    let gap = gaps.find(|(_, gap)| touches(gap.times));
    if let Some((_, gap)) = gap {
        return Some(format!("{} are missing: {}", gap.ids, gap.why));
    }
    for finding in report.findings.listed().iter().filter(|finding| finding.location.product.as_ref() == Some(product)) {
        let location = &finding.location;
        let is_elsewhere = location.date.is_some_and(|date| !range.overlaps_day(date));
        let has_place = match (finding.kind, location.date) {
            // Gaps have been looked at. A line of the journal that is damaged speaks against days: their verdicts say which.
            (FindingKind::Missing | FindingKind::Rounding, _) | (FindingKind::Journal, None) => true,
            (FindingKind::IdTwice, _) => elsewhere.iter().any(|date| finding.text.contains(&format!(" on {date}"))),
            (FindingKind::TimeOrder, Some(date)) => is_misplaced_outside(tape, product, date, &finding.text, range),
            _ => false,
        };
        if !is_elsewhere && !has_place && !is_of_what_tickers_hold(finding.kind, location.dataset) {
            return Some(format!("{} {location}: {}", finding.kind.name(), finding.text));
        }
    }
    let days = report.days.iter().filter(|day| day.product == *product && range.overlaps_day(day.date));
    for day in days.filter(|day| day.coverage.verdict == Verdict::Unverifiable) {
        let is_explained = |name: &str| {
            let mut of_day = report.findings.listed().iter().filter(|found| {
                let location = &found.location;
                location.product.as_ref() == Some(product)
                    && location.date == Some(day.date)
                    && location.dataset.map_or("the day", Dataset::folder) == name
            });
            of_day.all(|found| {
                matches!(found.kind, FindingKind::Missing | FindingKind::TimeOrder | FindingKind::Rounding)
                    || is_of_what_tickers_hold(found.kind, found.location.dataset)
            })
        };
        let is_of_place = |reason: &str| {
            let is_of_ghost = elsewhere.iter().any(|date| reason.contains(&format!(" on {date}")));
            let is_of_end =
                is_of_ghost || ["captured ", "not captured"].iter().any(|word| reason.starts_with(word)) || reason.contains(" missing: ");
            is_of_end || reason.strip_suffix(": something is wrong, see the findings").is_some_and(is_explained)
        };
        if let Some(reason) = day.coverage.reasons.iter().find(|reason| !is_of_place(reason)) {
            return Some(format!("{} is unverifiable: {reason}", day.date));
        }
    }
    None
}

/// Gives the days that a range does not touch, in whose files ids do not rise.
fn disordered_elsewhere(report: &Report, product: &ProductId, range: TimeRange) -> Vec<UtcDay> {
    let found = report.findings.listed().iter().filter(|found| found.kind == FindingKind::IdOrder);
    let dates = found.filter(|found| found.location.product.as_ref() == Some(product)).filter_map(|found| found.location.date);
    dates.filter(|date| !range.overlaps_day(*date)).collect()
}

/// Tells whether a finding is about values of tickers: their files are there, of the right length, with a good page.
fn is_of_what_tickers_hold(kind: FindingKind, dataset: Option<Dataset>) -> bool {
    use FindingKind::{Checksum, Nanos, Rounding, SequenceOrder, Side, TickerDisagrees, TickerTrade, Time, WrongDay};
    let is_of_values = matches!(kind, Checksum | Nanos | Rounding | SequenceOrder | Side | TickerDisagrees | TickerTrade | Time | WrongDay);
    dataset.is_some_and(|dataset| dataset != Dataset::Trades) && is_of_values
}

/// Tells whether a trade whose time does not fit its id lies outside of a range, by its time and by the times of those beside it.
fn is_misplaced_outside(tape: &Tape, product: &ProductId, date: UtcDay, text: &str, range: TimeRange) -> bool {
    let number = text.strip_prefix("record ").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
    let Some((number, Ok(Some(day)))) = number.map(|number| (number, tape.day::<Trades>(product, date))) else { return false };
    let day: Snapshot<Trades> = day;
    (number.saturating_sub(1)..=number + 1).all(|number| day.time_at(number).is_none_or(|time| !range.contains(time)))
}

/// Candles and statistics rest on the same.
fn other_answers(tape: &Tape, product: &ProductId, range: TimeRange, coverage: &Coverage) -> Option<String> {
    let mut candles = Candles::new(tape.clone(), product.clone());
    candles.range = range;
    let candles = candles.for_each(|_| Ok(())).ok().map(|basis| basis.coverage);
    let stats = StatsOf::open(tape, product, range).ok().map(|stats| stats.basis().coverage.clone());
    let differs = |other: &Option<Coverage>| other.as_ref().is_some_and(|other| other != coverage);
    (differs(&candles) || differs(&stats)).then(|| format!("{product} {range:?}: {coverage:?}, but {candles:?} and {stats:?}"))
}

/// Days are judged as `verify` does, but that what tickers hold is not looked at, nor the files of an archive.
fn days(tape: &Tape, report: &Report, product: &ProductId) -> Vec<String> {
    let Ok(days) = CoveredDay::of_range(tape, product, TimeRange::ALL) else { return Vec::new() };
    let verified = |date: UtcDay| report.days.iter().find(|day| day.product == *product && day.date == date);
    let is_archived = |date: UtcDay| verified(date).is_some_and(|day| day.datasets.iter().any(|kept| kept.archive.is_some()));
    let is_not_looked_at = |date: UtcDay| {
        let mut of_day = report
            .findings
            .listed()
            .iter()
            .filter(|found| found.location.product.as_ref() == Some(product) && found.location.date == Some(date));
        let is_of_archive = |kind: FindingKind| kind == FindingKind::Gone && is_archived(date);
        of_day.all(|found| {
            found.kind == FindingKind::Rounding || is_of_archive(found.kind) || is_of_what_tickers_hold(found.kind, found.location.dataset)
        })
    };
    let mut found = Vec::new();
    for day in report.days.iter().filter(|day| day.product == *product) {
        if !days.iter().any(|own| own.date == day.date) {
            found.push(format!("{product} {}: the day is not listed", day.date));
        }
    }
    for day in &days {
        let Some(verified) = verified(day.date) else {
            found.push(format!("{product} {}: listed, and unknown to verify", day.date));
            continue;
        };
        // An answer cannot have the records of an archived day: it claims nothing of its time.
        let whole_day = TimeRange::new(day.date.start(), day.date.next().start());
        if is_archived(day.date) && Coverage::of(tape, product, whole_day).is_ok_and(|coverage| coverage.is_whole()) {
            found.push(format!("{product} {}: archived, and an answer is called whole", day.date));
        }
        let (own, other) = (day.verdict, verified.coverage.verdict);
        let is_same = own == other || (own < other && is_not_looked_at(day.date));
        let (ends, missing) =
            (day.ends.map(|(first, last)| (first.id, last.id)), verified.coverage.ends.map(|(first, last)| (first.id, last.id)));
        if !is_same || ends != missing || day.records != verified.coverage.records {
            found.push(format!("{product} {}: {day:?}, but verify says {:?}", day.date, verified.coverage));
        }
        // Of a damaged day `verify` counts up to the damage.
        let is_sound = is_same && own != Verdict::Unverifiable && !is_damaged(report, product, day.date);
        if let Some(sums) = verified.dataset(Dataset::Trades).map(|day| day.sums).filter(|_| is_sound)
            && (sums.with_order_ids, sums.with_recv) != (day.with_order_ids, day.with_recv)
        {
            found.push(format!("{product} {}: {day:?}, but {sums:?}", day.date));
        }
    }
    found
}

/// Tells whether something is wrong with the files of a day of trades.
fn is_damaged(report: &Report, product: &ProductId, date: UtcDay) -> bool {
    report.findings.listed().iter().any(|found| {
        let location = &found.location;
        let is_of_day = location.product.as_ref() == Some(product) && location.date == Some(date);
        is_of_day
            && location.dataset == Some(Dataset::Trades)
            && matches!(found.kind, FindingKind::Unreadable | FindingKind::Length | FindingKind::Checksum)
    })
}

/// Finds what is not called whole and is: everything between the first and the last trade of a tape that nothing has happened to.
pub(crate) fn false_alarms(dir: &Path, spec: &Spec) -> Vec<String> {
    let tape = Tape::open(dir).expect("a tape");
    let mut found = Vec::new();
    for (number, of) in spec.products.iter().enumerate() {
        let trades = || of.days.iter().flat_map(|day| &day.trades);
        let (first, last) = (trades().next().expect("a trade"), trades().last().expect("a trade"));
        let from = if first.trade_id == 1 { None } else { Some(UnixNanos(first.time.0 + 1)) };
        let range = TimeRange { from, to: Some(last.time) };
        let coverage = Coverage::of(&tape, &of.product, range).expect("looked at");
        // The second half of such a day has no checksum yet.
        let is_proven_in_range = |day: &DaySpec| day.trades.iter().skip(day.trades.len() / 2).all(|trade| trade.time >= last.time);
        let is_proven = of.days.iter().all(|day| day.state != State::LiveUnsynced || is_proven_in_range(day));
        let is_cut = spec.absence.is_some() || spec.unlisted.is_some_and(|(product, _)| product == number);
        let expected = if !is_cut && is_proven { Verdict::Whole } else { Verdict::Partial };
        // Of such a day late records may be counted with the range. Where the clock was set back, records behind it may lie before its beginning.
        let is_unsynced = of.days.iter().any(|day| day.state == State::LiveUnsynced);
        let is_set_back = trades().zip(trades().skip(1)).any(|(one, next)| next.time < one.time);
        let is_expected = match coverage.verdict() {
            verdict if verdict == expected => true,
            Verdict::Partial => is_unsynced,
            Verdict::Whole => is_unsynced && is_set_back,
            _ => false,
        };
        if !range.is_empty() && !is_expected {
            found.push(format!("{} {range:?} is {expected:?}: {coverage:?}", of.product));
        }
    }
    found
}

/// Exports the trades, and finds files whose verdict is another than that of `verify`.
pub(crate) fn exported(dir: &Path, report: &Report) -> Vec<String> {
    let out = dir.with_extension("out");
    let mut config = ExportConfig::new(dir, &out, super::tape::NOW);
    (config.format, config.live) = (coltape::ExportFormat::Csv, true);
    if coltape::export(&config).is_err() {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(out.join("_coltape_export.json")) else {
        // Nothing was left that could be exported.
        return if out.join("dataset=trades").exists() { vec!["files without a manifest".to_owned()] } else { Vec::new() };
    };
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let files = manifest["files"].as_array().expect("files").iter().filter(|file| file["dataset"] == "trades");
    let differing = files.filter_map(|file| {
        let day = report.days.iter().find(|day| file["product"] == day.product.as_str() && file["date"] == day.date.to_string());
        let has_text_of_another_value = |day: &ProductDay| {
            let mut of_day = report.findings.listed().iter().filter(|found| found.location.product.as_ref() == Some(&day.product));
            of_day.any(|found| found.location.date == Some(day.date) && found.kind == FindingKind::Rounding)
        };
        if day.is_some_and(has_text_of_another_value) {
            return None;
        }
        let (own, other) = (file["facts"]["verdict"].as_str(), day.map(|day| day.coverage.verdict.name()));
        (own != other).then(|| format!("{}: {own:?}, but verify says {other:?}", file["path"]))
    });
    differing.collect()
}
