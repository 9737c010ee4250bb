#!/usr/bin/env bash
# Measures the program beside other designs and prints one table: the machine, each figure's median and quartiles, and whether each target is met.
# usage: scripts/bench.sh [--rounds 9] [--only PART] [--dir DIR]
# The designs run in turns in every round, so that a slow moment of the machine meets all of them; ratios are taken within a round. PART is a piece
# of a contest's name ("parse", "write: full", "pipeline: 400"). DIR is where files are written. It should be on a disk: in memory they look too fast.
# 9 rounds take about half an hour; --rounds 3 gives an idea in ten minutes. Exit 1 where a measured target is not met.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
rounds=9 only=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --rounds) rounds=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --dir) export COLTAPE_BENCH_DIR=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
rustc --version
git log -1 --format='commit: %h of %cs' 2>/dev/null || true
cargo bench --locked --bench tape -- rounds "$rounds" "$only"
