#!/usr/bin/env bash
# What `capture --listen` costs: a capture of 400 products under load is scraped once a second, and then not, in turns. The processor time of its process in
# a window with scrapes is divided by that of the window beside it without. Prints the median of these ratios with its quartiles.
# usage: scripts/listen_cost.sh [--products 400] [--rate 5000] [--pairs 15] [--seconds 10] [--profile release|dev]      RATE: trades/s of all products
# Exit 1 where the median is above 1.02. The share of the threads that answer is printed beside it: it has no noise, and leaves out what they displace.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
products=400 rate=5000 pairs=15 seconds=10 profile=release
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$self"; exit 0 ;;
    --products) products=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --pairs) pairs=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --profile "$profile"
coltape=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")/coltape
dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-listen.XXXXXX")
simulator='' capture=''
finish() {
  for pid in $simulator $capture; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
await() { # SECONDS COMMAND...: waits until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@"; do ((SECONDS < end)) || return 1; sleep 0.2; done
}
"$coltape" simulate --products "$products" --rate "$(awk -v r="$rate" -v n="$products" 'BEGIN { print r / n }')" --linger 600s >"$dir/ends" 2>"$dir/simulate.log" &
simulator=$!
await 60 test -s "$dir/ends" || fail "the simulator does not start"
text() { head -n 1 "$dir/ends" | grep -o "\"$1\":\"[^\"]*" | cut -d'"' -f4; }
head -n 1 "$dir/ends" | grep -o '"products":\[[^]]*' | grep -oE '[A-Z0-9]+-[A-Z]+' >"$dir/list"
RUST_LOG=info "$coltape" capture --products-file "$dir/list" --url "$(text websocket_url)" --rest-url "$(text rest_url)" --data-dir "$dir/data" --force-fs \
  --listen 127.0.0.1:0 >"$dir/out" 2>"$dir/log" &
capture=$!
address() { grep -oE 'http://127\.0\.0\.1:[0-9]+' "$dir/log" 2>/dev/null | head -n 1; }
has_address() { [[ -n $(address) ]]; }
await 60 has_address || { cat "$dir/log" >&2; fail "the capture does not listen"; }
url=$(address)
ready() { curl -fsS --max-time 10 "$url/readyz" >"$dir/ready" 2>"$dir/why"; }
await 120 ready || { curl -sS "$url/readyz" >&2; fail "the capture is not ready"; }
curl -fsS "$url/metrics" >"$dir/metrics"
printf '%s products, %s trades/s; a page has %s bytes, %s lines\n' "$products" "$rate" "$(stat -c %s "$dir/metrics")" "$(wc -l <"$dir/metrics")"

ticks() { awk '{ print $14 + $15 }' "/proc/$capture/stat"; }
answering() { # nanoseconds that the threads that answer have run
  local task sum=0 ran rest
  for task in /proc/"$capture"/task/*; do
    if [[ $(<"$task/comm") == serve:* ]]; then read -r ran rest <"$task/schedstat"; sum=$((sum + ran)); fi
  done 2>/dev/null
  echo "$sum"
}
window() { # scraped|quiet: prints the ticks that the capture ran in a second
  local before second began=$EPOCHREALTIME
  before=$(ticks)
  for ((second = 0; second < seconds; second++)); do
    if [[ $1 == scraped ]]; then curl -fsS --max-time 10 -o "$dir/page" "$url/metrics"; fi
    sleep 1
  done
  # A window with scrapes lasts a little longer.
  awk -v used=$(($(ticks) - before)) -v began="$began" -v ended="$EPOCHREALTIME" 'BEGIN { print used / (ended - began) }'
}
window quiet >/dev/null
: >"$dir/pairs"
served=0
for ((pair = 0; pair < pairs; pair++)); do
  # Each comes first in every other pair, so that what changes slowly favours neither.
  if ((pair % 2)); then quiet=$(window quiet); fi
  before=$(answering)
  scraped=$(window scraped)
  served=$((served + $(answering) - before))
  if ((pair % 2 == 0)); then quiet=$(window quiet); fi
  echo "$scraped $quiet" >>"$dir/pairs"
done
kill -0 "$capture" 2>/dev/null || { cat "$dir/log" >&2; fail "the capture has ended"; }
status=0
awk -v hz="$(getconf CLK_TCK)" -v served="$served" -v s="$seconds" '
  { ratio[NR] = $1 / $2; scraped += $1; quiet += $2 }
  function quantile(q,   at, low) { at = 1 + (NR - 1) * q; low = int(at); return low == NR ? ratio[NR] : ratio[low] + (at - low) * (ratio[low + 1] - ratio[low]) }
  END {
    for (i = 2; i <= NR; i++) for (j = i; j > 1 && ratio[j - 1] > ratio[j]; j--) { t = ratio[j]; ratio[j] = ratio[j - 1]; ratio[j - 1] = t }
    printf "CPU of the capture: %.1f %% of a processor scraped, %.1f %% not; %d pairs of %d s\n", 100 * scraped / hz / NR, 100 * quiet / hz / NR, NR, s
    printf "threads that answer: %.2f ms a scrape, %.2f %% of the CPU\n", served / 1e6 / NR / s, 100 * served / 1e9 / (scraped / hz * s)
    printf "scraped / not: median %.4f, quartiles %.4f to %.4f (at most 1.02)\n", quantile(0.5), quantile(0.25), quantile(0.75)
    exit quantile(0.5) > 1.02
  }' "$dir/pairs" || status=1
exit $status
