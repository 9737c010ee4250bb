//! Scripts show what cargo does: a build of minutes that says nothing looks like one that hangs.

use crate::report;
use crate::source::root;

/// How cargo's own progress may be hidden.
const SILENT: [&str; 5] = ["--quiet", " -q ", "2>/dev/null", "&>", ">/dev/null 2>&1"];

/// Where a line runs cargo and hides what it says.
fn hidden_builds(path: &str, text: &str) -> Vec<String> {
    let commands = ["cargo build", "cargo test", "cargo bench", "cargo doc", "cargo clippy", "cargo run"];
    let is_silent = |line: &str| SILENT.iter().any(|way| line.contains(way)) || (line.contains("2>&1") && !line.contains("| tee"));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines
        .filter(|(_, line)| commands.iter().any(|command| line.contains(command)) && is_silent(line))
        .map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim()))
        .collect()
}

#[test]
fn no_script_hides_what_cargo_says() {
    let mut breaks = Vec::new();
    for entry in std::fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        breaks.extend(hidden_builds(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap()));
    }
    report("scripts", &breaks);
}

#[test]
fn a_hidden_build_is_found() {
    for line in [
        "cargo build --locked --quiet",
        "cargo test -q --test x",
        "cargo bench 2>/dev/null",
        "cargo doc >/dev/null 2>&1",
        "cargo test >\"$log\" 2>&1 || true",
    ] {
        assert_eq!(hidden_builds("x", line).len(), 1, "{line}");
    }
    for line in
        ["cargo build --locked", "# cargo build --quiet", "cargo test --locked 2>&1 | tee \"$log\"", "grep -q cargo x", "cargo fmt --check"]
    {
        assert!(hidden_builds("x", line).is_empty(), "{line}");
    }
}
