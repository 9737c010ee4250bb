//! `/metrics`: the format, and figures that are right.

use std::collections::BTreeMap;

use crate::client::{get, raw};
use crate::programs::await_that;
use crate::served::Served;

/// Reads the Prometheus text format 0.0.4, strictly: each sample below the `HELP` and `TYPE` of its family. Gives the samples.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut found, mut family, mut kind) = (BTreeMap::new(), String::new(), String::new());
    let mut families = Vec::new();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}")).0.to_owned();
            assert!(is_name(&family) && !families.contains(&family), "{line}");
            families.push(family.clone());
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, found_kind) = of_type.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&found_kind), "{line}");
            assert_eq!(found_kind == "counter", name.ends_with("_total"), "{line}");
            found_kind.clone_into(&mut kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let base = if kind == "histogram" {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap()
            } else {
                name
            };
            assert!(base == family && is_name(name) && name.starts_with("coltape_"), "{line}");
            if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let inside = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap();
                assert!(
                    inside.split(',').all(|pair| pair.split_once("=\"").is_some_and(|(name, value)| is_name(name) && value.ends_with('"'))),
                    "{line}"
                );
            }
            assert!(found.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    found
}

#[test]
fn metrics_have_the_format_and_count() {
    let (_folder, served) = Served::sample(&["--max-clients", "7"]);
    let first = served.get("/metrics");
    assert_eq!(first.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let before = samples(&first.text());
    for _ in 0..5 {
        assert_eq!(served.get("/nothing-of-that").status, 404);
    }
    assert_eq!(get(served.address, "/healthz", &[("Host", "evil.example")]).status, 421);
    assert_eq!(raw(served.address, b"nonsense\r\n\r\n").status, 400);
    // The threads of the connections before may not have seen yet that these are over.
    let (mut after, mut connections) = (BTreeMap::new(), 8.0);
    await_that("no client is left but this one", || {
        after = samples(&served.get("/metrics").text());
        connections += 1.0;
        after["coltape_serve_clients"] == 1.0
    });
    let of = |name: &str| after[&format!("coltape_serve_{name}")];
    assert_eq!(
        (of("answers_total{status=\"404\"}"), of("answers_total{status=\"421\"}"), of("answers_total{status=\"400\"}")),
        (5.0, 1.0, 1.0)
    );
    assert_eq!((of("clients"), of("clients_limit"), of("connections_total")), (1.0, 7.0, connections));
    let sent = |samples: &BTreeMap<String, f64>| samples["coltape_serve_sent_bytes_total"];
    assert!(sent(&after) > sent(&before) + first.body.len() as f64);
    for reason in ["stalled", "trickling", "slow_head", "crowded", "stopped"] {
        assert_eq!(of(&format!("cut_off_total{{reason=\"{reason}\"}}")), 0.0);
    }
    let buckets: Vec<f64> = after.iter().filter(|(name, _)| name.contains("lag_seconds_bucket")).map(|(_, value)| *value).collect();
    assert!(buckets.len() > 5 && after.contains_key("coltape_serve_lag_seconds_bucket{le=\"+Inf\"}"));
    let version = format!("coltape_build_info{{version=\"{}\",commit=\"", env!("CARGO_PKG_VERSION"));
    assert!(after.keys().any(|name| name.starts_with(&version)));
}
