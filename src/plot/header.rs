//! [`Header`]: the title with its verdict, the sums, the legend; and the same in words for a screen reader.

use super::bars::Bars;
use super::config::{PlotConfig, PlotPart};
use super::dots::{self, Dots};
use super::gaps::{self, Bands};
use super::palette::Palette;
use super::source::Source;
use super::spell;
use super::svg::{Px, Svg, Words};
use super::totals::Totals;
use crate::market::{Coverage, Verdict};
use crate::time::{NANOS_PER_SECOND, SECONDS_PER_DAY, UnixNanos};

/// Room left and right.
const EDGE: f64 = 20.0;
/// Height of a line of the header.
const LINE: f64 = 22.0;
/// Where the first line stands.
const FIRST: f64 = 32.0;
/// Gaps that are told to a screen reader.
const MAX_TOLD: usize = 20;

/// The words above a picture.
pub(super) struct Header {
    product: String,
    base: String,
    quote: String,
    when: String,
    verdict: Verdict,
    judged: String,
    sums: String,
    /// Whether the verdict has room beside the title.
    is_beside: bool,
}

impl Header {
    pub(super) fn new(config: &PlotConfig, source: &Source, totals: &Totals) -> Self {
        let product = config.product.to_string();
        let (base, quote) = config
            .product
            .feed_name()
            .split_once('-')
            .map_or((String::new(), String::new()), |(base, quote)| (base.to_owned(), quote.to_owned()));
        let when = when(source.from, source.to);
        let verdict = source.verdict();
        let judged = judged(verdict, source.coverage.as_ref());
        let sums = sums(totals, &base, f64::from(config.width) - 2.0 * EDGE);
        let title = width(&product, 11.5) + width(&when, 6.9) + 16.0;
        let is_beside = title + width(&judged, 6.9) + 30.0 + 2.0 * EDGE + 20.0 <= f64::from(config.width);
        Self { product, base, quote, when, verdict, judged, sums, is_beside }
    }

    /// Gives where the panels may begin.
    pub(super) fn bottom(&self) -> f64 {
        FIRST + LINE * if self.is_beside { 2.0 } else { 3.0 } + 20.0
    }

    /// Gives the base currency, or a word for it.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Gives the quote currency.
    pub(super) fn quote(&self) -> &str {
        &self.quote
    }

    /// Writes the words for screen readers.
    pub(super) fn describe(&self, source: &Source, totals: &Totals, svg: &mut Svg) {
        svg.raw(format_args!(
            "<title id=\"coltape-title\">{}</title>\n",
            Words(format!("{}, {}: {}", self.product, self.when, self.judged))
        ));
        let mut told = vec![self.sums.clone()];
        for (name, dot) in [("Highest", totals.high), ("Lowest", totals.low), ("Largest", totals.largest)] {
            told.extend(dot.map(|dot| format!("{name}: {}", dots::words(&dot))));
        }
        if let Some(coverage) = &source.coverage {
            told.extend(coverage.gaps.iter().take(MAX_TOLD).map(gaps::words));
            if coverage.gaps.len() > MAX_TOLD {
                told.push(format!("{} more gaps", spell::count((coverage.gaps.len() - MAX_TOLD) as u64)));
            }
            told.extend(coverage.doubts.iter().take(MAX_TOLD).map(|doubt| match doubt.date {
                Some(date) => format!("{date}: {}", doubt.why),
                None => doubt.why.clone(),
            }));
            told.extend(coverage.captured_from.map(|first| format!("Nothing is known before {} (trade {})", first.time, first.id)));
            told.extend(coverage.captured_to.map(|last| format!("Nothing is known after {} (trade {})", last.time, last.id)));
        }
        svg.raw(format_args!("<desc id=\"coltape-desc\">{}.</desc>\n", Words(told.join(". "))));
    }

    /// Draws the title, the verdict and the sums.
    pub(super) fn draw(&self, config: &PlotConfig, palette: &Palette, svg: &mut Svg) {
        svg.raw(format_args!(
            "<text x=\"{EDGE}\" y=\"{FIRST}\"><tspan font-size=\"20\" font-weight=\"700\" fill=\"{}\">{}</tspan>\
             <tspan dx=\"12\" font-size=\"13\" fill=\"{}\">{}</tspan></text>\n",
            palette.text,
            Words(&self.product),
            palette.muted,
            Words(&self.when)
        ));
        let colour = match self.verdict {
            Verdict::Whole => palette.whole,
            Verdict::Open => palette.gap,
            _ => palette.muted,
        };
        let long = width(&self.judged, 6.9) + 24.0;
        let (left, y) = if self.is_beside { (f64::from(config.width) - EDGE - long, FIRST - 5.0) } else { (EDGE, FIRST + LINE - 4.0) };
        svg.raw(format_args!("<g class=\"verdict\">"));
        svg.rect([left, y - 11.0, long, 22.0], &format!("rx=\"11\" fill=\"{colour}\""));
        let style = format!("font-size=\"12\" font-weight=\"600\" text-anchor=\"middle\" fill=\"{}\"", palette.on_colour);
        svg.words(left + long / 2.0, y + 4.2, &style, &self.judged);
        svg.raw(format_args!("</g>\n"));
        svg.words(EDGE, self.bottom() - LINE - 20.0, &format!("font-size=\"12.5\" fill=\"{}\"", palette.muted), &self.sums);
    }

    /// Draws the legend: what is drawn, and nothing else.
    pub(super) fn draw_legend(&self, config: &PlotConfig, totals: &Totals, picture: &Legend<'_>, palette: &Palette, svg: &mut Svg) {
        let y = self.bottom() - 20.0;
        let mut row = Row { x: EDGE, y, limit: f64::from(config.width) - EDGE, palette };
        svg.raw(format_args!("<g class=\"legend\" font-size=\"12\" fill=\"{}\">\n", palette.text));
        if config.shows(PlotPart::Trades) && totals.trades > 0 {
            row.dot(5.0, palette.buy, "taker buys", svg);
            row.dot(5.0, palette.sell, "taker sells", svg);
        }
        if config.shows(PlotPart::Trades)
            && let (Some(dots), Some(largest)) = (picture.dots, totals.largest)
        {
            let text = format!("{} {}", spell::short(largest.size), self.base);
            row.dot(dots.radius(largest.size).min(10.0), palette.muted, text.trim(), svg);
        }
        if picture.bands.has_gaps() {
            row.square(
                "url(#coltape-gap)",
                if picture.bands.has_unnamed() { "trade ids missing (the largest gaps are named)" } else { "trade ids missing" },
                svg,
            );
        }
        if picture.bands.has_absences() {
            row.square("url(#coltape-absent)", "nothing captured", svg);
        }
        if config.shows(PlotPart::Quotes) && totals.quotes > 0 {
            row.line(palette.ask, "best ask", svg);
            row.line(palette.bid, "best bid", svg);
        }
        if let Some(candles) = picture.candles {
            row.square(palette.buy, &format!("{} candle, up", spell::span(candles.span)), svg);
            row.square(palette.sell, &format!("{} candle, down", spell::span(candles.span)), svg);
        }
        svg.raw(format_args!("</g>\n"));
    }
}

/// What a legend is about.
pub(super) struct Legend<'a> {
    pub(super) dots: Option<&'a Dots>,
    pub(super) candles: Option<&'a Bars>,
    pub(super) bands: &'a Bands,
}

/// A line of keys, one behind the other.
struct Row<'a> {
    x: f64,
    y: f64,
    limit: f64,
    palette: &'a Palette,
}

impl Row<'_> {
    /// Adds a key of a width, and its words. What does not fit is left out.
    fn key(&mut self, wide: f64, words: &str, svg: &mut Svg, draw: impl FnOnce(f64, f64, &mut Svg)) {
        let long = wide + 6.0 + width(words, 6.5);
        if self.x + long > self.limit {
            return;
        }
        draw(self.x, self.y - 4.0, svg);
        svg.words(self.x + wide + 6.0, self.y, &format!("fill=\"{}\"", self.palette.muted), words);
        self.x += long + 16.0;
    }

    fn dot(&mut self, radius: f64, colour: &str, words: &str, svg: &mut Svg) {
        self.key(2.0 * radius, words, svg, |x, y, svg| {
            svg.raw(format_args!(
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{colour}\" fill-opacity=\".55\" stroke=\"{colour}\"/>",
                Px(x + radius),
                Px(y),
                Px(radius)
            ));
        });
    }

    fn line(&mut self, colour: &str, words: &str, svg: &mut Svg) {
        self.key(18.0, words, svg, |x, y, svg| {
            svg.path(&format!("M{} {}h18", Px(x), Px(y)), &format!("stroke=\"{colour}\" stroke-width=\"2\""))
        });
    }

    fn square(&mut self, fill: &str, words: &str, svg: &mut Svg) {
        self.key(14.0, words, svg, |x, y, svg| svg.rect([x, y - 6.0, 14.0, 12.0], &format!("fill=\"{fill}\" rx=\"1.5\"")));
    }
}

/// Estimates the width of a text.
fn width(text: &str, letter: f64) -> f64 {
    text.chars().count() as f64 * letter
}

/// Spells a range of time.
fn when(from: UnixNanos, to: UnixNanos) -> String {
    let minute = 60 * NANOS_PER_SECOND;
    let step = if from.0.is_multiple_of(minute) && to.0.is_multiple_of(minute) {
        minute
    } else if to.since(from) >= 10 * NANOS_PER_SECOND {
        NANOS_PER_SECOND
    } else {
        1_000_000
    };
    let day_nanos = SECONDS_PER_DAY * NANOS_PER_SECOND;
    let is_midnight = to.0.is_multiple_of(day_nanos) && to > from;
    let last = if is_midnight { UnixNanos(to.0 - 1) } else { to };
    let end = if is_midnight { "24:00".to_owned() } else { spell::clock(to, step) };
    let begin = spell::clock(from, step);
    if from.day() == last.day() {
        format!("{}, {begin} – {end} UTC", spell::date(from.day()))
    } else {
        format!("{}, {begin} – {}, {end} UTC", spell::date(from.day()), spell::date(last.day()))
    }
}

/// Words the verdict.
fn judged(verdict: Verdict, coverage: Option<&Coverage>) -> String {
    let name = verdict.name();
    let Some(coverage) = coverage else { return format!("{name}: no trades are kept, and tickers may skip some") };
    if verdict == Verdict::Open && !coverage.gaps.is_empty() {
        let missing = coverage.gaps.iter().fold(0_u64, |sum, gap| sum.saturating_add(gap.ids.count()));
        let gaps = coverage.gaps.len();
        let of = if gaps == 1 { String::new() } else { format!(" in {} gaps", spell::count(gaps as u64)) };
        return format!("{name}: {}{of}", spell::many(missing, "trade id missing", "trade ids missing"));
    }
    let second = |time: UnixNanos| spell::clock(time, NANOS_PER_SECOND);
    if coverage.doubts.iter().any(|doubt| doubt.verdict == verdict) {
        return match coverage.doubts.len() {
            1 => format!("{name}: for a reason that `coltape verify` tells"),
            count => format!("{name}: for {count} reasons that `coltape verify` tells"),
        };
    }
    match (verdict, coverage.captured_from, coverage.captured_to) {
        (Verdict::Whole, ..) => format!("{name}: every trade id is there"),
        (Verdict::Partial, Some(first), Some(last)) => {
            format!("{name}: captured {} to {}, no id missing between", second(first.time), second(last.time))
        }
        (Verdict::Partial, Some(first), None) => format!("{name}: captured from {}, no id missing since", second(first.time)),
        (Verdict::Partial, None, Some(last)) => format!("{name}: captured to {}, no id missing until then", second(last.time)),
        (Verdict::Partial, None, None) => {
            let missing = coverage.gaps.iter().fold(0_u64, |sum, gap| sum.saturating_add(gap.ids.count()));
            format!("{name}: {} captured", spell::many(missing, "trade was not", "trades were not"))
        }
        _ if !coverage.has_trades => format!("{name}: no trade is stored"),
        _ => format!("{name}: ids are stored twice, see verify"),
    }
}

/// Words the sums, as far as there is room.
fn sums(totals: &Totals, base: &str, room: f64) -> String {
    if totals.trades == 0 {
        return spell::many(totals.quotes, "quote, no trade", "quotes, no trade");
    }
    let all = totals.bought + totals.sold;
    let share = |part: f64| if all > 0.0 { format!(" ({:.0} %)", part / all * 100.0) } else { String::new() };
    let amount = |size: f64| format!("{} {base}", spell::short(size)).trim_end().to_owned();
    let mut told = vec![
        spell::many(totals.trades, "trade", "trades"),
        format!("bought {}{}", amount(totals.bought), share(totals.bought)),
        format!("sold {}{}", amount(totals.sold), share(totals.sold)),
    ];
    if let (Some(high), Some(low)) = (totals.high, totals.low) {
        told.push(format!("high {}", spell::exact(high.price)));
        told.push(format!("low {}", spell::exact(low.price)));
    }
    while told.len() > 1 && width(&told.join("  ·  "), 6.6) > room {
        told.pop();
    }
    told.join("  ·  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_time_is_spelled_as_short_as_it_can_be() {
        let second = |seconds: u64| UnixNanos((1_749_254_400 + seconds) * NANOS_PER_SECOND);
        assert_eq!(when(second(0), second(86_400)), "Sat 7 Jun 2025, 00:00 – 24:00 UTC");
        assert_eq!(when(second(3600), second(7200)), "Sat 7 Jun 2025, 01:00 – 02:00 UTC");
        assert_eq!(when(second(3601), UnixNanos(second(7200).0 + 1)), "Sat 7 Jun 2025, 01:00:01 – 02:00:00 UTC");
        assert_eq!(when(second(3600), second(90_000)), "Sat 7 Jun 2025, 01:00 – Sun 8 Jun 2025, 01:00 UTC");
        assert_eq!(when(second(1), UnixNanos(second(1).0 + 1_500_000)), "Sat 7 Jun 2025, 00:00:01.000 – 00:00:01.001 UTC");
    }
}
