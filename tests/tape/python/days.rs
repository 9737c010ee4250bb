//! `coltape.py` on days in every state: the golden days of `tests/data/v1`, value by value the same as `coltape query --raw`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coltape::internals::schema::{ColumnSet, Dataset, Kind, Trades};
use coltape::internals::store::{Day, StoreOptions, Syncer, seal};
use coltape::internals::time::{DateFormat, UnixNanos};

use super::{compare_with_query, output_of, python, root, script};
use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, data_dir, insert, prints, product, store_all};

const DATE: &str = "2025-06-07";

/// Whether a page is made to say that it was written on this boot, in the copied file: then `committed` counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Boot {
    Another,
    This,
}

/// Copies golden days to a data directory of their own.
fn golden(name: &str, boot: Boot) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = root().join("tests/data/v1").join(name);
    for folder in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = dir.path().join(name).join(folder.file_name().unwrap());
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let copy = to.join(file.file_name().unwrap());
            fs::write(&copy, fs::read(&file).unwrap()).unwrap();
            if boot == Boot::This && file.file_name().unwrap().to_str().unwrap().starts_with("commit.") {
                pretend_this_boot(&copy);
            }
        }
    }
    dir
}

fn pretend_this_boot(page: &Path) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap();
    let found = fs::metadata(page).unwrap();
    let words = [(boot >> 64) as u64, boot as u64, found.dev(), found.ino()];
    let mut bytes = fs::read(page).unwrap();
    for (at, word) in words.into_iter().enumerate() {
        bytes[560 + at * 8..568 + at * 8].copy_from_slice(&word.to_le_bytes());
    }
    fs::write(page, bytes).unwrap();
}

#[test]
fn every_golden_day_has_the_values_that_query_prints() {
    // Product, datasets, records where only what is on disk counts, and where what was committed counts.
    let cases: [(&str, &[&str], usize, usize); 9] = [
        ("LIVE", &["trades", "md", "ticker_trades"], 10, 15),
        ("SEALED", &["trades", "md", "ticker_trades"], 12, 12),
        ("SEALED-LATE", &["trades", "md", "ticker_trades"], 9, 9),
        ("LIVE-LATE", &["trades"], 9, 9),
        ("REPLACING", &["trades"], 9, 9),
        ("WITNESS", &["trades"], 10, 10),
        ("CORE-LIVE", &["trades", "md", "ticker_trades"], 10, 15),
        ("CORE-SEALED", &["trades", "md", "ticker_trades"], 12, 12),
        ("DAMAGED-BYTE", &["trades"], 10, 15),
    ];
    for (name, datasets, durable, committed) in cases {
        for (boot, records) in [(Boot::Another, durable), (Boot::This, committed)] {
            let dir = golden(name, boot);
            for dataset in datasets {
                assert_eq!(compare_with_query(dir.path(), name, dataset, DATE), records, "{name} {dataset} {boot:?}");
            }
        }
    }
    let dir = golden("DMY", Boot::Another);
    assert_eq!(compare_with_query(dir.path(), "DMY", "trades", DATE), 10);
    assert_eq!(compare_with_query(dir.path(), "DMY", "ticker_trades", DATE), 12);
}

#[test]
fn a_slot_that_names_fewer_records_than_the_state_does_not_count() {
    let dir = golden("LIVE", Boot::Another);
    let page = dir.path().join(format!("LIVE/TRADES/commit.{DATE}.bin"));
    let mut bytes = fs::read(&page).unwrap();
    // The state and its spare: the day grew from 12 records, and the slots are of before.
    for sector in [4, 5] {
        let sector = &mut bytes[sector * 512..][..512];
        sector[8..16].copy_from_slice(&12_u64.to_le_bytes());
        let crc = crc32c::crc32c(&sector[..508]);
        sector[508..].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&page, bytes).unwrap();
    assert_eq!(compare_with_query(dir.path(), "LIVE", "trades", DATE), 12);
}

#[test]
fn a_day_without_a_page_is_read_from_its_columns() {
    for (name, date_format) in [("SEALED", DateFormat::Iso), ("CORE-SEALED", DateFormat::Iso), ("SEALED", DateFormat::Dmy)] {
        let dir = golden(name, Boot::Another);
        for dataset in Dataset::ALL {
            let folder = dir.path().join(name).join(dataset.folder());
            fs::remove_file(folder.join(format!("commit.{DATE}.bin"))).unwrap();
            for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let renamed = file.to_str().unwrap().replace(DATE, &FIRST_DAY.spelled(date_format));
                fs::rename(&file, renamed).unwrap();
            }
            assert_eq!(compare_with_query(dir.path(), name, dataset.name(), DATE), 12, "{name} {date_format:?}");
        }
    }
    // An extended column is missing: the others are not to be trusted, the core is.
    let dir = golden("SEALED", Boot::Another);
    let folder = dir.path().join("SEALED/TRADES");
    fs::remove_file(folder.join(format!("commit.{DATE}.bin"))).unwrap();
    fs::remove_file(folder.join(format!("trade_size_f64.{DATE}.bin"))).unwrap();
    assert_eq!(compare_with_query(dir.path(), "SEALED", "trades", DATE), 12);
}

#[test]
fn days_of_the_store_with_late_records_have_the_values_that_query_prints() {
    for columns in [ColumnSet::Full, ColumnSet::Core] {
        let dir = tempfile::tempdir().unwrap();
        let all = prints(1, 3000, UnixNanos(FIRST_DAY.next().start().0 - 1000 * 1_000_000_000), 1_000_000_000);
        let (late, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|print| print.trade.trade_id % 97 == 5);
        store_all(dir.path(), &others, StoreOptions::default().columns(columns));
        let data = data_dir(dir.path(), StoreOptions::default().columns(columns));
        let (mut day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, FIRST_DAY.next().start()).unwrap();
        let mut syncer = Syncer::new(std::sync::Arc::clone(&data));
        syncer.watch(day.files());
        let (first_day, _): (Vec<_>, Vec<_>) = late.iter().map(|print| print.trade).partition(|trade| trade.time.day() == FIRST_DAY);
        // The newest first, and some twice.
        for trade in first_day.iter().rev() {
            insert(&mut day, trade);
        }
        day.commit();
        syncer.cycle().unwrap();
        assert_eq!(compare_with_query(dir.path(), "BTC-USD", "trades", DATE), 1002, "{columns:?}");
        assert_eq!(compare_with_query(dir.path(), "BTC-USD", "trades", "2025-06-08"), 1998 - (late.len() - first_day.len()), "{columns:?}");
        drop(day.close());
    }
}

#[test]
fn a_day_that_is_made_while_its_page_is_looked_for_is_no_bare_day() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_dir(dir.path(), StoreOptions::default());
    let (day, _) = Day::<Trades>::open(&data, &product(), FIRST_DAY, FIRST_DAY.start()).unwrap();
    day.files().provision().unwrap();
    // What is tried where no page was found; meanwhile there is one.
    let open = "import coltape, sys\nday = coltape.day(sys.argv[1], 'BTC-USD', 'trades', '2025-06-07')\nprint(day._open_bare(False), len(day), day.state)";
    assert_eq!(output_of(python().args(["-c", open]).arg(dir.path())), "False 0 live\n");
}

#[test]
fn a_day_that_is_replaced_while_it_is_opened_is_opened_again() {
    let (before, after) = (golden("SEALED-LATE", Boot::Another), golden("SEALED-LATE", Boot::Another));
    let data = data_dir(after.path(), StoreOptions::default());
    let product = "SEALED-LATE".parse().unwrap();
    let (day, _) = Day::<Trades>::open(&data, &product, FIRST_DAY, FIRST_DAY.next().start()).unwrap();
    assert_eq!(seal::seal(&data, vec![day.close()])[0].sealed.as_ref().unwrap().generation, 1, "the late record takes its place");
    let said = output_of(script("changes.py").arg("replaced").args([before.path(), after.path()]).args(["SEALED-LATE", DATE]));
    assert_eq!(said, "sealed 1 False 1 2 3 5 6 7 8 9 12\n");
}

#[test]
fn a_replacement_that_is_finished_and_a_state_that_is_written_meanwhile_are_waited_for() {
    let dir = golden("REPLACING", Boot::Another);
    let said = output_of(script("changes.py").arg("finished").args([dir.path(), dir.path()]).args(["REPLACING", DATE]));
    assert_eq!(said, "sealed 1 False 1 2 3 4 5 6 7 8 9\n");
    let dir = golden("LIVE", Boot::This);
    let said = output_of(script("changes.py").arg("torn").args([dir.path(), dir.path()]).args(["LIVE", DATE]));
    assert_eq!(said, "live 0 False 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n");
}

#[test]
fn a_record_that_lies_in_place_of_one_that_was_given_up_is_new() {
    let dir = golden("LIVE", Boot::This);
    let said = output_of(script("changes.py").arg("given-up").args([dir.path(), dir.path()]).args(["LIVE", DATE]));
    assert_eq!(said, "live 0 True 1 2 3 4 5 6 7 8 9 10 11 12 13 14 16\n");
}

#[test]
fn a_damaged_day_is_read_as_query_reads_it_or_refused_as_query_refuses_it() {
    let said = output_of(script("damage.py").arg(env!("CARGO_BIN_EXE_coltape")).arg(root().join("tests/data/v1")).args(["1", "80"]));
    let words: Vec<&str> = said.split_whitespace().collect();
    let [read, refused] = [words[0], words[2]].map(|word| word.parse::<u32>().unwrap());
    assert!(read > 10 && refused > 10 && read + refused == 80, "{said}");
}

#[test]
fn the_table_of_columns_is_that_of_the_store() {
    let mut want = String::new();
    for dataset in Dataset::ALL {
        for column in dataset.columns() {
            let kind = match column.kind {
                Kind::U32 => "<u4",
                Kind::U64 => "<u8",
                Kind::F32 => "<f4",
                Kind::F64 => "<f8",
                Kind::Uuid => "|V16",
            };
            let set = if column.set == ColumnSet::Core { "True" } else { "False" };
            want += &format!("{} {} {kind} {set}\n", dataset.name(), column.name);
        }
    }
    let print = "import coltape\nfor dataset in ['md', 'ticker_trades', 'trades']:\n    for c in coltape.COLUMNS[dataset]: print(dataset, c.name, c.dtype.str, c.is_core)";
    assert_eq!(output_of(python().args(["-c", print])), want);
}

#[test]
fn what_cannot_be_read_is_said_in_one_line_with_what_to_do() {
    let said = |dir: &Path, args: &[&str]| {
        let output = python().arg(root().join("scripts/coltape.py")).arg(dir).args(args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let dir = golden("SEALED", Boot::Another);
    let empty = tempfile::tempdir().unwrap();
    let cases: [(&Path, &[&str], &str); 8] = [
        (dir.path(), &["SEALED", "2025-06-08"], "has no trades of SEALED on 2025-06-08: there is 2025-06-07"),
        (dir.path(), &["SEALD", DATE], "did you mean SEALED?"),
        (dir.path(), &["../SEALED", DATE], "has no product ../SEALED"),
        (dir.path(), &["SEALED", "yesterday"], "is not a date such as 2026-11-29"),
        (dir.path(), &["SEALED", DATE, "--columns", "price"], "has no column price: there are trade_id"),
        (empty.path(), &["BTC-USD", DATE], "it is no data directory of a capture"),
        (empty.path(), &[], "it is no data directory of a capture"),
        (Path::new("/nowhere"), &[], "/nowhere: No such file or directory"),
    ];
    for (dir, args, want) in cases {
        let (code, text) = said(dir, args);
        assert!(code == 1 && text.contains(want) && text.lines().count() == 1, "{args:?}: {code} {text}");
    }
    assert_eq!(said(dir.path(), &["SEALED", DATE, "--head", "-1"]).0, 2);
    for (name, want) in [("DAMAGED-LENGTH", "do not hold 12 records: see coltape verify"), ("DAMAGED-PAGE", "its page cannot be read")] {
        let dir = golden(name, Boot::Another);
        let (code, text) = said(dir.path(), &[name, DATE]);
        assert!(code == 1 && text.contains(want) && text.contains(name) && text.lines().count() == 1, "{code} {text}");
        let query = coltape().args(["query", name, "--data-dir"]).arg(dir.path()).output().unwrap();
        assert_eq!(query.status.code(), Some(1), "query refuses it as well");
    }
    let gone = golden("SEALED", Boot::Another);
    fs::remove_file(gone.path().join(format!("SEALED/TRADES/trade_nanos.{DATE}.bin"))).unwrap();
    let (code, text) = said(gone.path(), &["SEALED", DATE]);
    assert!(code == 1 && text.contains("trade_nanos.2025-06-07.bin: cannot be opened"), "{code} {text}");
}

#[test]
fn a_day_of_a_later_version_of_the_format_and_a_python_without_numpy_are_told_in_one_line() {
    let dir = golden("SEALED", Boot::Another);
    let path = dir.path().join(format!("SEALED/TRADES/commit.{DATE}.bin"));
    let mut page = fs::read(&path).unwrap();
    page[8..12].copy_from_slice(&2u32.to_le_bytes());
    let crc = crc32c::crc32c(&page[..508]);
    page[508..512].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, page).unwrap();
    let run = |options: &[&str]| {
        let output = python().args(options).arg(root().join("scripts/coltape.py")).arg(dir.path()).args(["SEALED", DATE]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let later = run(&[]);
    assert!(later.contains("version 2 of the format") && later.contains("reads version 1") && later.lines().count() == 1, "{later}");
    // Without the packages of the machine.
    let bare = run(&["-S"]);
    assert!(bare.contains("needs numpy: python3 -m pip install numpy") && bare.lines().count() == 1, "{bare}");
}

#[test]
fn the_command_line_lists_the_days_and_prints_the_first_or_last_records() {
    let dir = golden("SEALED-LATE", Boot::Another);
    let run = |args: &[&str]| output_of(python().arg(root().join("scripts/coltape.py")).arg(dir.path()).args(args));
    let list = run(&[]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["product", "dataset", "date", "state", "records", "late"]);
    assert_eq!(rows[1], ["SEALED-LATE", "trades", DATE, "sealed", "9", "1"]);
    assert_eq!(rows.len(), 4);
    let text = run(&["SEALED-LATE", DATE, "--columns", "time,trade_id,trade_side,maker_order_id", "--tail", "1"]);
    let last: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(last, ["2025-06-07T12:00:12.000000084", "12", "buy", "00000000-0000-000c-0000-0000000a11ce"]);
    assert_eq!(run(&["SEALED-LATE", DATE, "--head", "3"]).lines().count(), 4);
}

#[test]
fn it_is_written_for_the_oldest_python_that_it_names() {
    let parse = "import ast, sys\nast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))";
    output_of(python().args(["-c", parse]).arg(root().join("scripts/coltape.py")));
}
