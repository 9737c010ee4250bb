//! Further kinds of damage: what lies in the place of a file, live days, folders, exact texts, an archive, and what the lines of a journal must have beside
//! them.

use std::path::Path;

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Means;
use coltape::internals::schema::{ColumnSet, Dataset};
use coltape::internals::store::OWN_FOLDER;
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::{ArchiveConfig, archive};

use super::damage::{
    Case, Damage, Found, HOUR, Harm, SECOND, choose, day_of, end, files, harm, is_live, is_replacing, journals, pick, rewrite, stop_says,
};
use super::tape::{NOW, State, date, file, make_fetched};

use Damage::{Files, Told};

/// Every kind of damage, by name.
pub(crate) const KINDS: &[(&str, Damage)] = &[
    ("a pipe in the place of a file", Files(|case| replaced(case, pipe))),
    ("a folder in the place of a file", Files(|case| replaced(case, |path| std::fs::create_dir(path).expect("made")))),
    ("an endless device in the place of a file", Files(|case| replaced(case, device))),
    ("a pipe in the place of a journal", Files(|case| journal_replaced(case, pipe))),
    ("an endless device in the place of a journal", Files(|case| journal_replaced(case, device))),
    ("a journal without a line", Files(|case| journal_replaced(case, |path| std::fs::write(path, "").expect("written")))),
    ("a column of a live day cut", Files(cut_live)),
    ("a bit of a column of a live day", Files(flip_live)),
    ("the commit mark of a live day raised", Files(raise_mark)),
    ("a product's folder under another name", Files(|case| product_folder(case, true))),
    ("a product's folder copied to another name", Files(|case| product_folder(case, false))),
    ("the folders of two datasets exchanged", Files(exchanged_datasets)),
    ("a commit page of another dataset", Files(page_of_another_dataset)),
    ("a digit of an exact text", Files(exact_text)),
    ("the files of rejects removed", Files(no_rejects)),
    ("the product data damaged", Files(product_data)),
    (
        "a file of an archive damaged",
        Files(|case| archived(case, |path, _| path.extension().is_some_and(|end| end == "parquet" || end == "rest"))),
    ),
    (
        "the line of an archived day damaged",
        Files(|case| archived(case, |path, _| path.parent().is_some_and(|folder| folder.ends_with("archived")))),
    ),
    ("the lines of archived days removed", Files(archived_and_forgotten)),
    ("a file of an archived day that lies here", Files(archived_and_here)),
    ("figures of a capture that do not add up", Told(wrong_figures)),
    ("trades given up that no line names", Told(|case| stop_says(case, "received=47,shed=7"))),
    ("the trade that a ticker names is missing at the end", Told(|case| named_by_a_ticker(case, false))),
    ("the trade that a ticker names is missing behind some that REST supplied", Told(|case| named_by_a_ticker(case, true))),
    ("the first trades of a series are missing", Told(|case| series(case, true))),
    ("the last trades of a series are missing", Told(|case| series(case, false))),
    ("a gap behind a take-over at midnight and a kill", Told(gap_behind_a_take_over)),
    ("a gap of a product that was off the list for an hour", Told(gap_in_an_hour_off_the_list)),
    ("a gap of a product that is on the list", Told(gap_of_a_listed_product)),
];

fn pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
}

fn device(path: &Path) {
    std::os::unix::fs::symlink("/dev/zero", path).expect("made");
}

/// Puts something else in the place of a day's file.
fn replaced(case: &mut Case<'_>, make: fn(&Path)) -> Option<Harm> {
    let found = pick(case, |found| !is_replacing(found) && (found.name != "late" || found.state == State::Late))?;
    std::fs::remove_file(&found.path).expect("removed");
    make(&found.path);
    harm(&found)
}

fn journal_replaced(case: &mut Case<'_>, make: fn(&Path)) -> Option<Harm> {
    let is_known = case.spec.options.columns == ColumnSet::Full && case.spec.clock_off == 0;
    let journals = journals(case);
    let path = case.rng.choice(&journals)?.clone();
    let own = UtcDay::parse(path.file_name()?.to_str()?.strip_prefix("journal.")?.strip_suffix(".jsonl")?).expect("a date");
    std::fs::remove_file(&path).expect("removed");
    make(&path);
    // A file without a line is as good as none: only records that were received on its day show that there was one.
    let is_empty = path.metadata().is_ok_and(|found| found.is_file());
    let of_day = case
        .spec
        .products
        .iter()
        .filter(|product| product.days.iter().any(|day| day.date == own && day.trades.iter().any(|trade| trade.recv.0 > 0)));
    let days: Vec<(ProductId, UtcDay)> = of_day.map(|product| (product.product.clone(), own)).collect();
    (!is_empty || is_known && !days.is_empty()).then_some(Harm { days, is_of_all: false, may_hold: false })
}

/// Gives how many records the columns of a day on disk have, by the hot sector of its page.
fn committed(case: &Case<'_>, found: &Found) -> usize {
    let page = file(&case.spec, case.dir, &found.product, found.dataset, "commit", found.date);
    let bytes = std::fs::read(page).expect("read");
    u64::from_le_bytes(bytes[512..520].try_into().expect("eight bytes")) as usize
}

fn width(found: &Found) -> usize {
    found.dataset.columns().iter().find(|column| column.name == found.name).expect("a column").kind.width()
}

fn is_live_column(found: &Found) -> bool {
    is_live(found) && found.name != "commit" && found.name != "late"
}

fn cut_live(case: &mut Case<'_>) -> Option<Harm> {
    let found = pick(case, is_live_column)?;
    let bytes = committed(case, &found) * width(&found);
    let left = case.rng.usize(..bytes);
    rewrite(&found.path, |bytes| bytes.truncate(left));
    harm(&found)
}

fn flip_live(case: &mut Case<'_>) -> Option<Harm> {
    let found = pick(case, |found| is_live_column(found) && found.state == State::Live)?;
    let bytes = committed(case, &found) * width(&found);
    let (at, bit) = (case.rng.usize(..bytes), case.rng.u8(..8));
    rewrite(&found.path, |bytes| bytes[at] ^= 1 << bit);
    harm(&found)
}

fn raise_mark(case: &mut Case<'_>) -> Option<Harm> {
    let found = pick(case, |found| found.name == "commit" && is_live(found))?;
    let higher = committed(case, &found) as u64 + *case.rng.choice(&[1, 2, 63, 1 << 20, 1 << 60])?;
    let page = std::fs::File::options().write(true).open(&found.path).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(&page, &higher.to_le_bytes(), 512).expect("written");
    harm(&found)
}

fn days_of(case: &Case<'_>, product: usize, name: &ProductId) -> Vec<(ProductId, UtcDay)> {
    case.spec.products[product].days.iter().map(|day| (name.clone(), day.date)).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("copied");
        }
    }
}

fn product_folder(case: &mut Case<'_>, is_moved: bool) -> Option<Harm> {
    let number = case.rng.usize(..case.spec.products.len());
    let (own, other) = (case.spec.products[number].product.clone(), ProductId::new("DOGE-USD").expect("a product"));
    let (from, to) = (case.dir.join(own.as_str()), case.dir.join(other.as_str()));
    if is_moved {
        std::fs::rename(&from, &to).expect("renamed")
    } else {
        copy_folder(&from, &to)
    }
    let mut days = days_of(case, number, &other);
    days.extend(days_of(case, number, &own).into_iter().filter(|_| is_moved));
    Some(Harm { days, is_of_all: false, may_hold: false })
}

fn exchanged_datasets(case: &mut Case<'_>) -> Option<Harm> {
    let number = case.rng.usize(..case.spec.products.len());
    let own = case.spec.products[number].product.clone();
    let folder = case.dir.join(own.as_str());
    let folders: Vec<_> = Dataset::ALL.iter().map(|dataset| folder.join(dataset.folder())).filter(|folder| folder.is_dir()).collect();
    let (one, other) = (case.rng.choice(&folders)?, case.rng.choice(&folders)?);
    if one == other {
        return None;
    }
    let aside = folder.join("aside");
    for (from, to) in [(one, &aside), (other, one), (&aside, other)] {
        std::fs::rename(from, to).expect("renamed");
    }
    Some(Harm { days: days_of(case, number, &own), is_of_all: false, may_hold: false })
}

fn page_of_another_dataset(case: &mut Case<'_>) -> Option<Harm> {
    let found = pick(case, |found| found.name == "commit")?;
    let others = files(case, |other| {
        other.name == "commit" && other.product == found.product && other.date == found.date && other.dataset != found.dataset
    });
    std::fs::copy(&case.rng.choice(&others)?.path, &found.path).expect("copied");
    harm(&found)
}

/// Changes one of the first digits of an exact text: its nearest f64 is another one then.
fn exact_text(case: &mut Case<'_>) -> Option<Harm> {
    let (product, day, trade) = case.spec.exact.clone()?;
    // Nobody knows to which series a text belongs, and the core has no f64.
    if case.spec.products.len() > 2 || case.spec.options.columns == ColumnSet::Core {
        return None;
    }
    let own = case.spec.products[product].days[day].date;
    let path = case.dir.join(OWN_FOLDER).join(format!("exact.{own}.jsonl"));
    let at = case.rng.usize(..8);
    rewrite(&path, |bytes| {
        let text = String::from_utf8(bytes.clone()).expect("text");
        let start = text.find(&trade).expect("the text") + trade.find('.').expect("a point") + 1 + at;
        bytes[start] = if bytes[start] == b'7' { b'3' } else { b'7' };
    });
    Harm::of(&case.spec.products[product].product, &[own])
}

fn no_rejects(case: &mut Case<'_>) -> Option<Harm> {
    if case.spec.rejected == 0 {
        return None;
    }
    for entry in std::fs::read_dir(case.dir.join(OWN_FOLDER)).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("rejects.") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    Harm::of_tape()
}

/// What products are is no record: nothing that was captured is lost with it.
fn product_data(case: &mut Case<'_>) -> Option<Harm> {
    rewrite(&case.dir.join(OWN_FOLDER).join("products.jsonl"), |bytes| {
        let at = bytes.len() / 2;
        bytes[at..].fill(0);
    });
    Harm::of_tape().map(|harm| Harm { may_hold: true, ..harm })
}

/// Archives the whole days of a tape beside it. Gives them; nothing where there is none.
fn move_away(case: &Case<'_>) -> Option<Vec<(ProductId, UtcDay)>> {
    let mut config = ArchiveConfig::new(case.dir, case.dir.with_extension("cold"), NOW);
    (config.older_than, config.apply) = (Some(std::time::Duration::ZERO), true);
    let report = archive(&config).expect("archived");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let days: Vec<(ProductId, UtcDay)> = report.days.iter().map(|day| (day.product.clone(), day.date)).collect();
    (!days.is_empty()).then_some(days)
}

fn all_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

/// Archives days, and damages one of the files that are fit.
fn archived(case: &mut Case<'_>, is_fit: fn(&Path, &Case<'_>) -> bool) -> Option<Harm> {
    let days = move_away(case)?;
    let mut all = all_files(&case.dir.with_extension("cold"));
    all.extend(all_files(&case.dir.join(OWN_FOLDER)));
    all.retain(|path| is_fit(path, case));
    let path = case.rng.choice(&all)?.clone();
    let rng = &mut *case.rng;
    match rng.u8(..3) {
        0 => std::fs::remove_file(&path).expect("removed"),
        1 => rewrite(&path, |bytes| bytes.truncate(rng.usize(..bytes.len() - 1))),
        _ => rewrite(&path, |bytes| {
            let at = rng.usize(..bytes.len() - 1);
            bytes[at] ^= 1 << rng.u8(..8);
        }),
    }
    // Which of the days it is, the name of the file says in one of several ways.
    let days = if days.len() == 1 { days } else { Vec::new() };
    Some(Harm { days, is_of_all: false, may_hold: false })
}

fn archived_and_forgotten(case: &mut Case<'_>) -> Option<Harm> {
    let days = move_away(case)?;
    std::fs::remove_dir_all(case.dir.join(OWN_FOLDER).join("archived")).expect("removed");
    Some(Harm { days, is_of_all: false, may_hold: false })
}

fn archived_and_here(case: &mut Case<'_>) -> Option<Harm> {
    let before = files(case, |found| found.name != "late");
    let bytes: Vec<Vec<u8>> = before.iter().map(|found| std::fs::read(&found.path).expect("read")).collect();
    move_away(case)?;
    let gone: Vec<usize> = (0..before.len()).filter(|at| !before[*at].path.exists()).collect();
    let at = *case.rng.choice(&gone)?;
    std::fs::write(&before[at].path, &bytes[at]).expect("written");
    harm(&before[at])
}

fn wrong_figures(case: &mut Case<'_>) -> Option<Harm> {
    // A few messages may have been rejected that never were trades.
    let change = *case.rng.choice(&["written=41", "written=30", "received=0", "fetched=9", "duplicate=1"])?;
    stop_says(case, change)
}

fn named_by_a_ticker(case: &mut Case<'_>, is_behind_fetched: bool) -> Option<Harm> {
    let is_told = case.spec.options.columns == ColumnSet::Full && case.spec.datasets.contains(&Dataset::Md) && case.spec.clock_off == 0;
    let at = choose(case, |spec, product, day| is_told && day + 1 == spec.products[product].days.len())?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let named = day.tickers.iter().map(|ticker| ticker.trade_id).max().filter(|id| *id > 0)?;
    day.trades.retain(|trade| trade.trade_id < named);
    let last = day.trades.last()?;
    // Who received it as it happened received the ticker, too. A day with few trades left could not be in each of the states.
    (last.recv.0 > 0 && last.origin.means() == Some(Means::Live) && day.trades.len() > 4).then_some(())?;
    if is_behind_fetched {
        // Late records have no place for an origin of their own choice in each of the states, so those before stay as they were received.
        let (count, fetched) = (day.trades.len(), case.rng.usize(1..=2));
        day.trades[count - fetched..].iter_mut().for_each(make_fetched);
        day.trades.iter().any(|trade| trade.recv.0 > 0 && trade.origin.means() == Some(Means::Live)).then_some(())?;
    }
    let own = day.date;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

fn series(case: &mut Case<'_>, is_first: bool) -> Option<Harm> {
    let number = case.spec.products.iter().position(|product| product.product.as_str() == "BTC-USD~2")?;
    let ids = |number: usize, case: &Case<'_>| {
        let trades = || case.spec.products[number].days.iter().flat_map(|day| &day.trades).map(|trade| trade.trade_id);
        trades().min().zip(trades().max())
    };
    let ((first, _), (_, last)) = (ids(number, case)?, ids(0, case)?);
    let (first_id, last_id) =
        if is_first { (first.checked_sub(case.rng.u64(1..4)).filter(|id| *id > 0)?, last) } else { (first, last + case.rng.u64(1..9)) };
    let days = &case.spec.products[if is_first { number } else { 0 }].days;
    let own = if is_first { days.first()?.date } else { days.last()?.date };
    let product = case.spec.products[if is_first { number } else { 0 }].product.clone();
    let fields = format!(r#""product":"BTC-USD","before":"BTC-USD","series":"BTC-USD~2","last_id":{last_id},"first_id":{first_id}"#);
    case.lines.add(UnixNanos(end(case).0 - 2 * SECOND), "series_restarted", &fields);
    Harm::of(&product, &[own])
}

/// A capture takes over from another around a midnight and is killed behind the next one, over which trades are missing: it was running then.
fn gap_behind_a_take_over(case: &mut Case<'_>) -> Option<Harm> {
    let days =
        case.spec.products.iter().find(|product| product.days.len() == 3 && case.spec.absence.is_none() && case.spec.unlisted.is_none());
    let product = days?.product.clone();
    let number = case.spec.products.iter().position(|of| of.product == product)?;
    let day = &mut case.spec.products[number].days[1];
    day.trades.pop();
    let own = day.date;
    let (taken, killed) = (own.start().0, date(2).start().0);
    case.lines.0.retain(|(_, line)| !line.contains("capture_stopped"));
    case.lines.started(UnixNanos(taken - 5 * SECOND));
    case.lines.stopped(UnixNanos(taken + 5 * SECOND), case.spec.rejected, "");
    case.lines.add(UnixNanos(killed + 60 * SECOND), "flush_recovered", "");
    case.lines.started(UnixNanos(killed + HOUR / 2));
    case.lines.stopped(UnixNanos(date(3).start().0 + HOUR), 0, "");
    Harm::of(&product, &[own])
}

fn gap_in_an_hour_off_the_list(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        spec.names_products && spec.unlisted.is_none() && day > 0 && spec.products[product].days[day].trades.len() > 6
    })?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let (number, own) = (day.trades.len() / 2, day.date);
    let removed = day.trades.remove(number);
    let product = case.spec.products[at.0].product.clone();
    for (event, time) in [("product_removed", removed.time.0 - SECOND), ("product_added", removed.time.0 + HOUR)] {
        case.lines.add(UnixNanos(time), event, &format!(r#""product":"{product}""#));
    }
    Harm::of(&product, &[own])
}

/// Another product is off the list over a midnight over which trades are missing.
fn gap_of_a_listed_product(case: &mut Case<'_>) -> Option<Harm> {
    let (unlisted, evening) = case.spec.unlisted?;
    let at = choose(case, |spec, product, day| product != unlisted && spec.products[product].days[day].date == evening)?;
    let day = &mut case.spec.products[at.0].days[at.1];
    day.trades.pop();
    let (product, own) = (day_of(&case.spec, at).0.clone(), evening);
    Harm::of(&product, &[own])
}

/// A value with more digits than an f64 gives back, and its text. The f64 needs more than 15 digits: of one with fewer nothing shows that the text is of its
/// record, and not of a message that was refused.
pub(crate) fn exact_value(rng: &mut fastrand::Rng) -> (Decimal, String) {
    loop {
        let digits: String = (0..24).map(|_| char::from(b'1' + rng.u8(..9))).collect();
        let text = format!("{}.{digits}", rng.u32(1..9));
        // A point, and at least 16 digits.
        if text.parse::<f64>().expect("a number").to_string().len() > 16 {
            return (coltape::internals::decimal::parse(text.as_bytes()).expect("a decimal"), text);
        }
    }
}
