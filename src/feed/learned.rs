//! [`Learned`]: the few shapes that a connection's messages of one kind have, and when it is worth learning another one.
//!
//! 1. At most [`MAX_KNOWN`] are known. The one that was used last the longest ago gives way.
//! 2. A shape that is never met again was learned in vain. After each of those twice as many misses pass before another one is learned, up to
//!    [`LONGEST_WAIT`]; the first use of a new one ends that. So messages whose shapes never repeat are seldom learned from.
//! 3. After [`PATIENCE`] misses in a row the known shapes are tried for every [`RARELY`]th message only, until one of them fits again.

/// Shapes known at once.
const MAX_KNOWN: usize = 4;

/// Misses in a row after which shapes are tried rarely.
const PATIENCE: u32 = 16;

/// How rarely: every eighth message.
const RARELY: u32 = 8;

/// Most misses between two lessons.
const LONGEST_WAIT: u32 = 1 << 12;

/// What messages of one kind look like.
#[derive(Debug)]
pub(super) struct Learned<T> {
    known: Vec<Known<T>>,
    /// Messages in a row that none fitted.
    misses_in_a_row: u32,
    /// Misses since the last lesson.
    misses: u32,
    /// Misses from one lesson to the next.
    wait: u32,
    /// Messages that one fitted.
    found: u64,
}

#[derive(Debug)]
struct Known<T> {
    shape: T,
    was_used: bool,
}

impl<T> Default for Learned<T> {
    fn default() -> Self {
        Self { known: Vec::with_capacity(MAX_KNOWN), misses_in_a_row: 0, misses: 0, wait: 1, found: 0 }
    }
}

impl<T> Learned<T> {
    /// Gives what the first shape that fits makes of a message.
    #[inline]
    pub(super) fn find<R>(&mut self, mut read: impl FnMut(&T) -> Option<R>) -> Option<R> {
        if self.misses_in_a_row < PATIENCE || self.misses_in_a_row.is_multiple_of(RARELY) {
            for at in 0..self.known.len() {
                let Some(known) = self.known.get_mut(at) else { break };
                if let Some(read) = read(&known.shape) {
                    self.misses_in_a_row = 0;
                    self.found += 1;
                    if !std::mem::replace(&mut known.was_used, true) {
                        self.wait = 1;
                    }
                    // The one that was used last comes first.
                    if at > 0
                        && let Some(before) = self.known.get_mut(..=at)
                    {
                        before.rotate_right(1);
                    }
                    return Some(read);
                }
            }
        }
        self.misses_in_a_row = self.misses_in_a_row.saturating_add(1);
        self.misses = self.misses.saturating_add(1);
        None
    }

    /// Counts the messages that a shape fitted.
    pub(super) const fn found(&self) -> u64 {
        self.found
    }

    /// Tells whether the message that none fitted is worth a lesson.
    pub(super) const fn is_lesson_due(&self) -> bool {
        self.misses >= self.wait
    }

    /// Takes what a lesson gave.
    #[cold]
    pub(super) fn add(&mut self, shape: Option<T>) {
        self.misses = 0;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        let Some(shape) = shape else { return };
        if self.known.len() == MAX_KNOWN {
            self.known.pop();
        }
        self.known.insert(0, Known { shape, was_used: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends numbers that are their own shapes. Gives how many were recognised, and how many lessons there were.
    fn send(learned: &mut Learned<u32>, numbers: impl IntoIterator<Item = u32>) -> (usize, usize) {
        let (mut found, mut lessons) = (0, 0);
        for number in numbers {
            if learned.find(|known| (*known == number).then_some(())).is_some() {
                found += 1;
            } else if learned.is_lesson_due() {
                learned.add(Some(number));
                lessons += 1;
            }
        }
        (found, lessons)
    }

    #[test]
    fn a_shape_is_known_from_its_second_message_on_and_a_new_one_is_learned_at_once() {
        let mut learned = Learned::default();
        assert_eq!(send(&mut learned, [1; 100]), (99, 1));
        assert_eq!(send(&mut learned, [2; 100]), (99, 1));
        assert_eq!(
            send(&mut learned, (0..400).map(|at| at % 4)),
            (400 - 3, 2),
            "two of the four were known, and the second new one waits for the first to be used"
        );
    }

    #[test]
    fn shapes_that_never_repeat_cost_few_lessons_and_hide_none_that_does() {
        let mut learned = Learned::default();
        let (found, lessons) = send(&mut learned, 10..100_010);
        assert!(found == 0 && lessons < 40, "{lessons} lessons");
        assert!(learned.known.len() <= MAX_KNOWN);
        // It is learned when the wait is over.
        let (found, _) = send(&mut learned, [7; 10_000]);
        assert!(found > 5_000, "{found} of 10 000");
        // Every second message is of a known shape, the others never repeat.
        let (found, lessons) = send(&mut learned, (0..20_000).map(|at| if at % 2 == 0 { 7 } else { 1_000_000 + at }));
        assert!(found == 10_000 && lessons < 20, "{found} found, {lessons} lessons");
    }

    #[test]
    fn the_shape_that_was_used_last_the_longest_ago_gives_way() {
        let mut learned = Learned::default();
        send(&mut learned, [1, 1, 2, 2, 3, 3, 4, 4, 1, 2, 4, 1, 2, 4, 5, 5]);
        let kept: Vec<u32> = learned.known.iter().map(|known| known.shape).collect();
        assert!(kept.contains(&1) && kept.contains(&2) && kept.contains(&5), "{kept:?}");
    }
}
