#!/usr/bin/env bash
# Makes sure that there is a browser for the tests of the page: chromium and chromedriver.
# Installs them on Debian (as root, with apt-get); elsewhere says in one line what to install. Without them those tests say so and are skipped.
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$0"; exit 0; fi
if command -v chromedriver >/dev/null; then exit 0; fi
if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
  echo "installing chromium chromium-driver" >&2
  # Without a network, or on a system that has no such packages, the tests themselves say what is missing.
  apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >&2 || true
fi
command -v chromedriver >/dev/null || echo "no browser: install chromium and chromedriver to run the tests of the page" >&2
