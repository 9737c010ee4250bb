//! Candles, orders and stats are what the commands print.

use super::{Served, mixed, store_sealed};
use crate::programs::coltape;

/// Gives what a command prints.
fn printed(dir: &std::path::Path, args: &[&str]) -> String {
    let output = coltape().args(args).arg("--data-dir").arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn answers_about_a_market_are_what_the_commands_print() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(2_000));
    let served = Served::start(folder.path());
    for (path, args) in [
        ("candles?product=BTC-USD", &["candles", "BTC-USD"][..]),
        ("candles?product=BTC-USD&interval=1s&from=2025-06-08", &["candles", "BTC-USD", "--interval", "1s", "--from", "2025-06-08"]),
        (
            "candles?product=BTC-USD&interval=5m&fill=flat&from=2025-06-07&to=2025-06-09",
            &["candles", "BTC-USD", "--interval", "5m", "--fill", "flat", "--from", "2025-06-07", "--to", "2025-06-09"],
        ),
        ("orders?product=BTC-USD", &["orders", "BTC-USD"]),
        (
            "orders?product=BTC-USD&min_size=5.5&min_fills=2&to=2025-06-08",
            &["orders", "BTC-USD", "--min-size", "5.5", "--min-fills", "2", "--to", "2025-06-08"],
        ),
        ("stats?product=BTC-USD", &["stats", "BTC-USD"]),
        ("stats?product=BTC-USD&top=3&from=2025-06-08", &["stats", "BTC-USD", "--top", "3", "--from", "2025-06-08"]),
        ("stats?product=BTC-USD&min_notional=800000", &["stats", "BTC-USD", "--min-notional", "800000"]),
    ] {
        for format in ["csv", "jsonl"] {
            let printed = printed(folder.path(), &[args, &["--format", format]].concat());
            assert!(printed.lines().count() > 1, "{path}");
            assert_eq!(served.get(&format!("/v1/{path}&format={format}")).whole(), printed, "{path}");
        }
        let lines = served.rows(&format!("/v1/{path}&format=jsonl"));
        let array: Vec<serde_json::Value> = serde_json::from_str(served.get(&format!("/v1/{path}&format=json")).whole()).unwrap();
        assert_eq!(array, lines, "{path}");
    }
}
