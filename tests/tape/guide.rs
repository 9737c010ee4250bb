//! The commands of `src/guide/operating.md` that put coltape on a box, in their order: from an empty system to a first capture that is verified, more
//! products, an upgrade, and the way back.
//!
//! They run as they stand there, on a system below a folder. `sudo` runs its command; `systemctl` runs the command of the installed unit; `coltape` is the
//! program with the endpoints of a simulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coltape::Dataset;
use coltape::internals::schema::ColumnSet;

use crate::capture::programs::{Capture, Simulator, await_journal, query, verify};

/// The sections whose commands are run.
const SECTIONS: [&str; 6] =
    ["Install it on a box", "Is the box right?", "How large a box", "The first day, and more products", "Upgrade", "The way back"];

/// What `systemctl` does here. A restart of a capture that is not there is a start.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
unit=$ROOT/usr/local/lib/systemd/system/coltape.service
start() {
  line=$(sed -n 's/^ExecStart=//p' "$unit" | sed "s|/usr/local/bin/coltape|coltape|; s|/etc/|$ROOT/etc/|")
  read -ra words <<<"$line"
  COLTAPE_DATA_DIR=$ROOT/mnt/md/data exec-words "${words[@]}" >>"$ROOT/log" 2>&1 &
  printf '%s' $! >"$ROOT/pid"
}
stop() {
  pid=$(cat "$ROOT/pid")
  kill -TERM "$pid"
  # Nobody may be there to take note of its end.
  while [[ $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) == [RSD] ]]; do sleep 0.05; done
}
case "$*" in
  "enable --now coltape") start ;;
  "start coltape") start; await-ready "$(cat "$ROOT/pid")" ;;
  "show coltape -p MainPID --value") cat "$ROOT/pid" ;;
  "show coltape -p Environment --value") printf "%s\n" "COLTAPE_DATA_DIR=$ROOT/mnt/md/data" RUST_LOG=info ;;
  "restart coltape") stop; start ;;
  "reload coltape") kill -HUP "$(cat "$ROOT/pid")" ;;
  *) printf 'what is systemctl %s?\n' "$*" >&2; exit 1 ;;
esac
"#;

/// What `systemd-run` does here: it runs the words behind its options, and waits until the capture is ready.
const SYSTEMD_RUN: &str = r#"#!/usr/bin/env bash
set -euo pipefail
while [[ $1 == -* ]]; do shift; done
words=("${@/#\/usr\/local\/bin\/coltape/coltape}")
COLTAPE_DATA_DIR=$ROOT/mnt/md/data exec-words "${words[@]/#\/etc\//$ROOT/etc/}" >>"$ROOT/log" 2>&1 &
await-ready $!
"#;

/// Runs words as systemd does, with the settings of the file: a word `$NAME` stands for the words of the variable, and quotes hold blanks together.
const EXEC_WORDS: &str = r#"#!/usr/bin/env bash
set -euo pipefail
while IFS='=' read -r name value; do
  if [[ -z $name || $name == '#'* ]]; then continue; fi
  if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
  export "$name=$value"
done <"$ROOT/etc/coltape/capture.env"
words=()
for word in "$@"; do
  if [[ $word == '$'* ]]; then word=${word:1}; mapfile -t more < <(xargs -r printf '%s\n' <<<"${!word}"); words+=("${more[@]}"); else words+=("$word"); fi
done
exec "${words[@]}"
"#;

/// Waits until the process of this id writes the status file.
const AWAIT_READY: &str = r#"#!/usr/bin/env bash
until grep -q "\"pid\":$1,\"state\":\"running\"" "$ROOT/mnt/md/data/_coltape/status.json" 2>/dev/null; do
  [[ $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) == [RSD] ]] || exit 1
  sleep 0.05
done
"#;

/// The program with the endpoints of the simulator. How fast the disk of a test's machine is, and how much memory others use, is no matter of the guide.
const COLTAPE: &str = r#"#!/usr/bin/env bash
set -euo pipefail
case ${1:-} in
  capture) exec "$REAL" "$@" --url "$FEED_URL" --rest-url "$REST_URL" --force-fs ;;
  doctor)
    said=$("$REAL" "$@" --url "$FEED_URL" --rest-url "$REST_URL" --force-fs --json) || true
    printf '%s\n' "$said"
    ! grep '"verdict":"red"' <<<"$said" | grep -v -E '"check":"(flush|memory)"' ;;
  *) exec "$REAL" "$@" ;;
esac
"#;

/// A system below a folder, with a capture that may run in it.
struct System {
    folder: tempfile::TempDir,
    _simulator: Simulator,
    /// Another box. The market begins when somebody has subscribed to all of its products.
    _other: Capture,
    url: String,
    rest: String,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(&["--products", "BTC-USD,ETH-USD,SOL-USD", "--rate", "20", "--seed", "15"]);
        let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
        let other = folder.path().join("other");
        let asked = ["BTC-USD", "ETH-USD", "SOL-USD", "--force-fs", "--url", &url, "--rest-url", &rest];
        let other_capture = Capture::start(&other, &asked);
        await_journal(&other, "subscribed", 1);
        let programs = folder.path().join("programs");
        fs::create_dir_all(folder.path().join("etc/sysctl.d")).unwrap();
        fs::create_dir(&programs).unwrap();
        let sudo = "#!/bin/sh\nexec \"$@\"\n";
        let file_there = "#!/bin/sh\nset -e\ncat \"$2\"\n";
        let journal = "#!/bin/sh\ncat \"$ROOT/log\"\n";
        let own = [
            ("systemctl", SYSTEMCTL),
            ("systemd-run", SYSTEMD_RUN),
            ("exec-words", EXEC_WORDS),
            ("await-ready", AWAIT_READY),
            ("coltape", COLTAPE),
        ];
        for (name, text) in own.into_iter().chain([("sudo", sudo), ("sysctl", file_there), ("journalctl", journal)]) {
            let path = programs.join(name);
            fs::write(&path, text).unwrap();
            assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
        }
        // An older version: the same program, with a byte more.
        let mut older = fs::read(env!("CARGO_BIN_EXE_coltape")).unwrap();
        older.push(0);
        fs::write(folder.path().join("older"), older).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(folder.path().join("older")).status().unwrap().success());
        Self { folder, _simulator: simulator, _other: other_capture, url, rest }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the paths of a line below the folder.
    fn line(&self, line: &str, is_upgrade: bool) -> String {
        let root = self.path().display().to_string();
        if line.contains("scripts/install.sh") {
            let program = if is_upgrade { env!("CARGO_BIN_EXE_coltape").to_owned() } else { format!("{root}/older") };
            return line.replace("scripts/install.sh", &format!("scripts/install.sh --root {root} --binary {program}"));
        }
        ["/mnt/md/data", "/etc/", "/usr/local/"].iter().fold(line.to_owned(), |line, path| line.replace(path, &format!("{root}{path}")))
    }

    /// Runs a block. Gives what it printed.
    fn run(&self, section: &str, block: &str) -> String {
        let lines: Vec<String> = block.lines().map(|line| self.line(line, section == "Upgrade")).collect();
        let path = format!("{}:{}", self.path().join("programs").display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &lines.join("\n")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", path)
            .env("ROOT", self.path())
            .env("REAL", env!("CARGO_BIN_EXE_coltape"))
            .env("COLTAPE", env!("CARGO_BIN_EXE_coltape"))
            .env("FEED_URL", &self.url)
            .env("REST_URL", &self.rest)
            .env_remove("COLTAPE_DATA_DIR")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = fs::read_to_string(self.path().join("log")).unwrap_or_default();
        assert!(output.status.success(), "{section}\n{block}\n{said}\n{log}");
        said
    }

    fn data(&self) -> PathBuf {
        self.path().join("mnt/md/data")
    }

    fn set_options(&self, line: &str) {
        fs::write(self.path().join("etc/coltape/capture.env"), format!("# CAPTURE_OPTIONS=\n{line}\nRUST_LOG=info\n")).unwrap();
    }

    /// The command line of the capture.
    fn words(&self) -> Vec<String> {
        let pid = fs::read_to_string(self.path().join("pid")).unwrap();
        let words = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap();
        String::from_utf8(words).unwrap().split_terminator('\0').map(str::to_owned).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.path().join("pid")) {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

/// The blocks of shell commands of a page, each with its section.
fn blocks(page: &str) -> Vec<(String, String)> {
    let (mut found, mut section, mut open) = (Vec::new(), String::new(), None::<String>);
    for line in page.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(String::new()),
            (Some(_), "```") => found.extend(open.take().map(|block| (section.clone(), block))),
            (Some(block), line) => *block += &format!("{line}\n"),
            (None, line) => section = line.strip_prefix("# ").map_or(section, str::to_owned),
        }
    }
    found
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/operating.md")).unwrap()
}

#[test]
fn the_commands_of_the_guide_lead_from_an_empty_box_to_a_verified_capture_and_back() {
    let system = System::new();
    let mut run = Vec::new();
    for (section, block) in blocks(&page()) {
        if !SECTIONS.contains(&section.as_str()) {
            continue;
        }
        let said = system.run(&section, &block);
        if section == "Install it on a box" {
            system.set_options("CAPTURE_OPTIONS=--alert-command 'cat >/dev/null' --alert-hold 20s");
        }
        if block.contains("verify") && section == "The first day, and more products" {
            assert!(said.contains("partial") || said.contains("whole"), "{said}");
            assert!(query(&system.data(), "BTC-USD", &[]).len() > 1, "{said}");
        }
        if section == "Upgrade" {
            let (is_good, said) = verify(&system.data(), &["--json"]);
            let day: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
            let (trades, missing) = (&day["trades"], &day["missing_ids"]);
            assert!(is_good && *missing == 0 && trades["with_order_ids"] == trades["records"], "nothing is lost by an upgrade: {day}");
        }
        run.push(section);
    }
    let own = ["--datasets", "md", "--alert-command", "cat >/dev/null", "--alert-hold", "20s"];
    assert!(system.words().windows(own.len()).any(|words| words == own), "the other options stay: {:?}", system.words());
    let mut sections = run.clone();
    sections.dedup();
    assert_eq!(sections, SECTIONS, "every section was run, in its order");
    let is_stored = |product: &str, dataset: &str| system.data().join(product).join(dataset).exists();
    assert!(is_stored("ETH-USD", "MD") && is_stored("SOL-USD", "MD"), "the products that were added are recorded");
    assert!(!is_stored("BTC-USD", "TRADES"), "and the trades are removed at last");
}

#[test]
fn the_way_back_keeps_the_other_options_however_they_are_written() {
    let system = System::new();
    fs::create_dir(system.path().join("etc/coltape")).unwrap();
    let block = blocks(&page()).into_iter().find(|(section, _)| section == "The way back").unwrap().1;
    let change = block.lines().find(|line| line.contains("CAPTURE_OPTIONS")).unwrap();
    let show = "exec-words printf '%s\\n' '$CAPTURE_OPTIONS'";
    for (options, others) in [
        ("", ""),
        ("--lines 2", "--lines 2 "),
        ("\"--lines 2 --alert-command 'a b'\"", "--lines 2 --alert-command a b "),
        ("'--lines 2 --alert-command \"a b\"'", "--lines 2 --alert-command a b "),
        ("--alert-command 'a b' --proxy http://proxy:3128", "--alert-command a b --proxy http://proxy:3128 "),
        ("--datasets md,ticker_trades,trades --lines 2", "--lines 2 "),
        ("\"--lines 2 --datasets=trades\"", "--lines 2 "),
        ("--datasets trades --lines 2 --datasets md", "--lines 2 "),
    ] {
        system.set_options(&format!("CAPTURE_OPTIONS={options}"));
        // Twice is as good as once.
        for _ in 0..2 {
            let said = system.run("The way back", &format!("{change}\n{show}"));
            assert_eq!(said.replace('\n', " "), format!("--datasets md {others}"), "{options}");
        }
    }
}

#[test]
fn the_bytes_that_the_guide_names_are_those_of_the_schema() {
    let page = page();
    let width = |datasets: &[Dataset], set| -> usize {
        datasets.iter().flat_map(|dataset| dataset.columns_of(set)).map(|column| column.kind.width()).sum()
    };
    let (trades, tickers) = ([Dataset::Trades], [Dataset::Md, Dataset::TickerTrades]);
    let row = |of: &[Dataset]| (width(of, ColumnSet::Full), width(of, ColumnSet::Core));
    let (full, core) = row(&trades);
    assert!(page.contains(&format!("| a trade on disk | {full} bytes; {core} with `--columns core` |")), "{full} {core}");
    let (full, core) = row(&tickers);
    assert!(page.contains(&format!("| a ticker on disk | {full} bytes in two datasets; {core} with `--columns core` |")), "{full} {core}");
}
