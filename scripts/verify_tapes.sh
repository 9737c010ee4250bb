#!/usr/bin/env bash
# Holds `verify` against 10 000 tapes made by chance: each whole first, then damaged in one way. It must say of each what can be shown, and never call
# a damaged one whole. COLTAPE_TAPES sets how many, COLTAPE_SEED the first one's seed (printed); a failure names its seed and kind (COLTAPE_KIND).
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$0"; exit 0; fi
cd "$(dirname "$0")/.."
COLTAPE_TAPES=${COLTAPE_TAPES:-10000} cargo test --locked --test tape -- --nocapture verify_tapes::
