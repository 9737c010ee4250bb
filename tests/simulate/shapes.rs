//! The shapes of the frames, compared with recorded ones as text: order of keys, kinds of values, format of numbers, times and sides.
//!
//! Each frame is read into *facts*. An object gives its path with its keys in the order of the text; any other value gives its path with the pattern of
//! its text. The simulator's frames have no fact that the recording does not have, except those listed by name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use coltape::internals::simulate::{Faults, SimulatedFeed, Simulation};

use crate::client::{Client, config_with, parse};

type Facts = BTreeMap<String, BTreeSet<String>>;

/// Gives the pattern of a value.
fn pattern(key: &str, value: &str) -> String {
    let is_decimal = !value.is_empty() && value.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_uuid = value.len() == 36 && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    match key {
        // Nanoseconds with their zeros trimmed: any length may come.
        "timestamp" => {
            assert!(value.as_bytes()[10] == b'T' && value.ends_with('Z') && value.len() <= 30, "{value}");
            "a time".to_owned()
        }
        "time" => {
            let (date, fraction) = value.split_at("2021-04-17T16:43:37".len());
            assert!(date.as_bytes()[10] == b'T' && fraction.ends_with('Z'), "{value}");
            match fraction.trim_start_matches('.').len() - 1 {
                6 => "a time of 6 digits".to_owned(),
                digits if digits > 6 => "a time of 7 to 9 digits".to_owned(),
                _ => "a time of up to 5 digits".to_owned(),
            }
        }
        "current_time" => {
            let (date, rest) = value.split_once('.').expect("a fraction");
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            format!("{}…{zone}", date.replace(|c: char| c.is_ascii_digit(), "0"))
        }
        _ if is_uuid => "a uuid".to_owned(),
        _ if is_decimal && matches!(key, "volume_24h" | "volume_30d") => {
            format!("a decimal of {} places", value.split_once('.').expect("a point").1.len())
        }
        _ if is_decimal => "a decimal".to_owned(),
        _ if value.contains('-') && value == value.to_uppercase() => "a product".to_owned(),
        _ => format!("{value:?}"),
    }
}

/// Reads one value at the front of `rest` into facts.
fn read(rest: &mut &str, path: &str, key: &str, facts: &mut BTreeSet<String>) {
    match rest.as_bytes()[0] {
        b'{' => {
            *rest = &rest[1..];
            let mut keys = Vec::new();
            while !rest.starts_with('}') {
                let name = string(rest);
                *rest = rest.strip_prefix(':').expect("a colon");
                read(rest, &format!("{path}.{name}"), &name, facts);
                keys.push(name);
                *rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            *rest = &rest[1..];
            // The channels of an acknowledgement are those that the client asked for.
            if key != "subscriptions" {
                facts.insert(format!("{path} {{{}}}", keys.join(",")));
            }
        }
        b'[' => {
            *rest = &rest[1..];
            while !rest.starts_with(']') {
                read(rest, &format!("{path}[]"), key, facts);
                *rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            *rest = &rest[1..];
        }
        b'"' => {
            let text = string(rest);
            facts.insert(format!("{path} = {}", pattern(key, &text)));
        }
        _ => {
            let end = rest.find([',', '}', ']']).expect("an end");
            let text = &rest[..end];
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            facts.insert(format!("{path} = {}", if is_number { "a number" } else { text }));
            *rest = &rest[end..];
        }
    }
}

fn string(rest: &mut &str) -> String {
    let end = rest[1..].find('"').expect("a closing quote") + 1;
    let text = rest[1..end].to_owned();
    assert!(!text.contains('\\'));
    *rest = &rest[end + 1..];
    text
}

fn facts_of<'a>(frames: impl Iterator<Item = &'a str>) -> Facts {
    let mut all = Facts::new();
    for frame in frames {
        let value = parse(frame);
        let kind = ["type", "channel"].iter().find_map(|key| value[key].as_str()).expect("a kind").to_owned();
        // Channels that the simulator does not have.
        if !matches!(kind.as_str(), "l2update" | "snapshot" | "l2_data" | "candles") {
            let mut rest = frame;
            read(&mut rest, "", "", all.entry(kind).or_default());
            assert!(rest.is_empty(), "{rest}");
        }
    }
    all
}

fn recording(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/recordings").join(file);
    let text = std::fs::read_to_string(&path);
    if text.is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: no recording at {}", path.display());
    }
    text.ok()
}

fn recorded(file: &str) -> Option<Facts> {
    let text = recording(file)?;
    Some(facts_of(text.lines().map(|line| line.split_once('\t').expect("a tab").1)))
}

/// Gives the frames of a market with every fault that leaves frames whole, and times and ids plausible.
fn generated(feed: SimulatedFeed) -> Vec<String> {
    let script = "drop=0.01,duplicate=0.01,reorder=0.01,delay:50ms=0.01,lose=0.01,stall:200ms@100ms,stall-lost:200ms@150ms,silent:100ms@400ms,\
                  clock-step@500ms,outage:20s@800ms,clock-step:5m@900ms";
    let faults = Faults::parse(script).expect("a script");
    let config = config_with(16, |config| {
        config.feed = feed;
        config.rate_per_product = 150.0;
        config.duration = Some(Duration::from_millis(1300));
        config.faults = faults;
    });
    let simulation = Simulation::start(config.clone()).expect("starts");
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let frames = client.read_to_end(&simulation);
    assert_eq!(simulation.totals().faults.len(), 10, "{:?}", simulation.totals().faults);
    frames
}

/// Gives the facts of ours that the recording does not have, kind by kind.
fn unrecorded(ours: &Facts, recorded: &Facts) -> Vec<String> {
    let none = BTreeSet::new();
    let missing = |kind: &String| recorded.get(kind).unwrap_or(&none);
    ours.iter().flat_map(|(kind, facts)| facts.difference(missing(kind)).map(move |fact| format!("{kind}{fact}"))).collect()
}

#[test]
fn exchange_frames_have_the_recorded_shapes() {
    let Some(recorded) = recorded("exchange-2021-04-17.tsv") else { return };
    let ours = facts_of(generated(SimulatedFeed::Exchange).iter().map(String::as_str));
    let mut known = vec![
        // Not recorded; documented.
        "heartbeat {type,last_trade_id,product_id,sequence,time}",
        "heartbeat.last_trade_id = a number",
        "heartbeat.product_id = a product",
        "heartbeat.sequence = a number",
        "heartbeat.time = a time of 6 digits",
        "heartbeat.type = \"heartbeat\"",
        // A channel that the recording does not have.
        "subscriptions.channels[].name = \"heartbeat\"",
        // Since 2022.
        "ticker {type,sequence,product_id,price,open_24h,volume_24h,low_24h,high_24h,volume_30d,best_bid,best_bid_size,best_ask,best_ask_size,side,time,trade_id,last_size}",
        "ticker.best_ask_size = a decimal",
        "ticker.best_bid_size = a decimal",
    ];
    let unrecorded = unrecorded(&ours, &recorded);
    if unrecorded.iter().any(|fact| fact.contains("account_ids")) {
        known.extend(["subscriptions.channels[] {name,product_ids,account_ids}", "subscriptions.channels[].account_ids = null"]);
    }
    known.sort_unstable();
    assert_eq!(unrecorded, known);
    for side in ["match.side = \"buy\"", "match.side = \"sell\"", "ticker.side = \"buy\"", "ticker.side = \"sell\""] {
        let (kind, fact) = side.split_once('.').expect("a kind");
        assert!(ours[kind].contains(&format!(".{fact}")), "{side}");
    }
}

#[test]
fn advanced_frames_have_the_recorded_shapes() {
    let Some(recorded) = recorded("advanced-2026-08-09.tsv") else { return };
    let ours = facts_of(generated(SimulatedFeed::Advanced).iter().map(String::as_str));
    assert_eq!(unrecorded(&ours, &recorded), Vec::<String>::new());
    assert_eq!(ours.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
}

/// Tells for every key with decimals whether all its values are trimmed.
fn trimmed_keys(text: &str) -> BTreeMap<String, bool> {
    let mut all = BTreeMap::new();
    for pair in text.split("\",\"").flat_map(|part| part.split([',', '{'])) {
        let Some((key, value)) = pair.split_once("\":\"") else { continue };
        let value = value.split('"').next().unwrap_or_default();
        if value.contains('.') && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            *all.entry(key.trim_matches('"').to_owned()).or_insert(true) &= !value.ends_with('0');
        }
    }
    all
}

#[test]
fn decimals_are_trimmed_and_padded_where_the_recorded_ones_are() {
    for (feed, file) in [(SimulatedFeed::Exchange, "exchange-2021-04-17.tsv"), (SimulatedFeed::Advanced, "advanced-2026-08-09.tsv")] {
        let Some(recording) = recording(file) else { return };
        let (recorded, ours) = (trimmed_keys(&recording), trimmed_keys(&generated(feed).join("\n")));
        assert!(ours.len() > 8, "{ours:?}");
        for (key, is_trimmed) in ours {
            let expected = recorded.get(&key).copied();
            assert_eq!(is_trimmed, expected.unwrap_or(is_trimmed), "{key} of {feed:?}");
        }
    }
}
