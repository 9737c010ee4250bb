#!/usr/bin/env bash
# Makes sure that coltape can be built here: Rust, a C compiler, pkg-config and OpenSSL's headers.
# Installs what is missing on Debian (as root, with apt-get); elsewhere says in one line what to install.
set -euo pipefail
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,3s/^# //p' "$0"; exit 0; fi

if ! command -v cargo >/dev/null && [[ -x "$HOME/.cargo/bin/cargo" ]]; then PATH="$HOME/.cargo/bin:$PATH"; fi
command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs (1.95 or newer)" >&2; exit 1; }

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v pkg-config >/dev/null || missing+=(pkg-config)
if ! command -v pkg-config >/dev/null || ! pkg-config --exists openssl; then missing+=(libssl-dev); fi
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
if ((${#missing[@]})); then
  if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
  else
    echo "missing: run  sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
