//! Words: the metaphors that the code once used for its parts, and turns of phrase that have to be read twice.

use crate::source::{Source, files_in, read, root};

/// Each with the word that takes its place. Plurals are meant as well.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("hand", "delegate, helper"),
    ("seat", "slot"),
    ("chair", "slot"),
    ("tray", "batch"),
    ("pile", "batch"),
    ("shelf", "open days"),
    ("shelve", "open days"),
    ("desk", "context, handle"),
    ("scribe", "journal"),
    ("echo", "raw frames"),
    ("stage", "fixture, step"),
    ("floor", "layer, exchange"),
    ("dice", "schedule"),
    ("doom", "fault"),
    ("spoiler", "distortion"),
    ("trouble", "disruption, failure"),
    ("bell", "wakeup"),
    ("door", "server, entry"),
    ("board", "table"),
    ("pen", "writer"),
    ("lend", "delegate"),
    ("lent", "delegate"),
    ("nap", "sleep"),
    ("errand", "request"),
    ("lack", "gap, have no"),
    ("hole", "gap"),
    ("mend", "repair"),
    ("binder", "merge"),
    ("chore", "task"),
    ("house", "architecture"),
];

const BANNED_PHRASES: &[&str] = &[
    "notes::",
    "notes.",
    "put down",
    "puts down",
    "what is to be had",
    "who finds",
    "comes to pass",
    "come to pass",
    "has it that",
    "lies in wait",
    "in the attic",
];

/// Where a banned word is the right one: the word, and what has to stand around it on its line, in small letters. The names of journal events and of
/// faults stay as they are: journals and scripts have them.
const ALLOWED: &[(&str, &str)] = &[
    ("hand", "by hand"),
    ("floor", ".floor()"),
    ("hole", "sequence_hole"),
    ("hole", "\"hole\""),
    ("hole", "rest-hole"),
    ("house", "clickhouse"),
    ("hole", "punch_hole"),
    ("hole", "\"hole\""),
    ("lack", "may lack"),
    ("lack", "that lack"),
];

/// What a reader or a compiler reads: code, documents, scripts. This file holds the words themselves.
fn written() -> Vec<Source> {
    let mut files: Vec<Source> = [("src", ".rs"), ("src", ".md"), ("tests", ".rs"), ("benches", ".rs"), ("scripts", ".sh")]
        .iter()
        .flat_map(|(folder, ending)| files_in(folder, ending))
        .collect();
    files.extend(
        ["README.md", "CHANGELOG.md", "Cargo.toml"]
            .iter()
            .map(|name| root().join(name))
            .filter(|path| path.exists())
            .map(|path| read(&path)),
    );
    files.retain(|file| file.path != "tests/tidy/words.rs");
    files
}

/// The words of a line, names taken apart: `isHandLent`, `is_hand_lent` and `is hand lent` alike.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in line.chars() {
        if c.is_alphabetic() {
            let begins = !last.is_alphabetic() || (c.is_uppercase() && last.is_lowercase());
            if begins {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        last = c;
    }
    words
}

fn banned(word: &str) -> Option<&'static (&'static str, &'static str)> {
    // As a verb it is a plain word.
    if word == "lacks" {
        return None;
    }
    BANNED_WORDS
        .iter()
        .find(|(banned, _)| word == *banned || word.strip_suffix('s') == Some(banned) || word.strip_suffix("es") == Some(banned))
}

fn word_breaks(source: &Source) -> Vec<String> {
    let mut breaks = Vec::new();
    let is_script = source.path.ends_with(".sh");
    for (at, line) in source.text.lines().enumerate() {
        let small = line.to_lowercase();
        for word in words(line) {
            let Some((banned, instead)) = banned(&word) else { continue };
            let is_allowed =
                ALLOWED.iter().any(|(allowed, around)| allowed == banned && small.contains(around)) || (is_script && word == "echo");
            if !is_allowed {
                breaks.push(format!("{}:{}: \"{word}\": say {instead}", source.path, at + 1));
            }
        }
        for phrase in BANNED_PHRASES {
            if small.contains(phrase) {
                breaks.push(format!("{}:{}: \"{phrase}\"", source.path, at + 1));
            }
        }
    }
    breaks
}

#[test]
fn no_old_metaphor_is_left() {
    let breaks = |text: &str| word_breaks(&Source::new("src/planted.rs", text)).len();
    for bad in [
        "// a seat",
        "struct OpenDesk;",
        "fn lend_a_hand()",
        "let HANDS = 1;",
        "// Puts down what has come",
        "mod echo;",
        "// three shelves",
    ] {
        assert!(breaks(bad) > 0, "{bad}");
    }
    for good in ["handle", "// it lacks a field", "// handed over", "// second", "stated", "OpenDays", "// a gap", "black"] {
        assert_eq!(breaks(good), 0, "{good}");
    }
    super::report("words", &written().iter().flat_map(word_breaks).collect::<Vec<String>>());
}
