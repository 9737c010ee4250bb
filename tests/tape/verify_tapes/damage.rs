//! What can go wrong with a tape, each kind once. What is left out, because nothing on the disk can show it:
//!
//! - a forgery of everything: records, checksums and journal changed so that they agree;
//! - a digit or a letter changed inside a text of a journal line, or whole lines taken out of it that no other line and no file belies: the journal has no
//!   checksums;
//! - the newest records of a live day that are only committed: they have no checksum yet, and the day is not called whole;
//! - the hot sector of a page whose state does not say that it is zero: it changes with every commit;
//! - a trade dated wrong by less than the exchange's clock may fall, or the very last one of a tape dated later than it happened;
//! - a trade dated wrong by minutes where its ticker says the same, or where the trades beside it came so seldom, or were received so long ago, that a step
//!   of the exchange's clock explains it as well, or where a capture found its clock and the exchange's apart.

use std::path::{Path, PathBuf};

use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::Dataset;
use coltape::internals::store::OWN_FOLDER;
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::internals::verify::Verdict;

use super::tape::{DaySpec, Lines, Spec, State, append, date, file, make_fetched};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const HOUR: u64 = 3600 * SECOND;

/// A tape that is to be damaged.
pub(crate) struct Case<'a> {
    pub(crate) spec: Spec,
    pub(crate) lines: Lines,
    pub(crate) dir: &'a Path,
    pub(crate) rng: &'a mut fastrand::Rng,
}

/// What a damage must come to.
#[derive(Debug, Clone)]
pub(crate) struct Harm {
    /// Days that must not be called whole. All, where it is empty and `is_of_all` says so.
    pub(crate) days: Vec<(ProductId, UtcDay)>,
    pub(crate) is_of_all: bool,
    /// Whether `verify` may end with 0 nevertheless: what is lost cannot be known.
    pub(crate) may_hold: bool,
}

impl Harm {
    pub(super) fn of(product: &ProductId, dates: &[UtcDay]) -> Option<Self> {
        Some(Self { days: dates.iter().map(|date| (product.clone(), *date)).collect(), is_of_all: false, may_hold: false })
    }

    pub(super) fn of_tape() -> Option<Self> {
        Some(Self { days: Vec::new(), is_of_all: false, may_hold: false })
    }
}

/// When a damage is done: before the tape is written, so that its checksums fit, or to the files.
pub(crate) enum Damage {
    /// The records or the lines of the journal are others; what the journal says of the files is what they hold.
    Told(fn(&mut Case<'_>) -> Option<Harm>),
    /// The files hold other records than the journal says.
    Untold(fn(&mut Case<'_>) -> Option<Harm>),
    /// The files are damaged afterwards.
    Files(fn(&mut Case<'_>) -> Option<Harm>),
}

use Damage::{Files, Told, Untold};

/// Kinds of damage, by name.
pub(crate) const KINDS: &[(&str, Damage)] = &[
    // Ids, times and days.
    ("a trade is dated long ago", Told(|case| misdate(case, |case, _| date(0).0 - case.rng.u32(30..4000), false))),
    ("a trade is dated the day before", Told(|case| misdate(case, |_, day| day - 1, false))),
    ("a trade is dated days later", Told(|case| misdate(case, |case, day| day + case.rng.u32(1..6), false))),
    ("REST dates a trade wrong", Told(|case| misdate(case, |case, day| day - case.rng.u32(1..400), true))),
    ("the first trades of a tape are dated a day before", Told(first_ones_misdated)),
    ("a trade is stored again on another day", Told(stored_again)),
    ("a trade is dated hours later within its day", Told(leap_within_a_day)),
    ("a trade is dated minutes off within its day", Told(minutes_off)),
    ("a ticker dates its trade minutes off", Told(ticker_minutes_off)),
    ("a trade in the middle is missing", Told(|case| drop_trade(case, Place::Middle))),
    ("the first trade of a day is missing", Told(|case| drop_trade(case, Place::First))),
    ("the last trade of a day is missing", Told(|case| drop_trade(case, Place::Last))),
    ("the last trade of the tape is missing", Untold(|case| drop_trade(case, Place::VeryLast))),
    ("the first trade of the tape is missing", Untold(|case| drop_trade(case, Place::VeryFirst))),
    ("a ticker is missing", Untold(drop_ticker)),
    ("a ticker denies its trade", Told(deny_trade)),
    // Files.
    ("a bit of a column", Files(|case| flip(case, Some("trade_id"), false))),
    ("a bit of any file of a sealed day", Files(|case| flip(case, None, false))),
    ("a bit of a commit page", Files(|case| flip(case, Some("commit"), false))),
    ("a bit of an order id", Files(|case| flip(case, Some("maker_order_id"), false))),
    ("a bit of a late record", Files(|case| flip(case, Some("late"), false))),
    ("a column cut", Files(|case| resize(case, -1))),
    ("a column made longer", Files(|case| resize(case, 1))),
    ("a column removed", Files(|case| remove(case, |name| name != "commit" && name != "late"))),
    ("a commit page removed", Files(|case| remove(case, |name| name == "commit"))),
    ("the late records removed", Files(|case| remove(case, |name| name == "late"))),
    ("the late records cut", Files(cut_late)),
    ("a commit page and an extended column removed", Files(|case| remove(case, |name| name == "commit" || name.ends_with("_f64")))),
    ("a commit page and the time removed", Files(|case| remove(case, |name| matches!(name, "commit" | "time" | "trade_time")))),
    ("a commit page removed and an order id changed", Files(page_gone_and_order_id)),
    ("a commit page cut", Files(|case| overwrite_page(case, |page| page.truncate(page.len() / 2)))),
    ("a commit page of zeroes", Files(|case| overwrite_page(case, |page| page.fill(0)))),
    ("a torn sector of a commit page", Files(torn_sector)),
    ("a column of another day", Files(|case| swap(case, Swap::Days))),
    ("a column of another product", Files(|case| swap(case, Swap::Products))),
    ("a commit page of another day", Files(|case| swap(case, Swap::Pages))),
    ("a column of its own dataset", Files(|case| swap(case, Swap::Columns))),
    ("a day renamed", Files(|case| move_day(case, true))),
    ("a day copied to another date", Files(|case| move_day(case, false))),
    ("a day in the other spelling, too", Files(other_spelling)),
    ("the commit mark of a live day lowered", Files(lower_mark)),
    // Folders.
    ("a day removed", Files(remove_day)),
    ("the newest day removed", Files(remove_newest)),
    ("a dataset removed", Files(|case| remove_folder(case, true))),
    ("a product removed", Files(|case| remove_folder(case, false))),
    // What the journal knows.
    ("a heartbeat named newer trades", Told(|case| named(case, "gap_opened", r#","why":"heartbeat""#))),
    ("trades given up by a full queue", Told(|case| named(case, "shed_ended", ""))),
    ("trades that came and are gone", Told(|case| named(case, "gap_filled", r#","by":"line""#))),
    ("rejected trades behind the last", Told(rejected)),
    ("a conflict", Told(conflict)),
    ("conflicts that no line names", Told(|case| stop_says(case, "received=43,conflict=3"))),
    ("sums that do not hold", Told(|case| stop_says(case, "sums"))),
    ("everything rejected", Told(|case| stop_says(case, "received=100,written=0,rejected=100"))),
    ("a sealed day that is not there", Told(sealed_and_gone)),
    ("ids named while nobody was there", Told(named_in_absence)),
    ("REST keeps no more", Told(retention)),
    // The journal itself.
    ("a journal removed", Files(|case| journal_file(case, |path, _| std::fs::remove_file(path).expect("removed")))),
    ("every journal removed", Files(no_journals)),
    ("the folder beside the symbols removed", Files(no_own_folder)),
    (
        "a journal replaced by a folder",
        Files(|case| {
            journal_file(case, |path, _| {
                std::fs::remove_file(path).expect("removed");
                std::fs::create_dir(path).expect("made");
            })
        }),
    ),
    (
        "a journal under another date",
        Files(|case| {
            journal_file(case, |path, _| std::fs::rename(path, path.with_file_name("journal.2025-07-01.jsonl")).expect("renamed"))
        }),
    ),
    ("two journals swapped", Files(swap_journals)),
    ("a journal line cut", Files(|case| journal_line(case, |line, rng| line.truncate(rng.usize(1..line.len() - 1))))),
    ("zeroes in a journal line", Files(zeroes_in_a_journal)),
    ("a journal line without a sign of JSON", Files(|case| journal_line(case, break_json))),
    ("a journal line without one of its fields", Files(|case| journal_line(case, break_field))),
    (
        "bytes of no text in a journal line",
        Files(|case| {
            journal_line(case, |line, rng| {
                let at = rng.usize(1..line.len() - 1);
                line[at] = 0xff;
            })
        }),
    ),
    ("a journal that somebody disturbed", Told(disturbed_journal)),
    ("a day that was stored again and has fewer records", Told(restored_and_fewer)),
    ("a line of an unknown event", Told(unknown_event)),
    ("a last journal line cut off", Files(torn_end)),
    ("a day that the journal does not know", Told(unknown_day)),
];

/// Chooses a product and a day of it.
pub(super) fn choose(case: &mut Case<'_>, accepts: impl Fn(&Spec, usize, usize) -> bool) -> Option<(usize, usize)> {
    let mut all = Vec::new();
    for (product, spec) in case.spec.products.iter().enumerate() {
        all.extend((0..spec.days.len()).filter(|day| accepts(&case.spec, product, *day)).map(|day| (product, day)));
    }
    case.rng.choice(&all).copied()
}

pub(super) fn day_of(spec: &Spec, at: (usize, usize)) -> (&ProductId, &DaySpec) {
    let product = &spec.products[at.0];
    (&product.product, &product.days[at.1])
}

/// Puts a trade into the day that its time says.
fn file_trade(spec: &mut Spec, product: usize, trade: Trade) {
    let days = &mut spec.products[product].days;
    let own = trade.time.day();
    if !days.iter().any(|day| day.date == own) {
        days.push(DaySpec { date: own, trades: Vec::new(), tickers: Vec::new(), state: State::Sealed });
        days.sort_by_key(|day| day.date);
    }
    let day = days.iter_mut().find(|day| day.date == own).expect("a day");
    day.trades.push(trade);
    day.trades.sort_by_key(|trade| trade.trade_id);
}

fn misdate(case: &mut Case<'_>, to: fn(&mut Case<'_>, u32) -> u32, is_fetched: bool) -> Option<Harm> {
    let at = choose(case, |spec, _, _| spec.absence.is_none() && spec.unlisted.is_none())?;
    let own = day_of(&case.spec, at).1.date;
    let other = UtcDay(to(case, own.0));
    let day = &mut case.spec.products[at.0].days[at.1];
    // Trades before and behind it show where it belongs.
    let number = case.rng.usize(2..day.trades.len() - 2);
    let mut trade = day.trades.remove(number);
    if is_fetched {
        make_fetched(&mut trade);
    }
    trade.time = UnixNanos(other.start().0 + 12 * HOUR);
    let product = case.spec.products[at.0].product.clone();
    // Where the day stays behind with nothing but late records its state may be any; the misdated one is sealed.
    file_trade(&mut case.spec, at.0, trade);
    Harm::of(&product, &[own, other])
}

fn first_ones_misdated(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        day == 0 && !spec.datasets.is_empty() && spec.products[product].days[day].trades.iter().take(2).all(|trade| trade.recv.0 > 0)
    })?;
    // Nothing else says when they came.
    if case.spec.options.columns == coltape::internals::schema::ColumnSet::Core || case.spec.clock_off != 0 {
        return None;
    }
    let product = case.spec.products[at.0].product.clone();
    let days = [UtcDay(date(0).0 - 4000), UtcDay(date(0).0 - 1)];
    for day in days {
        let mut trade = case.spec.products[at.0].days.iter_mut().find(|day| day.date >= date(0)).expect("a day").trades.remove(0);
        trade.time = UnixNanos(day.start().0 + 12 * HOUR);
        file_trade(&mut case.spec, at.0, trade);
    }
    // Ids and times agree; but a trade that came as it happened cannot have happened a day before.
    Harm::of(&product, &days).map(|harm| Harm { may_hold: true, ..harm })
}

fn stored_again(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |_, _, _| true)?;
    let (product, day) = day_of(&case.spec, at);
    let (product, own) = (product.clone(), day.date);
    let mut trade = *case.rng.choice(&day.trades)?;
    let other = UtcDay(own.0 - case.rng.u32(1..300));
    trade.time = UnixNanos(other.start().0 + 12 * HOUR);
    file_trade(&mut case.spec, at.0, trade);
    Harm::of(&product, &[own, other])
}

fn leap_within_a_day(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |_, _, _| true)?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = case.rng.usize(1..day.trades.len() - 1);
    let last = day.trades.last()?.time.0;
    let trade = &mut day.trades[number];
    trade.time = UnixNanos(last + 2 * 3600 * SECOND);
    trade.recv = UnixNanos(if trade.recv.0 == 0 { 0 } else { (trade.time.0 + 1).saturating_add_signed(case.spec.clock_off) });
    let own = day.date;
    (trade.time.day() == own).then_some(())?;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

fn minutes_off(case: &mut Case<'_>) -> Option<Harm> {
    // Where the clocks were apart, it may be the exchange's.
    if case.spec.clock_off != 0 {
        return None;
    }
    let at = choose(case, |spec, product, day| {
        let trades = &spec.products[product].days[day].trades;
        let (first, last) = (trades.first(), trades.last());
        // The times of all but the damaged one rise, and they were received as they happened.
        let is_steady = trades.iter().zip(trades.iter().skip(1)).all(|(one, next)| one.time.0 <= next.time.0 + 3 * SECOND);
        let is_live = trades.iter().all(|trade| trade.recv.0 > 0);
        spec.options.columns == coltape::internals::schema::ColumnSet::Full && trades.len() > 7 && is_steady && is_live && first != last
    })?;
    let off = (62 + case.rng.u64(..3000)) * SECOND;
    let is_ahead = case.rng.bool();
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = case.rng.usize(3..day.trades.len() - 3);
    // Where the exchange's clock has stepped for a neighbour, as its ticker says, it may have stepped for this one, too.
    let lag = |trade: &Trade| i128::from(trade.recv.0) - i128::from(trade.time.0);
    let own_lag = lag(&day.trades[number]);
    day.trades[number - 3..=number + 3].iter().all(|trade| lag(trade).abs_diff(own_lag) <= u128::from(3 * SECOND)).then_some(())?;
    let time = |number: usize| day.trades[number].time.0;
    let (before, after) = ((number - 3..number).map(time).min()?, (number + 1..number + 4).map(time).max()?);
    day.trades[number].time = UnixNanos(if is_ahead { after + off } else { before - off });
    (day.trades[number].time.day() == day.date).then_some(())?;
    let own = day.date;
    // A clock that was off two days later explains nothing.
    let end = end(case);
    if end.day().0 >= own.0 + 2 {
        case.lines.add(UnixNanos(end.0 - 3 * SECOND), "clock_off", r#""off_s":40,"is_behind":true"#);
        case.lines.add(UnixNanos(end.0 - 2 * SECOND), "clock_off", r#""off_s":0,"is_behind":true"#);
    }
    Harm::of(&case.spec.products[at.0].product, &[own])
}

fn ticker_minutes_off(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        let day = &spec.products[product].days[day];
        let is_told = spec.datasets.contains(&Dataset::Md) && spec.options.columns == coltape::internals::schema::ColumnSet::Full;
        is_told && day.tickers.iter().any(|ticker| ticker.trade_id > 0)
    })?;
    let off = (62 + case.rng.u64(..3000)) * SECOND;
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = case.rng.usize(..day.tickers.len());
    day.tickers[number].time = UnixNanos(day.tickers[number].time.0 - off);
    let own = day.date;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    First,
    Middle,
    Last,
    VeryFirst,
    VeryLast,
}

fn drop_trade(case: &mut Case<'_>, place: Place) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        let last = spec.products[product].days.len() - 1;
        let is_sealed = matches!(spec.products[product].days[day].state, State::Sealed | State::Replaced);
        let before = day.checked_sub(1).map(|before| spec.products[product].days[before].date);
        let own = spec.products[product].days[day].date;
        let is_excused = |evening: Option<UtcDay>| evening.is_some_and(|evening| spec.is_excused_after(product, evening));
        match place {
            Place::Middle => true,
            Place::First => day > 0 && !is_excused(before),
            Place::Last => day < last && !is_excused(Some(own)),
            Place::VeryFirst => day == 0 && is_sealed,
            Place::VeryLast => day == last && is_sealed,
        }
    })?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = match place {
        Place::First | Place::VeryFirst => 0,
        Place::Last | Place::VeryLast => day.trades.len() - 1,
        Place::Middle => case.rng.usize(1..day.trades.len() - 1),
    };
    day.trades.remove(number);
    let own = day.date;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

fn drop_ticker(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        let day = &spec.products[product].days[day];
        spec.datasets.contains(&Dataset::Md) && !matches!(day.state, State::Live | State::LiveUnsynced) && day.tickers.len() > 2
    })?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = case.rng.usize(..day.tickers.len());
    day.tickers.remove(number);
    let own = day.date;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

fn deny_trade(case: &mut Case<'_>) -> Option<Harm> {
    let is_full = case.spec.options.columns == coltape::internals::schema::ColumnSet::Full;
    let at = choose(case, |spec, product, day| {
        is_full && spec.datasets.contains(&Dataset::Md) && spec.products[product].days[day].tickers.iter().any(|ticker| ticker.trade_id > 0)
    })?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let number = case.rng.usize(..day.tickers.len());
    day.tickers[number].price = coltape::internals::decimal::parse(b"7.5").expect("a decimal");
    let own = day.date;
    Harm::of(&case.spec.products[at.0].product, &[own])
}

/// A file of a day on disk.
pub(super) struct Found {
    pub(super) product: ProductId,
    pub(super) date: UtcDay,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) dataset: Dataset,
}

/// Lists the files of the days that pass.
pub(super) fn files(case: &Case<'_>, accepts: impl Fn(&Found) -> bool) -> Vec<Found> {
    let mut found = Vec::new();
    for product in &case.spec.products {
        for day in &product.days {
            for dataset in &case.spec.datasets {
                let names = dataset.columns().iter().map(|column| column.name).chain(["commit", "late"]);
                found.extend(names.filter_map(|name| {
                    let path = file(&case.spec, case.dir, &product.product, *dataset, name, day.date);
                    let state = match day.state {
                        live @ (State::Live | State::LiveUnsynced) => live,
                        other if *dataset == Dataset::Trades => other,
                        _ => State::Sealed,
                    };
                    let (product, date, name) = (product.product.clone(), day.date, name.to_owned());
                    let file = Found { product, date, path, name, state, dataset: *dataset };
                    (file.path.is_file() && accepts(&file)).then_some(file)
                }));
            }
        }
    }
    found
}

pub(super) fn is_live(file: &Found) -> bool {
    matches!(file.state, State::Live | State::LiveUnsynced)
}

pub(super) fn is_replacing(file: &Found) -> bool {
    matches!(file.state, State::Replacing { .. })
}

/// Takes a file of those that pass, by chance.
pub(super) fn pick(case: &mut Case<'_>, accepts: impl Fn(&Found) -> bool) -> Option<Found> {
    let mut all = files(case, accepts);
    (!all.is_empty()).then(|| all.swap_remove(case.rng.usize(..all.len())))
}

pub(super) fn harm(file: &Found) -> Option<Harm> {
    Harm::of(&file.product, &[file.date])
}

pub(super) fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("read");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("written");
}

fn flip(case: &mut Case<'_>, name: Option<&str>, may_be_live: bool) -> Option<Harm> {
    // The old files of a replacement that was cut short are void.
    let accepts = |file: &Found| (may_be_live || !is_live(file)) && !is_replacing(file) && name.is_none_or(|name| name == file.name);
    let file = pick(case, |file| accepts(file) && (file.name != "late" || file.state == State::Late))?;
    let (rng, state) = (&mut *case.rng, file.state);
    rewrite(&file.path, |bytes| {
        let end = if file.name == "late" { late_bytes(bytes) } else { bytes.len() };
        let mut at = rng.usize(..end);
        // While late records are taken nothing says what the hot sector holds.
        while file.name == "commit" && state == State::Late && (512..1024).contains(&at) {
            at = rng.usize(..end);
        }
        bytes[at] ^= 1 << rng.u8(..8);
    });
    harm(&file)
}

/// The bytes of a late file that hold records: what is allocated behind them is zero.
fn late_bytes(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(bytes.len(), |last| last + 1).min(bytes.len())
}

fn resize(case: &mut Case<'_>, by: i64) -> Option<Harm> {
    let file = pick(case, |file| !is_live(file) && !is_replacing(file) && file.name != "commit" && file.name != "late")?;
    let more = case.rng.usize(1..40);
    rewrite(&file.path, |bytes| {
        let length = if by < 0 { bytes.len().saturating_sub(more) } else { bytes.len() + more };
        bytes.resize(length, 0);
    });
    harm(&file)
}

/// Removes the files of one dataset-day whose names pass.
fn remove(case: &mut Case<'_>, accepts: fn(&str) -> bool) -> Option<Harm> {
    let is_late = accepts("late");
    let is_single = !accepts("commit");
    let file = pick(case, |file| {
        accepts(&file.name) && !is_replacing(file) && (!is_late || file.state == State::Late) && (file.name == "commit" || is_single)
    })?;
    let all = files(case, |other| {
        (other.product == file.product && other.date == file.date && other.dataset == file.dataset)
            && if is_single { other.name == file.name } else { accepts(&other.name) }
    });
    all.iter().for_each(|file| std::fs::remove_file(&file.path).expect("removed"));
    harm(&file)
}

fn cut_late(case: &mut Case<'_>) -> Option<Harm> {
    let file = pick(case, |file| file.name == "late" && file.state == State::Late)?;
    let rng = &mut *case.rng;
    rewrite(&file.path, |bytes| bytes.truncate(rng.usize(..late_bytes(bytes))));
    harm(&file)
}

fn page_gone_and_order_id(case: &mut Case<'_>) -> Option<Harm> {
    let file = pick(case, |file| file.name == "taker_order_id" && !is_live(file) && !is_replacing(file))?;
    let rng = &mut *case.rng;
    rewrite(&file.path, |bytes| {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
    });
    let page = files(case, |other| {
        other.product == file.product && other.date == file.date && other.dataset == file.dataset && other.name == "commit"
    });
    page.iter().for_each(|file| std::fs::remove_file(&file.path).expect("removed"));
    harm(&file)
}

fn overwrite_page(case: &mut Case<'_>, change: fn(&mut Vec<u8>)) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit")?;
    rewrite(&file.path, change);
    harm(&file)
}

fn torn_sector(case: &mut Case<'_>) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit" && !is_live(file) && !is_replacing(file))?;
    let sector = *case.rng.choice(&[0, 4, 5])?;
    let byte = case.rng.u8(..);
    rewrite(&file.path, |bytes| bytes[sector * 512..(sector + 1) * 512].fill(byte));
    harm(&file)
}

enum Swap {
    Days,
    Products,
    Pages,
    Columns,
}

fn swap(case: &mut Case<'_>, how: Swap) -> Option<Harm> {
    let is_page = matches!(how, Swap::Pages);
    let is_fit = |file: &Found| !is_live(file) && !is_replacing(file) && (file.name == "commit") == is_page && file.name != "late";
    let one = pick(case, is_fit)?;
    let bytes = std::fs::read(&one.path).expect("read");
    let is_other = |other: &Found| {
        let same = (other.product == one.product, other.date == one.date, other.dataset == one.dataset, other.name == one.name);
        is_fit(other)
            && match how {
                Swap::Days | Swap::Pages => same == (true, false, true, true),
                Swap::Products => same == (false, true, true, true),
                Swap::Columns => same == (true, true, true, false),
            }
            && std::fs::read(&other.path).expect("read") != bytes
    };
    let other = pick(case, is_other)?;
    std::fs::rename(&other.path, &one.path).expect("renamed");
    std::fs::write(&other.path, &bytes).expect("written");
    Some(Harm { days: vec![(one.product, one.date), (other.product, other.date)], is_of_all: false, may_hold: false })
}

/// Moves or copies the files of a dataset-day to another date.
fn move_day(case: &mut Case<'_>, is_move: bool) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit")?;
    let to = UtcDay(file.date.0 + case.rng.u32(5..9));
    let all = files(case, |other| other.product == file.product && other.date == file.date && other.dataset == file.dataset);
    for found in &all {
        let new = self::file(&case.spec, case.dir, &found.product, found.dataset, &found.name, to);
        std::fs::copy(&found.path, &new).expect("copied");
        if is_move {
            std::fs::remove_file(&found.path).expect("removed");
        }
    }
    let days = if is_move { vec![file.date, to] } else { vec![to] };
    Harm::of(&file.product, &days)
}

fn other_spelling(case: &mut Case<'_>) -> Option<Harm> {
    use coltape::internals::time::DateFormat::{Dmy, Iso};
    let file = pick(case, |file| file.name == "commit")?;
    let own = case.spec.options.date_format;
    let other = if own == Iso { Dmy } else { Iso };
    for found in files(case, |other| other.product == file.product && other.date == file.date && other.dataset == file.dataset) {
        let name = format!("{}.{}.bin", found.name, found.date.spelled(other));
        std::fs::copy(&found.path, found.path.with_file_name(name)).expect("copied");
    }
    harm(&file)
}

fn lower_mark(case: &mut Case<'_>) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit" && is_live(file))?;
    let mut bytes = std::fs::read(&file.path).expect("read");
    let count = u64::from_le_bytes(bytes[512..520].try_into().expect("eight bytes"));
    // Below what is durable, which is half of it at least: a mark above that is one that the day had before.
    let lower = case.rng.u64(..(count / 2).max(1));
    bytes[512..520].copy_from_slice(&lower.to_le_bytes());
    // In place: another inode would not be trusted at all.
    let page = std::fs::File::options().write(true).open(&file.path).expect("opened");
    std::os::unix::fs::FileExt::write_all_at(&page, &bytes, 0).expect("written");
    harm(&file)
}

fn remove_day(case: &mut Case<'_>) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit")?;
    let all = files(case, |other| other.product == file.product && other.date == file.date && other.dataset == file.dataset);
    all.iter().for_each(|file| std::fs::remove_file(&file.path).expect("removed"));
    let _ = std::fs::remove_file(&file.path);
    harm(&file)
}

fn remove_newest(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        let days = &spec.products[product].days;
        day + 1 == days.len()
    })?;
    let (product, own) = (case.spec.products[at.0].product.clone(), day_of(&case.spec, at).1.date);
    let all = files(case, |other| other.product == product && other.date == own);
    all.iter().for_each(|file| std::fs::remove_file(&file.path).expect("removed"));
    Harm::of(&product, &[own])
}

fn remove_folder(case: &mut Case<'_>, is_dataset: bool) -> Option<Harm> {
    let file = pick(case, |file| file.name == "commit")?;
    let folder = if is_dataset { file.path.parent()? } else { file.path.parent()?.parent()? };
    std::fs::remove_dir_all(folder).expect("removed");
    harm(&file)
}

fn last_id(case: &Case<'_>, product: usize) -> u64 {
    let days = &case.spec.products[product].days;
    days.iter().flat_map(|day| &day.trades).map(|trade| trade.trade_id).max().unwrap_or(0)
}

pub(super) fn end(case: &Case<'_>) -> UnixNanos {
    case.lines.0.last().expect("a line").0
}

/// Has the journal name trades behind the last one.
fn named(case: &mut Case<'_>, event: &str, more: &str) -> Option<Harm> {
    let at = choose(case, |spec, product, day| day + 1 == spec.products[product].days.len())?;
    let (product, own) = (case.spec.products[at.0].product.clone(), day_of(&case.spec, at).1.date);
    let (last, count) = (last_id(case, at.0), case.rng.u64(1..60));
    let (first, last) = (last + 1, last + count);
    let ids = match event {
        "shed_ended" => format!(r#""first_trade_id":{first},"last_trade_id":{last},"trades":{count},"tickers":0"#),
        _ => format!(r#""from_id":{first},"to_id":{last}"#),
    };
    case.lines.add(UnixNanos(end(case).0 - SECOND), event, &format!(r#""product":"{product}",{ids}{more}"#));
    Harm::of(&product, &[own])
}

fn rejected(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| {
        day + 1 == spec.products[product].days.len() && spec.products[product].product.as_str() != "BTC-USD~2"
    })?;
    let (product, own) = (case.spec.products[at.0].product.clone(), day_of(&case.spec, at).1.date);
    let (last, is_advanced) = (last_id(case, at.0), case.rng.bool());
    let time = end(case);
    std::fs::create_dir_all(case.dir.join(OWN_FOLDER)).expect("a folder");
    for id in last + 1..last + 1 + case.rng.u64(1..30) {
        let raw = if is_advanced {
            format!(
                r#"{{"channel":"market_trades","events":[{{"type":"update","trades":[{{"product_id":"{product}","trade_id":"{id}","price":"1"}}]}}]}}"#
            )
        } else {
            format!(r#"{{"type":"match","trade_id":{id},"product_id":"{product}"}}"#)
        };
        let line = format!(r#"{{"time":"{time}","event":"reject","reason":"implausible_time","raw":"{}"}}"#, raw.replace('"', "\\\""));
        append(&case.dir.join(OWN_FOLDER).join(format!("rejects.{}.jsonl", time.day())), &format!("{line}\n"));
    }
    Harm::of(&product, &[own])
}

fn conflict(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |_, _, _| true)?;
    let (product, day) = day_of(&case.spec, at);
    let (product, own, id) = (product.clone(), day.date, case.rng.choice(&day.trades)?.trade_id);
    let by = ["", r#","by":"REST","columns":"trade_price""#][case.rng.usize(..2)];
    case.lines.add(UnixNanos(end(case).0 - SECOND), "conflict", &format!(r#""product":"{product}","trade_id":{id}{by}"#));
    Harm::of(&product, &[own])
}

pub(super) fn stop_says(case: &mut Case<'_>, change: &str) -> Option<Harm> {
    let end = end(case);
    case.lines.0.pop();
    let rejected = if case.spec.absence.is_none() { case.spec.rejected } else { 0 };
    case.lines.stopped(end, rejected, change);
    Harm::of_tape()
}

fn sealed_and_gone(case: &mut Case<'_>) -> Option<Harm> {
    let names = ["BTC-USD", "ETH-USD", "SOL-USD", "BTC-USD~3"];
    let (name, dataset) = (case.rng.choice(names)?, case.rng.choice(["trades", "md", "ticker_trades"])?);
    let gone = date(case.rng.u32(10..20));
    let day = format!(r#""product":"{name}","dataset":"{dataset}","date":"{gone}","records":7,"late_merged":0,"generation":0"#);
    case.lines.add(UnixNanos(end(case).0 - SECOND), "day_sealed", &day);
    Harm::of(&ProductId::new(name).expect("a product"), &[gone])
}

fn named_in_absence(case: &mut Case<'_>) -> Option<Harm> {
    let evening = case.spec.absence?;
    let at = choose(case, |spec, product, day| spec.products[product].days[day].date == evening)?;
    let (product, day) = day_of(&case.spec, at);
    let id = day.trades.last()?.trade_id + 1;
    let product = product.clone();
    case.lines.add(
        UnixNanos(evening.start().0 + 22 * HOUR),
        "gap_opened",
        &format!(r#""product":"{product}","from_id":{id},"to_id":{id},"why":"heartbeat""#),
    );
    Harm::of(&product, &[evening])
}

/// The front of a tape was never there: REST has nothing below its first id, which is no beginning.
fn retention(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| day == 0 && spec.products[product].days[day].trades[0].trade_id == 1)?;
    let day = &mut case.spec.products[at.0].days[at.1];
    let count = case.rng.usize(1..day.trades.len() - 3);
    day.trades.drain(..count);
    let (first, own) = (day.trades[0].trade_id, day.date);
    let product = case.spec.products[at.0].product.clone();
    case.lines.add(UnixNanos(end(case).0 - SECOND), "trading_began", &format!(r#""product":"{product}","first_id":{first}"#));
    Harm::of(&product, &[own]).map(|harm| Harm { may_hold: true, ..harm })
}

/// The journals that tell of the days' own records.
pub(super) fn journals(case: &Case<'_>) -> Vec<PathBuf> {
    let dates: std::collections::BTreeSet<UtcDay> =
        case.spec.products.iter().flat_map(|product| product.days.iter().map(|day| day.date)).collect();
    dates.into_iter().map(|date| case.dir.join(OWN_FOLDER).join(format!("journal.{date}.jsonl"))).collect()
}

fn journal_file(case: &mut Case<'_>, act: fn(&Path, &mut fastrand::Rng)) -> Option<Harm> {
    // Nothing says when the records of core columns were received, or by a clock that is known to be wrong.
    if case.spec.options.columns == coltape::internals::schema::ColumnSet::Core || case.spec.clock_off != 0 {
        return None;
    }
    let journals = journals(case);
    let path = case.rng.choice(&journals)?.clone();
    act(&path, case.rng);
    let own = UtcDay::parse(path.file_name()?.to_str()?.strip_prefix("journal.")?.strip_suffix(".jsonl")?).expect("a date");
    let days = case
        .spec
        .products
        .iter()
        .filter(|product| product.days.iter().any(|day| day.date == own && day.trades.iter().any(|trade| trade.recv.0 > 0)));
    let days: Vec<(ProductId, UtcDay)> = days.map(|product| (product.product.clone(), own)).collect();
    (!days.is_empty()).then_some(Harm { days, is_of_all: false, may_hold: false })
}

fn no_journals(case: &mut Case<'_>) -> Option<Harm> {
    for entry in std::fs::read_dir(case.dir.join(OWN_FOLDER)).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("journal.") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    Some(Harm { days: Vec::new(), is_of_all: true, may_hold: false })
}

fn no_own_folder(case: &mut Case<'_>) -> Option<Harm> {
    std::fs::remove_dir_all(case.dir.join(OWN_FOLDER)).expect("removed");
    Some(Harm { days: Vec::new(), is_of_all: true, may_hold: true })
}

fn swap_journals(case: &mut Case<'_>) -> Option<Harm> {
    let journals = journals(case);
    let (one, other) = (case.rng.choice(&journals)?, case.rng.choice(&journals)?);
    if one == other {
        return None;
    }
    let bytes = std::fs::read(one).expect("read");
    std::fs::rename(other, one).expect("renamed");
    std::fs::write(other, bytes).expect("written");
    Harm::of_tape()
}

/// Changes a line within a journal: not the last one, and not one behind which a process begins.
fn journal_line(case: &mut Case<'_>, change: fn(&mut Vec<u8>, &mut fastrand::Rng)) -> Option<Harm> {
    let journals = journals(case);
    let path = case.rng.choice(&journals)?.clone();
    let text = std::fs::read_to_string(&path).expect("read");
    let lines: Vec<&str> = text.lines().collect();
    let fit = |at: &usize| lines.get(at + 1).is_some_and(|next| !next.contains("capture_started"));
    let all: Vec<usize> = (0..lines.len()).filter(fit).collect();
    let at = *case.rng.choice(&all)?;
    let mut changed = lines[at].as_bytes().to_vec();
    change(&mut changed, case.rng);
    if changed == lines[at].as_bytes() || changed.is_empty() {
        return None;
    }
    let mut bytes = lines[..at].join("\n").into_bytes();
    bytes.extend(if at > 0 { b"\n".as_slice() } else { b"" });
    bytes.extend(changed);
    bytes.push(b'\n');
    bytes.extend(lines[at + 1..].join("\n").into_bytes());
    bytes.push(b'\n');
    std::fs::write(&path, bytes).expect("written");
    Harm::of_tape()
}

/// Zeroes the end of a journal line. A process that has not said that it stopped may have crashed, which leaves such lines.
fn zeroes_in_a_journal(case: &mut Case<'_>) -> Option<Harm> {
    let harm = journal_line(case, |line, rng| {
        let at = rng.usize(..line.len());
        line[at..].fill(0);
    })?;
    let text: Vec<u8> = journals(case).iter().flat_map(|path| std::fs::read(path).expect("read")).collect();
    let text = String::from_utf8(text).expect("text");
    let next =
        text.lines().skip_while(|line| !line.contains('\0')).find(|line| line.contains("_started\"") || line.contains("capture_stopped"));
    Some(Harm { may_hold: !next.is_some_and(|line| line.contains("capture_stopped")), ..harm })
}

/// Replaces one of the signs that hold a JSON object together.
#[expect(clippy::ptr_arg, reason = "one of several kinds of damage, some of which change the length")]
fn break_json(line: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let signs: Vec<usize> = (0..line.len() - 1).filter(|at| matches!(line[*at], b'{' | b'"' | b':')).collect();
    // Inside a text a colon is a letter: those of the time are.
    if let Some(at) = rng.choice(&signs) {
        line[*at] = b'\x01';
    }
}

/// Misspells the name of a field that every event with a product has, or the name of the field that says what happened.
fn break_field(line: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let text = String::from_utf8_lossy(line).into_owned();
    let keys: Vec<&str> =
        ["\"product\":", "\"event\":", "\"from_id\":", "\"date\":", "\"sums\":"].into_iter().filter(|key| text.contains(key)).collect();
    if let Some(key) = rng.choice(&keys) {
        *line = text.replace(key, &key.replace('e', "f").replace('o', "p").replace("sums", "sumt")).into_bytes();
    }
}

fn unknown_event(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |_, _, _| true)?;
    let (product, day) = day_of(&case.spec, at);
    let (product, own) = (product.clone(), day.date);
    case.lines.add(UnixNanos(own.start().0 + 12 * HOUR), "moon_phase", &format!(r#""product":"{product}""#));
    Harm::of(&product, &[own]).map(|harm| Harm { may_hold: true, ..harm })
}

/// What the journal said until then may be gone. Whether any line was lost cannot be known.
fn disturbed_journal(case: &mut Case<'_>) -> Option<Harm> {
    // One that is whole otherwise.
    let whole: Vec<UtcDay> =
        case.spec.verdicts().into_iter().filter(|(_, _, verdict)| *verdict == Verdict::Whole).map(|(_, date, _)| date).collect();
    let own = *case.rng.choice(&whole)?;
    let name = case.rng.choice(["journal", "rejects"])?;
    let fields = format!(r#""file":"{name}.{own}.jsonl","what":"it was replaced""#);
    case.lines.add(UnixNanos(own.start().0 + 12 * HOUR), "file_disturbed", &fields);
    let products = case.spec.products.iter().map(|product| (product.product.clone(), own));
    Some(Harm { days: products.collect(), is_of_all: false, may_hold: true })
}

fn restored_and_fewer(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |_, _, _| true)?;
    let (product, day) = day_of(&case.spec, at);
    let (product, own, records) = (product.clone(), day.date, day.trades.len() as u64 + case.rng.u64(1..9));
    let day = format!(r#""product":"{product}","dataset":"trades","date":"{own}","records":{records}"#);
    case.lines.add(UnixNanos(own.start().0 + 12 * HOUR), "day_restored", &day);
    Harm::of(&product, &[own])
}

fn torn_end(case: &mut Case<'_>) -> Option<Harm> {
    let journals = journals(case);
    let path = case.rng.choice(&journals)?.clone();
    let own = UtcDay::parse(path.file_name()?.to_str()?.strip_prefix("journal.")?.strip_suffix(".jsonl")?).expect("a date");
    let rng = &mut *case.rng;
    rewrite(&path, |bytes| bytes.truncate(bytes.len() - rng.usize(2..20)));
    let days = case.spec.products.iter().filter(|product| product.days.iter().any(|day| day.date == own));
    let days = days.map(|product| (product.product.clone(), own)).collect();
    Some(Harm { days, is_of_all: false, may_hold: true })
}

fn unknown_day(case: &mut Case<'_>) -> Option<Harm> {
    let at = choose(case, |spec, product, day| !matches!(spec.products[product].days[day].state, State::Live | State::LiveUnsynced))?;
    let (product, day) = day_of(&case.spec, at);
    let (product, own) = (product.clone(), day.date);
    let key = format!(r#""product":"{product}","dataset":"trades","date":"{own}""#);
    case.lines.0.retain(|(_, line)| !line.contains(&key));
    Harm::of(&product, &[own])
}
