//! The sum of a column of a whole day. The rival is the same loop over a slice of plain memory that holds the same values.

use std::hint::black_box;
use std::rc::Rc;

use coltape::{Run, Snapshot, Trades};

use crate::day::BenchDay;
use crate::rounds::{Contest, Entrant, thread_cpu};

pub const NAME: &str = "scan: sum of a column of a day";
/// The column where it lies.
pub const COLUMN: &str = "coltape: Snapshot::column, mapped";
/// In the merged order.
pub const RUNS: &str = "coltape: Snapshot::runs and column";
/// Memory of the process.
pub const PLAIN: &str = "a plain slice";
const ROWS: &str = "coltape: Snapshot::rows, whole records of a tenth of the day";

/// Sums in eight lanes, so that the memory is the limit and not the addition.
fn sum(values: &[f64]) -> f64 {
    let (blocks, rest) = values.as_chunks::<8>();
    let lanes = blocks.iter().fold([0.0; 8], |mut lanes, block| {
        lanes.iter_mut().zip(block).for_each(|(lane, value)| *lane += value);
        lanes
    });
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

fn by_column(day: &Snapshot<Trades>) -> f64 {
    sum(day.column("trade_size_f64").unwrap())
}

fn by_runs(day: &Snapshot<Trades>) -> f64 {
    let sizes: &[f64] = day.column("trade_size_f64").unwrap();
    day.runs(0..day.count())
        .map(|run| match run {
            Run::Columns(records) => sum(&sizes[records]),
            Run::Late(row) => row.size.as_f64,
        })
        .sum()
}

/// The contest.
pub fn contest(day: &Rc<BenchDay>) -> Contest {
    let elements = day.trades;
    let day = Rc::new(day.open());
    let plain = day.column::<f64>("trade_size_f64").unwrap().to_vec();
    let expected = sum(&plain);
    let entrant = |name, share: u32, read: Box<dyn Fn() -> f64>| {
        let run = move || {
            let began = thread_cpu();
            let found = black_box(read());
            let took = thread_cpu() - began;
            let expected = expected / f64::from(share);
            assert!((found - expected).abs() <= expected * 1e-2, "{name}: {found} is not {expected}");
            took * share
        };
        Entrant { name, run: Box::new(run) }
    };
    let held = || Rc::clone(&day);
    let (columns, runs, rows) = (held(), held(), held());
    let entrants = vec![
        entrant(COLUMN, 1, Box::new(move || by_column(&columns))),
        entrant(RUNS, 1, Box::new(move || by_runs(&runs))),
        entrant(PLAIN, 1, Box::new(move || sum(black_box(&plain)))),
        entrant(ROWS, 10, Box::new(move || rows.rows_in(0..rows.count() / 10).map(|trade| trade.size.as_f64).sum())),
    ];
    Contest { name: NAME, per: "ns CPU / record", elements, entrants }
}
