//! [`Frame`]: where the panels are, and their axes.

use super::config::{PlotConfig, PlotPart};
use super::palette::Palette;
use super::scale::{TimeScale, ValueScale};
use super::source::Dot;
use super::spell;
use super::svg::{Px, Svg};
use crate::record::Side;
use crate::time::{SECONDS_PER_DAY, UnixNanos};

/// Room left of the panels.
const LEFT: f64 = 20.0;
/// Room inside of the panels, left of the first time and right of the last one: a dot there is not cut in half.
const INSET: f64 = 9.0;
/// Room below the panels, for the names of times.
const BELOW: f64 = 44.0;
/// Room between the panels, for the name of the lower one.
const BETWEEN: f64 = 30.0;
/// The part of the height that the volume has beside prices.
const VOLUME_PART: f64 = 0.24;
/// Width of a digit of an axis.
const DIGIT: f64 = 7.3;
/// The least room between two round times, and two round prices.
const TIME_ROOM: f64 = 92.0;
const PRICE_ROOM: f64 = 46.0;
/// The least distance between the name of a round price and the last price.
const CLEAR: f64 = 15.0;

/// A panel's place: its top and its height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) top: f64,
    pub(super) height: f64,
}

impl Panel {
    pub(super) fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// The places of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    height: f64,
    pub(super) right: f64,
    pub(super) price: Option<Panel>,
    pub(super) volume: Option<Panel>,
}

impl Frame {
    /// Lays out the panels below `top`. `label` is the longest name of a price.
    pub(super) fn new(config: &PlotConfig, top: f64, label: &str) -> Self {
        let (width, height) = (f64::from(config.width), f64::from(config.height));
        let has_price = [PlotPart::Trades, PlotPart::Quotes, PlotPart::Candles].into_iter().any(|part| config.shows(part));
        let has_volume = config.shows(PlotPart::Volume);
        let room = (height - BELOW - top).max(60.0);
        let volume_height = match (has_price, has_volume) {
            (true, true) => (room * VOLUME_PART).round(),
            (_, true) => room,
            _ => 0.0,
        };
        let price_height = room - volume_height - if has_price && has_volume { BETWEEN } else { 0.0 };
        let right = (width - Self::label_room(label)).max(width / 2.0).round();
        let price = has_price.then_some(Panel { top, height: price_height });
        let volume = has_volume.then_some(Panel { top: height - BELOW - volume_height, height: volume_height });
        Self { height, right, price, volume }
    }

    fn label_room(label: &str) -> f64 {
        label.chars().count() as f64 * DIGIT + 24.0
    }

    /// Gives the scale of times.
    pub(super) fn time(&self, from: UnixNanos, to: UnixNanos) -> TimeScale {
        TimeScale::new(from, to, LEFT + INSET, self.right - LEFT - 2.0 * INSET)
    }

    pub(super) const fn left() -> f64 {
        LEFT
    }

    pub(super) fn panels(&self) -> impl Iterator<Item = Panel> {
        [self.price, self.volume].into_iter().flatten()
    }

    /// Gives the top of the upper panel and the bottom of the lower one.
    pub(super) fn ends(&self) -> (f64, f64) {
        let top = self.panels().next().map_or(0.0, |panel| panel.top);
        (top, self.height - BELOW)
    }

    /// Draws the grounds of the panels.
    pub(super) fn draw_grounds(&self, palette: &Palette, svg: &mut Svg) {
        for panel in self.panels() {
            svg.rect([LEFT, panel.top, self.right - LEFT, panel.height], &format!("fill=\"{}\"", palette.panel));
        }
    }

    /// Draws the axis of times, and its lines through the panels.
    pub(super) fn draw_times(&self, scale: &TimeScale, palette: &Palette, svg: &mut Svg) {
        let (ticks, step) = scale.ticks(TIME_ROOM);
        let (_, bottom) = self.ends();
        let mut data = String::new();
        for time in &ticks {
            let x = Px(scale.x(*time));
            for panel in self.panels() {
                data.push_str(&format!("M{x} {}V{}", Px(panel.top), Px(panel.bottom())));
            }
        }
        svg.path(&data, &format!("class=\"grid\" stroke=\"{}\" fill=\"none\"", palette.grid));
        svg.raw(format_args!("<g class=\"times\" font-size=\"12\" fill=\"{}\" text-anchor=\"middle\">\n", palette.muted));
        for time in &ticks {
            let x = scale.x(*time);
            svg.path(&format!("M{} {}v5", Px(x), Px(bottom)), &format!("stroke=\"{}\"", palette.axis));
            let is_midnight = u64::from(time.seconds()).is_multiple_of(SECONDS_PER_DAY) && time.subsec_nanos() == 0;
            // A name at the edge of the picture begins or ends there.
            let anchor = if x < 40.0 { "text-anchor=\"start\"" } else { "" };
            let x = if x < 40.0 { LEFT } else { x };
            if is_midnight {
                let style = format!("{anchor} font-weight=\"600\" fill=\"{}\"", palette.text);
                svg.words(x, bottom + 19.0, &style, &spell::short_date(time.day()));
            } else {
                svg.words(x, bottom + 19.0, anchor, &spell::clock(*time, step));
            }
        }
        let end = format!("{}, UTC", scale.range().from.map_or_else(String::new, |from| spell::date(from.day())));
        svg.words(LEFT, bottom + 36.0, "text-anchor=\"start\" font-size=\"11\"", &end);
        svg.raw(format_args!("</g>\n"));
    }

    /// Draws the lines of round values through a panel.
    pub(super) fn draw_value_grid(&self, ticks: &[f64], scale: &ValueScale, palette: &Palette, svg: &mut Svg) {
        let lines: String = ticks.iter().map(|value| format!("M{} {}H{}", Px(LEFT), Px(scale.y(*value)), Px(self.right))).collect();
        svg.path(&lines, &format!("class=\"grid\" stroke=\"{}\" fill=\"none\"", palette.grid));
    }

    /// Names round prices, and the last one.
    pub(super) fn draw_prices(
        &self,
        (ticks, step): &(Vec<f64>, f64),
        scale: &ValueScale,
        last: Option<(Dot, usize)>,
        palette: &Palette,
        svg: &mut Svg,
    ) {
        let last_y = last.map(|(dot, _)| scale.y(dot.price));
        svg.raw(format_args!("<g class=\"prices\" font-size=\"12\" fill=\"{}\">\n", palette.muted));
        for value in ticks {
            let y = scale.y(*value);
            if last_y.is_none_or(|last| (last - y).abs() >= CLEAR) {
                svg.words(self.right + 10.0, y + 4.0, "", &spell::fixed(*value, spell::decimals_for(*step)));
            }
        }
        svg.raw(format_args!("</g>\n"));
        if let Some(((dot, decimals), y)) = last.zip(last_y) {
            let colour = if dot.side == Side::Buy { palette.buy } else { palette.sell };
            let text = spell::fixed(dot.price, decimals);
            let width = text.chars().count() as f64 * DIGIT + 10.0;
            svg.path(
                &format!("M{} {}l5-9H{}v18H{}z", Px(self.right), Px(y), Px(self.right + 5.0 + width), Px(self.right + 5.0)),
                &format!("fill=\"{colour}\""),
            );
            let style = format!("font-size=\"12\" font-weight=\"600\" fill=\"{}\"", palette.on_colour);
            svg.words(self.right + 10.0, y + 4.2, &style, &text);
        }
    }

    /// Names round volumes, without signs.
    pub(super) fn draw_volumes(&self, (ticks, step): &(Vec<f64>, f64), scale: &ValueScale, palette: &Palette, svg: &mut Svg) {
        let name = |value: f64| if value == 0.0 { "0".to_owned() } else { spell::fixed(value, spell::decimals_for(*step)) };
        svg.raw(format_args!("<g class=\"volumes\" font-size=\"11\" fill=\"{}\">\n", palette.muted));
        for value in ticks {
            svg.words(self.right + 10.0, scale.y(*value) + 4.0, "", &name(value.abs()));
        }
        svg.raw(format_args!("</g>\n"));
        svg.path(&format!("M{} {}H{}", Px(LEFT), Px(scale.y(0.0)), Px(self.right)), &format!("stroke=\"{}\"", palette.axis));
    }

    /// Draws the lower edge of each panel.
    pub(super) fn draw_edges(&self, palette: &Palette, svg: &mut Svg) {
        let edges: String = self.panels().map(|panel| format!("M{} {}H{}", Px(LEFT), Px(panel.bottom()), Px(self.right))).collect();
        svg.path(&edges, &format!("stroke=\"{}\" fill=\"none\"", palette.axis));
    }
}

/// Gives the round prices of a panel.
pub(super) fn price_ticks(scale: &ValueScale) -> (Vec<f64>, f64) {
    scale.ticks(PRICE_ROOM)
}
