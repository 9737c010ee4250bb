#!/usr/bin/env bash
# The long form of what the tests of serving do in short, of a release build: 20 kills of server and capture while a replay goes over into live under 20 000
# trades/s, three boxes in a chain that hold the same at that rate, and 10 000 connections in turn that leave nothing behind. Takes some minutes.
# usage: scripts/serve_long.sh [--kills 20] [--rate 20000] [--seconds 60] [--connections 10000]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
kills=20 rate=20000 seconds=60 connections=10000
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,4s/^# //p' "$self"; exit 0 ;;
    --kills) kills=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
export COLTAPE_SERVE_KILLS=$kills COLTAPE_SERVE_RATE=$rate COLTAPE_SERVE_SECONDS=$seconds COLTAPE_SERVE_CONNECTIONS=$connections
for test in coinbase::captured::kills_of_either_side_leave_no_gap_and_no_double_while_a_replay_goes_over_into_live \
  coinbase::captured::three_boxes_in_a_chain_hold_the_same_while_the_first_one_still_records \
  hostile::thousands_of_connections_in_turn_leave_nothing_behind; do
  cargo test --locked --release --test serve -- --exact --nocapture "$test"
done
