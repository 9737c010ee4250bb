//! Reading JSON without allocating: [`Parser`] keeps simd-json's buffers, [`Nodes`] finds fields among the parsed nodes (simd-json calls them its tape).
//!
//! 1. The text is copied once into a scratch buffer with simd-json's padding after it. Buffers and nodes are reused from frame to frame.
//! 2. A field is first expected where the wire order has it ([`Nodes::pick`]). Another order costs a few comparisons and is not an error.
//! 3. A `null` or an empty string counts as absent. An object in which a wanted name occurs twice is rejected.
//! 4. Bounded: texts above [`MAX_PARSED_BYTES`], nesting above [`MAX_DEPTH`] and more values than [`MAX_NODES`] are rejected, and the buffers of a large text
//!    are freed.

use super::reject::RejectReason;
use super::values::{Values, whole_of};
use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape};

/// Longest text parsed, in bytes: as long as the longest message that is taken from the network. The longest one in use, the list of all products with their
/// currencies, has about 1 MiB.
pub(super) const MAX_PARSED_BYTES: usize = 128 << 20;

/// Most names and values of a text. A trade has a dozen in 150 bytes or more, so that the longest text of trades stays far below it. Each costs 24 bytes of
/// memory, so that a text of nothing but `[0,0,0,…` would cost gigabytes.
const MAX_NODES: usize = 16 << 20;

/// Shorter texts cannot have more than [`MAX_NODES`].
const DENSE_BYTES: usize = MAX_NODES;

/// Deepest nesting parsed. The messages in use have five levels.
const MAX_DEPTH: usize = 64;

/// The buffers of texts up to this length are kept for the next text, in bytes.
const KEPT_BYTES: usize = 1 << 20;

/// The place of the outermost value. No field of an object has this place, so [`Nodes::pick`] uses it for *absent*.
pub(super) const ROOT: usize = 0;

/// Parses one text after the other in the same buffers.
pub(super) struct Parser {
    scratch: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Parser {
    /// Makes a parser whose buffers fit ordinary messages.
    pub(super) fn new() -> Self {
        const ORDINARY_BYTES: usize = 64 << 10;
        Self {
            scratch: Vec::with_capacity(ORDINARY_BYTES + INPUT_PADDING),
            buffers: Buffers::with_max_depth(ORDINARY_BYTES, MAX_DEPTH),
            tape: Tape(Vec::with_capacity(ORDINARY_BYTES / 8)),
        }
    }

    /// Parses a text and calls `walk` with its nodes.
    pub(super) fn parse<R>(&mut self, text: &[u8], walk: impl FnOnce(Nodes<'_, '_>) -> R) -> Result<R, RejectReason> {
        self.parse_as(text, text.first().copied(), walk)
    }

    /// Parses what follows an object's first field, from the comma on, as an object of the remaining fields.
    pub(super) fn parse_rest<R>(&mut self, rest: &[u8], walk: impl FnOnce(Nodes<'_, '_>) -> R) -> Result<R, RejectReason> {
        self.parse_as(rest, Some(b'{'), walk)
    }

    #[inline(always)]
    fn parse_as<R>(&mut self, text: &[u8], first: Option<u8>, walk: impl FnOnce(Nodes<'_, '_>) -> R) -> Result<R, RejectReason> {
        if text.len() > DENSE_BYTES && is_too_large(text) {
            return Err(RejectReason::TooLong);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        if let (Some(place), Some(first)) = (self.scratch.first_mut(), first) {
            *place = first;
        }
        self.scratch.extend_from_slice(&[b' '; INPUT_PADDING]);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape_padded(&mut self.scratch, text.len(), &mut self.buffers, &mut tape);
        let result = match filled {
            Ok(()) => Ok(walk(Nodes(&tape.0))),
            Err(_) => Err(RejectReason::NotJson),
        };
        self.tape = tape.reset();
        if text.len() > KEPT_BYTES {
            *self = Self::new();
        }
        result
    }
}

/// Tells whether a long text exceeds a bound. What separates values is counted inside of strings, too.
#[cold]
fn is_too_large(text: &[u8]) -> bool {
    let separators = text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    text.len() > MAX_PARSED_BYTES || separators > MAX_NODES
}

/// The fields of a message in wire order. Made by [`shape!`].
pub(super) trait Shape<const N: usize> {
    /// Their names.
    const NAMES: [&'static str; N];

    /// Tells whether every second node is the next of the names. Written out name by name, so that each comparison is one or two words long, not a call.
    fn stands_in(fields: &[Node<'_>]) -> bool;
}

/// Defines a [`Shape`] with its number of fields.
macro_rules! shape {
    ($(#[$doc:meta])* $shape:ident, $count:literal: $($name:literal),+ $(,)?) => {
        $(#[$doc])*
        struct $shape;

        impl $crate::feed::json::Shape<$count> for $shape {
            const NAMES: [&'static str; $count] = [$($name),+];

            #[inline(always)]
            fn stands_in(fields: &[simd_json::Node<'_>]) -> bool {
                let mut names = fields.iter().step_by(2);
                true $(&& matches!(names.next(), Some(simd_json::Node::String(text)) if *text == $name))+
            }
        }
    };
}
pub(super) use shape;

/// The nodes of a parsed text. A value is identified by its place among them.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'t, 'i>(&'t [Node<'i>]);

impl<'t, 'i> Nodes<'t, 'i> {
    /// Gives the places of an object's named fields, [`ROOT`] for an absent one.
    ///
    /// `names` should be in wire order: after a field has been found, the next name is expected next.
    pub(super) fn pick<const N: usize>(self, object: usize, names: &[&str; N]) -> Result<[usize; N], RejectReason> {
        let mut places = [ROOT; N];
        let mut expected = 0;
        for (name, place) in self.fields(object).ok_or(RejectReason::Shape)? {
            let found = match names.get(expected) {
                Some(next) if *next == name => Some(expected),
                _ => names.iter().position(|wanted| *wanted == name),
            };
            let Some(found) = found else { continue };
            match places.get_mut(found) {
                Some(slot) if *slot == ROOT => *slot = place,
                _ => return Err(RejectReason::Duplicate),
            }
            expected = found + 1;
        }
        Ok(places)
    }

    /// Gives the places of a shape's fields, as [`Nodes::pick`] does.
    #[inline(always)]
    pub(super) fn pick_shape<S: Shape<N>, const N: usize>(self, object: usize) -> Result<[usize; N], RejectReason> {
        if self.is_flat_and_in_order::<S, N>(object) {
            // Names and values alternate.
            return Ok(std::array::from_fn(|at| object + 2 + 2 * at));
        }
        self.pick(object, &S::NAMES)
    }

    /// Gives the places of a shape's fields of an object whose first field, `taken`, has been read already and must not occur again.
    #[inline(always)]
    pub(super) fn pick_rest<S: Shape<N>, const N: usize>(self, taken: &str) -> Result<[usize; N], RejectReason> {
        if self.is_flat_and_in_order::<S, N>(ROOT) {
            return Ok(std::array::from_fn(|at| ROOT + 2 + 2 * at));
        }
        if self.fields(ROOT).ok_or(RejectReason::Shape)?.any(|(name, _)| name == taken) {
            return Err(RejectReason::Duplicate);
        }
        self.pick(ROOT, &S::NAMES)
    }

    /// Gives the places of a shape's fields of a whole object, which also has a field `other` that must occur at most once.
    #[cold]
    pub(super) fn pick_whole<S: Shape<N>, const N: usize>(self, other: &str) -> Result<[usize; N], RejectReason> {
        if self.fields(ROOT).ok_or(RejectReason::Shape)?.filter(|(name, _)| *name == other).count() > 1 {
            return Err(RejectReason::Duplicate);
        }
        self.pick(ROOT, &S::NAMES)
    }

    /// Tells whether an object has exactly a shape's fields, in its order, and none of them is an object or array that holds something.
    #[inline(always)]
    fn is_flat_and_in_order<S: Shape<N>, const N: usize>(self, object: usize) -> bool {
        let Some(Node::Object { len, count }) = self.0.get(object) else { return false };
        if *len != N || *count != 2 * N {
            return false;
        }
        self.0.get(object + 1..object + 1 + 2 * N).is_some_and(S::stands_in)
    }

    /// Goes through an object's names and the places of their values.
    pub(super) fn fields(self, object: usize) -> Option<impl Iterator<Item = (&'i str, usize)> + use<'t, 'i>> {
        let Some(Node::Object { len, .. }) = self.0.get(object) else { return None };
        let mut next = object + 1;
        Some((0..*len).map_while(move |_| {
            let name = self.text(next)?;
            let place = next + 1;
            next = self.after(place);
            Some((name, place))
        }))
    }

    /// Goes through the places of an array's elements.
    pub(super) fn elements(self, array: usize) -> Option<impl Iterator<Item = usize> + use<'t, 'i>> {
        let Some(Node::Array { len, .. }) = self.0.get(array) else { return None };
        let mut next = array + 1;
        Some((0..*len).map(move |_| {
            let place = next;
            next = self.after(place);
            place
        }))
    }

    /// Gives the place after a value and all that is in it.
    fn after(self, place: usize) -> usize {
        match self.0.get(place) {
            Some(Node::Object { count, .. } | Node::Array { count, .. }) => place + 1 + count,
            _ => place + 1,
        }
    }

    /// Gives a string.
    #[inline(always)]
    pub(super) fn text(self, place: usize) -> Option<&'i str> {
        match self.0.get(place) {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Tells whether a field is `true`.
    pub(super) fn is_true(self, place: usize) -> bool {
        matches!(self.0.get(place), Some(Node::Static(StaticNode::Bool(true))))
    }
}

impl<'i> Values<'i> for Nodes<'_, 'i> {
    #[inline(always)]
    fn string(self, place: usize) -> Option<&'i [u8]> {
        self.text(place).map(str::as_bytes)
    }

    fn whole(self, place: usize) -> Option<u64> {
        match self.0.get(place)? {
            Node::Static(StaticNode::U64(value)) => Some(*value),
            Node::Static(StaticNode::I64(value)) => u64::try_from(*value).ok(),
            Node::String(text) => whole_of(text.as_bytes()),
            _ => None,
        }
    }

    fn is_absent(self, place: usize) -> bool {
        place == ROOT || matches!(self.0.get(place), None | Some(Node::Static(StaticNode::Null) | Node::String("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_past_any_value() {
        let mut parser = Parser::new();
        for text in [r#"{"a":1,"b":"two","c":null}"#, r#"{"c":null,"skip":{"a":[{"b":[]},[],{}]},"b":"two","more":[[],[1,[2]]],"a":1}"#] {
            parser
                .parse(text.as_bytes(), |nodes| {
                    let [a, b, c, d] = nodes.pick(ROOT, &["a", "b", "c", "d"]).unwrap();
                    assert_eq!((nodes.whole(a), nodes.text(b)), (Some(1), Some("two")));
                    assert!(nodes.is_absent(c) && nodes.is_absent(d) && !nodes.is_absent(a));
                })
                .unwrap();
        }
    }

    shape! {
        /// Two fields.
        Pair, 2: "a", "b"
    }

    #[test]
    fn only_a_flat_object_in_order_takes_the_fast_path_and_both_paths_agree() {
        let mut parser = Parser::new();
        for (text, is_fast) in [
            (r#"{"a":1,"b":"two"}"#, true),
            (r#"[{"a":null,"b":""}]"#, true),
            (r#"{"b":"two","a":1}"#, false),
            (r#"{"a":1,"b":"two","c":3}"#, false),
            (r#"{"a":1}"#, false),
            (r#"{"a":[],"b":"two"}"#, true),
            (r#"{"a":[0],"b":"two"}"#, false),
            (r#"{"a":{"b":1},"b":"two"}"#, false),
            (r#"{"a":1,"a":2}"#, false),
            (r#"{"a":1,"B":2}"#, false),
            ("[1,2,3,4,5]", false),
        ] {
            let found = parser.parse(text.as_bytes(), |nodes| {
                let object = usize::from(text.starts_with("[{"));
                assert_eq!(nodes.pick_shape::<Pair, 2>(object), nodes.pick(object, &["a", "b"]), "{text}");
                nodes.is_flat_and_in_order::<Pair, 2>(object)
            });
            assert_eq!(found, Ok(is_fast), "{text}");
        }
    }

    #[test]
    fn an_object_in_which_a_name_occurs_twice_is_rejected() {
        let mut parser = Parser::new();
        let pick = |nodes: Nodes<'_, '_>| nodes.pick(ROOT, &["a", "b"]).err();
        assert_eq!(parser.parse(br#"{"a":1,"b":2,"a":1}"#, pick), Ok(Some(RejectReason::Duplicate)));
        assert_eq!(parser.parse(br#"{"a":1,"b":2,"c":1,"c":2}"#, pick), Ok(None));
        assert_eq!(parser.parse(b"[1]", pick), Ok(Some(RejectReason::Shape)));
    }

    #[test]
    fn whole_numbers_of_both_spellings_end_at_64_bits() {
        let mut parser = Parser::new();
        let whole = |parser: &mut Parser, text: &str| parser.parse(text.as_bytes(), |nodes| nodes.whole(1)).ok().flatten();
        assert_eq!(whole(&mut parser, "[18446744073709551615]"), Some(u64::MAX));
        assert_eq!(whole(&mut parser, r#"["18446744073709551615"]"#), Some(u64::MAX));
        assert_eq!(whole(&mut parser, r#"["1.0e3"]"#), Some(1000));
        for bad in ["[18446744073709551616]", r#"["18446744073709551616"]"#, "[-1]", "[1.0]", "[1e3]", r#"["1.5"]"#, r#"[""]"#, "[null]"] {
            assert_eq!(whole(&mut parser, bad), None, "{bad}");
        }
    }

    #[test]
    fn elements_are_found_past_nested_values() {
        let mut parser = Parser::new();
        let ends = parser.parse(br#"[[1,[2]],{"a":[3]},"x",4]"#, |nodes| {
            nodes.elements(ROOT).unwrap().map(|place| (nodes.text(place).map(str::to_owned), nodes.whole(place))).collect::<Vec<_>>()
        });
        assert_eq!(ends, Ok(vec![(None, None), (None, None), (Some("x".to_owned()), None), (None, Some(4))]));
    }

    #[test]
    fn depth_and_length_are_bounded_and_leave_the_parser_usable() {
        let mut parser = Parser::new();
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(parser.parse(&deep(MAX_DEPTH - 1), |_| ()).is_ok());
        assert_eq!(parser.parse(&deep(100_000), |_| ()), Err(RejectReason::NotJson));
        assert_eq!(parser.parse(&vec![b' '; MAX_PARSED_BYTES + 1], |_| ()), Err(RejectReason::TooLong));
        let mut large = vec![b' '; MAX_PARSED_BYTES];
        large[0] = b'7';
        assert_eq!(parser.parse(&large, |nodes| nodes.whole(ROOT)), Ok(Some(7)));
        assert_eq!(parser.parse(b"8", |nodes| nodes.whole(ROOT)), Ok(Some(8)));
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert_eq!(parser.parse(zeros(MAX_NODES).as_bytes(), |_| ()), Err(RejectReason::TooLong));
        assert!(parser.parse(zeros(MAX_NODES / 2).as_bytes(), |_| ()).is_ok());
        assert_eq!(parser.parse(b"", |_| ()), Err(RejectReason::NotJson));
    }
}
