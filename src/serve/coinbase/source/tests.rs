//! Every record that is committed is given once, whatever happens between two looks.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::record::{Ticker, Trade};
use crate::schema::{Md, Trades};
use crate::store::{DataDir, Day, InsertError, StoreOptions, seal};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

const DATE: UtcDay = UtcDay(20_246);

/// What happens to a tape.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A record comes; of trades, the ids in front of it do not.
    Append {
        skipped: u64,
    },
    /// A trade comes that was skipped.
    Late,
    Commit,
    /// The day is sealed, with late records in their place, and opened again.
    Seal,
    /// The next day begins.
    Midnight,
    /// So many records are taken, at most.
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..3).prop_map(|skipped| Step::Append { skipped }),
        3 => Just(Step::Late),
        3 => Just(Step::Commit),
        1 => Just(Step::Seal),
        1 => Just(Step::Midnight),
        4 => (0usize..5).prop_map(Step::Take),
        2 => Just(Step::Take(usize::MAX)),
    ]
}

/// A tape that is written, and a source that reads it.
struct Written<L: Layout> {
    data: Arc<DataDir>,
    date: UtcDay,
    day: Option<Day<L>>,
    source: Source<L>,
    given: Vec<u64>,
    _folder: tempfile::TempDir,
}

impl<L: Layout> Written<L> {
    fn begin(at_end: bool, before: &[L::Row]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "test").expect("a directory"));
        let product = ProductId::new("BTC-USD").expect("a product");
        let (day, _) = Day::open(&data, &product, DATE, DATE.start()).expect("a day");
        let tape = Tape::open(folder.path()).expect("a tape");
        let mut written = Self {
            data,
            date: DATE,
            day: Some(day),
            source: Source::new(&tape, &product, TimeRange::ALL),
            given: Vec::new(),
            _folder: folder,
        };
        before.iter().for_each(|row| written.insert(row));
        written.day().commit();
        if at_end {
            written.source = Source::at_end(&tape, &product).expect("readable");
        }
        written
    }

    fn day(&mut self) -> &mut Day<L> {
        self.day.as_mut().expect("open")
    }

    fn insert(&mut self, row: &L::Row) {
        loop {
            match self.day().insert(row) {
                Ok(_) => return,
                Err(InsertError::NoRoom) => self.day().files().provision().expect("room"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn open(&mut self, date: UtcDay) {
        self.date = date;
        let product = ProductId::new("BTC-USD").expect("a product");
        self.day = Some(Day::open(&self.data, &product, date, UnixNanos(date.start().0 + NANOS_PER_SECOND)).expect("a day").0);
    }

    fn seal(&mut self) {
        self.day().commit();
        let closed = self.day.take().expect("open").close();
        assert!(seal::seal(&self.data, vec![closed]).iter().all(|outcome| outcome.sealed.is_ok()));
        self.open(self.date);
    }

    fn midnight(&mut self) {
        self.day().commit();
        drop(self.day.take().expect("open").close());
        self.open(self.date.next());
    }

    fn take(&mut self, most: usize, id: impl Fn(&L::Row) -> u64) {
        for _ in 0..most {
            let Some(given) = self.source.next().expect("readable") else { return };
            self.given.push(id(&given.row));
        }
    }

    /// Carries out what both datasets have in common. Gives the step back if it is another one.
    fn carry_out(&mut self, step: Step, id: impl Fn(&L::Row) -> u64) -> Option<Step> {
        match step {
            Step::Commit => self.day().commit(),
            Step::Seal => self.seal(),
            Step::Midnight => self.midnight(),
            Step::Take(most) => self.take(most, id),
            other => return Some(other),
        }
        None
    }
}

fn trade(id: u64, date: UtcDay) -> Trade {
    Trade { trade_id: id, time: UnixNanos(date.start().0 + id), ..Trades::EMPTY }
}

/// Gives the ids that were committed and those that were given.
fn trades(steps: &[Step], at_end: bool) -> (Vec<u64>, Vec<u64>) {
    let mut written = Written::<Trades>::begin(at_end, &[trade(1, DATE), trade(3, DATE)]);
    let (mut last, mut skipped) = (3, vec![2]);
    let mut stored = if at_end { Vec::new() } else { vec![1, 3] };
    for step in steps {
        let id = match written.carry_out(*step, |row| row.trade_id) {
            None => {
                if matches!(step, Step::Midnight) {
                    skipped.clear();
                }
                continue;
            }
            Some(Step::Append { skipped: more }) => {
                skipped.extend(last + 1..=last + more);
                last += more + 1;
                last
            }
            Some(_) if !skipped.is_empty() => skipped.swap_remove(skipped.len() / 2),
            Some(_) => continue,
        };
        let date = written.date;
        written.insert(&trade(id, date));
        stored.push(id);
    }
    written.day().commit();
    written.take(usize::MAX, |row| row.trade_id);
    (stored, written.given)
}

fn tickers(steps: &[Step], at_end: bool) -> (Vec<u64>, Vec<u64>) {
    let ticker = |sequence: u64, date: UtcDay| Ticker { sequence, time: UnixNanos(date.start().0 + sequence), ..Md::EMPTY };
    let mut written = Written::<Md>::begin(at_end, &[ticker(1, DATE)]);
    let (mut last, mut stored) = (1, if at_end { Vec::new() } else { vec![1] });
    for step in steps {
        if written.carry_out(*step, |row| row.sequence).is_some() {
            last += 1;
            let date = written.date;
            written.insert(&ticker(last, date));
            stored.push(last);
        }
    }
    written.day().commit();
    written.take(usize::MAX, |row| row.sequence);
    (stored, written.given)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_record_is_given_once_whatever_happens_between_two_looks(steps in prop::collection::vec(step(), 1..40), at_end: bool) {
        let (mut stored, mut given) = trades(&steps, at_end);
        stored.sort_unstable();
        given.sort_unstable();
        prop_assert_eq!(given, stored, "{:?}", &steps);
        let (stored, given) = tickers(&steps, at_end);
        prop_assert_eq!(given, stored, "{:?}", &steps);
    }
}

#[test]
fn a_late_trade_that_is_merged_before_anybody_looks_is_given() {
    use Step::{Append, Late, Seal, Take};
    let append = Append { skipped: 1 };
    for at_end in [false, true] {
        for steps in [
            &[append, append, Take(2), Late, Seal, append, Take(1), Late, Seal][..],
            &[Take(1), append, Late, Seal, Take(1), Late, append, Seal],
        ] {
            let (mut stored, mut given) = trades(steps, at_end);
            stored.sort_unstable();
            given.sort_unstable();
            assert_eq!(given, stored, "{steps:?}");
        }
    }
}

#[test]
fn a_range_of_time_gives_its_records_alone_also_of_what_comes_later() {
    let mut written = Written::<Trades>::begin(false, &[trade(1, DATE), trade(2, DATE), trade(3, DATE)]);
    let tape = written.source.tape.clone();
    let at = |nanos: u64| Some(UnixNanos(DATE.start().0 + nanos));
    let range = TimeRange { from: at(2), to: at(5) };
    written.source = Source::new(&tape, &ProductId::new("BTC-USD").expect("a product"), range);
    written.take(usize::MAX, |row| row.trade_id);
    for id in 4..8 {
        written.insert(&trade(id, DATE));
    }
    written.day().commit();
    written.take(usize::MAX, |row| row.trade_id);
    assert_eq!(written.given, [2, 3, 4]);
    written.seal();
    written.take(usize::MAX, |row| row.trade_id);
    assert_eq!(written.given, [2, 3, 4], "the same files by another name");
}

#[test]
fn a_day_whose_files_are_being_made_is_given_as_soon_as_they_are() {
    use std::os::unix::fs::FileExt;
    let mut written = Written::<Trades>::begin(false, &[trade(1, DATE), trade(2, DATE)]);
    let path = written.source.tape.dir().join(format!("BTC-USD/TRADES/commit.{DATE}.bin"));
    let page = std::fs::read(&path).expect("a page");
    // In place, so that the time of the folder stays as it is.
    let put =
        |bytes: &[u8]| std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.write_all_at(bytes, 0)).expect("written");
    put(&vec![0; page.len()]);
    // For so long that the list of days is taken for complete.
    let since = std::time::Instant::now();
    while since.elapsed() < std::time::Duration::from_millis(60) {
        written.take(usize::MAX, |row| row.trade_id);
    }
    assert_eq!(written.given, [0; 0]);
    put(&page);
    written.take(usize::MAX, |row| row.trade_id);
    assert_eq!(written.given, [1, 2]);
}
