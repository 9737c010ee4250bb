//! A column is added to the table: the golden days are read, continued, sealed, replaced and verified with the columns that they began with.
//!
//! Shown from both sides. For the store, layouts with one column more than the golden days hold. For everything that goes through the real table
//! (`verify`, `query`), golden days with one column less than they have: what they would be if that column had been added since.

use std::marker::PhantomData;
use std::path::Path;

use coltape::internals::query::{Format, QueryConfig, query};
use coltape::internals::record::Record;
use coltape::internals::schema::{Column, ColumnSet, Dataset, Kind, Layout, Likeness, Md, Sink, Source, TickerTrades, Trades};
use coltape::internals::store::{Day, Inserted, Opening, Snapshot, Trusted, seal};
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::internals::verify::{FindingKind, Report, VerifyConfig, verify};

use super::days::{Copied, DAY, Rows, columns_of_version_1, expected, insert, noon, seal_one, shown, tomorrow, trade};

/// A row with one value more.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Longer<Row> {
    row: Row,
    added: u64,
}

/// What a day gives that does not have the column.
const ABSENT: u64 = u64::MAX;

/// A dataset whose table has one column more.
trait Extended: Rows {
    const LONGER: &'static [Column];
}

const fn longer<const N: usize>(columns: &'static [Column]) -> [Column; N] {
    let added = Column { name: "added", kind: Kind::U64, set: ColumnSet::Full, doc: "a column of a later version" };
    let mut all = [added; N];
    let mut at = 0;
    while at < columns.len() {
        all[at] = columns[at];
        at += 1;
    }
    all
}

impl Extended for Trades {
    const LONGER: &'static [Column] = &longer::<{ Trades::COLUMNS.len() + 1 }>(Trades::COLUMNS);
}

impl Extended for Md {
    const LONGER: &'static [Column] = &longer::<{ Md::COLUMNS.len() + 1 }>(Md::COLUMNS);
}

impl Extended for TickerTrades {
    const LONGER: &'static [Column] = &longer::<{ TickerTrades::COLUMNS.len() + 1 }>(TickerTrades::COLUMNS);
}

struct Later<L>(PhantomData<L>);

impl<L: Extended> Layout for Later<L> {
    type Row = Longer<L::Row>;
    const DATASET: Dataset = L::DATASET;
    const COLUMNS: &'static [Column] = L::LONGER;
    const TIME: usize = L::TIME;
    const EMPTY: Self::Row = Longer { row: L::EMPTY, added: ABSENT };

    fn part_of(_: Record<'_>) -> Option<&Self::Row> {
        // The records of messages have no value for the column.
        None
    }

    fn store(row: &Self::Row, sink: &mut impl Sink) {
        L::store(&row.row, sink);
        sink.u64(L::COLUMNS.len(), row.added);
    }

    fn load(source: &impl Source, row: &mut Self::Row) {
        L::load(source, &mut row.row);
        if let Some(added) = source.u64(L::COLUMNS.len()) {
            row.added = added;
        }
    }

    fn key(row: &Self::Row) -> u64 {
        L::key(&row.row)
    }

    fn time(row: &Self::Row) -> UnixNanos {
        L::time(&row.row)
    }

    fn compare(stored: &Self::Row, new: &Self::Row) -> Likeness {
        if stored.added != new.added { Likeness::Conflict } else { L::compare(&stored.row, &new.row) }
    }
}

fn make<L: Extended>(key: u64) -> Longer<L::Row> {
    Longer { row: L::make(key), added: key * 1000 }
}

/// The rows that a later version reads, without the added value, of which every one must be absent.
fn rows<L: Extended>(snapshot: &Snapshot<Later<L>>) -> Vec<String> {
    assert!(snapshot.rows().all(|row| row.added == ABSENT));
    shown(snapshot.rows().map(|row| row.row))
}

fn later_version_continues<L: Extended>(name: &str, set: ColumnSet) {
    let case = format!("{name} {}", L::DATASET.folder());
    let copied = Copied::of(name);
    let held = columns_of_version_1(L::DATASET, set).len();
    let before = copied.files(L::DATASET);
    let snapshot = copied.snapshot::<Later<L>>();
    assert_eq!((snapshot.columns().len(), snapshot.column_set()), (held, set), "{case}");
    assert_eq!((rows(&snapshot), snapshot.check().unwrap()), (expected::<L>(1..=10, set), vec![]), "{case}");
    assert!(snapshot.column_bytes(L::COLUMNS.len()).is_empty());
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<Later<L>>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: 10, given_up: 5, trusted: Trusted::Durable }, "{case}");
    for key in [11, 12, 14] {
        assert_eq!(insert(&mut day, &make::<L>(key)), Inserted::Appended, "{case}");
    }
    assert_eq!(insert(&mut day, &make::<L>(12)), Inserted::Duplicate, "{case}: the value that is not stored cannot differ");
    let is_ordered = L::DATASET == Dataset::Trades;
    if is_ordered {
        assert_eq!(insert(&mut day, &make::<L>(13)), Inserted::Late, "{case}");
        assert_eq!(insert(&mut day, &make::<L>(13)), Inserted::Duplicate, "{case}");
    }
    day.commit();
    drop(day);
    let (day, opening) = copied.open::<Later<L>>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: 13, given_up: 0, trusted: Trusted::Committed }, "{case}");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.generation), if is_ordered { (14, 1) } else { (13, 0) }, "{case}");
    let snapshot = copied.snapshot::<Later<L>>();
    let keys: Vec<u64> = if is_ordered { (1..=14).collect() } else { (1..=12).chain([14]).collect() };
    assert_eq!((rows(&snapshot), snapshot.check().unwrap()), (expected::<L>(keys.clone(), set), vec![]), "{case}");
    assert_eq!(copied.files(L::DATASET), before, "{case}: no column came");
    // The version that wrote it reads on.
    assert_eq!((copied.rows::<L>(), copied.faults::<L>()), (expected::<L>(keys, set), vec![]), "{case}");
}

#[test]
fn a_later_version_continues_and_seals_a_live_day_with_the_columns_that_it_has() {
    for (name, set) in [("LIVE", ColumnSet::Full), ("CORE-LIVE", ColumnSet::Core)] {
        later_version_continues::<Trades>(name, set);
        later_version_continues::<Md>(name, set);
        later_version_continues::<TickerTrades>(name, set);
    }
}

fn later_version_replaces<L: Extended>(name: &str, set: ColumnSet) {
    let case = format!("{name} {}", L::DATASET.folder());
    let copied = Copied::of(name);
    let before = copied.files(L::DATASET);
    assert_eq!(rows(&copied.snapshot::<Later<L>>()), expected::<L>(1..=12, set), "{case}");
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<Later<L>>(&dir, tomorrow());
    assert_eq!(opening, Opening::Sealed { records: 12 }, "{case}");
    assert_eq!(insert(&mut day, &make::<L>(13)), Inserted::Late, "{case}");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (13, 1, 1), "{case}");
    let snapshot = copied.snapshot::<Later<L>>();
    assert_eq!((rows(&snapshot), snapshot.check().unwrap()), (expected::<L>(1..=13, set), vec![]), "{case}");
    assert_eq!(copied.files(L::DATASET), before, "{case}");
    std::fs::remove_file(copied.path(L::DATASET, "commit")).unwrap();
    let bare = copied.snapshot::<Later<L>>();
    assert_eq!((rows(&bare), bare.columns().len()), (expected::<L>(1..=13, set), columns_of_version_1(L::DATASET, set).len()), "{case}");
}

#[test]
fn a_later_version_reads_and_replaces_a_sealed_day() {
    for (name, set) in [("SEALED", ColumnSet::Full), ("CORE-SEALED", ColumnSet::Core)] {
        later_version_replaces::<Trades>(name, set);
        later_version_replaces::<Md>(name, set);
        later_version_replaces::<TickerTrades>(name, set);
    }
}

#[test]
fn a_later_version_finishes_what_an_earlier_one_left() {
    let replacing = Copied::of("REPLACING");
    let snapshot = replacing.snapshot::<Later<Trades>>();
    assert_eq!((rows(&snapshot), snapshot.check().unwrap()), (expected::<Trades>(1..=9, ColumnSet::Full), vec![]));
    let dir = replacing.data_dir();
    assert_eq!(replacing.open::<Later<Trades>>(&dir, tomorrow()).1, Opening::Sealed { records: 9 });
    let late = Copied::of("LIVE-LATE");
    let dir = late.data_dir();
    let (day, _) = late.open::<Later<Trades>>(&dir, noon());
    assert_eq!((day.late_count(), seal_one(&dir, day).merged), (2, 2));
    assert_eq!(rows(&late.snapshot::<Later<Trades>>()), expected::<Trades>(1..=9, ColumnSet::Full));
    let witness = Copied::as_on_the_same_boot("WITNESS");
    let dir = witness.data_dir();
    let (day, opening) = witness.open::<Later<Trades>>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: 14, given_up: 0, trusted: Trusted::Committed });
    assert_eq!(seal_one(&dir, day).records, 15);
    assert_eq!(rows(&witness.snapshot::<Later<Trades>>()), expected::<Trades>(1..=15, ColumnSet::Full));
}

#[test]
fn a_new_day_has_the_added_column_and_an_earlier_version_refuses_it() {
    let copied = Copied::of("SEALED");
    let (dir, next) = (copied.data_dir(), DAY.next());
    let (mut day, opening) = Day::<Later<Trades>>::open(&dir, &copied.product, next, next.start()).unwrap();
    assert_eq!(opening, Opening::Created);
    insert(&mut day, &make::<Trades>(20));
    insert(&mut day, &make::<Trades>(10));
    assert_eq!(insert(&mut day, &Longer { added: 1, ..make::<Trades>(20) }), Inserted::Conflict(make::<Trades>(20)));
    seal_one(&dir, day);
    let path = copied.dir.path();
    let snapshot = Snapshot::<Later<Trades>>::open(path, &copied.product, next).unwrap().unwrap();
    assert_eq!(snapshot.rows().collect::<Vec<_>>(), [make::<Trades>(10), make::<Trades>(20)]);
    assert_eq!((snapshot.columns().len(), snapshot.check().unwrap()), (Trades::COLUMNS.len() + 1, vec![]));
    let refused = Snapshot::<Trades>::open(path, &copied.product, next).unwrap_err().to_string();
    assert!(refused.contains("this version knows"), "{refused}");
}

/// Puts the checksum of a sector's first 508 bytes behind them.
fn set_crc(sector: &mut [u8]) {
    let crc = crc32c::crc32c(&sector[..508]).to_le_bytes();
    sector[508..].copy_from_slice(&crc);
}

/// Takes the last column that a copied day has, as if the day had been begun before there was that column.
fn take_last_column(copied: &Copied, dataset: Dataset) {
    let columns = columns_of_version_1(dataset, ColumnSet::Full);
    let (last, rest) = columns.split_last().unwrap();
    assert_eq!(last.set, ColumnSet::Full);
    std::fs::remove_file(copied.path(dataset, last.name)).unwrap();
    let _ = std::fs::remove_file(copied.path(dataset, last.name).with_extension("bin.tmp"));
    let path = copied.path(dataset, "commit");
    let mut page = std::fs::read(&path).unwrap();
    page[92..96].copy_from_slice(&(rest.len() as u32).to_le_bytes());
    set_crc(&mut page[..512]);
    // Where each kind of sector keeps the number of its columns; their checksums follow.
    for (sectors, count_at) in [([2, 3, 6].as_slice(), 32), ([4, 5].as_slice(), 24)] {
        for sector in sectors {
            let sector = &mut page[sector * 512..(sector + 1) * 512];
            if sector.iter().any(|byte| *byte != 0) {
                sector[count_at..count_at + 4].copy_from_slice(&(rest.len() as u32).to_le_bytes());
                sector[count_at + 4 + rest.len() * 4..][..4].fill(0);
                set_crc(sector);
            }
        }
    }
    std::fs::write(&path, page).unwrap();
    let late = copied.path(dataset, "late");
    if let Ok(bytes) = std::fs::read(&late) {
        let width = 8 + columns.iter().map(|column| column.kind.width()).sum::<usize>();
        let shorter = bytes.chunks_exact(width).flat_map(|record| {
            let mut record = record[..width - last.kind.width()].to_vec();
            let crc = crc32c::crc32c(&record[4..]).to_le_bytes();
            record[..4].copy_from_slice(&crc);
            record
        });
        std::fs::write(&late, shorter.collect::<Vec<u8>>()).unwrap();
    }
}

fn verified(dir: &Path) -> Report {
    let now = UnixNanos(DAY.start().0 + 10 * 86_400_000_000_000);
    verify(&VerifyConfig::new(dir, now)).unwrap()
}

fn asked(copied: &Copied, dataset: Dataset, columns: &[&str]) -> Result<String, String> {
    let mut config = QueryConfig::new(copied.dir.path(), copied.product.clone());
    config.dataset = dataset;
    config.columns = columns.iter().map(|name| (*name).to_owned()).collect();
    config.format = Format::Csv;
    config.raw = true;
    let mut out = Vec::new();
    query(&config, &|| true, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn shorter_day_is_used_by_every_tool<L: Rows>(name: &str, records: u64) {
    let case = format!("{name} {}", L::DATASET.folder());
    let (whole, copied) = (Copied::of(name), Copied::of(name));
    take_last_column(&copied, L::DATASET);
    let (last, rest) = columns_of_version_1(L::DATASET, ColumnSet::Full).split_last().unwrap();
    let snapshot = copied.snapshot::<L>();
    assert_eq!(
        (snapshot.columns().len(), snapshot.column_set(), snapshot.check().unwrap()),
        (rest.len(), ColumnSet::Full, vec![]),
        "{case}"
    );
    let answer = asked(&copied, L::DATASET, &[]).unwrap();
    let names: Vec<&str> = rest.iter().map(|column| column.name).collect();
    assert_eq!(answer.lines().next().unwrap(), names.join(","), "{case}");
    assert_eq!(answer, asked(&whole, L::DATASET, &names).unwrap(), "{case}");
    assert!(asked(&copied, L::DATASET, &[last.name]).unwrap_err().contains("begun before there was that column"), "{case}");
    let report = verified(copied.dir.path());
    assert!(report.holds(), "{case}: {:?}", report.findings.counts().collect::<Vec<_>>());
    let dir = copied.data_dir();
    let (mut day, _) = copied.open::<L>(&dir, noon());
    assert_eq!(insert(&mut day, &L::make(30)), Inserted::Appended, "{case}");
    let sealed = seal_one(&dir, day);
    assert_eq!(sealed.records, records + 1, "{case}");
    let (mut day, _) = copied.open::<L>(&dir, tomorrow());
    assert_eq!(insert(&mut day, &L::make(31)), Inserted::Late, "{case}");
    day.commit();
    drop(day);
    // Only the ids between the golden ones and those of this test are missing.
    assert!(verified(copied.dir.path()).findings.counts().all(|(kind, _)| kind == FindingKind::Missing), "{case}");
    // Nobody has it open: it is opened by what its page says.
    let waiting = seal::unsealed(copied.dir.path(), &copied.product).unwrap();
    let key = waiting.iter().find(|key| key.dataset == L::DATASET).unwrap();
    assert_eq!(seal::seal_at_rest(&dir, key).unwrap().records, records + 2, "{case}");
    let snapshot = copied.snapshot::<L>();
    assert_eq!((snapshot.columns().len(), snapshot.count() as u64, snapshot.check().unwrap()), (rest.len(), records + 2, vec![]), "{case}");
}

#[test]
fn a_day_that_was_begun_before_the_last_column_is_used_by_every_tool() {
    shorter_day_is_used_by_every_tool::<Trades>("LIVE", 10);
    shorter_day_is_used_by_every_tool::<Md>("LIVE", 10);
    shorter_day_is_used_by_every_tool::<Trades>("SEALED", 12);
    shorter_day_is_used_by_every_tool::<Md>("SEALED", 12);
    shorter_day_is_used_by_every_tool::<Trades>("LIVE-LATE", 9);
}

#[test]
fn days_with_and_without_the_last_column_are_queried_together() {
    let copied = Copied::of("SEALED");
    take_last_column(&copied, Dataset::Trades);
    let dir = copied.data_dir();
    let next: UtcDay = DAY.next();
    let (mut day, _) = Day::<Trades>::open(&dir, &copied.product, next, next.start()).unwrap();
    insert(&mut day, &coltape::internals::record::Trade { time: next.start(), recv: UnixNanos(next.start().0 + 1), ..trade(13) });
    seal_one(&dir, day);
    let answer = asked(&copied, Dataset::Trades, &["trade_id", "trade_origin"]).unwrap();
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[12], lines[13]), (14, "trade_id,trade_origin", "12,", "13,0"));
    assert!(verified(copied.dir.path()).holds());
    let style = coltape::internals::store::catalog::newest_style(copied.dir.path(), &copied.product, Dataset::Trades).unwrap();
    assert_eq!(style.map(|style| style.columns), Some(ColumnSet::Full));
}
