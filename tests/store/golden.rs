//! The golden days of `tests/data/v1`, written once by version 1 of the format: every later version reads, continues, recovers and seals them.
//! Copies only are written to; `tests/data/v1/README.md` says what each holds.

mod added_column;
mod days;

use std::path::Path;
use std::sync::Arc;

use coltape::internals::record::{OrderId, Side};
use coltape::internals::schema::{ColumnSet, Dataset, Md, TickerTrades, Trades};
use coltape::internals::store::{DayState, Inserted, Opening, Snapshot, Syncer, Trusted, catalog, seal};
use coltape::internals::time::DateFormat;
use days::{BOOT, Copied, DAY, Rows, expected, golden, insert, noon, seal_one, ticker, tomorrow, trade};

/// Each folder, its number of files, and the SHA-256 of them in the order of their names: name, length, bytes. (A CRC would not do: the sectors of a
/// page end in their own, so it is the same whatever they hold.)
const FOLDERS: &[(&str, usize, &str)] = &[
    ("CORE-LIVE/MD", 8, "b89135c2f0495b7305dbf1778bcc7b8f355f704c6ddfce4f4f931cdfe4194a8b"),
    ("CORE-LIVE/TICKER_TRADES", 7, "4104e7c8d505a37109a4c9d3ebbe6c980ee9ff5eea947ce6d4773a62af93d731"),
    ("CORE-LIVE/TRADES", 9, "e1e82701384e50dc60141d28f1b61d28dd1cb815fe7fe2a3490a2df025a14716"),
    ("CORE-SEALED/MD", 8, "19bb40a25a33fab2d58805bbfcc5a22f9808e2166fb9fcb2ed1e6078ac43b21c"),
    ("CORE-SEALED/TICKER_TRADES", 7, "635e2941f634a25aed12601ef9eb6a09132b68341e7582cf86d4c3d1c588ca6d"),
    ("CORE-SEALED/TRADES", 9, "6c69879059292886a0ca61a11ad0da2e65c2310bac957c89ea5c231de51d24db"),
    ("DAMAGED-BYTE/TRADES", 14, "489db7693a11edad3716ff1a3a4f43269b4c5f089e8d02a6aad58dbd9ad2bd50"),
    ("DAMAGED-LENGTH/TRADES", 14, "36a648e5b09fd87405a2554a4e1ebb091e5e0232cdd9ed33da45f6c96729e869"),
    ("DAMAGED-PAGE/TRADES", 14, "58b70acd5d9b4bab54f0707146075c5b1bbe1991ee3e2f4f6750b13805f2812c"),
    ("DMY/TICKER_TRADES", 7, "06c1f18a3dafa6977b16401fea457091c0dab6c8e33cfac7b9ec66ddfdf2ce20"),
    ("DMY/TRADES", 14, "00233a5caab877b37582803722b0c49c0532c19c053569a4330091c1cde69494"),
    ("LIVE-LATE/TRADES", 15, "b2170189645b18359536d3d0d6380d49126a43dd3ac65b445213c3dbd9f35ae1"),
    ("LIVE/MD", 17, "58083761627440b1cdfe053a922175cc5b3957431c5151e0963f02f84652c47c"),
    ("LIVE/TICKER_TRADES", 7, "0ede32ecc0b9c2ec1ef17019c1bd02bc9ada78c496b2c27ef031d3676d36ae86"),
    ("LIVE/TRADES", 14, "aa6d38d6f2d2fce183ce731b8e95ed43107cb9cc191aaa23f4726e8e47360a66"),
    ("REPLACING/TRADES", 22, "ba4b58dab331bb56d0300d09e4f30f1e649f2b0b80b5cbe20645ea64b73cfd48"),
    ("SEALED-LATE/MD", 18, "3976d8498e7a12577e3f7bb48d5ef3b7659ce099e4d88e7cd9ecb1c8288791af"),
    ("SEALED-LATE/TICKER_TRADES", 8, "6373033d5babf95c321ee71cefadc9e1c596fbdcb4c67aec8f577f3b44a09a90"),
    ("SEALED-LATE/TRADES", 15, "3a201b781ee9a3321108ca37da24cd640894db377c37780d2bc3ff3a24c2cb21"),
    ("SEALED/MD", 17, "7fb21e069595cec70d32f38eedd1927ba306d3e40b4fd3e993c00e21fb108408"),
    ("SEALED/TICKER_TRADES", 7, "dca6f46579f9e481e3e27106bccc24052829279ab76206562895b907fe3ecbcb"),
    ("SEALED/TRADES", 14, "c5ebd80f33b88adf456c43e135b7f9904c4ec7b1dff3be78e593dcb52c3d4ba2"),
    ("WITNESS/TRADES", 15, "0f0ce0094e13ff7d9ec90ccfb37f244fb6cb2aa55e99864d0d1f324591c25c9b"),
];

fn checksum(folder: &Path) -> (usize, String) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut sum = openssl::sha::Sha256::new();
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        sum.update(path.file_name().unwrap().as_encoded_bytes());
        sum.update(&(bytes.len() as u64).to_le_bytes());
        sum.update(&bytes);
    }
    (files.len(), hex::encode(sum.finish()))
}

#[test]
fn the_golden_files_have_not_changed() {
    let mut found = Vec::new();
    for product in std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for folder in std::fs::read_dir(&product).unwrap().map(|entry| entry.unwrap().path()) {
            let (files, sum) = checksum(&folder);
            found.push((folder.strip_prefix(golden()).unwrap().to_str().unwrap().to_owned(), files, sum));
        }
    }
    found.sort();
    let want: Vec<_> = FOLDERS.iter().map(|(name, files, sum)| ((*name).to_owned(), *files, (*sum).to_owned())).collect();
    assert_eq!(found, want);
}

#[test]
fn the_bytes_of_a_golden_record_are_those_of_the_format() {
    let day = Copied::of("SEALED").snapshot::<Trades>();
    let row = day.row(2).unwrap();
    assert_eq!((row.trade_id, row.sequence, row.side), (3, 50_021, Side::Buy));
    assert_eq!((row.price.as_f64, row.price.as_f32, row.size.as_f64), (131_081.03, 131_081.03, 3.000_237_58));
    assert_eq!((row.time.0, row.recv.0), (1_749_297_603_000_000_021, 1_749_297_603_000_005_021));
    assert_eq!(row.maker_order_id.to_string(), "00000000-0000-0003-0000-0000000a11ce");
    assert_eq!(day.column_bytes(0)[16..24], [3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(day.column_bytes(3)[8..12], 131_081.03_f32.to_le_bytes());
    let row = Copied::of("SEALED").snapshot::<Md>().row(2).unwrap();
    assert_eq!((row.best_bid.as_f64, row.best_ask.as_f32, row.best_bid_size, row.best_ask_size), (131_003.25, 131_003.75, 1.5, 0.25));
    let spread = Copied::of("SEALED").snapshot::<TickerTrades>().column_bytes(5)[8..12].to_vec();
    assert_eq!(spread, 0.5_f32.to_le_bytes());
}

/// Reads, continues and seals a live day with 10 durable records, 5 more that were committed, and 2 stored behind them.
fn live_day_goes_on<L: Rows>(name: &str, set: ColumnSet, same_boot: bool) {
    let copied = if same_boot { Copied::as_on_the_same_boot(name) } else { Copied::of(name) };
    let (kept, trusted) = if same_boot { (15, Trusted::Committed) } else { (10, Trusted::Durable) };
    let case = format!("{name} {} {same_boot}", L::DATASET.folder());
    let snapshot = copied.snapshot::<L>();
    assert_eq!((snapshot.state(), snapshot.column_set()), (DayState::Live, set), "{case}");
    assert_eq!(copied.rows::<L>(), expected::<L>(1..=kept, set), "{case}");
    assert_eq!(copied.faults::<L>(), [], "{case}");
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<L>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: kept, given_up: 15 - kept, trusted }, "{case}");
    assert_eq!((day.last_key(), day.files().durable()), (kept, 10), "{case}");
    let time = L::COLUMNS[L::TIME].name;
    let bytes = std::fs::read(copied.path(L::DATASET, time)).unwrap();
    assert!(bytes[kept as usize * 4..].iter().all(|byte| *byte == 0), "{case}: what lies behind is zeroed");
    for key in kept + 1..=20 {
        assert_eq!(insert(&mut day, &L::make(key)), Inserted::Appended, "{case}");
    }
    assert_eq!(insert(&mut day, &L::make(7)), Inserted::Duplicate, "{case}");
    day.commit();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    assert_eq!(syncer.cycle().unwrap().records.iter().sum::<u64>(), 10, "{case}");
    assert_eq!(copied.rows::<L>(), expected::<L>(1..=20, set), "{case}");
    assert_eq!(copied.faults::<L>(), [], "{case}");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (20, 0, 0), "{case}");
    assert_eq!(copied.rows::<L>(), expected::<L>(1..=20, set), "{case}");
    assert_eq!(copied.faults::<L>(), [], "{case}");
}

#[test]
fn a_live_day_that_was_copied_goes_on_behind_what_was_durable() {
    for (name, set) in [("LIVE", ColumnSet::Full), ("CORE-LIVE", ColumnSet::Core)] {
        live_day_goes_on::<Trades>(name, set, false);
        live_day_goes_on::<Md>(name, set, false);
        live_day_goes_on::<TickerTrades>(name, set, false);
    }
}

#[test]
fn a_live_day_on_the_boot_that_wrote_it_goes_on_behind_what_was_committed() {
    for (name, set) in [("LIVE", ColumnSet::Full), ("CORE-LIVE", ColumnSet::Core)] {
        live_day_goes_on::<Trades>(name, set, true);
        live_day_goes_on::<Md>(name, set, true);
        live_day_goes_on::<TickerTrades>(name, set, true);
    }
}

/// Reads a sealed day of 12 records, opens it again today, and replaces it tomorrow with a late record.
fn sealed_day_is_read_and_replaced<L: Rows>(name: &str, set: ColumnSet) {
    let case = format!("{name} {}", L::DATASET.folder());
    let copied = Copied::of(name);
    assert_eq!(copied.snapshot::<L>().state(), DayState::Sealed { generation: 0 }, "{case}");
    assert_eq!(copied.rows::<L>(), expected::<L>(1..=12, set), "{case}");
    assert_eq!(copied.faults::<L>(), [], "{case}");
    assert_eq!(seal::unsealed(copied.dir.path(), &copied.product).unwrap(), [], "{case}");
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<L>(&dir, noon());
    assert_eq!((opening, day.last_key()), (Opening::Reopened { records: 12 }, 12), "{case}");
    insert(&mut day, &L::make(14));
    seal_one(&dir, day);
    let (mut day, opening) = copied.open::<L>(&dir, tomorrow());
    assert_eq!(opening, Opening::Sealed { records: 13 }, "{case}");
    let is_kept_as_it_came = L::DATASET != Dataset::Trades;
    let late = if is_kept_as_it_came { 15 } else { 13 };
    assert_eq!(insert(&mut day, &L::make(late)), Inserted::Late, "{case}");
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged, sealed.generation), (14, 1, 1), "{case}");
    let keys: Vec<u64> = if is_kept_as_it_came { (1..=12).chain([14, 15]).collect() } else { (1..=14).collect() };
    assert_eq!(copied.rows::<L>(), expected::<L>(keys, set), "{case}");
    assert_eq!(copied.faults::<L>(), [], "{case}");
}

#[test]
fn a_sealed_day_is_read_opened_again_and_replaced() {
    for (name, set) in [("SEALED", ColumnSet::Full), ("CORE-SEALED", ColumnSet::Core)] {
        sealed_day_is_read_and_replaced::<Trades>(name, set);
        sealed_day_is_read_and_replaced::<Md>(name, set);
        sealed_day_is_read_and_replaced::<TickerTrades>(name, set);
    }
}

#[test]
fn a_sealed_day_needs_nothing_but_its_columns() {
    let copied = Copied::of("SEALED");
    std::fs::remove_file(copied.path(Dataset::Trades, "commit")).unwrap();
    let bare = copied.snapshot::<Trades>();
    assert_eq!((bare.state(), bare.column_set()), (DayState::Bare, ColumnSet::Full));
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=12, ColumnSet::Full));
}

fn sealed_day_with_a_late_record<L: Rows>() {
    for copied in [Copied::of("SEALED-LATE"), Copied::as_on_the_same_boot("SEALED-LATE")] {
        let keys = [1, 2, 3, 5, 6, 7, 8, 9, 12];
        assert_eq!(copied.rows::<L>(), expected::<L>(keys, ColumnSet::Full), "{}", L::DATASET.folder());
        assert_eq!((copied.snapshot::<L>().late().len(), copied.faults::<L>()), (1, vec![]));
        let (dir, product) = (copied.data_dir(), &copied.product);
        // Of a trade the columns tell whether the day has it; of a ticker the last key does.
        let last_key = if L::DATASET == Dataset::Trades { 9 } else { 12 };
        assert_eq!(catalog::last_key(copied.dir.path(), product, L::DATASET).unwrap(), Some(last_key));
        let (mut day, opening) = copied.open::<L>(&dir, tomorrow());
        assert_eq!((opening, day.late_count()), (Opening::Sealed { records: 8 }, 1));
        assert_eq!(insert(&mut day, &L::make(12)), Inserted::Duplicate, "it is known again");
        assert_eq!(insert(&mut day, &L::make(13)), Inserted::Late);
        let sealed = seal_one(&dir, day);
        assert_eq!((sealed.records, sealed.merged, sealed.generation), (10, 2, 1));
        assert_eq!(copied.rows::<L>(), expected::<L>(keys.into_iter().chain([13]), ColumnSet::Full));
        assert_eq!(copied.faults::<L>(), []);
    }
}

#[test]
fn late_records_of_a_sealed_day_are_read_kept_and_merged() {
    sealed_day_with_a_late_record::<Trades>();
    sealed_day_with_a_late_record::<Md>();
    sealed_day_with_a_late_record::<TickerTrades>();
}

#[test]
fn late_records_of_a_live_day_are_read_kept_and_merged() {
    // Another machine's reader counts the one that was durable. A writer takes every one that is whole.
    for (copied, seen) in [(Copied::of("LIVE-LATE"), 1), (Copied::as_on_the_same_boot("LIVE-LATE"), 2)] {
        let snapshot = copied.snapshot::<Trades>();
        assert_eq!((snapshot.base_count(), snapshot.late().len(), snapshot.count()), (8, seen, 9));
        assert_eq!(snapshot.row(5).unwrap().maker_order_id.is_nil(), seen == 1, "the better copy came second");
        assert_eq!(snapshot.row(5).unwrap().trade_id, 6);
        let dir = copied.data_dir();
        let (mut day, opening) = copied.open::<Trades>(&dir, noon());
        assert!(matches!(opening, Opening::Continued { records: 8, given_up: 0, .. }), "{opening:?}");
        assert_eq!(day.late_count(), 2);
        assert_eq!(insert(&mut day, &trade(6)), Inserted::Duplicate);
        let sealed = seal_one(&dir, day);
        assert_eq!((sealed.records, sealed.merged, sealed.generation), (9, 2, 1));
        assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=9, ColumnSet::Full));
        assert_eq!(copied.faults::<Trades>(), []);
    }
}

#[test]
fn a_replacement_that_was_cut_short_is_read_and_finished() {
    let copied = Copied::of("REPLACING");
    let snapshot = copied.snapshot::<Trades>();
    assert_eq!((snapshot.state(), snapshot.late().len()), (DayState::Sealed { generation: 1 }, 0));
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=9, ColumnSet::Full));
    assert_eq!(copied.faults::<Trades>(), [], "the new files count, and the old ones' late records no more");
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<Trades>(&dir, tomorrow());
    assert_eq!(opening, Opening::Sealed { records: 9 });
    assert!(copied.files(Dataset::Trades).iter().all(|name| !name.ends_with(".tmp") && !name.starts_with("late")));
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=9, ColumnSet::Full));
    insert(&mut day, &trade(11));
    assert_eq!(seal_one(&dir, day).generation, 2);
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>((1..=9).chain([11]), ColumnSet::Full));
    assert_eq!(copied.faults::<Trades>(), []);
}

#[test]
fn a_witness_counts_on_the_boot_that_wrote_it_and_nowhere_else() {
    let copied = Copied::of("WITNESS");
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(2..=11, ColumnSet::Full));
    let dir = copied.data_dir();
    let (day, opening) = copied.open::<Trades>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: 10, given_up: 4, trusted: Trusted::Durable });
    assert_eq!(day.late_count(), 1, "a late record proves itself");
    let copied = Copied::as_on_the_same_boot("WITNESS");
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(2..=11, ColumnSet::Full), "a flush has failed");
    let dir = copied.data_dir();
    let (day, opening) = copied.open::<Trades>(&dir, noon());
    assert_eq!(opening, Opening::Continued { records: 14, given_up: 0, trusted: Trusted::Committed });
    let sealed = seal_one(&dir, day);
    assert_eq!((sealed.records, sealed.merged), (15, 1));
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=15, ColumnSet::Full));
    assert_eq!(copied.faults::<Trades>(), []);
}

#[test]
fn damage_is_found_and_a_damaged_day_is_set_aside() {
    let quarantined = |copied: &Copied, says: &str| {
        let dir = copied.data_dir();
        let files = copied.files(Dataset::Trades).len();
        let (mut day, opening) = copied.open::<Trades>(&dir, noon());
        let Opening::Quarantined { why, moved_to } = opening else { panic!("{}: {opening:?}", copied.product) };
        assert!(why.contains(says), "{why}");
        assert_eq!(std::fs::read_dir(moved_to).unwrap().count(), files, "every file is kept");
        assert_eq!(insert(&mut day, &trade(1)), Inserted::Appended, "an empty day begins");
    };
    let byte = Copied::of("DAMAGED-BYTE");
    let faults = byte.faults::<Trades>();
    assert_eq!(faults.iter().map(|fault| fault.path.clone()).collect::<Vec<_>>(), [byte.path(Dataset::Trades, "trade_price")]);
    quarantined(&byte, "its first 10 records are not those that were made durable");
    let length = Copied::of("DAMAGED-LENGTH");
    let refused = Snapshot::<Trades>::open(length.dir.path(), &length.product, DAY).unwrap_err();
    assert!(refused.to_string().contains("88 bytes do not hold 12 records"), "{refused}");
    quarantined(&length, "sealed with 96 bytes, found with 88");
    let page = Copied::of("DAMAGED-PAGE");
    assert!(Snapshot::<Trades>::open_on(Some(BOOT), page.dir.path(), &page.product, DAY).unwrap().is_none());
    quarantined(&page, "neither identity nor state is whole");
}

#[test]
fn a_day_of_another_version_of_the_format_is_no_absent_day_and_is_kept() {
    for name in ["LIVE", "SEALED"] {
        let copied = Copied::of(name);
        let path = copied.path(Dataset::Trades, "commit");
        let mut page = std::fs::read(&path).unwrap();
        // The identity's version, and the checksum of its sector.
        page[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let sum = crc32c::crc32c(&page[..508]);
        page[508..512].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, page).unwrap();
        let refused = Snapshot::<Trades>::open_on(Some(BOOT), copied.dir.path(), &copied.product, DAY).unwrap_err();
        assert!(refused.to_string().contains("version 2 of the format"), "{name}: {refused}");
        let (dir, files) = (copied.data_dir(), copied.files(Dataset::Trades).len());
        let (_, opening) = copied.open::<Trades>(&dir, noon());
        let Opening::Quarantined { why, moved_to } = opening else { panic!("{name}: {opening:?}") };
        assert!(why.contains("version 2 of the format"), "{name}: {why}");
        assert_eq!(std::fs::read_dir(moved_to).unwrap().count(), files, "{name}: every file is kept");
    }
}

#[test]
fn a_day_keeps_the_spelling_of_its_date() {
    let copied = Copied::of("DMY");
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=10, ColumnSet::Full));
    assert_eq!(copied.rows::<TickerTrades>(), expected::<TickerTrades>(1..=12, ColumnSet::Full));
    let before = copied.files(Dataset::Trades);
    let dir = copied.data_dir();
    let (mut day, opening) = copied.open::<Trades>(&dir, noon());
    assert!(matches!(opening, Opening::Continued { records: 10, .. }), "{opening:?}");
    insert(&mut day, &trade(11));
    seal_one(&dir, day);
    assert_eq!(copied.files(Dataset::Trades), before);
    assert!(before.iter().all(|name| name.ends_with(&format!("{}.bin", DAY.spelled(DateFormat::Dmy)))));
    assert_eq!(copied.rows::<Trades>(), expected::<Trades>(1..=11, ColumnSet::Full));
}

#[test]
fn a_trade_from_rest_is_completed_and_a_stale_ticker_dropped() {
    let copied = Copied::of("LIVE");
    let dir = copied.data_dir();
    let (mut day, _) = copied.open::<Trades>(&dir, noon());
    let without_ids = coltape::internals::record::Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, ..trade(11) };
    assert_eq!(insert(&mut day, &without_ids), Inserted::Appended);
    assert_eq!(insert(&mut day, &trade(11)), Inserted::Late, "it brings the order ids");
    let (mut day, _) = copied.open::<Md>(&dir, noon());
    assert_eq!(insert(&mut day, &ticker(9)), Inserted::Duplicate);
}
