#!/usr/bin/env bash
# Holds messages read by the shapes that came before against the parser: generated, spoiled and recorded frames of both feeds, 100 000 000 of them.
# Exit 1 at the first frame of which the two ways give anything different.   usage: scripts/shapes.sh [--frames 100000000] [--seed 1]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
frames=100000000 seed=1
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,3s/^# //p' "$self"; exit 0 ;;
    --frames) frames=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
COLTAPE_SHAPE_FRAMES=$frames COLTAPE_SHAPE_SEED=$seed cargo test --locked --release --test feed -- --nocapture shapes::
