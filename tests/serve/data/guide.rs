//! The page `src/guide/serving.md`: each block is run as its reader would run it, on a market that is being captured.

use std::process::Command;

use super::{LiveDay, Served, mixed, store_sealed};
use crate::market::{FIRST_DAY, prints};

/// A fenced block: its language and its text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some("")) => found.extend(open.take()),
            (Some((_, text)), _) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

#[test]
fn each_block_of_the_page_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, work) = (folder.path().join("tape"), folder.path().join("work"));
    std::fs::create_dir(&work).unwrap();
    store_sealed(&tape, &mixed(500));
    let third = FIRST_DAY.next().next();
    let mut live = LiveDay::begin(&tape, third);
    let all = prints(5_000, 4_000, third.start(), 1_000_000);
    let served = Served::start(&tape);
    let page = include_str!("../../../src/guide/serving.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let run = std::thread::scope(|scope| {
        // The market goes on while the blocks run.
        scope.spawn(move || {
            for print in &all {
                live.add([print]);
                if stopped.recv_timeout(std::time::Duration::from_millis(5)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        let mut run = 0;
        for (language, text) in blocks(page) {
            let text = text.replace("127.0.0.1:8080", &served.address().to_string());
            let mut command = match language.as_str() {
                "sh" => Command::new("bash"),
                "python" => Command::new(root.join("target/venv/bin/python")),
                "text" => continue,
                other => panic!("a block of {other} is not run"),
            };
            command.args(if language == "sh" { &["-euo", "pipefail", "-c"][..] } else { &["-c"] });
            for name in ["http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"] {
                command.env_remove(name);
            }
            let output = command.arg(&text).current_dir(&work).output().unwrap();
            let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{text}\n{said}{complained}");
            assert!(!said.trim().is_empty() && !said.contains("\"error\""), "{text}\n{said}");
            run += 1;
        }
        drop(stop);
        run
    });
    assert_eq!(run, 4);
}
