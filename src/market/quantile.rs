//! [`quantiles`]: exact quantiles of any number of values in bounded memory.
//!
//! The values are gone through four times, 16 bits at a time: each time it is counted how many values share the leading bits found so far with the value
//! that is looked for. Nothing is sorted or kept, so a year costs no more memory than a second. A quantile between two values is interpolated, as `median`
//! and `quantile_cont` of DuckDB and `numpy.percentile` do.

/// Bits that one pass settles.
const DIGIT_BITS: u32 = 16;
/// Values of one digit.
const DIGITS: usize = 1 << DIGIT_BITS;

/// A value that is looked for: the one that stands at `rank` in sorted order.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Its rank among the values that share its leading bits.
    rank: u64,
    /// Its leading bits.
    prefix: u64,
}

/// Gives the values at these shares of the sorted values, 0 to 1. `each` calls what it is given with every value, the same ones each time. `None` where
/// there is no value.
///
/// The values are integers, in whichever order-preserving way the caller makes them of what it has.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count of records is far below 2^53"
)]
pub(crate) fn quantiles<const N: usize>(shares: [f64; N], each: impl Fn(&mut dyn FnMut(u64))) -> Option<[Quantile; N]> {
    let mut count = 0u64;
    each(&mut |_| count += 1);
    let last = count.checked_sub(1)?;
    let places = shares.map(|share| share.clamp(0.0, 1.0) * last as f64);
    let ranks: Vec<u64> = places.iter().flat_map(|place| [place.floor() as u64, place.ceil() as u64]).map(|rank| rank.min(last)).collect();
    let found = at_ranks(&ranks, each);
    let mut pairs = found.chunks_exact(2);
    Some(places.map(|place| match pairs.next() {
        Some([low, high]) => Quantile { low: *low, high: *high, part: place.fract() },
        _ => Quantile { low: 0, high: 0, part: 0.0 },
    }))
}

/// A quantile: it lies between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantile {
    /// The value below it.
    pub low: u64,
    /// The value above it.
    pub high: u64,
    /// How far it lies from the one to the other, 0 to 1.
    part: f64,
}

impl Quantile {
    /// Gives the value. `read` turns an integer into what it stands for.
    #[must_use]
    pub(crate) fn value(self, read: impl Fn(u64) -> f64) -> f64 {
        let low = read(self.low);
        if self.low == self.high { low } else { low + (read(self.high) - low) * self.part }
    }
}

/// Finds the values at these ranks of the sorted order.
fn at_ranks(ranks: &[u64], each: impl Fn(&mut dyn FnMut(u64))) -> Vec<u64> {
    let mut wanted: Vec<Wanted> = ranks.iter().map(|rank| Wanted { rank: *rank, prefix: 0 }).collect();
    for pass in 0..u64::BITS / DIGIT_BITS {
        let shift = u64::BITS - DIGIT_BITS * (pass + 1);
        let mut prefixes: Vec<u64> = wanted.iter().map(|wanted| wanted.prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut counts = vec![vec![0u64; DIGITS]; prefixes.len()];
        each(&mut |value| {
            let leading = value.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
            for (prefix, counts) in prefixes.iter().zip(&mut counts) {
                if *prefix == leading
                    && let Some(count) = counts.get_mut(digit(value, shift))
                {
                    *count += 1;
                }
            }
        });
        for wanted in &mut wanted {
            let counted = prefixes.iter().zip(&counts).find(|(prefix, _)| **prefix == wanted.prefix);
            let Some((_, counts)) = counted else { continue };
            for (digit, count) in counts.iter().enumerate() {
                if wanted.rank < *count {
                    wanted.prefix = wanted.prefix << DIGIT_BITS | digit as u64;
                    break;
                }
                wanted.rank -= count;
            }
        }
    }
    wanted.iter().map(|wanted| wanted.prefix).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the mask leaves 16 bits")]
const fn digit(value: u64, shift: u32) -> usize {
    (value >> shift) as usize & (DIGITS - 1)
}

/// Maps an f64 to an integer of the same order.
#[must_use]
pub(crate) fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Gives the f64 that [`ordered`] mapped.
#[must_use]
pub(crate) fn from_ordered(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quantile_lies_where_it_does_in_a_sorted_list() {
        let of = |values: &[u64], share: f64| {
            quantiles([share], |visit| values.iter().for_each(|value| visit(*value))).map(|[found]| found.value(|value| value as f64))
        };
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[7], 0.99), Some(7.0));
        assert_eq!((of(&[4, 1], 0.5), of(&[4, 1, 9], 0.5)), (Some(2.5), Some(4.0)));
        assert_eq!((of(&[u64::MAX, 0], 0.0), of(&[u64::MAX, 0], 1.0)), (Some(0.0), Some(u64::MAX as f64)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            values in prop::collection::vec(prop_oneof![-3.0f64..3.0, -1e9f64..1e9, Just(0.01)], 1..300), share in 0.0f64..=1.0
        ) {
            let found = quantiles([share, 0.5], |visit| values.iter().for_each(|value| visit(ordered(*value)))).expect("values");
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for (share, found) in [share, 0.5].into_iter().zip(found) {
                let place = share * (sorted.len() - 1) as f64;
                let whole = (0..sorted.len()).rfind(|at| *at as f64 <= place).expect("a place");
                let (low, high) = (sorted[whole], sorted[(whole + 1).min(sorted.len() - 1)]);
                let expected = low + (high - low) * place.fract();
                let value = found.value(from_ordered);
                prop_assert!((value - expected).abs() <= expected.abs() * 1e-15, "{} {}", value, expected);
            }
        }
    }
}
