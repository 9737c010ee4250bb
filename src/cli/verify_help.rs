//! What `coltape verify --help` says below its options: the verdicts, the exit code, and every field of `--json`.

/// The text.
pub(super) const VERIFY_HELP: &str = r#"Verdicts:
  whole         every trade of the day is there: the days before and behind adjoin in id and time, or it begins with id 1
  partial       every trade of a part of the day is there; the reason says which part, and why
  open          trades are known to be missing, by their ids or by the journal
  unverifiable  nothing can be shown: damaged, or its commit page or journal is gone, or ids and times contradict other days

Exit 0: nothing wrong or missing was found (partial days included). Exit 1: something is wrong or missing.

--json prints one object per line; `line` says what it is:
  "day"        product, date, verdict, missing_ids, first_id, last_id, first_time, last_time, reasons, named_by_ticker (trades that
               a ticker names), ticker_pairs and tickers_alone (MD against TICKER_TRADES), tickers_provable (always false), and for
               each dataset kept (trades, md, ticker_trades): state (live, sealed, archived, bare: without a commit page, unreadable),
               archive (the folder that holds it, where it is archived), generation, columns (full, core), records, late, unproven (records without a checksum yet), flagged (kept although
               not plausible), clock_behind (received by a clock that was behind), time_regressions, with_order_ids,
               with_receive_time, f32_checked
  "hole"       missing ids: product, from_id, to_id, from_date, to_date (the days that they may belong to), after and before (the
               times of the trades beside them), is_absence (true: no capture was running over a midnight), why
  "finding"    something wrong or missing: kind, product, dataset, date, text; 20 of a kind are listed. The kinds are
               unreadable, length, checksum, id_order, id_twice, nanos, time,
               wrong_day, side, not_positive, rounding, sequence_order, ticker_trade, ticker_disagrees,
               time_order, missing, conflict, gone, stray, journal, sums, lost, never_sent, doubled,
               altered, misfiled, invented, ledger
  "not_checked" something that could not be checked: text
  "ledger"     with --ledger: trades, trades_equal, trades_fetched, trades_never_sent_before, trades_never_sent_after,
               without_order_ids, tickers, ticker_records_equal, tickers_never_sent, tickers_excused
  "summary"    the last line: holds (the answer), whole, partial, open, unverifiable, archived (days), findings (how many of each kind),
               not_checked, unreadable_journal_lines, torn_journal_lines, unknown_journal_lines
Times are RFC 3339 in UTC. A value that is not known is null."#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{FindingKind, Verdict};

    #[test]
    fn every_kind_of_finding_and_every_verdict_is_in_the_help() {
        let words: Vec<&str> = VERIFY_HELP.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let verdicts = [Verdict::Whole, Verdict::Partial, Verdict::Open, Verdict::Unverifiable].map(Verdict::name);
        for name in FindingKind::ALL.into_iter().map(FindingKind::name).chain(verdicts) {
            assert!(words.contains(&name), "{name}");
        }
    }
}
