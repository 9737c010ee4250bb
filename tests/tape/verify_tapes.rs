//! `verify` against a generator: tapes made whole, then damaged in every way that their files, records and journals can be.
//!
//! Also it says the same of a tape to which something odd was done that leaves it whole ([`oddities`]).
//!
//! It never says *whole*, and never ends with 0, on a damaged one; it never ends with 1 on a whole one, and says of each day what can be shown of it.
//! What answers about a market call whole, of all time, of days and of ranges by chance, `verify` knows nothing against ([`answers`]).
//! `COLTAPE_TAPES` sets how many tapes are made, `COLTAPE_SEED` the first one's seed, and `COLTAPE_KIND` the kind of damage that is tried first.

mod answers;
mod damage;
mod further;
mod oddities;
mod tape;

use std::collections::BTreeMap;
use std::path::Path;

use coltape::internals::verify::{Report, Verdict};

use damage::{Case, Damage, Harm};
use tape::{Lines, Spec, verified};

/// Every kind of damage, by name.
fn kinds() -> Vec<&'static (&'static str, Damage)> {
    damage::KINDS.iter().chain(further::KINDS).collect()
}

/// Tapes made where nothing else is asked for: each kind of damage several times.
const TAPES: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A folder for tapes: in memory where there is such a file system, as thousands are made.
fn folder() -> tempfile::TempDir {
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir() { tempfile::tempdir_in(in_memory).or_else(|_| tempfile::tempdir()) } else { tempfile::tempdir() }
        .expect("a folder")
}

fn said(report: &Report) -> String {
    let mut out = Vec::new();
    coltape::internals::verify::write_table(report, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

/// Of so many tapes one is exported.
const EXPORTED_EACH: u64 = 5;

/// Of so many tapes something is done to one that leaves it whole.
const ODD_EACH: u64 = 5;

/// Tapes that are made for one kind of damage before another is taken: some fit few tapes.
const ATTEMPTS: u64 = 12;

/// Tapes that are made for a kind that none of the others was damaged with.
const MORE_ATTEMPTS: u64 = 500;

/// Makes a tape and damages it with the kind given, or where that does not fit with the next one that does. Gives the kind.
fn damage_a_tape(seed: u64, kind: usize) -> usize {
    let fitting = |attempt: u64| try_tape(seed.wrapping_add(attempt << 40), &[kind]);
    let count = kinds().len();
    let any: Vec<usize> = (kind..kind + count).map(|kind| kind % count).collect();
    (0..ATTEMPTS).find_map(fitting).or_else(|| try_tape(seed, &any)).expect("some kind fits")
}

/// Makes a tape and damages it with the first of the kinds that fits it. Gives the kind.
fn try_tape(seed: u64, kinds: &[usize]) -> Option<usize> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (folder, spec) = (folder(), Spec::random(&mut rng));
    let lines = Lines::of(&spec);
    let (whole, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    spec.build(&whole);
    lines.write(&whole);
    let report = verified(&whole);
    assert!(report.holds(), "{}", context("a whole tape does not hold", seed, &spec, &report));
    let verdicts: Vec<_> = report.days.iter().map(|day| (day.product.clone(), day.date, day.coverage.verdict)).collect();
    let mut expected = spec.verdicts();
    expected.sort_by_key(|(product, date, _)| (product.clone(), *date));
    assert_eq!(verdicts, expected, "{}", context("other verdicts", seed, &spec, &report));
    let alarms = answers::false_alarms(&whole, &spec);
    assert!(alarms.is_empty(), "{}", context(&alarms.join("\n"), seed, &spec, &report));

    if seed.is_multiple_of(ODD_EACH) {
        let odd = folder.path().join("odd");
        spec.build(&odd);
        lines.write(&odd);
        let kind = rng.usize(..oddities::ODDITIES.len());
        if let Some((what, report)) = oddities::changed(&odd, &spec, &report, kind, &mut rng) {
            panic!("{}", context(&format!("it says something else of a whole tape: {what}"), seed, &spec, &report));
        }
    }
    let mut asking = rng.fork();
    let kinds_of_damage = self::kinds();
    let harmed = kinds.iter().copied().find_map(|kind| {
        let (_, damage) = kinds_of_damage[kind];
        let dir = if matches!(damage, Damage::Files(_)) { whole.as_path() } else { damaged.as_path() };
        let mut case = Case { spec: spec.clone(), lines: lines.clone(), dir, rng: &mut rng };
        let harm = match damage {
            Damage::Told(change) | Damage::Untold(change) | Damage::Files(change) => change(&mut case)?,
        };
        match damage {
            Damage::Told(_) => {
                // What the journal says of the files, it says of the new ones; what the damage has added or taken away stays so.
                let added = case.lines.0.iter().filter(|line| !lines.0.contains(line));
                let removed = |line: &(_, String)| lines.0.contains(line) && !case.lines.0.contains(line);
                let mut told = Lines::of(&case.spec);
                told.0.retain(|line| !removed(line));
                told.0.extend(added.cloned());
                case.spec.build(&damaged);
                told.write(&damaged);
            }
            Damage::Untold(_) => {
                case.spec.build(&damaged);
                lines.write(&damaged);
            }
            Damage::Files(_) => std::fs::rename(&whole, &damaged).expect("renamed"),
        }
        Some((kind, harm))
    });
    let (kind, Harm { days, is_of_all, may_hold }) = harmed?;
    let report = verified(&damaged);
    let of_kind = |what: &str| format!("{what}; kind {kind} ({})", kinds_of_damage[kind].0);
    assert!(may_hold || !report.holds(), "{}", context(&of_kind("a damaged tape holds"), seed, &spec, &report));
    for day in report.days.iter().filter(|day| day.coverage.verdict == Verdict::Whole) {
        let is_harmed = is_of_all || days.iter().any(|(product, date)| *product == day.product && *date == day.date);
        let what = of_kind(&format!("{} {} is called whole", day.product, day.date));
        assert!(!is_harmed, "{}", context(&what, seed, &spec, &report));
    }
    let mut wrong = answers::contradictions(&damaged, &spec, &report, &mut asking);
    if seed.is_multiple_of(EXPORTED_EACH) {
        wrong.extend(answers::exported(&damaged, &report));
    }
    assert!(wrong.is_empty(), "{}", context(&of_kind(&wrong.join("\n")), seed, &spec, &report));
    Some(kind)
}

/// Says which tape it was, in words that fit on a screen, and what `verify` said of it.
fn context(what: &str, seed: u64, spec: &Spec, report: &Report) -> String {
    let day = |day: &tape::DaySpec| {
        let ids = day.trades.first().zip(day.trades.last()).map(|(first, last)| (first.trade_id, last.trade_id));
        format!("  {} {:?} {ids:?}, {} tickers\n", day.date, day.state, day.tickers.len())
    };
    let product = |product: &tape::ProductSpec| format!("{}\n{}", product.product, product.days.iter().map(day).collect::<String>());
    let products: String = spec.products.iter().map(product).collect();
    let (columns, dates, datasets) = (spec.options.columns, spec.options.date_format, &spec.datasets);
    format!("{what}; seed {seed}; {columns:?} {dates:?} {datasets:?}, absence {:?}\n{products}{}", spec.absence, said(report))
}

#[test]
fn verify_tells_whole_tapes_from_damaged_ones() {
    let tapes = number("COLTAPE_TAPES").unwrap_or(TAPES);
    let seed = number("COLTAPE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("COLTAPE_SEED={seed}");
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) as u64;
    let work = |worker: u64| {
        let mut fitting: BTreeMap<usize, u64> = BTreeMap::new();
        for tape in (worker..tapes).step_by(workers as usize) {
            let first = (number("COLTAPE_KIND").unwrap_or(0) + tape) as usize % kinds().len();
            *fitting.entry(damage_a_tape(seed.wrapping_add(tape), first)).or_default() += 1;
        }
        fitting
    };
    let counts: Vec<BTreeMap<usize, u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().expect("done")).collect()
    });
    let count = |kind: usize| counts.iter().filter_map(|counts| counts.get(&kind)).sum::<u64>();
    for (kind, (name, _)) in kinds().into_iter().enumerate() {
        println!("{:>6}  {name}", count(kind));
        // A kind that fits few tapes is looked for until one does.
        let fitting = |attempt: u64| try_tape(seed.wrapping_add(tapes).wrapping_add(attempt << 40), &[kind]);
        let is_tried = count(kind) > 0 || tapes < TAPES || (0..MORE_ATTEMPTS).find_map(fitting).is_some();
        assert!(is_tried, "no tape was damaged so: {name}");
    }
}
