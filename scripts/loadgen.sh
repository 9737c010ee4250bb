#!/usr/bin/env bash
# Load run: runs the simulator and a capture side by side on this machine, then compares every field with the simulator's ledger.
# usage: scripts/loadgen.sh [--rate 1000] [--products 20] [--seconds 60] [--feed exchange|advanced] [--seed 1]
#                           [--profile release|dev] [--only-loss] [--dir DIR] [--keep]
# Prints asked and reached rate, stored, lost, doubled, lag, append and flush, CPU and memory. Exit 1 on any loss, where a figure is above its
# limit, or where the generator reached less than 95 % of the asked rate. --only-loss: prints figures and judges none but losses.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
rate=1000 products=20 seconds=60 feed=exchange seed=1 profile=release dir= keep= only_loss=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,7s/^# //p' "$self"; exit 0 ;;
    --rate) rate=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --feed) feed=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    --only-loss) only_loss=1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
# scripts/test.sh has built it with the tests.
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --profile "$profile"
target=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")
coltape=$target/coltape

made=
if [[ -z $dir ]]; then dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-load.XXXXXX"); made=1; fi
mkdir -p "$dir"
# The ledger is the generator's business: it must not be flushed to the disk whose flushes are measured.
ledger=$dir/ledger.jsonl
if [[ -z $keep && -w /dev/shm ]]; then ledger=$(mktemp /dev/shm/coltape-ledger.XXXXXX); fi
simulator='' capture=''
finish() {
  for pid in $simulator $capture; do kill "$pid" 2>/dev/null || true; done
  [[ $ledger == "$dir"/* ]] || rm -f "$ledger"
  if [[ -n $made && -z $keep ]]; then rm -rf "$dir"; else echo "kept: $dir"; fi
}
trap finish EXIT

# The figure NAME of a report of one {"figure":…,"value":…} a line.
figure() { sed -n "s/^{\"figure\":\"$1\",\"value\":\(.*\)}$/\1/p" "$dir/report.jsonl"; }
# The number KEY of a one-line JSON object in FILE.
number() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1"; }
text() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$1"; }
await() { # FILE PATTERN PID
  for ((i = 0; i < 600; i++)); do
    if grep -q "$2" "$1" 2>/dev/null; then return 0; fi
    kill -0 "$3" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

# What others have left to be written is not this run's to flush.
sync
"$coltape" simulate --feed "$feed" --products "$products" --rate "$rate" --duration "${seconds}s" --linger 120s --seed "$seed" \
  --ledger "$ledger" >"$dir/simulate.out" 2>"$dir/simulate.err" &
simulator=$!
await "$dir/simulate.out" '"websocket_url"' $simulator || { cat "$dir/simulate.err" >&2; exit 1; }
head -n 1 "$dir/simulate.out" >"$dir/endpoints.json"
names=$(sed -n 's/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/endpoints.json" | tr -d '"' | tr ',' '\n')
printf '%s\n' "$names" >"$dir/products.txt"

RUST_LOG=${RUST_LOG:-warn} "$coltape" capture --feed "$feed" --products-file "$dir/products.txt" --data-dir "$dir/data" \
  --url "$(text "$dir/endpoints.json" websocket_url)" --rest-url "$(text "$dir/endpoints.json" rest_url)" \
  --report "$dir/report.jsonl" >"$dir/capture.out" 2>"$dir/capture.err" &
capture=$!
until grep -q '"trades_produced"' "$dir/simulate.out"; do
  kill -0 $simulator 2>/dev/null || { cat "$dir/simulate.err" >&2; exit 1; }
  kill -0 $capture 2>/dev/null || { cat "$dir/capture.err" >&2; exit 1; }
  sleep 0.1
done
# Everything has left the simulator; what is on the way is read before the capture ends.
status=0
kill -TERM $capture
wait $capture || status=$?
capture=
kill -TERM $simulator
wait $simulator
simulator=
cat "$dir/capture.err" >&2
tail -n 1 "$dir/simulate.out" >"$dir/totals.json"

verified=0
"$coltape" verify "$dir/data" --ledger "$ledger" >"$dir/verify.out" || verified=1

reached=$(number "$dir/totals.json" reached_rate)
failed=0
# TEXT VALUE WORD LIMIT [judged]: holds a figure against its limit.
judge() {
  local mark=ok
  if ! awk -v v="${2:-nan}" -v w="$3" -v l="$4" 'BEGIN { exit !(v + 0 == v && (w == "most" ? v <= l : v >= l)) }'; then
    if [[ -n $only_loss && -n ${5:-} ]]; then mark="missed (not judged)"; else mark=MISSED; failed=1; fi
  fi
  printf '  %-44s %14s  at %-5s %-12s %s\n' "$1" "${2:-none}" "$3" "$4" "$mark"
}
hold() { judge "$1" "$2" most "$3"; }
least() { judge "$1" "$2" least "$3"; }
timed() { judge "$1" "$2" most "$3" timed; }
asked=$(awk -v r="$rate" -v p="$products" 'BEGIN { print r * p }')
echo "load: $feed feed, $products products at $rate trades/s each, $seconds s, seed $seed, $profile build"
judge "trades/s reached (asked $asked)" "$reached" least "$(awk -v a="$asked" 'BEGIN { print a * 0.95 }')" timed
least "capture ended well" "$(figure good)" 1
least "every frame and record counted once" "$(figure sums_hold)" 1
hold "trades never sent" "$(number "$dir/totals.json" trades_never_sent)" 0
hold "trades shed" "$(figure trades_shed)" 0
hold "tickers shed" "$(figure tickers_shed)" 0
hold "connections lost" "$(figure losses)" 0
hold "trade ids missing" "$(figure missing_ids)" 0
if ((products <= 20)); then flush_limit=100; else flush_limit=1000; fi
timed "longest append to commit, ms" "$(figure append_max_ms)" 100
timed "longest flush cycle, ms" "$(figure flush_max_ms)" $flush_limit
timed "lag p50, ms" "$(figure lag_p50_ms)" 1000
timed "lag p99, ms" "$(figure lag_p99_ms)" 1000
timed "lag max, ms" "$(figure lag_max_ms)" 1000
timed "trades on disk within, ms" "$(figure durable_max_ms)" 2000
hold "memory held at its peak, bytes" "$(figure memory_held_peak_bytes)" 2000000000
printf '  %-44s %14s\n' "memory held, slope in bytes/s" "$(figure memory_held_slope_bytes_per_s)"
printf '  %-44s %14s\n' "  anonymous, bytes" "$(figure memory_anonymous_peak_bytes)"
printf '  %-44s %14s\n' "  dirty mapped, bytes" "$(figure memory_dirty_peak_bytes)"
printf '  %-44s %14s\n' "page cache mapped, bytes" "$(figure memory_mapped_peak_bytes)"
printf '  %-44s %14s\n' "CPU of the capture, s" "$(figure cpu_s)"
printf '  %-44s %14s\n' "trades written" "$(figure trades_written)"
printf '  %-44s %14s\n' "tickers written" "$(figure tickers_written)"
cat "$dir/verify.out"
if ((status)); then echo "the capture ended with $status" >&2; failed=1; fi
if ((verified)); then echo "verify found a difference" >&2; failed=1; fi
exit $failed
