//! [`Bands`]: where trades are missing, and where nothing was captured.
//!
//! 1. A gap reaches from the trade before it to the trade after it. It is shaded and hatched, never thinner than can be seen, and named: how many ids, which.
//! 2. Gaps in one place are one band. The largest are named where there is room; each band has its words for a pointer and a screen reader.
//! 3. The time before the first and after the last record of the tape, of which nothing is known, is shaded in another way.

use super::palette::Palette;
use super::scale::TimeScale;
use super::spell;
use super::svg::{Px, Svg, Words};
use crate::market::{Coverage, MissingIds};
use crate::time::UnixNanos;

/// The least width of a band, in pixels.
const LEAST: f64 = 3.0;
/// A band this wide breaks the lines of the quotes.
const BREAKS: f64 = 6.0;
/// Most bands that have words.
const MAX_WORDED: usize = 150;
/// Most gaps that the words of a band tell one by one.
const MAX_TOLD: usize = 5;
/// Rows of names above the picture.
const ROWS: usize = 3;
/// Height of a row of names.
pub(super) const ROW: f64 = 16.0;
/// Width of a letter of a name, on average.
const LETTER: f64 = 6.8;

/// Gaps in one place of the picture.
#[derive(Debug, Clone, PartialEq)]
struct Band {
    left: f64,
    right: f64,
    gaps: Vec<MissingIds>,
}

impl Band {
    fn ids(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.ids.count()))
    }

    /// Names the missing ids.
    fn name(&self) -> String {
        let missing = spell::many(self.ids(), "id missing", "ids missing");
        match (self.gaps.as_slice(), self.gaps.first(), self.gaps.last()) {
            ([gap], ..) => format!("{missing}: {}", range(gap)),
            (gaps, Some(first), Some(last)) => {
                format!("{missing} in {} gaps: {}…{}", spell::count(gaps.len() as u64), first.ids.first(), last.ids.last())
            }
            _ => missing,
        }
    }

    /// Says all that is known.
    fn words(&self) -> String {
        let named: Vec<String> = self.gaps.iter().take(MAX_TOLD).map(words).collect();
        let more = if self.gaps.len() > MAX_TOLD {
            format!("; and {} more gaps", spell::count((self.gaps.len() - MAX_TOLD) as u64))
        } else {
            String::new()
        };
        format!("{}{more}", named.join("; "))
    }
}

fn range(gap: &MissingIds) -> String {
    if gap.ids.count() == 1 { gap.ids.first().to_string() } else { format!("{}–{}", gap.ids.first(), gap.ids.last()) }
}

/// Names a gap, with its ids, its times and why it is there.
pub(super) fn words(gap: &MissingIds) -> String {
    let (first, last) = gap.times();
    let missing = spell::many(gap.ids.count(), "trade id missing", "trade ids missing");
    let why = if gap.why.is_empty() { String::new() } else { format!("; {}", gap.why) };
    format!("{missing}: {}, between {} and {}{why}", range(gap), spell::moment(first), spell::moment(last))
}

/// A stretch of time in which nothing was captured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Absence {
    left: f64,
    right: f64,
    from: UnixNanos,
    to: UnixNanos,
}

/// A name above the picture.
#[derive(Debug, Clone, PartialEq)]
struct Name {
    text: String,
    /// The middle of the text, and of its band.
    middle: f64,
    band: f64,
    row: usize,
}

/// The bands of a picture.
#[derive(Debug, Default)]
pub(super) struct Bands {
    bands: Vec<Band>,
    absences: Vec<Absence>,
    names: Vec<Name>,
    /// Times of the bands that break lines.
    breaks: Vec<(UnixNanos, UnixNanos)>,
}

impl Bands {
    /// Lays out the gaps of a range of time, and the time before `first` and after `last`, between which records were captured.
    pub(super) fn new(coverage: Option<&Coverage>, time: &TimeScale, first: Option<UnixNanos>, last: Option<UnixNanos>) -> Self {
        let mut bands: Vec<Band> = Vec::new();
        let mut breaks = Vec::new();
        for gap in coverage.into_iter().flat_map(|coverage| &coverage.gaps) {
            let (from, to) = gap.times();
            let (mut left, mut right) = (time.x_within(from), time.x_within(to));
            if right - left >= BREAKS {
                breaks.push((from, to));
            }
            let wanting = (LEAST - (right - left)).max(0.0) / 2.0;
            (left, right) = ((left - wanting).max(time.left()), (right + wanting).min(time.right()));
            match bands.last_mut().filter(|band| left <= band.right + 1.0) {
                Some(band) => {
                    (band.left, band.right) = (band.left.min(left), band.right.max(right));
                    band.gaps.push(gap.clone());
                }
                None => bands.push(Band { left, right, gaps: vec![gap.clone()] }),
            }
        }
        let range = time.range();
        let absences = [range.from.zip(first), last.zip(range.to)]
            .into_iter()
            .flatten()
            .filter(|(from, to)| from < to)
            .map(|(from, to)| Absence { left: time.x_within(from), right: time.x_within(to), from, to });
        let absences = absences.filter(|absence| absence.right - absence.left >= 0.5).collect();
        let names = names(&bands, time);
        Self { bands, absences, names, breaks }
    }

    /// Gives the height that the names need.
    pub(super) fn height(&self) -> f64 {
        self.names.iter().map(|name| name.row + 1).max().map_or(0.0, |rows| rows as f64 * ROW)
    }

    pub(super) fn has_gaps(&self) -> bool {
        !self.bands.is_empty()
    }

    pub(super) fn has_absences(&self) -> bool {
        !self.absences.is_empty()
    }

    /// Tells whether some bands have no name for want of room.
    pub(super) fn has_unnamed(&self) -> bool {
        self.names.len() < self.bands.len()
    }

    /// Tells whether a line from one time to another would hide that nothing is known between them.
    pub(super) fn break_between(&self, from: UnixNanos, to: UnixNanos) -> bool {
        let begins = self.breaks.partition_point(|(begin, _)| *begin < from);
        // The quotes beside the trades before and after a gap may lie a little inside of it.
        let near = self.breaks.get(begins.saturating_sub(1)..(begins + 1).min(self.breaks.len())).unwrap_or_default();
        near.iter().any(|(begin, end)| {
            let inner = to.min(*end).since(from.max(*begin));
            inner.saturating_mul(2) > end.since(*begin)
        })
    }

    /// Defines the patterns of the shades.
    pub(super) fn define(palette: &Palette, svg: &mut Svg) {
        svg.raw(format_args!(
            "<pattern id=\"coltape-gap\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
             <rect width=\"7\" height=\"7\" fill=\"{0}\" fill-opacity=\".13\"/><rect width=\"2.2\" height=\"7\" fill=\"{0}\" fill-opacity=\".5\"/></pattern>\n\
             <pattern id=\"coltape-absent\" width=\"9\" height=\"9\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
             <rect width=\"9\" height=\"9\" fill=\"{1}\" fill-opacity=\".14\"/><rect width=\"1\" height=\"9\" fill=\"{1}\" fill-opacity=\".55\"/></pattern>\n",
            palette.gap, palette.absent
        ));
    }

    /// Draws the shades of a panel, from `top` to `bottom`. Those of the first panel have words.
    pub(super) fn draw(&self, (top, bottom): (f64, f64), is_first: bool, palette: &Palette, svg: &mut Svg) {
        svg.raw(format_args!("<g class=\"not-captured\">\n"));
        for absence in &self.absences {
            let words = format!(
                "nothing captured from {} to {}: whether anything was traded is not known",
                spell::moment(absence.from),
                spell::moment(absence.to)
            );
            svg.raw(format_args!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"url(#coltape-absent)\"><title>{}</title></rect>\n",
                Px(absence.left),
                Px(top),
                Px(absence.right - absence.left),
                Px(bottom - top),
                Words(words)
            ));
        }
        svg.raw(format_args!("</g>\n<g class=\"gaps\">\n"));
        // The bands with most ids have words.
        let mut ids: Vec<u64> = self.bands.iter().map(Band::ids).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let least = ids.get(MAX_WORDED).copied().unwrap_or(0);
        for band in &self.bands {
            let (x, width, height) = (Px(band.left), Px(band.right - band.left), Px(bottom - top));
            let fill = if band.right - band.left < BREAKS {
                format!("fill=\"{}\" fill-opacity=\".55\"", palette.gap)
            } else {
                format!("fill=\"url(#coltape-gap)\" stroke=\"{}\" stroke-opacity=\".6\" stroke-width=\".8\"", palette.gap)
            };
            let is_worded = is_first && (band.ids() > least || ids.len() <= MAX_WORDED);
            let words = if is_worded { format!("<title>{}</title>", Words(band.words())) } else { String::new() };
            svg.raw(format_args!("<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" {fill}>{words}</rect>\n", Px(top)));
        }
        svg.raw(format_args!("</g>\n"));
    }

    /// Draws the names above `top`, the flags of bands without one, and the words on time that was not captured.
    pub(super) fn draw_names(&self, top: f64, middle: f64, palette: &Palette, svg: &mut Svg) {
        svg.raw(format_args!("<g class=\"gap-names\" fill=\"{}\" font-size=\"11\" text-anchor=\"middle\">\n", palette.gap));
        for band in &self.bands {
            let x = (band.left + band.right) / 2.0;
            svg.raw(format_args!("<path d=\"M{} {}h8l-4 6z\"/>\n", Px(x - 4.0), Px(top - 1.0)));
        }
        // A name in an upper row has a line down to its band. It passes behind the names below.
        for name in self.names.iter().filter(|name| name.row > 0) {
            let attributes = format!("stroke=\"{}\" stroke-width=\".8\" stroke-opacity=\".7\"", palette.gap);
            svg.path(&format!("M{} {}V{}", Px(name.band), Px(name_line(top, name.row) + 3.0), Px(top)), &attributes);
        }
        let halo = format!(
            "font-weight=\"600\" stroke=\"{}\" stroke-width=\"4\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
            palette.ground
        );
        for name in &self.names {
            svg.words(name.middle, name_line(top, name.row), &halo, &name.text);
        }
        svg.raw(format_args!("</g>\n<g fill=\"{}\" font-size=\"12\" text-anchor=\"middle\">\n", palette.muted));
        for absence in &self.absences {
            let (x, width) = ((absence.left + absence.right) / 2.0, absence.right - absence.left);
            let halo = format!("stroke=\"{}\" stroke-width=\"4\" stroke-linejoin=\"round\" paint-order=\"stroke\"", palette.ground);
            if width >= 90.0 {
                svg.words(x, middle, &halo, "nothing captured");
            } else if width >= 16.0 {
                let turn = format!("{halo} transform=\"rotate(-90 {} {})\"", Px(x), Px(middle));
                svg.words(x + 4.0, middle, &turn, "nothing captured");
            }
        }
        svg.raw(format_args!("</g>\n"));
    }
}

/// Gives the line on which the names of a row stand.
fn name_line(top: f64, row: usize) -> f64 {
    top - 6.0 - row as f64 * ROW
}

/// Finds room for names: the bands with most ids first, in as few rows as possible.
fn names(bands: &[Band], time: &TimeScale) -> Vec<Name> {
    let mut order: Vec<&Band> = bands.iter().collect();
    order.sort_by_key(|band| std::cmp::Reverse(band.ids()));
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); ROWS];
    let mut names = Vec::new();
    for band in order {
        let at = (band.left + band.right) / 2.0;
        let short = spell::many(band.ids(), "id missing", "ids missing");
        let place = |text: &str| {
            let half = text.chars().count() as f64 * LETTER / 2.0 + 5.0;
            let middle = at.clamp(time.left() + half, (time.right() - half).max(time.left() + half));
            let is_free = |row: &Vec<(f64, f64)>| row.iter().all(|(left, right)| middle + half < *left || middle - half > *right);
            let row = taken.iter().position(is_free)?;
            Some((row, middle, half))
        };
        let text = band.name();
        let Some((text, (row, middle, half))) =
            place(&text).map(|place| (text, place)).or_else(|| place(&short).map(|place| (short, place)))
        else {
            continue;
        };
        if let Some(row) = taken.get_mut(row) {
            row.push((middle - half, middle + half));
        }
        names.push(Name { text, middle, band: at, row });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdRange;
    use crate::market::StoredTrade;

    fn gap(first: u64, last: u64, from: u64, to: u64) -> MissingIds {
        let trade = |id, time| StoredTrade { id, time: UnixNanos(time) };
        MissingIds::between(IdRange::new(first, last).expect("ids"), trade(first - 1, from), trade(last + 1, to))
    }

    fn scale() -> TimeScale {
        TimeScale::new(UnixNanos(0), UnixNanos(1000), 0.0, 1000.0)
    }

    fn bands(gaps: &[MissingIds]) -> Vec<Band> {
        gaps.iter().map(|gap| Band { left: gap.times().0.0 as f64, right: gap.times().1.0 as f64, gaps: vec![gap.clone()] }).collect()
    }

    #[test]
    fn a_gap_is_named_with_its_ids_and_times() {
        let one = gap(7, 7, 1_000_000_000, 2_000_000_000);
        assert_eq!(words(&one), "1 trade id missing: 7, between 00:00:01 and 00:00:02");
        let many = gap(1000, 2233, 1_000_000_000, 2_500_000_000);
        assert_eq!(words(&many), "1,234 trade ids missing: 1000–2233, between 00:00:01 and 00:00:02.500");
        assert_eq!(bands(std::slice::from_ref(&many))[0].name(), "1,234 ids missing: 1000–2233");
        let mut told = one.clone();
        told.why = "the journal does not say why".to_owned();
        assert_eq!(words(&told), words(&one) + "; the journal does not say why");
        let both = Band { left: 0.0, right: 1.0, gaps: vec![one, many] };
        assert_eq!(both.name(), "1,235 ids missing in 2 gaps: 7…2233");
    }

    #[test]
    fn names_never_overlap_and_the_largest_gap_has_one() {
        let gaps: Vec<MissingIds> =
            (0..40).map(|number| gap(10 + number * 100, 10 + number * 100 + number, number * 25, number * 25 + 5)).collect();
        let names = names(&bands(&gaps), &scale());
        assert!(names.len() > 4 && names.len() < 40, "{}", names.len());
        assert!(names[0].text.starts_with("40 ids missing: 3910–3949"), "{}", names[0].text);
        for (at, one) in names.iter().enumerate() {
            for other in names.iter().take(at).filter(|other| other.row == one.row) {
                let half = (one.text.chars().count() + other.text.chars().count()) as f64 * LETTER / 2.0;
                assert!((one.middle - other.middle).abs() >= half, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_line_breaks_where_most_of_a_gap_lies_between_two_quotes() {
        let bands = Bands { breaks: vec![(UnixNanos(100), UnixNanos(200)), (UnixNanos(500), UnixNanos(600))], ..Bands::default() };
        for (from, to, is_broken) in
            [(90, 210, true), (100, 200, true), (105, 195, true), (0, 99, false), (90, 110, false), (210, 490, false), (490, 700, true)]
        {
            assert_eq!(bands.break_between(UnixNanos(from), UnixNanos(to)), is_broken, "{from} {to}");
        }
    }
}
