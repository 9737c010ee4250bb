//! The check of the README's promises is awake: it believes what a log of tests shows, and refuses what is invented, skipped or failed.

use std::path::Path;
use std::process::Command;

#[test]
fn a_promise_that_no_test_shows_is_refused() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/promises.sh");
    let output = Command::new(script).arg("--self-test").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("is refused"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
