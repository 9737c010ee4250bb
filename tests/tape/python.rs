//! What Python reads of a tape, with the packages that `scripts/setup_python.sh` installs. A test that finds no Python there fails.

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Gives a command that runs a Python script of the tests, with `scripts/coltape.py` to import.
pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg(root().join("tests/tape/python").join(name)).env("PYTHONPATH", root().join("scripts")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}{err}", output.status);
    out.into_owned()
}
