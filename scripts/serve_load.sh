#!/usr/bin/env bash
# Measures clients that get trades live, and the capture beside them: how long after its receipt by the capture, which is before its commit, each trade reaches
# its reader, and what the capture stores with and without them. One more client never reads, and must be cut off. Fails above 20 ms for one trade in a hundred,
# or where the capture stores 5 % less. Clients are WebSockets, or event streams (--events). The trades come evenly; with --bursts 40 % of those of each second
# come in 40 ms, and the time of arrival is only printed.
# usage: scripts/serve_load.sh [--clients 200] [--rate 10000] [--seconds 20] [--events] [--bursts]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
clients=200 rate=10000 seconds=20 events=0 bursts=0
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --clients) clients=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --events) events=1; shift ;;
    --bursts) bursts=1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
export COLTAPE_SERVE_CLIENTS=$clients COLTAPE_SERVE_RATE=$rate COLTAPE_SERVE_SECONDS=$seconds COLTAPE_SERVE_EVENTS=$events COLTAPE_SERVE_BURSTS=$bursts
cargo test --locked --release --test serve -- --ignored --exact --nocapture \
  coinbase::load::hundreds_of_clients_get_each_trade_soon_and_the_capture_beside_them_loses_nothing
