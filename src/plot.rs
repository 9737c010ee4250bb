//! Plots: trades, quotes and volume of a range of time as one SVG file, made by hand. A person shall *see* buying, selling and gaps.
//!
//! ```text
//!   source ─▶ totals ─▶ scales ─▶ dots, lines, bars ─▶ SVG
//!                       gaps (market::Coverage) ──▶ bands and their names
//! ```
//!
//! 1. The picture is thinned by pixel, and its extremes are kept: the highest, the lowest and the largest trade are always drawn. Its size is bounded by its
//!    width and height, not by the number of records: a day of five million trades takes less than 1 MB.
//! 2. Gaps are shaded and named. The verdict on the range stands in the title.
//! 3. The file needs nothing else: no font, no script, no style sheet. What comes from outside is escaped.
//! 4. Records are read twice and never held in memory together.

mod bars;
mod config;
mod dots;
mod frame;
mod gaps;
mod header;
mod lines;
mod palette;
mod scale;
mod source;
mod spell;
mod svg;
mod totals;

use std::io::Write;

use bars::Bars;
use dots::Dots;
use frame::Frame;
use gaps::Bands;
use header::{Header, Legend};
use lines::Lines;
use palette::Palette;
use scale::{TimeScale, ValueScale};
use source::{Dot, Source};
use svg::{Px, Svg, Words};
use totals::Totals;

pub use config::{PlotConfig, PlotError, PlotPart, Theme};

/// The fonts, of which each system has one.
const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif";

/// Draws a picture and writes it as SVG.
///
/// # Errors
/// Where nothing is stored of what was asked for, a day cannot be read, or the output cannot be written to.
pub fn plot(config: &PlotConfig, out: &mut dyn Write) -> Result<(), PlotError> {
    let text = draw(config)?;
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(PlotError::Output)
}

fn draw(config: &PlotConfig) -> Result<String, PlotError> {
    let is_within = |value: u32, (least, most): (u32, u32)| (least..=most).contains(&value);
    if !is_within(config.width, PlotConfig::WIDTHS) || !is_within(config.height, PlotConfig::HEIGHTS) {
        return Err(PlotError::Size { width: config.width, height: config.height });
    }
    if config.parts.is_empty() {
        return Err(PlotError::NoParts);
    }
    let source = Source::open(config)?;
    let totals = Totals::of(&source);
    let picture = Picture::new(config, &source, &totals);
    Ok(picture.draw(&source, &totals))
}

/// A picture with everything in its place.
struct Picture<'a> {
    config: &'a PlotConfig,
    palette: Palette,
    header: Header,
    frame: Frame,
    time: TimeScale,
    bands: Bands,
    price: Option<ValueScale>,
}

impl<'a> Picture<'a> {
    fn new(config: &'a PlotConfig, source: &Source, totals: &Totals) -> Self {
        let header = Header::new(config, source, totals);
        let range = totals.price_range();
        // The longest name of a price decides the room beside the panels, and that where the gaps lie, whose names need room above the panels.
        let height = f64::from(config.height) - header.bottom();
        let label = range.map_or_else(String::new, |(low, high)| {
            let (_, step) = frame::price_ticks(&ValueScale::new(low, high, 0.0, height * 0.7));
            let decimals = spell::decimals_for(step).max(totals.last.map_or(0, |_| totals.decimals.min(12)));
            spell::fixed(high, decimals)
        });
        let draft = Frame::new(config, header.bottom(), &label);
        let time = draft.time(source.from, source.to);
        let (first, last) = known(source);
        let bands = Bands::new(source.coverage.as_ref(), &time, first, last);
        let frame = Frame::new(config, header.bottom() + bands.height(), &label);
        let price = frame.price.zip(range).map(|(panel, (low, high))| ValueScale::new(low, high, panel.top, panel.height));
        Self { config, palette: Palette::of(config.theme), header, frame, time, bands, price }
    }

    fn draw(&self, source: &Source, totals: &Totals) -> String {
        let (config, palette, frame) = (self.config, &self.palette, &self.frame);
        let shows = |part| config.shows(part);
        let dots = self.price.filter(|_| shows(PlotPart::Trades));
        let mut dots = dots.map(|price| Dots::new(self.time, price, totals.trades, totals.largest_size()));
        let mut candles = (shows(PlotPart::Candles) && totals.trades > 0).then(|| Bars::of_candles(self.time));
        // Below candles, volume of the same spans.
        let mut volume = frame.volume.map(|_| if candles.is_some() { Bars::of_candles(self.time) } else { Bars::of_volume(self.time) });
        source.each_trade(|dot| {
            dots.iter_mut().for_each(|dots| dots.add(dot));
            volume.iter_mut().chain(candles.iter_mut()).for_each(|bars| bars.add(&dot));
        });
        dots.iter_mut().for_each(Dots::settle);
        let mut svg = Svg::default();
        self.begin(source, totals, &mut svg);
        frame.draw_grounds(palette, &mut svg);
        let (top, _) = frame.ends();
        let price_ticks = self.price.map(|price| frame::price_ticks(&price));
        let volume_scale = frame.volume.zip(volume.as_ref()).map(|(panel, bars)| bars::volume_scale(bars.most(), panel.top, panel.height));
        let volume_ticks = volume_scale.map(|scale| bars::volume_ticks(&scale));
        for (ticks, scale) in [(&price_ticks, self.price), (&volume_ticks, volume_scale)] {
            if let (Some((ticks, _)), Some(scale)) = (ticks, scale) {
                frame.draw_value_grid(ticks, &scale, palette, &mut svg);
            }
        }
        frame.draw_times(&self.time, palette, &mut svg);
        for panel in frame.panels() {
            self.bands.draw((panel.top, panel.bottom()), palette, &mut svg);
        }
        let legend = Legend { dots: dots.as_ref(), candles: candles.as_ref(), bands: &self.bands };
        self.header.draw(config, palette, &mut svg);
        self.header.draw_legend(config, totals, &legend, palette, &mut svg);
        self.draw_prices(source, totals, dots, candles.as_ref(), &mut svg);
        if let (Some(bars), Some(scale), Some(ticks), Some(panel)) = (&volume, volume_scale, &volume_ticks, frame.volume) {
            bars.draw_volume(&scale, palette, &mut svg);
            frame.draw_volumes(ticks, &scale, palette, &mut svg);
            let of = if self.header.base().is_empty() { String::new() } else { format!(", {}", self.header.base()) };
            let words = format!("Volume per {}{of}: bought above the line, sold below", spell::span(bars.span));
            svg.words(Frame::left(), panel.top - 8.0, &format!("font-size=\"12\" fill=\"{}\"", palette.muted), &words);
        }
        frame.draw_edges(palette, &mut svg);
        if let (Some(price), Some(ticks)) = (self.price, &price_ticks) {
            let last =
                totals.last.filter(|_| shows(PlotPart::Trades) || shows(PlotPart::Candles)).map(|last| (last, totals.decimals.min(12)));
            frame.draw_prices(ticks, &price, last, palette, &mut svg);
            let style = format!("font-size=\"11\" fill=\"{}\"", palette.muted);
            svg.words(frame.right + 10.0, price.top() - 6.0, &style, self.header.quote());
        }
        let middle = frame.price.or(frame.volume).map_or(top, |panel| panel.top + panel.height / 2.0);
        self.bands.draw_names(top, middle, palette, &mut svg);
        svg.raw(format_args!("</svg>\n"));
        svg.done()
    }

    /// Begins the document: its size, its words, its patterns, its ground.
    fn begin(&self, source: &Source, totals: &Totals, svg: &mut Svg) {
        let (width, height) = (self.config.width, self.config.height);
        svg.raw(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"coltape-title coltape-desc\" font-family=\"{}\" style=\"font-variant-numeric:tabular-nums\">\n",
            Words(FONTS)
        ));
        self.header.describe(source, totals, svg);
        svg.raw(format_args!("<defs>\n"));
        Bands::define(&self.palette, svg);
        if let Some(panel) = self.frame.price {
            let width = self.frame.right - Frame::left();
            svg.raw(format_args!("<clipPath id=\"coltape-price\">"));
            svg.rect([Frame::left(), panel.top, width, panel.height], "");
            svg.raw(format_args!("</clipPath>\n"));
        }
        svg.raw(format_args!("</defs>\n"));
        svg.rect([0.0, 0.0, f64::from(width), f64::from(height)], &format!("fill=\"{}\"", self.palette.ground));
    }

    /// Draws quotes, candles and trades, and marks the extremes.
    fn draw_prices(&self, source: &Source, totals: &Totals, dots: Option<Dots>, candles: Option<&Bars>, svg: &mut Svg) {
        let Some(price) = self.price else { return };
        svg.raw(format_args!("<g clip-path=\"url(#coltape-price)\">\n"));
        if totals.quotes > 0 {
            let mut lines = Lines::new(self.time, price, &self.bands);
            source.each_quote(|quote| lines.add(&quote));
            lines.draw(source.held.1.min(source.to), &self.palette, svg);
        }
        if let Some(candles) = candles {
            candles.draw_candles(&price, &self.palette, svg);
        }
        let radius = |dot: &Dot| dots.as_ref().map(|dots| dots.radius(dot.size));
        let marks = [totals.high, totals.low].map(|dot| dot.and_then(|dot| Some((dot, radius(&dot)?))));
        if let Some(dots) = dots {
            dots.draw(&self.palette, svg);
        }
        svg.raw(format_args!("</g>\n"));
        let is_one = marks[0].zip(marks[1]).is_some_and(|((high, _), (low, _))| high.price.to_bits() == low.price.to_bits());
        for ((mark, name), is_above) in marks.into_iter().zip(["high", "low"]).zip([true, false]) {
            match mark {
                Some((dot, radius)) if !(is_one && !is_above) => {
                    self.mark(&dot, radius, if is_one { "" } else { name }, is_above, &price, svg)
                }
                _ => {}
            }
        }
    }

    /// Rings a trade and names its price.
    fn mark(&self, dot: &Dot, radius: f64, name: &str, is_above: bool, price: &ValueScale, svg: &mut Svg) {
        let (x, y) = (self.time.x_within(dot.time), price.y(dot.price));
        svg.raw(format_args!(
            "<circle class=\"extreme {name}\" cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.2\"><title>{}</title></circle>\n",
            Px(x),
            Px(y),
            Px(radius + 2.5),
            self.palette.text,
            Words(dots::words(dot))
        ));
        let text = format!("{name} {}", spell::exact(dot.price));
        let half = text.chars().count() as f64 * 3.3;
        let middle = x.clamp(self.time.left() + half + 3.0, (self.time.right() - half - 3.0).max(self.time.left() + half + 3.0));
        let to = if is_above { y - radius - 7.0 } else { y + radius + 16.0 };
        let to = to.clamp(price.top() + 12.0, price.bottom() - 5.0);
        let style = format!(
            "font-size=\"11.5\" font-weight=\"600\" text-anchor=\"middle\" fill=\"{}\" stroke=\"{}\" stroke-width=\"3.5\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
            self.palette.text, self.palette.panel
        );
        svg.words(middle, to, &style, text.trim());
    }
}

/// Gives the first and the last time of which something is known.
fn known(source: &Source) -> (Option<crate::time::UnixNanos>, Option<crate::time::UnixNanos>) {
    let (first, last) = source.held;
    match &source.coverage {
        None => (Some(first), Some(last)),
        // A quote before the first trade, or behind the last one, shows that something was captured.
        Some(coverage) => {
            (coverage.captured_from.map(|trade| trade.time.min(first)), coverage.captured_to.map(|trade| trade.time.max(last)))
        }
    }
}
