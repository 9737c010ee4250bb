#!/usr/bin/env bash
# Faults: records 20 products from a simulator that makes every kind of fault so many times. Then compares every field of every trade with the
# simulator's ledger, and the journal's gaps with what was not sent. Prints for each kind how often it was asked for, how often it came, and what became
# of its trades.
# usage: scripts/faults.sh [--seed 1] [--times 20] [--minutes 6] [--feed exchange|advanced] [--profile dev|release]
# A connection is opened once a second at most, so 20 times need 6 minutes. Exit 1 where anything is missing, doubled or altered, or a kind did not come.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seed=1 times=20 minutes=6 feed=exchange profile=dev
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --seed) seed=$2; shift 2 ;;
    --times) times=$2; shift 2 ;;
    --minutes) minutes=$2; shift 2 ;;
    --feed) feed=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
export COLTAPE_FAULT_SEED=$seed COLTAPE_FAULT_TIMES=$times COLTAPE_FAULT_FEED=$feed
COLTAPE_FAULT_SECONDS=$(awk -v m="$minutes" 'BEGIN { print int(m * 60) }')
export COLTAPE_FAULT_SECONDS
cargo test --locked --profile "$profile" --test endurance -- --exact --nocapture faults::every_kind::nothing_is_lost_whatever_goes_wrong
