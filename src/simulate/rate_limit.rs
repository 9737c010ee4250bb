//! The rate limit of REST: a token bucket that holds the requests of one second.
//!
//! A refused request takes no token. The caller gives the time.

use std::time::{Duration, Instant};

/// Requests per second, over all clients.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
}

impl RateLimit {
    /// Makes a full bucket.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second, at: now }
    }

    /// Takes a token for one request.
    ///
    /// # Errors
    /// The time until there is a token, where there is none now.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // With a limit of 0 there is never a token. A minute stands for that.
        let wait = if self.per_second > 0.0 { (1.0 - self.tokens) / self.per_second } else { 60.0 };
        Err(Duration::from_secs_f64(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_allows_its_number_of_requests_and_a_refused_one_takes_no_token() {
        let start = Instant::now();
        let mut limit = RateLimit::new(4, start);
        let passed = |limit: &mut RateLimit, ms: u64, asked: usize| {
            (0..asked).filter(|_| limit.take(start + Duration::from_millis(ms)).is_ok()).count()
        };
        assert_eq!(passed(&mut limit, 0, 100), 4);
        assert_eq!(limit.take(start).map_err(|wait| wait.as_millis()), Err(250));
        assert_eq!(passed(&mut limit, 500, 100), 2);
        assert_eq!(passed(&mut limit, 60_000, 100), 4, "the bucket holds no more than one second of requests");
        assert_eq!(RateLimit::new(0, start).take(start), Err(Duration::from_secs(60)));
    }
}
