//! Generated pages with damaged elements: every usable trade comes out of them, as it was sent, and no other.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

const NOW: UnixNanos = UnixNanos(1_786_309_548_629_000_000);

/// The id below which the pages are asked for.
const AFTER: u64 = 1000;

fn read(body: &[u8]) -> Result<TradePage, RejectReason> {
    let (product, mut times) = (ProductId::new("BTC-USD").expect("a product"), TimeCache::default());
    let element = |nodes: Nodes<'_, '_>, place, inexact: &mut _| read_element(nodes, place, &product, &mut times, NOW, inexact);
    read_page(&mut Parser::new(), body, Some(AFTER), element)
}

/// A trade whose fields follow from its id and a variant.
fn good(id: u64, variant: u64) -> String {
    let side = if (id + variant).is_multiple_of(2) { "buy" } else { "sell" };
    format!(
        r#"{{"time":"2026-08-09T21:05:{:02}.{:06}Z","trade_id":{id},"price":"{}.25","size":"0.{:03}5","side":"{side}"}}"#,
        id % 60,
        variant + 7,
        id + 10 + variant,
        id % 1000,
    )
}

/// What can be wrong with an element while the page is JSON.
fn damaged(kind: usize, id: u64) -> String {
    let element = good(id, 0);
    let other = |from: &str, to: &str| {
        assert!(element.contains(from), "{element} {from}");
        element.replacen(from, to, 1)
    };
    let without = |field: &str| other(&format!("\"{field}\":"), "\"other\":");
    let value = |field: &str, value: &str| element.replacen(&format!("\"{field}\":"), &format!("\"{field}\":{value},\"was\":"), 1);
    match kind {
        0 => "null".to_owned(),
        1 => "7".to_owned(),
        2 => r#""a text, with {braces} and [brackets]""#.to_owned(),
        3 => "[]".to_owned(),
        4 => format!("[{element}]"),
        5 => "{}".to_owned(),
        6 => without("time"),
        7 => without("trade_id"),
        8 => without("price"),
        9 => without("size"),
        10 => without("side"),
        11 => value("price", "null"),
        12 => value("price", "\"1.2.3\""),
        13 => value("price", "\"1,5\""),
        14 => value("price", "[\"1\"]"),
        15 => value("size", "{}"),
        16 => value("size", "\"many\""),
        17 => value("side", "\"maker\""),
        18 => value("time", "\"2026-02-30T00:00:00Z\""),
        19 => value("time", "\"0001-01-01T00:00:00Z\""),
        20 => value("time", "\"yesterday\""),
        21 => value("trade_id", "0"),
        22 => value("trade_id", "-5"),
        23 => value("trade_id", "\"x\""),
        24 => value("trade_id", "99999999999999999999999999"),
        25 => other("{", "{\"product_id\":\"ETH-USD\","),
        26 => other("{", &format!("{{\"trade_id\":{id},")),
        27 => good(AFTER + id, 0),
        28 => value("side", "{\"inner\":{\"trade_id\":5,\"price\":\"1\"}}"),
        _ => format!("{{\"message\":\"{}\"}}", "x".repeat(20_000)),
    }
}

const DAMAGES: usize = 30;

/// What makes the page no JSON. Nothing else of the page is lost.
fn broken(kind: usize, id: u64) -> Vec<u8> {
    let element = good(id, 0);
    match kind {
        0 => element.replacen("\"price\":\"", "\"price\":", 1).into(),
        1 => element.replacen("\",\"size", ",\"size", 1).into(),
        2 => element.replacen("\"time\"", "time", 1).into(),
        3 => element.trim_end_matches('}').into(),
        4 => element.trim_start_matches('{').into(),
        5 => format!("{{{element}").into(),
        6 => element.replacen("\"price\":", "\"price\":NaN,\"was\":", 1).into(),
        7 => element.replacen("\"price\":", "\"price\"", 1).into(),
        8 => element.replacen("\"price\":\"", "\"price\":\"\u{1}", 1).into(),
        9 => element.replacen("\"price\":\"", "\"price\":\"\\", 1).replacen("25\"", "25\\\"", 1).into(),
        10 => [element.as_bytes().get(..30).unwrap_or_default(), b"\xff\xfe", element.as_bytes().get(30..).unwrap_or_default()].concat(),
        11 => format!("<html>{id}</html>").into(),
        12 => Vec::new(),
        13 => "[".repeat(100).into(),
        14 => element.replacen("\"side\":", "\"side\":}", 1).into(),
        15 => element.replacen("\"trade_id\":", "\"trade_id\":1e999999,\"was\":", 1).into(),
        _ => element.get(..40).unwrap_or_default().into(),
    }
}

const BREAKAGES: usize = 17;

#[derive(Debug, Clone)]
enum Part {
    Good,
    Copy,
    OtherCopy,
    Damaged(usize),
    Broken(usize),
}

fn parts(breaks: bool) -> impl Strategy<Value = Vec<(u64, Part)>> {
    let part = prop_oneof![
        8 => Just(Part::Good),
        1 => Just(Part::Copy),
        1 => Just(Part::OtherCopy),
        3 => (0..DAMAGES).prop_map(Part::Damaged),
        if breaks { 2 } else { 0 } => (0..BREAKAGES).prop_map(Part::Broken),
    ];
    prop::collection::vec((1u64..AFTER, part), 1..40)
}

/// Makes a page, and what is to come out of it: the texts of the good trades by id, and how many elements cannot be used.
fn page_of(parts: &[(u64, Part)]) -> (Vec<u8>, BTreeMap<u64, String>, u64) {
    let (mut texts, mut want, mut unusable): (Vec<Vec<u8>>, BTreeMap<u64, String>, u64) = (Vec::new(), BTreeMap::new(), 0);
    let mut used = BTreeSet::new();
    for (id, part) in parts {
        if !used.insert(*id) {
            continue;
        }
        match part {
            Part::Good | Part::Copy => {
                want.insert(*id, good(*id, 0));
                texts.extend((0..if matches!(part, Part::Copy) { 3 } else { 1 }).map(|_| good(*id, 0).into_bytes()));
            }
            Part::OtherCopy => {
                texts.extend([good(*id, 0).into_bytes(), good(*id, 1).into_bytes()]);
                unusable += 2;
            }
            Part::Damaged(kind) => {
                texts.push(damaged(*kind, *id).into_bytes());
                unusable += 1;
            }
            Part::Broken(kind) => texts.push(broken(*kind, *id)),
        }
    }
    // Copies apart from each other, and no order.
    texts.sort_by_key(|text| text.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))));
    let mut body = b"[".to_vec();
    body.extend(texts.join(&b", "[..]));
    body.push(b']');
    (body, want, unusable)
}

fn trades_of(want: &BTreeMap<u64, String>) -> Vec<Trade> {
    let texts: Vec<&str> = want.values().map(String::as_str).collect();
    read(format!("[{}]", texts.join(",")).as_bytes()).expect("good trades").trades
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_page_gives_every_usable_trade_whatever_else_is_in_it(parts in parts(false)) {
        let (body, want, unusable) = page_of(&parts);
        let page = read(&body).expect("a page");
        prop_assert_eq!(&page.trades, &trades_of(&want));
        prop_assert_eq!(page.unusable.len() as u64, unusable, "{:?}", page.unusable);
        prop_assert!(page.unusable.iter().all(|element| !element.raw.is_empty()));
    }

    #[test]
    fn a_page_that_is_no_json_gives_every_usable_trade_all_the_same(parts in parts(true)) {
        let (body, want, _) = page_of(&parts);
        match read(&body) {
            Ok(page) => prop_assert_eq!(&page.trades, &trades_of(&want), "{}", String::from_utf8_lossy(&body)),
            Err(_) => prop_assert!(want.is_empty(), "{}", String::from_utf8_lossy(&body)),
        }
    }

    #[test]
    fn no_bytes_panic_and_a_page_has_each_id_once(parts in parts(true), cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let (mut body, ..) = page_of(&parts);
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for body in [body.as_slice(), &body[..cut.index(body.len())], &body[cut.index(body.len())..]] {
            if let Ok(page) = read(body) {
                prop_assert!(page.trades.windows(2).all(|pair| pair[0].trade_id < pair[1].trade_id));
                prop_assert!(page.trades.iter().all(|trade| trade.trade_id < AFTER));
            }
        }
    }

    #[test]
    fn a_page_that_was_cut_gives_the_trades_before_the_cut(count in 1u64..40, cut in any::<prop::sample::Index>()) {
        let texts: Vec<String> = (1..=count).map(|id| good(id, 0)).collect();
        let body = format!("[{}]", texts.join(","));
        let cut = cut.index(body.len());
        let whole: Vec<u64> = (1..=count).filter(|id| 1 + texts.iter().take(usize::try_from(*id).unwrap()).map(|text| text.len() + 1).sum::<usize>() - 1 <= cut).collect();
        let ids: Vec<u64> = read(body.as_bytes().get(..cut).unwrap_or_default()).map(|page| page.trades.iter().map(|trade| trade.trade_id).collect()).unwrap_or_default();
        prop_assert_eq!(ids, whole);
    }
}

#[test]
fn every_kind_of_damage_at_every_place_costs_itself_alone() {
    for kind in 0..DAMAGES + BREAKAGES {
        for place in 0..4 {
            let mut texts: Vec<Vec<u8>> = (1..=3).map(|id| good(id, 0).into_bytes()).collect();
            texts.insert(place, if kind < DAMAGES { damaged(kind, 9).into_bytes() } else { broken(kind - DAMAGES, 9) });
            let body = [&b"["[..], &texts.join(&b","[..]), b"]"].concat();
            let page = read(&body).unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&body)));
            let ids: Vec<u64> = page.trades.iter().map(|trade| trade.trade_id).collect();
            assert_eq!(ids, [1, 2, 3], "{}", String::from_utf8_lossy(&body));
            assert!(kind == DAMAGES + 12 || !page.unusable.is_empty(), "{}", String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn a_page_of_one_broken_trade_is_a_page_without_a_usable_one() {
    for kind in 0..DAMAGES + BREAKAGES {
        let text = if kind < DAMAGES { damaged(kind, 9).into_bytes() } else { broken(kind - DAMAGES, 9) };
        let body = [&b"["[..], &text, b"]"].concat();
        let shown = String::from_utf8_lossy(&body).into_owned();
        match read(&body) {
            Ok(page) => assert!(page.trades.is_empty() && (!page.unusable.is_empty() || shown == "[]"), "{shown}: {page:?}"),
            Err(_) => assert!(!shown.contains("trade_id"), "{shown}"),
        }
    }
}

#[test]
fn what_is_no_list_of_trades_is_no_page() {
    for body in
        ["", " ", "[", "{}", r#"{"message":"NotFound"}"#, "<html><body>Just a moment…</body></html>", "null", "7", "[<html>]", "[nothing"]
    {
        assert!(read(body.as_bytes()).is_err(), "{body}");
    }
    for body in ["[]", " [ ] \n"] {
        assert_eq!(read(body.as_bytes()), Ok(TradePage::default()), "{body}");
    }
}

#[test]
fn what_cannot_be_used_is_bounded() {
    let body = format!("[{}]", vec!["0"; 100_000].join(","));
    let page = read(body.as_bytes()).expect("a page");
    assert_eq!((page.trades.len(), page.unusable.len(), page.unlisted), (0, 1000, 99_000));
    let raw: Vec<usize> = page.unusable.iter().map(|element| element.raw.len()).collect();
    assert!(raw.iter().all(|length| *length == 1));
    let long = read(damaged(99, 1).replace('{', "[{").replace('}', "}]").as_bytes()).expect("a page");
    assert_eq!(long.unusable[0].raw.len(), 4096);
}
