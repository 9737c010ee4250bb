//! Every parameter with every wrong value, every form of a range and of a tag, and `HEAD` beside `GET`: what the contract says of one answer holds for all.

use super::{Reply, Served, get, mixed, store_sealed};
use crate::coinbase::escaped;

/// The paths of data and their parameters, each with a value that is allowed.
const PATHS: [(&str, &[(&str, &str)]); 8] = [
    ("/v1/products", &[("format", "json")]),
    ("/v1/coverage", &[("product", "BTC-USD"), ("from", "2025-06-07"), ("to", "2025-06-09"), ("format", "csv")]),
    ("/v1/trades", &RECORDS),
    ("/v1/tickers", &RECORDS),
    (
        "/v1/candles",
        &[("product", "BTC-USD"), ("interval", "1h"), ("from", "2025-06-07"), ("to", "2025-06-09"), ("fill", "flat"), ("format", "json")],
    ),
    (
        "/v1/orders",
        &[("product", "BTC-USD"), ("from", "2025-06-07"), ("to", "2025-06-09"), ("min_size", "0.5"), ("min_fills", "2"), ("format", "csv")],
    ),
    ("/v1/stats", &[("product", "BTC-USD"), ("from", "2025-06-07"), ("to", "2025-06-09"), ("top", "3"), ("format", "jsonl")]),
    ("/v1/live", &[("product", "BTC-USD"), ("dataset", "trades"), ("after_id", "1100")]),
];

const RECORDS: [(&str, &str); 8] = [
    ("product", "BTC-USD"),
    ("from", "2025-06-07"),
    ("to", "2025-06-09"),
    ("after_id", "1050"),
    ("limit", "10"),
    ("order", "desc"),
    ("columns", "trade_id,price"),
    ("format", "arrow"),
];

/// What no parameter has as its value.
fn wrong_values() -> Vec<String> {
    let known = [
        "",
        " ",
        "-1",
        "+1",
        "1e3",
        "0x10",
        "NaN",
        "inf",
        "null",
        "ü",
        "１",
        "\u{202e}1",
        "\0",
        "a\r\nb: c",
        "../..",
        "%31",
        "'",
        "[]",
        "1,",
    ];
    known.into_iter().map(str::to_owned).chain(["9".repeat(30), "a".repeat(4_000)]).collect()
}

fn target<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let shown: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if shown.is_empty() { path.to_owned() } else { format!("{path}?{}", shown.join("&")) }
}

fn sealed() -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(200));
    let served = Served::start(folder.path());
    (folder, served)
}

/// The head of an answer, without what is of the moment.
fn head_of(reply: &Reply) -> (u16, Vec<(String, String)>) {
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    headers.sort();
    (reply.status, headers)
}

#[test]
fn every_parameter_with_every_wrong_value_is_refused_by_its_name() {
    let (_folder, served) = sealed();
    for (path, parameters) in PATHS {
        for (name, _) in parameters {
            for value in wrong_values() {
                // As numbers go, this one is large.
                if *name == "min_size" && value.starts_with("99") {
                    continue;
                }
                let asked =
                    target(path, parameters.iter().map(|(other, usual)| (*other, if other == name { value.as_str() } else { usual })));
                let reply = served.get(&asked);
                let (status, text) = reply.error();
                if value.contains(|character: char| character.is_ascii_control()) {
                    // The target itself is refused, where no parameter is known yet.
                    assert!(matches!(status, 400 | 404), "{asked}: {text}");
                    continue;
                }
                assert_eq!(status, if *name == "product" { 404 } else { 400 }, "{asked}: {text}");
                assert!(text.contains(name) && !text.contains(char::is_control), "{asked}: {text}");
                assert_eq!(head_of(&served.head(&asked)), head_of(&reply), "{asked}");
            }
            let (_, usual) = parameters.iter().find(|(other, _)| other == name).unwrap();
            let twice = target(path, parameters.iter().copied().chain([(*name, *usual)]));
            let (status, text) = served.get(&twice).error();
            assert!(status == 400 && text.contains(&format!("give {name} once")), "{twice}: {text}");
        }
        if parameters.iter().any(|(name, _)| *name == "from") {
            let reversed = |(name, usual)| match name {
                "from" => (name, "2025-06-09"),
                "to" => (name, "2025-06-07"),
                _ => (name, usual),
            };
            let asked = target(path, parameters.iter().copied().map(reversed));
            let (status, text) = served.get(&asked).error();
            assert!(status == 400 && text.contains("to"), "{asked}: {text}");
        }
    }
    assert_eq!(served.get("/v1/products").status, 200);
}

#[test]
fn head_says_what_get_says_and_no_encoding_changes_an_answer() {
    let (_folder, served) = sealed();
    let options = escaped(r#"{"exchange":"coinbase","from":"2025-06-07","to":"2025-06-09","dataTypes":["trade"]}"#);
    let mut targets: Vec<String> = ["/", "/assets/app.js", "/healthz", "/readyz", "/nothing", "/v1/nothing", "/products", "/currencies"]
        .into_iter()
        .chain(["/products/BTC-USD", "/products/BTC-USD/trades?limit=3", "/products/BTC-USD/ticker", "/products/ETH-USD", "/ws", "/replay"])
        .chain(["/products/BTC-USD/candles?granularity=3600&start=2025-06-07&end=2025-06-09", "/products/BTC-USD/candles?granularity=7"])
        .map(str::to_owned)
        .collect();
    targets.push(format!("/replay-normalized?options={options}"));
    for (path, parameters) in PATHS.iter().filter(|(path, _)| *path != "/v1/live") {
        for format in ["json", "jsonl", "csv", "arrow", "parquet"] {
            let usual = parameters.iter().map(|(name, usual)| (*name, if *name == "format" { format } else { usual }));
            targets.push(target(path, usual));
        }
    }
    for asked in targets {
        let reply = served.get(&asked);
        assert!(reply.is_whole, "{asked}");
        let head = served.head(&asked);
        // A Parquet file is read in pieces by those who ask for its head first. As a whole it is sent while it is made.
        let is_file = reply.header("Content-Type").is_some_and(|kind| kind.ends_with("parquet")) && !asked.starts_with("/v1/coverage");
        let framing = ["Content-Length", "Transfer-Encoding", "Accept-Ranges"];
        let [said, expected] = [&head, &reply].map(|reply| {
            let (status, mut headers) = head_of(reply);
            headers.retain(|(name, _)| !is_file || !framing.contains(&name.as_str()));
            (status, headers)
        });
        assert_eq!(said, expected, "{asked}");
        assert!(head.body.is_empty());
        for encoding in ["gzip, deflate, br", "identity;q=0, *;q=0"] {
            let encoded = served.get_with(&asked, &[("Accept-Encoding", encoding)]);
            assert_eq!((encoded.status, encoded.header("Content-Encoding")), (reply.status, None), "{asked} {encoding}");
            assert_eq!(encoded.body, reply.body, "{asked} {encoding}");
        }
        let Some(tag) = reply.header("ETag") else { continue };
        for (list, is_known) in [
            (tag.to_owned(), true),
            (format!("W/{tag}"), true),
            (format!("\"other\", {tag}"), true),
            (format!("\"a,b\" , W/\"c\",{tag}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (tag.trim_matches('"').to_owned(), false),
            (String::new(), false),
        ] {
            for method in if list.contains(',') { &["GET", "HEAD"][..] } else { &["GET"] } {
                let found = get(served.address(), method, &asked, &[("If-None-Match", &list)]);
                assert_eq!(found.status, if is_known { 304 } else { 200 }, "{method} {asked} {list}");
                assert_eq!(found.header("ETag"), Some(tag), "{method} {asked} {list}");
                assert_eq!(found.header("X-Coltape-Verdict"), reply.header("X-Coltape-Verdict"), "{method} {asked} {list}");
                assert!(!is_known || (found.body.is_empty() && found.header("Content-Length").is_none()), "{method} {asked} {list}");
            }
        }
    }
}

#[test]
fn a_range_of_an_answer_is_that_part_of_it() {
    let (_folder, served) = sealed();
    for asked in ["/v1/coverage", "/v1/trades?product=BTC-USD&format=parquet", "/assets/app.js", "/products/BTC-USD/trades"] {
        // A reader of a Parquet file asks for its end first, and then knows its length.
        let whole = served.get_with(asked, &[("Range", "bytes=0-")]);
        assert_eq!(whole.status, 206, "{asked}");
        let (length, tag) = (whole.body.len(), whole.header("ETag").map(str::to_owned));
        let part = |first: usize, end: usize| Some(whole.body.get(first..end.min(length)).unwrap().to_vec());
        for (range, expected) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=4-", part(4, length)),
            ("bytes=-4", part(length - 4, length)),
            ("bytes=-99999999", part(0, length)),
            ("bytes=3-99999999", part(3, length)),
            ("bytes=0-99999999999999999999999", part(0, length)),
            ("Bytes = 1-2", part(1, 3)),
            ("bytes=99999999-", None),
            ("bytes=-0", None),
        ] {
            let reply = served.get_with(asked, &[("Range", range)]);
            match expected {
                Some(bytes) => {
                    assert_eq!((reply.status, &reply.body), (206, &bytes), "{asked} {range}");
                    let shown = reply.header("Content-Range").unwrap();
                    assert!(shown.ends_with(&format!("/{length}")), "{asked} {range}: {shown}");
                    assert_eq!(reply.header("ETag"), tag.as_deref(), "{asked} {range}");
                }
                None => {
                    assert_eq!(reply.error().0, 416, "{asked} {range}");
                    assert_eq!(reply.header("Content-Range"), Some(format!("bytes */{length}").as_str()), "{asked} {range}");
                }
            }
        }
        for range in ["bytes=0-1,3-4", "bytes=5-2", "bytes=a-b", "bytes", "rows=0-1", "bytes=-", "bytes=1-2-3", ""] {
            let reply = served.get_with(asked, &[("Range", range)]);
            assert_eq!((reply.status, reply.body.len()), (200, length), "{asked} {range}");
        }
        for (condition, status) in [(tag.clone(), 206), (Some("\"other\"".to_owned()), 200), (tag.map(|tag| format!("W/{tag}")), 200)] {
            let Some(condition) = condition else { continue };
            let reply = served.get_with(asked, &[("Range", "bytes=0-3"), ("If-Range", &condition)]);
            assert_eq!(reply.status, status, "{asked} {condition}");
        }
    }
}

#[test]
fn every_wrong_option_of_a_replay_is_refused_by_its_name() {
    let (_folder, served) = sealed();
    let good = r#""exchange":"coinbase","from":"2025-06-07","to":"2025-06-09""#;
    let normalized = r#""dataTypes":["trade"]"#;
    let native = r#""filters":[{"channel":"match"}]"#;
    for (path, options, status, said) in [
        ("/replay-normalized", "".to_owned(), 400, "options"),
        ("/replay-normalized", "{".to_owned(), 400, "options"),
        ("/replay-normalized", "[]".to_owned(), 400, "options"),
        ("/replay-normalized", "[{},{}]".to_owned(), 400, "options"),
        ("/replay-normalized", "5".to_owned(), 400, "exchange"),
        ("/replay-normalized", "null".to_owned(), 400, "exchange"),
        ("/replay-normalized", "[".repeat(2_000), 400, "options"),
        ("/replay-normalized", r#"{"exchange":"bitmex"}"#.to_owned(), 400, "exchange"),
        ("/replay-normalized", format!(r#"{{"exchange":["coinbase"],{normalized}}}"#), 400, "exchange"),
        ("/replay-normalized", format!(r#"{{"exchange":"coinbase","to":"2025-06-09",{normalized}}}"#), 400, "from"),
        ("/replay-normalized", format!(r#"{{"exchange":"coinbase","from":-1,"to":"2025-06-09",{normalized}}}"#), 400, "from"),
        ("/replay-normalized", format!(r#"{{"exchange":"coinbase","from":"2025-06-09","to":"2025-06-07",{normalized}}}"#), 400, "to"),
        ("/replay-normalized", format!(r#"{{"exchange":"coinbase","from":"2025-06-07","to":"ü",{normalized}}}"#), 400, "to"),
        ("/replay-normalized", format!("{{{good}}}"), 400, "dataTypes"),
        ("/replay-normalized", format!(r#"{{{good},"dataTypes":[]}}"#), 400, "dataTypes"),
        ("/replay-normalized", format!(r#"{{{good},"dataTypes":"trade"}}"#), 400, "dataTypes"),
        ("/replay-normalized", format!(r#"{{{good},"dataTypes":["book_snapshot_5_100ms"]}}"#), 400, "dataTypes"),
        ("/replay-normalized", format!(r#"{{{good},{normalized},"symbols":"BTC-USD"}}"#), 400, "symbols"),
        ("/replay-normalized", format!(r#"{{{good},{normalized},"symbols":{{}}}}"#), 400, "symbols"),
        ("/replay-normalized", format!(r#"{{{good},{normalized},"symbols":["ETH-USD"]}}"#), 404, "NotFound"),
        ("/replay-normalized", format!(r#"{{{good},{normalized},"symbols":[5]}}"#), 404, "NotFound"),
        ("/replay-normalized", format!(r#"{{{good},{normalized},"withDisconnectMessages":"no"}}"#), 400, "withDisconnectMessages"),
        ("/replay", format!("{{{good}}}"), 400, "filters"),
        ("/replay", format!(r#"{{{good},"filters":[]}}"#), 400, "filters"),
        ("/replay", format!(r#"{{{good},"filters":["match"]}}"#), 400, "filters"),
        ("/replay", format!(r#"{{{good},"filters":[{{"channel":"level2"}}]}}"#), 400, "filters"),
        ("/replay", format!(r#"{{{good},"filters":[{{"channel":"match","symbols":"BTC-USD"}}]}}"#), 400, "symbols"),
        ("/replay", format!(r#"{{{good},{native},"withDisconnects":1}}"#), 400, "withDisconnects"),
    ] {
        let asked = format!("{path}?options={}", escaped(&options));
        let (found, text) = served.get(&asked).error();
        assert_eq!(found, status, "{path} {options}: {text}");
        assert!(text.contains(said), "{path} {options}: {text}");
    }
    let allowed = escaped(&format!("{{{good},{normalized},\"symbols\":null,\"withDisconnectMessages\":null}}"));
    let (status, text) = served.get(&format!("/replay-normalized?options={allowed}&options={allowed}")).error();
    assert!(status == 400 && text.contains("options"), "{text}");
    let lines = served.get(&format!("/replay-normalized?options={allowed}")).whole().lines().count();
    assert!(lines >= mixed(200).len(), "{lines}");
}
