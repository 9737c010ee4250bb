//! What is said of archived days by those who read: `verify` vouches for them, and nobody gives an answer that looks whole without them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use super::{day, done, files, refused, run, said, tape, text};
use crate::capture::programs::{coltape, verify};
use crate::repair::tape::memory_folder;

/// The lines of `verify --json` that are about days, without what says where they are.
fn days(data: &Path) -> Vec<serde_json::Value> {
    let (_, text) = verify(data, &["--json"]);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut days: Vec<serde_json::Value> = lines.filter(|line| line["line"] == "day").collect();
    for dataset in ["trades", "md", "ticker_trades"] {
        for day in &mut days {
            let kept = day[dataset].as_object_mut().unwrap();
            kept.remove("state");
            kept.remove("archive");
        }
    }
    days
}

/// What a command says on stderr, and its exit code.
fn asked(data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = coltape().args(args).arg("--data-dir").arg(data).output().unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn by_itself_nothing_is_changed_and_only_old_whole_days_are_named() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 4, 60);
    let before = files(&data);
    let output = run("archive", &data, &["--out", text(&out)]);
    assert!(output.status.success(), "{}", said(&output));
    let listed = String::from_utf8(output.stdout.clone()).unwrap();
    let dates: Vec<&str> = listed.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(dates, [day(0), day(1), day(2)].map(|day| day.to_string()), "the newest is the end of the tape");
    assert!(said(&output).contains("--apply moves them"), "{}", said(&output));
    assert_eq!(files(&data), before);
    assert!(!out.exists() && !data.join("_coltape/archived").exists(), "nothing was made");
    // A day that is gone leaves a gap.
    for dataset in ["TRADES", "MD", "TICKER_TRADES"] {
        for entry in fs::read_dir(data.join("BTC-USD").join(dataset)).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(&day(1).to_string()) {
                fs::remove_file(path).unwrap();
            }
        }
    }
    let output = run("archive", &data, &["--out", text(&out), "--apply"]);
    assert!(said(&output).contains("no day to archive") && said(&output).contains("not verified as whole"), "{}", said(&output));
    done("archive", &data, &["--out", text(&out), "--also", "open", "--apply"]);
    assert!(files(&data).keys().all(|path| path.to_string_lossy().contains(&day(3).to_string())));
    assert!(!verify(&data, &[]).0, "what is missing is missing in the archive, too");
}

#[test]
fn too_little_room_after_every_day_that_may_go_is_an_error() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 4, 60);
    let keep = |wanted: &'static str| ["--out", text(&out), "--keep-free", wanted];
    // A dry run says what it would come to, and ends as the run would.
    let output = run("archive", &data, &keep("900TiB"));
    let told = said(&output);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).lines().count()), (Some(1), 3), "{told}");
    let line = told.lines().find(|line| line.contains("would still be short")).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("989560.5 GB") && line.contains("--keep-free") && line.starts_with("error: "), "{line}");
    for days in [3, 0] {
        let told = refused("archive", &data, &[&keep("900TiB")[..], &["--apply"]].concat());
        let line = told.lines().find(|line| line.contains("short")).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains("989560.5 GB are to be free") && line.contains("are free"), "{line}");
        let last = told.lines().last().unwrap();
        assert!(last.starts_with(if days > 0 { "3 days moved" } else { "no day to archive" }), "{told}");
    }
    // Where enough is free, there is nothing to say.
    let last = done("archive", &data, &[&keep("1kB")[..], &["--apply"]].concat());
    assert!(last.starts_with("no day to archive"), "{last}");
}

#[test]
fn verify_vouches_for_archived_days_and_says_that_they_are_archived() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 5, 60);
    let before = days(&data);
    assert!(verify(&data, &[]).0);
    done("archive", &data, &["--out", text(&out), "--older-than", "30d", "--apply"]);
    assert_eq!(days(&data), before, "whatever was found then is said now");
    let (holds, table) = verify(&data, &[]);
    assert!(holds && table.contains("4 of them archived") && table.matches("archived in").count() == 4, "{table}");
    let (_, json) = verify(&data, &["--json"]);
    assert_eq!(json.matches("\"state\":\"archived\"").count(), 12, "{json}");
    assert!(json.contains("\"archived\":4"), "{json}");
    // Without the archive the days are known still, and that they were not looked at is said.
    fs::rename(&out, folder.path().join("away")).unwrap();
    let (holds, table) = verify(&data, &[]);
    assert!(holds && table.contains("is not there: 12 dataset-days are vouched for"), "{table}");
    fs::rename(folder.path().join("away"), &out).unwrap();
    // A second run finds nothing to do.
    let last = done("archive", &data, &["--out", text(&out), "--older-than", "30d", "--apply"]);
    assert!(last.starts_with("no day to archive"), "{last}");
}

#[test]
fn who_asks_for_an_archived_day_hears_so_in_one_line() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 5, 60);
    done("archive", &data, &["--out", text(&out), "--older-than", "30d", "--apply"]);
    let (second, last) = (day(1).to_string(), day(4).to_string());
    for command in ["query", "candles", "stats", "orders", "plot"] {
        for range in [&["--from", second.as_str()][..], &["--from", second.as_str(), "--to", &day(3).to_string()][..]] {
            let args = [&[command, "BTC-USD"][..], range].concat();
            let (code, said) = asked(&data, &args);
            assert_eq!((code, said.lines().count()), (Some(1), 1), "{args:?}: {said}");
            assert!(said.contains("archived in") && said.contains(&format!("coltape restore BTC-USD --from {second}")), "{args:?}: {said}");
        }
        let (code, said) = asked(&data, &[command, "BTC-USD", "--from", &last]);
        assert_eq!(code, Some(0), "{command} of what is here: {said}");
        if command != "plot" {
            let (code, said) = asked(&data, &[command, "BTC-USD"]);
            assert!(code == Some(1) && said.contains(&format!("--from {last} asks for what is here")), "{command}: {said}");
        }
    }
    // The last hour and the last records are here.
    assert_eq!(asked(&data, &["plot", "BTC-USD"]).0, Some(0));
    let (code, said) = asked(&data, &["query", "BTC-USD", "--tail", "5"]);
    assert!(code == Some(0) && said.contains("archived in"), "{said}");
    let whole = asked(&data, &["stats", "BTC-USD", "--from", &last, "--format", "jsonl", "--summary"]);
    assert_eq!(whole.0, Some(0), "{}", whole.1);
    // An export elsewhere says what it leaves out; where it was asked for, that is a failure.
    let other = folder.path().join("other");
    let (code, said) = asked(&data, &["export", "--out", text(&other)]);
    assert!(code == Some(0) && said.contains("8 days that are archived elsewhere left out"), "{said}");
    let (code, said) = asked(&data, &["export", "--out", text(&other), "--from", &second]);
    assert!(code == Some(1) && said.contains("archived in"), "{said}");
    // The archive is a data set, and goes on as one.
    let (code, said) = asked(&data, &["export", "--out", text(&out)]);
    assert!(code == Some(0) && !said.contains("left out"), "{said}");
}

#[test]
fn nobody_fetches_archived_trades_again() {
    let folder = memory_folder();
    let [data, out, other] = ["data", "cold", "other"].map(|name| folder.path().join(name));
    tape(&data, 5, 60);
    tape(&other, 5, 60);
    // A day between others.
    done("archive", &data, &["--out", text(&out), "--date", &day(2).to_string(), "--apply"]);
    let before = files(&data);
    let output = coltape().arg("repair").arg(&data).args(["--no-rest", "--from"]).arg(&other).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    assert!(output.status.success() && told.contains("archived here"), "{told}");
    assert_eq!(files(&data), before, "{told}");
    let product = crate::market::product();
    assert!(coltape::internals::store::gaps(&data, &product, None).unwrap().missing.is_empty());
    assert_eq!(
        coltape::internals::store::gaps(&data, &product, Some(3)).unwrap().first,
        Some(121),
        "the archived day is one of the last three"
    );
}

#[test]
fn a_day_that_is_not_archived_is_said_to_be_none() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    assert!(refused("restore", &data, &["--all"]).contains("has nothing archived"));
    done("archive", &data, &["--out", text(&out), "--older-than", "1d", "--apply"]);
    let said = refused("restore", &data, &["--date", "2024-01-01"]);
    assert!(said.contains(&format!("has archived BTC-USD from {} to {}", day(0), day(1))), "{said}");
    assert_eq!(run("restore", &data, &[]).status.code(), Some(2), "no day is named");
    for bad in [&["--older-than", "soon"][..], &["--keep-free", "much"], &["--date", "monday"], &["--also", "fine"]] {
        let output = run("archive", &data, &[&["--out", text(&out)][..], bad].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {}", super::said(&output));
    }
    for command in ["archive", "restore"] {
        let args = if command == "archive" { vec!["--out", text(&out)] } else { vec!["--all"] };
        let told = refused(command, &folder.path().join("none"), &args);
        assert!(told.lines().count() == 1 && told.contains("does not exist"), "{told}");
    }
    let told = refused("archive", &data, &["BTCUSD", "--out", text(&out)]);
    assert!(told.lines().count() == 1 && told.contains("did you mean BTC-USD?"), "{told}");
    // The archive lies in the data directory, or is something else. That is said before anything is done.
    let [inside, strange, file] = [data.join("cold"), folder.path().join("strange"), folder.path().join("file")];
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("letter.txt"), "dear").unwrap();
    fs::write(&file, "dear").unwrap();
    let why = [(&inside, "lies in the data directory"), (&strange, "holds files that no export has written"), (&file, "file")];
    for (path, words) in why {
        for apply in [&["--apply"][..], &[]] {
            let args = [&["--out", text(path), "--older-than", "1d"][..], apply].concat();
            let told = refused("archive", &data, &args);
            assert!(told.lines().count() == 1 && told.contains(words) && told.contains(text(path)), "{told}");
        }
    }
}

/// Asks a server. Gives the status line and the body.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_server_refuses_times_that_are_archived() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 5, 60);
    done("archive", &data, &["--out", text(&out), "--older-than", "30d", "--apply"]);
    let mut server =
        coltape().arg("serve").arg(&data).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = said["http_url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (second, last) = (day(1), day(4));
    // What was vouched for when it was archived is still vouched for, as `verify` does.
    let (_, table) = verify(&data, &["--json"]);
    let verdicts: Vec<serde_json::Value> = table.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let verdict_of = |date: &str| verdicts.iter().find(|line| line["line"] == "day" && line["date"] == date).unwrap()["verdict"].clone();
    let (_, coverage) = get(&address, "/v1/coverage?product=BTC-USD&format=json");
    let coverage: serde_json::Value = serde_json::from_str(&coverage).unwrap();
    let (_, products) = get(&address, "/v1/products?format=json");
    let products: serde_json::Value = serde_json::from_str(&products).unwrap();
    for days in [coverage.as_array().unwrap(), products[0]["days"].as_array().unwrap()] {
        assert_eq!(days.len(), 5);
        for (number, found) in (0..).zip(days) {
            let date = day(number).to_string();
            let state = if number < 4 { "archived" } else { "sealed" };
            assert_eq!((found["date"].as_str(), found["state"].as_str()), (Some(date.as_str()), Some(state)), "{found}");
            assert_eq!(found["verdict"], verdict_of(&date), "{found}");
        }
        assert_eq!(days[2]["verdict"], "whole");
    }
    // An answer has nothing of them, and is not called whole.
    let (_, summary) = get(&address, &format!("/v1/coverage?product=BTC-USD&from={}&format=json", day(4)));
    assert!(!summary.contains("archived"), "{summary}");
    for path in ["trades?", "tickers?", "candles?interval=1h&", "stats?", "orders?"] {
        let (status, body) = get(&address, &format!("/v1/{path}product=BTC-USD&from={second}"));
        assert!(status.contains("404") && body.contains("archived") && body.contains(&format!("from={last}")), "{path}: {status} {body}");
        let (status, body) = get(&address, &format!("/v1/{path}product=BTC-USD&from={last}"));
        assert!(status.contains("200"), "{path}: {status} {body}");
    }
    let (status, body) = get(&address, "/v1/trades?product=BTC-USD&after_id=100&limit=5");
    assert!(status.contains("404") && body.contains("archived"), "{status} {body}");
    let (status, body) = get(&address, "/v1/trades?product=BTC-USD&limit=5&order=desc");
    assert!(status.contains("200") && body.contains("300"), "{status} {body}");
    server.kill().unwrap();
    server.wait().unwrap();
}
