//! [`Basis`]: what an answer rests on, and what has to be said with it.

use super::coverage::Coverage;
use crate::escape::Escaped;
use crate::json::Object;
use crate::product::ProductId;
use crate::tape::{Tape, TapeError};
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Gaps that a summary line lists.
const MAX_LISTED: usize = 100;

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Basis {
    /// The product.
    pub product: ProductId,
    /// What of the time is known.
    pub coverage: Coverage,
    /// Whether a day holds core columns alone: its prices and sizes are those of f32, which may have fewer digits than the exchange sent.
    pub has_core_days: bool,
    /// Other series of the product, whose trades are not in the answer.
    pub other_series: Vec<ProductId>,
}

impl Basis {
    /// Looks at what is known of a range of time.
    ///
    /// # Errors
    /// As [`Coverage::of`].
    pub(crate) fn of(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        let coverage = Coverage::of(tape, product, range)?;
        let others = tape.products()?.into_iter().filter(|other| other.is_series_of(product) && other != product);
        Ok(Self { product: product.clone(), coverage, has_core_days: false, other_series: others.collect() })
    }

    /// Says what has to be said with the answer: that the time is not whole, and why; that digits may be missing; that there is another series.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let product = &self.product;
        let mut said = Vec::new();
        if let Some(why) = self.coverage.shortcoming() {
            said.push(format!("{product}: this time is not whole ({}): {why}", self.coverage.verdict().name()));
        }
        if self.has_core_days {
            said.push(format!("{product}: core columns alone are stored, so prices and sizes are rounded to f32"));
        }
        for other in &self.other_series {
            said.push(format!("{product}: {} is another series of it, which is not part of this answer", Escaped(other)));
        }
        said
    }

    /// Begins the summary line of JSON Lines output.
    #[must_use]
    pub(crate) fn summary(&self) -> Object {
        let Coverage { range, gaps, captured_from, captured_to, disordered, doubts, .. } = &self.coverage;
        let time = |time: Option<UnixNanos>| time.map(|time| format!("\"{time}\""));
        let gap_lines: Vec<String> = gaps
            .iter()
            .take(MAX_LISTED)
            .map(|gap| {
                let (first, last) = gap.times();
                Object::default()
                    .plain("first_id", gap.ids.first())
                    .plain("last_id", gap.ids.last())
                    .text("from", &first.to_string())
                    .text("to", &last.to_string())
                    .text("why", &gap.why)
                    .done()
            })
            .collect();
        let doubts: Vec<String> = doubts
            .iter()
            .take(MAX_LISTED)
            .map(|doubt| doubt.date.map_or_else(|| doubt.why.clone(), |date| format!("{date}: {}", doubt.why)))
            .collect();
        let others: Vec<String> = self.other_series.iter().map(ToString::to_string).collect();
        Object::default()
            .plain("summary", true)
            .text("product", self.product.as_str())
            .optional("from", time(range.from))
            .optional("to", time(range.to))
            .plain("whole", self.coverage.is_whole())
            .text("verdict", self.coverage.verdict().name())
            .plain("missing", self.coverage.missing())
            .raw("gaps", &format!("[{}]", gap_lines.join(",")))
            .plain("more_gaps", gaps.len().saturating_sub(MAX_LISTED))
            .optional("captured_from", time(captured_from.map(|first| first.time)))
            .optional("captured_to", time(captured_to.map(|last| last.time)))
            .plain("disordered", disordered)
            .texts("doubts", &doubts)
            .plain("core_columns_only", self.has_core_days)
            .texts("other_series", &others)
    }
}
