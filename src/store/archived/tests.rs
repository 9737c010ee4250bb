//! Lines of archived days: as they were written, or none.

use proptest::prelude::*;

use super::*;

fn day() -> ArchivedDay {
    let known = |name: &str, bytes| KnownFile { name: name.to_owned(), bytes, crc: 0xdead_beef };
    ArchivedDay {
        key: DayKey { product: ProductId::new("BTC-USD").expect("a product"), dataset: Dataset::Trades, date: UtcDay(20_246) },
        time: UnixNanos(7),
        dir: "/data \"x\"".into(),
        dir_id: DirIdentity::parse("7@1764528001.5"),
        archive: "/mnt/cold".into(),
        spelling: DateFormat::Dmy,
        records: u64::MAX,
        generation: Some(3),
        set: ColumnSet::Core,
        files: vec![known("trade_id", 8), known("commit", 4096)],
        data: Some(known("dataset=trades/part-0.parquet", 1 << 40)),
        rest: known("_coltape_archive/BTC-USD/TRADES/2025-06-07.rest", 9),
        verdict: Verdict::Partial,
        reasons: vec!["\"one\"\n".to_owned()],
        runs: vec![ArchivedRun { ids: IdRange::new(1, u64::MAX).expect("a range"), times: (UnixNanos(5), UnixNanos(u64::MAX)) }],
        facts: "{\"named\":7}".to_owned(),
    }
}

#[test]
fn a_line_is_read_as_it_was_written() {
    let bare = ArchivedDay { dir_id: None, generation: None, data: None, runs: Vec::new(), reasons: Vec::new(), ..day() };
    for written in [day(), bare] {
        assert_eq!(ArchivedDay::parse(&written.line()), Some(written));
    }
}

#[test]
fn a_line_without_an_identity_is_of_the_directory_at_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, other) = (folder.path().to_owned(), Path::new("/other").to_owned());
    let line = |text: &str| text.replace(&format!(",\"dir_id\":\"{}\"", day().dir_id.expect("one")), "");
    let written = day().line();
    let (said, _) = written.rsplit_once(LINE_CRC).expect("a checksum");
    let earlier = line(said);
    let earlier = format!("{earlier}{LINE_CRC}{:08x}\"}}", crc32c::crc32c(earlier.as_bytes()));
    assert_eq!(ArchivedDay::parse(&earlier), Some(ArchivedDay { dir_id: None, ..day() }), "a line of an earlier version");
    let at = |dir: &Path, dir_id| ArchivedDay { dir: dir.to_owned(), dir_id, ..day() };
    assert!(at(&dir, None).is_of(&dir) && !at(&other, None).is_of(&dir));
    if let Some(id) = DirIdentity::of(&dir) {
        assert!(at(&other, Some(id)).is_of(&dir), "it was renamed");
        assert!(!at(&dir, DirIdentity::parse("7@1764528001.5")).is_of(&dir), "another one at its path");
    }
}

#[test]
fn a_line_that_leads_out_of_the_archive_or_names_other_files_is_none() {
    let of = |change: fn(&mut ArchivedDay)| {
        let mut day = day();
        change(&mut day);
        ArchivedDay::parse(&day.line())
    };
    assert!(of(|_| {}).is_some());
    assert_eq!(of(|day| day.rest.name = "../x".to_owned()), None);
    assert_eq!(of(|day| day.rest.name = "/etc/passwd".to_owned()), None);
    assert_eq!(of(|day| day.rest.name = String::new()), None);
    assert_eq!(of(|day| day.files[0].name = "../../x".to_owned()), None);
    assert_eq!(of(|day| day.files[0].name = "price".to_owned()), None, "another dataset's");
    assert_eq!(of(|day| day.archive = "cold".into()), None);
}

#[test]
fn lines_of_a_product_are_replaced_as_a_whole_and_damaged_ones_are_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let product = day().key.product;
    let lock = RecordLock::take(dir.path()).expect("taken");
    assert!(matches!(RecordLock::take(dir.path()), Err(StoreError::Archiving { .. })));
    drop(lock);
    let mut archived = ArchivedDays::read(dir.path(), &product).expect("read");
    assert!(archived.days.is_empty() && products(dir.path()).is_empty());
    archived.days.insert((Dataset::Trades, UtcDay(20_246)), day());
    archived.write(dir.path(), &product).expect("written");
    assert_eq!(products(dir.path()), std::slice::from_ref(&product));
    let read = ArchivedDays::read(dir.path(), &product).expect("read");
    assert_eq!(read.days, archived.days);
    assert_eq!(read.away(dir.path(), &product, Dataset::Trades).expect("listed").len(), 1);
    let path = path_of(dir.path(), &product);
    let changed = std::fs::read_to_string(&path).expect("read").replace("\"records\":1", "\"records\":2");
    std::fs::write(&path, changed).expect("written");
    let read = ArchivedDays::read(dir.path(), &product).expect("read");
    assert!(read.days.is_empty() && read.faults.len() == 1, "{:?}", read.faults);
    assert!(matches!(read.write(dir.path(), &product), Err(StoreError::Damaged { .. })), "a damaged line is not lost");
}

proptest! {
    #[test]
    fn any_change_of_a_byte_is_seen_and_never_panics(at in 0usize..900, to: u8) {
        let line = day().line();
        let mut bytes = line.clone().into_bytes();
        let at = at % bytes.len();
        let before = std::mem::replace(&mut bytes[at], to);
        let read = std::str::from_utf8(&bytes).ok().and_then(ArchivedDay::parse);
        prop_assert_eq!(read.is_some(), before == to);
    }
}
