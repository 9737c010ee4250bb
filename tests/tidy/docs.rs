//! Documentation of what others use: one plain sentence in the third person first ("Gives …", "Returns …"), and it ends with a full stop.

use crate::source::{Source, files_in};

/// The first paragraph of the documentation of each function that other files see, with its line.
fn first_sentences(source: &Source) -> Vec<(usize, &str, String)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = source.code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let line = line.trim_start();
        let Some(declared) =
            ["pub fn ", "pub const fn ", "pub(crate) fn ", "pub(crate) const fn "].iter().find_map(|start| line.strip_prefix(start))
        else {
            continue;
        };
        let name = declared.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        let is_attribute = |line: &&&str| line.trim_start().starts_with(['#', ')', ']']);
        let attributes = lines[..at].iter().rev().take_while(is_attribute).count();
        let mut doc: Vec<&str> = lines[..at - attributes].iter().rev().map_while(|line| line.trim_start().strip_prefix("///")).collect();
        doc.reverse();
        let paragraph: Vec<&str> = doc.iter().map(|line| line.trim()).take_while(|line| !line.is_empty()).collect();
        if !paragraph.is_empty() {
            found.push((at + 1, name, paragraph.join(" ")));
        }
    }
    found
}

fn doc_breaks(source: &Source) -> Vec<String> {
    let mut breaks = Vec::new();
    for (line, name, text) in first_sentences(source) {
        let first = text.split_whitespace().next().unwrap_or("").trim_end_matches([':', ',']);
        if !first.ends_with('s') || !first.starts_with(|c: char| c.is_uppercase()) {
            breaks.push(format!("{}:{line}: {name}: \"{first} …\" is no verb in the third person", source.path));
        }
        if !text.ends_with(['.', ':', '!', '|']) {
            breaks.push(format!("{}:{line}: {name}: the first paragraph does not end with a full stop", source.path));
        }
    }
    breaks
}

#[test]
fn documentation_begins_with_a_plain_sentence() {
    let breaks = |text: &str| doc_breaks(&Source::new("src/planted.rs", text)).len();
    assert_eq!(breaks("/// Give the count.\npub fn a() {}"), 1);
    assert_eq!(breaks("/// What there is.\n#[must_use]\npub(crate) const fn a() {}"), 1);
    assert_eq!(breaks("/// Gives the count\n///\n/// And more.\npub fn a() {}"), 1);
    assert_eq!(
        breaks("/// Gives the count,\n/// always.\n///\n/// # Errors\n/// None.\n#[must_use]\n#[inline]\npub fn a() {}\nfn b() {}"),
        0
    );
    super::report("docs", &files_in("src", ".rs").iter().flat_map(doc_breaks).collect::<Vec<String>>());
}
