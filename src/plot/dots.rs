//! [`Dots`]: trades as dots, thinned by pixel.
//!
//! 1. Few trades are drawn one by one, each with its words.
//! 2. Of many, a grid keeps the largest of each side in every cell of a pixel, or of more pixels where too many cells have one. So the highest, the lowest and
//!    every lonely trade keep their place. The largest trades of all are drawn one by one on top.
//! 3. The area of a dot is the size of its trade, down to the smallest dot that can be seen. The scale is chosen so that only few dots are large.
//! 4. The number of dots is bounded, whatever the number of trades.

use std::collections::BinaryHeap;
use std::fmt::Write as _;

use super::palette::Palette;
use super::scale::{TimeScale, ValueScale, cell};
use super::source::Dot;
use super::spell;
use super::svg::{Px, Svg, Words};
use super::totals::positive;
use crate::record::Side;

/// Most trades that are drawn one by one.
const MAX_SINGLE: u64 = 1500;
/// Trades that are drawn one by one on top of a grid: the largest.
const LARGEST: usize = 150;
/// Most dots of a grid.
const MAX_DOTS: usize = 40_000;
/// Most cells of a grid.
const MAX_CELLS: f64 = 4e6;
/// Largest radius, in pixels.
const MAX_RADIUS: f64 = 15.0;
/// Radius of the largest dot of a grid.
const MAX_GRID_RADIUS: f64 = 3.4;
/// Radius that only few trades exceed where all are drawn one by one: one in [`FEW`], and [`FEWEST`].
const USUAL_RADIUS: f64 = 4.5;
const FEW: usize = 12;
const FEWEST: usize = 12;
/// Steps of the radius of the dots of a grid.
const CLASSES: usize = 6;

/// Trades on their way into a picture.
pub(super) struct Dots {
    time: TimeScale,
    value: ValueScale,
    largest_size: f64,
    least_radius: f64,
    max_radius: f64,
    single: Vec<Dot>,
    grid: Option<Grid>,
    largest: BinaryHeap<std::cmp::Reverse<BySize>>,
}

/// A dot, ordered by size.
struct BySize(Dot);

impl Ord for BySize {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        positive(self.0.size).total_cmp(&positive(other.0.size)).then(other.0.id.cmp(&self.0.id))
    }
}

impl PartialOrd for BySize {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BySize {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for BySize {}

impl Dots {
    /// Begins for so many trades.
    pub(super) fn new(time: TimeScale, value: ValueScale, trades: u64, largest_size: f64) -> Self {
        let is_single = trades <= MAX_SINGLE;
        let least_radius = match trades {
            0..=150 => 3.2,
            151..=600 => 2.4,
            601..=MAX_SINGLE => 1.9,
            1501..=20_000 => 1.45,
            _ => 1.15,
        };
        let grid = (!is_single).then(|| Grid::new(time.width(), value.height()));
        Self { time, value, largest_size, least_radius, max_radius: MAX_RADIUS, single: Vec::new(), grid, largest: BinaryHeap::new() }
    }

    /// Adds a trade.
    pub(super) fn add(&mut self, dot: Dot) {
        if !dot.price.is_finite() {
            return;
        }
        let Some(grid) = &mut self.grid else {
            self.single.push(dot);
            return;
        };
        grid.add(self.time.x(dot.time) - self.time.left(), self.value.y(dot.price) - self.value.top(), &dot);
        if self.largest.len() < LARGEST || self.largest.peek().is_some_and(|least| positive(dot.size) > positive(least.0.0.size)) {
            self.largest.push(std::cmp::Reverse(BySize(dot)));
            if self.largest.len() > LARGEST {
                self.largest.pop();
            }
        }
    }

    /// Chooses the scale of the radius. All trades have been added.
    pub(super) fn settle(&mut self) {
        let (size, radius) = if self.grid.is_some() {
            // No trade that only the grid shows is larger than the grid can show.
            (self.largest.peek().map(|dot| positive(dot.0.0.size)), MAX_GRID_RADIUS)
        } else {
            let mut sizes: Vec<f64> = self.single.iter().map(|dot| positive(dot.size)).collect();
            sizes.sort_unstable_by(|one, other| other.total_cmp(one));
            (sizes.get((sizes.len() / FEW).max(FEWEST)).copied(), USUAL_RADIUS)
        };
        let size = size.filter(|size| *size > 0.0);
        self.max_radius = size.map_or(MAX_RADIUS, |size| (radius * (self.largest_size / size).sqrt()).clamp(radius, MAX_RADIUS));
    }

    /// Gives the radius of a trade: its area is its size, but no dot is too small to be seen.
    pub(super) fn radius(&self, size: f64) -> f64 {
        let part = if self.largest_size > 0.0 { (positive(size) / self.largest_size).sqrt() } else { 0.0 };
        (part * self.max_radius).max(self.least_radius)
    }

    /// Draws the dots.
    pub(super) fn draw(mut self, palette: &Palette, svg: &mut Svg) {
        if let Some(grid) = self.grid.take() {
            grid.thinned().draw(&self, palette, svg);
            // Those that are not larger than the dots of the grid are drawn there.
            let largest = std::mem::take(&mut self.largest).into_iter().map(|dot| dot.0.0);
            self.single = largest.filter(|dot| self.radius(dot.size) > MAX_GRID_RADIUS).collect();
        }
        // The large ones first, so that none hides a small one.
        self.single.sort_by(|one, other| positive(other.size).total_cmp(&positive(one.size)).then(one.id.cmp(&other.id)));
        svg.raw(format_args!("<g class=\"trades\" fill-opacity=\".5\" stroke-width=\".9\">\n"));
        for dot in &self.single {
            self.draw_one(dot, palette, svg);
        }
        svg.raw(format_args!("</g>\n"));
    }

    fn draw_one(&self, dot: &Dot, palette: &Palette, svg: &mut Svg) {
        let colour = if dot.side == Side::Buy { palette.buy } else { palette.sell };
        let (x, y, radius) = (Px(self.time.x(dot.time)), Px(self.value.y(dot.price)), Px(self.radius(dot.size)));
        svg.raw(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{colour}\" stroke=\"{colour}\"><title>{}</title></circle>\n",
            Words(words(dot))
        ));
    }
}

/// Says what a trade is.
pub(super) fn words(dot: &Dot) -> String {
    format!(
        "{} {} @ {} at {} (trade {})",
        dot.side.name(),
        spell::exact(dot.size),
        spell::exact(dot.price),
        spell::moment(dot.time),
        dot.id
    )
}

/// The largest trade of each side in every cell of a picture.
struct Grid {
    columns: usize,
    rows: usize,
    /// Pixels of a cell's edge.
    size: f64,
    /// Column by column: the largest size of a buy and of a sell; negative where there is none.
    cells: Vec<[f32; 2]>,
}

const EMPTY: [f32; 2] = [-1.0; 2];

impl Grid {
    fn new(width: f64, height: f64) -> Self {
        let mut size = 1.0;
        while width / size * (height / size) > MAX_CELLS {
            size += 1.0;
        }
        let count = |length: f64| cell(length / size, 1.0, usize::MAX) + 1;
        Self::with(count(width), count(height), size)
    }

    fn with(columns: usize, rows: usize, size: f64) -> Self {
        Self { columns, rows, size, cells: vec![EMPTY; columns * rows] }
    }

    fn add(&mut self, x: f64, y: f64, dot: &Dot) {
        let at = cell(x, self.size, self.columns) * self.rows + cell(y, self.size, self.rows);
        #[expect(clippy::cast_possible_truncation, reason = "it decides a radius")]
        let size = positive(dot.size) as f32;
        self.see(at, usize::from(dot.side != Side::Buy), size);
    }

    fn see(&mut self, at: usize, side: usize, size: f32) {
        if let Some(kept) = self.cells.get_mut(at).and_then(|cell| cell.get_mut(side)) {
            *kept = kept.max(size);
        }
    }

    fn occupied(&self) -> usize {
        self.cells.iter().flatten().filter(|size| **size >= 0.0).count()
    }

    /// Makes cells larger until few enough hold a dot.
    fn thinned(self) -> Self {
        let mut grid = self;
        while grid.occupied() > MAX_DOTS {
            let mut coarse = Self::with(grid.columns.div_ceil(2), grid.rows.div_ceil(2), grid.size * 2.0);
            for (at, sizes) in grid.cells.iter().enumerate() {
                let to = at / grid.rows / 2 * coarse.rows + at % grid.rows / 2;
                for (side, size) in sizes.iter().enumerate() {
                    coarse.see(to, side, *size);
                }
            }
            grid = coarse;
        }
        grid
    }

    /// Draws the cells: a path for each side and radius, whose dots are strokes without length.
    fn draw(&self, dots: &Dots, palette: &Palette, svg: &mut Svg) {
        let (left, top) = (Px(dots.time.left() + self.size / 2.0), Px(dots.value.top() + self.size / 2.0));
        svg.raw(format_args!("<g class=\"trades\" transform=\"translate({left} {top})\" fill=\"none\" stroke-linecap=\"round\">\n"));
        let mut paths: Vec<[Path; 2]> = (0..CLASSES).map(|_| [Path::default(), Path::default()]).collect();
        let step = (MAX_GRID_RADIUS - dots.least_radius) / CLASSES as f64;
        for (at, sizes) in self.cells.iter().enumerate().filter(|(_, sizes)| **sizes != EMPTY) {
            // Of two small dots in one place the larger one shows. Two large ones show both.
            let classes = sizes.map(|size| (size >= 0.0).then(|| cell(dots.radius(f64::from(size)) - dots.least_radius, step, CLASSES)));
            let is_beaten = |side: usize| classes == [Some(0), Some(0)] && sizes.get(side) < sizes.get(1 - side);
            for (side, class) in classes.into_iter().enumerate() {
                let Some(class) = class.filter(|_| !is_beaten(side)) else { continue };
                if let Some(path) = paths.get_mut(class).and_then(|paths| paths.get_mut(side)) {
                    path.dot(at / self.rows, at % self.rows);
                }
            }
        }
        for (class, paths) in paths.iter().enumerate() {
            let width = Px(2.0 * (dots.least_radius + step * class as f64));
            for (path, colour) in paths.iter().zip([palette.buy, palette.sell]) {
                svg.path(&path.scaled(self.size), &format!("stroke=\"{colour}\" stroke-width=\"{width}\" stroke-opacity=\".85\""));
            }
        }
        svg.raw(format_args!("</g>\n"));
    }
}

/// Dots of one look.
#[derive(Default)]
struct Path {
    dots: Vec<(usize, usize)>,
}

impl Path {
    fn dot(&mut self, column: usize, row: usize) {
        self.dots.push((column, row));
    }

    /// Writes the path: every dot relative to the one before, which takes the fewest bytes.
    fn scaled(&self, size: f64) -> String {
        let mut data = String::with_capacity(self.dots.len() * 8);
        let mut last = (0, 0);
        let place = |number: usize| number as i64 * cell(size, 1.0, 1 << 20) as i64;
        for (column, row) in &self.dots {
            let (x, y) = (place(*column), place(*row));
            let (right, down) = (x - last.0, y - last.1);
            let space = if down < 0 { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(data, "m{right}{space}{down}h0");
            last = (x, y);
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    fn scales() -> (TimeScale, ValueScale) {
        (TimeScale::new(UnixNanos(0), UnixNanos(1_000_000), 0.0, 1000.0), ValueScale::new(0.0, 400.0, 0.0, 400.0))
    }

    fn dot(id: u64, time: u64, price: f64, size: f64) -> Dot {
        Dot { id, time: UnixNanos(time), price, size, side: if id.is_multiple_of(2) { Side::Buy } else { Side::Sell } }
    }

    /// Draws trades, and gives the picture and every dot of its grid, in cells of this size.
    fn drawn(trades: impl Iterator<Item = Dot> + Clone) -> String {
        let (time, value) = scales();
        let mut dots = Dots::new(time, value, trades.clone().count() as u64, 100.0);
        trades.for_each(|dot| dots.add(dot));
        dots.settle();
        let mut svg = Svg::default();
        dots.draw(&Palette::of(super::super::config::Theme::Light), &mut svg);
        svg.done()
    }

    /// Reads the places of the dots of a grid back.
    fn places(svg: &str) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        for data in svg.split("<path d=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let mut at = (0, 0);
            for step in data.split("h0").filter(|step| !step.is_empty()) {
                let step = step.trim_start_matches('m');
                let split = step.find(' ').or_else(|| step.rfind('-').filter(|place| *place > 0)).expect("two numbers");
                let (right, down) = step.split_at(split);
                at = (at.0 + right.parse::<i64>().expect("a number"), at.1 + down.trim().parse::<i64>().expect("a number"));
                found.push(at);
            }
        }
        found
    }

    #[test]
    fn few_trades_are_drawn_one_by_one_with_their_words() {
        let svg = drawn((1..=3).map(|id| dot(id, id * 1000, 100.0 + id as f64, 0.5)));
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("<title>sell 0.5 @ 101 at 00:00:00.000001 (trade 1)</title>"), "{svg}");
    }

    #[test]
    fn of_many_trades_the_lonely_ones_and_the_largest_keep_their_place() {
        // A dense band, and one lonely trade far above and far below it.
        let band = (0..200_000_u64).map(|id| dot(id, id * 5, 200.0 + (id % 7) as f64, 0.01));
        let lonely = [dot(500_000, 500_000, 399.0, 0.001), dot(500_001, 250_000, 1.0, 0.001), dot(500_002, 750_000, 200.0, 100.0)];
        let svg = drawn(band.chain(lonely));
        let places = places(&svg);
        assert!(places.len() <= MAX_DOTS && svg.len() < 500_000, "{} dots, {} bytes", places.len(), svg.len());
        assert!(places.contains(&(500, 1)) && places.contains(&(250, 399)), "the highest and the lowest");
        assert!(svg.contains("r=\"15\"") && svg.contains("(trade 500002)"), "the largest");
    }

    #[test]
    fn however_many_cells_have_a_trade_the_dots_are_bounded() {
        let all = (0..1000 * 400_u64).map(|id| dot(id, id / 400 * 1000, (id % 400) as f64, 1.0));
        let svg = drawn(all);
        let places = places(&svg);
        assert!((MAX_DOTS / 8..=MAX_DOTS).contains(&places.len()), "{}", places.len());
        assert!(places.iter().all(|(x, y)| (0..=1000).contains(x) && (0..=400).contains(y)));
    }
}
