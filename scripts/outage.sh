#!/usr/bin/env bash
# Outage: 10 products at 100 trades a second miss ten minutes at once. REST must supply all of it, at 8 requests a second, within two minutes, while
# live trades become visible within a second of their arrival.
# usage: scripts/outage.sh [--seconds 600] [--rate 100] [--profile dev|release]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seconds=600 rate=100 profile=dev
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,4s/^# //p' "$self"; exit 0 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
export COLTAPE_OUTAGE_PRODUCTS=10 COLTAPE_OUTAGE_SECONDS=$seconds COLTAPE_OUTAGE_RATE=$rate COLTAPE_OUTAGE_WITHIN=120
cargo test --locked --profile "$profile" --test endurance -- --exact --nocapture faults::outage::an_outage_is_filled_while_live_trades_flow
