//! `verify --ledger` against corruptions planted in the column files: each is named for what it is, and a clean tape holds.

use std::path::PathBuf;

use coltape::internals::decimal::Decimal;
use coltape::internals::record::Ticker;
use coltape::internals::schema::{Dataset, Md};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::{UnixNanos, UtcDay};
use coltape::internals::verify::{FindingKind, Report, Verdict, VerifyConfig, verify};

use crate::market::{self, Bytes, FIRST_DAY, Print, column, prints, product, rewrite, store_all, ticker, write_ledger};

/// A tape of two days with its ledger.
struct Tape {
    dir: tempfile::TempDir,
    prints: Vec<Print>,
}

impl Tape {
    /// 600 trades before and after a midnight.
    fn new() -> Self {
        let step = 50_000_000;
        let start = UnixNanos(FIRST_DAY.next().start().0 - 300 * step);
        let tape = Self { dir: tempfile::tempdir().expect("a folder"), prints: prints(1, 600, start, step) };
        store_all(&tape.data(), &tape.prints, StoreOptions::default());
        tape
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn config(&self) -> VerifyConfig {
        let path = self.dir.path().join("ledger.jsonl");
        write_ledger(&path, &self.prints);
        let now = UnixNanos(FIRST_DAY.start().0 + 10 * 86_400_000_000_000);
        with(VerifyConfig::new(self.data(), now), |config| config.ledger = Some(path))
    }

    fn verify(&self) -> Report {
        verify(&self.config()).expect("verified")
    }

    fn rewrite(&self, dataset: Dataset, date: UtcDay, change: impl FnOnce(&mut Vec<Bytes>)) -> Report {
        rewrite(&self.data(), dataset, date, change);
        self.verify()
    }
}

/// The configuration with a change.
fn with(mut config: VerifyConfig, change: impl FnOnce(&mut VerifyConfig)) -> VerifyConfig {
    change(&mut config);
    config
}

/// Gives the kinds found and how often.
fn kinds(report: &Report) -> Vec<(FindingKind, u64)> {
    report.findings.counts().collect()
}

fn words(report: &Report, kind: FindingKind) -> String {
    report
        .findings
        .listed()
        .iter()
        .filter(|finding| finding.kind == kind)
        .map(|finding| finding.text.clone())
        .collect::<Vec<_>>()
        .join("\n")
}

const TRADES: Dataset = Dataset::Trades;

#[test]
fn a_clean_tape_holds_and_every_record_is_accounted_for() {
    let tape = Tape::new();
    let report = tape.verify();
    assert_eq!(kinds(&report), []);
    let sums = report.ledger.expect("sums");
    assert_eq!((sums.trades, sums.trades_equal, sums.tickers, sums.tickers_equal), (600, 600, 450, 900));
    assert_eq!(report.days.iter().map(|day| day.coverage.verdict).collect::<Vec<_>>(), [Verdict::Whole, Verdict::Partial]);
    assert_eq!(report.days[0].dataset(TRADES).map(|kept| kept.sums.records), Some(300));
    assert_eq!(report.days.iter().filter_map(|day| day.named).sum::<u64>(), 450);
    assert_eq!(
        report.days.iter().filter_map(|day| day.pairing).map(|pairing| (pairing.pairs, pairing.unpaired)).collect::<Vec<_>>(),
        [(225, 0), (225, 0)]
    );
}

#[test]
fn a_missing_trade_is_lost_and_its_id_is_missing() {
    let tape = Tape::new();
    let report = tape.rewrite(TRADES, FIRST_DAY, |rows| {
        rows.remove(100);
    });
    assert_eq!(kinds(&report), [(FindingKind::Missing, 1), (FindingKind::Lost, 1)]);
    assert!(words(&report, FindingKind::Lost).contains("id 101 sent"), "{}", words(&report, FindingKind::Lost));
    assert_eq!(report.days[0].coverage.verdict, Verdict::Open);
}

#[test]
fn a_doubled_trade_is_doubled() {
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| rows.insert(100, rows[100].clone()));
    assert_eq!(report.findings.count(FindingKind::Doubled), 1);
    assert_eq!(
        (
            report.findings.count(FindingKind::IdOrder),
            report.findings.count(FindingKind::Lost),
            report.findings.count(FindingKind::Invented)
        ),
        (1, 0, 0)
    );
}

#[test]
fn swapped_records_are_out_of_order_and_swapped_values_are_altered() {
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| rows.swap(100, 101));
    assert_eq!(report.findings.count(FindingKind::IdOrder), 1);
    assert_eq!((report.findings.count(FindingKind::Lost), report.findings.count(FindingKind::Altered)), (0, 0));
    let taker = column(TRADES, "taker_order_id");
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| {
        let other = rows[107][taker].clone();
        let one = std::mem::replace(&mut rows[100][taker], other);
        rows[107][taker] = one;
    });
    assert_eq!(kinds(&report), [(FindingKind::Altered, 2)]);
}

#[test]
fn a_turned_side_is_altered() {
    let side = column(TRADES, "trade_side");
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| rows[99][side][0] ^= 1);
    assert_eq!(report.findings.count(FindingKind::Altered), 1);
    assert!(words(&report, FindingKind::Altered).contains("trade_side"));
}

#[test]
fn an_f32_beside_the_nearest_by_one_ulp_is_altered_even_where_its_f64_moved_along() {
    let (price, exact) = (column(TRADES, "trade_price"), column(TRADES, "trade_price_f64"));
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| rows[99][price][0] ^= 1);
    assert_eq!((report.findings.count(FindingKind::Altered), report.findings.count(FindingKind::Rounding)), (1, 1));
    assert!(words(&report, FindingKind::Altered).starts_with("trade 100: trade_price "), "{}", words(&report, FindingKind::Altered));
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| {
        rows[99][price][0] ^= 1;
        let moved = f32::from_le_bytes(rows[99][price].clone().try_into().expect("four bytes"));
        rows[99][exact] = f64::from(moved).to_le_bytes().to_vec();
    });
    assert_eq!((report.findings.count(FindingKind::Altered), report.findings.count(FindingKind::Rounding)), (1, 0));
}

#[test]
fn one_byte_of_an_order_id_is_altered() {
    for name in ["maker_order_id", "taker_order_id"] {
        let at = column(TRADES, name);
        let report = Tape::new().rewrite(TRADES, FIRST_DAY.next(), |rows| rows[299][at][15] ^= 0x80);
        assert_eq!(kinds(&report), [(FindingKind::Altered, 1)]);
        assert!(words(&report, FindingKind::Altered).contains(name));
    }
}

#[test]
fn a_time_that_is_off_by_a_nanosecond_is_altered() {
    let nanos = column(TRADES, "trade_nanos");
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| rows[1][nanos][0] ^= 1);
    assert_eq!(report.findings.count(FindingKind::Altered), 1);
    assert!(words(&report, FindingKind::Altered).contains("trade_nanos"));
}

#[test]
fn a_trade_in_another_days_file_is_misfiled() {
    let tape = Tape::new();
    let mut moved = None;
    rewrite(&tape.data(), TRADES, FIRST_DAY, |rows| moved = rows.pop());
    let report = tape.rewrite(TRADES, FIRST_DAY.next(), |rows| rows.insert(0, moved.expect("a record")));
    assert_eq!(kinds(&report), [(FindingKind::WrongDay, 1), (FindingKind::Misfiled, 1)]);
}

#[test]
fn a_trade_that_the_exchange_never_made_is_invented() {
    let tape = Tape::new();
    let id = column(TRADES, "trade_id");
    let report = tape.rewrite(TRADES, FIRST_DAY.next(), |rows| {
        let mut row = rows[299].clone();
        row[id] = 601_u64.to_le_bytes().to_vec();
        rows.push(row);
    });
    assert_eq!(kinds(&report), [(FindingKind::Invented, 1)]);
}

#[test]
fn a_trade_never_sent_is_missed_between_those_sent_and_excused_before_and_after() {
    let mut tape = Tape::new();
    for at in [0, 1, 100, 101, 102, 599] {
        tape.prints[at].sent = false;
    }
    rewrite(&tape.data(), TRADES, FIRST_DAY, |rows| {
        rows.drain(100..102);
        rows.drain(..2);
    });
    let report = tape.rewrite(TRADES, FIRST_DAY.next(), |rows| {
        rows.pop();
    });
    assert_eq!(kinds(&report), [(FindingKind::Missing, 2), (FindingKind::NeverSent, 2)]);
    let sums = report.ledger.expect("sums");
    assert_eq!((sums.trades_before, sums.trades_after, sums.trades_fetched, sums.trades_equal), (2, 1, 1, 595));
}

#[test]
fn only_a_trade_from_rest_may_be_without_order_ids() {
    let (maker, sequence, origin) = (column(TRADES, "maker_order_id"), column(TRADES, "trade_sequence"), column(TRADES, "trade_origin"));
    let nil = |rows: &mut Vec<Bytes>, means: u8| {
        rows[50][maker] = vec![0; 16];
        rows[50][sequence] = vec![0; 8];
        rows[50][origin][0] = means;
    };
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| nil(rows, 2));
    assert_eq!(kinds(&report), []);
    assert_eq!(report.ledger.expect("sums").without_order_ids, 1);
    assert_eq!(report.days[0].dataset(TRADES).map(|kept| kept.sums.with_order_ids), Some(299));
    let report = Tape::new().rewrite(TRADES, FIRST_DAY, |rows| nil(rows, 0));
    assert_eq!(kinds(&report), [(FindingKind::Altered, 1)]);
}

#[test]
fn tickers_are_held_against_the_ledger_in_both_datasets() {
    let (bid, spread) = (column(Dataset::Md, "best_bid_f64"), column(Dataset::TickerTrades, "trade_spread"));
    let report = Tape::new().rewrite(Dataset::Md, FIRST_DAY, |rows| rows[7][bid][0] ^= 1);
    assert_eq!(kinds(&report), [(FindingKind::Altered, 1)]);
    let report = Tape::new().rewrite(Dataset::TickerTrades, FIRST_DAY, |rows| rows[7][spread][0] ^= 1);
    assert_eq!(kinds(&report), [(FindingKind::TickerTrade, 1), (FindingKind::Altered, 1)]);
    for dataset in [Dataset::Md, Dataset::TickerTrades] {
        let report = Tape::new().rewrite(dataset, FIRST_DAY, |rows| {
            rows.remove(7);
        });
        assert_eq!(kinds(&report), [(FindingKind::Lost, 1)], "{dataset:?}");
        let report = Tape::new().rewrite(dataset, FIRST_DAY, |rows| rows.insert(7, rows[7].clone()));
        assert_eq!((report.findings.count(FindingKind::Doubled), report.findings.count(FindingKind::Lost)), (1, 0), "{dataset:?}");
    }
}

#[test]
fn a_ticker_that_denies_its_trade_is_found_without_a_ledger() {
    let tape = Tape::new();
    let (side, size) = (column(Dataset::Md, "side"), column(TRADES, "trade_size_f64"));
    rewrite(&tape.data(), Dataset::Md, FIRST_DAY, |rows| rows[7][side][0] ^= 1);
    rewrite(&tape.data(), TRADES, FIRST_DAY.next(), |rows| rows[4][size][0] ^= 1);
    let report = verify(&with(tape.config(), |config| config.ledger = None)).expect("verified");
    assert_eq!(report.findings.count(FindingKind::TickerDisagrees), 2, "{:?}", report.findings);
    assert_eq!(report.findings.count(FindingKind::TickerTrade), 1);
}

#[test]
fn a_ledger_without_its_end_proves_nothing() {
    let tape = Tape::new();
    let config = tape.config();
    let path = config.ledger.clone().expect("a ledger");
    let whole = std::fs::read_to_string(&path).expect("read");
    let cut: String = whole.lines().filter(|line| !line.contains("\"end\"")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, cut).expect("written");
    assert_eq!(kinds(&verify(&config).expect("verified")), [(FindingKind::Ledger, 1)]);
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    assert!(verify(&config).is_err());
}

#[test]
fn a_product_and_a_day_asked_for_are_the_only_ones_held_against_the_ledger() {
    let tape = Tape::new();
    let config = with(tape.config(), |config| config.date = Some(FIRST_DAY));
    let report = verify(&config).expect("verified");
    assert_eq!((kinds(&report), report.ledger.map(|sums| sums.trades_equal), report.days.len()), (vec![], Some(300), 1));
    // Its neighbour is not reported, and still shows that it is whole.
    assert_eq!(report.days[0].coverage.verdict, Verdict::Whole);
}

/// Writes tickers that have neither trade nor sequence, as the Advanced feed sends them, and the ledger of them.
fn advanced(tape: &Tape, change: impl FnOnce(&mut Vec<String>)) -> VerifyConfig {
    let tickers: Vec<Ticker> =
        tape.prints.iter().map(|print| Ticker { trade_id: 0, sequence: 0, volume: Decimal::NONE, side: None, ..ticker(print) }).collect();
    let data = tape.dir.path().join("advanced");
    market::store::<Md>(&market::data_dir(&data, StoreOptions::default()), &product(), &tickers);
    let line = |print: &Print| {
        let (product, time, Print { price, bid, ask, .. }) = (product(), print.trade.time, print);
        format!(
            r#"{{"kind":"ticker","product":"{product}","trade_id":0,"sequence":0,"time":"{time}","price":"{price}","last_size":null,"side":null,"best_bid":"{bid}","best_bid_size":"1.5","best_ask":"{ask}","best_ask_size":"0.25","sent":true}}"#
        )
    };
    let mut lines: Vec<String> = tape.prints.iter().map(line).collect();
    change(&mut lines);
    lines.push(r#"{"kind":"end","totals":{}}"#.to_owned());
    let path = tape.dir.path().join("advanced.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("written");
    with(VerifyConfig::new(data, tape.config().now), |config| config.ledger = Some(path))
}

#[test]
fn tickers_without_a_sequence_are_matched_by_time_and_fields() {
    let tape = Tape::new();
    let report = verify(&advanced(&tape, |_| {})).expect("verified");
    assert_eq!((kinds(&report), report.ledger.map(|sums| sums.tickers_equal)), (vec![], Some(600)));
    let report = verify(&advanced(&Tape::new(), |lines| {
        // Three share each time: the altered one must not take another's place.
        lines[300] = lines[300].replace(r#""best_bid_size":"1.5""#, r#""best_bid_size":"1.25""#);
        lines[2] = lines[2].replace(r#""sent":true"#, r#""sent":false"#);
    }))
    .expect("verified");
    assert_eq!((kinds(&report), report.ledger.map(|sums| sums.tickers_equal)), (vec![(FindingKind::Altered, 1)], Some(599)));
    assert!(words(&report, FindingKind::Altered).contains("best_bid_size_f64"));
    let report = verify(&advanced(&Tape::new(), |lines| {
        lines.remove(300);
    }))
    .expect("verified");
    assert_eq!(kinds(&report), [(FindingKind::Invented, 1)]);
}

#[test]
fn a_lost_ticker_is_excused_only_by_a_fault_of_the_ledger_that_loses_tickers() {
    let lost_with = |fault: &str| {
        let tape = Tape::new();
        for dataset in [Dataset::Md, Dataset::TickerTrades] {
            rewrite(&tape.data(), dataset, FIRST_DAY, |rows| {
                rows.remove(100);
            });
        }
        let config = tape.config();
        let path = config.ledger.clone().expect("a ledger");
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, format!("{fault}{text}")).expect("written");
        let report = verify(&config).expect("verified");
        (report.findings.count(FindingKind::Lost), report.ledger.expect("sums").tickers_excused)
    };
    // The ticker that is gone is the one of a trade some six seconds into the tape.
    let tape = Tape::new();
    let time = tape.prints.iter().filter(|print| print.has_ticker).nth(100).expect("a ticker").trade.time;
    let fault = |name: &str, time: UnixNanos| format!("{{\"kind\":\"fault\",\"fault\":\"{name}\",\"time\":\"{time}\",\"detail\":\"\"}}\n");
    assert_eq!(lost_with(""), (2, 0));
    assert_eq!(lost_with(&fault("junk", time)), (2, 0));
    assert_eq!(lost_with(&fault("reorder", UnixNanos(0))), (0, 2));
    assert_eq!(lost_with(&fault("reset", time)), (0, 2));
    assert_eq!(lost_with(&fault("reset", UnixNanos(time.0 - 1))), (2, 0));
    assert_eq!(lost_with(&fault("reset", UnixNanos(time.0 + 60_000_000_000))), (2, 0));
}

#[test]
fn one_stored_record_does_for_one_line_of_the_ledger_only() {
    let tape = Tape::new();
    let config = tape.config();
    let path = config.ledger.clone().expect("a ledger");
    let text = std::fs::read_to_string(&path).expect("read");
    let again: Vec<&str> = text.lines().skip(1).filter(|line| line.contains("\"trade_id\":7,")).collect();
    std::fs::write(&path, format!("{}\n{text}", again.join("\n"))).expect("written");
    let report = verify(&config).expect("verified");
    // Trade and ticker of `MD` are twice in the ledger; in `TICKER_TRADES` nothing but the time names a record, so one of the two is lost.
    assert_eq!((again.len(), kinds(&report)), (2, vec![(FindingKind::Lost, 1), (FindingKind::Ledger, 2)]));
}

/// A ticker of a second, in one of a few forms. The sequence is in no column of `TICKER_TRADES`.
fn twin(second: u64, form: u64, sequence: u64) -> Print {
    let time = UnixNanos(FIRST_DAY.start().0 + second * 1_000_000_000);
    let mut print = prints(1 + form, 1, time, 1).remove(0);
    print.trade.sequence = sequence;
    print
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Rows without an id are matched one to one, whichever of several equal ones were sent, lost or stored twice.
    #[test]
    fn equal_rows_without_an_id_are_matched_one_to_one(
        // For each second: how many equal tickers were sent, how many were not, how many are stored, and how the lines lie in the ledger.
        seconds in proptest::collection::vec((0_usize..4, 0_usize..4, 0_usize..6, proptest::prelude::any::<u64>()), 1..6)
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut ledger, mut stored, mut sequence) = (Vec::new(), Vec::new(), 0);
        let (mut lost, mut equal, mut beyond) = (0, 0, 0);
        for (second, (sent, unsent, kept, shuffle)) in seconds.iter().copied().enumerate() {
            let mut lines: Vec<bool> = std::iter::repeat_n(true, sent).chain(std::iter::repeat_n(false, unsent)).collect();
            fastrand::Rng::with_seed(shuffle).shuffle(&mut lines);
            for sent in lines {
                sequence += 1;
                ledger.push(Print { sent, has_ticker: true, ..twin(second as u64, 0, sequence) });
            }
            stored.extend((0..kept).map(|_| twin(second as u64, 0, 0)));
            lost += sent.saturating_sub(kept) as u64;
            equal += kept.min(sent + unsent) as u64;
            beyond += kept.saturating_sub(sent + unsent) as u64;
        }
        let rows: Vec<Ticker> = stored.iter().zip(1..).map(|(print, sequence)| Ticker { sequence, ..ticker(print) }).collect();
        // Without a record nothing says that the dataset was kept.
        proptest::prop_assume!(!rows.is_empty());
        market::store::<coltape::internals::schema::TickerTrades>(&market::data_dir(dir.path(), StoreOptions::default()), &product(), &rows);
        let path = dir.path().join("ledger.jsonl");
        let text: String = market::ledger(&product(), &ledger).lines().filter(|line| !line.contains(r#""kind":"trade""#)).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("written");
        let now = UnixNanos(FIRST_DAY.start().0 + 10 * 86_400_000_000_000);
        let report = verify(&with(VerifyConfig::new(dir.path(), now), |config| config.ledger = Some(path))).expect("verified");
        let count = |kind| report.findings.count(kind);
        let found = (count(FindingKind::Lost), report.ledger.expect("sums").tickers_equal, count(FindingKind::Doubled) + count(FindingKind::Invented));
        proptest::prop_assert_eq!(found, (lost, equal, beyond));
        proptest::prop_assert_eq!(report.findings.total(), lost + beyond);
    }
}
