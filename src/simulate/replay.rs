//! The replay of a recording to every client that has sent a request.
//!
//! 1. Each client gets the recording from its beginning, with the frames unchanged and in order. What it asked for does not matter. Nothing is added.
//! 2. With a speed, the times between the frames are those of the recording, divided by the speed. Without one, frames go as fast as the client reads, with
//!    at most [`AHEAD_BYTES`] waiting.

use std::time::Instant;

use super::exchange::Exchange;

/// Bytes that may wait for a client in a replay.
const AHEAD_BYTES: usize = 1 << 20;

impl Exchange {
    /// Begins the replay for a client that has sent a request.
    pub(super) fn begin_replay(&mut self, client: usize, now: Instant) {
        if let Some(client) = self.clients.get_mut(client) {
            client.has_asked = true;
            client.replay_from.get_or_insert(now);
        }
    }

    /// Sends every client the frames that are due.
    pub(super) fn replay(&mut self, now: Instant) {
        let Some(recording) = &mut self.recording else { return };
        if self.clients.iter().all(|client| client.replay_from.is_none()) && !recording.is_over && self.waiting.take_due(now) {
            log::warn!("the recording waits for a client that subscribes");
        }
        for client in self.clients.iter_mut().filter(|client| !client.is_cut) {
            let Some(from) = client.replay_from else { continue };
            while client.backlog() < AHEAD_BYTES {
                let Some(frame) = recording.due_frame(client.replayed, now.saturating_duration_since(from)) else { break };
                let _ = client.send(frame);
                client.replayed += 1;
            }
            client.flush();
            recording.is_over |= client.replayed == recording.len();
        }
    }
}
