//! [`Ground`]: what an answer over days rests on: the days as they are now, whether all of them are sealed, and how complete the time is.
//!
//! 1. Days that are damaged are found here where they are small, before the answer begins ([`crate::export::stream`]).
//! 2. A large day of trades that does not grow is looked at as a whole only when the answer has been sent, before its end is told ([`Pledge`]): a damaged one breaks the
//!    answer off. An answer without a body waits for that.
//! 3. An answer over sealed days alone has an `ETag`: a checksum of the question, of what tells its days from the same days at another time, and of what is
//!    said of their completeness.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::refusal::{Refusal, of_day, of_tape, of_unmade};
use super::verdicts::Judged;
use crate::export::ExportError;
use crate::export::stream::{Budget, DayIdentity, StreamError, check, check_still_there, look};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::serve::http::request::Request;
use crate::serve::http::response::Response;
use crate::serve::server::Server;
use crate::store::DayKey;
use crate::tape::Tape;
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;

/// Says how complete an answer is.
const VERDICT: &str = "X-Coltape-Verdict";

/// Lists the days of a product's dataset that a range touches, within the most that a request may cover.
///
/// # Errors
/// Where there are more, or the folder cannot be read.
pub(super) fn days(server: &Server, tape: &Tape, product: &ProductId, dataset: Dataset, range: TimeRange) -> Result<Vec<UtcDay>, Refusal> {
    let mut dates = all_days(server, tape, product, dataset, range)?;
    check_days(server, dates.len() as u64)?;
    dates.dedup();
    Ok(dates)
}

/// Lists the days of a product's dataset that a range touches.
///
/// # Errors
/// Where the folder cannot be read.
pub(super) fn all_days(
    server: &Server,
    tape: &Tape,
    product: &ProductId,
    dataset: Dataset,
    range: TimeRange,
) -> Result<Vec<UtcDay>, Refusal> {
    let listed = tape.days(product, dataset).map_err(|error| of_tape(server, &error))?;
    Ok(listed.into_iter().filter(|date| range.overlaps_day(*date)).collect())
}

/// Checks that a request covers no more days than it may.
///
/// # Errors
/// Where it does.
pub(super) fn check_days(server: &Server, days: u64) -> Result<(), Refusal> {
    let most = u64::from(server.config().max_days);
    if days <= most {
        return Ok(());
    }
    let hint = format!("from and to: ask for at most {most} days at once, in several requests, or let the server allow more (--max-days)");
    Err(Refusal::new(400, format!("from and to cover {days} days"), hint))
}

/// What an answer over days rests on.
#[derive(Debug, Default)]
pub(super) struct Ground {
    identities: Vec<DayIdentity>,
    /// Whether one of the days is not sealed.
    has_live: bool,
    /// Whether one of the days may still get records.
    may_grow: bool,
    /// Checksum of what is known of the completeness.
    known: u64,
    verdict: Option<Verdict>,
    pledge: Option<Pledge>,
}

/// What the head of an answer says and was not looked at as a whole. It is redeemed before the end of the answer is told.
#[derive(Debug, Clone)]
pub(super) struct Pledge {
    tape: Tape,
    product: ProductId,
    range: TimeRange,
    /// The days whose bytes are to be compared with their checksums, as they were when they were looked at.
    days: Vec<DayIdentity>,
    judged: Judged,
}

impl Pledge {
    /// Looks at everything.
    ///
    /// # Errors
    /// Where a day is damaged, another one by now or gone, or the range is not as complete, or not as incomplete, as was said.
    pub(super) fn redeem(&self, server: &Server) -> Result<(), StreamError> {
        let Self { tape, product, range, days, judged } = self;
        for day in days {
            check(tape, &DayKey { product: product.clone(), dataset: Dataset::Trades, date: day.date() }, day)?;
        }
        if !judged.is_to_be_confirmed {
            return Ok(());
        }
        let found = server.verdicts().of(tape, product, *range, false).map_err(ExportError::from)?;
        if (found.verdict, found.known) == (judged.verdict, judged.known) {
            return Ok(());
        }
        Err(StreamError::Misjudged { what: product.to_string() })
    }
}

impl Ground {
    /// Looks at days. Those of a neighbourhood tell the answer from another one too, but need not be sealed.
    ///
    /// # Errors
    /// Where a day cannot be read, or is found to be damaged.
    pub(super) fn look(
        (server, tape): (&Server, &Tape),
        product: &ProductId,
        dataset: Dataset,
        dates: &[UtcDay],
        is_neighbourhood: impl Fn(UtcDay) -> bool,
        budget: &mut Budget,
    ) -> Result<Self, Refusal> {
        let mut ground = Self::default();
        for date in dates {
            let key = DayKey { product: product.clone(), dataset, date: *date };
            let Some(day) = look(tape, &key, budget).map_err(|error| of_day(server, &error))? else { continue };
            ground.has_live |= !day.is_sealed() && !is_neighbourhood(*date);
            ground.may_grow |= day.may_grow() && !is_neighbourhood(*date);
            ground.identities.push(day);
        }
        Ok(ground)
    }

    /// Takes over what was looked at already.
    pub(super) fn of<'d>(identities: impl Iterator<Item = &'d DayIdentity>) -> Self {
        let identities: Vec<DayIdentity> = identities.cloned().collect();
        let may_grow = identities.iter().any(DayIdentity::may_grow);
        Self { has_live: identities.iter().any(|day| !day.is_sealed()), may_grow, identities, ..Self::default() }
    }

    /// Adds other days.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.has_live |= other.has_live;
        self.may_grow |= other.may_grow;
        self.identities.extend(other.identities);
        self
    }

    /// Judges the completeness of the trades of a range. Of other datasets nothing can be shown.
    ///
    /// # Errors
    /// Where a day cannot be read.
    pub(super) fn judge(
        &mut self,
        server: &Server,
        tape: &Tape,
        product: &ProductId,
        dataset: Dataset,
        range: TimeRange,
    ) -> Result<Verdict, Refusal> {
        let days: Vec<DayIdentity> = self.identities.iter().filter(|day| day.is_checked_later()).cloned().collect();
        let verdict = match dataset {
            Dataset::Trades => {
                let is_glance = !days.is_empty() && !self.may_grow;
                let verdicts = server.verdicts();
                let judged =
                    if is_glance { verdicts.at_a_glance(tape, product, range) } else { verdicts.of(tape, product, range, self.may_grow) };
                let judged = judged.map_err(|error| of_tape(server, &error))?;
                self.known = judged.known;
                if !days.is_empty() {
                    self.pledge = Some(Pledge { tape: tape.clone(), product: product.clone(), range, days, judged });
                }
                judged.verdict
            }
            Dataset::Md | Dataset::TickerTrades => Verdict::Unverifiable,
        };
        self.verdict = Some(verdict);
        Ok(verdict)
    }

    /// Adds that the answer depends on more than these days: it has no tag.
    pub(super) fn depends_on_more(mut self) -> Self {
        self.has_live = true;
        self
    }

    /// Tells whether there is a day that is large.
    pub(super) fn has_large_day(&self) -> bool {
        self.identities.iter().any(DayIdentity::is_large)
    }

    /// Gives what is to be redeemed before the end of the answer. An answer that may have no body is not begun before that.
    ///
    /// # Errors
    /// Where a day is damaged.
    pub(super) fn pledge(&self, server: &Server, request: &Request) -> Result<Option<Pledge>, Refusal> {
        let Some(pledge) = self.pledge.clone() else { return Ok(None) };
        if request.is_head() || request.header("if-none-match").is_some() {
            pledge.redeem(server).map_err(|error| of_unmade(server, &error))?;
            return Ok(None);
        }
        Ok(Some(pledge))
    }

    /// Gives what has to hold when an answer was made that opened the days once more: none of them was replaced or moved away meanwhile. Else it may be
    /// short and look whole, or not be the answer that its tag stands for.
    pub(super) fn standing(&self, tape: &Tape, product: &ProductId) -> impl FnOnce() -> Result<(), StreamError> + Send + 'static {
        let (days, tape, product) = (self.identities.clone(), tape.clone(), product.clone());
        move || days.iter().try_for_each(|day| check_still_there(&tape, &product, day))
    }

    /// Tells whether the answer is over sealed days alone.
    pub(super) fn is_sealed(&self) -> bool {
        !self.has_live && !self.identities.is_empty()
    }

    /// Adds the fields of the head that say what the answer rests on. `question` is all of what is asked.
    pub(super) fn describe(&self, response: Response, question: &impl Hash) -> Response {
        let response = match self.verdict {
            Some(verdict) => response.with_header(VERDICT, verdict.name()),
            None => response,
        };
        match self.tag(question) {
            Some(tag) => response.with_header("ETag", tag),
            None => response,
        }
    }

    /// Gives the tag of the answer, if it is over sealed days alone.
    pub(super) fn tag(&self, question: &impl Hash) -> Option<String> {
        if !self.is_sealed() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (env!("CARGO_PKG_VERSION"), question, &self.identities, self.known, self.verdict.map(Verdict::name)).hash(&mut hasher);
        Some(format!("\"{:016x}\"", hasher.finish()))
    }

    /// Gives what a file says of itself.
    pub(super) fn metadata(&self) -> Vec<(String, String)> {
        let verdict = self.verdict.map(|verdict| ("coltape.verdict".to_owned(), verdict.name().to_owned()));
        verdict.into_iter().chain([("coltape.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]).collect()
    }
}

/// Gives a range of time with as much more on each side.
pub(super) fn widened(range: TimeRange, nanos: u64) -> TimeRange {
    TimeRange {
        from: range.from.map(|from| UnixNanos(from.0.saturating_sub(nanos))),
        to: range.to.map(|to| UnixNanos(to.0.saturating_add(nanos))),
    }
}
