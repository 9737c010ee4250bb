//! What a command names in its last lines where something is left to do: the command that helps next.

use std::path::Path;

use crate::repair::report::Report;

/// Says what helps after a repair that left something.
pub(super) fn after_repair(report: &Report, dir: &Path, asked_rest: bool) -> Vec<String> {
    let dir = dir.display();
    let mut lines = Vec::new();
    if report.missing_ids > 0 && !report.is_dry {
        lines.push(if asked_rest {
            format!("next: coltape repair {dir} --from OTHER_DIR takes what is missing from another box's tape; coltape verify {dir} says why it is missing")
        } else {
            format!("next: coltape repair {dir} without --no-rest asks REST for what is missing (--rest-url URL where the tape is a test's)")
        });
    }
    if report.disagreements > 0 {
        lines.push(format!(
            "next: compare the trades that disagree: {dir}/_coltape/journal.*.jsonl has both versions of each as a line \"conflict\""
        ));
    }
    if !report.failures.is_empty() {
        lines.push("next: run the same command again when what failed is mended; what is done is not done twice".to_owned());
    }
    lines
}

/// Says what helps after a backfill that left something.
pub(super) fn after_backfill(report: &Report, dir: &Path) -> Vec<String> {
    let dir = dir.display();
    if report.missing_ids > 0 {
        let again = "run the same command again: what is stored is not fetched twice";
        vec![format!("next: {again}; coltape repair {dir} --from OTHER_DIR takes what REST does not have from another box's tape")]
    } else {
        after_repair(report, Path::new(&dir.to_string()), true)
    }
}

/// Says what helps where `verify` found ids missing.
pub(super) fn after_verify(missing: u64, dir: &Path) -> Option<String> {
    let dir = dir.display();
    (missing > 0).then(|| {
        format!(
            "next: coltape repair {dir} fetches the {missing} missing ids from REST; with --from OTHER_DIR first from another box's tape"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_left_has_a_command_that_helps_and_nothing_left_has_none() {
        let dir = Path::new("/data");
        for (missing_ids, disagreements, failures) in
            [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)]
        {
            let report = Report { missing_ids, disagreements, failures: vec![String::new(); failures], ..Report::default() };
            for lines in [after_repair(&report, dir, true), after_repair(&report, dir, false), after_backfill(&report, dir)] {
                assert_eq!(lines.is_empty(), report.is_whole(), "{lines:?}");
                assert!(lines.iter().all(|line| line.starts_with("next: ")));
            }
            assert_eq!(after_verify(missing_ids, dir).is_some(), missing_ids > 0);
        }
        let missing = Report { missing_ids: 3, ..Report::default() };
        assert!(after_repair(&missing, dir, false)[0].contains("coltape repair /data without --no-rest"));
        assert!(after_repair(&missing, dir, true)[0].contains("coltape repair /data --from OTHER_DIR"));
    }
}
