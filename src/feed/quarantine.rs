//! [`Quarantine`]: messages whose ids lie absurdly far ahead, held until something confirms them or their time is up.
//!
//! No I/O, no clock; `now` is monotonic time since any fixed moment.
//!
//! 1. A second message with the id next to a held one confirms both, and so does a heartbeat that names an id near it. All that is held near a confirmed
//!    id is believed with it.
//! 2. A message that nothing confirms within [`QUARANTINE_TIMEOUT`] is given up.
//! 3. At most [`MAX_QUARANTINED`] messages are held; one more gives up the oldest.

use std::time::Duration;

use super::continuity::ABSURD_JUMP;

/// How long a message may wait for its confirmation.
pub(crate) const QUARANTINE_TIMEOUT: Duration = Duration::from_secs(60);

/// Messages held at once.
pub(crate) const MAX_QUARANTINED: usize = 64;

/// The messages held.
#[derive(Debug, Clone)]
pub(crate) struct Quarantine<T> {
    held: Vec<Doubted<T>>,
}

#[derive(Debug, Clone)]
struct Doubted<T> {
    id: u64,
    since: Duration,
    message: T,
}

impl<T> Default for Quarantine<T> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

/// What holding a message released.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Released<T> {
    /// Messages that are believed now, in rising order of id.
    pub(crate) believed: Vec<T>,
    /// The oldest message, given up to make room.
    pub(crate) given_up: Option<T>,
}

impl<T> Quarantine<T> {
    /// Holds a message. Gives what is believed because of it, and what had to make room.
    pub(crate) fn hold(&mut self, id: u64, now: Duration, message: T) -> Released<T> {
        let is_confirmed = self.held.iter().any(|other| other.id.abs_diff(id) == 1);
        self.held.push(Doubted { id, since: now, message });
        if is_confirmed {
            return Released { believed: self.release_near(id), given_up: None };
        }
        let given_up = (self.held.len() > MAX_QUARANTINED).then(|| self.held.remove(0).message);
        Released { believed: Vec::new(), given_up }
    }

    /// Takes the newest id that a heartbeat named. Gives the messages that it confirms, in rising order of id.
    pub(crate) fn confirm(&mut self, last_id: u64) -> Vec<T> {
        if self.held.iter().any(|held| is_near(held.id, last_id)) { self.release_near(last_id) } else { Vec::new() }
    }

    fn release_near(&mut self, id: u64) -> Vec<T> {
        let mut believed: Vec<Doubted<T>> = self.held.extract_if(.., |held| is_near(held.id, id)).collect();
        believed.sort_by_key(|held| held.id);
        believed.into_iter().map(|held| held.message).collect()
    }

    /// Gives up what has waited too long.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<T> {
        let expired = self.held.extract_if(.., |held| now.saturating_sub(held.since) >= QUARANTINE_TIMEOUT);
        expired.map(|held| held.message).collect()
    }

    /// Gives up everything, at a stop.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.held.drain(..).map(|held| held.message).collect()
    }

    /// Gives how many are held.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Tells whether none is held.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

const fn is_near(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= ABSURD_JUMP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_absurd_id_is_held_and_two_consecutive_ones_are_believed() {
        let mut quarantine = Quarantine::default();
        let far = 1 << 63;
        assert_eq!(quarantine.hold(far, Duration::ZERO, 'a'), Released { believed: vec![], given_up: None });
        assert_eq!(quarantine.hold(77_000_000, Duration::ZERO, 'b'), Released { believed: vec![], given_up: None });
        assert_eq!(quarantine.hold(77_000_001, Duration::ZERO, 'c').believed, vec!['b', 'c']);
        assert!(quarantine.expire(QUARANTINE_TIMEOUT / 2).is_empty());
        assert_eq!(quarantine.expire(QUARANTINE_TIMEOUT), vec!['a']);
    }

    #[test]
    fn a_heartbeat_confirms_what_lies_near_it() {
        let mut quarantine = Quarantine::default();
        quarantine.hold(50_000_000, Duration::ZERO, 'a');
        assert!(quarantine.confirm(1_000).is_empty());
        assert_eq!(quarantine.confirm(50_000_003), vec!['a']);
        assert!(quarantine.is_empty());
    }

    #[test]
    fn the_quarantine_is_bounded_and_gives_up_the_oldest() {
        let mut quarantine = Quarantine::default();
        let mut given_up = Vec::new();
        for step in 0..200u64 {
            given_up.extend(quarantine.hold((1 << 50) + step * 10, Duration::ZERO, step).given_up);
        }
        assert_eq!(quarantine.len(), MAX_QUARANTINED);
        assert!(given_up.into_iter().eq(0..200 - MAX_QUARANTINED as u64));
    }
}
