//! SHA-256 (FIPS 180-4), so that a vendored file can be pinned without another dependency.

/// The first 32 bits of the fractional parts of the `root`-th roots of the first primes.
fn constants<const N: usize>(root: u32) -> [u32; N] {
    let is_prime = |n: &u128| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let mut primes = (2u128..).filter(is_prime);
    std::array::from_fn(|_| {
        // The root of the prime times 2^32, as an integer: the largest whose power does not pass the prime's.
        let wanted = primes.next().unwrap() << (32 * root);
        let (mut low, mut high) = (0u128, 1 << 40);
        while high - low > 1 {
            let middle = u128::midpoint(low, high);
            if middle.checked_pow(root).is_some_and(|power| power <= wanted) { low = middle } else { high = middle }
        }
        (low & 0xffff_ffff) as u32
    })
}

/// Gives the digest as hexadecimal digits.
pub(crate) fn of(bytes: &[u8]) -> String {
    let (rounds, mut state) = (constants::<64>(3), constants::<8>(2));
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 } - 8, 0);
    padded.extend((bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words: Vec<u32> = block.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for at in 16..64 {
            let (before, near) = (words[at - 15], words[at - 2]);
            let s0 = before.rotate_right(7) ^ before.rotate_right(18) ^ (before >> 3);
            let s1 = near.rotate_right(17) ^ near.rotate_right(19) ^ (near >> 10);
            words.push(words[at - 16].wrapping_add(s0).wrapping_add(words[at - 7]).wrapping_add(s1));
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for (round, word) in rounds.iter().zip(&words) {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(*round).wrapping_add(*word);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = sum.wrapping_add(part);
        }
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

#[test]
fn digests_are_those_of_the_standard() {
    assert_eq!(of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(of(long), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
