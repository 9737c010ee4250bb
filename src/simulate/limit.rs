//! The rate limit of REST: a bucket of requests, as wide as a second's, that fills up again with time.
//!
//! A request that is refused takes nothing out of the bucket. The clock is handed in.

use std::time::{Duration, Instant};

/// Requests a second over all clients.
#[derive(Debug)]
pub(super) struct Limit {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Limit {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, at: now }
    }

    /// Lets a request pass, or says how long until one may.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        // A limit of nothing never lets one pass; a minute stands for that.
        let wait = if self.per_second > 0.0 { (1.0 - self.left) / self.per_second } else { 60.0 };
        Err(Duration::from_secs_f64(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_its_number_of_requests_and_a_refused_one_costs_nothing() {
        let start = Instant::now();
        let mut limit = Limit::new(4, start);
        let passed =
            |limit: &mut Limit, ms: u64, asked: usize| (0..asked).filter(|_| limit.ask(start + Duration::from_millis(ms)).is_ok()).count();
        assert_eq!(passed(&mut limit, 0, 100), 4);
        assert_eq!(limit.ask(start).map_err(|wait| wait.as_millis()), Err(250));
        assert_eq!(passed(&mut limit, 500, 100), 2);
        assert_eq!(passed(&mut limit, 60_000, 100), 4, "what is not asked for is not saved up beyond a second");
        assert_eq!(Limit::new(0, start).ask(start), Err(Duration::from_secs(60)));
    }
}
