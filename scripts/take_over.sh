#!/usr/bin/env bash
# Take-over and reload under load: 20 products with 1000 trades a second each. New captures take over from one another with --take-over, and a product is
# added by SIGHUP. Then every field is compared with the simulator's ledger: nothing may be lost, doubled, or stored without its order ids.
# usage: scripts/take_over.sh [--rate 1000] [--products 20] [--times 3] [--feed exchange|advanced] [--lines 1] [--seed 1] [--profile release|dev] [--keep]
# LINES: redundant connections of each capture. REST is not used, so that nothing else can supply a trade. Exit 1 on any difference.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
rate=1000 products=20 times=3 feed=exchange lines=1 seed=1 profile=release keep=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$self"; exit 0 ;;
    --rate) rate=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --times) times=$2; shift 2 ;;
    --feed) feed=$2; shift 2 ;;
    --lines) lines=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --profile "$profile"
target=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")
coltape=$target/coltape

dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-take-over.XXXXXX")
simulator='' capture='' next=''
finish() {
  for pid in $simulator $capture $next; do kill "$pid" 2>/dev/null || true; done
  if [[ -z $keep ]]; then rm -rf "$dir"; else echo "kept: $dir"; fi
}
trap finish EXIT
text() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$1"; }
figure() { sed -n "s/^{\"figure\":\"$1\",\"value\":\(.*\)}$/\1/p" "$2"; }
await() { # WHAT PID COMMAND...
  local what=$1 pid=$2
  shift 2
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then return 0; fi
    kill -0 "$pid" 2>/dev/null || { echo "not there any more: $what" >&2; return 1; }
    sleep 0.05
  done
  echo "not in time: $what" >&2
  return 1
}

# The last product is listed in the middle of the run. It is the one that SIGHUP adds.
"$coltape" simulate --feed "$feed" --products $((products + 1)) --rate "$rate" --linger 600s --seed "$seed" --faults "list@5s" \
  --duration $((10 + 8 * times))s --ledger "$dir/ledger.jsonl" >"$dir/simulate.out" 2>"$dir/simulate.err" &
simulator=$!
await "the simulator" $simulator grep -q '"websocket_url"' "$dir/simulate.out"
head -n 1 "$dir/simulate.out" >"$dir/endpoints.json"
sed -n 's/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/endpoints.json" | tr -d '"' | tr ',' '\n' >"$dir/all.txt"
head -n "$products" "$dir/all.txt" >"$dir/products.txt"

start() { # NUMBER: its process id is in $! afterwards
  RUST_LOG=${RUST_LOG:-info} "$coltape" capture --feed "$feed" --lines "$lines" --products-file "$dir/products.txt" --data-dir "$dir/data" --take-over --no-backfill \
    --url "$(text "$dir/endpoints.json" websocket_url)" --report "$dir/report.$1" >"$dir/capture.$1.out" 2>"$dir/capture.$1.err" &
}
holds() { [[ $(cat "$dir/data/_coltape/lock" 2>/dev/null) == "$1" ]]; }
has_added() { grep -q "\"event\":\"product_added\",\"product\":\"$(tail -n 1 "$dir/all.txt")\"" "$dir"/data/_coltape/journal.*.jsonl; }

failed=0
start 0
capture=$!
await "the first capture" $capture holds $capture
for ((number = 1; number <= times; number++)); do
  sleep 4
  began=$(date +%s.%N)
  start "$number"
  next=$!
  await "take-over $number" $next holds $next
  printf 'take-over %s: %.1f s\n' "$number" "$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')"
  status=0
  wait $capture || status=$?
  if ((status)); then echo "the capture before take-over $number ended with $status" >&2; cat "$dir/capture.$((number - 1)).err" >&2; failed=1; fi
  capture=$next next=
  if ((number == 1)); then
    cp "$dir/all.txt" "$dir/products.txt"
    kill -HUP $capture
    await "the reload" $capture has_added
  fi
done
await "the market's end" $simulator grep -q '"trades_produced"' "$dir/simulate.out"
sleep 1
kill -TERM $capture
status=0
wait $capture || status=$?
capture=
if ((status)); then echo "the last capture ended with $status" >&2; cat "$dir/capture.$times.err" >&2; failed=1; fi
kill -TERM $simulator
wait $simulator
simulator=
"$coltape" verify "$dir/data" --ledger "$dir/ledger.jsonl" >"$dir/verify.out" || failed=1
"$coltape" verify "$dir/data" --ledger "$dir/ledger.jsonl" --json >"$dir/verify.json" || failed=1
cat "$dir/verify.out"
for ((number = 0; number <= times; number++)); do
  for name in sums_hold:1 trades_shed:0 tickers_shed:0 losses:0; do
    value=$(figure "${name%:*}" "$dir/report.$number")
    if ! awk -v v="${value:-nan}" -v w="${name#*:}" 'BEGIN { exit !(v + 0 == w) }'; then
      echo "capture $number: ${name%:*} is ${value:-not reported}, and should be ${name#*:}" >&2
      failed=1
    fi
  done
done
if [[ $feed == exchange ]] && ! grep -q '"without_order_ids":0' "$dir/verify.json"; then
  echo "trades without order ids" >&2
  failed=1
fi
((failed)) || echo "nothing lost, nothing doubled, nothing without its order ids, in $times take-overs and a reload"
exit $failed
