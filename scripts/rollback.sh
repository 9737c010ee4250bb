#!/usr/bin/env bash
# The way back to tickers only: removes the sealed days of the TRADES folders of a data directory. Live days, tickers and everything else stay.
# usage: rollback.sh [--dry-run] [--yes] [DIR]     --dry-run: only list them; --yes: do not ask; DIR: else $COLTAPE_DATA_DIR
# First start the capture again with `--datasets md`: this refuses while one runs that records trades. Removed trades are gone: copy or export them before.
# `coltape verify` names the days afterwards, as the journal says that they were sealed.
set -euo pipefail
self=$(realpath "$0")
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,5s/^# //p' "$self"; exit 0; fi
fail() { printf 'error: %s\n' "$*" >&2; exit "${code:-1}"; }

dry='' yes='' dir=''
while (($#)); do
  case $1 in
    --dry-run) dry=1 ;;
    --yes) yes=1 ;;
    --data-dir) dir=${2:-}; shift || true ;;
    --data-dir=*) dir=${1#*=} ;;
    -*) code=2 fail "$1 is no option; --help lists them" ;;
    *) [[ -z $dir ]] || code=2 fail "one directory at a time"; dir=$1 ;;
  esac
  shift || true
done
dir=${dir:-${COLTAPE_DATA_DIR:-}}
[[ -n $dir ]] || code=2 fail "name the data directory"
[[ -d $dir ]] || fail "$dir: no such directory"
coltape=${COLTAPE:-}
for candidate in /usr/local/bin/coltape "$(dirname "$self")/../target/release/coltape" "$(dirname "$self")/../target/debug/coltape"; do
  [[ -n $coltape || ! -x $candidate ]] || coltape=$candidate
done
[[ -n $coltape ]] || fail "the program is not here: COLTAPE=/path/to/coltape $0 …"

# Nobody may begin to write while this removes. A capture of tickers may go on.
exec 9<"$dir"
if ! flock --nonblock 9; then
  pid=$("$coltape" status "$dir" --json 2>/dev/null | sed -n 's/^.*"pid":\([0-9]*\).*$/\1/p' || true)
  mapfile -d '' -t words <"/proc/${pid:-none}/cmdline" 2>/dev/null || words=()
  # An option that stands twice adds to itself.
  datasets=()
  for ((at = 1; at < ${#words[@]}; at++)); do
    case ${words[at]} in --datasets) datasets+=("${words[at + 1]:-}") ;; --datasets=*) datasets+=("${words[at]#*=}") ;; esac
  done
  [[ ${datasets[*]} =~ ^md(\ md)*$ ]] || fail "process ${pid:-?} writes to $dir, and not only tickers: start the capture again with --datasets md"
fi

# Every day is read: one that is damaged, or that waits for late trades, is left alone.
found=$(mktemp)
trap 'rm -f "$found"' EXIT
"$coltape" verify "$dir" --json >"$found" || (($? == 1)) || fail "the directory cannot be verified"
days=()
while read -r product date verdict state late; do
  if [[ $state == sealed && $late == 0 && $verdict != unverifiable ]]; then days+=("$product $date"); fi
done < <(sed -n 's/^{"line":"day","product":"\([^"]*\)","date":"\([^"]*\)","verdict":"\([^"]*\)".*"trades":{"state":"\([a-z]*\)"[^}]*"late":\([0-9]*\)[,}].*$/\1 \2 \3 \4 \5/p' "$found")
if ((${#days[@]} == 0)); then echo "no sealed day of trades in $dir"; exit 0; fi

files=() bytes=0
for day in "${days[@]}"; do
  read -r product date <<<"$day"
  IFS=- read -r year month number <<<"$date"
  own=()
  for file in "$dir/$product/TRADES/"*".$date.bin" "$dir/$product/TRADES/"*".$number.$month.${year:2}.bin"; do
    if [[ -f $file ]]; then own+=("$file"); fi
  done
  size=$(stat -c '%b %B' "${own[@]}" | awk '{ sum += $1 * $2 } END { printf "%d", sum }')
  echo "$product $date: ${#own[@]} files, $size bytes"
  files+=("${own[@]}"); ((bytes += size)) || true
done
echo "${#days[@]} sealed days of trades, $bytes bytes"
if [[ -n $dry ]]; then echo "nothing is removed (--dry-run)"; exit 0; fi
if [[ -z $yes ]]; then
  read -r -p "Remove them for good? Type yes: " answer || answer=
  [[ $answer == yes ]] || fail "nothing is removed"
fi
printf '%s\0' "${files[@]}" | xargs -0 rm -f --
for day in "${days[@]}"; do rmdir "$dir/${day% *}/TRADES" 2>/dev/null || true; done
sync -f "$dir"
echo "removed"
