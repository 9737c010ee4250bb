//! Contests: entrants that do the same work, run in alternating rounds so that the machine's moods meet all of them alike.
//!
//! A contest's figures are medians over the rounds; a ratio is taken within each round first.

use std::time::{Duration, Instant};

/// One way to do the work.
pub struct Entrant {
    /// Its name in the table.
    pub name: &'static str,
    /// Does the work once and gives the time that counts.
    pub run: Box<dyn FnMut() -> Duration>,
}

/// Entrants that do the same work.
pub struct Contest {
    /// Its name in the table.
    pub name: &'static str,
    /// What is counted, as in `ns / message`.
    pub per: &'static str,
    /// How many of those one run is.
    pub elements: u64,
    /// Who takes part.
    pub entrants: Vec<Entrant>,
}

/// What was measured of one entrant, a value a round.
pub struct Series {
    /// The contest.
    pub contest: String,
    /// The entrant, or the entrant's other figure.
    pub name: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// The values, in the order of the rounds.
    pub values: Vec<f64>,
}

/// All that was measured.
#[derive(Default)]
pub struct Measured(Vec<Series>);

impl Measured {
    /// Adds a round's value.
    pub fn note(&mut self, contest: &str, name: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|series| series.contest == contest && series.name == name) {
            Some(series) => series.values.push(value),
            None => self.0.push(Series { contest: contest.to_owned(), name: name.to_owned(), unit, values: vec![value] }),
        }
    }

    /// Gives the series of an entrant.
    pub fn find(&self, contest: &str, name: &str) -> Option<&Series> {
        self.0.iter().find(|series| series.contest == contest && series.name == name)
    }

    /// Gives the quartiles of the ratio of two series, round by round.
    pub fn ratio(&self, above: (&str, &str), below: (&str, &str)) -> Option<[f64; 3]> {
        let (above, below) = (self.find(above.0, above.1)?, self.find(below.0, below.1)?);
        let ratios: Vec<f64> = above.values.iter().zip(&below.values).map(|(above, below)| above / below).collect();
        if ratios.is_empty() { None } else { Some(quartiles(&ratios)) }
    }

    /// Prints the table.
    pub fn print(&self) {
        let mut contest = "";
        for series in &self.0 {
            if series.contest != contest {
                println!("\n{}", series.contest);
                contest = &series.contest;
            }
            let [low, middle, high] = quartiles(&series.values);
            println!("  {:<58} {:>12} {:<16} ({} to {})", series.name, short(middle), series.unit, short(low), short(high));
        }
    }
}

/// Gives lower quartile, median and upper quartile.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    [at(0.25), at(0.5), at(0.75)]
}

/// Shows a value with as many digits as say something.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The CPU time of this thread so far: what else the machine does meanwhile is left out, and so is waiting for the disk.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How long an entrant works in one round at least.
const TURN: Duration = Duration::from_millis(60);

impl Contest {
    /// Runs the contest: each round every entrant has a turn, and begins one place later than in the round before.
    pub fn hold(&mut self, rounds: usize, measured: &mut Measured) {
        let count = self.entrants.len();
        let mut values = vec![Vec::new(); count];
        for round in 0..=rounds {
            for turn in 0..count {
                let at = (round + turn) % count;
                let (began, mut counted, mut runs) = (Instant::now(), Duration::ZERO, 0u64);
                while runs == 0 || began.elapsed() < TURN {
                    counted += (self.entrants[at].run)();
                    runs += 1;
                }
                // The first round warms up.
                if round > 0 {
                    values[at].push(counted.as_nanos() as f64 / (runs * self.elements) as f64);
                }
            }
        }
        for (entrant, values) in self.entrants.iter().zip(values) {
            for value in values {
                measured.note(self.name, entrant.name, self.per, value);
            }
        }
    }
}

/// A figure that has to be held.
pub struct Target {
    /// What it says.
    pub text: &'static str,
    /// Numerator: contest and entrant.
    pub above: (&'static str, &'static str),
    /// Denominator.
    pub below: (&'static str, &'static str),
    /// What the ratio must reach, or must not exceed.
    pub bound: Bound,
}

/// Which way a target lies.
#[derive(Clone, Copy)]
pub enum Bound {
    /// The ratio has to reach this.
    AtLeast(f64),
    /// The ratio must not exceed this.
    AtMost(f64),
}

impl Target {
    /// Prints whether the median of the rounds' ratios holds. Nothing where it was not measured.
    pub fn judge(&self, measured: &Measured) -> Option<bool> {
        let [low, middle, high] = measured.ratio(self.above, self.below)?;
        let is_met = match self.bound {
            Bound::AtLeast(bound) => middle >= bound,
            Bound::AtMost(bound) => middle <= bound,
        };
        println!("  {:<8} {:<92} {} ({} to {})", if is_met { "met" } else { "NOT MET" }, self.text, short(middle), short(low), short(high));
        Some(is_met)
    }
}
