//! Every event is written and read back; lines of earlier versions read as they did.

use std::borrow::Cow;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::recovery::Trusted;

/// A type of which a test can have any value.
pub(super) trait Sample: Sized {
    fn any() -> BoxedStrategy<Self>;
}

impl Sample for u64 {
    fn any() -> BoxedStrategy<Self> {
        prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)].boxed()
    }
}

impl Sample for bool {
    fn any() -> BoxedStrategy<Self> {
        any::<bool>().boxed()
    }
}

impl Sample for String {
    fn any() -> BoxedStrategy<Self> {
        prop_oneof![any::<Self>(), "[\\x00-\\x7f]{0,8}", Just(Self::new())].boxed()
    }
}

impl Sample for Cow<'static, str> {
    fn any() -> BoxedStrategy<Self> {
        String::any().prop_map(Self::Owned).boxed()
    }
}

impl<T: Sample + Clone + std::fmt::Debug + 'static> Sample for Option<T> {
    fn any() -> BoxedStrategy<Self> {
        proptest::option::of(T::any()).boxed()
    }
}

impl Sample for ProductId {
    fn any() -> BoxedStrategy<Self> {
        "[A-Z0-9]{1,5}-USD".prop_map(|name| Self::new(&name).expect("a product")).boxed()
    }
}

impl Sample for Dataset {
    fn any() -> BoxedStrategy<Self> {
        proptest::sample::select(Self::ALL.to_vec()).boxed()
    }
}

impl Sample for UtcDay {
    fn any() -> BoxedStrategy<Self> {
        (0..=47_481_u32).prop_map(Self).boxed()
    }
}

impl Sample for UnixNanos {
    fn any() -> BoxedStrategy<Self> {
        // The seconds of a time are a u32.
        (0..(1_u64 << 32) * 1_000_000_000).prop_map(Self).boxed()
    }
}

impl Sample for IdRange {
    fn any() -> BoxedStrategy<Self> {
        (u64::any(), u64::any()).prop_map(|(one, other)| Self::one(one).span(Self::one(other))).boxed()
    }
}

impl Sample for DayKey {
    fn any() -> BoxedStrategy<Self> {
        (ProductId::any(), Dataset::any(), UtcDay::any()).prop_map(|(product, dataset, date)| Self { product, dataset, date }).boxed()
    }
}

impl Sample for Opening {
    fn any() -> BoxedStrategy<Self> {
        let continued = (u64::any(), u64::any(), proptest::sample::select(vec![Trusted::Committed, Trusted::Durable]));
        prop_oneof![
            Just(Self::Created),
            u64::any().prop_map(|records| Self::Reopened { records }),
            u64::any().prop_map(|records| Self::Sealed { records }),
            continued.prop_map(|(records, given_up, trusted)| Self::Continued { records, given_up, trusted }),
            (String::any(), String::any()).prop_map(|(why, moved_to)| Self::Quarantined { why, moved_to: PathBuf::from(moved_to) }),
        ]
        .boxed()
    }
}

impl Sample for SumCheck {
    fn any() -> BoxedStrategy<Self> {
        proptest::sample::select(vec![Self::Hold, Self::DoNotHold]).boxed()
    }
}

impl Sample for GapFiller {
    fn any() -> BoxedStrategy<Self> {
        proptest::sample::select(vec![Self::Line, Self::Rest, Self::Tape]).boxed()
    }
}

/// The strategies are made by the table, so a failing case has no file of its own to be kept in.
fn runner() -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
}

#[test]
fn every_event_is_read_back_as_it_was_written() {
    for (variant, strategy) in strategies() {
        let run = |(event, time): (Event, UnixNanos)| {
            let line = event.line(time);
            prop_assert!(!line.contains('\n'), "{line}");
            // Another reader of JSON takes it, too.
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(read["event"].as_str(), Some(event.name()));
            prop_assert_eq!(Line::parse(line), Ok(Line::of(time, event)));
            Ok(())
        };
        runner().run(&(strategy, UnixNanos::any()), run).unwrap_or_else(|error| panic!("{variant}: {error}"));
    }
}

#[test]
fn every_field_that_must_be_there_is_missed() {
    for (variant, strategy) in strategies() {
        let run = |event: Event| {
            let line = event.line(UnixNanos(7));
            let serde_json::Value::Object(fields) = serde_json::from_str(&line).expect("JSON") else { panic!("no object: {line}") };
            let mut missed = 0;
            for key in fields.keys() {
                let without: serde_json::Map<_, _> =
                    fields.iter().filter(|(name, _)| *name != key).map(|(k, v)| (k.clone(), v.clone())).collect();
                match Line::parse(serde_json::Value::Object(without).to_string()) {
                    Err(LineError::Head(_)) => missed += 1,
                    // Somebody wrote it, whatever it says.
                    Ok(Line { time, event: None, fault: Some(LineError::Field { .. }), .. }) => {
                        prop_assert_eq!(time, UnixNanos(7));
                        missed += 1;
                    }
                    // The field may be missing, or makes the line another event of the same name.
                    Ok(line) => prop_assert_ne!(line.event, Some(event.clone())),
                    Err(error) => panic!("{error}"),
                }
            }
            // At least time and name.
            prop_assert!(missed >= 2, "{variant}: {line}");
            Ok(())
        };
        runner().run(&strategy, run).unwrap_or_else(|error| panic!("{variant}: {error}"));
    }
}

/// Lines of version 0.1.0: of a capture, a repair and a backfill against the simulator, and of each event that these did not have.
const LINES_OF_0_1_0: &str = include_str!("lines_0_1_0.jsonl");

/// Events that version 0.1.0 did not have.
const SINCE_0_1_0: &[&str] = &[
    "DoubtRefuted",
    "SeriesRestarted",
    "SequenceRestarted",
    "DayFilesGone",
    "DayRestored",
    "DayBrought",
    "FileDisturbed",
    "ClockOff",
    "RestRetention",
    "ArchiveStarted",
    "DayArchived",
    "DayReturned",
];

#[test]
fn lines_of_version_0_1_0_are_read_and_written_byte_for_byte() {
    let mut seen = std::collections::BTreeSet::new();
    for text in LINES_OF_0_1_0.lines() {
        let line = Line::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let event = line.event.unwrap_or_else(|| panic!("unknown: {text}"));
        assert_eq!(event.line(line.time), text);
        let shown = format!("{event:?}");
        seen.insert(shown.split([' ', '{']).next().unwrap_or_default().to_owned());
    }
    // Version 0.1.0 read this one, but never wrote it.
    seen.insert("TradingEnded".to_owned());
    seen.extend(SINCE_0_1_0.iter().map(|name| (*name).to_owned()));
    for (variant, _) in strategies() {
        assert!(seen.contains(variant), "no line of {variant}: an event that 0.1.0 did not have belongs in a list of its own");
    }
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let line = r#"{"time":"2025-06-07T00:00:00Z","event":"gap_left","severity":3,"product":"BTC-USD","from_id":5,"to_id":9,"tags":["a"]}"#;
    let product = ProductId::new("BTC-USD").expect("a product");
    let event = Event::GapLeft { product, ids: IdRange::between(4, 10).expect("ids") };
    assert_eq!(Line::parse(line).map(|line| line.event), Ok(Some(event)));
    let unknown = r#"{"time":"2025-06-07T00:00:00Z","event":"moon_phase","product":"BTC-USD"}"#;
    assert_eq!(Line::parse(unknown).map(|line| line.event), Ok(None));
}

#[test]
fn a_bad_line_is_refused_with_what_is_wrong() {
    let refused = |line: &str| match Line::parse(line) {
        Ok(Line { fault: Some(fault), event: None, time, .. }) if time != UnixNanos(0) => Err(fault.to_string()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    for line in ["", "7", "[]", "{", "\u{feff}{}"] {
        assert_eq!(refused(line), Err("not a JSON object".to_owned()), "{line}");
    }
    assert_eq!(refused("{}"), Err("no valid time".to_owned()));
    assert_eq!(refused(r#"{"time":"yesterday","event":"flush_recovered"}"#), Err("no valid time".to_owned()));
    assert_eq!(refused(r#"{"time":"2025-06-07T00:00:00Z"}"#), Err("no valid event".to_owned()));
    for ids in [r#""from_id":9,"to_id":5"#, r#""from_id":5"#, r#""from_id":-5,"to_id":5"#, r#""from_id":"5","to_id":5"#] {
        let line = format!(r#"{{"time":"2025-06-07T00:00:00Z","event":"gap_left","product":"BTC-USD",{ids}}}"#);
        assert!(refused(&line).is_err_and(|why| why.starts_with("gap_left without a valid ")), "{line}");
    }
}

#[test]
fn the_time_of_a_line_without_its_end_is_read_where_it_is_whole() {
    let line = Event::FlushRecovered.line(UnixNanos(1_749_254_400_000_000_007));
    for end in 0..line.len() {
        let time = Line::time_of_a_part(&line.as_bytes()[..end]);
        assert_eq!(time, (end >= 40).then_some(UnixNanos(1_749_254_400_000_000_007)), "{}", &line[..end]);
    }
}
