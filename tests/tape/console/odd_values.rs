//! Every option of every command that reads, as its help names them, with values that nobody means: whatever comes of it, it is an answer or one clear line.
//!
//! The options are taken from `--help`, so that a new one is held to this from the day it is there.

use std::process::{Command, Output};

use super::bad_input::{Named, Reading, World, readings};
use crate::capture::programs::coltape;

/// Values that are wrong for most options, and right for a few. None of them lets a command go on for ever.
const ODD: [&str; 8] = ["", " ", "0", "-1", "99999999999999999999", "1e999", "no-such-value", "ä\u{1f980}"];

/// Gives the options that take a value, by the help of a command.
fn options(command: &str) -> Vec<String> {
    let output = coltape().args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let named = help.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split_once(" <"));
    named.map(|(name, _)| format!("--{name}")).collect()
}

impl Reading {
    /// Gives the command as it is asked for everything, in a folder of its own, where a name that is no path ends up.
    fn usual(&self, world: &World, but: &str) -> Command {
        let mut command = coltape();
        command.current_dir(world.folder.path()).env("RUST_LOG", "error").env("COLTAPE_DATA_DIR", world.tape()).arg(self.name);
        let mut pairs: Vec<(&str, String)> =
            self.args.chunks(2).filter(|pair| pair.len() == 2).map(|pair| (pair[0], pair[1].to_owned())).collect();
        match self.product {
            Named::Plain => drop(command.arg("BTC-USD")),
            Named::Option(name) => pairs.push((name, "BTC-USD".to_owned())),
            Named::Not => {}
        }
        if let Named::Option(name) = self.out {
            pairs.push((name, world.folder.path().join("exported").display().to_string()));
        }
        for (name, value) in pairs.into_iter().filter(|(name, _)| *name != but) {
            command.args([name, &value]);
        }
        command
    }
}

/// Holds what a command said to what its user may expect.
fn assert_clear(what: &str, option: &str, output: &Output) {
    let said = String::from_utf8(output.stderr.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let what = format!("{what}: {:?}\n{said}", output.status);
    assert!(!said.contains("panicked"), "{what}");
    match output.status.code() {
        Some(0) => assert!(!said.contains("error: "), "{what}"),
        // `verify` and `status` tell what they found on stdout.
        Some(1 | 3) if !output.stdout.is_empty() => assert!(!said.contains("error: "), "{what}"),
        Some(1) => assert!(said.starts_with("error: ") && said.lines().count() == 1, "{what}"),
        Some(2) => {
            let is_named = said.contains(option.trim_start_matches("--"));
            assert!(said.starts_with("error: ") && said.contains("--help") && is_named, "{what}");
        }
        _ => panic!("{what}"),
    }
}

#[test]
fn an_odd_value_of_any_option_is_answered_or_told_in_one_clear_line() {
    let world = World::new();
    let mut refused = 0;
    for command in readings().into_iter().filter(|command| command.name != "repair") {
        let options = options(command.name);
        assert!(options.iter().any(|option| option == "--data-dir"), "{}: {options:?}", command.name);
        for option in &options {
            for value in ODD {
                let what = format!("{} {option}={value:?}", command.name);
                let output = command.usual(&world, option).arg(format!("{option}={value}")).output().unwrap();
                assert_clear(&what, option, &output);
                refused += u32::from(output.status.code() != Some(0));
            }
        }
    }
    assert!(refused > 200, "{refused} were refused");
}

#[test]
fn an_option_that_is_given_twice_is_refused_or_is_a_list() {
    let world = World::new();
    for (command, option, value) in [
        ("query", "--limit", "1"),
        ("query", "--from", "2025-06-07"),
        ("candles", "--interval", "1m"),
        ("stats", "--top", "3"),
        ("orders", "--min-fills", "2"),
        ("plot", "--theme", "dark"),
        ("export", "--types", "rich"),
        ("verify", "--date", "2025-06-07"),
    ] {
        let reading = readings().into_iter().find(|reading| reading.name == command).unwrap();
        let output = reading.usual(&world, option).args([option, value, option, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command} {option}");
        assert_clear(command, option, &output);
    }
    let query = readings().into_iter().find(|reading| reading.name == "query").unwrap();
    let twice = query
        .usual(&world, "")
        .args(["--columns", "trade_id", "--columns", "trade_side,trade_id", "--limit", "1", "--format", "csv"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&twice.stdout).lines().next(), Some("trade_id,trade_side,trade_id"));
}
