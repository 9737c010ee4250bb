//! [`ProductDays`]: the days of some products with their verdicts, and answers that are made of them.
//!
//! To judge a large day that was not judged before takes as long as a look at all its bytes. So an answer over such days begins with what a glance shows, and
//! goes on with what was found. Where the two differ it is broken off, and the next one waits for the look.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;

use super::refusal::{Refusal, of_stream, of_tape, of_unmade};
use super::table::{self, Field};
use crate::export::stream::{CellKind, StreamError, StreamFormat};
use crate::market::CoveredDay;
use crate::product::ProductId;
use crate::serve::http::request::Request;
use crate::serve::http::response::{Response, StreamFailed};
use crate::serve::server::Server;
use crate::tape::Tape;
use crate::time_range::TimeRange;
use crate::verdict::Verdict;

/// The days of some products.
pub(super) struct ProductDays {
    pub(super) all: Vec<(ProductId, Vec<CoveredDay>)>,
    is_glance: bool,
    /// A checksum of the files.
    files: u64,
}

/// Makes the rows of an answer.
type MakeRows = fn(&Server, &Tape, &ProductDays) -> Result<Vec<Vec<Field>>, Refusal>;

/// What is asked about days.
pub(super) struct DaysQuestion {
    pub(super) tape: Tape,
    pub(super) products: Vec<ProductId>,
    pub(super) range: TimeRange,
    pub(super) format: StreamFormat,
    pub(super) columns: &'static [(&'static str, CellKind)],
    pub(super) rows: MakeRows,
}

impl ProductDays {
    fn look(server: &Server, question: &DaysQuestion, may_glance: bool) -> Result<Self, Refusal> {
        let DaysQuestion { tape, products, range, .. } = question;
        let (mut all, mut is_glance, mut files) = (Vec::new(), false, DefaultHasher::new());
        for product in products {
            let judged = server.verdicts().product_days(tape, product, *range, may_glance).map_err(|error| of_tape(server, &error))?;
            is_glance |= judged.is_glance;
            judged.files.hash(&mut files);
            all.push((product.clone(), judged.days));
        }
        Ok(Self { all, is_glance, files: files.finish() })
    }

    fn days(&self) -> impl Iterator<Item = &CoveredDay> {
        self.all.iter().flat_map(|(_, days)| days)
    }

    fn verdict(&self) -> Verdict {
        self.days().map(|day| day.verdict).max().unwrap_or(Verdict::Unverifiable)
    }

    /// Gives a checksum of all that was judged.
    fn judged(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (product, days) in &self.all {
            (product.as_str(), days.len()).hash(&mut hasher);
            for day in days {
                (day.date, day.verdict.name(), &day.reasons, day.is_live, day.is_archived, day.records).hash(&mut hasher);
                day.ends.map(|ends| [ends.0, ends.1].map(|end| (end.id, end.time))).hash(&mut hasher);
                for gap in &day.missing {
                    (gap.ids.first(), gap.ids.last(), gap.times(), &gap.why, gap.is_absence).hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }

    /// Gives the tag of an answer, if all its days are sealed.
    fn tag(&self, question: &impl Hash) -> Option<String> {
        let is_sealed = self.days().all(|day| day.is_live == Some(false)) && self.days().next().is_some();
        let mut hasher = DefaultHasher::new();
        (env!("CARGO_PKG_VERSION"), question, self.files, self.judged()).hash(&mut hasher);
        is_sealed.then(|| format!("\"{:016x}\"", hasher.finish()))
    }
}

/// Answers with a table of days.
///
/// # Errors
/// Where the directory cannot be read, or the table cannot be written.
pub(super) fn answer(server: &Arc<Server>, request: &Request, question: DaysQuestion) -> Result<Response, Refusal> {
    let DaysQuestion { range, format, columns, rows, .. } = question;
    // An answer without a body waits for the look, and so does a file that is read in pieces.
    let has_body = !request.is_head() && request.header("if-none-match").is_none();
    let may_glance = has_body && format != StreamFormat::Parquet;
    let days = ProductDays::look(server, &question, may_glance)?;
    let names: Vec<&str> = question.products.iter().map(ProductId::as_str).collect();
    // Days are whole, wherever the range ends in them: which they are is all that it says.
    let tag = days.tag(&(request.path(), names, format));
    let response = if days.is_glance {
        let (server, judged) = (Arc::clone(server), days.judged());
        Response::stream(format.content_type(), move |out| {
            out.flush()?;
            let failed = |refusal: Refusal| StreamFailed::source("the days cannot be judged", refusal.response());
            let found = ProductDays::look(&server, &question, false).map_err(failed)?;
            if found.judged() != judged {
                question.products.iter().for_each(|product| server.verdicts().never_glance(product, range));
                return Err(of_stream(&server, StreamError::Misjudged { what: "a day".to_owned() }));
            }
            let rows = rows(&server, &question.tape, &found).map_err(failed)?;
            table::write(format, columns, rows, out).map_err(|error| of_stream(&server, error))
        })
    } else {
        let mut body = Vec::new();
        let rows = rows(server, &question.tape, &days)?;
        table::write(format, columns, rows, &mut body).map_err(|error| of_unmade(server, &error))?;
        Response::bytes(format.content_type(), body)
    };
    let response = response.with_header("X-Coltape-Verdict", days.verdict().name());
    Ok(match tag {
        Some(tag) => response.with_header("ETag", tag),
        None => response,
    })
}
