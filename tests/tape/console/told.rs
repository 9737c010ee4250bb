//! What a newcomer is told: mistakes of the command line before anything starts, lists with odd spellings, waiting that is not silent, tables that add up.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::capture::programs::{Capture, Simulator, await_that, coltape, query};
use crate::capture::scripted::{Server, match_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

#[test]
fn a_file_or_folder_that_cannot_be_used_is_refused_at_the_start_by_the_name_of_its_option() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(place("file"), "").unwrap();
    let (file, dir, missing, below) = (place("file"), place(""), place("no/such/file"), place("file/below"));
    let data = place("data");
    // The endpoint of the captures does not exist: one that started would go on for ever.
    let capture = |option: &str, value: &str| {
        let args = ["capture", "BTC-USD", "--url", "ws://127.0.0.1:1", "--data-dir", &data, option, value];
        args.map(str::to_owned).to_vec()
    };
    let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
    let simulate = |option: &str, value: &str| ["simulate", option, value].map(str::to_owned).to_vec();
    let cases = [
        ("--report", capture("--report", &dir)),
        ("--report", capture("--report", &missing)),
        ("--report", capture("--report", &below)),
        ("--record", capture("--record", &file)),
        ("--record", capture("--record", &below)),
        ("--record", capture("--record", "/proc/nothing")),
        ("--ca-file", capture("--ca-file", &missing)),
        ("--ca-file", [capture("--ca-file", &missing), words(["--rest-url", "https://127.0.0.1:1"])].concat()),
        ("--token-file", [capture("--token-file", &missing), words(["--listen", "127.0.0.1:0"])].concat()),
        ("--products-file", capture("--products-file", &missing)),
        ("--products-file", capture("--products-file", &dir)),
        ("--rest-url", capture("--rest-url", "no URL")),
        ("--url", capture("--url", "http://127.0.0.1:1").into_iter().filter(|word| word != "ws://127.0.0.1:1").collect()),
        ("--ledger", simulate("--ledger", &dir)),
        ("--ledger", simulate("--ledger", &missing)),
        ("--ledger", simulate("--ledger", &below)),
        ("--replay", simulate("--replay", &dir)),
        ("--replay", simulate("--replay", &missing)),
    ];
    for (option, mut args) in cases {
        if option == "--url" {
            args.remove(2);
        }
        let mut child = coltape().args(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut is_over = false;
        let started = std::time::Instant::now();
        while !is_over && started.elapsed() < crate::capture::programs::DEADLINE {
            is_over = child.try_wait().unwrap().is_some();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.lines().any(|line| line.starts_with("error:") && line.contains(option)), "{args:?}: {said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "", "nothing was written over");
}

#[test]
fn a_list_of_products_is_read_whatever_editor_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    let spellings = [
        "BTC-USD\nETH-USD\n",
        "\u{feff}BTC-USD\r\nETH-USD\r\n",
        "\u{feff}# watched\r\n\r\n  BTC-USD # first\r\n\t\r\nETH-USD",
        "\n\nBTC-USD\n\u{feff}ETH-USD\n\u{a0}\n# end",
        "BTC-USD\u{a0}\nBTC-USD\nETH-USD\u{3000}\n",
    ];
    for text in spellings {
        fs::write(&list, text).unwrap();
        let data = folder.path().join("data");
        let capture = Capture::start(
            &data,
            &["--products-file", list.to_str().unwrap(), "--url", "ws://127.0.0.1:1", "--force-fs", "--duration", "1ms"],
        );
        let said = capture.wait().stdout();
        let products: Vec<&str> = said.lines().filter(|line| line.contains(" | ")).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(products, ["product", "BTC-USD", "ETH-USD", "all"], "{text:?}: {said}");
        fs::remove_dir_all(&data).unwrap();
    }
}

#[test]
fn a_simulator_says_which_products_nobody_subscribes_to() {
    let mut child =
        coltape().args(["simulate", "--products", "BTC-USD,ETH-USD"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let endpoints: serde_json::Value = serde_json::from_str(&line).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let capture =
        Capture::start(&folder.path().join("data"), &["BTC-USD", "--force-fs", "--url", endpoints["websocket_url"].as_str().unwrap()]);
    let (told, heard) = std::sync::mpsc::channel();
    let stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| drop(told.send(line))));
    let is_named = |line: &String| line.contains("nobody subscribes to 1 of 2 products: ETH-USD;");
    let named = std::iter::from_fn(|| heard.recv_timeout(crate::capture::programs::DEADLINE).ok()).find(is_named);
    child.kill().unwrap();
    child.wait().unwrap();
    capture.kill();
    assert!(named.is_some());
}

/// Reads the closing table: each row's cells by the column's name; those behind the bar have `| ` before it.
fn rows(table: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let words = |line: &str| {
        let mut is_behind = false;
        let named = line.split_whitespace().filter_map(|word| {
            is_behind |= word == "|";
            (word != "|").then(|| if is_behind { format!("| {word}") } else { word.to_owned() })
        });
        named.collect::<Vec<String>>()
    };
    let mut lines = table.lines().skip_while(|line| !line.starts_with("product "));
    let names = words(lines.next().unwrap());
    lines
        .take_while(|line| line.contains(" | "))
        .map(|line| {
            let cells = words(line);
            assert_eq!(cells.len(), names.len(), "{line}");
            let numbers =
                names.iter().zip(&cells).skip(1).map(|(name, cell)| (name.clone(), cell.trim_start_matches("| ").parse().unwrap()));
            (cells[0].clone(), numbers.collect())
        })
        .collect()
}

#[test]
fn every_row_of_the_closing_table_adds_up_whatever_the_feed_distorts() {
    const FAULTS: &str = "drop=0.05,duplicate=0.05,reorder=0.05,delay:100ms=0.03,absurd-id=0.01,absurd-time=0.01,junk=0.02";
    for feed in ["exchange", "advanced"] {
        let mut simulator = Simulator::start(&[
            "--feed",
            feed,
            "--products",
            "3",
            "--rate",
            "100",
            "--duration",
            "3s",
            "--linger",
            "60s",
            "--seed",
            "11",
            "--faults",
            FAULTS,
        ]);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
        let names: Vec<String> =
            simulator.endpoints["products"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let mut args = vec!["--feed", feed, "--force-fs", "--url"];
        let url = simulator.websocket();
        args.extend([url.as_str(), "--rest-url", &rest]);
        args.extend(names.iter().map(String::as_str));
        let capture = Capture::start(&data, &args);
        simulator.await_totals();
        let ended = capture.stop();
        let table = ended.stdout();
        let rows = rows(&table);
        assert_eq!(rows.len(), 4, "{table}");
        for (name, row) in &rows {
            let of = |columns: &[&str]| columns.iter().map(|column| row[*column]).sum::<u64>();
            assert_eq!(
                of(&["trades", "backfilled"]),
                of(&["written", "late", "duplicate", "conflict", "shed", "rejected"]),
                "{name}: {table}"
            );
            assert_eq!(of(&["| tickers"]), of(&["| written", "| late", "| stale", "| shed", "| rejected"]), "{name}: {table}");
        }
        let (_, all) = rows.last().unwrap();
        assert!(all.iter().all(|(column, sum)| rows[..3].iter().map(|(_, row)| row[column]).sum::<u64>() == *sum), "{table}");
        assert!(all["trades"] > 500 && all["duplicate"] > 0, "{table}");
    }
}

#[test]
fn late_tickers_have_a_column_of_their_own() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    // The ticker of a day that was sealed in the run before is late, once the exchange's clock says that the day is over.
    let server = Server::start(move |connection, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for number in 0..if connection == 0 { 0 } else { 3 } {
            let time = jiff::Timestamp::now() + jiff::SignedDuration::from_micros(number);
            session.send(format!(r#"{{"type":"heartbeat","last_trade_id":1,"product_id":"BTC-USD","sequence":1001,"time":"{time}"}}"#));
        }
        session.send(match_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        session.send(crate::capture::scripted::ticker_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        let _ = went.lock().unwrap().recv_timeout(crate::capture::programs::DEADLINE);
        session.send(crate::capture::scripted::ticker_frame("BTC-USD", 2, "2024-03-09T12:00:01Z"));
        session.send(match_frame("BTC-USD", 2, "2024-03-09T12:00:01Z"));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--force-fs", "--url", &server.url];
    let first = Capture::start(&data, &args);
    await_that("the first ticker is stored", || {
        data.join("BTC-USD/MD").exists() && query(&data, "BTC-USD", &["--dataset", "md"]).len() == 1
    });
    first.stop().assert_good();
    let second = Capture::start(&data, &args);
    go.send(()).unwrap();
    go.send(()).unwrap();
    await_that("the second ticker is stored", || query(&data, "BTC-USD", &["--dataset", "md"]).len() == 2);
    let table = second.stop().stdout();
    let rows = rows(&table);
    let row = &rows[0].1;
    let sum = ["| written", "| late", "| stale", "| shed", "| rejected"].iter().map(|column| row[*column]).sum::<u64>();
    assert!(row["| tickers"] == sum && row["| late"] == 1, "{table}");
}

#[test]
fn the_help_of_capture_names_every_alert_and_the_exit_codes() {
    let output = coltape().args(["capture", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in
        ["never_connected", "connection_lost", "product_refused", "write_failure", "queue_above_80_percent", "Exit 0", "Exit 1", "Exit 2"]
    {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn where_only_other_datasets_are_kept_the_answer_names_them() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(crate::capture::scripted::ticker_frame("BTC-USD", 1, &now()));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--datasets", "md", "--url", &server.url]);
    await_that("the ticker is stored", || data.join("BTC-USD/MD").exists() && query(&data, "BTC-USD", &["--dataset", "md"]).len() == 1);
    capture.stop();
    let said = |product: &str| {
        let output = coltape().args(["query", product, "--data-dir"]).arg(&data).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        said("BTC-USD").contains("no TRADES of BTC-USD") && said("BTC-USD").contains("which holds MD of it: ask with --dataset md"),
        "{}",
        said("BTC-USD")
    );
    assert!(said("btc-usd").contains("did you mean BTC-USD?"), "{}", said("btc-usd"));
    let mut child =
        coltape().args(["query", "BTC-USD", "--dataset", "md", "--data-dir"]).arg(&data).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success() && out.lines().count() == 2, "{out}");
}
