#!/usr/bin/env bash
# Says why the capture's service has ended, and runs /etc/coltape/on-failure if there is such a program. The units of systemd call it.
# usage: ended.sh ended|failed     ended: after every end, silent where it was in order; failed: it is not started again
# /etc/coltape/on-failure is given the same word, and in the environment SERVICE_RESULT, EXIT_CODE and EXIT_STATUS (systemd.exec(5)).
set -euo pipefail
self=$(realpath "$0")
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,4s/^# //p' "$self"; exit 0; fi
what=${1:?ended or failed}
hook=${COLTAPE_ON_FAILURE:-/etc/coltape/on-failure}
if [[ $what == ended && ${SERVICE_RESULT:-success} == success ]]; then exit 0; fi
case $what in
  ended) echo "coltape ended: ${SERVICE_RESULT}, ${EXIT_CODE:-?} ${EXIT_STATUS:-?}; systemd starts it again, unless it was stopped" >&2 ;;
  failed) echo "coltape failed and is not started again: journalctl -u coltape says why; coltape doctor says what to change" >&2 ;;
  *) echo "usage: ended.sh ended|failed" >&2; exit 2 ;;
esac
if [[ -x $hook ]]; then exec "$hook" "$what"; fi
