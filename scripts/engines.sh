#!/usr/bin/env bash
# Holds exports against the programs that they are for: makes a simulated tape with gaps, exports it in four formats, and lets hftbacktest 2.4 and
# nautilus_trader 1.231 load theirs (counts, sides, exact sums, every field), Spark 4.3 and ClickHouse (chdb) compute the VWAP of each minute on the
# Parquet data set and compare it with `coltape candles`. Prints one line a check; exit 1 where one differs. Not part of CI: it installs 1 GB of packages.
# usage: scripts/engines.sh [--seconds 90] [--rate 100] [--feed exchange|advanced] [--seed 1] [--profile dev|release] [--keep]
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
seconds=90 rate=100 feed=exchange seed=1 profile=dev keep=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,5s/^# //p' "$self"; exit 0 ;;
    --seconds) seconds=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --feed) feed=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --profile) profile=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
scripts/setup.sh

# The packages, in an environment of their own. nautilus_trader wants Python 3.12, Spark wants Java 17.
pins=(nautilus_trader==1.231.0 hftbacktest==2.4.4 pyspark==4.3.0 chdb==4.4.0)
venv=$PWD/target/venv-engines
if [[ $(cat "$venv/pins" 2>/dev/null) != "${pins[*]}" ]]; then
  for python in python3.13 python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23]*/bin/python; do
    if command -v "$python" >/dev/null && "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
    python=
  done
  [[ -n $python ]] || { echo "Python 3.12 or newer is missing (Debian 13 has it)" >&2; exit 1; }
  echo "making target/venv-engines: ${pins[*]}" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet "${pins[@]}" >&2
  echo "${pins[*]}" >"$venv/pins"
fi
if ! command -v java >/dev/null; then
  if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq default-jre-headless >&2
  else
    echo "Java is missing: run  sudo apt-get install default-jre-headless" >&2
    exit 1
  fi
fi

cargo build --locked --profile "$profile"
coltape=${CARGO_TARGET_DIR:-target}/$([[ $profile == dev ]] && echo debug || echo "$profile")/coltape
dir=$(mktemp -d "${TMPDIR:-/tmp}/coltape-engines.XXXXXX")
simulator='' capture=''
finish() {
  for pid in $simulator $capture; do kill "$pid" 2>/dev/null || true; done
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

# Trades that are lost on the way come by REST, without a receive time; others come late and out of order. The last seconds are calm.
"$coltape" simulate --feed "$feed" --products 3 --rate "$rate" --duration "${seconds}s" --linger 60s --seed "$seed" \
  --faults "drop=0.01,reorder=0.02,delay:300ms=0.01,calm@$((seconds - 5))s" >"$dir/simulate.out" 2>"$dir/simulate.err" &
simulator=$!
await "$dir/simulate.out" '"websocket_url"' $simulator || { cat "$dir/simulate.err" >&2; exit 1; }
head -n 1 "$dir/simulate.out" >"$dir/endpoints.json"
names=$(sed -n 's/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/endpoints.json" | tr -d '"' | tr ',' ' ')
# shellcheck disable=SC2086 # one word a product
RUST_LOG=${RUST_LOG:-warn} "$coltape" capture --feed "$feed" $names --data-dir "$dir/tape" --url "$(text "$dir/endpoints.json" websocket_url)" \
  --rest-url "$(text "$dir/endpoints.json" rest_url)" >"$dir/capture.out" 2>"$dir/capture.err" &
capture=$!
echo "recording $names for $seconds s" >&2
await "$dir/simulate.out" '"trades_produced"' $simulator || { cat "$dir/simulate.err" >&2; exit 1; }
kill -TERM $capture
wait $capture || { cat "$dir/capture.err" >&2; exit 1; }

for format in parquet tardis-csv nautilus hftbacktest; do
  "$coltape" export --data-dir "$dir/tape" --out "$dir/exports/$format" --format "$format"
done
"$venv/bin/python" -W ignore scripts/engines.py "$coltape" "$dir/tape" "$dir/exports" 2>"$dir/engines.err" || { tail -n 40 "$dir/engines.err" >&2; exit 1; }

# The block for Spark in the guide, as a reader would run it.
mkdir "$dir/guide"
ln -s "$dir/exports/parquet" "$dir/guide/export"
sed -n '/^# run by scripts\/engines.sh/,/^```/p' src/guide/reading.md | grep -v '^```' >"$dir/guide/block.py"
(cd "$dir/guide" && "$venv/bin/python" block.py 2>>"$dir/engines.err") | grep '| *vwap|' >/dev/null || { tail -n 40 "$dir/engines.err" >&2; exit 1; }
echo "guide       Spark: its block prints the VWAP of each minute"
