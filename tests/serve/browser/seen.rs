//! What a person sees of the page, in a real browser: trades as they come, gaps, verdicts, a server that goes away, keys, names, themes, a narrow window.
//!
//! Each test has a market, a capture and a server of its own, and takes its turn in the browser.

use coltape::internals::time::{UnixNanos, parse_rfc3339};
use serde_json::{Value, json};

use super::driver::shared;
use crate::programs::{Capture, Simulator, await_that, coltape};
use crate::served::Served;

/// What the page shows of the last trades: ids, newest first.
const SHOWN_IDS: &str = "[...document.querySelectorAll('#tape tr:not([hidden])')].map((row) => Number(row.dataset.id))";
/// The chart has drawn what the view needs.
const IS_DRAWN: &str = "document.getElementById('cover').hidden && Number(document.getElementById('chart').dataset.trades) > 0";

/// Finds the middle one of the pixels that have the colour of a side, in the part of the chart without labels. Gives its place in the window.
const DOT: &str = "
    const canvas = document.querySelector('.price-plot canvas'), over = document.querySelector('.price-plot .u-over').getBoundingClientRect();
    const style = getComputedStyle(document.documentElement);
    const wanted = ['buy', 'sell'].map((name) => Number.parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16));
    const scale = canvas.width / canvas.clientWidth, area = canvas.getBoundingClientRect();
    const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height }), context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const width = Math.trunc(over.width * scale * 0.9), height = Math.trunc(over.height * scale);
    const { data } = context.getImageData(Math.trunc((over.left - area.left) * scale), Math.trunc((over.top - area.top) * scale), width, height);
    // Dots are drawn half through, over the ground: their colour is near to that of their side.
    const is_near = (at) => wanted.some((colour) => [16, 8, 0].every((shift, part) => Math.abs(data[at + part] - ((colour >> shift) & 255)) < 70));
    const found = [];
    for (let at = 0; at < data.length; at += 4) if (is_near(at)) found.push(at / 4);
    if (found.length === 0) return null;
    const middle = found[found.length >> 1];
    return [over.left + (middle % width) / scale, over.top + Math.trunc(middle / width) / scale];";

/// A market that is captured and served.
struct World {
    _simulator: Simulator,
    _capture: Capture,
    served: Served,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts a market of two products. For a second the trades of one of them are never sent, and are not fetched.
    fn start(args: &[&str]) -> Self {
        let faults = ["--products", "2", "--rate", "60", "--seed", "11", "--faults", "stall-lost:1s@2s"];
        let simulator = Simulator::start(&faults);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (url, names) = (simulator.websocket(), simulator.endpoints["products"].clone());
        let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let options = ["--force-fs", "--no-backfill", "--url", &url];
        let capture = Capture::start(&data, &[&names, &options[..]].concat());
        await_that("both products are stored", || names.iter().all(|name| data.join(name).join("TRADES").is_dir()));
        let served = Served::start(&data, args);
        Self { _simulator: simulator, _capture: capture, served, folder }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn url(&self, query: &str) -> String {
        format!("http://{}/{query}", self.served.address)
    }

    fn ask(&self, target: &str) -> Vec<Value> {
        let answer = self.served.get(target);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json().as_array().unwrap().clone()
    }

    /// Waits for the gap, and for trades behind it: ids that were only named may come a moment later. Gives its product and what is missing.
    fn await_gap(&self) -> (String, Value) {
        let mut found = None;
        await_that("a gap", || {
            let days = self.ask("/v1/coverage?format=json");
            found = days.iter().find_map(|day| {
                let is_over = |gap: &&Value| {
                    gap["last_id"].as_u64() < day["last_id"].as_u64()
                        && gap["last_id"].as_u64() > gap["first_id"].as_u64().map(|id| id + 10)
                };
                Some((day["product"].as_str()?.to_owned(), day["missing"].as_array()?.iter().find(is_over)?.clone()))
            });
            found.is_some()
        });
        found.unwrap()
    }

    /// Gives the stored trades with ids from `first` to `last`.
    fn stored(&self, product: &str, first: u64, last: u64) -> Vec<Value> {
        let after = first - 1;
        let mut trades = self.ask(&format!("/v1/trades?product={product}&after_id={after}&limit=5000&format=json"));
        trades.retain(|trade| trade["trade_id"].as_u64().unwrap() <= last);
        trades
    }
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Spells a number with commas, as the page does.
fn spelled(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

#[test]
fn trades_are_shown_as_they_come_and_nobody_else_is_asked() {
    let Some(shared) = shared() else { return };
    let world = World::start(&[]);
    let browser = shared.take_turn();
    browser.open(&world.url(""));
    browser.await_that(IS_DRAWN);
    let product = browser.text("document.getElementById('product').textContent");
    let newest = format!("Math.max(0, ...{SHOWN_IDS})");
    let before = browser.value(&newest).as_u64().unwrap();
    browser.await_that(&format!("{newest} >= {}", before + 100));
    // The list stands still, and shows what is stored, each trade once and none left out.
    browser.press(&["p"]);
    browser.await_that("document.getElementById('pause').getAttribute('aria-pressed') === 'true'");
    let shown = ids(&browser.value(SHOWN_IDS));
    let prices = browser.value(
        "[...document.querySelectorAll('#tape tr:not([hidden]) td:nth-child(2)')].map((cell) => cell.textContent.replaceAll(',', ''))",
    );
    let stored = world.stored(&product, *shown.last().unwrap(), shown[0]);
    let expected: Vec<u64> = stored.iter().rev().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert_eq!(shown, expected);
    for (price, trade) in prices.as_array().unwrap().iter().zip(stored.iter().rev()) {
        assert_eq!(price.as_str().unwrap().parse::<f64>().unwrap(), trade["price"].as_f64().unwrap(), "{trade}");
    }
    // What the chart has drawn grows as well.
    let drawn = "Number(document.getElementById('chart').dataset.trades)";
    let count = browser.value(drawn).as_u64().unwrap();
    browser.await_that(&format!("{drawn} > {count} && document.getElementById('chart').dataset.mode === 'trades'"));
    browser.press(&["p"]);
    browser.await_that(&format!("{newest} > {}", shown[0]));

    // A trade: its ids, its orders, both times, its origin; and all fills of its taker order.
    browser.press(&["p"]);
    browser.await_that("document.getElementById('pause').getAttribute('aria-pressed') === 'true'");
    let shown = ids(&browser.value(SHOWN_IDS));
    let id = shown[shown.len() / 2];
    let trade = &world.stored(&product, id, id)[0];
    browser.run("document.querySelector(`#tape tr[data-id='${arguments[0]}'] button`).click()", &[json!(id)]);
    browser.await_that("document.querySelector('#trade .order')");
    let panel = browser.text("document.getElementById('trade').innerText");
    let order = trade["taker_order_id"].as_str().unwrap();
    for part in [
        spelled(id),
        spelled(trade["sequence"].as_u64().unwrap()),
        order.to_owned(),
        trade["maker_order_id"].as_str().unwrap().to_owned(),
        "live".to_owned(),
    ] {
        assert!(panel.contains(&part), "{part} is not in {panel}");
    }
    browser.run("document.querySelector('#trade .order').click()", &[]);
    browser.await_that("document.querySelector('#trade .fill-words')");
    let rows = browser.value("document.querySelectorAll('#trade .fills tbody tr').length").as_u64().unwrap();
    let around = world.stored(&product, id.saturating_sub(2000).max(1), id + 2000);
    assert_eq!(rows, around.iter().filter(|other| other["taker_order_id"] == order).count() as u64);

    assert_eq!(browser.messages(), Vec::<String>::new(), "nothing comes to the console");
    let base = world.url("");
    let requests = browser.requests();
    assert!(requests.iter().filter(|url| url.starts_with(&base)).count() > 20, "{requests:?}");
    let elsewhere: Vec<&String> = requests.iter().filter(|url| !url.starts_with(&base) && !url.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn gaps_are_shown_as_gaps_and_verdicts_are_those_of_the_tape() {
    let Some(shared) = shared() else { return };
    let world = World::start(&[]);
    let (product, gap) = world.await_gap();
    let browser = shared.take_turn();
    let millis = |side: &str| parse_rfc3339(gap[side].as_str().unwrap().as_bytes()).unwrap().to_unix().unwrap().0 / 1_000_000;
    let (from, to) = (millis("from"), millis("to"));
    // A second beside the gap on each side.
    let view = |ms: u64| UnixNanos(ms * 1_000_000).to_string();
    browser.open(&world.url(&format!("?product={product}&view=trades&from={}&to={}", view(from - 1000), view(to + 1000))));
    browser
        .await_that("document.getElementById('chart').dataset.gaps === '1' && document.getElementById('chart').dataset.mode === 'trades'");
    browser.await_that(IS_DRAWN);
    let (first, last) = (gap["first_id"].as_u64().unwrap(), gap["last_id"].as_u64().unwrap());
    let words = browser.text("document.getElementById('gaps').innerText");
    for part in [spelled(last - first + 1), spelled(first), spelled(last)] {
        assert!(words.contains(&part), "{part} is not in {words}");
    }
    // No line and no dot in the gap: of its pixels none has the colour of one, beside it some have.
    let count = "
        const [from, to] = arguments, canvas = document.querySelector('.price-plot canvas'), over = document.querySelector('.price-plot .u-over');
        const style = getComputedStyle(document.documentElement);
        const wanted = ['bid', 'ask', 'buy', 'sell'].map((name) => Number.parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16));
        const scale = canvas.width / canvas.clientWidth, width = over.clientWidth * scale;
        const left = Math.ceil(width * from), span = Math.trunc(width * to) - left;
        // Of a copy: a canvas that is read again and again is told of on the console.
        const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height }), context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(left, 0, span, canvas.height);
        let found = 0;
        for (let at = 0; at < data.length; at += 4) if (wanted.includes((data[at] << 16) | (data[at + 1] << 8) | data[at + 2])) found++;
        return found;";
    let part = 1000.0 / (to - from + 2000) as f64;
    let inside = browser.run(count, &[json!(part + 0.01), json!(1.0 - part - 0.01)]);
    let beside = [browser.run(count, &[json!(0.0), json!(part - 0.01)]), browser.run(count, &[json!(1.0 - part + 0.01), json!(1.0)])];
    assert_eq!(inside, json!(0), "something is drawn across the gap");
    assert!(beside.iter().all(|count| count.as_u64().unwrap() > 20), "{beside:?}");

    // Each cell of the table of coverage says what the tape says, and what `verify` says.
    let output = coltape().arg("verify").arg(world.data()).arg("--json").output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let proved: Vec<Value> =
        report.lines().map(|line| serde_json::from_str(line).unwrap()).filter(|line: &Value| line["line"] == "day").collect();
    let days = world.ask("/v1/coverage?format=json");
    assert!(days.len() >= 2, "{days:?}");
    for day in &days {
        let (name, date, verdict) = (day["product"].as_str().unwrap(), day["date"].as_str().unwrap(), day["verdict"].as_str().unwrap());
        browser.await_that(&format!("document.querySelector(`#coverage button[data-product='{name}'][data-date='{date}']`)"));
        let cell = browser.text(&format!(
            "document.querySelector(`#coverage button[data-product='{name}'][data-date='{date}']`).getAttribute('aria-label')"
        ));
        assert!(cell.starts_with(&format!("{name} {date}: {verdict},")), "{cell} {day}");
        assert_eq!(verdict == "open", name == product, "{day}");
        let proof = proved.iter().find(|proof| proof["product"] == name && proof["date"] == date).unwrap();
        assert_eq!(proof["verdict"], verdict, "{day}");
    }
    browser.run("document.querySelector(`#coverage button[data-product='${arguments[0]}']`).focus()", &[json!(product)]);
    browser.await_that("document.querySelector('#reasons .day-title')");
    let reasons = browser.text("document.getElementById('reasons').innerText");
    assert!(reasons.contains(&spelled(first)) && reasons.contains("open"), "{reasons}");

    // Zoomed out, candles; the gap stays.
    browser.open(&world.url(&format!("?product={product}&view=candles&span=all")));
    browser.await_that(
        "Number(document.getElementById('chart').dataset.candles) > 3 && document.getElementById('chart').dataset.gaps === '1'",
    );
    assert_eq!(browser.messages(), Vec::<String>::new());
}

#[test]
fn a_server_that_goes_away_is_told_and_the_page_goes_on_when_it_is_back() {
    let Some(shared) = shared() else { return };
    let mut world = World::start(&[]);
    let browser = shared.take_turn();
    browser.open(&world.url(""));
    browser.await_that(IS_DRAWN);
    let product = browser.text("document.getElementById('product').textContent");
    assert_eq!(browser.value("document.getElementById('notice').hidden"), json!(true));
    let address = world.served.address.to_string();
    world.served.signal(rustix::process::Signal::KILL);
    browser.await_that("!document.getElementById('notice').hidden && document.getElementById('link').innerText.includes('Away')");
    let newest = format!("Math.max(0, ...{SHOWN_IDS})");
    let before = browser.value(&newest).as_u64().unwrap();
    // Trades go on while nobody serves them.
    let data = world.data();
    world.served = Served::start(&data, &["--listen", &address]);
    browser.await_that("document.getElementById('notice').hidden && document.getElementById('link').innerText.includes('Live')");
    browser.await_that(&format!("{newest} >= {}", before + 20));
    browser.press(&["p"]);
    let shown = ids(&browser.value(SHOWN_IDS));
    let expected: Vec<u64> =
        world.stored(&product, *shown.last().unwrap(), shown[0]).iter().rev().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert_eq!(shown, expected, "each trade once, and none left out, over the time without a server");
}

#[test]
fn a_tape_that_cannot_be_read_is_told_and_the_page_goes_on_when_it_can() {
    let Some(shared) = shared() else { return };
    let (folder, served) = Served::sample(&[]);
    let (data, away) = (folder.path().to_owned(), folder.path().with_extension("away"));
    let browser = shared.take_turn();
    browser.open(&format!("http://{}/?span=all", served.address));
    browser.await_that(IS_DRAWN);
    std::fs::rename(&data, &away).unwrap();
    browser.await_that(
        "!document.getElementById('notice').hidden && document.getElementById('notice').innerText.includes('does not exist') \
         && document.getElementById('link').innerText.includes('Error')",
    );
    std::fs::rename(&away, &data).unwrap();
    browser.await_that("document.getElementById('notice').hidden && !document.getElementById('link').innerText.includes('Error')");
    browser.await_that(IS_DRAWN);
}

#[test]
fn keys_names_themes_and_a_narrow_window_work() {
    let Some(shared) = shared() else { return };
    let world = World::start(&[]);
    let browser = shared.take_turn();
    browser.open(&world.url(""));
    browser.await_that(IS_DRAWN);
    let range = || browser.text("document.getElementById('range').textContent");

    // Keys: zoom, move, follow again, everything, help.
    let followed = range();
    browser.press(&["+", "+"]);
    browser.await_that("document.getElementById('live').getAttribute('aria-pressed') === 'false' && location.search.includes('from=')");
    assert_ne!(range(), followed);
    let zoomed = range();
    browser.press(&["\u{e012}"]);
    browser.await_that(&format!("document.getElementById('range').textContent !== {}", json!(zoomed)));
    browser.press(&["7"]);
    browser.await_that("location.search.includes('span=all')");
    browser.press(&["?"]);
    browser.await_that("document.getElementById('keys-dialog').open");
    browser.press(&["\u{e00c}"]);
    browser.await_that("!document.getElementById('keys-dialog').open");
    let first = browser.text("document.getElementById('product').textContent");
    browser.press(&["]"]);
    browser.await_that(&format!("document.getElementById('product').textContent !== '{first}' && location.search.includes('product=')"));
    // The state is in the address: the page loaded anew shows the same.
    let (address, second) = (browser.text("location.href"), browser.text("document.getElementById('product').textContent"));
    browser.open(&address);
    browser.await_that(&format!("document.getElementById('product').textContent === '{second}'"));
    browser.await_that(IS_DRAWN);

    // Whatever can be used has a name that a screen reader says; the chart is told in words.
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let usable = ["button", "link", "textbox", "searchbox", "img", "figure", "group"];
    let nodes: Vec<&Value> = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false).collect();
    let nameless: Vec<&&Value> = nodes
        .iter()
        .filter(|node| {
            usable.contains(&node["role"]["value"].as_str().unwrap_or_default())
                && node["name"]["value"].as_str().unwrap_or_default().is_empty()
        })
        .collect();
    assert!(nodes.len() > 100 && nameless.is_empty(), "{nameless:?}");
    browser.await_that("/trades, prices from .* to /.test(document.getElementById('chart-words').textContent)");

    // Text can be read in both themes: a contrast of 4.5 (WCAG 2.2, 1.4.3).
    let faint = "
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
        const ground = (element) => { for (let at = element; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
        return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility({ visibilityProperty: true }) && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== '')).map((e) => {
          const [one, other] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((a, b) => b - a);
          return [(one + 0.05) / (other + 0.05), `${e.tagName}.${e.className} ${e.textContent.slice(0, 30)}`];
        }).filter(([contrast]) => contrast < 4.5)";
    let mut grounds = Vec::new();
    for theme in ["light", "dark"] {
        browser.set_theme(theme);
        browser.await_that(&format!("matchMedia('(prefers-color-scheme: {theme})').matches"));
        assert_eq!(browser.run(faint, &[]), json!([]), "{theme}");
        grounds.push(browser.text("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);

    // A window 400 pixels wide: nothing is cut off at its side, and everything is there.
    browser.set_width(400, 900);
    browser.await_that("innerWidth === 400 && document.querySelector('.price-plot canvas').clientWidth <= 400");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), json!(400));
    for part in ["products", "chart", "tape", "coverage", "spans"] {
        let width = browser.value(&format!("document.getElementById('{part}').getBoundingClientRect().width")).as_f64().unwrap();
        assert!(width > 100.0 && width <= 400.0, "{part}: {width}");
    }
    browser.set_width(1440, 1100);

    // A click on a dot of the chart chooses that trade. The view stands still, so that the dot is where it was seen.
    browser.press(&["\u{e010}", "+"]);
    browser.await_that("location.search.includes('from=')");
    browser.await_that(IS_DRAWN);
    let mut place = Value::Null;
    await_that("a dot is drawn", || {
        place = browser.run(DOT, &[]);
        !place.is_null()
    });
    browser.click_at(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    browser.await_that("document.querySelector('#trade .facts')");
    assert_eq!(browser.messages(), Vec::<String>::new());
}

#[test]
fn a_page_without_the_token_asks_for_it_and_goes_on_with_it() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-some-length\n").unwrap();
    let world = World::start(&["--token-file", token.to_str().unwrap()]);
    let browser = shared.take_turn();
    browser.open(&world.url(""));
    browser.await_that("document.getElementById('token-dialog').open");
    browser.press(
        &[
            "a-token-of-some-length"
                .chars()
                .map(String::from)
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
            &["\u{e007}"],
        ]
        .concat(),
    );
    browser.await_that("location.search.includes('token=')");
    browser.await_that(IS_DRAWN);
    assert!(browser.text("document.getElementById('csv').href").contains("token=a-token-of-some-length"));
    let newest = format!("Math.max(0, ...{SHOWN_IDS})");
    let before = browser.value(&newest).as_u64().unwrap();
    browser.await_that(&format!("{newest} > {before}"));
}
