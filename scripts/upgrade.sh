#!/usr/bin/env bash
# Has the installed program take the place of the capture that coltape.service runs, without a trade lost, doubled or left without its order ids.
# usage: upgrade.sh     (as root, after install.sh; where no capture runs, it is started)
# The new program first takes over as coltape-next.service, then coltape.service, which is free by then, takes over from that. If the first step fails, the old
# capture goes on.
set -euo pipefail
self=$(realpath "$0")
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,5s/^# //p' "$self"; exit 0; fi
(($# == 0)) || { echo "error: there are no options; --help says what it does" >&2; exit 2; }

pid=$(systemctl show coltape -p MainPID --value)
if [[ ${pid:-0} == 0 ]]; then exec systemctl start coltape; fi
dir=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^COLTAPE_DATA_DIR=//p')
[[ -n $dir ]] || { echo "error: process $pid does not say where it records (COLTAPE_DATA_DIR)" >&2; exit 1; }
# What is printed has a backslash before $ and `, which systemd-run does not take.
# shellcheck disable=SC2016  # the characters themselves
environment=$(systemctl show coltape -p Environment --value | sed 's/\\\([$`]\)/\1/g')
# Each of the two waits until the capture is ready, which it is when it has taken over. The settings are those of the unit. It is systemd that takes the options
# apart, as in the unit: quotes count, which a shell would pass on as they are.
# shellcheck disable=SC2016  # the unit's own variable
systemd-run --quiet --collect --unit=coltape-next --uid=coltape --gid=coltape \
  --property=Type=notify --property=TimeoutStartSec=10min --property=TimeoutStopSec=3min \
  --property=UMask=0027 --property=LimitNOFILE=65536 --property=TasksMax=16384 \
  --property=Environment="$environment" --setenv=COLTAPE_DATA_DIR="$dir" \
  --property=EnvironmentFile=-/etc/coltape/capture.env \
  /usr/local/bin/coltape capture --products-file /etc/coltape/products --take-over '$CAPTURE_OPTIONS' ||
  { echo "error: the new program has not taken over; the old one goes on: journalctl -u coltape-next" >&2; exit 1; }
systemctl start coltape
echo "$(/usr/local/bin/coltape --version 2>/dev/null || echo coltape) records to $dir"
