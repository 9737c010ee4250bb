#!/usr/bin/env bash
# Holds a served tape against clients of the exchange that others wrote: records a simulated market, serves it, and compares what they get with the tape.
# ccxt: REST trades, candles, ticker, and trades over its WebSocket. cryptofeed: trades over the Advanced Trade protocol. Prints one line a check; exit 1
# where one differs. The simulated market goes on while they read, so a replay goes over into live. Not part of the tests: it installs 100 MB of packages.
# usage: scripts/clients.sh [--seconds 20] [--rate 200] [--seed 1] [--profile dev|release] [--keep]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seconds=20 rate=200 seed=1 profile=dev keep=
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
[[ -n ${COLTAPE_IS_BUILT:-} ]] || cargo build --locked --profile "$profile"
coltape=$PWD/target/$([[ $profile == dev ]] && echo debug || echo "$profile")/coltape

# The packages, in an environment of their own, with those that they need.
pins=(ccxt==4.5.90 cryptofeed==2.4.1)
venv=$PWD/target/venv-clients
if [[ $(cat "$venv/pins" 2>/dev/null) != "${pins[*]}" ]]; then
  command -v python3 >/dev/null || { echo "Python 3.11 or newer is missing: run  sudo apt-get install python3 python3-venv" >&2; exit 1; }
  echo "making target/venv-clients: ${pins[*]}" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet "${pins[@]}" >&2
  echo "${pins[*]}" >"$venv/pins"
fi

work=$(mktemp -d)
ids=()
finish() {
  for id in "${ids[@]}"; do kill "$id" 2>/dev/null || true; done
  wait
  if [[ -n $keep ]]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT
# Waits for the line that a program prints when it is ready, and gives a field of it.
field() {
  for _ in $(seq 300); do
    if [[ -s $1 ]]; then head -1 "$1" | sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p"; return; fi
    sleep 0.1
  done
  echo "nothing in $1" >&2
  return 1
}

product=BTC-USD status=0
for feed in exchange advanced; do
  data=$work/$feed
  "$coltape" simulate --feed "$feed" --rate "$rate" --duration "${seconds}s" --linger 120s --seed "$seed" >"$data.simulate" & ids+=($!)
  websocket=$(field "$data.simulate" websocket_url) rest=$(field "$data.simulate" rest_url)
  "$coltape" capture "$product" --feed "$feed" --url "$websocket" --rest-url "$rest" --data-dir "$data" >"$data.report" 2>"$data.log" & ids+=($!)
  capture=$!
  for _ in $(seq 300); do [[ -d $data/$product/TRADES ]] && break; sleep 0.1; done
  "$coltape" serve "$data" --listen 127.0.0.1:0 >"$data.serve" & ids+=($!)
  url=$(field "$data.serve" http_url)
  sleep "$((seconds + 3))" # the market is over by then
  kill "$capture"
  wait "$capture" || true
  "$coltape" query "$product" --format jsonl --columns trade_id,event_time,trade_price_f64,trade_size_f64,trade_side --data-dir "$data" >"$data.jsonl"
  echo "== $feed feed: $(wc -l <"$data.jsonl") trades"
  "$venv/bin/python" -W ignore scripts/clients.py "$url" "$data.jsonl" "$product" 2020-01-01 || status=1
done
exit "$status"
