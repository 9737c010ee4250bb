//! [`MessageShapes`] and [`BatchShapes`]: messages of both feeds read by the shapes that came before, without the parser.
//!
//! ```text
//!   frame ──▶ a known shape fits ─────────────────────▶ values ──▶ trade, ticker, heartbeat
//!         └─▶ none does ──▶ simd-json's tape ──▶ values ──┘ │
//!                                       a lesson, now and then ◀┘ (only of a message that was used)
//! ```
//!
//! 1. The parser is the authority. What a shape gives are the values that the parser would have given, so that everything after is the same code. Tests hold
//!    the two against each other for any bytes.
//! 2. A lesson is taken only from a message that was used, as it is. One in which a wanted name occurs twice is not learned, since the parser rejects it.
//! 3. Frames above [`MAX_FRAME_BYTES`] go to the parser.

use super::learned::Learned;
use super::template::{End, Lesson, Template};
use super::values::{ReadValues, Value, Values};

/// Longest frame that is read by its shape, in bytes.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// The place of the first field.
pub(super) const FIRST_FIELD: usize = 1;

/// The shapes of a kind of message that is one flat object.
#[derive(Debug, Default)]
pub(super) struct MessageShapes(Learned<Template>);

impl MessageShapes {
    /// Puts the values of a message, as far as it has them, at the places from [`FIRST_FIELD`] on; before that all of them are absent. `false` where no known
    /// shape fits: then some values may stand there all the same.
    #[inline]
    pub(super) fn read<'i>(&mut self, text: &'i [u8], fields: &mut [Value<'i>]) -> bool {
        if text.len() > MAX_FRAME_BYTES {
            return false;
        }
        let mut is_first = true;
        let read = self.0.find(|template| {
            if !std::mem::replace(&mut is_first, false) {
                fields.fill(Value::Absent);
            }
            (template.read(text, 0, fields)? == text.len()).then_some(())
        });
        read.is_some()
    }

    /// Counts the messages read by their shape.
    pub(super) const fn found(&self) -> u64 {
        self.0.found()
    }

    /// Learns the shape of a message that was used, if it is time to.
    #[inline]
    pub(super) fn learn(&mut self, text: &[u8], names: &[&str]) {
        if self.0.is_lesson_due() {
            self.0.add(message(text, names));
        }
    }
}

/// Learns the shape of an object, or of what follows its first field from the comma on.
#[cold]
fn message(text: &[u8], names: &[&str]) -> Option<Template> {
    let mut lesson = Lesson::new(text);
    lesson.take(b"{,")?;
    let (End::Object, _) = lesson.fields(names, FIRST_FIELD)? else { return None };
    lesson.end()?;
    lesson.finish()
}

/// The fields of an envelope that are wanted, and their places.
const ENVELOPE: [&str; 1] = ["timestamp"];
/// The place of the envelope's `timestamp`.
pub(super) const TIMESTAMP: usize = FIRST_FIELD;
/// The field of an event that is wanted.
const EVENT: [&str; 1] = ["type"];
/// The place of the event's `type`.
const EVENT_TYPE: usize = FIRST_FIELD + 1;
/// The place of the first element's first field.
const FIRST_ELEMENT: usize = FIRST_FIELD + 2;

/// The shape of an envelope with one event, whose elements are all of one shape.
#[derive(Debug)]
struct Batch {
    head: Template,
    element: Template,
    tail: Template,
}

/// The shapes of a kind of message that is an envelope of a list.
pub(super) struct BatchShapes {
    shapes: Learned<Batch>,
    /// Kept for the values of the next batch.
    values: Vec<Value<'static>>,
}

/// The values of a batch.
pub(super) struct BatchValues<'i> {
    values: Vec<Value<'i>>,
    count: usize,
}

impl<'i> BatchValues<'i> {
    /// Shows them.
    #[inline]
    pub(super) fn batch(&self) -> ReadBatch<'_, 'i> {
        ReadBatch { values: ReadValues(&self.values), count: self.count }
    }
}

/// The elements of a batch.
#[derive(Clone, Copy)]
pub(super) struct ReadBatch<'t, 'i> {
    /// The values.
    pub(super) values: ReadValues<'t, 'i>,
    /// How many elements there are.
    pub(super) count: usize,
}

impl<'i> ReadBatch<'_, 'i> {
    /// Gives the event's type.
    pub(super) fn kind(&self) -> Option<&'i [u8]> {
        self.values.string(EVENT_TYPE)
    }

    /// Gives the places of an element's fields.
    #[inline]
    pub(super) fn places<const N: usize>(&self, element: usize) -> [usize; N] {
        std::array::from_fn(|field| FIRST_ELEMENT + element * N + field)
    }
}

impl BatchShapes {
    /// Knows no shape.
    pub(super) fn new() -> Self {
        Self { shapes: Learned::default(), values: Vec::new() }
    }

    /// Reads a batch whose elements have `N` fields. `None` where no known shape fits.
    #[inline]
    pub(super) fn read<'i, const N: usize>(&mut self, frame: &'i [u8]) -> Option<BatchValues<'i>> {
        if frame.len() > MAX_FRAME_BYTES {
            return None;
        }
        let mut values: Vec<Value<'i>> = std::mem::take(&mut self.values);
        match self.shapes.find(|batch| batch.read::<N>(frame, &mut values)) {
            Some(count) => Some(BatchValues { values, count }),
            None => {
                self.values = emptied(values);
                None
            }
        }
    }

    /// Counts the batches read by their shape.
    pub(super) const fn found(&self) -> u64 {
        self.shapes.found()
    }

    /// Takes the memory of values back that are not needed any more.
    #[inline]
    pub(super) fn reuse(&mut self, read: BatchValues<'_>) {
        self.values = emptied(read.values);
    }

    /// Learns the shape of a batch that was used, if it is time to. `list` is the name of its elements, `names` are their fields.
    #[inline]
    pub(super) fn learn(&mut self, frame: &[u8], list: &str, names: &[&str]) {
        if self.shapes.is_lesson_due() {
            self.shapes.add(batch(frame, list, names));
        }
    }
}

impl Batch {
    /// Reads a batch into `values`, and gives the number of its elements.
    #[inline]
    fn read<'i, const N: usize>(&self, text: &'i [u8], values: &mut Vec<Value<'i>>) -> Option<usize> {
        values.clear();
        values.resize(FIRST_ELEMENT, Value::Absent);
        let mut at = self.head.read(text, 0, values)?;
        let mut count = 0;
        loop {
            let first = values.len();
            values.extend_from_slice(&[Value::Absent; N]);
            at = self.element.read(text, at, values.get_mut(first..)?)?;
            count += 1;
            if text.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        (self.tail.read(text, at, values)? == text.len()).then_some(count)
    }
}

/// Learns the shape of an envelope whose only event ends with a list, by its first element.
#[cold]
fn batch(frame: &[u8], list: &str, names: &[&str]) -> Option<Batch> {
    let mut lesson = Lesson::new(frame);
    lesson.take(b"{")?;
    let (End::Array, "events") = lesson.fields(&ENVELOPE, TIMESTAMP)? else { return None };
    lesson.take(b"{")?;
    let (End::Array, name) = lesson.fields(&EVENT, EVENT_TYPE)? else { return None };
    if name != list {
        return None;
    }
    let head = lesson.finish()?;
    let element = element(&mut lesson, names)?;
    while lesson.take(b",]")? == b',' {
        // Whether the others have the same shape, the next batch shows.
        self::element(&mut lesson, names)?;
    }
    end_of_object(&mut lesson, &EVENT, EVENT_TYPE)?;
    lesson.take(b"]")?;
    end_of_object(&mut lesson, &ENVELOPE, TIMESTAMP)?;
    lesson.end()?;
    Some(Batch { head, element, tail: lesson.finish()? })
}

fn element(lesson: &mut Lesson<'_>, names: &[&str]) -> Option<Template> {
    lesson.take(b"{")?;
    let (End::Object, _) = lesson.fields(names, 0)? else { return None };
    lesson.finish()
}

/// Takes what follows an object's list.
fn end_of_object(lesson: &mut Lesson<'_>, names: &[&str], first: usize) -> Option<()> {
    if lesson.take(b",}")? == b',' {
        let (End::Object, _) = lesson.fields(names, first)? else { return None };
    }
    Some(())
}

/// Gives the memory of values for those of another text. The library collects into the memory that it takes the items from.
#[inline]
fn emptied<'i>(mut values: Vec<Value<'_>>) -> Vec<Value<'i>> {
    values.clear();
    values.into_iter().map(|_| Value::Absent).collect()
}
