#!/usr/bin/env bash
# Scaling beyond one box: four captures record overlapping products of one market, each loses other trades, one is killed. Their tapes are put together,
# exported into one data set, and DuckDB reads it as one table: no trade is missing, none is there twice, every one is in the simulator's ledger. So does
# Spark, where scripts/engines.sh has set it up. Prints one line a check; exit 1 where one fails.
# usage: scripts/scaling.sh [--seconds 12] [--rate 60] [--seed 1] [--profile dev|release] [--keep]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seconds=12 rate=60 seed=1 profile=dev keep=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$self"; exit 0 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
scripts/setup_python.sh
# scripts/test.sh has built it with the tests.
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --profile "$profile"
coltape=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")/coltape
export RUST_LOG=${RUST_LOG:-warn}
dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-scaling.XXXXXX")
simulator=''
boxes=()
finish() {
  for pid in $simulator "${boxes[@]}"; do kill "$pid" 2>/dev/null || true; done
  if [[ -z $keep ]]; then rm -rf "$dir"; else echo "kept: $dir"; fi
}
trap finish EXIT
text() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$1"; }
await() { # FILE PATTERN PID
  until grep -q "$2" "$1" 2>/dev/null; do
    kill -0 "$3" 2>/dev/null || return 1
    sleep 0.1
  done
}

# Each connection loses frames of its own. The last seconds are calm.
"$coltape" simulate --products BTC-USD,ETH-USD,SOL-USD,XRP-USD --rate "$rate" --duration "${seconds}s" --linger 120s --seed "$seed" \
  --faults "lose=0.02,calm@$((seconds - 3))s" --ledger "$dir/ledger.jsonl" >"$dir/simulate.out" 2>"$dir/simulate.err" &
simulator=$!
await "$dir/simulate.out" '"websocket_url"' $simulator || { cat "$dir/simulate.err" >&2; exit 1; }
head -n 1 "$dir/simulate.out" >"$dir/endpoints.json"
url=$(text "$dir/endpoints.json" websocket_url) rest=$(text "$dir/endpoints.json" rest_url)

# Four boxes, each product on two of them. None asks REST while it records: what it loses stays lost to it.
box() { # NAME PRODUCT...
  "$coltape" capture "${@:2}" --data-dir "$dir/$1" --url "$url" --no-backfill --force-fs >"$dir/$1.out" 2>"$dir/$1.err" &
  boxes+=($!)
}
box box1 BTC-USD ETH-USD
box box2 ETH-USD SOL-USD
box box3 SOL-USD XRP-USD
box box4 XRP-USD BTC-USD
echo "four boxes record four products for $seconds s" >&2
until [[ -s $dir/box3/SOL-USD/TRADES/$(cd "$dir/box3/SOL-USD/TRADES" 2>/dev/null && ls | grep '^trade_id' | tail -n 1) ]]; do sleep 0.2; done
sleep $((seconds / 2))
kill -KILL "${boxes[2]}"
{ wait "${boxes[2]}"; } 2>/dev/null || true
echo "boxes       box3 was killed (SIGKILL) halfway"
await "$dir/simulate.out" '"trades_produced"' $simulator || { cat "$dir/simulate.err" >&2; exit 1; }
for box in 0 1 3; do
  kill -TERM "${boxes[box]}"
  wait "${boxes[box]}" || true # 1: ids are missing, as they must be here
done
boxes=()

# What one box has lost another has; what both have lost REST has.
missing=0
for box in box1 box2 box3 box4; do
  # 1: ids are missing, which is the point.
  "$coltape" verify "$dir/$box" --json >"$dir/$box.json" 2>"$dir/$box.err" || true
  lost=$(sed -n 's/.*"line":"day".*"missing_ids":\([0-9]*\).*/\1/p' "$dir/$box.json" | awk '{ sum += $1 } END { print sum + 0 }')
  echo "boxes       $box lacks $lost trades between those that it has"
  missing=$((missing + lost))
done
((missing > 0)) || { echo "no box has lost a trade: nothing is shown" >&2; exit 1; }
"$coltape" repair "$dir/merged" --from "$dir/box1" --from "$dir/box2" --from "$dir/box3" --from "$dir/box4" --rest-url "$rest" --force-fs >"$dir/repair.out" \
  || { cat "$dir/repair.out" >&2; exit 1; }
"$coltape" verify "$dir/merged" >"$dir/verify.out" || { cat "$dir/verify.out" >&2; exit 1; }
echo "merged      verify holds: no id is missing"
"$coltape" export --data-dir "$dir/merged" --out "$dir/lake" 2>"$dir/export.err" || { cat "$dir/export.err" >&2; exit 1; }
target/venv/bin/python scripts/scaling.py "$dir/lake" "$dir/ledger.jsonl"
if [[ -x target/venv-engines/bin/python ]]; then
  target/venv-engines/bin/python -W ignore scripts/scaling.py "$dir/lake" "$dir/ledger.jsonl" --spark 2>"$dir/spark.err" || { tail -n 40 "$dir/spark.err" >&2; exit 1; }
else
  echo "Spark       skipped: scripts/engines.sh sets it up"
fi
