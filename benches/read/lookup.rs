//! A minute found in a day. The rival is a search by halves for the ends of the minute, which is wrong where times fall; the other one looks at every second.

use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use coltape::{Snapshot, TimeRange, Trades, UnixNanos};

use crate::day::{BenchDay, Draw};
use crate::rounds::{Contest, Entrant, thread_cpu};

pub const NAME: &str = "lookup: a minute of a day";
/// By the index.
pub const RANGE: &str = "coltape: Snapshot::time_range, warm";
const PIECES: &str = "coltape: Snapshot::time_pieces, warm";
const HALVES: &str = "partition_point over the seconds (wrong where times fall)";
const FILTER: &str = "a filter over all seconds, per minute";

const MINUTE_NANOS: u64 = 60_000_000_000;
/// Minutes looked for in one run.
const LOOKUPS: u64 = 64;

/// Looks for minutes with `find`, and holds the number of records found against what it must be nearly.
fn lookups(day: &Snapshot<Trades>, find: impl Fn(&Snapshot<Trades>, TimeRange) -> usize) -> Duration {
    let (mut draw, start) = (Draw(77), day.key().date.start().0);
    let minutes: Vec<TimeRange> = (0..LOOKUPS)
        .map(|_| start + draw.next() % (1439 * MINUTE_NANOS))
        .map(|from| TimeRange::new(UnixNanos(from), UnixNanos(from + MINUTE_NANOS)))
        .collect();
    let usual = day.count() / 1440;
    let began = thread_cpu();
    let found: Vec<usize> = minutes.into_iter().map(|minute| black_box(find(day, minute))).collect();
    let took = thread_cpu() - began;
    assert!(found.iter().all(|count| count.abs_diff(usual) <= usual / 10 + 1000), "{found:?} are not about {usual}");
    took
}

fn by_halves(day: &Snapshot<Trades>, minute: TimeRange) -> usize {
    let seconds: &[u32] = day.column("trade_time").unwrap();
    let ends: Range<u64> = minute.from.unwrap().0..minute.to.unwrap().0;
    let at = |time: u64| seconds.partition_point(|second| u64::from(*second) * 1_000_000_000 < time);
    at(ends.end) - at(ends.start)
}

fn by_filter(day: &Snapshot<Trades>, minute: TimeRange) -> usize {
    let seconds: &[u32] = day.column("trade_time").unwrap();
    let (from, to) = (minute.from.unwrap().seconds(), minute.to.unwrap().seconds());
    seconds.iter().filter(|second| (from..to).contains(second)).count()
}

/// The contest.
pub fn contest(day: &Rc<BenchDay>) -> Contest {
    let day = Rc::new(day.open());
    let began = std::time::Instant::now();
    assert_eq!(day.time_range(TimeRange::ALL).len(), day.count());
    println!("the first question of a snapshot: {:.1} ms for {} trades", began.elapsed().as_secs_f64() * 1e3, day.count());
    let entrant = |name, find: fn(&Snapshot<Trades>, TimeRange) -> usize| {
        let day = Rc::clone(&day);
        Entrant { name, run: Box::new(move || lookups(&day, find)) }
    };
    let entrants = vec![
        entrant(RANGE, |day, minute| day.time_range(minute).len()),
        entrant(PIECES, |day, minute| day.time_pieces(minute).iter().map(Range::len).sum()),
        entrant(HALVES, by_halves),
        entrant(FILTER, by_filter),
    ];
    Contest { name: NAME, per: "ns CPU / lookup", elements: LOOKUPS, entrants }
}
