//! The rules of the code that a machine can check: layers, circles, sizes, shapes, words, documentation.
//!
//! Every rule has planted cases that must break it, so that none of them can fall asleep.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod docs;
mod graph;
mod layers;
mod promises;
mod shapes;
mod sizes;
mod source;
mod top_level;
mod words;

/// Files that still break a rule: the rule, and how the file's path begins. It shrinks; nothing is added.
const PENDING: &[(&str, &str)] = &[];

/// Fails with what breaks a rule, each beginning with the path of its file.
fn report(rule: &str, breaks: Vec<String>) {
    for one in &breaks {
        println!("tidy {rule}: {one}");
    }
    let is_pending = |one: &&String| PENDING.iter().any(|(of, path)| *of == rule && one.starts_with(path));
    let left: Vec<&String> = breaks.iter().filter(|one| !is_pending(one)).collect();
    assert!(left.is_empty(), "{rule}: {left:#?}");
}
