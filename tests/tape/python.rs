//! What Python reads of a tape, with the packages that `scripts/setup_python.sh` installs. A test that finds no Python there fails.

mod cookbook;
mod days;
mod frames;
mod live;
mod load;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::capture::programs::coltape;

/// Gives the interpreter of the tests.
pub(crate) fn interpreter() -> PathBuf {
    let python = root().join("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup_python.sh", python.display());
    python
}

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Gives a command that runs Python with `scripts/coltape.py` to import.
pub(crate) fn python() -> Command {
    let mut command = Command::new(interpreter());
    command.env("PYTHONPATH", root().join("scripts")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Gives a command that runs a Python script of the tests.
pub(crate) fn script(name: &str) -> Command {
    let mut command = python();
    command.arg(root().join("tests/tape/python").join(name));
    command
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Holds a day, as `coltape.py` reads it, against what `coltape query --raw` prints of it. Gives the number of records.
fn compare_with_query(dir: &Path, product: &str, dataset: &str, date: &str) -> usize {
    let csv = dir.join(format!("{product}.{dataset}.{date}.csv"));
    let next = format!("{date}T23:59:59.999999999Z");
    let mut query = coltape();
    query.args(["query", product, "--dataset", dataset, "--from", date, "--to", &next, "--raw", "--format", "csv", "--data-dir"]).arg(dir);
    std::fs::write(&csv, output_of(&mut query)).unwrap();
    let said = output_of(script("same_as_query.py").arg(dir).args([product, dataset, date]).arg(&csv));
    said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
}
