#!/usr/bin/env bash
# Measures what readers cost the writer: its median throughput at 100 000 records a second over 15 alternating pairs of runs, with a reader in Rust and
# scripts/coltape.py beside it, and without. Exits with 1 where it falls by 5 % or more.   usage: scripts/readers.sh [PAIRS] [--profile release]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi
pairs=15
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then pairs=$1; shift; fi
scripts/setup.sh
scripts/setup_python.sh
COLTAPE_READER_PAIRS=$pairs cargo test --locked "$@" --test tape -- --ignored --exact --nocapture python::load::readers_cost_the_writer_less_than_a_twentieth
