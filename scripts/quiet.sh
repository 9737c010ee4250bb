#!/usr/bin/env bash
# Measures what hundreds of quiet products cost: CPU, memory, page cache and bytes written to the device, each beside its limit.
# usage: scripts/quiet.sh [--products 400] [--seconds 60] [--rate 1] [--bursts] [--reader] [--beside PROGRAM [--rounds 3]]
# The messages of the products are spread evenly over the second; with --bursts they come as those of real products do. --reader: something reads whole
# files at the same time. --beside: PROGRAM, a coltape built from another commit, captures in turns with this one; the CPU of both is printed, and no limit
# is judged.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
products=400 seconds=60 rate=1 reader='' spread=--spread beside='' rounds=3
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --products) products=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --reader) reader=1; shift ;;
    --bursts) spread=''; shift ;;
    --beside) beside=$(realpath "$2"); shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
command -v fincore >/dev/null || { echo "fincore (util-linux) is missing" >&2; exit 2; }
scripts/setup.sh
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --release
coltape=${CARGO_TARGET_DIR:-target}/release/coltape
dir=$(mktemp -d "${COLTAPE_BENCH_DIR:-.}/quiet.XXXXXX")
simulator='' capture='' reading=''
trap 'kill $simulator $capture $reading 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
written() { awk '/^write_bytes/ { print $2 }' "/proc/$capture/io"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$capture/stat"; }

# Has PROGRAM capture the market, and sets cpu (ticks) and io (bytes) to what it used within the seconds that are measured.
measure() { # PROGRAM
  rm -rf "$dir/data" "$dir/ends"
  "$coltape" simulate --products "$products" --rate "$rate" $spread --duration "$((seconds + 20))s" >"$dir/ends" 2>/dev/null & simulator=$!
  until [[ -s $dir/ends ]]; do sleep 0.1; done
  local url
  url=$(grep -o '"websocket_url":"[^"]*' "$dir/ends" | cut -d'"' -f4)
  grep -o '"products":\[[^]]*' "$dir/ends" | grep -oE '[A-Z0-9]+-[A-Z]+' >"$dir/list"
  sync
  RUST_LOG=warn "$1" capture --products-file "$dir/list" --url "$url" --data-dir "$dir/data" --report "$dir/report" >/dev/null 2>"$dir/log" & capture=$!
  sleep 10 # All connections stand: one a second.
  if [[ -n $reader ]]; then (while :; do cat "$dir"/data/*/*/*.bin >/dev/null 2>&1 || true; sleep 1; done) & reading=$!; fi
  cpu=$(ticks) io=$(written)
  sleep "$seconds"
  cpu=$(($(ticks) - cpu)) io=$(($(written) - io))
  anonymous=$(awk '/^Anonymous/ { sum += $2 } END { print sum * 1024 }' "/proc/$capture/smaps_rollup")
  cached=$(find "$dir/data" -name '*.bin' -print0 | xargs -0 fincore --bytes --noheadings --output RES | awk '{ sum += $1 } END { print sum }')
  files=$(find "$dir/data" -name '*.bin' ! -name 'commit.*' ! -name 'late.*' | wc -l)
  [[ -z $reading ]] || kill "$reading"
  kill -TERM "$capture"; wait "$capture" || { cat "$dir/log" >&2; exit 1; }
  kill "$simulator" 2>/dev/null || true; wait "$simulator" 2>/dev/null || true
  capture='' simulator='' reading=''
}

if [[ -n $beside ]]; then
  for ((round = 1; round <= rounds; round++)); do
    measure "$coltape"; own=$cpu
    measure "$beside"
    awk -v own="$own" -v other="$cpu" -v hz="$(getconf CLK_TCK)" -v s="$seconds" -v load="$(cut -d' ' -f1 /proc/loadavg)" \
      'BEGIN { printf "CPU, of one core: %.2f %%; beside it %.2f %%: %.2f times (load %s)\n", own / hz / s * 100, other / hz / s * 100, own / other, load }'
  done
  exit 0
fi
measure "$coltape"
held=$(find "$dir/data" -name '*.bin' ! -name 'commit.*' ! -name 'late.*' -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
awk -v cpu="$cpu" -v hz="$(getconf CLK_TCK)" -v s="$seconds" -v anon="$anonymous" -v cached="$cached" -v held="$held" -v files="$files" -v io="$io" -v total="$((seconds + 10))" -v products="$products" '
  BEGIN {
    fresh = held * s / total
    share = cpu / hz / s * 100; bad += share > 5
    printf "%-44s %10.1f %%   (at most 5)\n", "CPU, of one core", share
    limit = 300000 * products
    printf "%-44s %10.1f MB  (at most %.1f)\n", "anonymous memory", anon / 1e6, limit / 1e6; bad += anon > limit
    limit = 3 * held + files * 262144
    printf "%-44s %10.1f MB  (at most %.1f)\n", "page cache of the files", cached / 1e6, limit / 1e6; bad += cached > limit
    limit = 4 * fresh + files * 4096 * s
    printf "%-44s %10.1f MB  (at most %.1f)\n", "written to the device", io / 1e6, limit / 1e6; bad += io > limit
    printf "%-44s %10.1f MB\n", "stored meanwhile", fresh / 1e6
    exit bad > 0
  }'
