//! The days of one product with their verdicts, for readers: [`Tape::verdicts`].

use super::config::{VerifyConfig, VerifyError};
use super::coverage::DayCoverage;
use super::verify;
use crate::product::ProductId;
use crate::tape::Tape;
use crate::time::UnixNanos;

impl Tape {
    /// Lists a product's days with their verdicts, in order; nothing where there is no such product.
    ///
    /// This verifies the product: every record and checksum is looked at, as [`verify`](fn@crate::verify) does. A day with anything wrong is never
    /// [`Whole`](crate::Verdict::Whole); [`DayCoverage::reasons`] say why. `now` is the time of now, by the wall clock.
    ///
    /// # Errors
    /// Where the directory cannot be read at all. A day that cannot be read has a verdict instead.
    ///
    /// ```
    /// use coltape::{Clock, ProductId, Tape};
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::create_dir_all(folder.path().join("BTC-USD/TRADES"))?;
    /// # let dir = folder.path();
    /// let tape = Tape::open(dir)?;
    /// for day in tape.verdicts(&ProductId::new("BTC-USD")?, Clock::System.now())? {
    ///     println!("{}: {} ({} trades, {} missing)", day.date, day.verdict.name(), day.records, day.missing);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verdicts(&self, product: &ProductId, now: UnixNanos) -> Result<Vec<DayCoverage>, VerifyError> {
        let mut config = VerifyConfig::new(self.dir(), now);
        config.product = Some(product.clone());
        let days = verify(&config)?.days;
        Ok(days.into_iter().filter(|day| day.product == *product).map(|day| day.coverage).collect())
    }
}
