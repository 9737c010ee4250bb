//! Records that are followed while a day grows, is sealed and takes late ones, against what was stored.

use std::sync::Arc;

use super::*;
use crate::record::{Ticker, Trade};
use crate::schema::{Md, Trades};
use crate::store::{DataDir, Day, InsertError, Inserted, StoreOptions, seal};
use crate::time::UnixNanos;
use proptest::prelude::*;

const DATE: UtcDay = UtcDay(20_246);

/// What happens to a day.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A record comes, the ids in front of it do not.
    Append {
        skipped: u64,
    },
    /// A record comes that was skipped; of tickers one that comes when the day is over.
    Late,
    Commit,
    /// The day is sealed, with late records in their place, and opened again.
    Seal,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3).prop_map(|skipped| Step::Append { skipped }),
        3 => Just(Step::Late),
        3 => Just(Step::Commit),
        1 => Just(Step::Seal),
        3 => Just(Step::Look),
    ]
}

struct Followed<L: Layout> {
    folder: tempfile::TempDir,
    data: Arc<DataDir>,
    day: Option<Day<L>>,
    now: UnixNanos,
    follow: Follow<L>,
    given: Vec<u64>,
}

impl<L: Layout> Followed<L> {
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "test").expect("a directory"));
        let (day, _) = Day::open(&data, &product(), DATE, DATE.start()).expect("a day");
        let follow = Tape::to_be(folder.path()).follow(&product(), TimeRange::ALL);
        Self { folder, data, day: Some(day), now: DATE.start(), follow, given: Vec::new() }
    }

    fn day(&mut self) -> &mut Day<L> {
        self.day.as_mut().expect("open")
    }

    fn insert(&mut self, row: &L::Row) -> Inserted<L::Row> {
        loop {
            match self.day().insert(row) {
                Ok(done) => return done,
                Err(InsertError::NoRoom) => self.day().files().provision().expect("room"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn seal(&mut self) {
        self.day().commit();
        let closed = self.day.take().expect("open").close();
        assert!(seal::seal(&self.data, vec![closed]).iter().all(|outcome| outcome.sealed.is_ok()));
        self.day = Some(Day::open(&self.data, &product(), DATE, self.now).expect("a day").0);
    }

    /// Looks. What is not late lies behind all that was given.
    fn look(&mut self) {
        let given = &mut self.given;
        let look = |arrivals: &Arrivals<'_, L>| {
            for record in arrivals.records() {
                let key = L::key(&record.row().expect("there"));
                let is_behind = given.iter().all(|given| *given < key);
                assert!(L::DATASET != crate::schema::Dataset::Trades || is_behind != record.is_late(), "{key} after {given:?}");
                given.push(key);
            }
            Ok::<(), TapeError>(())
        };
        self.follow.look(look).expect("readable");
    }
}

fn product() -> ProductId {
    ProductId::new("BTC-USD").expect("a product")
}

/// Follows trades through these steps. Gives the ids that were committed and those that were given.
fn trades(steps: &[Step]) -> (Vec<u64>, Vec<u64>) {
    let mut followed = Followed::<Trades>::begin();
    let (mut last, mut skipped, mut stored) = (0, Vec::new(), Vec::new());
    for step in steps {
        let id = match step {
            Step::Append { skipped: more } => {
                skipped.extend(last + 1..=last + more);
                last += more + 1;
                last
            }
            Step::Late if !skipped.is_empty() => skipped.swap_remove(skipped.len() / 2),
            Step::Late => continue,
            Step::Commit => {
                followed.day().commit();
                continue;
            }
            Step::Seal => {
                followed.seal();
                continue;
            }
            Step::Look => {
                followed.look();
                continue;
            }
        };
        followed.insert(&Trade { trade_id: id, time: UnixNanos(DATE.start().0 + id), ..Trades::EMPTY });
        stored.push(id);
    }
    followed.day().commit();
    followed.look();
    followed.look();
    drop(followed.folder);
    (stored, followed.given)
}

/// Follows tickers through these steps, those behind the first late one after midnight. Gives the sequences that were committed and those that were given.
fn tickers(steps: &[Step]) -> (Vec<u64>, Vec<u64>) {
    let mut followed = Followed::<Md>::begin();
    let (mut last, mut stored, mut is_over) = (0, Vec::new(), false);
    for step in steps {
        match step {
            Step::Commit => followed.day().commit(),
            Step::Seal => followed.seal(),
            Step::Look => followed.look(),
            Step::Append { .. } | Step::Late => {
                if matches!(step, Step::Late) && !is_over {
                    // From now on the day takes late records only.
                    (is_over, followed.now) = (true, UnixNanos(DATE.next().start().0 + 1));
                    followed.seal();
                }
                last += 1;
                followed.insert(&Ticker { sequence: last, time: UnixNanos(DATE.start().0 + last), ..Md::EMPTY });
                stored.push(last);
            }
        }
    }
    followed.day().commit();
    followed.look();
    followed.look();
    drop(followed.folder);
    (stored, followed.given)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_record_is_given_once_whatever_happens_between_two_looks(steps in prop::collection::vec(step(), 1..30)) {
        for (mut stored, mut given) in [trades(&steps), tickers(&steps)] {
            stored.sort_unstable();
            given.sort_unstable();
            prop_assert_eq!(given, stored, "{:?}", &steps);
        }
    }
}

#[test]
fn a_late_record_that_is_merged_before_anybody_looks_is_given() {
    use Step::{Append, Commit, Late, Look, Seal};
    let append = Append { skipped: 1 };
    for steps in [
        &[append, append, Commit, Look, Late, Seal, append, Look][..],
        &[append, Commit, Look, append, Late, Commit, Look, Late, Seal, append, Late, Commit][..],
        &[append, Late, Commit, Look, append, Late, Seal, Late, Seal, Look][..],
    ] {
        for (mut stored, mut given) in [trades(steps), tickers(steps)] {
            stored.sort_unstable();
            given.sort_unstable();
            assert_eq!(given, stored, "{steps:?}");
        }
    }
}
