//! Names in sentences: [`did_you_mean`] asks which product a name may mean that is none, and [`listed`] lists names without filling the screen.

use crate::product::ProductId;

/// Most products that are suggested.
const MAX_SUGGESTIONS: usize = 3;

/// Most letters in which a suggestion differs.
const MAX_DIFFERENCE: usize = 2;

/// Finds the products that a name may mean: the one that differs in case or in signs alone, else those that differ in a letter or two, the most alike first.
#[must_use]
fn nearest<'p>(name: &str, products: impl Iterator<Item = &'p ProductId> + Clone) -> Vec<&'p ProductId> {
    let plain = letters(name);
    let same: Vec<&ProductId> = products.clone().filter(|product| letters(product.as_str()) == plain).take(MAX_SUGGESTIONS).collect();
    if !same.is_empty() {
        return same;
    }
    let mut near: Vec<(usize, &ProductId)> = products
        .map(|product| (difference(&plain, &letters(product.as_str())), product))
        .filter(|(difference, _)| *difference <= MAX_DIFFERENCE.min(plain.len() / 3))
        .collect();
    near.sort();
    near.into_iter().map(|(_, product)| product).take(MAX_SUGGESTIONS).collect()
}

/// Words the question what a name may mean; nothing where no product is like it.
#[must_use]
pub(crate) fn did_you_mean<'p>(name: &str, products: impl Iterator<Item = &'p ProductId> + Clone) -> Option<String> {
    let names: Vec<&str> = nearest(name, products).into_iter().map(ProductId::as_str).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

/// Gives a name's letters and digits in capitals.
fn letters(name: &str) -> Vec<u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()).collect()
}

/// Most names in one sentence.
const MAX_LISTED: usize = 10;

/// Lists names, and counts those that are too many for a sentence.
#[must_use]
pub(crate) fn listed(names: &[&str]) -> String {
    let (shown, rest) = names.split_at(names.len().min(MAX_LISTED));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}

/// Counts the letters that have to be added, left out or replaced to make one name of the other (Levenshtein's distance).
fn difference(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), at + 1);
        let mut left = at + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *cell;
            *cell = changed.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_a_product_is_recognised() {
        let products = ["BTC-USD", "BTC-USDC", "ETH-USD", "SOL-USD", "00-USD"].map(|name| ProductId::new(name).expect("a product"));
        let of = |name: &str| nearest(name, products.iter()).into_iter().map(ProductId::as_str).collect::<Vec<_>>();
        for name in ["btc-usd", "BTCUSD", "Btc_Usd", "btc.usd"] {
            assert_eq!(of(name), ["BTC-USD"], "{name}");
        }
        assert_eq!(of("BTC-USDD"), ["BTC-USD", "BTC-USDC"]);
        assert_eq!(of("ETH-UDS"), ["ETH-USD"]);
        assert!(of("NOPE-USD").is_empty() && of("").is_empty() && of("X").is_empty(), "{:?}", of("NOPE-USD"));
        assert_eq!(did_you_mean("BTC-USDD", products.iter()).as_deref(), Some("did you mean BTC-USD or BTC-USDC?"));
    }

    #[test]
    fn the_difference_is_the_number_of_changes() {
        for (a, b, expected) in
            [("", "", 0), ("", "AB", 2), ("AB", "", 2), ("KITTEN", "SITTING", 3), ("BTCUSD", "BTCUSDC", 1), ("AB", "BA", 2)]
        {
            assert_eq!((difference(a.as_bytes(), b.as_bytes()), difference(b.as_bytes(), a.as_bytes())), (expected, expected), "{a} {b}");
        }
    }
}
