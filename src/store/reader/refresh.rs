//! Taking in what has come since a day was opened, at the cost of what has come.
//!
//! 1. While a day only grows its files stay the same ones: each is found at its path once more, and its map shows more. A map that becomes too short is
//!    moved to address space for twice as many records, which keeps its pages.
//! 2. Whatever else has happened (a replacement, other files at the paths, records that were given up after a crash), the day is opened again.
//! 3. As in opening, the state is read before and after.

use std::path::Path;

use super::open::{LateCount, Visible, generation_of, shown, space_for};
use super::view::{CommittedRecord, View};
use crate::schema::{Layout, Source as _};
use crate::store::column::load;
use crate::store::commit::{Phase, State};
use crate::store::error::{At, MAP, StoreError};
use crate::store::late::{LateValues, Payloads};
use crate::store::own_file::FileId;
use crate::store::page::Page;

/// What a look for new records has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// More records, late records, or a seal of the same files. They are shown.
    More,
    /// The view cannot be brought up to date as it is.
    OtherFiles,
}

/// What opening and refreshing a snapshot has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadCosts {
    /// Times that all files were opened.
    pub opened: u64,
    /// Maps that were moved because they had become too short.
    pub moved_maps: u64,
    /// Late records that were read.
    pub late_read: u64,
    /// Event times that were looked at for the index of times.
    pub times_indexed: u64,
}

/// Which record the view showed last: after a crash another one may lie in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    time: Option<[u32; 2]>,
    key: Option<u64>,
}

impl Last {
    pub(super) fn of<L: Layout>(view: &View<L>) -> Option<Self> {
        let record = CommittedRecord { columns: &view.columns, record: view.records.checked_sub(1)? };
        let time = record.u32(L::TIME).zip(record.u32(L::TIME + 1)).map(|(seconds, nanos)| [seconds, nanos]);
        Some(Self { time, key: L::DATASET.key_column().and_then(|column| record.u64(column)) })
    }
}

/// What the page says of a day whose files may still be those of a view.
struct News {
    state: State,
    is_trusted: bool,
    seen: Visible,
    records: usize,
}

impl News {
    /// Reads the page; nothing where the view's files are not the day's any more, or records that it shows were given up.
    fn of<L: Layout>(view: &View<L>, last: Option<Last>) -> Option<Self> {
        let page = view.page.as_ref()?;
        let state = page.state().filter(|state| generation_of(state) == view.generation)?;
        let (is_trusted, seen) = (page.is_trusted(), Visible::of(page, &state));
        let records = usize::try_from(seen.records).ok().filter(|records| *records >= view.records)?;
        let has_fewer_late = matches!(seen.late, LateCount::AsSaid(late) if late < view.late_promised);
        (!has_fewer_late && last == Last::of(view)).then_some(Self { state, is_trusted, seen, records })
    }

    /// Gives the most late records to read.
    fn most_late<L: Layout>(&self, view: &View<L>) -> u64 {
        match self.seen.late {
            LateCount::AsSaid(late) if late == view.late_promised => 0,
            LateCount::AsSaid(late) => u64::from(late).saturating_sub(view.late.len() as u64),
            LateCount::AllWhole => u64::MAX,
        }
    }

    /// Tells whether the page still says the same of the files.
    fn still_holds(&self, page: &Page) -> bool {
        let is_same = |now: State| shown(&now) == shown(&self.state) && now.generation == self.state.generation;
        page.state().is_some_and(is_same) && page.is_trusted() == self.is_trusted
    }
}

/// Brings a view up to date if its files are still the day's. `last` is the record that it showed last.
///
/// # Errors
/// Where a file cannot be read or mapped.
pub(super) fn refresh<L: Layout>(view: &mut View<L>, last: Option<Last>, costs: &mut ReadCosts) -> Result<Found, StoreError> {
    let Some(news) = News::of(view, last) else { return Ok(Found::OtherFiles) };
    if news.state.phase == Phase::Replacing {
        // The view was opened while the day was being replaced, and shows the new files.
        return Ok(Found::Nothing);
    }
    let most_late = news.most_late(view);
    let late = Payloads::read_from(&view.place.late(), view.table, news.state.generation, view.late.len() as u64, most_late)?;
    let promises_more = matches!(news.seen.late, LateCount::AsSaid(late) if late > view.late_promised);
    let is_news = news.records > view.records || late.len() > 0 || promises_more || shown(&news.state) != view.state;
    if !is_news {
        return Ok(if has_other_page(view) { Found::OtherFiles } else { Found::Nothing });
    }
    if !has_its_files(view, news.records) {
        return Ok(Found::OtherFiles);
    }
    for (column, mapped) in view.table.iter().zip(&mut view.columns) {
        let (len, space) = (news.records.saturating_mul(column.kind.width()), space_for(news.records).saturating_mul(column.kind.width()));
        costs.moved_maps += u64::from(mapped.map.reserve(len, space).at(MAP, &mapped.path)?);
    }
    if !view.page.as_ref().is_some_and(|page| news.still_holds(page)) {
        return Ok(Found::OtherFiles);
    }
    for (column, mapped) in view.table.iter().zip(&mut view.columns) {
        mapped.map.show(news.records.saturating_mul(column.kind.width()));
    }
    costs.late_read += late.len() as u64;
    let columns = view.table;
    view.take_in(news.records, late.iter().map(|payload| load::<L>(&LateValues { payload, columns })));
    view.late_payloads.append(&late);
    view.state = shown(&news.state);
    view.late_promised = match news.seen.late {
        LateCount::AsSaid(late) => late,
        LateCount::AllWhole => u32::try_from(view.late.len()).unwrap_or(u32::MAX),
    };
    Ok(Found::More)
}

/// Tells whether the page and every column lie where they were opened, and the columns are long enough.
fn has_its_files<L: Layout>(view: &View<L>, records: usize) -> bool {
    let is_there =
        |path: &Path, id: FileId, len: u64| std::fs::metadata(path).is_ok_and(|found| FileId::of(&found) == id && found.len() >= len);
    let has_page = view.page_id.is_some_and(|id| is_there(&view.place.page(), id, 0));
    has_page
        && view
            .table
            .iter()
            .zip(&view.columns)
            .all(|(column, mapped)| is_there(&mapped.path, mapped.id, (records as u64).saturating_mul(column.kind.width() as u64)))
}

/// Tells whether another page lies where this one was: the day was begun anew. A page that is gone says nothing: somebody may have moved the day away.
fn has_other_page<L: Layout>(view: &View<L>) -> bool {
    std::fs::metadata(view.place.page()).is_ok_and(|found| Some(FileId::of(&found)) != view.page_id)
}
