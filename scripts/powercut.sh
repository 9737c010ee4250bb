#!/usr/bin/env bash
# Power cuts on a real, journalled file system: mounts and recovers, again and again, what the device held at a random moment under load.
# usage: scripts/powercut.sh [N] [--rate 300] [--products 3] [--seed S] [--keep]      (20 cuts; about 4 s each; needs root and loop devices)
# A cut: the script records what the live pages promise, stops all writes to the device at once, copies its backing file, and lets writes go on. It
# mounts the copy (the journal is replayed), reads it, recovers it with a new capture, and compares it with the simulator's ledger: nothing torn, doubled,
# altered or invented, nothing less than was promised, at most two flush cycles lost. Gaps and late records come from the simulator's faults.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
cuts=20 rate=300 products=3 seed=$RANDOM keep=
while (($#)); do
  case "$1" in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --rate) rate=$2; shift 2 ;;
    --products) products=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    [0-9]*) cuts=$1; shift ;;
    *) echo "unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
done
skip() { echo "skipped: $*"; exit 0; }
[[ $EUID == 0 ]] || skip "a file system can only be mounted by root"
for tool in mkfs.ext4 losetup fsfreeze mount; do command -v $tool >/dev/null || skip "$tool is missing"; done
coltape=${COLTAPE:-}
if [[ -z $coltape ]]; then
  scripts/setup.sh
  cargo build --locked
  coltape=${CARGO_TARGET_DIR:-target}/debug/coltape
fi

RANDOM=$((seed % 32768))
place=${TMPDIR:-/tmp}
[[ -w /dev/shm ]] && place=/dev/shm
dir=$(mktemp -d "$place/coltape-powercut.XXXXXX")
simulator='' capture='' frozen=''
finish() {
  if [[ -n $frozen ]]; then fsfreeze -u "$dir/below" || true; fi
  for pid in $capture $simulator; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for point in "$dir/copy" "$dir/disk" "$dir/below"; do if mountpoint -q "$point"; then umount "$point" || umount -l "$point"; fi; done
  if [[ -n $keep ]]; then echo "kept: $dir"; else rm -rf "$dir"; fi
}
trap finish EXIT

# The device under test lies in a file of a file system of its own, so that freezing that one holds up every write to it at one moment.
mkdir "$dir/below" "$dir/disk" "$dir/copy"
truncate -s 700M "$dir/below.img"
mkfs.ext4 -q -F -O ^has_journal "$dir/below.img" && mount -o loop,noatime "$dir/below.img" "$dir/below" 2>/dev/null || skip "no loop device can be mounted here"
truncate -s 400M "$dir/below/device"
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$dir/below/device"
mount -o loop "$dir/below/device" "$dir/disk"

ledger=$dir/ledger.jsonl
"$coltape" simulate --products "$products" --rate "$rate" --duration 1h --linger 1h --seed "$seed" --ledger "$ledger" \
  --faults drop=0.01,reorder=0.03,delay:300ms=0.02,duplicate=0.01 >"$dir/simulate.out" 2>"$dir/simulate.err" &
simulator=$!
for ((i = 0; i < 600; i++)); do
  if grep -q '"websocket_url"' "$dir/simulate.out"; then break; fi
  kill -0 $simulator 2>/dev/null || { cat "$dir/simulate.err" >&2; exit 1; }
  sleep 0.05
done
url=$(sed -n '1s/.*"websocket_url":"\([^"]*\)".*/\1/p' "$dir/simulate.out")
names=$(sed -n '1s/.*"products":\[\([^]]*\)\].*/\1/p' "$dir/simulate.out" | tr -d '"' | tr ',' ' ')

cycle='--sync 500ms'
record() { # DIR [OPTION...]
  local to=$1; shift
  # shellcheck disable=SC2086  # names are several words
  RUST_LOG=warn "$coltape" capture $names --url "$url" --data-dir "$to" $cycle "$@"
}
start() {
  # shellcheck disable=SC2086
  RUST_LOG=warn "$coltape" capture $names --url "$url" --data-dir "$dir/disk/data" $cycle >"$dir/capture.out" 2>>"$dir/capture.err" &
  capture=$!
}
# The hot sector, both slots and the state of a page: committed · sequence generation late records (twice) · phase generation records.
page() { # FILE
  od -An -v -w4096 -tu4 -N 2068 "$1" | awk '{
    print $129 + $130 * 2^32, $257, $259, $260, $261 + $262 * 2^32, $385, $387, $388, $389 + $390 * 2^32, $513, $514, $515 + $516 * 2^32 }'
}
# What the pages of a directory say: NAME COMMITTED PROMISED LATE SEQUENCE GENERATION a line. The newest slot may not be on disk yet; the one before it is.
promises() { # DIR
  local path
  for path in "$1"/*/*/commit.*.bin; do
    [[ -e $path ]] || continue
    echo "${path#"$1"/} $(page "$path")"
  done | awk '{
    committed = $2; newest = $3 > $7 ? 3 : 7; older = newest == 3 ? 7 : 3
    # A slot of an earlier generation says nothing of the late records of now.
    promised = $older > 0 ? $(older + 3) : 0
    late = $older > 0 && $(older + 1) == $12 && $11 == 1 ? $(older + 2) : 0
    print $1, ($11 == 1 ? committed : $13), promised, late, $newest, $12 }'
}

failed=0
fail() { echo "  FAILED: $*"; failed=1; }
# STATUS OUT ERR: whether a capture ended as it should. It has no REST to fetch what the feed drops, so it may end with 1 for that, and for nothing else.
ended_well() {
  (($1 == 0)) && return
  (($1 == 1)) && grep -q '^sums hold' "$2" && ! grep -q '^error:' "$3" || return 1
  [[ $(sed -n '/^NOT COMPLETE:/,$p' "$2" | tail -n +2 | grep -cv ' trade ids are missing ') == 0 ]] && grep -q ' trade ids are missing ' "$2"
}
lost_most=0 promised_most=0 late_most=0
cut() { # NUMBER
  promises "$dir/disk/data" >"$dir/promised.$1"
  # Now: whatever has not been written to the device is lost.
  frozen=1; fsfreeze -f "$dir/below"
  cp --sparse=always "$dir/below/device" "$dir/device.$1"
  fsfreeze -u "$dir/below"; frozen=
}
recover() { # NUMBER WHEN
  local number=$1 said name committed promised late sequence generation found lost=0 kept=0 lates=0
  mount -o loop "$dir/device.$number" "$dir/copy" || { fail "cut $number: the copy cannot be mounted"; return; }
  mkdir -p "$dir/copy/data"
  # Read as it lies, before anything recovers it.
  "$coltape" verify "$dir/copy/data" --json >"$dir/read.$number" || true
  while read -r name committed promised late sequence generation; do
    if [[ ! -e $dir/copy/data/$name ]]; then
      if ((promised > 0)); then fail "cut $number: $name is gone, $promised records were promised"; fi
      continue
    fi
    found=$(found_in "$dir/read.$number" "$name")
    # Newest slot and generation of the copy.
    said=$(page "$dir/copy/data/$name" | awk '{ print ($2 > $6 ? $2 : $6) + 0, $11 + 0 }')
    said=${said:-0 0}
    # A day that was replaced just before the cut has its late records in their place.
    if ((${said#* } > generation)); then late=0; fi
    if ((${found% *} < promised || ${found#* } < late)); then
      fail "cut $number: $name has ${found% *} records (${found#* } late), $promised ($late late) were promised"
    fi
    kept=$((kept + promised)) lates=$((lates + late))
    if ((committed > ${found% *})); then lost=$((lost + committed - ${found% *})); fi
    # A slot is written each cycle: the newest that survived is at most one behind the newest there was.
    if ((${said% *} + 1 < sequence)); then fail "cut $number: $name survived with slot ${said% *} of $sequence: more than two cycles are lost"; fi
  done <"$dir/promised.$number"
  local status=0
  record "$dir/copy/data" --duration 1500ms >"$dir/recover.out" 2>"$dir/recover.err" || status=$?
  ended_well $status "$dir/recover.out" "$dir/recover.err" || { cat "$dir/recover.err" >&2; fail "cut $number: the recovery ended with $status"; }
  if [[ -d $dir/copy/data/_coltape/quarantine ]]; then fail "cut $number: $(cd "$dir/copy/data/_coltape/quarantine" && find . -name 'commit.*') in quarantine"; fi
  mkdir "$dir/cut.$number"
  cp -a --sparse=always "$dir/copy/data" "$dir/cut.$number/data"
  umount "$dir/copy"
  rm "$dir/device.$number"
  ((lost > lost_most)) && lost_most=$lost
  ((kept > promised_most)) && promised_most=$kept
  ((lates > late_most)) && late_most=$lates
  echo "  cut $number ($2): $kept records and $lates late ones were promised; at most $lost more were visible and are given up"
}
# Records and late records of a day as `verify --json` gives them.
found_in() { # REPORT PAGE
  local product=${2%%/*} rest=${2#*/} dataset date
  case ${rest%%/*} in TRADES) dataset=trades ;; MD) dataset=md ;; *) dataset=ticker_trades ;; esac
  date=${rest##*/commit.}
  sed -n "s/^{\"line\":\"day\",\"product\":\"$product\",\"date\":\"${date%.bin}\".*\"$dataset\":{\([^}]*\)}.*/\1/p" "$1" |
    sed -n 's/.*"records":\([0-9]*\).*"late":\([0-9]*\).*/\1 \2/p' | { read -r a b || true; echo "${a:-0} ${b:-0}"; }
}

echo "power cuts: $cuts, $products products at $rate trades/s each, seed $seed"
start
sleep 2
for ((number = 1; number <= cuts; number++)); do
  if ((number % 5 == 0)); then
    # In the middle of a stop: files are cut, replaced and sealed.
    kill -TERM $capture
    sleep "0.$(printf %03d $((RANDOM % 150)))"
    cut $number
    status=0
    wait $capture || status=$?
    ended_well $status "$dir/capture.out" "$dir/capture.err" || fail "the capture ended with $status: $(tail -n 1 "$dir/capture.err")"
    capture=
    start
    recover $number "in a stop"
  else
    sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 1000)))"
    kill -0 $capture || { cat "$dir/capture.err" >&2; exit 1; }
    cut $number
    recover $number "under load"
  fi
done
kill -TERM $capture
status=0
wait $capture || status=$?
ended_well $status "$dir/capture.out" "$dir/capture.err" || fail "the capture ended with $status"
capture=
kill -TERM $simulator
wait $simulator || true
simulator=

# Trades that passed while nothing ran are missing. Any other finding is an error.
compared=0
for ((number = 1; number <= cuts; number++)); do
  "$coltape" verify "$dir/cut.$number/data" --ledger "$ledger" --json >"$dir/verified" || true
  summary=$(tail -n 1 "$dir/verified")
  [[ $summary == '{"line":"summary",'* ]] || { fail "cut $number: no verdict"; continue; }
  wrong=$(sed 's/.*"findings":{\([^}]*\)}.*/\1/' <<<"$summary" | tr ',' '\n' | grep -Ev '^"(missing|lost|never_sent)":|^$' || true)
  if [[ -n $wrong ]]; then
    fail "cut $number: $wrong"
    grep '"line":"finding"' "$dir/verified" | grep -Ev '"kind":"(missing|lost|never_sent)"' | head -n 3
  fi
  equal=$(sed -n 's/.*"trades_equal":\([0-9]*\).*"ticker_records_equal":\([0-9]*\).*/\1 \2/p' "$dir/verified")
  compared=$((compared + ${equal% *} + ${equal#* }))
done
echo "$compared records equal the ledger's, every field; most promised at a cut $promised_most ($late_most late), most given up $lost_most"
if ((compared == 0 || promised_most == 0)); then fail "nothing was compared"; fi
if ((failed)); then echo "power cuts: FAILED (seed $seed)"; exit 1; fi
echo "power cuts: $cuts survived"
