#!/usr/bin/env bash
# Measures how long the page takes for a frame that shows a million trades, in chromium without a graphics processor. Fails above 300 ms for one of 24 frames.
# usage: scripts/page_frames.sh
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi
(($# == 0)) || { echo "unknown option $1 (see --help)" >&2; exit 2; }
scripts/setup.sh
scripts/setup_browser.sh
command -v chromedriver >/dev/null || { echo "no chromedriver: install chromium and chromedriver" >&2; exit 1; }
cargo test --locked --release --test serve -- --ignored --exact --nocapture browser::frames::a_frame_of_a_million_trades_takes_less_than_300_ms
