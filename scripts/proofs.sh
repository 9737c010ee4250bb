#!/usr/bin/env bash
# Runs the long versions of the random proofs, most of an hour: 100 000 crash images, 5 000 000 junk frames, 10 000 tapes for `verify`, 5000 pairs of
# tapes for `repair`, every kind of fault on both feeds, a long outage, 200 kills, 20 power cuts.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi
scripts/setup.sh
COLTAPE_CRASH_IMAGES=${COLTAPE_CRASH_IMAGES:-100000} cargo test --locked --test store -- --nocapture crash_images::
COLTAPE_JUNK_FRAMES=${COLTAPE_JUNK_FRAMES:-5000000} cargo test --locked --test tape -- --nocapture absurd::
scripts/verify_tapes.sh
COLTAPE_TAPE_PAIRS=${COLTAPE_TAPE_PAIRS:-5000} cargo test --locked --test tape -- --nocapture repair::union::
scripts/faults.sh
scripts/faults.sh --feed advanced
scripts/outage.sh
scripts/kills.sh
scripts/powercut.sh
