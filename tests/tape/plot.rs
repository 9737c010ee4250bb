//! Pictures of stored days, read back as XML: what is drawn, what is named, and how large the file is.

use std::path::Path;
use std::process::Output;

use coltape::internals::decimal;
use coltape::internals::record::{Side, Trade};
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Md, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;
use coltape::{PlotConfig, PlotPart, Theme};
use roxmltree::{Document, Node};

use crate::capture::programs::coltape;
use crate::market::{FIRST_DAY, column_path, data_dir, prints, product, store, store_all, ticker};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

fn noon() -> UnixNanos {
    UnixNanos(FIRST_DAY.start().0 + 43_200 * SECOND)
}

fn after_noon(nanos: u64) -> UnixNanos {
    UnixNanos(noon().0 + nanos)
}

fn trade(id: u64, time: UnixNanos, price: &str, size: &str, side: Side) -> Trade {
    let number = |text: &str| decimal::parse(text.as_bytes()).expect("a decimal");
    Trade { trade_id: id, time, price: number(price), size: number(size), side, sequence: id, ..Trades::EMPTY }
}

fn store_trades(dir: &Path, trades: &[Trade]) {
    store::<Trades>(&data_dir(dir, StoreOptions::default()), &product(), trades);
}

fn config(dir: &Path) -> PlotConfig {
    PlotConfig::new(dir, product())
}

/// A picture of everything, or as it is changed.
fn draw(dir: &Path, change: impl FnOnce(&mut PlotConfig)) -> String {
    let mut config = config(dir);
    change(&mut config);
    let mut out = Vec::new();
    coltape::plot(&config, &mut out).expect("drawn");
    String::from_utf8(out).expect("text")
}

fn refused(dir: &Path, change: impl FnOnce(&mut PlotConfig)) -> String {
    let mut config = config(dir);
    change(&mut config);
    let error = coltape::plot(&config, &mut Vec::new()).expect_err("refused").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

fn parsed(svg: &str) -> Document<'_> {
    Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"))
}

/// Every word that is shown or told.
fn words(document: &Document<'_>) -> String {
    document.descendants().filter_map(|node| node.text()).map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn title<'a>(document: &'a Document<'_>) -> &'a str {
    document.root_element().children().find(|node| node.has_tag_name("title")).and_then(|node| node.text()).expect("a title")
}

fn with_class<'a, 'i>(document: &'a Document<'i>, class: &str) -> Vec<Node<'a, 'i>> {
    document.descendants().filter(|node| node.attribute("class").is_some_and(|is| is.split(' ').any(|one| one == class))).collect()
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {attribute}: {node:?}"))
}

#[test]
fn every_picture_is_well_formed_and_has_its_words() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 600, noon(), SECOND), StoreOptions::default());
    let parts: [&[PlotPart]; 6] = [
        &PlotConfig::PARTS,
        &PlotPart::ALL,
        &[PlotPart::Trades],
        &[PlotPart::Quotes],
        &[PlotPart::Candles, PlotPart::Volume],
        &[PlotPart::Volume],
    ];
    for (number, parts) in parts.into_iter().enumerate() {
        for (width, height) in [PlotConfig::WIDTHS.0, PlotConfig::WIDTH, PlotConfig::WIDTHS.1].into_iter().zip([320, 700, 3000]) {
            let theme = if number % 2 == 0 { Theme::Light } else { Theme::Dark };
            let svg = draw(dir.path(), |config| {
                (config.width, config.height, config.theme) = (width, height, theme);
                config.parts = parts.to_vec();
            });
            let document = parsed(&svg);
            assert!(
                title(&document).starts_with("BTC-USD, Sat 7 Jun 2025, 12:00:00 – 12:09:57 UTC: partial: captured"),
                "{}",
                title(&document)
            );
            let root = document.root_element();
            assert_eq!((root.attribute("role"), root.attribute("width")), (Some("img"), Some(width.to_string().as_str())));
            let described = document.descendants().find(|node| node.has_tag_name("desc")).and_then(|node| node.text()).expect("a desc");
            assert!(!described.is_empty());
            assert!(words(&document).contains("UTC") && !svg.contains("NaN") && !svg.contains("<script"), "{svg}");
            let has = |class| !with_class(&document, class).is_empty();
            let shows = |part| parts.contains(&part);
            assert_eq!(
                [has("trades"), has("quotes"), has("candles"), has("volume")],
                [PlotPart::Trades, PlotPart::Quotes, PlotPart::Candles, PlotPart::Volume].map(shows)
            );
        }
    }
}

#[test]
fn gaps_are_shaded_where_they_are_and_named_with_their_ids_and_times() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = prints(1001, 3600, noon(), SECOND);
    // A minute without trades, and one id alone.
    all.retain(|print| !(1600..1660).contains(&print.trade.trade_id) && print.trade.trade_id != 3000);
    store_all(dir.path(), &all, StoreOptions::default());
    let svg = draw(dir.path(), |_| {});
    let document = parsed(&svg);
    assert!(title(&document).ends_with("open: 61 trade ids missing in 2 gaps"), "{}", title(&document));
    let said = words(&document);
    for name in ["60 ids missing: 1600–1659", "1 id missing: 3000", "open: 61 trade ids missing in 2 gaps"] {
        assert!(said.lines().any(|line| line == name), "{name}: {said}");
    }
    assert!(said.contains("60 trade ids missing: 1600–1659, between 12:09:57 and 12:10:57"), "{said}");
    // In both panels.
    let bands: Vec<Node<'_, '_>> =
        with_class(&document, "gaps").into_iter().flat_map(|group| group.children().filter(Node::is_element)).collect();
    assert_eq!(bands.len(), 4);
    let volume = with_class(&document, "volume")[0];
    let bars: Vec<f64> = volume.children().filter(Node::is_element).map(|bar| number(bar, "x")).collect();
    let (left, right) = (number(bands[0], "x"), number(bands[0], "x") + number(bands[0], "width"));
    let inside = bars.iter().filter(|x| **x > left + 1.0 && **x < right - 8.0).count();
    assert!(
        right - left > 10.0 && inside == 0 && bars.iter().any(|x| *x < left) && bars.iter().any(|x| *x > right),
        "{left} {right} {bars:?}"
    );
    // Without the gap there is none.
    let whole = tempfile::tempdir().expect("a folder");
    store_all(whole.path(), &prints(1, 3600, noon(), SECOND), StoreOptions::default());
    let svg = draw(whole.path(), |config| (config.from, config.to) = (Some(after_noon(5 * MINUTE)), Some(after_noon(50 * MINUTE))));
    let document = parsed(&svg);
    assert!(title(&document).ends_with("whole: every trade id is there"), "{}", title(&document));
    assert!(!words(&document).contains("missing"), "{}", words(&document));
}

#[test]
fn a_gap_that_only_touches_the_range_is_drawn_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = prints(1001, 3600, noon(), SECOND);
    all.retain(|print| !(1600..2200).contains(&print.trade.trade_id));
    store_all(dir.path(), &all, StoreOptions::default());
    // The gap begins before the range and ends in it.
    let svg = draw(dir.path(), |config| (config.from, config.to) = (Some(after_noon(15 * MINUTE)), Some(after_noon(25 * MINUTE))));
    let said = words(&parsed(&svg));
    assert!(said.contains("600 ids missing: 1600–2199"), "{said}");
}

#[test]
fn more_gaps_than_can_be_named_are_counted_and_take_little_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = prints(1001, 6000, noon(), SECOND);
    all.retain(|print| !print.trade.trade_id.is_multiple_of(5));
    store_all(dir.path(), &all, StoreOptions::default());
    let svg = draw(dir.path(), |config| config.from = Some(noon()));
    let document = parsed(&svg);
    assert!(title(&document).ends_with("open: 1,199 trade ids missing in 1,199 gaps"), "{}", title(&document));
    assert!(svg.len() < 600_000, "{} bytes", svg.len());
    let said = words(&document);
    assert!(said.contains("1,199 ids missing in 1,199 gaps: 1005…6995") && said.contains("1,179 more gaps"), "{said}");
    // Where they lie apart each has words of its own, up to a number.
    let worded = |seconds: u64| {
        let to = UnixNanos(noon().0 + seconds * SECOND);
        let svg = draw(dir.path(), |config| (config.from, config.to) = (Some(noon()), Some(to)));
        svg.matches("<title>1 trade id missing").count()
    };
    let (few, many) = (worded(500), worded(1_000));
    assert!((80..=100).contains(&few) && many <= 150, "{few} of 100 bands have words, and {many} of 200");
}

#[test]
fn what_lies_before_and_behind_the_tape_is_shaded_in_another_way() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1001, 600, noon(), SECOND), StoreOptions::default());
    let svg = draw(dir.path(), |config| (config.from, config.to) = (Some(FIRST_DAY.start()), Some(FIRST_DAY.next().start())));
    let document = parsed(&svg);
    assert!(title(&document).contains("partial: captured 12:00:00 to 12:09:57, no id missing between"), "{}", title(&document));
    let absent: Vec<Node<'_, '_>> = document.descendants().filter(|node| node.attribute("fill") == Some("url(#coltape-absent)")).collect();
    // Two stretches in two panels, and the legend.
    assert_eq!(absent.len(), 5, "{svg}");
    let said = words(&document);
    assert!(said.contains("nothing captured from 00:00:00 to 12:00:00"), "{said}");
    assert!(!document.descendants().any(|node| node.attribute("fill") == Some("url(#coltape-gap)")), "{svg}");
}

#[test]
fn the_usual_picture_is_of_the_last_hour() {
    let dir = tempfile::tempdir().expect("a folder");
    store_all(dir.path(), &prints(1, 3 * 3600 + 1, noon(), SECOND), StoreOptions::default());
    let svg = draw(dir.path(), |_| {});
    assert!(title(&parsed(&svg)).contains("Sat 7 Jun 2025, 14:00:00 – 15:00:00 UTC"), "{}", title(&parsed(&svg)));
    let svg = draw(dir.path(), |config| config.to = Some(after_noon(90 * MINUTE)));
    assert!(title(&parsed(&svg)).contains("12:30 – 13:30 UTC"), "{}", title(&parsed(&svg)));
}

/// Writes a day of trades as bare columns, which is fast: id, nanoseconds after midnight, price, size, whether it is bought.
fn store_bare(dir: &Path, count: u64, row: impl Fn(u64) -> (u64, f64, f64, bool)) {
    let mut columns: Vec<Vec<u8>> =
        Dataset::Trades.columns().iter().map(|column| Vec::with_capacity(column.kind.width() * count as usize)).collect();
    for id in 1..=count {
        let (nanos, price, size, is_buy) = row(id);
        let seconds = FIRST_DAY.start().seconds() + (nanos / SECOND) as u32;
        for (column, bytes) in Dataset::Trades.columns().iter().zip(&mut columns) {
            match column.name {
                "trade_id" | "trade_sequence" => bytes.extend(id.to_le_bytes()),
                "trade_time" => bytes.extend(seconds.to_le_bytes()),
                "trade_nanos" => bytes.extend(((nanos % SECOND) as u32).to_le_bytes()),
                "trade_price" => bytes.extend((price as f32).to_le_bytes()),
                "trade_size" => bytes.extend((size as f32).to_le_bytes()),
                "trade_side" => bytes.extend(u32::from(is_buy).to_le_bytes()),
                "trade_price_f64" => bytes.extend(price.to_le_bytes()),
                "trade_size_f64" => bytes.extend(size.to_le_bytes()),
                _ => bytes.extend(vec![0; column.kind.width()]),
            }
        }
    }
    for (column, bytes) in Dataset::Trades.columns().iter().zip(columns) {
        let path = column_path(dir, Dataset::Trades, column.name, FIRST_DAY);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }
}

#[test]
fn a_million_trades_all_over_the_picture_stay_below_1_mb_and_the_extremes_are_drawn() {
    let dir = tempfile::tempdir().expect("a folder");
    let count = 1_000_000;
    let (highest, lowest, largest) = (123_456, 654_321, 777_777);
    store_bare(dir.path(), count, |id| {
        let nanos = id * (86_399 * SECOND / count);
        let noise = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 16_777_216.0;
        let price = match id {
            _ if id == highest => 71_234.56,
            _ if id == lowest => 58_765.43,
            _ => 60_000.0 + (noise * 1_000_000.0).floor() / 100.0,
        };
        (nanos, price, if id == largest { 250.0 } else { 0.001 + noise }, id.is_multiple_of(3))
    });
    for (width, height) in [(PlotConfig::WIDTH, PlotConfig::HEIGHT), (PlotConfig::WIDTHS.1, PlotConfig::HEIGHTS.1)] {
        let svg = draw(dir.path(), |config| {
            (config.width, config.height) = (width, height);
            (config.from, config.to) = (Some(FIRST_DAY.start()), Some(FIRST_DAY.next().start()));
        });
        assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
        let document = parsed(&svg);
        let [high, low] = ["high", "low"].map(|class| with_class(&document, class)[0]);
        let told = |node: Node<'_, '_>| node.descendants().find_map(|node| node.text().map(str::to_owned)).expect("words");
        assert!(told(high).contains("71,234.56") && told(high).contains(&format!("(trade {highest})")), "{}", told(high));
        assert!(told(low).contains("58,765.43") && told(low).contains(&format!("(trade {lowest})")), "{}", told(low));
        assert!(words(&document).contains("high 71,234.56") && words(&document).contains("low 58,765.43"));
        assert!(words(&document).contains("buy 250 @") && words(&document).contains(&format!("(trade {largest})")), "the largest");
        // Each lies where its time and price are.
        let times = high
            .attribute("cx")
            .zip(low.attribute("cx"))
            .map(|(high, low)| (high.parse::<f64>().unwrap(), low.parse::<f64>().unwrap()))
            .unwrap();
        let expected = (lowest - highest) as f64 / count as f64;
        assert!(((times.1 - times.0) / f64::from(width) - expected).abs() < 0.1, "{times:?}");
        assert!(number(high, "cy") < number(low, "cy") - f64::from(height) / 3.0);
        assert!(words(&document).contains("1,000,000 trades"));
    }
}

#[test]
fn few_trades_each_have_a_dot_at_their_price_and_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let trades = [
        trade(7, after_noon(0), "100.5", "1", Side::Buy),
        trade(8, after_noon(MINUTE), "99.5", "4", Side::Sell),
        trade(9, after_noon(2 * MINUTE), "100", "0.25", Side::Buy),
    ];
    store_trades(dir.path(), &trades);
    let svg = draw(dir.path(), |_| {});
    let document = parsed(&svg);
    let dots: Vec<Node<'_, '_>> = with_class(&document, "trades")[0].children().filter(Node::is_element).collect();
    let dot = |id: u64| {
        *dots
            .iter()
            .find(|dot| dot.descendants().any(|node| node.text().is_some_and(|text| text.ends_with(&format!("(trade {id})")))))
            .expect("a dot")
    };
    let (x, y): (Vec<f64>, Vec<f64>) = [7, 8, 9].map(|id| (number(dot(id), "cx"), number(dot(id), "cy"))).into_iter().unzip();
    assert!((x[1] - x[0] - (x[2] - x[1])).abs() < 0.1 && x[0] < x[1], "{x:?}");
    assert!((y[1] - y[2] - (y[2] - y[0])).abs() < 0.1 && y[0] < y[2], "{y:?}");
    // Area by size, colour by side.
    assert!((number(dot(8), "r") / number(dot(7), "r") - 2.0).abs() < 0.01, "{svg}");
    assert!(dot(7).attribute("fill") == dot(9).attribute("fill") && dot(7).attribute("fill") != dot(8).attribute("fill"));
    assert!(words(&document).contains("sell 4 @ 99.5 at 12:01:00 (trade 8)"));
}

#[test]
fn odd_prices_and_sizes_have_a_picture() {
    let second = |at: u64| after_noon(at * SECOND);
    let cases: [(&str, Vec<Trade>, &[&str]); 6] = [
        ("one trade", vec![trade(1, noon(), "67000.12", "0.5", Side::Buy)], &["67,000.12", "1 trade"]),
        ("one price", (1..=9).map(|id| trade(id, second(id), "1", "2", Side::Sell)).collect(), &["9 trades", "(100 %)"]),
        (
            "tiny",
            vec![trade(1, second(0), "0.00000051", "1e15", Side::Buy), trade(2, second(9), "0.00000049", "3", Side::Sell)],
            &["0.00000051", "0.00000049", "0.0000005"],
        ),
        (
            "huge",
            vec![trade(1, second(0), "1e15", "1e-8", Side::Buy), trade(2, second(9), "2e15", "3e-8", Side::Sell)],
            &["2,000,000,000,000,000"],
        ),
        ("no size", vec![trade(1, second(0), "5", "0", Side::Buy), trade(2, second(9), "6", "0", Side::Sell)], &["2 trades"]),
        ("one moment", vec![trade(1, noon(), "5", "1", Side::Buy), trade(2, noon(), "6", "1", Side::Sell)], &["2 trades"]),
    ];
    for (what, trades, expected) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        store_trades(dir.path(), &trades);
        for parts in [PlotConfig::PARTS.to_vec(), PlotPart::ALL.to_vec()] {
            let svg = draw(dir.path(), |config| config.parts = parts);
            let document = parsed(&svg);
            let said = words(&document);
            assert!(expected.iter().all(|word| said.contains(word)), "{what}: {said}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{what}: {svg}");
            let axis = with_class(&document, "prices")[0];
            assert!(axis.children().filter(Node::is_element).count() >= 2, "{what}: an axis has ticks: {svg}");
        }
    }
}

#[test]
fn quotes_alone_have_a_picture_that_claims_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let tickers: Vec<_> = prints(1, 300, noon(), SECOND).iter().map(ticker).collect();
    store::<Md>(&data_dir(dir.path(), StoreOptions::default()), &product(), &tickers);
    let svg = draw(dir.path(), |_| {});
    let document = parsed(&svg);
    assert!(title(&document).ends_with("unverifiable: no trades are kept, and tickers may skip some"), "{}", title(&document));
    let lines = with_class(&document, "quotes")[0]
        .children()
        .filter(|node| node.has_tag_name("path") && node.attribute("stroke") != Some("none"))
        .count();
    assert_eq!(lines, 2);
    let said = refused(dir.path(), |config| config.parts = vec![PlotPart::Trades]);
    assert!(said.contains("no trade of BTC-USD from"), "{said}");
}

#[test]
fn a_folder_of_the_core_is_drawn_with_the_shortest_prices() {
    let dir = tempfile::tempdir().expect("a folder");
    let trades = [trade(1, after_noon(0), "0.1", "0.3", Side::Buy), trade(2, after_noon(SECOND), "0.2", "0.7", Side::Sell)];
    store::<Trades>(&data_dir(dir.path(), StoreOptions::default().columns(ColumnSet::Core)), &product(), &trades);
    let said = words(&parsed(&draw(dir.path(), |_| {})));
    assert!(said.contains("buy 0.3 @ 0.1 at 12:00:00 (trade 1)") && said.contains("high 0.2"), "{said}");
}

#[test]
fn what_cannot_be_drawn_is_told_in_one_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path();
    store_all(path, &prints(1, 60, noon(), SECOND), StoreOptions::default());
    let day = |days: u64| Some(UnixNanos(FIRST_DAY.start().0 + days * 86_400 * SECOND));
    let reversed = refused(path, |config| (config.from, config.to) = (day(1), day(0)));
    assert!(reversed.contains("must lie after the first one"), "{reversed}");
    let later = refused(path, |config| config.from = day(3));
    assert!(
        later.contains("no trade or quote of BTC-USD from 2025-06-10T") && later.contains("it has records from 2025-06-07T12:00:00"),
        "{later}"
    );
    let unknown = refused(path, |config| config.product = coltape::ProductId::new("BTC-UDS").expect("a product"));
    assert!(unknown.contains("did you mean BTC-USD?"), "{unknown}");
    let empty = tempfile::tempdir().expect("a folder");
    let no_tape = refused(empty.path(), |_| {});
    assert!(no_tape.contains("is no tape"), "{no_tape}");
    let column = column_path(path, Dataset::Trades, "trade_price", FIRST_DAY);
    std::fs::File::options().write(true).open(&column).and_then(|file| file.set_len(8)).expect("cut");
    let damaged = refused(path, |_| {});
    assert!(damaged.contains("trade_price") && damaged.contains("8 bytes"), "{damaged}");
    std::fs::remove_file(&column).expect("removed");
    assert!(refused(path, |_| {}).contains("trade_price"));
}

fn run(args: &[&str]) -> Output {
    coltape().arg("plot").args(args).output().expect("run")
}

#[test]
fn the_command_writes_to_stdout_or_replaces_a_file_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    store_all(&data, &prints(1, 60, noon(), SECOND), StoreOptions::default());
    let (data, out) = (data.to_str().expect("text"), dir.path().join("a.svg"));
    let out = out.to_str().expect("text");
    let printed = run(&["BTC-USD", "--data-dir", data]);
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    let written = run(&["BTC-USD", "--data-dir", data, "--out", out]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    assert_eq!(std::fs::read(out).expect("read"), printed.stdout);
    let failed = |args: &[&str], code: i32, words: &str| {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{args:?}: {said}");
    };
    failed(&["NOPE-USD", "--data-dir", data, "--out", out], 1, "NOPE-USD");
    assert_eq!(std::fs::read(out).expect("read"), printed.stdout, "the old picture stays");
    failed(&["BTC-USD", "--data-dir", data, "--out", data], 1, "it is a directory");
    failed(
        &["BTC-USD", "--data-dir", data, "--out", "/nowhere/a.svg"],
        1,
        "--out /nowhere/a.svg: there is no folder /nowhere; make it first",
    );
    failed(&["BTC-USD", "--data-dir", data, "--from", "2025-06-08", "--to", "2025-06-07"], 1, "must lie after the first one");
    failed(&["BTC-USD", "--data-dir", data, "--width", "10"], 2, "the width must lie between");
    failed(&["BTC-USD", "--data-dir", data, "--what", "clouds"], 2, "clouds");
    assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 2, "nothing else is left");
}
