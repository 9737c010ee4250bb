//! Digits of a text, eight at a time in one word (SIMD within a register). A loop over digits ends where the processor does not foresee it, which costs more
//! than the digits do.
//!
//! A word holds eight characters, the first one in its lowest byte.

/// Characters of a word.
const WIDTH: u32 = u64::BITS / u8::BITS;

/// Repeats a byte eight times.
#[inline(always)]
pub(crate) const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Makes values of digits; of any other character it makes something above 9.
#[inline(always)]
pub(crate) const fn values_of(word: u64) -> u64 {
    word ^ eight(b'0')
}

/// Gives a word with the upper bit of each byte set that is above 9. Exact up to and with the lowest such byte; 0 where there is none.
#[inline(always)]
pub(crate) const fn above_nine(values: u64) -> u64 {
    (values.wrapping_add(eight(0x7f - 9)) | values) & eight(0x80)
}

/// Puts eight values of 0 to 9 together, the lowest byte is the first digit.
///
/// Two digits each become a number, then two of these, then two of these (Johnny Lee, "Fast numeric string to int").
#[inline(always)]
pub(crate) const fn number_of(values: u64) -> u64 {
    let twos = values.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = twos.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// Reads the digits that a word begins with. Gives their number, and how many there are.
#[inline(always)]
pub(crate) const fn leading_digits(word: u64) -> (u64, usize) {
    let values = values_of(word);
    let others = above_nine(values);
    if others == 0 {
        return (number_of(values), WIDTH as usize);
    }
    let count = others.trailing_zeros() / u8::BITS;
    // Moved to the end of the word, with zeros in front of them. A shift by all bits gives nothing, as it should.
    let moved = match values.checked_shl(u64::BITS - count * u8::BITS) {
        Some(moved) => moved,
        None => 0,
    };
    (number_of(moved), count as usize)
}

/// Bytes that are looked at together for the end of a string.
pub(crate) const PIECE: usize = 16;

/// Tells whether a string is not taken beyond this byte: a quote, an escape, a control character, a character beyond ASCII.
#[inline(always)]
pub(crate) const fn is_end_of_string(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ' | 0x80..)
}

/// Gives a bit for each byte that ends a string, the lowest one for the first byte.
#[cfg(target_feature = "sse2")]
#[inline(always)]
pub(crate) fn ends_of_string(piece: &[u8; PIECE]) -> u32 {
    use safe_arch::{
        cmp_eq_mask_i8_m128i as equal, cmp_lt_mask_i8_m128i as below, load_unaligned_m128i, move_mask_i8_m128i, set_splat_i8_m128i as all,
    };
    let bytes = load_unaligned_m128i(piece);
    // Compared as signed numbers, those beyond ASCII are below a space, too.
    let ends = below(bytes, all(0x20)) | equal(bytes, all(0x22)) | equal(bytes, all(0x5c));
    move_mask_i8_m128i(ends).cast_unsigned()
}

/// Gives the same where there are no instructions for sixteen bytes.
#[cfg(not(target_feature = "sse2"))]
pub(crate) fn ends_of_string(piece: &[u8; PIECE]) -> u32 {
    ends_one_by_one(piece)
}

/// Judges the bytes one by one.
#[cfg(any(test, not(target_feature = "sse2")))]
fn ends_one_by_one(piece: &[u8; PIECE]) -> u32 {
    piece.iter().rev().fold(0, |ends, byte| ends << 1 | u32::from(is_end_of_string(*byte)))
}

/// Powers of ten: what a number of digits in front of so many others counts.
pub(crate) const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: [u8; 8]) -> (u64, usize) {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (text[..count].iter().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0')), count)
    }

    #[test]
    fn every_byte_at_every_place_ends_the_digits() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                for behind in [*b"00000000", *b"99999999", [0xff; 8], [0; 8], *b"12345678"] {
                    let mut text = behind;
                    text[..place].copy_from_slice(&b"98765432"[..place]);
                    text[place] = byte;
                    assert_eq!(leading_digits(u64::from_le_bytes(text)), naive(text), "{}", text.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn sixteen_bytes_are_judged_as_one_by_one() {
        for place in 0..PIECE {
            for byte in 0..=u8::MAX {
                for others in [b'a', b'"', b' ', 0x1f, 0x7f, 0x80, 0xff] {
                    let mut piece = [others; PIECE];
                    piece[place] = byte;
                    assert_eq!(ends_of_string(&piece), ends_one_by_one(&piece), "{}", piece.escape_ascii());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_sixteen_bytes_are_judged_as_one_by_one(piece in any::<[u8; PIECE]>()) {
            prop_assert_eq!(ends_of_string(&piece), ends_one_by_one(&piece));
        }

        #[test]
        fn digits_are_read_as_one_by_one(text in any::<[u8; 8]>(), digits in 0usize..=8, number in 0u32..100_000_000) {
            let mut text = text;
            text[..digits].copy_from_slice(&format!("{number:08}").as_bytes()[..digits]);
            prop_assert_eq!(leading_digits(u64::from_le_bytes(text)), naive(text));
        }
    }
}
