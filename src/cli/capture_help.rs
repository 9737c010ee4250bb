//! The end of the help of `coltape capture`: an example, the alerts, the exit codes.

use crate::capture::report::alert_kind::AlertKind;

/// Gives the text.
pub(super) fn capture_help() -> String {
    let width = AlertKind::ALL.iter().map(|kind| kind.name().len()).max().unwrap_or(0);
    let alerts: Vec<String> = AlertKind::ALL.iter().map(|kind| format!("  {:width$}  {}", kind.name(), kind.meaning())).collect();
    format!(
        "Example:\n  coltape capture BTC-USD ETH-USD --data-dir /mnt/md/data\n\n\
        Ctrl-C or SIGTERM: drain, flush, seal, end. A second one: exit at once; the next start recovers.\n\n\
        Alerts, in the log, the journal, the status and the metrics (raised once, logged again each minute while they stand, cleared once; the figures \
        are the defaults of the options above, the guide to operating has the remedies):\n{}\n\n\
        Exit 0: the run has done its work. Exit 1: it failed, or left something undone: nothing connected, every product refused, nothing \
        of what came stored, ids missing, conflicts, or no connection at the end. The last lines say what, and which command helps. \
        Exit 2: the command line is wrong.",
        alerts.join("\n")
    )
}
