//! [`RawFrames`]: the last frames of every connection as they came. A conflict that is found later is journaled with its trade's raw text.
//!
//! 1. One thread writes a ring, any thread reads it. No thread waits; the writing side allocates nothing.
//! 2. A reader gets a whole frame or none: a frame that was overwritten meanwhile is gone.
//! 3. A ring has [`FRAME_RING_BYTES`], some thousands of frames. A frame larger than a quarter of that is not kept.
//!
//! Orderings, as in a seqlock: the writer raises `claimed` before it overwrites anything; its release fence keeps the words behind that. A reader loads the
//! words, then passes an acquire fence, then checks that `claimed` has not reached what it read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use parking_lot::Mutex;

use crate::record::RawPlace;

/// Bytes of one connection's ring.
pub(crate) const FRAME_RING_BYTES: usize = 1 << 20;

const WORD: usize = size_of::<u64>();
const WORDS: usize = FRAME_RING_BYTES / WORD;

/// Bits of a [`RawPlace`] that hold the position; the connection's number stands above them.
const POSITION_BITS: u32 = 48;

/// The rings of all connections.
#[derive(Default)]
pub(crate) struct RawFrames {
    all: Mutex<Vec<Arc<FrameRing>>>,
}

impl RawFrames {
    /// Makes the ring of another connection. It keeps nothing where there are too many connections to number.
    pub(crate) fn add(&self) -> FrameRingWriter {
        let mut all = self.all.lock();
        let ring = Arc::<FrameRing>::default();
        let number = u16::try_from(all.len()).ok();
        if number.is_some() {
            all.push(Arc::clone(&ring));
        }
        FrameRingWriter { ring, number }
    }

    /// Gives the frame at a place; nothing where it has been overwritten. Cold.
    #[must_use]
    pub(crate) fn read(&self, place: RawPlace) -> Option<Vec<u8>> {
        let number = usize::try_from(place.0 >> POSITION_BITS).ok()?;
        let ring = self.all.lock().get(number).map(Arc::clone)?;
        ring.read(place.0 & ((1 << POSITION_BITS) - 1))
    }
}

/// Writes one connection's ring.
pub(crate) struct FrameRingWriter {
    ring: Arc<FrameRing>,
    number: Option<u16>,
}

impl FrameRingWriter {
    /// Keeps a frame. Gives its place.
    #[inline]
    pub(crate) fn keep(&self, frame: &[u8]) -> RawPlace {
        let Some(number) = self.number else { return RawPlace::default() };
        match self.ring.keep(frame) {
            0 => RawPlace::default(),
            position => RawPlace(u64::from(number) << POSITION_BITS | position),
        }
    }
}

/// One connection's last frames.
pub(crate) struct FrameRing {
    words: Box<[AtomicU64]>,
    /// Words that were written or are being written, counted from the first frame on.
    claimed: AtomicU64,
}

impl Default for FrameRing {
    fn default() -> Self {
        // The first word is not used, so that a place of 0 means none.
        Self { words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(), claimed: AtomicU64::new(1) }
    }
}

impl FrameRing {
    fn word(&self, at: u64) -> Option<&AtomicU64> {
        self.words.get(usize::try_from(at).ok()? % WORDS)
    }

    /// Keeps a frame. Gives its first word's number; 0 where the frame is too large. Only the connection's thread calls this.
    #[inline]
    pub(crate) fn keep(&self, frame: &[u8]) -> u64 {
        let needed = 1 + frame.len().div_ceil(WORD);
        if needed > WORDS / 4 {
            return 0;
        }
        let start = self.claimed.load(Ordering::Relaxed);
        let end = start + needed as u64;
        self.claimed.store(end, Ordering::Relaxed);
        // Release: no word is stored before the claim. Partner: the acquire fence in `read`.
        fence(Ordering::Release);
        let (whole, rest) = frame.as_chunks::<WORD>();
        let first = usize::try_from(start).unwrap_or(0) % WORDS;
        match self.words.get(first..first + needed) {
            Some([length, words @ ..]) => {
                length.store(frame.len() as u64, Ordering::Relaxed);
                for (place, bytes) in words.iter().zip(whole) {
                    place.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
                }
                if let Some(place) = words.get(whole.len()) {
                    place.store(padded(rest), Ordering::Relaxed);
                }
            }
            _ => self.keep_around_the_end(start, frame.len(), whole, rest),
        }
        start
    }

    /// Stores a frame that goes on at the ring's beginning.
    #[cold]
    fn keep_around_the_end(&self, start: u64, length: usize, whole: &[[u8; WORD]], rest: &[u8]) {
        let words = [length as u64].into_iter().chain(whole.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        let last = (!rest.is_empty()).then(|| padded(rest));
        for (at, word) in (start..).zip(words.chain(last)) {
            if let Some(place) = self.word(at) {
                place.store(word, Ordering::Relaxed);
            }
        }
    }

    /// Gives the frame that begins at a word; nothing where it has been overwritten. Cold.
    #[must_use]
    pub(crate) fn read(&self, start: u64) -> Option<Vec<u8>> {
        if start == 0 {
            return None;
        }
        let length = usize::try_from(self.word(start)?.load(Ordering::Relaxed)).ok()?;
        let words = length.div_ceil(WORD);
        if words > WORDS / 4 {
            return None;
        }
        let mut bytes = Vec::with_capacity(words * WORD);
        for at in 1..=words as u64 {
            bytes.extend_from_slice(&self.word(start + at)?.load(Ordering::Relaxed).to_le_bytes());
        }
        // Acquire: the claim is loaded after every word. Partner: the release fence in `keep`.
        fence(Ordering::Acquire);
        let claimed = self.claimed.load(Ordering::Relaxed);
        if claimed.saturating_sub(start) > WORDS as u64 {
            return None;
        }
        bytes.truncate(length);
        Some(bytes)
    }
}

/// Makes a word of a frame's last bytes, fewer than a word has.
#[inline]
fn padded(rest: &[u8]) -> u64 {
    let mut bytes = [0; WORD];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_came_until_it_is_overwritten() {
        let ring = FrameRing::default();
        let frames: Vec<Vec<u8>> = (0..20u8).map(|at| vec![at; usize::from(at) * 7]).collect();
        let places: Vec<u64> = frames.iter().map(|frame| ring.keep(frame)).collect();
        for (frame, place) in frames.iter().zip(&places) {
            assert_eq!(ring.read(*place).as_ref(), Some(frame));
        }
        for _ in 0..5 {
            ring.keep(&vec![1; FRAME_RING_BYTES / 5]);
        }
        assert_eq!(ring.read(places[3]), None, "overwritten");
        assert_eq!(ring.keep(&vec![1; FRAME_RING_BYTES]), 0, "too large to keep");
        assert_eq!(ring.read(0), None);
    }

    #[test]
    fn connections_are_told_apart() {
        let raw_frames = RawFrames::default();
        let (first, second) = (raw_frames.add(), raw_frames.add());
        let places = [first.keep(b"one"), second.keep(b"two")];
        assert_eq!(places.map(|place| raw_frames.read(place)), [Some(b"one".to_vec()), Some(b"two".to_vec())]);
        assert_eq!(raw_frames.read(RawPlace::default()), None);
    }

    #[test]
    fn a_reader_never_gets_part_of_a_frame() {
        let ring = FrameRing::default();
        let last = AtomicU64::new(0);
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_000u64 {
                    let byte = u8::try_from(round % 251).expect("small");
                    last.store(ring.keep(&vec![byte; 100 + usize::from(byte) * 8]), Ordering::Release);
                }
                is_over.store(true, Ordering::Release);
            });
            let mut read = 0u32;
            while !is_over.load(Ordering::Acquire) {
                let place = last.load(Ordering::Acquire);
                if let Some(frame) = ring.read(place) {
                    let first = frame.first().copied().unwrap_or(0);
                    assert!(frame.len() == 100 + usize::from(first) * 8 && frame.iter().all(|byte| *byte == first));
                    read += 1;
                }
            }
            assert!(read > 0);
        });
    }
}
