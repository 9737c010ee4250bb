#!/usr/bin/env bash
# Holds `verify` against 10 000 tapes made by chance: each whole first, then damaged in one way. It must say of each what can be shown, and never call
# a damaged one whole. What answers about a market (candles, stats, exports) call whole is held against it, for all time, days and ranges by chance.
# COLTAPE_TAPES sets how many, COLTAPE_SEED the first one's seed (printed); a failure names its seed and kind (COLTAPE_KIND).
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,4s/^# //p' "$0"; exit 0; fi
cd "$(dirname "$0")/.."
COLTAPE_TAPES=${COLTAPE_TAPES:-10000} cargo test --locked --test tape -- --nocapture verify_tapes::
