//! The rules of the code that a machine can check: layers, circles, sizes, shapes, words, documentation.
//!
//! Every rule has planted cases that must break it, so that none of them can fall asleep.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod docs;
mod graph;
mod help;
mod layers;
mod promises;
mod scripts;
mod shapes;
mod sizes;
mod source;
mod top_level;
mod words;

/// Fails with what breaks a rule, each beginning with the path of its file.
fn report(rule: &str, breaks: &[String]) {
    for one in breaks {
        println!("tidy {rule}: {one}");
    }
    assert!(breaks.is_empty(), "{rule}: {breaks:#?}");
}
