//! Parquet's hybrid of run lengths and packed bits, for numbers of a few bits: which rows have a value, and the places of names in a dictionary.
//!
//! Numbers are looked at in groups of 8. Groups of one number become a run; the others are packed.

/// Adds numbers below 2^`width`, of 1 to 8 bits each.
pub(super) fn put(out: &mut Vec<u8>, numbers: &[u8], width: u32) {
    let (groups, tail) = numbers.as_chunks::<8>();
    let mut rest = groups;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|group| is_uniform(group) && group.first() == first.first()).count();
        if run > 0 {
            put_run(out, first.first().copied().unwrap_or(0), run * 8);
            rest = rest.get(run..).unwrap_or_default();
            continue;
        }
        let packed = rest.iter().take_while(|group| !is_uniform(group)).count();
        put_packed(out, rest.get(..packed).unwrap_or_default(), width);
        rest = rest.get(packed..).unwrap_or_default();
    }
    match tail.first() {
        None => {}
        Some(first) if tail.iter().all(|number| number == first) => put_run(out, *first, tail.len()),
        Some(_) => {
            // What stands behind the last number means nothing.
            let mut group = [0; 8];
            group.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
            put_packed(out, &[group], width);
        }
    }
}

/// Adds one number so many times.
pub(super) fn put_run(out: &mut Vec<u8>, number: u8, count: usize) {
    put_varint(out, (count as u64) << 1);
    out.push(number);
}

fn put_packed(out: &mut Vec<u8>, groups: &[[u8; 8]], width: u32) {
    put_varint(out, ((groups.len() as u64) << 1) | 1);
    for group in groups {
        let bits = group.iter().rev().fold(0u64, |bits, number| (bits << width) | u64::from(*number));
        // 8 numbers of so many bits have as many bytes.
        out.extend(bits.to_le_bytes().iter().take(width as usize));
    }
}

fn is_uniform(group: &[u8; 8]) -> bool {
    let bits = u64::from_le_bytes(*group);
    bits == (bits & 0xff) * 0x0101_0101_0101_0101
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while let Some(low) = u8::try_from(value & 0x7f).ok().filter(|_| value >= 0x80) {
        out.push(low | 0x80);
        value >>= 7;
    }
    out.extend(u8::try_from(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads so many numbers, as the format's description says.
    fn read(bytes: &[u8], count: usize, width: u32) -> Vec<u8> {
        let (mut numbers, mut at) = (Vec::new(), 0);
        while numbers.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                header |= u64::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            let many = usize::try_from(header >> 1).expect("few");
            if header & 1 == 0 {
                numbers.extend(std::iter::repeat_n(bytes[at], many));
                at += 1;
                continue;
            }
            for number in 0..many * 8 {
                let bit = |bit: usize| (bytes[at + bit / 8] >> (bit % 8)) & 1;
                let width = width as usize;
                numbers.push((0..width).fold(0, |value, place| value | (bit(number * width + place) << place)));
            }
            at += many * width as usize;
        }
        assert_eq!(at, bytes.len());
        numbers.truncate(count);
        numbers
    }

    proptest! {
        #[test]
        fn what_was_put_is_read(parts in prop::collection::vec((any::<u8>(), 0usize..40, any::<bool>()), 0..12), width in 1u32..=8) {
            let numbers: Vec<u8> = parts.iter().flat_map(|(number, count, is_run)| {
                (0..*count).map(move |at| if *is_run { *number } else { number.wrapping_mul(u8::try_from(at).expect("few") | 1) })
            }).map(|number| number & (u8::MAX >> (8 - width))).collect();
            let mut bytes = Vec::new();
            put(&mut bytes, &numbers, width);
            prop_assert_eq!(read(&bytes, numbers.len(), width), numbers);
        }
    }

    #[test]
    fn a_long_run_takes_a_few_bytes() {
        let mut bytes = Vec::new();
        put(&mut bytes, &[1; 20_000], 1);
        assert_eq!(bytes, [0xc0, 0xb8, 0x02, 1]);
    }
}
