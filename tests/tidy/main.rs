//! The house rules that a machine can check: layers, names, sizes, the one room for unsafe code, the one place for the wall clock.
//!
//! Every rule has a case that must break it, so that none of them can fall asleep.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod promises;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests, above which a noun is missing.
const LONG: usize = 500;

/// A room and the rooms it may use beside itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("product", &[]),
    ("time", &[]),
    ("decimal", &[]),
    ("ids", &[]),
    ("record", &["decimal", "time"]),
    ("schema", &["decimal", "record", "time"]),
    ("store", &["decimal", "ids", "product", "record", "schema", "time"]),
    ("feed", &["decimal", "ids", "product", "record", "schema", "time"]),
    ("capture", &["decimal", "feed", "ids", "product", "record", "repair", "schema", "store", "time"]),
    ("stored", &["schema", "store"]),
    ("json", &[]),
    ("query", &["decimal", "ids", "json", "product", "record", "schema", "store", "stored", "time"]),
    ("verify", &["decimal", "ids", "json", "product", "record", "schema", "store", "stored", "time"]),
    ("repair", &["decimal", "feed", "ids", "json", "product", "record", "schema", "store", "stored", "time"]),
    ("simulate", &["decimal", "ids", "product", "record", "time"]),
    ("cli", &["capture", "decimal", "feed", "product", "query", "record", "repair", "schema", "simulate", "store", "time", "verify"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

const BANNED_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code before the file's own tests, without comments.
fn code(text: &str) -> String {
    let body = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    body.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn layer_breaks(room: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("the room {room} stands in no layer")];
    };
    let code = code(text);
    let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut used: Vec<String> = code
        .match_indices("crate::")
        // `coltape_crate::` and `$crate::` are other things; `crate::{a, b}` is spelled out one by one in this house.
        .filter(|(at, _)| !code[..*at].ends_with(is_part_of_name))
        .map(|(at, found)| code[at + found.len()..].chars().take_while(|c| is_part_of_name(*c)).collect())
        .collect();
    used.sort();
    used.dedup();
    used.into_iter()
        .filter(|other| other != room && !allowed.contains(&other.as_str()))
        .map(|other| format!("{room} uses crate::{other}"))
        .collect()
}

fn name_break(path: &Path) -> Option<String> {
    let stem = path.file_stem().unwrap().to_string_lossy();
    (BANNED_NAMES.contains(&&*stem) || stem == "mod").then(|| format!("{}: {stem} is no noun of the field", path.display()))
}

/// How the use of a macro begins, spelled apart so that this file holds none itself.
fn macro_call(name: &str) -> String {
    format!("{name}!(")
}

fn text_breaks(path: &Path, text: &str) -> Vec<String> {
    let code = code(text);
    let inside = path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned();
    let mut breaks = Vec::new();
    if inside != "src/store/map.rs" && code.contains("unsafe ") {
        breaks.push(format!("{inside}: unsafe code lives in src/store/map.rs alone"));
    }
    if inside != "src/time.rs" && code.contains("SystemTime::now") {
        breaks.push(format!("{inside}: wall time comes in through time.rs"));
    }
    if !inside.starts_with("src/cli") && inside != "src/main.rs" && code.contains("println!(") {
        breaks.push(format!("{inside}: only cli prints"));
    }
    if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!(") {
        breaks.push(format!("{inside}: begins without saying what it is"));
    }
    let lines = code.lines().count();
    if lines > LONG {
        breaks.push(format!("{inside}: {lines} lines; look for the missing noun"));
    }
    for word in [macro_call("todo"), macro_call("unimplemented"), macro_call("dbg"), ["FIX", "ME"].concat()] {
        if code.contains(&word) {
            breaks.push(format!("{inside}: {word}"));
        }
    }
    breaks
}

#[test]
fn no_room_uses_one_it_must_not() {
    let breaks: Vec<String> =
        sources(&root().join("src")).iter().flat_map(|path| layer_breaks(&room_of(path), &fs::read_to_string(path).unwrap())).collect();
    assert!(breaks.is_empty(), "{breaks:#?}");
    assert!(!layer_breaks("feed", "use crate::store::Day;").is_empty());
    assert!(!layer_breaks("store", "let x = crate::feed::Feed::Exchange;").is_empty());
    assert!(!layer_breaks("simulate", "use crate::feed::Decoder;").is_empty());
    assert!(!layer_breaks("attic", "").is_empty());
    assert!(layer_breaks("feed", "use crate::record::Trade; // not crate::store").is_empty());
}

#[test]
fn files_keep_the_rules_of_the_house() {
    let files = sources(&root().join("src"));
    assert!(files.len() > 20);
    let breaks: Vec<String> =
        files.iter().flat_map(|path| text_breaks(path, &fs::read_to_string(path).unwrap()).into_iter().chain(name_break(path))).collect();
    assert!(breaks.is_empty(), "{breaks:#?}");
    let planted = Path::new("src/planted.rs");
    for bad in
        ["//! x\nunsafe { }", "//! x\nSystemTime::now()", "//! x\nprintln!(\"\")", "no head", &format!("//! x\n{})", macro_call("todo"))]
    {
        assert_eq!(text_breaks(planted, bad).len(), 1, "{bad}");
    }
    assert_eq!(text_breaks(planted, &format!("//! x{}", "\nlet a = 1;".repeat(LONG))).len(), 1);
    assert!(name_break(Path::new("src/feed/utils.rs")).is_some() && name_break(Path::new("src/feed/mod.rs")).is_some());
}

#[test]
fn half_of_the_files_are_short() {
    let mut lines: Vec<usize> = sources(&root().join("src")).iter().map(|path| fs::read_to_string(path).unwrap().lines().count()).collect();
    lines.sort_unstable();
    // Tests included: a file of 260 lines with its tests is one of under 200 without.
    assert!(lines[lines.len() / 2] < 300, "median {} lines", lines[lines.len() / 2]);
}

#[test]
fn no_async_runtime_is_in_the_tree() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
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
