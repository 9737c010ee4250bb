#!/usr/bin/env bash
# Months on a box: a capture whose clock and market go 24 times as fast as time, with a midnight, lost connections and gaps on the way; then another one of
# ten days, 2400 times as fast. Samples memory, descriptors, maps, journal and log. Of the first run it fits a line over the last 80 % (anonymous memory: from
# the first midnight on), of the second one it judges what is left of each day. At the end every trade is compared with the exchange's ledger.
# usage: scripts/months.sh [--minutes 60] [--products 100] [--pace 24] [--rate 300] [--days 10]      RATE: trades a second, over all products together
# Exit 1 where anything grew beyond the noise, or a trade is lost, doubled or altered. The run is kept then, and its folder named. --days 0: one run.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
minutes=60 products=100 pace=24 rate=300 days=10
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --minutes) minutes=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --pace) pace=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --days) days=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
run() { # MINUTES PACE
  COLTAPE_MONTHS_MINUTES=$1 COLTAPE_MONTHS_PRODUCTS=$products COLTAPE_MONTHS_PACE=$2 COLTAPE_MONTHS_RATE=$rate \
    cargo test --locked --test endurance -- --nocapture months::what_a_capture_holds
}
run "$minutes" "$pace"
if ((days)); then run "$(awk -v d="$days" 'BEGIN { print d * 1440 / 2400 }')" 2400; fi
