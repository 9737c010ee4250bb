#!/usr/bin/env bash
# Makes the pictures of the page that the README shows, from a simulated market, with chromium.
# usage: scripts/page_picture.sh [DIR]     writes DIR/page-light.png and DIR/page-dark.png (default: src/guide/pictures)
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi
to=${1:-src/guide/pictures}
scripts/setup_browser.sh
command -v chromedriver >/dev/null || { echo "no chromedriver: install chromium and chromedriver" >&2; exit 1; }
dir=$(mktemp -d)
demo='' driver=''
trap 'for pid in $driver $demo; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$dir"' EXIT

TMPDIR=$dir scripts/capture.sh --demo --serve >"$dir/demo.out" &
demo=$!
chromedriver --port=0 >"$dir/driver.out" 2>&1 &
driver=$!
await() { # SECONDS COMMAND...
  local left=$(($1 * 10))
  shift
  until "$@"; do
    ((left-- > 0)) || { cat "$dir/demo.out" "$dir/driver.out" >&2; echo "not in time: $*" >&2; exit 1; }
    sleep 0.1
  done
}
await 600 grep -q '^The page is at' "$dir/demo.out"
await 30 grep -q 'successfully on port' "$dir/driver.out"
page=$(sed -n 's/^The page is at  //p' "$dir/demo.out")
driver_url=http://127.0.0.1:$(sed -n 's/.*successfully on port \([0-9]*\).*/\1/p' "$dir/driver.out")

call() { # PATH JSON
  curl -sS -f -H 'Content-Type: application/json' -d "$2" "$driver_url$1"
}
session=$(call /session '{"capabilities":{"alwaysMatch":{"browserName":"chrome","goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage","--hide-scrollbars"]}}}}' |
  sed 's/.*"sessionId":"\([^"]*\)".*/\1/')
call "/session/$session/goog/cdp/execute" '{"cmd":"Emulation.setDeviceMetricsOverride","params":{"width":1360,"height":1180,"deviceScaleFactor":1.5,"mobile":false}}' >/dev/null
holds() { # EXPRESSION
  call "/session/$session/execute/sync" "{\"script\":\"return Boolean($1)\",\"args\":[]}" | grep -q '"value":true'
}
# A gap is part of the picture, and some market around it.
product=
has_gap() {
  product=$(curl -sS "${page}v1/products?format=jsonl" | sed -n 's/^{"product":"\([^"]*\)".*"trades":[0-9]\{4,\}.*"missing_ids":[1-9].*/\1/p' | head -n 1)
  [[ -n $product ]]
}
await 180 has_gap
mkdir -p "$to"
for theme in light dark; do
  call "/session/$session/url" "{\"url\":\"$page?product=$product&span=300&theme=$theme\"}" >/dev/null
  await 30 holds "document.getElementById('cover').hidden && document.getElementById('chart').dataset.gaps !== '0' && Number(document.getElementById('chart').dataset.trades) > 1000 && document.getElementById('rate').textContent !== '–'"
  # A trade is chosen, and a day is pointed at, so that the picture shows what they say.
  call "/session/$session/execute/sync" "{\"script\":\"document.querySelector('#tape tr:nth-child(5) button').click(); document.querySelector('#coverage button').focus({ preventScroll: true })\",\"args\":[]}" >/dev/null
  await 30 holds "document.querySelector('#trade .facts')"
  curl -sS -f "$driver_url/session/$session/screenshot" | sed 's/.*"value":"\([^"]*\)".*/\1/' | base64 -d >"$to/page-$theme.png"
  echo "$to/page-$theme.png"
done
curl -sS -X DELETE "$driver_url/session/$session" >/dev/null
