//! What is refused, and how: the status, the parameter, the values allowed.

use super::{Served, mixed, store_sealed};

#[test]
fn every_refusal_names_the_parameter_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    store_sealed(folder.path(), &mixed(200));
    let served = Served::start_with(folder.path(), |config| config.max_days = 1);
    for (path, status, said) in [
        ("/v1/trades", 400, &["product is missing", "BTC-USD"][..]),
        ("/v1/trades?product=ETH-USD", 404, &["no product ETH-USD", "BTC-USD"]),
        ("/v1/trades?product=btc-usd", 404, &["did you mean BTC-USD?"]),
        ("/v1/trades?product=../BTC-USD", 404, &["no product ../BTC-USD"]),
        ("/v1/trades?product=BTC-USD/TRADES", 404, &["there are BTC-USD"]),
        ("/v1/trades?product=", 404, &["there are BTC-USD"]),
        ("/v1/trades?product=BTC-USD&from=yesterday", 400, &["from=yesterday", "2025-06-07", "nanoseconds"]),
        ("/v1/trades?product=BTC-USD&to=2025-13-01", 400, &["to=2025-13-01"]),
        ("/v1/trades?product=BTC-USD&from=2025-06-08&to=2025-06-08", 400, &["to=2025-06-08", "after from"]),
        ("/v1/trades?product=BTC-USD&from=2025-06-07&limit=-1", 400, &["limit=-1", "whole number"]),
        ("/v1/trades?product=BTC-USD&from=2025-06-07&limit=+1", 400, &["limit="]),
        ("/v1/trades?product=BTC-USD&after_id=1.5", 400, &["after_id=1.5"]),
        ("/v1/trades?product=BTC-USD&order=up", 400, &["order=up", "asc, desc"]),
        ("/v1/trades?product=BTC-USD&columns=prize", 400, &["columns=prize", "price,size,side"]),
        ("/v1/trades?product=BTC-USD&columns=price,price", 400, &["columns=price", "once"]),
        ("/v1/trades?product=BTC-USD&columns=", 400, &["columns="]),
        ("/v1/trades?product=BTC-USD&format=xml", 400, &["format=xml", "json, jsonl, csv, arrow, parquet"]),
        ("/v1/trades?product=BTC-USD&form=csv", 400, &["no parameter form", "format"]),
        ("/v1/trades?product=BTC-USD&product=BTC-USD", 400, &["give product once"]),
        ("/v1/trades?product=BTC-USD", 400, &["2 days", "at most 1 days", "--max-days"]),
        ("/v1/candles?product=BTC-USD", 400, &["2 days"]),
        ("/v1/coverage", 400, &["2 days"]),
        ("/v1/candles?product=BTC-USD&from=2025-06-07&to=2025-06-08&interval=2m", 400, &["interval=2m", "1s, 1m, 5m, 15m, 1h, 6h, 1d"]),
        ("/v1/candles?product=BTC-USD&fill=zero", 400, &["fill=zero", "none, flat"]),
        ("/v1/candles?product=BTC-USD&fill=flat&from=2025-06-08&to=2026-06-08", 400, &["365 days"]),
        ("/v1/orders?product=BTC-USD&min_size=0", 400, &["min_size=0", "above 0"]),
        ("/v1/orders?product=BTC-USD&min_fills=few", 400, &["min_fills=few"]),
        ("/v1/stats?product=BTC-USD&top=1000001", 400, &["top=1000001", "1000000"]),
        ("/v1/stats?product=BTC-USD&top=1&min_notional=5", 400, &["not both"]),
        ("/v1/live?product=BTC-USD&dataset=ticks", 400, &["dataset=ticks", "trades, tickers, md"]),
        ("/v1/live", 400, &["product is missing"]),
        ("/v1/trade", 404, &["/v1/trade", "/v1/trades"]),
        ("/v1/products?product=BTC-USD", 400, &["no parameter product"]),
    ] {
        let (found, text) = served.get(path).error();
        assert_eq!(found, status, "{path}: {text}");
        for said in said {
            assert!(text.contains(said), "{path}: {text}");
        }
        assert!(!text.contains(&folder.path().display().to_string()), "{path}: {text}");
    }
    // The server lives on, and a question that is allowed is answered.
    served.get("/v1/trades?product=BTC-USD&from=2025-06-07&to=2025-06-08").whole();
    // What lies before an id does not count.
    served.get("/v1/trades?product=BTC-USD&after_id=1150").whole();
}

#[test]
fn a_data_directory_that_goes_away_is_an_error_and_not_an_empty_answer() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    store_sealed(&tape, &mixed(200));
    let served = Served::start(&tape);
    std::fs::rename(&tape, folder.path().join("elsewhere")).unwrap();
    for path in ["products", "coverage", "trades?product=BTC-USD", "candles?product=BTC-USD", "live?product=BTC-USD"] {
        let (status, text) = served.get(&format!("/v1/{path}")).error();
        assert_eq!(status, 500, "{path}: {text}");
        assert!(!text.contains(&folder.path().display().to_string()), "{path}: {text}");
    }
    std::fs::rename(folder.path().join("elsewhere"), &tape).unwrap();
    served.get("/v1/trades?product=BTC-USD").whole();
}
