//! Shapes of code that have no place here: unsafe code outside of its file, a second wall clock, channels without a bound, errors that are texts,
//! public errors and configs that cannot grow, questions that change something.

use std::path::Path;

use crate::sizes::functions;
use crate::source::{Source, files_in};

/// Names of files that say nothing.
const EMPTY_NAMES: [&str; 9] = ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc", "mod"];

/// Calls that change what they are called on.
const CHANGING_CALLS: [&str; 6] = [".swap(", ".store(", ".replace(", ".fetch_", ".set(", ".take()"];

/// How a macro is called. Put together here, so that this file does not hold it.
fn macro_call(name: &str) -> String {
    format!("{name}!(")
}

fn shape_breaks(source: &Source) -> Vec<String> {
    let (path, code) = (source.path.as_str(), source.code.as_str());
    let is_shell = path.starts_with("src/cli") || path == "src/main.rs";
    let mut breaks = Vec::new();
    let mut find = |shape: &str, is_allowed: bool, why: &str| {
        if let Some(at) = code.find(shape).filter(|_| !is_allowed) {
            breaks.push(format!("{path}:{}: {why}", source.line_of(at)));
        }
    };
    find("unsafe ", path == "src/store/map.rs", "unsafe code lives in src/store/map.rs alone");
    find("SystemTime::now", path == "src/time.rs", "wall time comes in through src/time.rs");
    find("println!(", is_shell, "only cli prints");
    find("unbounded(", false, "a channel without a bound");
    find("unbounded::<", false, "a channel without a bound");
    find("Result<Option<Result<", false, "a result in a result: name the outcomes in an enum");
    for name in ["todo", "unimplemented", "dbg"] {
        find(&macro_call(name), false, "unfinished");
    }
    if let Some(at) = text_error(code).filter(|_| !is_shell) {
        breaks.push(format!("{path}:{}: an error that is a text", source.line_of(at)));
    }
    if source.text.contains(&["FIX", "ME"].concat()) {
        breaks.push(format!("{path}: unfinished"));
    }
    if !source.text.starts_with("//!") && !source.text.starts_with("#![doc = include_str!(") {
        breaks.push(format!("{path}: begins without saying what it is"));
    }
    let stem = Path::new(path).file_stem().unwrap().to_string_lossy();
    if EMPTY_NAMES.contains(&&*stem) {
        breaks.push(format!("{path}: {stem} is no noun of the field"));
    }
    breaks.extend(closed_types(source));
    breaks.extend(changing_questions(source));
    breaks
}

/// Where a `Result` has `String` for its error.
fn text_error(code: &str) -> Option<usize> {
    code.match_indices("Result<").map(|(at, _)| at).find(|at| {
        let mut depth = 0;
        let inside = &code[at + "Result".len()..];
        let end = inside.char_indices().find(|(end, c)| {
            depth += i32::from(*c == '<');
            depth -= i32::from(*c == '>' && !inside[..*end].ends_with('-'));
            depth == 0
        });
        end.is_some_and(|(end, _)| {
            let error = inside[..end].rsplit(',').next().unwrap().trim();
            inside[..end].contains(',') && error == "String"
        })
    })
}

/// Public errors and configs without `#[non_exhaustive]`: a variant or a field more would break their users.
fn closed_types(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut breaks = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(declared) = line.trim_start().strip_prefix("pub enum ").or_else(|| line.trim_start().strip_prefix("pub struct ")) else {
            continue;
        };
        let name = declared.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        let attributes =
            lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with(['#', ')', ']']) || line.trim().is_empty());
        let is_open = attributes.into_iter().any(|line| line.contains("non_exhaustive"));
        if (name.ends_with("Error") || name.ends_with("Config")) && !is_open {
            breaks.push(format!("{}:{}: {name} is public and not #[non_exhaustive]", source.path, at + 1));
        }
    }
    breaks
}

/// Functions named as a question that change something.
fn changing_questions(source: &Source) -> Vec<String> {
    let questions = functions(source).into_iter().filter(|function| function.name.starts_with("is_") || function.name.starts_with("has_"));
    questions
        .filter(|function| function.signature.contains("&mut ") || CHANGING_CALLS.iter().any(|call| function.body.contains(call)))
        .map(|function| format!("{}:{}: {} asks, and changes something", source.path, function.line, function.name))
        .collect()
}

#[test]
fn no_file_has_a_banned_shape() {
    let breaks = |path: &str, code: &str| shape_breaks(&Source::new(path, &format!("//! x\n{code}\n"))).len();
    let bad = [
        "fn a() { unsafe { } }".to_owned(),
        "fn a() { SystemTime::now(); }".to_owned(),
        "fn a() { println!(\"\"); }".to_owned(),
        "fn a() { channel::unbounded(); }".to_owned(),
        format!("fn a() {{ {}) }}", macro_call("todo")),
        "fn a() -> Result<(), String> { }".to_owned(),
        "fn a() -> Result<Vec<(u8, u8)>, String> { }".to_owned(),
        "type A = Result<Option<Result<u8, u8>>, u8>;".to_owned(),
        "pub enum ReadError { Io }".to_owned(),
        "#[derive(Debug)]\npub struct ReadConfig { }".to_owned(),
        "fn is_new(&mut self) -> bool { true }".to_owned(),
        "fn has_room(&self) -> bool { self.flag.swap(true, Relaxed) }".to_owned(),
    ];
    for code in &bad {
        assert_eq!(breaks("src/planted.rs", code), 1, "{code}");
    }
    let good = [
        "#[derive(Debug)]\n#[non_exhaustive]\npub enum ReadError { Io }",
        "/// Doc.\n#[non_exhaustive]\n/// Doc.\n#[derive(Debug)]\npub struct ReadConfig { }",
        "enum ReadError { Io }",
        "fn a() -> Result<String, u8> { } // unsafe { }",
        "fn is_new(&self) -> bool { self.flag.load(Relaxed) }",
        "#[cfg(test)]\nmod tests {\n    fn a() -> Result<(), String> { unsafe { } }\n}",
    ];
    for code in good {
        assert_eq!(breaks("src/planted.rs", code), 0, "{code}");
    }
    assert_eq!(breaks("src/cli/planted.rs", "fn a() -> Result<(), String> { println!(\"\") }"), 0);
    assert_eq!(breaks("src/store/map.rs", "fn a() { unsafe { } }"), 0);
    assert_eq!(breaks("src/feed/utils.rs", "") + breaks("src/feed/mod.rs", ""), 2);
    assert_eq!(shape_breaks(&Source::new("src/planted.rs", "fn no_header() {}")).len(), 1);
    super::report("shapes", &files_in("src", ".rs").iter().flat_map(shape_breaks).collect::<Vec<String>>());
}
