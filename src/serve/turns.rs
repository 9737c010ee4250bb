//! [`Turns`]: when which of many live clients are woken.
//!
//! Each client has a thread. To wake one costs more than to send it a trade, and hundreds that are woken at once keep everybody else, the capture included,
//! from the processors for milliseconds. So clients are divided into groups, which are woken in turn.
//!
//! 1. News is due to every group. A group that was woken reads all that has come until then, so it is due again only with the next news.
//! 2. Wake-ups are bounded to one client each [`PER_CLIENT`], saved up for one turn of all groups. Up to fifty clients are woken with every look at the
//!    tape; of two hundred each one waits for 8 ms at most.
//! 3. No group is passed over: the next turn begins behind the last group that was woken.

use std::time::{Duration, Instant};

/// How many groups of clients there are.
pub(super) const GROUPS: usize = 8;
/// The shortest time between two wake-ups of clients, on average. Measured: a wake-up, its write and its reader's read take about 35 µs on one core.
const PER_CLIENT: Duration = Duration::from_micros(40);

/// Tells which groups are to be woken.
#[derive(Debug)]
pub(super) struct Turns {
    due: [bool; GROUPS],
    /// The group that comes first.
    next: usize,
    saved: Duration,
    counted: Instant,
}

impl Turns {
    /// Begins without news.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: [false; GROUPS], next: 0, saved: Duration::ZERO, counted: now }
    }

    /// Notes that there is something new for all clients.
    pub(super) fn add_news(&mut self) {
        self.due = [true; GROUPS];
    }

    /// Tells whether a group waits for its turn.
    pub(super) fn are_due(&self) -> bool {
        self.due.contains(&true)
    }

    /// Gives the groups whose turn it is now, if there are so many clients in all. They are to be woken.
    pub(super) fn take(&mut self, clients: usize, now: Instant) -> Vec<usize> {
        let cost_of = |clients: usize| PER_CLIENT.saturating_mul(u32::try_from(clients).unwrap_or(u32::MAX));
        let share = clients.div_ceil(GROUPS);
        let cost = cost_of(share);
        let passed = now.saturating_duration_since(self.counted);
        self.saved = self.saved.saturating_add(passed).min(cost_of(share.saturating_mul(GROUPS)));
        self.counted = now;
        let (first, mut taken) = (self.next, Vec::new());
        for group in (0..GROUPS).map(|at| (first + at) % GROUPS) {
            let Some(due) = self.due.get_mut(group).filter(|due| **due) else { continue };
            let Some(left) = self.saved.checked_sub(cost) else { break };
            (*due, self.saved, self.next) = (false, left, (group + 1) % GROUPS);
            taken.push(group);
        }
        taken
    }

    /// Gives all groups that are due, whatever that costs.
    pub(super) fn take_all(&mut self) -> Vec<usize> {
        let taken = (0..GROUPS).filter(|group| self.due.get(*group) == Some(&true)).collect();
        self.due = [false; GROUPS];
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn few_clients_are_woken_with_every_look() {
        let mut now = Instant::now();
        let mut turns = Turns::new(now);
        assert!(turns.take(1, now).is_empty(), "there is no news");
        for clients in [1, 8, 40] {
            now += 2 * MS;
            turns.add_news();
            assert_eq!(turns.take(clients, now).len(), GROUPS, "{clients} clients");
            assert!(!turns.are_due());
        }
    }

    #[test]
    fn many_clients_are_woken_in_turn_each_of_them_soon() {
        let mut now = Instant::now();
        let mut turns = Turns::new(now);
        let mut woken = [now; GROUPS];
        let (mut wakes, begun) = (0, now);
        for _ in 0..1000 {
            now += 2 * MS;
            turns.add_news();
            let taken = turns.take(200, now);
            wakes += taken.len();
            for group in taken {
                woken[group] = now;
            }
            assert!(woken.iter().all(|last| now - *last <= 8 * MS), "{:?}", woken.map(|last| now - last));
        }
        let most = (now - begun).as_micros() / (25 * PER_CLIENT).as_micros();
        assert!(wakes as u128 <= most + GROUPS as u128, "{wakes} groups were woken, of {most}");
    }

    #[test]
    fn after_a_pause_all_are_woken_at_once_and_no_more_than_that_is_saved_up() {
        let mut now = Instant::now();
        let mut turns = Turns::new(now);
        now += 10_000 * MS;
        turns.add_news();
        assert_eq!(turns.take(200, now).len(), GROUPS);
        turns.add_news();
        assert!(turns.take(200, now).is_empty());
        assert!(turns.are_due());
        assert_eq!(turns.take_all().len(), GROUPS);
        assert!(!turns.are_due());
    }
}
