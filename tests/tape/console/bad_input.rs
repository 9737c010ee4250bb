//! Bad input: every command that reads, with everything that may be wrong with what it is given. Each is told in one clear line that says what to do, with
//! exit code 1 and nothing on stdout.

use std::path::{Path, PathBuf};
use std::process::Output;

use coltape::internals::schema::{Dataset, Trades};
use coltape::internals::store::{Day, StoreOptions};
use coltape::internals::time::UnixNanos;

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, column_path, data_dir, prints, product, store_all};

/// A command that reads, and how it is given its product, its time and its output.
pub(super) struct Reading {
    pub(super) name: &'static str,
    pub(super) product: Named,
    pub(super) dir: Named,
    has_range: bool,
    /// What else it needs.
    pub(super) args: &'static [&'static str],
    pub(super) out: Named,
    /// What it makes of bytes that are not what was recorded.
    reads_damage: Damage,
}

/// How a command is given something.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Named {
    /// As an argument without a name.
    Plain,
    Option(&'static str),
    Not,
}

#[derive(Clone, Copy, PartialEq)]
enum Damage {
    /// It is refused: one line.
    Refused,
    /// It is what the command looks for: its own lines, and exit code 1.
    Reported,
    /// It is none of the command's business.
    NotRead,
}

const TEMPLATE: Reading = Reading {
    name: "",
    product: Named::Plain,
    dir: Named::Option("--data-dir"),
    has_range: true,
    args: &[],
    out: Named::Not,
    reads_damage: Damage::Refused,
};

const COMMANDS: [Reading; 9] = [
    Reading { name: "query", ..TEMPLATE },
    Reading { name: "candles", args: &["--interval", "1m"], ..TEMPLATE },
    Reading { name: "stats", ..TEMPLATE },
    Reading { name: "orders", ..TEMPLATE },
    Reading { name: "plot", ..TEMPLATE },
    Reading {
        name: "export",
        product: Named::Option("--products"),
        args: &["--format", "csv"],
        out: Named::Option("--out"),
        reads_damage: Damage::Reported,
        ..TEMPLATE
    },
    Reading {
        name: "verify",
        product: Named::Option("--product"),
        dir: Named::Plain,
        has_range: false,
        reads_damage: Damage::Reported,
        ..TEMPLATE
    },
    Reading {
        name: "repair",
        product: Named::Option("--product"),
        dir: Named::Plain,
        has_range: false,
        args: &["--no-rest", "--force-fs"],
        reads_damage: Damage::Reported,
        ..TEMPLATE
    },
    Reading { name: "status", product: Named::Not, dir: Named::Plain, has_range: false, reads_damage: Damage::NotRead, ..TEMPLATE },
];

/// Commands that write, serve, or are asked with other words; their own tests hold them.
const OTHERS: [&str; 10] = ["capture", "simulate", "backfill", "help", "archive", "restore", "doctor", "serve", "completions", "man"];

/// Gives the commands that the program has.
fn existing() -> Vec<String> {
    let output = coltape().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| line.starts_with("  "));
    commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A tape with trades and tickers of two days, and a folder for output.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { folder };
        let before_midnight = UnixNanos(FIRST_DAY.next().start().0 - 300_000_000_000);
        store_all(&world.tape(), &prints(1, 600, before_midnight, 1_000_000_000), StoreOptions::default());
        world
    }

    pub(super) fn tape(&self) -> PathBuf {
        self.folder.path().join("tape")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

/// What is asked of a command.
#[derive(Clone)]
struct Question {
    product: Option<&'static str>,
    dir: PathBuf,
    range: Option<(&'static str, &'static str)>,
    out: PathBuf,
}

impl Reading {
    fn run(&self, question: &Question) -> Output {
        let mut command = coltape();
        command.env("RUST_LOG", "error").arg(self.name).args(self.args);
        let named: [(Named, Option<&Path>); 3] =
            [(self.product, question.product.map(Path::new)), (self.dir, Some(&question.dir)), (self.out, Some(&question.out))];
        for (named, value) in named {
            match (named, value) {
                (Named::Plain, Some(value)) => command.arg(value),
                (Named::Option(name), Some(value)) => command.arg(name).arg(value),
                _ => &mut command,
            };
        }
        if let Some((from, to)) = question.range.filter(|_| self.has_range) {
            command.args(["--from", from, "--to", to]);
        }
        command.output().unwrap()
    }

    /// Asserts that this is refused in one line which has all of these words.
    fn refuses(&self, what: &str, question: &Question, words: &[&str]) {
        let output = self.run(question);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let what = format!("{} with {what}: {:?}\n{said}", self.name, output.status.code());
        assert_eq!(output.status.code(), Some(1), "{what}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(matches!(lines.as_slice(), [line] if line.starts_with("error: ")), "{what}");
        for word in words {
            assert!(said.contains(word), "no {word:?} from {what}");
        }
        assert!(output.stdout.is_empty() || self.name == "query", "{what}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).lines().count() <= 1, "a header at most: {what}");
    }
}

pub(super) fn readings() -> Vec<&'static Reading> {
    let existing = existing();
    for name in &existing {
        let is_known = COMMANDS.iter().any(|command| command.name == name) || OTHERS.contains(&name.as_str());
        assert!(is_known, "{name} is in no table: say what it makes of bad input");
    }
    static ALL: [Reading; 9] = COMMANDS;
    let found: Vec<&Reading> = ALL.iter().filter(|command| existing.iter().any(|name| name == command.name)).collect();
    assert!(found.iter().any(|command| command.name == "query"), "{existing:?}");
    found
}

#[test]
fn a_directory_that_is_no_tape_is_refused() {
    let world = World::new();
    let place = |name: &str| world.folder.path().join(name);
    std::fs::create_dir_all(place("empty")).unwrap();
    std::fs::create_dir_all(place("other/ssl/certs")).unwrap();
    std::fs::write(place("other/letter.txt"), "dear").unwrap();
    std::fs::write(place("file"), "x").unwrap();
    for command in readings() {
        for name in ["missing", "empty", "other", "file"] {
            // A program that looks whether a capture runs has an exit code of its own for none.
            if command.name == "status" {
                let question = Question { product: None, dir: place(name), range: None, out: world.out() };
                assert_ne!(command.run(&question).status.code(), Some(0), "{name}");
                continue;
            }
            let question = Question { product: Some("BTC-USD"), dir: place(name), range: None, out: world.out() };
            command.refuses(name, &question, &[place(name).to_str().unwrap()]);
        }
        assert_eq!(std::fs::read_dir(place("other")).unwrap().count(), 2, "{}: nothing was written into it", command.name);
        assert!(!place("missing").exists() && std::fs::read_dir(place("empty")).unwrap().next().is_none(), "{}", command.name);
    }
}

#[test]
fn an_unknown_product_is_refused_with_the_one_that_may_be_meant() {
    let world = World::new();
    for command in readings().into_iter().filter(|command| command.product != Named::Not) {
        for (name, words) in [("BTCUSD", &["BTCUSD", "did you mean BTC-USD?"][..]), ("NOPE-EUR", &["NOPE-EUR", "BTC-USD"])] {
            let question = Question { product: Some(name), dir: world.tape(), range: None, out: world.out() };
            command.refuses(name, &question, words);
        }
    }
}

#[test]
fn a_range_of_time_that_is_reversed_or_has_nothing_is_refused() {
    let world = World::new();
    for command in readings().into_iter().filter(|command| command.has_range) {
        for (range, words) in [
            (("2025-06-08", "2025-06-07"), &["2025-06-08", "2025-06-07"][..]),
            (("2025-06-07", "2025-06-07"), &["2025-06-07"]),
            (("1h", "2h"), &["after"]),
            (("2020-01-01", "2020-01-02"), &["BTC-USD", "2025-06-07", "2025-06-08"]),
            (("2025-06-09", "now"), &["BTC-USD", "2025-06-07"]),
        ] {
            let question = Question { product: Some("BTC-USD"), dir: world.tape(), range: Some(range), out: world.out() };
            command.refuses(&format!("{range:?}"), &question, words);
        }
    }
}

#[test]
fn a_day_whose_files_are_there_and_empty_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_dir(folder.path(), StoreOptions::default());
    Day::<Trades>::prepare(&data, &product(), FIRST_DAY, 16).unwrap();
    drop(data);
    for command in readings().into_iter().filter(|command| command.has_range) {
        let out = folder.path().join("out");
        let question = Question { product: Some("BTC-USD"), dir: folder.path().to_owned(), range: None, out };
        command.refuses("an empty day", &question, &["BTC-USD"]);
    }
}

/// What is done to a file, in words, and how.
type NamedHarm = (&'static str, fn(&Path));

#[test]
fn a_day_that_cannot_be_read_is_refused_by_the_name_of_its_file() {
    let harms: [NamedHarm; 3] = [
        ("a column that is cut", |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a column that is gone", |path| std::fs::remove_file(path).unwrap()),
        ("a column that is a folder", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
    ];
    for command in readings() {
        for (what, harm) in harms {
            let world = World::new();
            let path = column_path(&world.tape(), Dataset::Trades, "trade_price_f64", FIRST_DAY);
            harm(&path);
            let question = Question { product: Some("BTC-USD"), dir: world.tape(), range: None, out: world.out() };
            match command.reads_damage {
                Damage::Refused => command.refuses(what, &question, &["trade_price_f64.2025-06-07.bin", "coltape verify"]),
                Damage::Reported => assert_eq!(command.run(&question).status.code(), Some(1), "{} with {what}", command.name),
                Damage::NotRead => {}
            }
        }
    }
}

#[test]
fn an_altered_byte_of_a_sealed_day_is_found_before_the_day_is_printed() {
    let world = World::new();
    let path = column_path(&world.tape(), Dataset::Trades, "trade_size", FIRST_DAY);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[17] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let query = readings().into_iter().find(|command| command.name == "query").unwrap();
    let question = Question { product: Some("BTC-USD"), dir: world.tape(), range: None, out: world.out() };
    query.refuses("an altered byte", &question, &["trade_size.2025-06-07.bin", "checksum", "coltape verify"]);
    let other_day = Question { range: Some(("2025-06-08", "2025-06-09")), ..question };
    assert!(query.run(&other_day).status.success(), "the other day is not concerned");
}

#[test]
fn an_output_folder_that_holds_something_else_is_refused_and_left_as_it_was() {
    let world = World::new();
    for command in readings().into_iter().filter(|command| command.out != Named::Not) {
        for (name, is_file) in [("letters", false), ("file", true)] {
            let out = world.folder.path().join(format!("{}-{name}", command.name));
            let kept = if is_file { out.clone() } else { out.join("letter.txt") };
            std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
            std::fs::write(&kept, "dear").unwrap();
            let question = Question { product: Some("BTC-USD"), dir: world.tape(), range: None, out: out.clone() };
            command.refuses(name, &question, &[out.to_str().unwrap()]);
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), "dear");
            assert!(is_file || std::fs::read_dir(&out).unwrap().count() == 1, "nothing was added");
        }
    }
}

const FORMATS: [&[&str]; 6] = [
    &["--format", "parquet"],
    &["--format", "arrow"],
    &["--format", "csv"],
    &["--format", "tardis-csv"],
    &["--format", "nautilus"],
    &["--format", "hftbacktest"],
];

#[test]
fn every_format_of_an_export_refuses_what_the_others_refuse() {
    let world = World::new();
    let place = |name: &str| world.folder.path().join(name);
    std::fs::create_dir_all(place("letters")).unwrap();
    std::fs::write(place("letters/letter.txt"), "dear").unwrap();
    for (number, args) in FORMATS.into_iter().enumerate() {
        let export = Reading { name: "export", product: Named::Option("--products"), args, out: Named::Option("--out"), ..TEMPLATE };
        let ask = |product, range, out| Question { product: Some(product), dir: world.tape(), range, out };
        let out = || place(&format!("out{number}"));
        export.refuses(args[1], &ask("NOPE-EUR", None, out()), &["NOPE-EUR", "BTC-USD"]);
        let before = Some(("2020-01-01", "2020-01-02"));
        export.refuses(args[1], &ask("BTC-USD", before, out()), &["BTC-USD", "2025-06-07"]);
        // The day is there, and the hour has no record.
        let hour = Some(("2025-06-07T01:00:00Z", "2025-06-07T02:00:00Z"));
        export.refuses(args[1], &ask("BTC-USD", hour, out()), &["nothing to export"]);
        export.refuses(args[1], &ask("BTC-USD", None, place("letters")), &["letter.txt", "an empty or a new folder"]);
        export.refuses(args[1], &ask("BTC-USD", None, place("letters/letter.txt")), &["is no folder; name an empty or a new one"]);
        assert_eq!(std::fs::read_to_string(place("letters/letter.txt")).unwrap(), "dear");
        // What was refused has left nothing that stands in the way of another format.
        let done = export.run(&ask("BTC-USD", None, out()));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn a_time_that_is_none_is_a_wrong_command_line_and_the_words_say_how_to_write_one() {
    let world = World::new();
    for command in readings().into_iter().filter(|command| command.has_range) {
        let question = Question { product: Some("BTC-USD"), dir: world.tape(), range: Some(("yesterday", "now")), out: world.out() };
        let output = command.run(&question);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{}: {said}", command.name);
        assert!(said.contains("7d") && said.contains("2025-06-07T12:34:56"), "{said}");
    }
}

#[test]
fn the_directory_is_found_by_argument_option_or_environment() {
    let world = World::new();
    for command in readings().into_iter().filter(|command| command.name != "repair" && command.name != "status") {
        let mut ways = vec![(vec!["--data-dir".to_owned(), world.tape().display().to_string()], false), (Vec::new(), true)];
        if command.dir == Named::Plain {
            ways.push((vec![world.tape().display().to_string()], false));
        }
        let mut answers = Vec::new();
        for (number, (args, by_environment)) in ways.into_iter().enumerate() {
            let mut run = coltape();
            run.env("RUST_LOG", "error").arg(command.name).args(command.args);
            match command.product {
                Named::Plain => run.arg("BTC-USD"),
                Named::Option(name) => run.args([name, "BTC-USD"]),
                Named::Not => &mut run,
            };
            if let Named::Option(name) = command.out {
                run.arg(name).arg(world.folder.path().join(format!("out{number}")));
            }
            run.args(args);
            if by_environment {
                run.env("COLTAPE_DATA_DIR", world.tape());
            }
            let output = run.output().unwrap();
            answers.push((output.status.code(), output.stdout));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{}: {answers:?}", command.name);
        assert_ne!(answers[0].0, Some(2), "{}", command.name);
    }
}
