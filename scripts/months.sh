#!/usr/bin/env bash
# Months on a box: a capture whose clock and market go 24 times as fast as time, with a midnight, lost connections and gaps on the way. Samples anonymous
# memory, descriptors, maps, journal and log, and fits a line over the last 80 %. At the end every trade is compared with the exchange's ledger.
# usage: scripts/months.sh [--minutes 60] [--products 100] [--pace 24] [--rate 300]      RATE: trades a second, over all products together
# Exit 1 where anything grew beyond the noise, or a trade is lost, doubled or altered. The run is kept then, and its folder named.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
minutes=60 products=100 pace=24 rate=300
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$self"; exit 0 ;;
    --minutes) minutes=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --pace) pace=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
COLTAPE_MONTHS_MINUTES=$minutes COLTAPE_MONTHS_PRODUCTS=$products COLTAPE_MONTHS_PACE=$pace COLTAPE_MONTHS_RATE=$rate \
  cargo test --locked --test endurance -- --nocapture months::what_a_capture_holds
