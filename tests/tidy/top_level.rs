//! What stands beside the code: the top level of the repository, and the dependencies.

use std::io::Write as _;

use crate::source::root;

#[test]
fn no_async_runtime_is_in_the_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["tokio", "async-std", "smol", "futures", "futures-util", "async-executor", "mio", "tiny_http"] {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} came in");
    }
    assert!(lock.contains("name = \"simd-json\"\n"));
}

#[test]
fn the_top_level_holds_nothing_else() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "tests",
        "benches",
        "scripts",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "clippy.toml",
        "rustfmt.toml",
    ];
    let tracked = std::process::Command::new("git").arg("ls-files").current_dir(root()).output();
    let Some(tracked) = tracked.ok().filter(|tracked| tracked.status.success()) else {
        let _ = writeln!(std::io::stderr(), "skipped: this is no git checkout");
        return;
    };
    for path in String::from_utf8(tracked.stdout).unwrap().lines() {
        let top = path.split('/').next().unwrap();
        assert!(top.starts_with('.') || known.contains(&top), "{top} at the top level");
    }
}
