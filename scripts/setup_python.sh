#!/usr/bin/env bash
# Makes the Python environment of the tests: target/venv with the packages of scripts/requirements.txt, DuckDB 2 in target/venv/duckdb2.
# Does nothing if it is there and the pins have not changed. Installs Python on Debian (as root, with apt-get) where it is missing.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi

duckdb_2="duckdb==2.0.1"
pins=scripts/requirements.txt
venv=$PWD/target/venv
# The pins, this script and the folder: an environment that was moved does not work.
want=$(cat "$pins" "$self" <(echo "$venv") | sha256sum | cut -d' ' -f1)

mkdir -p target
exec 9>target/venv.lock
flock 9 # of two runs at once the second finds the work done
if [[ -x $venv/bin/python && $(cat "$venv/pins.sha256" 2>/dev/null) == "$want" ]]; then exit 0; fi

can_make() { command -v "$1" >/dev/null && "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
if ! can_make python3; then
  if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing python3 and python3-venv" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv >&2
  fi
  can_make python3 || { echo "Python 3.11 or newer with venv is missing: run  sudo apt-get install python3 python3-venv" >&2; exit 1; }
fi

echo "making target/venv: $(grep -c '==' "$pins") packages, and $duckdb_2" >&2
rm -rf "$venv"
python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" >&2; }
pip install --quiet --no-deps --only-binary :all: --requirement "$pins"
pip check
pip install --quiet --no-deps --only-binary :all: --target "$venv/duckdb2" "$duckdb_2"
echo "$want" >"$venv/pins.sha256"
