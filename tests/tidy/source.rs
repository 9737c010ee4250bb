//! Source files as the checks see them: the text, and the code without comments, texts and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of this repository.
#[derive(Clone)]
pub(crate) struct Source {
    /// From the top of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with blanks in place of comments, what stands in quotes, and every item under `#[cfg(test)]`. Lines are where they were.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: without_tests(&without_words(text)) }
    }

    /// Lines without those of `mod tests { … }`.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let code = without_words(&self.text);
        let tests = code.match_indices("mod tests {").map(|(at, found)| {
            let open = at + found.len() - 1;
            code[at..closing(&code, open)].matches('\n').count() + 1
        });
        self.text.lines().count() - tests.sum::<usize>()
    }

    /// Tells on which line, counted from 1, a place of the text or the code is.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the repository whose names end so, sorted.
pub(crate) fn files_in(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

pub(crate) fn read(path: &Path) -> Source {
    let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    Source::new(&inside, &fs::read_to_string(path).unwrap())
}

/// The text with blanks in place of comments and of what stands in quotes.
fn without_words(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + end_of_block(rest)
        } else if let Some(length) = quoted(bytes, at) {
            at + length
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Blanks took the place of whole characters only.
    String::from_utf8(code).unwrap()
}

fn end_of_block(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the text or character literal that begins here, if one does.
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let is_inside_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest[0] {
        b'"' => Some(end_of_text(rest)),
        b'r' if !is_inside_name || bytes[at - 1] == b'b' => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return None;
            }
            let end = [b"\"".as_slice(), &rest[1..=hashes]].concat();
            let body = &rest[2 + hashes..];
            let length = body.windows(end.len()).position(|window| window == end)?;
            Some(2 + hashes + length + end.len())
        }
        b'\'' => match rest.get(1)? {
            b'\\' => rest[2..].iter().skip(1).position(|byte| *byte == b'\'').map(|length| length + 4),
            first => {
                // A lifetime has no closing quote behind its first character.
                let length = if *first < 0x80 { 1 } else { rest[2..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count() + 1 };
                (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
            }
        },
        _ => None,
    }
}

fn end_of_text(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The code with blanks in place of every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = code.to_owned();
    let mut from = 0;
    while let Some(found) = kept[from..].find(MARK) {
        let start = from + found;
        let end = end_of_item(&kept, start + MARK.len());
        let blank: String = kept[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(start..end, &blank);
        from = start + blank.len();
    }
    kept
}

/// Where an item ends that begins here: behind its `;`, its closing brace, or, for a field or an argument, its `,`.
fn end_of_item(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[from..].char_indices() {
        let at = from + at;
        match c {
            '(' | '[' | '<' => depth += 1,
            '>' if code[..at].ends_with(['-', '=']) => {}
            ')' | ']' | '>' => depth -= 1,
            ';' | ',' if depth == 0 => return at + 1,
            '{' => return closing(code, at),
            '}' => return at,
            _ => {}
        }
    }
    code.len()
}

/// Behind the brace that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return open + at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_texts_and_tests_are_no_code() {
    let text = "fn a<'x>() { '{'; \"}\\\"{\"; r#\"\"{\"#; b'\\''; '\\u{7b}' } // {\n/* { /* } */ { */\n#[cfg(test)]\nuse b::{C, D};\n#[cfg(test)]\nmod tests {\n    { }\n}\nfn e() {}\n";
    let source = Source::new("src/planted.rs", text);
    assert_eq!(source.code.matches('{').count(), 2, "{}", source.code);
    assert!(source.code.contains("fn a<'x>()") && source.code.contains("fn e()") && !source.code.contains('D'));
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(source.lines_without_tests(), 6);
    // What stands behind the first test module is code again.
    let source = Source::new("src/planted.rs", "#[cfg(test)]\nmod fixture;\nfn after() {}\n#[cfg(test)]\nmod tests {\n}\nfn last() {}\n");
    assert!(source.code.contains("fn after") && source.code.contains("fn last") && !source.code.contains("fixture"));
}
