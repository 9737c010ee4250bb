#!/usr/bin/env bash
# Checks that a test that exists, ran and passed shows each promise of the README and each row of its failure table.
# usage: scripts/promises.sh [LOG]     LOG: the output of `cargo test`; without it the tests are run
#        scripts/promises.sh --self-test     shows that an invented, an ignored and a failed promise are refused
# A row names its tests in backticks in its last column: a test (`day::a_name`, `a_name…` for one that begins so) or all tests of a module (`day::*`).
# The name of the test binary is the outermost module. `scripts/…` names a script that one of the row's tests, or scripts/test.sh, runs.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,6s/^# //p' "$self"; exit 0; fi

# README LOG → the promises that no test shows, one a line; exit 1 where there is one.
check() {
  awk -v tested="$(grep -rhoE 'scripts/[a-z]+\.sh' scripts/test.sh tests | sort -u | tr '\n' ' ')" '
    function refuse(row, name, why) { printf "not shown: %s\n    `%s` %s\n", row, name, why; refused++ }
    # How the tests went that a name means: all of them have to be there and to have passed.
    function judge(row, name,    prefix, count, bad, test, last) {
      prefix = 0
      last = name
      if (sub(/…$/, "", name) || sub(/::\*$/, "::", name)) prefix = 1
      for (test in result) {
        # A test by its full name, or without the modules before it.
        if (test != name && !ends(test, "::" name) && !(prefix && begins(test, name))) continue
        count++
        if (result[test] != "ok") bad = bad " " test " (" result[test] ")"
      }
      if (!count) refuse(row, last, "names no test that ran")
      else if (bad) refuse(row, last, "did not pass:" bad)
      else promises++
    }
    function begins(test, name) { return index(test, name) == 1 || index(test, "::" name) > 0 }
    function ends(test, name) { return length(test) > length(name) && substr(test, length(test) - length(name) + 1) == name }
    FNR == 1 { file++ }
    # The log. Every binary says which it is; every test how it went, on a line of its own or behind what it printed.
    file == 1 && /^ *Running / { binary = $2 == "unittests" ? "lib" : $2; sub(/^.*tests\//, "", binary); sub(/\/main\.rs$|\.rs$/, "", binary) }
    file == 1 && /^ *Doc-tests / { binary = "doc" }
    file == 1 && match($0, /test [A-Za-z0-9_:]+( - should panic)? \.\.\. (ok|FAILED|ignored)/) {
      line = substr($0, RSTART, RLENGTH); split(line, words, " "); result[binary "::" words[2]] = words[length(words)]; open = ""; next
    }
    file == 1 && match($0, /^test [A-Za-z0-9_:]+( - should panic)? \.\.\. /) { split($0, words, " "); open = words[2]; next }
    file == 1 && open != "" && /(^|[^a-z])(ok|FAILED)$/ { result[binary "::" open] = /ok$/ ? "ok" : "FAILED"; open = ""; next }
    # The README.
    file == 2 && /^## / { section = $0 }
    file == 2 && (section == "## Guarantees" || section == "## When something goes wrong") && /^\|/ {
      rows = split($0, cells, "|")
      row = cells[2]; gsub(/^ +| +$/, "", row)
      if (row == "promise" || row == "what" || row ~ /^-+$/) {
        if (row != "promise" && row != "what") next
        shown = cells[rows - 1]; gsub(/^ +| +$/, "", shown)
        if (shown != "shown by") { printf "%s: its last column is not \"shown by\"\n", section; refused++ }
        tables++
        next
      }
      rest = cells[rows - 1]; named = 0
      while (match(rest, /`[^`]+`/)) {
        name = substr(rest, RSTART + 1, RLENGTH - 2); rest = substr(rest, RSTART + RLENGTH); named++
        if (name ~ /^scripts\//) { if (index(tested, name)) promises++; else refuse(row, name, "is run by no test") }
        else judge(row, name)
      }
      if (!named) refuse(row, "", "names no test")
      checked++
    }
    END {
      if (tables != 2) { printf "%d tables of promises instead of 2\n", tables; refused++ }
      printf "%d rows, %d names that hold, %d that do not\n", checked, promises, refused
      exit refused > 0 || checked == 0
    }' "$2" "$1"
}

self_test() {
  local dir; dir=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$dir'" EXIT
  cat >"$dir/log" <<'END'
     Running unittests src/lib.rs (target/debug/deps/coltape-0)
test store::map::tests::a_file_grows ... ok
     Running tests/tape/main.rs (target/debug/deps/tape-0)
test capture::day::a_good_one ... ok
test capture::day::a_skipped_one ... ignored
test capture::day::a_failed_one ... FAILED
test capture::night::a_chatty_one ... some words
more words
ok
     Running tests/store/main.rs (target/debug/deps/store-0)
test crash_images::whatever ... ok
END
  readme() { # LAST-COLUMN
    printf '## Guarantees\n\n| promise | shown by |\n|---|---|\n| it holds | %s |\n\n## When something goes wrong\n\n| what | what happens | shown by |\n|---|---|---|\n| it breaks | it says so | `crash_images::*` |\n' "$1" >"$dir/readme"
  }
  local name
  for name in '`day::a_good_one`' '`a_good_one`' '`day::a_goo…`, `night::*`' '`crash_images::*`' '`store::*`' '`store::crash_images::*`' '`whatever`' '`map::tests::a_file_grows`' '`scripts/powercut.sh`'; do
    readme "$name"
    check "$dir/readme" "$dir/log" >"$dir/said" || { echo "self-test: $name should hold"; cat "$dir/said"; return 1; }
  done
  for name in 'nothing at all' '`day::an_invented_one`' '`good_one`' '`day::a_skipped_one`' '`day::a_failed_one`' '`day::*`' '`an_invented_binary::*`' '`store`' '`tape::*`' '`a_good_one`, `night::an_inv…`' '`scripts/invented.sh`'; do
    readme "$name"
    if check "$dir/readme" "$dir/log" >"$dir/said"; then echo "self-test: $name should not hold"; cat "$dir/said"; return 1; fi
  done
  readme '`whatever`'; sed -i 's/shown by |$/what to do |/' "$dir/readme"
  if check "$dir/readme" "$dir/log" >"$dir/said"; then echo "self-test: a table without the column should not hold"; return 1; fi
  : >"$dir/readme"
  if check "$dir/readme" "$dir/log" >"$dir/said"; then echo "self-test: a README without promises should not hold"; return 1; fi
  echo "self-test: what holds is believed, what does not is refused"
}

if [[ "${1:-}" == --self-test ]]; then self_test; exit; fi
log=${1:-}
if [[ -z $log ]]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  cargo test --locked --no-fail-fast 2>&1 | tee "$log" >&2 || true
fi
check README.md "$log" && is_shown=1 || is_shown=
# Tests say on stderr what they skip: a run on a machine without root or loop devices shows less.
left_out=$(grep -oE 'skipped: .*' "$log" | sort | uniq -c || true)
if [[ -n $left_out ]]; then printf 'skipped on this machine, so not shown by this run:\n%s\n' "$left_out"; fi
[[ -n $is_shown ]]
