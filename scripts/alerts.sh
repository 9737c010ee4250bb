#!/usr/bin/env bash
# Alerts: provokes every alert and takes its cause away, and has a real Prometheus check rules, metrics and dashboard against a running capture.
# usage: scripts/alerts.sh [--seconds 20] [--products 20] [--rate 200] [--profile dev|release] [--only tests|prometheus]
# Fetches Prometheus from Debian into target/prometheus where none is installed. Exit 1 where an alert did not fire and clear, or a query has no data.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seconds=20 products=20 rate=200 profile=dev only=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,4s/^# //p' "$self"; exit 0 ;;
    --seconds) seconds=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh
box=scripts/box
dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-alerts.XXXXXX")
simulator='' capture='' prometheus=''
finish() {
  for pid in $simulator $capture $prometheus; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT
step() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# Prometheus and promtool: those that are installed, else Debian's package, unpacked without its service.
tools() {
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
  local own=$PWD/target/prometheus
  if [[ ! -x $own/usr/bin/promtool ]]; then
    command -v apt-get >/dev/null || fail "prometheus and promtool are missing: install them from https://prometheus.io/download/"
    echo "fetching Prometheus from Debian into target/prometheus" >&2
    mkdir -p "$own"
    (cd "$own" && { apt-get download prometheus >&2 || { apt-get update -qq >&2 && apt-get download prometheus >&2; }; } && dpkg-deb -x prometheus_*.deb .)
  fi
  PATH=$own/usr/bin:$PATH
}
tools

step "rules and configuration"
promtool check rules $box/alerts.yml
promtool check config $box/prometheus.yml
promtool test rules $box/alerts_test.yml

if [[ $only != prometheus ]]; then
  step "every alert fires and clears"
  kinds=$(awk '/^\| alert \| what has happened/ { on = 1; getline; next } on && !/^\|/ { exit } on { gsub(/`/, "", $2); print $2 }' src/guide/operating.md)
  export COLTAPE_ALERTS_SEEN=$dir/seen
  : >"$COLTAPE_ALERTS_SEEN"
  cargo test --locked --profile "$profile" --test tape -- --include-ignored --nocapture capture::alerts:: \
    capture::fetching::a_rest_that_fails capture::clock::a_clock_that_is_set 2>&1 | tee "$dir/tests.log"
  missing=0
  for kind in $kinds; do
    if grep -qx "$kind" "$COLTAPE_ALERTS_SEEN"; then printf '  %-28s fired and cleared\n' "$kind"; else printf '  %-28s NOT SEEN\n' "$kind"; missing=1; fi
  done
  ((missing == 0)) || fail "not every alert was seen to fire and to clear"
  [[ $only != tests ]] || exit 0
fi

step "a capture under load, scraped by Prometheus once a second for $seconds s"
[[ -n "${COLTAPE_IS_BUILT:-}" ]] || cargo build --locked --profile "$profile"
coltape=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")/coltape
await() { # SECONDS COMMAND...: waits until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@"; do ((SECONDS < end)) || return 1; sleep 0.2; done
}
"$coltape" simulate --products "$products" --rate "$rate" --linger 600s >"$dir/ends" 2>/dev/null & simulator=$!
await 60 test -s "$dir/ends" || fail "the simulator does not start"
text() { grep -o "\"$1\":\"[^\"]*" "$dir/ends" | cut -d'"' -f4; }
grep -o '"products":\[[^]]*' "$dir/ends" | grep -oE '[A-Z0-9]+-[A-Z]+' >"$dir/list"
RUST_LOG=info "$coltape" capture --products-file "$dir/list" --url "$(text websocket_url)" --rest-url "$(text rest_url)" --data-dir "$dir/data" --force-fs \
  --listen 127.0.0.1:0 --alert-hold 2s --alert-connection 1s >"$dir/out" 2>"$dir/log" & capture=$!
address() { grep -oE 'http://127\.0\.0\.1:[0-9]+' "$dir/log" 2>/dev/null | head -n 1; }
has_address() { [[ -n $(address) ]]; }
await 60 has_address || { cat "$dir/log" >&2; fail "the capture does not listen"; }
url=$(address)
get() { curl -fsS --max-time 10 "$url$1"; }
ready() { get /readyz >"$dir/ready" 2>/dev/null; }
await 60 ready || { curl -sS "$url/readyz" >&2; fail "the capture is not ready"; }
echo "ready: $(cat "$dir/ready")"
get /metrics >"$dir/metrics"
promtool check metrics <"$dir/metrics"
sed -e 's/scrape_interval: 15s/scrape_interval: 1s/' -e 's/evaluation_interval: 15s/evaluation_interval: 1s/' -e "s/127.0.0.1:9464/${url#http://}/" \
  $box/prometheus.yml >"$dir/prometheus.yml"
# The rules as they are, but for the patience of the one that is waited for.
sed -e 's/for: 5m/for: 5s/' $box/alerts.yml >"$dir/alerts.yml"
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" --web.listen-address=127.0.0.1:0 >"$dir/prometheus.log" 2>&1 & prometheus=$!
# The port that it was given stands in the table of sockets alone.
port() { ss -tlnpH 2>/dev/null | grep "pid=$prometheus," | grep -oE '127\.0\.0\.1:[0-9]+' | head -n 1; }
has_port() { [[ -n $(port) ]]; }
await 60 has_port || { cat "$dir/prometheus.log" >&2; fail "Prometheus does not listen"; }
api=http://$(port)/api/v1
cpu() { awk '{ print $14 + $15 }' "/proc/$capture/stat"; }
began=$(cpu)
sleep "$seconds"
used=$(($(cpu) - began))
get /metrics | awk -v used="$used" -v hz="$(getconf CLK_TCK)" -v s="$seconds" '
  /^coltape_cpu_seconds_total / { all = $2 }
  /^coltape_metrics_cpu_seconds_total / { pages = $2 }
  END {
    printf "CPU of the capture: %.2f s in %d s; of all its CPU the figures took %.2f %% (at most 2)\n", used / hz, s, 100 * pages / all
    exit !(pages / all <= 0.02)
  }' || fail "the figures cost too much"

step "every query of the dashboard has data"
python3 - "$api" $box/dashboard.json <<'PY'
import json, sys, urllib.parse, urllib.request
api, path = sys.argv[1:]
queries = [target["expr"] for panel in json.load(open(path))["panels"] for target in panel.get("targets", [])]
assert len(queries) > 40, len(queries)
empty = []
for query in queries:
    asked = query.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$product", ".*")
    with urllib.request.urlopen(f"{api}/query?" + urllib.parse.urlencode({"query": asked})) as answer:
        if not json.load(answer)["data"]["result"]:
            empty.append(query)
print(f"{len(queries)} queries, {len(empty)} without data")
sys.exit("\n".join(empty) if empty else 0)
PY

step "an alert of the capture reaches Prometheus, and so does its end"
firing() { curl -fsS "$api/alerts" | grep -q "\"kind\":\"$1\"[^}]*},\"annotations\":{[^}]*},\"state\":\"firing\""; }
calm() { ! firing "$1"; }
kill -STOP "$simulator"
await 90 firing connection_lost || { curl -fsS "$api/alerts" >&2; fail "Prometheus was not told of the lost connection"; }
echo "firing: connection_lost"
get /readyz >/dev/null 2>&1 && fail "a capture without a connection says that it is ready"
curl -sS "$url/readyz"
kill -CONT "$simulator"
await 90 calm connection_lost || fail "the alert does not end"
echo "over: connection_lost"
gone() { curl -fsS "$api/alerts" | grep -q '"alertname":"ColtapeDown"'; }
kill -TERM "$capture"
wait "$capture" || true
capture=''
await 60 gone || fail "Prometheus does not notice that the capture is gone"
printf '\nall alerts and queries hold\n'
