//! [`Facts`]: what is known of a day beside its records: its verdict, which ids it holds, which are missing, and the product's increments.
//!
//! 1. The verdict is that of `coltape verify`. Of tickers nothing can be shown, so they are always unverifiable.
//! 2. A day that has grown since it was verified is judged by what is exported: a gap that the verdict does not know makes it open.
//! 3. A list that would be longer than [`MAX_RANGES`] is left out, never cut: a list that ends early would claim too much.

use std::collections::BTreeMap;

use super::fixed::{Precision, decimals_of_increment};
use super::stored_day::StoredDay;
use crate::ids::{IdRange, IdSet};
use crate::json::{Object, quoted};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::event::{Event, Line};
use crate::store::journal::{self, PRODUCTS_FILE};
use crate::time::{UnixNanos, UtcDay};
use crate::verify::{Report, Verdict};

/// Most ranges of a list of ids.
const MAX_RANGES: usize = 10_000;
/// Most increments of a product that are listed for a day.
const MAX_INCREMENTS: usize = 100;
/// Records of a block whose ids are looked at together.
const BLOCK_ROWS: usize = 1 << 16;

/// The increments of a product since a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Increments {
    since: UnixNanos,
    base: String,
    quote: String,
}

/// What is known of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether the day is complete.
    pub verdict: Verdict,
    /// Why it is not whole.
    pub reasons: Vec<String>,
    /// The ids that are exported. `None` where records have no ids, or the list would be too long.
    pub ids: Option<Vec<IdRange>>,
    /// The ids that are missing and may belong to the day. `None` as above.
    pub missing: Option<Vec<IdRange>>,
    /// The product's increments, in order of time: the last ones before the day, and those that came in it.
    pub increments: Vec<Increments>,
}

/// What `verify` says of a product's days.
pub(super) struct ProductFacts {
    days: BTreeMap<UtcDay, Judged>,
    increments: Vec<Increments>,
}

/// The verdict on a day.
struct Judged {
    verdict: Verdict,
    reasons: Vec<String>,
    records: u64,
    missing: Vec<IdRange>,
}

impl ProductFacts {
    /// Takes over what was found.
    pub(super) fn new(report: &Report, increments: Vec<Increments>) -> Self {
        let mut days = BTreeMap::new();
        for day in &report.days {
            let of_day = report.gaps.iter().map(|(_, gap)| gap).filter(|gap| gap.dates.0 <= day.date && day.date <= gap.dates.1);
            let missing = of_day.filter(|gap| !gap.is_absence).map(|gap| gap.ids).collect();
            let coverage = &day.coverage;
            let judged = Judged { verdict: coverage.verdict, reasons: coverage.reasons.clone(), records: coverage.records, missing };
            days.insert(day.date, judged);
        }
        Self { days, increments }
    }

    /// Gives what is known of a day that is open.
    pub(super) fn of(&self, day: &StoredDay) -> Facts {
        let date = day.key().date;
        let increments = self.increments_of(date);
        if day.dataset() != Dataset::Trades {
            let reasons = vec!["tickers may skip trades, so nothing shows that they are complete".to_owned()];
            return Facts { verdict: Verdict::Unverifiable, reasons, ids: None, missing: None, increments };
        }
        let ids = ids_of(day);
        let mut facts = match self.days.get(&date) {
            Some(judged) => Facts {
                verdict: judged.verdict,
                reasons: judged.reasons.clone(),
                ids: None,
                missing: Some(judged.missing.clone()),
                increments,
            },
            None => {
                let reasons = vec!["the day was not there when the tape was verified".to_owned()];
                Facts { verdict: Verdict::Unverifiable, reasons, ids: None, missing: Some(Vec::new()), increments }
            }
        };
        let stored = day.content().records.saturating_add(day.content().late);
        if self.days.get(&date).is_none_or(|judged| judged.records != stored) {
            add_unknown_gaps(&ids, &mut facts);
        }
        facts.missing = facts.missing.filter(|missing| missing.len() <= MAX_RANGES);
        facts.ids = (ids.len() <= MAX_RANGES).then_some(ids);
        facts
    }

    /// Gives what is known of a file that holds what was received on `date`, out of these days: the verdict of the worst of them. Which ids it holds is not
    /// said.
    pub(super) fn of_receipt(&self, date: UtcDay, days: &[StoredDay]) -> Option<Facts> {
        let has_trades = days.iter().any(|day| day.dataset() == Dataset::Trades);
        let of_days = days.iter().filter(|day| !has_trades || day.dataset() == Dataset::Trades).map(|day| (day.key().date, self.of(day)));
        let (mut all, mut missing) = (None::<Facts>, IdSet::default());
        for (of, facts) in of_days {
            let reasons = facts.reasons.into_iter().map(|reason| format!("of {of}: {reason}"));
            missing.extend(facts.missing.into_iter().flatten());
            match &mut all {
                Some(all) => {
                    all.verdict = all.verdict.max(facts.verdict);
                    all.reasons.extend(reasons);
                }
                None => {
                    all = Some(Facts {
                        reasons: reasons.collect(),
                        ids: None,
                        increments: self.increments_of(date),
                        ..facts_of(facts.verdict)
                    })
                }
            }
        }
        if let Some(facts) = &mut all {
            facts.missing = has_trades.then(|| missing.iter().collect());
        }
        all
    }

    /// Gives the decimals of the finest increments that the product has had.
    pub(super) fn precision(&self) -> Precision {
        let finest = |text: fn(&Increments) -> &str| self.increments.iter().filter_map(|known| decimals_of_increment(text(known))).max();
        Precision { price: finest(|known| &known.quote).unwrap_or(0), size: finest(|known| &known.base).unwrap_or(0) }
    }

    fn increments_of(&self, date: UtcDay) -> Vec<Increments> {
        let before = self.increments.iter().take_while(|known| known.since <= date.start()).count().saturating_sub(1);
        let of_day = self.increments.iter().skip(before).take_while(|known| known.since < date.next().start());
        of_day.take(MAX_INCREMENTS).cloned().collect()
    }
}

/// Facts of which nothing but the verdict is known.
fn facts_of(verdict: Verdict) -> Facts {
    Facts { verdict, reasons: Vec::new(), ids: None, missing: None, increments: Vec::new() }
}

/// Gives the ids of the chosen records.
fn ids_of(day: &StoredDay) -> Vec<IdRange> {
    let mut ranges: Vec<IdRange> = Vec::new();
    let mut run: Option<(u64, u64)> = None;
    for block in day.blocks(BLOCK_ROWS) {
        for id in block.u64s("trade_id").into_iter().flatten() {
            run = match run {
                Some((first, last)) if last.checked_add(1) == Some(id) => Some((first, id)),
                ended => {
                    ranges.extend(ended.and_then(|(first, last)| IdRange::new(first, last)));
                    Some((id, id))
                }
            };
        }
    }
    ranges.extend(run.and_then(|(first, last)| IdRange::new(first, last)));
    ranges
}

/// Adds the gaps between the exported ids that are not known to be missing, and lowers the verdict for them.
fn add_unknown_gaps(ids: &[IdRange], facts: &mut Facts) {
    let mut missing: IdSet = facts.missing.iter().flatten().copied().collect();
    let known = missing.clone();
    for (before, after) in ids.iter().zip(ids.iter().skip(1)) {
        if let Some(gap) = IdRange::between(before.last(), after.first())
            && known.absent_within(gap).next().is_some()
        {
            missing.extend([gap]);
            facts.verdict = Verdict::Open;
            facts.reasons.push(format!("{gap} are not stored, by what came since the tape was verified"));
        }
    }
    facts.missing = Some(missing.iter().collect());
}

/// Reads the increments of every product, each list in order of time, without repetitions.
pub(super) fn read_increments(dir: &std::path::Path) -> BTreeMap<String, Vec<Increments>> {
    let mut all: BTreeMap<String, Vec<Increments>> = BTreeMap::new();
    for line in journal::lines_of(dir, PRODUCTS_FILE) {
        let Ok(Line { time: since, event: Some(Event::Product { product, base_increment, quote_increment, .. }), .. }) = Line::parse(line)
        else {
            continue;
        };
        let known = all.entry(product.feed_name().to_owned()).or_default();
        let new = Increments { since, base: base_increment, quote: quote_increment };
        if known.last().is_none_or(|last| (&last.base, &last.quote) != (&new.base, &new.quote)) {
            known.push(new);
        }
    }
    all.values_mut().for_each(|known| known.sort_by_key(|known| known.since));
    all
}

/// Gives the increments of a product. All its series have the same.
pub(super) fn increments_of(all: &BTreeMap<String, Vec<Increments>>, product: &ProductId) -> Vec<Increments> {
    all.get(product.feed_name()).cloned().unwrap_or_default()
}

impl Facts {
    /// Gives the ids as a JSON list of `[first, last]`, or `null`.
    pub(super) fn ids_json(&self) -> String {
        ranges_json(self.ids.as_deref())
    }

    /// Gives the missing ids likewise.
    pub(super) fn missing_json(&self) -> String {
        ranges_json(self.missing.as_deref())
    }

    /// Gives the increments as a JSON list of objects.
    pub(super) fn increments_json(&self) -> String {
        let one = |known: &Increments| {
            let object = Object::default().text("since", &known.since.to_string());
            object.text("base_increment", &known.base).text("quote_increment", &known.quote).done()
        };
        format!("[{}]", self.increments.iter().map(one).collect::<Vec<_>>().join(","))
    }

    /// Gives the reasons as a JSON list of texts.
    pub(super) fn reasons_json(&self) -> String {
        format!("[{}]", self.reasons.iter().map(|reason| quoted(reason)).collect::<Vec<_>>().join(","))
    }
}

fn ranges_json(ranges: Option<&[IdRange]>) -> String {
    let one = |range: &IdRange| format!("[{},{}]", range.first(), range.last());
    ranges.map_or_else(|| "null".to_owned(), |ranges| format!("[{}]", ranges.iter().map(one).collect::<Vec<_>>().join(",")))
}
