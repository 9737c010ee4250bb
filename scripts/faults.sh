#!/usr/bin/env bash
# Faults: 20 products through a simulator that does everything to them that can go wrong, every kind so many times; then every field of every
# trade held against its ledger, and the journal's gaps against what was not sent. Prints kind, asked, came, and what became of the trades it struck.
# usage: scripts/faults.sh [--seed 1] [--times 20] [--minutes 6] [--feed exchange|advanced] [--profile dev|release]
# A connection is opened once a second at most: 20 times want 6 minutes. Exit 1 on anything missing, doubled or altered, and on a kind that did not come.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=1 times=20 minutes=6 feed=exchange profile=dev
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
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
