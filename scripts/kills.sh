#!/usr/bin/env bash
# kill -9 proof: kills a recording capture at random moments, starts it again, and compares everything with the exchange's ledger.
# usage: scripts/kills.sh [KILLS]      200 kills take some minutes. COLTAPE_SEED repeats a run, COLTAPE_KILLS_RATE sets trades/s a product (300).
# Fails if anything is lost, doubled or altered, or if a kind of kill (start, load, seal, replace, roll-over) did not happen.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,4s/^# //p' "$self"; exit 0; fi
scripts/setup.sh
COLTAPE_KILLS=${1:-200} COLTAPE_KILLS_RATE=${COLTAPE_KILLS_RATE:-300} cargo test --locked --test endurance -- --nocapture kills::
