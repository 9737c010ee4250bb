//! What lines of a journal come to: presence, explanations, and what is wrong with the lines themselves.

use super::super::product::Unknown;
use super::*;
use crate::ids::IdRange;
use crate::time::{Timestamp, parse_rfc3339};

const STARTED: &str = r#""event":"capture_started","endpoint":"exchange","products":1,"version":"0.1.0"}"#;
const STOPPED: &str = r#""event":"capture_stopped","frames":0,"trades_received":0,"trades_fetched":0,"trades_written":0,"trades_late":0,"trades_duplicate":0,"trades_conflict":0,"trades_shed":0,"trades_rejected":0,"sums":"hold","failure":""}"#;

fn at(time: &str, event: &str) -> String {
    format!(r#"{{"time":"{time}",{event}"#)
}

fn journal(lines: &[String]) -> Journal {
    let dir = tempfile::tempdir().expect("a folder");
    let own = dir.path().join(crate::store::OWN_FOLDER);
    std::fs::create_dir(&own).expect("made");
    for line in lines {
        let date = line.get(9..19).expect("a date");
        let path = own.join(format!("journal.{date}.jsonl"));
        let mut file = std::fs::File::options().append(true).create(true).open(path).expect("opened");
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).expect("written");
    }
    Journal::read(dir.path())
}

fn moment(text: &str) -> UnixNanos {
    parse_rfc3339(text.as_bytes()).ok().and_then(Timestamp::to_unix).expect("a time")
}

#[test]
fn a_journal_that_somebody_disturbed_leaves_its_day_unknown_and_other_files_do_not() {
    let disturbed = |file: &str| format!(r#""event":"file_disturbed","file":"{file}","what":"it was removed"}}"#);
    for (file, days) in [
        ("journal.2025-06-08.jsonl", vec![7, 8]),
        ("rejects.2025-06-08.jsonl", vec![7, 8]),
        ("exact.2025-06-08.jsonl", vec![]),
        ("lock", vec![]),
    ] {
        let read = journal(&[
            at("2025-06-07T10:00:00Z", STARTED),
            at("2025-06-08T10:00:00Z", &disturbed(file)),
            at("2025-06-09T10:00:00Z", STOPPED),
        ]);
        let history = read.of(&ProductId::new("BTC-USD").expect("a product"));
        let date = |day: u32| UtcDay::parse(&format!("2025-06-{day:02}")).expect("a date");
        let unknown: Vec<u32> = (6..=9).filter(|day| history.unknown_of(date(*day)).next().is_some()).collect();
        assert_eq!(unknown, days, "{file}");
    }
}

#[test]
fn a_clock_that_was_off_is_remembered_and_one_that_is_right_again_says_nothing() {
    let off = |seconds: u64| at("2025-06-07T10:00:00Z", &format!(r#""event":"clock_off","off_s":{seconds},"is_behind":true}}"#));
    assert!(journal(&[off(40)]).clock_off.concern(None) && !journal(&[off(0)]).clock_off.concern(None));
}

#[test]
fn between_a_stop_and_the_next_start_nobody_captured() {
    let repaired = r#""event":"repaired","product":"BTC-USD","from_tapes":0,"from_rest":1,"completed":0,"disagreements":0,"missing":0}"#;
    let raised = r#""event":"alert_raised","alert":"lag_above_1_s","subject":"","text":"2 s"}"#;
    let read = journal(&[
        at("2025-06-07T10:00:00Z", STARTED),
        at("2025-06-07T12:00:00Z", STOPPED),
        at("2025-06-07T13:00:00Z", repaired),
        at("2025-06-08T09:00:00Z", STARTED),
        at("2025-06-08T10:00:00Z", raised),
        at("2025-06-08T11:00:00Z", r#""event":"an_event_of_a_later_version"}"#),
        at("2025-06-08T13:00:00Z", r#""event":"repair_started","from":"","rest":true}"#),
        at("2025-06-08T13:01:00Z", repaired),
        at("2025-06-08T15:00:00Z", STARTED),
    ]);
    let absences = read.of(&ProductId::new("BTC-USD").expect("a product")).absences;
    let ends: Vec<(UnixNanos, UnixNanos)> = absences.iter().map(|absence| (absence.from, absence.to)).collect();
    assert_eq!(
        ends,
        [
            (UnixNanos(0), moment("2025-06-07T10:00:00Z")),
            (moment("2025-06-07T12:00:00Z"), moment("2025-06-08T09:00:00Z")),
            // It was killed; its last line was at eleven, whatever it says.
            (moment("2025-06-08T11:00:00Z"), moment("2025-06-08T15:00:00Z")),
        ]
    );
}

#[test]
fn a_product_is_told_of_its_own_ids_and_of_what_concerns_every_product() {
    let opened = |product: &str| format!(r#""event":"gap_opened","product":"{product}","from_id":5,"to_id":9,"why":"jump"}}"#);
    let read = journal(&[
        at("2025-06-07T10:00:00Z", &opened("BTC-USD")),
        at("2025-06-07T10:00:00Z", &opened("ETH-USD")),
        at("2025-06-07T10:00:01Z", r#""event":"connection_lost","line":"line:0.0","why":"reset by peer"}"#),
        at("2025-06-07T10:00:01Z", r#""event":}"#),
        at("2025-06-07T10:00:01Z", r#""event":"gap_opened","product":"BTC-USD","from_id":5}"#),
        at("2025-06-07T10:00:02Z", r#""event":"trading_began","product":"BTC-USD","first_id":77}"#),
        at("2025-06-07T10:00:02Z", STARTED),
    ]);
    let history = read.of(&ProductId::new("BTC-USD").expect("a product"));
    assert_eq!((history.explanations.len(), history.kept_from, read.unreadable), (2, Some(77), 2));
    let range = |from, to| IdRange::new(from, to).expect("a range");
    let why = history.explain(range(9, 12), moment("2025-06-07T10:00:00Z"), moment("2025-06-07T10:00:00Z"));
    assert!(why.contains("gap_opened") && why.contains("reset by peer"), "{why}");
    let far = history.explain(range(10, 12), moment("2025-06-07T11:00:00Z"), moment("2025-06-07T11:00:01Z"));
    assert!(far.contains("does not say why") && far.contains("no backfill tried"), "{far}");
}

fn history(lines: &[String]) -> History {
    journal(lines).of(&ProductId::new("BTC-USD").expect("a product"))
}

#[test]
fn what_the_exchange_named_is_known_and_what_was_only_asked_for_is_not() {
    let opened =
        |ids: &str, why: &str| at("2025-06-07T10:00:00Z", &format!(r#""event":"gap_opened","product":"BTC-USD",{ids},"why":"{why}"}}"#));
    let shed = |ids: &str, trades: u64| {
        at("2025-06-07T10:00:00Z", &format!(r#""event":"shed_ended","product":"BTC-USD",{ids},"trades":{trades},"tickers":0}}"#))
    };
    let read = history(&[
        opened(r#""from_id":11,"to_id":19"#, "heartbeat"),
        opened(r#""from_id":21,"to_id":29"#, "jump"),
        opened(r#""from_id":31,"to_id":39"#, "restart"),
        opened(r#""from_id":41,"to_id":49"#, "asked"),
        shed(r#""first_trade_id":51,"last_trade_id":59"#, 9),
        // One of the two is no id of the chain.
        shed(r#""first_trade_id":61,"last_trade_id":1000000069"#, 9),
        shed(r#""first_trade_id":0,"last_trade_id":0"#, 0),
        at("2025-06-07T10:00:00Z", r#""event":"conflict","product":"BTC-USD","trade_id":71}"#),
        at("2025-06-07T10:00:00Z", r#""event":"gap_filled","product":"BTC-USD","from_id":81,"to_id":89,"by":"rest"}"#),
    ]);
    let plain = |ids: &crate::ids::IdSet| ids.iter().map(|ids| (ids.first(), ids.last())).collect::<Vec<_>>();
    assert_eq!(plain(&read.named), [(11, 19), (21, 29), (51, 59), (71, 71), (81, 89)]);
    assert_eq!(plain(&read.passed), [(31, 39)]);
    assert_eq!(read.disputed.iter().map(|disputed| disputed.id).collect::<Vec<_>>(), [71]);
}

#[test]
fn a_day_must_hold_what_it_was_sealed_with_and_what_a_power_cut_cannot_take() {
    let day = r#""product":"BTC-USD","dataset":"trades","date":"2025-06-07""#;
    let opened = |how: &str| at("2025-06-07T10:00:00Z", &format!(r#""event":"day_opened",{day},{how}}}"#));
    let records = |lines: &[String]| history(lines).days.values().map(|day| day.records()).collect::<Vec<_>>();
    assert_eq!(records(&[opened(r#""how":"created""#)]), [0]);
    let continued =
        |records: u64, believed: &str| opened(&format!(r#""how":"continued","records":{records},"given_up":0,"believed":"{believed}""#));
    assert_eq!(records(&[continued(9, "committed")]), [0], "a power cut may take them");
    assert_eq!(records(&[continued(9, "durable")]), [9]);
    assert_eq!(records(&[continued(9, "durable"), continued(5, "durable")]), [5]);
    let sealed = |records: u64| {
        at("2025-06-07T10:00:00Z", &format!(r#""event":"day_sealed",{day},"records":{records},"late_merged":0,"generation":0}}"#))
    };
    assert_eq!(records(&[sealed(12), opened(r#""how":"reopened","records":12"#), continued(5, "durable")]), [12]);
    assert_eq!(records(&[sealed(12), opened(r#""how":"quarantined","why":"x","moved_to":"y""#), sealed(3)]), [12]);
}

/// The lines of a journal of one day, each with a fault of its own, and what they count as: damaged, cut off, not known.
#[test]
fn every_line_is_read_or_counted_as_what_is_wrong_with_it() {
    let good = at("2025-06-07T10:00:00Z", r#""event":"flush_recovered"}"#);
    let counts = |bad: &str, behind: &str| {
        let read = journal(&[good.clone(), format!("{}{bad}", r#"{"time":"2025-06-07"#), behind.to_owned()]);
        assert!(read.unreadable + read.torn + read.unknown > 0 || read.faults.is_empty());
        (read.unreadable, read.torn, read.unknown, read.faults.len(), read.of(&ProductId::new("BTC-USD").expect("a product")).unknown.len())
    };
    let started = at("2025-06-07T11:00:00Z", STARTED);
    let bad_field = r#"T10:00:01Z","event":"gap_left","product":"BTC-USD","from_id":9}"#;
    let unknown = r#"T10:00:01Z","event":"moon_phase","product":"BTC-USD"}"#;
    for behind in [&good, &started] {
        assert_eq!(counts(bad_field, behind), (1, 0, 0, 1, 1));
        assert_eq!(counts(unknown, behind), (0, 0, 1, 0, 1));
        assert_eq!(counts(r#"T10:00:01Z","event":"gap_left","product":"BTC-U\SD"}"#, behind), (1, 0, 0, 1, 1));
        assert_eq!(counts(r#"T10:00:01Z"event":"gap_left"}"#, behind), (1, 0, 0, 1, 1));
        assert_eq!(counts(r#"T24:00:01Z","event":"flush_recovered"}"#, behind), (1, 0, 0, 1, 1));
    }
    // Cut off: by a crash where a process begins behind it or nothing follows, by damage where the same process goes on.
    for cut in [r#"T10:00:01Z","event":"gap_le"#, "T1"] {
        assert_eq!(counts(cut, &started), (0, 1, 0, 0, 1), "{cut:?}");
        assert_eq!(counts(cut, &good), (1, 0, 0, 1, 1), "{cut:?}");
    }
    // Zeroes: by a power cut, unless the process ends in order.
    let stopped = at("2025-06-07T12:00:00Z", STOPPED);
    for behind in [&started, &good] {
        assert_eq!(counts("T10:00:01Z\0\0\0\0", behind), (0, 1, 0, 0, 1));
    }
    assert_eq!(counts("T10:00:01Z\0\0\0\0", &stopped), (1, 0, 0, 1, 1));
    let read = journal(&[good.clone(), r#"{"time":"2025-06-07T10:00:01Z","eve"#.to_owned()]);
    assert_eq!((read.unreadable, read.torn, read.faults.len()), (0, 1, 0));
}

#[test]
fn a_line_in_the_file_of_another_day_is_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let own = dir.path().join(OWN_FOLDER);
    std::fs::create_dir(&own).expect("made");
    std::fs::write(own.join("journal.2025-06-09.jsonl"), at("2025-06-07T10:00:00Z", STARTED) + "\n").expect("written");
    let read = Journal::read(dir.path());
    assert_eq!((read.faults.len(), read.has_lines_of(UtcDay::parse("2025-06-09").expect("a day"))), (1, true));
    std::fs::remove_file(own.join("journal.2025-06-09.jsonl")).expect("removed");
    std::fs::create_dir(own.join("journal.2025-06-09.jsonl")).expect("made");
    assert_eq!(Journal::read(dir.path()).faults.len(), 1, "a folder of that name");
}

#[test]
fn a_capture_accuses_itself_at_its_end() {
    let faults = |lines: &[String]| journal(lines).faults.iter().filter(|fault| fault.is_of_sums).count();
    let stopped = |change: &[(&str, &str)]| {
        let text = change.iter().fold(STOPPED.to_owned(), |text, (from, to)| text.replace(from, to));
        at("2025-06-07T12:00:00Z", &text)
    };
    let started = at("2025-06-07T10:00:00Z", STARTED);
    assert_eq!(faults(&[started.clone(), stopped(&[])]), 0);
    assert_eq!(faults(&[started.clone(), stopped(&[("\"hold\"", "\"do not hold\"")])]), 1);
    let conflict = at("2025-06-07T11:00:00Z", r#""event":"conflict","product":"BTC-USD","trade_id":71}"#);
    let two = [("trades_received\":0", "trades_received\":2"), ("trades_conflict\":0", "trades_conflict\":2")];
    assert_eq!(faults(&[started.clone(), conflict.clone(), stopped(&two)]), 1);
    assert_eq!(faults(&[started.clone(), conflict.clone(), conflict, stopped(&two)]), 0);
    let rejected = [("trades_received\":0", "trades_received\":7"), ("trades_rejected\":0", "trades_rejected\":7")];
    // Nothing was stored, and the file of rejects is not there.
    assert_eq!(faults(&[started.clone(), stopped(&rejected)]), 2);
    let some = [rejected[0], ("trades_rejected\":0", "trades_rejected\":6"), ("trades_written\":0", "trades_written\":1")];
    assert_eq!(faults(&[started.clone(), stopped(&some)]), 1);
    let lost = at("2025-06-07T11:00:00Z", r#""event":"lines_lost","lines":4}"#);
    assert_eq!(faults(&[started, lost, stopped(&some)]), 0);
}

#[test]
fn where_a_clock_was_set_back_no_absence_is_believed() {
    let lines = [
        at("2025-06-07T10:00:00Z", STARTED),
        at("2025-06-07T12:00:00Z", STOPPED),
        at("2025-06-07T14:00:00Z", STARTED),
        at("2025-06-07T11:00:00Z", r#""event":"flush_recovered"}"#),
    ];
    assert_eq!(history(&lines).absences.len(), 1);
    assert_eq!(history(&lines[..3]).absences.len(), 2);
}

#[test]
fn lines_that_were_lost_leave_the_days_of_that_capture_unknown() {
    let lost = at("2025-06-08T12:00:00Z", r#""event":"lines_lost","lines":4}"#);
    let read = history(&[at("2025-06-06T10:00:00Z", STARTED), lost]);
    let day = |text: &str| UtcDay::parse(text).expect("a day");
    let [Unknown { from, to, .. }] = read.unknown.as_slice() else { panic!("{:?}", read.unknown) };
    assert_eq!((*from, *to), (day("2025-06-06"), day("2025-06-08")));
    let is_unknown = |text: &str| read.unknown_of(day(text)).count() > 0;
    assert_eq!(["2025-06-04", "2025-06-05", "2025-06-08", "2025-06-09"].map(is_unknown), [false, true, true, false]);
}
