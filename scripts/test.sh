#!/usr/bin/env bash
# Runs everything CI runs: format, lints, documentation, all tests, and the bounded proofs. Sets up what it needs.
# usage: scripts/test.sh [--quick]     --quick leaves the load run out
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$self"; exit 0; fi
scripts/setup.sh
# A first build is quicker without what only the next ones need.
[[ -d ${CARGO_TARGET_DIR:-target}/debug ]] || export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
# They take a minute or two where nothing is there yet: meanwhile the lints are checked.
(scripts/setup_python.sh && scripts/setup_browser.sh) & tools=$!
step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --check
step "lints"
cargo clippy --locked --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
step "tests (crash images: ${COLTAPE_CRASH_IMAGES:-10000})"
wait "$tools"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Most tests wait for another process most of the time: more of them at once than processors.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-8} cargo test --locked 2>&1 | tee "$log"
step "promises: each is shown by a test that passed"
scripts/promises.sh --self-test
scripts/promises.sh "$log"
if [[ "${1:-}" != --quick ]]; then
  # The tests run the same program. Built alone it would be built once more, since tests turn on features of some packages below it.
  export COLTAPE_IS_BUILT=1
  step "demo"
  scripts/capture.sh --demo
  step "load: a short run of each feed (the full one is scripts/loadgen.sh --rate 1000 --products 20 --seconds 60)"
  scripts/loadgen.sh --profile dev --only-loss --rate 200 --products 10 --seconds 5
  scripts/loadgen.sh --profile dev --only-loss --rate 200 --products 10 --seconds 5 --feed advanced
fi
printf '\nall passed\n'
