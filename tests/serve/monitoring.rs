//! `capture --listen`: the figures, health, readiness and status of a running capture, and who may ask.

use std::net::SocketAddr;
use std::path::Path;

use crate::client::{Answer, get};
use crate::metrics::samples;
use crate::programs::{Capture, Simulator, await_that, coltape};

/// The address that a capture logs.
fn address(data: &Path) -> SocketAddr {
    let log = data.with_extension("log");
    let find = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let address = text.split_once("at http://")?.1.split_once(": /metrics")?.0.to_owned();
        Some(address.parse::<SocketAddr>().unwrap())
    };
    await_that("the capture listens", || find().is_some());
    find().unwrap()
}

fn ask(address: SocketAddr, path: &str) -> Answer {
    get(address, path, &[])
}

fn list(answer: &Answer) -> Vec<String> {
    answer.json().as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_capture_shows_its_figures_and_whether_it_is_ready_and_names_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD,ETH-USD", "--rate", "50", "--seed", "5"]);
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    let args =
        ["BTC-USD", "ETH-USD", "--force-fs", "--listen", "127.0.0.1:0", "--alert-connection", "1s", "--url", &url, "--rest-url", &rest];
    let capture = Capture::start(&data, &args);
    let address = address(&data);
    assert_eq!((ask(address, "/healthz").status, ask(address, "/nothing").status), (200, 404));
    await_that("it is ready", || ask(address, "/readyz").status == 200);
    assert_eq!(list(&ask(address, "/readyz")), [""; 0]);
    let figures = || samples(&ask(address, "/metrics").text());
    await_that("figures of the watch", || figures().contains_key("coltape_disk_seconds_until_full"));
    let first = figures();
    await_that("trades are written", || figures()["coltape_trades_written_total{product=\"ETH-USD\"}"] > 50.0);
    let seen = figures();
    for product in ["BTC-USD", "ETH-USD"] {
        let of = |name: &str| seen[&format!("coltape_{name}{{product=\"{product}\"}}")];
        assert!(of("trades_received_total") >= of("trades_written_total") && of("tickers_received_total") > 0.0, "{product}");
        assert_eq!((of("conflicts_total"), of("shed_total"), of("gaps_open"), of("missing_ids")), (0.0, 0.0, 0.0, 0.0), "{product}");
        assert!(of("queue_depth_messages") <= seen["coltape_queue_capacity_messages"] && of("queue_high_water_messages") >= 0.0);
    }
    for histogram in ["processing_lag_seconds", "append_seconds", "flush_seconds", "exchange_delay_seconds"] {
        let of = |end: &str| seen[&format!("coltape_{histogram}_{end}")];
        assert!(of("count") > 0.0 && of("sum") > 0.0 && of("bucket{le=\"+Inf\"}") == of("count"), "{histogram}");
    }
    assert!(seen["coltape_exchange_delay_seconds_count"] >= seen["coltape_trades_written_total{product=\"BTC-USD\"}"]);
    assert!(seen["coltape_durable_age_seconds"] < 60.0 && seen["coltape_memory_bytes{kind=\"anonymous\"}"] > 1e6);
    assert_eq!((seen["coltape_connections"], seen["coltape_connections_wanted"], seen["coltape_products"]), (1.0, 1.0, 2.0));
    assert!(seen["coltape_socket_receive_queue_bytes{connection=\"line:0.0\"}"] >= 0.0);
    let of_first = first["coltape_messages_received_total"];
    await_that("figures grow", || figures()["coltape_messages_received_total"] > of_first);
    // A kind that has no alert has a sample all the same.
    let kinds: Vec<&String> = seen.keys().filter(|name| name.starts_with("coltape_alert{")).collect();
    assert!(kinds.len() > 10 && kinds.iter().any(|name| name.contains("gap_open")), "{kinds:?}");
    // The status is that of the command.
    let (asked, told) = (ask(address, "/status").json(), coltape().arg("status").arg(&data).arg("--json").output().unwrap());
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&asked["pid"], &asked["running"]), (&told["pid"], &told["running"]));
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&asked), keys(&told));
    simulator.end();
    await_that("it is not ready any more", || ask(address, "/readyz").status == 503);
    let missing = list(&ask(address, "/readyz"));
    assert!(missing.iter().any(|text| text.starts_with("line:0.0: ")), "{missing:?}");
    await_that("the alert stands", || figures()["coltape_alert{kind=\"connection_lost\"}"] == 1.0);
    let seen = figures();
    assert_eq!((seen["coltape_alerts_raised_total{kind=\"connection_lost\"}"], seen["coltape_connections"]), (1.0, 0.0));
    let lost: f64 = seen.iter().filter(|(name, _)| name.starts_with("coltape_reconnects_total{")).map(|(_, count)| count).sum();
    assert!(lost >= 1.0, "{seen:?}");
    assert_eq!(ask(address, "/healthz").status, 200);
    capture.stop();
    assert!(std::net::TcpStream::connect(address).is_err(), "it ends with the capture");
}

#[test]
fn a_product_that_the_exchange_does_not_acknowledge_keeps_the_capture_from_being_ready() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "20"]);
    let url = simulator.websocket();
    let args = ["BTC-USD", "NO-SUCH", "--force-fs", "--no-backfill", "--listen", "127.0.0.1:0", "--url", &url];
    let capture = Capture::start(&data, &args);
    let address = address(&data);
    await_that("the other product is recorded", || {
        let metrics = samples(&ask(address, "/metrics").text());
        metrics.get("coltape_trades_written_total{product=\"BTC-USD\"}").is_some_and(|written| *written > 0.0)
    });
    let answer = ask(address, "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(list(&answer), ["not acknowledged by the exchange: NO-SUCH"]);
    capture.stop();
}

#[test]
fn an_address_for_other_machines_needs_a_token_and_then_every_request_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = |args: &[&str]| {
        let output = coltape()
            .args(["capture", "BTC-USD", "--force-fs", "--url", "ws://127.0.0.1:1", "--data-dir"])
            .arg(&data)
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = capture(&["--listen", "0.0.0.0:0"]);
    assert!(code == Some(2) && said.contains("--token-file"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = capture(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(code == Some(1) && said.contains("cannot listen on"), "{said}");
    assert!(!data.exists(), "nothing was begun");
    let token = folder.path().join("token");
    std::fs::write(&token, "correct-horse\n").unwrap();
    let capture = Capture::start(
        &data,
        &["BTC-USD", "--force-fs", "--url", "ws://127.0.0.1:1", "--listen", "0.0.0.0:0", "--token-file", token.to_str().unwrap()],
    );
    let address = SocketAddr::from(([127, 0, 0, 1], address(&data).port()));
    for path in ["/metrics", "/readyz", "/status", "/healthz"] {
        assert_eq!(ask(address, path).status, 401, "{path}");
        assert_ne!(get(address, path, &[("Authorization", "Bearer correct-horse")]).status, 401, "{path}");
    }
    assert_eq!(get(address, "/metrics", &[("Host", "evil.example"), ("Authorization", "Bearer correct-horse")]).status, 421);
    let ready = get(address, "/readyz", &[("Authorization", "Bearer correct-horse")]);
    assert_eq!(ready.status, 503);
    capture.kill();
}
