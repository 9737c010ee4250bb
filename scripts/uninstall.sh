#!/usr/bin/env bash
# Takes away what scripts/install.sh has made: stops the capture, then removes program, units, completions and man pages. Never the data.
# usage: scripts/uninstall.sh [--purge] [--root DIR]
#   --purge     also settings in /etc/coltape that were changed
#   --root DIR  what was installed below DIR
# Settings that were changed stay, and so does the user while the data is there. It can be run again: what was kept is still known, and goes with --purge, or
# when the data has gone.
set -euo pipefail
self=$(realpath "$0")
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,7s/^# //p' "$self"; exit 0; fi
fail() { printf 'error: %s\n' "$*" >&2; exit "${code:-1}"; }

root='' purge=''
while (($#)); do
  case $1 in
    --root) [[ -n "${2:-}" ]] || code=2 fail "--root needs a value"; root=$2; shift 2 ;;
    --purge) purge=1; shift ;;
    *) code=2 fail "$1 is no option; --help lists them" ;;
  esac
done
if [[ -n $root ]]; then
  [[ -d $root ]] || fail "--root $root: no such directory"
  root=$(realpath "$root"); root=${root%/}
elif ((EUID != 0)); then
  fail "it has to be run as root (sudo), or with --root DIR"
fi
list=$root/usr/local/lib/coltape/installed
if [[ ! -e $list ]]; then echo "coltape is not installed here"; exit 0; fi
mapfile -t noted <"$list"

if [[ -z $root && -d /run/systemd/system ]] && systemctl cat coltape.service >/dev/null 2>&1; then
  # It drains, flushes and seals.
  systemctl disable --now coltape.service
  systemctl reset-failed coltape.service coltape-failed.service 2>/dev/null || true
fi
lines() { printf '%s\n' "${noted[@]}" | sed -n "s/^$1 //p"; } # KIND
drop_folders() { # The innermost first. A folder in which something else lies stays.
  local path
  for path in $(lines folder | awk '{ print length($0) ":" $0 }' | sort -rn | cut -d: -f2-); do rmdir "$root$path" 2>/dev/null || true; done
}
# What is kept is told, and stays on the list.
kept=() left=()
for line in "${noted[@]}"; do
  read -r kind path sum <<<"$line"
  case $kind in
    file) rm -f "$root$path" ;;
    settings)
      if [[ -n $purge || ! -e $root$path || $(sha256sum <"$root$path" | cut -d' ' -f1) == "$sum" ]]; then
        rm -f "$root$path"
      else
        kept+=("$path (--purge removes it)"); left+=("$line")
      fi ;;
  esac
done
drop_folders
data=
for path in /var/lib/coltape $(lines data); do
  if [[ -e $root$path ]]; then
    data=$path
    if lines folder | grep -xF -e "$path" >/dev/null; then left+=("data $path"); fi
  fi
done
if lines user | grep -x coltape >/dev/null && grep -q '^coltape:' "$root/etc/passwd"; then
  if [[ -n $data ]]; then
    kept+=("the user coltape, whose data is in $data (userdel coltape takes it away)"); left+=("user coltape")
  else
    userdel ${root:+--prefix "$root"} coltape
    # Where userdel does not take the user's own group with it (USERGROUPS_ENAB of login.defs).
    if grep -q '^coltape:' "$root/etc/group"; then groupdel ${root:+--prefix "$root"} coltape; fi
  fi
fi
if ((${#left[@]})); then
  for path in $(lines data); do if [[ -e $root$path ]]; then left+=("data $path"); fi; done
  for path in $(lines folder); do if [[ -d $root$path ]]; then left+=("folder $path"); fi; done
  printf '%s\n' "${left[@]}" | awk '!seen[$0]++' >"$list.new"
  mv -f "$list.new" "$list"
else
  rm -f "$list"
  drop_folders
fi
if [[ -z $root && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
echo "coltape is removed. Data stays where it was recorded."
for what in "${kept[@]}"; do echo "kept: $what"; done
