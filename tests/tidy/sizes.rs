//! Sizes: lines of a file, lines of a function, number of test binaries.

use crate::source::{Source, closing, files_in, root};

/// Lines of a file without its tests. A longer one holds more than one noun.
const MAX_FILE_LINES: usize = 450;

/// Lines of a function, from its name to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;

/// Lines of the text with which a file begins. What is longer belongs to the items, or to the guide.
const MAX_HEADER_LINES: usize = 30;

/// Lines of the README. What is longer has a page in the guide.
const MAX_README_LINES: usize = 200;

/// Lines of the file in the middle, tests included: one of 300 lines is one of under 200 without them.
const MAX_MEDIAN_LINES: usize = 300;

/// Every test binary links the whole program, which is most of the time of an incremental `cargo test`.
const MAX_TEST_BINARIES: usize = 8;

/// A function of a file.
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// The line of its name, counted from 1.
    pub(crate) line: usize,
    /// From its name to its opening brace.
    pub(crate) signature: &'a str,
    /// Between its braces; empty where a trait only declares it.
    pub(crate) body: &'a str,
}

/// The functions outside of tests.
pub(crate) fn functions(source: &Source) -> Vec<Function<'_>> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let start = at + "fn ".len();
        let length = code[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
        if !is_word || length == 0 {
            continue;
        }
        // An array's length in the signature has a `;` of its own, in brackets.
        let mut depth = 0;
        let end = code[start..].char_indices().find(|(_, c)| match c {
            '[' | '(' => {
                depth += 1;
                false
            }
            ']' | ')' => {
                depth -= 1;
                false
            }
            '{' | ';' => depth == 0,
            _ => false,
        });
        let Some((end, kind)) = end.map(|(end, kind)| (start + end, kind)) else { continue };
        let body = if kind == '{' { &code[end + 1..closing(code, end) - 1] } else { "" };
        found.push(Function { name: &code[start..start + length], line: source.line_of(at), signature: &code[start..end], body });
    }
    found
}

fn size_breaks(source: &Source) -> Vec<String> {
    let mut breaks = Vec::new();
    let lines = source.lines_without_tests();
    if lines > MAX_FILE_LINES {
        breaks.push(format!("{}: {lines} lines without tests; look for the missing noun", source.path));
    }
    let header = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    if header > MAX_HEADER_LINES && source.path != "src/lib.rs" {
        breaks.push(format!("{}: {header} lines before the first item", source.path));
    }
    for function in functions(source) {
        let lines = function.signature.matches('\n').count() + function.body.matches('\n').count() + 1;
        if lines > MAX_FUNCTION_LINES {
            breaks.push(format!("{}:{}: {} has {lines} lines", source.path, function.line, function.name));
        }
    }
    breaks
}

#[test]
fn files_and_functions_are_short() {
    let breaks = |text: &str| size_breaks(&Source::new("src/planted.rs", text));
    let lines = |count: usize| "    let a = 1;\n".repeat(count);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(MAX_FILE_LINES));
    assert_eq!(breaks(&format!("//! x\n{tests}// {}", "\n".repeat(MAX_FILE_LINES - 10))).len(), 0);
    assert_eq!(breaks(&format!("//! x\n{tests}// {}", "\n".repeat(MAX_FILE_LINES + 10))).len(), 1);
    assert_eq!(breaks(&format!("fn short(a: [u8; 4]) {{\n{}}}\n", lines(MAX_FUNCTION_LINES - 2))).len(), 0);
    assert_eq!(breaks(&format!("fn long(a: [u8; 4]) {{\n{}}}\n", lines(MAX_FUNCTION_LINES - 1))).len(), 1);
    assert_eq!(breaks(&format!("#[cfg(test)]\nmod fixture;\nfn long() {{\n{}}}\n", lines(MAX_FUNCTION_LINES))).len(), 1);
    assert_eq!(breaks(&"//! x\n".repeat(MAX_HEADER_LINES)).len(), 0);
    assert_eq!(breaks(&"//! x\n".repeat(MAX_HEADER_LINES + 1)).len(), 1);
    super::report("sizes", &files_in("src", ".rs").iter().flat_map(size_breaks).collect::<Vec<String>>());
}

#[test]
fn half_of_the_files_are_short() {
    let mut lines: Vec<usize> = files_in("src", ".rs").iter().map(|source| source.text.lines().count()).collect();
    lines.sort_unstable();
    assert!(lines.len() > 20 && lines[lines.len() / 2] < MAX_MEDIAN_LINES, "median {} lines", lines[lines.len() / 2]);
}

#[test]
fn the_readme_is_short() {
    let lines = std::fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= MAX_README_LINES, "{lines} lines");
}

#[test]
fn there_are_few_test_binaries() {
    let binaries = std::fs::read_dir(root().join("tests")).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").exists()
    });
    let count = binaries.count();
    assert!((1..=MAX_TEST_BINARIES).contains(&count), "{count} test binaries: add a module to one that is there");
}
