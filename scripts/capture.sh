#!/usr/bin/env bash
# Starts a capture: checks the machine, builds if need be, and records until it is told to stop.
# usage: scripts/capture.sh [PRODUCT...] [any option of `coltape capture`]     (BTC-USD if nothing is named)
#        scripts/capture.sh --demo      shows everything on this machine, without internet, in a few minutes
#        scripts/capture.sh --demo --serve      a simulated market, its capture, and the page on which to see both, until Ctrl-C
# Records to --data-dir, else $COLTAPE_DATA_DIR, else /mnt/md/data if that exists, else ./data. Paths are relative to the project's directory.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,6s/^# //p' "$self"; exit 0; fi
say() { printf '%s\n' "$*"; }

check_machine() { # DIR
  local probe=$1
  while [[ ! -e $probe ]]; do probe=$(dirname "$probe"); done
  local free kind files maps
  free=$(df -P -B1 "$probe" | awk 'NR == 2 { printf "%.1f", $4 / 1e9 }')
  kind=$(stat -f -c %T "$probe")
  files=$(ulimit -n)
  maps=$(cat /proc/sys/vm/max_map_count 2>/dev/null || echo unknown)
  say "machine: $(nproc) cores, $kind with $free GB free, $files descriptors, $maps maps"
  case $kind in ext2/ext3|ext4|xfs|tmpfs) ;; *) say "  note: $kind is not known to survive a full disk; capture asks for --force-fs there" ;; esac
  if awk -v f="$free" 'BEGIN { exit !(f < 10) }'; then say "  note: less than 10 GB free"; fi
  if [[ $files != unlimited ]] && ((files < 4096)); then say "  note: few descriptors; 'ulimit -n 65536' before a capture of hundreds of products"; fi
  if [[ $maps != unknown ]] && ((maps < 65530)); then say "  note: few maps; 'sysctl vm.max_map_count=262144' before a capture of hundreds of products"; fi
  # Event times are held against this clock: one that is wrong by more than an hour would refuse real trades.
  if command -v timedatectl >/dev/null && [[ $(timedatectl show -p NTPSynchronized --value 2>/dev/null) == no ]]; then
    say "  note: the clock is not synchronised (timedatectl); receive times would be wrong"
  fi
}

demo() {
  local dir log
  dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-demo.XXXXXX")
  demo_dir=$dir simulator='' capture=''
  trap 'for pid in $simulator $capture; do kill "$pid" 2>/dev/null || true; done' EXIT
  log=$dir/log
  say "1. Building (a fast build; the real thing is built with --release)"
  scripts/setup.sh
  # scripts/test.sh has built it with the tests.
  [[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked
  local coltape=${CARGO_TARGET_DIR:-target}/debug/coltape
  check_machine "$dir"

  say ""
  say "2. A local Coinbase starts: 3 products, 50 trades a second each, tickers, 10 seconds; one trade in a hundred is dropped, its connection is reset once"
  $coltape simulate --products 3 --rate 50 --duration 10s --linger 60s --seed 7 --faults drop=0.01,reset@5s --ledger "$dir/ledger.jsonl" >"$dir/simulate.out" 2>"$log" &
  simulator=$!
  local waited=0
  until grep -q '"websocket_url"' "$dir/simulate.out" 2>/dev/null; do
    kill -0 $simulator 2>/dev/null && ((waited++ < 600)) || { cat "$log" >&2; exit 1; }
    sleep 0.05
  done
  head -n 1 "$dir/simulate.out"
  local url rest names
  url=$(sed -n '1s/.*"websocket_url":"\([^"]*\)".*/\1/p' "$dir/simulate.out")
  rest=$(sed -n '1s/.*"rest_url":"\([^"]*\)".*/\1/p' "$dir/simulate.out")
  names=$(sed -n '1s/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/simulate.out" | tr -d '"' | tr ',' ' ')

  say ""
  say "3. coltape records it: coltape capture $names"
  # shellcheck disable=SC2086  # names are several words
  RUST_LOG=${RUST_LOG:-info} $coltape capture $names --force-fs --data-dir "$dir/data" --url "$url" --rest-url "$rest" --report "$dir/report.jsonl" \
    >"$dir/capture.out" 2> >(tee "$dir/capture.err" >&2) &
  capture=$!
  until grep -q '"trades_produced"' "$dir/simulate.out"; do
    kill -0 $simulator 2>/dev/null || { cat "$log" >&2; exit 1; }
    kill -0 $capture 2>/dev/null || { say "the capture ended before its time" >&2; exit 1; }
    sleep 0.1
  done
  say "   the market is over; SIGTERM: drain, fetch what is still missing, flush, seal"
  kill -TERM $capture; wait $capture; capture=
  kill -TERM $simulator; wait $simulator; simulator=
  cat "$dir/capture.out"
  grep -q '"figure":"good","value":1}' "$dir/report.jsonl"

  say ""
  say "4. Proof: every field of every trade and ticker held against the simulator's own ledger"
  $coltape verify "$dir/data" --ledger "$dir/ledger.jsonl"

  say ""
  say "5. The last trades, each with the bid and ask it left"
  local first=${names%% *}
  $coltape query "$first" --data-dir "$dir/data" --dataset md --tail 8 --columns trade_id,price_f64,volume_f64,side,best_bid_f64,best_ask_f64
  [[ $($coltape query "$first" --data-dir "$dir/data" --tail 8 --format csv | wc -l) == 9 ]]

  say ""
  say "6. The files are bare arrays; numpy reads them as they are"
  local file
  file=$(ls "$dir/data/$first/TRADES"/trade_price_f64.*.bin | tail -n 1)
  local line="import numpy; p = numpy.fromfile('$file', '<f8'); print(len(p), 'prices, last', p[-1])"
  say "   python3 -c \"$line\""
  if command -v python3 >/dev/null && python3 -c 'import numpy' 2>/dev/null; then python3 -c "$line"; else say "   (numpy is not installed here)"; fi
  [[ -s $file ]]

  say ""
  say "The demo holds. Its files stay in $dir. To record for real, type:"
  say "   scripts/capture.sh BTC-USD ETH-USD"
  say "and while it runs, in another terminal:"
  say "   target/release/coltape query BTC-USD --follow --data-dir DIR     (the directory that the launcher names)"
}

demo_serve() {
  local dir
  dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-demo.XXXXXX")
  simulator='' capture='' server=''
  trap 'for pid in $server $capture $simulator; do kill "$pid" 2>/dev/null || true; done; wait' EXIT
  trap 'exit 0' INT TERM
  scripts/setup.sh
  [[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked
  local coltape=${CARGO_TARGET_DIR:-target}/debug/coltape
  # Now and then the trades of one product are lost for two seconds. Nothing fetches them, so that the page shows gaps.
  local faults=stall-lost:2s@20s,stall-lost:2s@every:120s
  $coltape simulate --products 3 --rate 25 --seed 7 --faults "$faults" >"$dir/simulate.out" 2>"$dir/simulate.err" &
  simulator=$!
  await "$simulator" "$dir/simulate.err" grep -q '"websocket_url"' "$dir/simulate.out"
  local url names
  url=$(sed -n '1s/.*"websocket_url":"\([^"]*\)".*/\1/p' "$dir/simulate.out")
  names=$(sed -n '1s/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/simulate.out" | tr -d '"' | tr ',' ' ')
  # shellcheck disable=SC2086  # names are several words
  $coltape capture $names --force-fs --data-dir "$dir/data" --url "$url" --no-backfill >"$dir/capture.out" 2>"$dir/capture.err" &
  capture=$!
  await "$capture" "$dir/capture.err" test -d "$dir/data/${names%% *}/TRADES"
  $coltape serve "$dir/data" --listen "${COLTAPE_DEMO_LISTEN:-127.0.0.1:0}" >"$dir/serve.out" 2>"$dir/serve.err" &
  server=$!
  await "$server" "$dir/serve.err" grep -q '"http_url"' "$dir/serve.out"
  say ""
  say "The page is at  $(sed -n '1s/.*"http_url":"\([^"]*\)".*/\1/p' "$dir/serve.out")/"
  say "The market, its capture and the server run until Ctrl-C. What they say and store is in $dir."
  wait -n $simulator $capture $server || true
  say "one of them has ended: see $dir" >&2
  exit 1
}

await() { # PID LOG COMMAND...: waits until the command succeeds, as long as the process runs
  local pid=$1 log=$2 waited=0
  shift 2
  until "$@" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null && ((waited++ < 600)) || { cat "$log" >&2; exit 1; }
    sleep 0.05
  done
}

if [[ "${1:-}" == --demo && "${2:-}" == --serve ]]; then demo_serve; fi
if [[ "${1:-}" == --demo ]]; then demo; exit 0; fi

scripts/setup.sh
cargo build --locked --release
coltape=${CARGO_TARGET_DIR:-target}/release/coltape
dir=${COLTAPE_DATA_DIR:-}
is_named=
has_product=
value_of= # The option whose value the next word is.
for word in "$@"; do
  if [[ -n $value_of ]]; then
    if [[ $value_of == --data-dir ]]; then dir=$word is_named=1; fi
    value_of=
    continue
  fi
  case $word in
    --data-dir=*) dir=${word#*=} is_named=1 ;;
    --products-file=*|--all) has_product=1 ;;
    --products-file) has_product=1 value_of=$word ;;
    --*=*|--spin|--no-backfill|--force-fs|--take-over|-h|--help|-V|--version) ;;
    --*) value_of=$word ;;
    *) has_product=1 ;;
  esac
done
if [[ -z $dir ]]; then if [[ -d /mnt/md/data ]]; then dir=/mnt/md/data; else dir=./data; fi; fi
check_machine "$dir"
say "recording to $dir"
if [[ -z $is_named ]]; then set -- "$@" --data-dir "$dir"; fi
if [[ -z $has_product ]]; then set -- BTC-USD "$@"; fi
# Two heaps for all threads: each of sixteen would keep what its peak at a midnight needed.
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
exec "$coltape" capture "$@"
