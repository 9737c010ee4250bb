//! [`repair_or_ask`]: repairs a directory, or asks the capture that holds it to do so and waits for its answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::request::{RepairAnswer, RepairRequest};
use crate::store::{StoreError, holder_of};

use super::config::RepairConfig;
use super::directory::repair;
use super::error::RepairError;
use super::report::Report;

/// Time between two looks for an answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Time between two looks whether the capture is still there.
const HOLDER_INTERVAL: Duration = Duration::from_secs(1);

/// Who did the work.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// This process.
    Repaired(Report),
    /// The capture that holds the directory.
    Answered(RepairAnswer),
}

/// Repairs a data directory. Where a capture holds it, asks that capture and waits at most `patience` for its answer.
///
/// # Errors
/// As [`repair`]; also where the capture does not answer in time.
pub(crate) fn repair_or_ask(config: &RepairConfig, patience: Duration) -> Result<Outcome, RepairError> {
    let deadline = Instant::now() + patience;
    loop {
        match repair(config) {
            Err(RepairError::Store(StoreError::Locked { pid, .. })) => {
                log::info!("{} is held by process {pid}, which is asked; it uses its own REST endpoint and rate", config.dir.display());
                if let Some(answer) = ask(config, &pid, deadline)? {
                    return Ok(Outcome::Answered(answer));
                }
            }
            done => return done.map(Outcome::Repaired),
        }
    }
}

/// Asks whoever holds the directory. `None` where it has ended without an answer.
fn ask(config: &RepairConfig, pid: &str, deadline: Instant) -> Result<Option<RepairAnswer>, RepairError> {
    let dir = &config.dir;
    let from = config.from.iter().map(|tape| absolute(tape)).collect::<Result<Vec<PathBuf>, RepairError>>()?;
    let request = RepairRequest { id: config.clock.now().0, from, product: config.product.clone(), rest: config.rest.is_some() };
    loop {
        match request.write(dir) {
            Ok(()) => break,
            Err(StoreError::InUse { path }) if Instant::now() >= deadline => {
                return Err(RepairError::Unanswered(format!("another request waits in {}", path.display())));
            }
            Err(StoreError::InUse { .. }) => std::thread::sleep(LOOK_INTERVAL),
            Err(error) => return Err(error.into()),
        }
    }
    let mut looked = Instant::now();
    loop {
        if let Some(answer) = RepairAnswer::take(dir, request.id)? {
            return Ok(Some(answer));
        }
        if looked.elapsed() >= HOLDER_INTERVAL {
            looked = Instant::now();
            if holder_of(dir)?.is_none() {
                request.withdraw(dir)?;
                return Ok(RepairAnswer::take(dir, request.id)?);
            }
        }
        if Instant::now() >= deadline {
            let was_taken = !request.withdraw(dir)?;
            let what = if was_taken { "took the request and has not answered yet" } else { "does not take requests" };
            return Err(RepairError::Unanswered(format!("process {pid} holds {} and {what}", dir.display())));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn absolute(tape: &Path) -> Result<PathBuf, RepairError> {
    tape.canonicalize().map_err(|error| RepairError::Tape { tape: tape.to_owned(), why: format!("cannot be found: {error}") })
}
