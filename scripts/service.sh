#!/usr/bin/env bash
# Runs coltape.service under a real systemd: one of its own, which is process 1 of new namespaces and sees this system through an overlay. Shows that
# install.sh, start, reload, watchdog, kill -9, upgrade.sh, stop and uninstall.sh do what the guide says, and that no trade is missing afterwards.
# usage: scripts/service.sh [--binary FILE]      FILE: the program [default: target/debug/coltape, built first]
# As root. It needs systemd 250 or newer, iproute2, and a kernel with overlayfs and cgroup2. Nothing of this system is changed. Exit 1 where something is
# not as it should be; the log is shown then.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
fail() { printf 'error: %s\n' "$*" >&2; exit "${code:-1}"; }

# Process 1 of the new namespaces, before it becomes systemd. WORK is an empty folder.
boot() { # WORK
  local repo=$PWD work=$1 node unit
  mount -t tmpfs tmpfs "$work"
  mkdir "$work"/{up,temporary,root}
  mount -t overlay overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/temporary" "$work/root"
  cd "$work/root"
  mkdir -p srv/{source,tape} old
  mount -o bind,ro "$repo" srv/source
  mount -t tmpfs tmpfs srv/tape
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs dev
  for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  mount -t tmpfs tmpfs dev/shm
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs tmpfs tmp
  # Nothing of what this system runs by itself.
  : >etc/fstab
  for unit in timers.target systemd-udevd.service systemd-udevd-{control,kernel}.socket systemd-udev-trigger.service systemd-timesyncd.service \
    systemd-networkd.service systemd-resolved.service systemd-modules-load.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
  done
  pivot_root . old
  cd /
  umount --lazy old
  exec env -i container=namespaces PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin /lib/systemd/systemd --system --unit=basic.target
}

ok() { printf '%6.1f s  %s\n' "$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$*"; }
await() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@"; do ((SECONDS < end)) || fail "not in time: $what"; sleep 0.2; done
}
property() { systemctl show coltape -p "$1" --value; }
has_property() { [[ $(property "$1") == "$2" ]]; }
is_well() { coltape status /srv/tape >/run/status 2>&1; }
records() { coltape query "$1" --tail 1 --format csv --data-dir /srv/tape 2>/dev/null | tail -n +2 | grep -q .; }
has_other_process() { local now; now=$(property MainPID); [[ $now != 0 && $now != "$1" ]] && has_property ActiveState active && is_well; }
was_told() { grep -qx "$1" /run/told 2>/dev/null; }
installed() {
  find /usr/local /etc ! -name '*-' ! -name .pwd.lock ! -name '.updated' -printf '%p %m\n' | sort
  getent passwd coltape || true
  ls -d /var/lib/coltape 2>/dev/null || true
}
# An option that has blanks is one word of the process.
has_quoted_option() { grep -qzxF -e "$alert_command" "/proc/$(property MainPID)/cmdline"; }

# All that is shown, inside of the namespaces.
inside() { # BINARY
  local binary=$1 pid endpoints alert_command='cat >>/run/alerts' before began=$EPOCHREALTIME
  trap '((! $?)) || { journalctl --no-pager -o short-monotonic -u coltape -u coltape-next -u coltape-failed | tail -n 80; cat /run/status; } >&2' EXIT
  ip link set lo up
  installed >/run/before
  systemd-run --quiet --unit=exchange --property=StandardOutput=file:/run/exchange "$binary" simulate --products 3 --rate 50
  await 60 "the simulated exchange" grep -q websocket_url /run/exchange
  endpoints=$(sed -n 's/.*"websocket_url":"\([^"]*\)".*/--url \1/p' /run/exchange)
  endpoints+=$(sed -n 's/.*"rest_url":"\([^"]*\)".*/ --rest-url \1/p' /run/exchange)
  mapfile -t products < <(sed -n 's/.*"products":\[\([^]]*\)\].*/\1/p' /run/exchange | tr -d '"' | tr ',' '\n')

  scripts/install.sh --binary "$binary" --data-dir /srv/tape >/run/said
  [[ $(systemctl is-enabled coltape || true) == disabled ]] || fail "install.sh has enabled the unit"
  systemd-analyze security coltape --threshold=25 --no-pager >/dev/null || fail "the unit is more exposed than 2.5"
  ok "installed, nothing started"

  echo "${products[0]}" >/etc/coltape/products
  # No proxy is there. The drop-in says that none is needed.
  sed -i "s|^CAPTURE_OPTIONS=.*|CAPTURE_OPTIONS=$endpoints --alert-command '$alert_command'|; \$a ALL_PROXY=http://127.0.0.1:9" /etc/coltape/capture.env
  # What systemd waits for, shorter.
  mkdir -p /etc/systemd/system/coltape.service.d
  cat >/etc/systemd/system/coltape.service.d/patience.conf <<'END'
[Service]
WatchdogSec=10s
RestartSec=1s
Environment="NO_PROXY=127.0.0.1, localhost" "NOTE=$1 \"2\""
END
  printf '#!/bin/sh\necho "$1" >>/run/told\n' >/etc/coltape/on-failure
  chmod 755 /etc/coltape/on-failure
  install -o coltape -m 644 /dev/null /run/told
  systemctl daemon-reload
  systemctl enable --now coltape 2>/dev/null
  has_property ActiveState active || fail "systemctl start came back, and the capture is not ready"
  await 60 "a capture that is well" is_well
  [[ $(stat -c %U "/proc/$(property MainPID)") == coltape ]] || fail "it does not run as its user"
  await 30 "trades" records "${products[0]}"
  has_quoted_option || fail "an option with blanks has come apart"
  ok "enabled and started: $(property StatusText)"

  printf '%s\n' "${products[@]}" >/etc/coltape/products
  pid=$(property MainPID)
  systemctl reload coltape
  await 60 "trades of a product that was added" records "${products[2]}"
  has_property MainPID "$pid" || fail "a reload has started another process"
  ok "reloaded: ${#products[@]} products, the same process"

  before=$(property NRestarts)
  kill -STOP "$pid"
  await 120 "another process after a hang" has_other_process "$pid"
  journalctl -u coltape | grep -q "Watchdog timeout" || fail "systemd says nothing of the watchdog"
  (($(property NRestarts) == before + 1)) || fail "it was started again $(property NRestarts) times, not $((before + 1))"
  await 30 "the hook of a failure" was_told ended
  ok "hung (SIGSTOP): ended by the watchdog and started again"

  pid=$(property MainPID)
  kill -KILL "$pid"
  await 60 "another process after a kill" has_other_process "$pid"
  ok "killed (SIGKILL): started again"

  pid=$(property MainPID)
  scripts/upgrade.sh >/run/said
  has_other_process "$pid" || fail "upgrade.sh came back, and the old process runs"
  has_quoted_option || fail "an option with blanks has come apart in the upgrade"
  systemctl is-active --quiet coltape-next && fail "the capture of the first step still runs"
  ok "upgraded: $(cat /run/said)"

  pid=$(property MainPID)
  systemctl stop coltape
  has_property Result success || fail "the stop ended with $(property Result)"
  has_property ExecMainStatus 0 || fail "the capture ended with $(property ExecMainStatus)"
  ok "stopped in order"
  coltape verify /srv/tape >/run/verify || { cat /run/verify >&2; fail "not everything is there"; }
  ok "nothing is missing: $(tail -n 1 /run/verify)"

  sed -i 's|^CAPTURE_OPTIONS=.*|CAPTURE_OPTIONS=--no-such-option|' /etc/coltape/capture.env
  systemctl start coltape 2>/dev/null && fail "a wrong command line has started"
  await 30 "the hook of a capture that is not started again" was_told failed
  has_property ActiveState failed || fail "it is $(property ActiveState) after a wrong command line"
  ok "a wrong command line: not started again, the hook was told"

  rm -r /etc/systemd/system/coltape.service.d/patience.conf /etc/coltape/on-failure
  scripts/uninstall.sh >/run/said
  grep -q "kept: /etc/coltape/capture.env" /run/said || fail "uninstall.sh does not say that it has kept settings"
  scripts/uninstall.sh --purge >/run/said
  [[ ! -e /etc/coltape ]] || fail "settings are left after uninstall.sh and uninstall.sh --purge"
  getent passwd coltape >/dev/null || fail "the user is gone, and its data is not"
  grep -q "kept: the user coltape" /run/said || fail "uninstall.sh does not say what it has kept"
  [[ -e /srv/tape/${products[0]} ]] || fail "uninstall.sh has removed data"
  ok "uninstalled: the data and its user are there"
  scripts/install.sh --binary "$binary" --data-dir /srv/tape >/run/said 2>&1
  umount /srv/tape
  rmdir /srv/tape
  scripts/uninstall.sh --purge >/run/said
  installed >/run/after
  diff /run/before /run/after >&2 || fail "uninstall.sh has left something behind"
  ok "installed and uninstalled without data: no trace"
}

binary=''
while (($#)); do
  case $1 in
    -h|--help) sed -n '2,6s/^# //p' "$self"; exit 0 ;;
    --binary) [[ -n "${2:-}" ]] || code=2 fail "$1 needs a value"; binary=$(realpath "$2"); shift 2 ;;
    --boot) boot "$2" ;;
    --inside) inside "$2"; exit 0 ;;
    *) code=2 fail "$1 is no option; --help lists them" ;;
  esac
done
((EUID == 0)) || fail "it has to be run as root"
for program in unshare nsenter ip systemctl systemd-run pivot_root; do command -v "$program" >/dev/null || fail "$program is not installed"; done
[[ -x /lib/systemd/systemd ]] || fail "systemd is not installed (apt-get install systemd)"
grep -qw overlay /proc/filesystems || fail "this kernel has no overlayfs"
cgroups=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || fail "no cgroup2 is mounted here"
if [[ -z $binary ]]; then
  scripts/setup.sh
  cargo build --locked
  binary=$(realpath "${CARGO_TARGET_DIR:-target}/debug/coltape")
fi
[[ -x $binary ]] || fail "--binary $binary: no such program"

work=$(mktemp -d "${TMPDIR:-/tmp}/coltape-service.XXXXXX")
cgroup=$cgroups/$(basename "$work")
mkdir "$cgroup"
outer=''
finish() {
  if [[ -n $outer ]]; then kill -KILL "$outer" 2>/dev/null || true; wait "$outer" 2>/dev/null || true; fi
  for ((i = 0; i < 50; i++)); do
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
  rm -rf "$work"
}
trap finish EXIT
cp "$binary" "$work/coltape"
mkdir "$work/mount"
(
  echo "$BASHPID" >"$cgroup/cgroup.procs"
  exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup bash "$self" --boot "$work/mount"
) >"$work/boot.log" 2>&1 </dev/null &
outer=$!
init() { pgrep -P "$outer"; }
enter() { nsenter --target "$(init)" --mount --pid --uts --ipc --net --cgroup "$@"; }
is_up() { [[ $(enter systemctl is-system-running 2>/dev/null) =~ running|degraded ]]; }
for ((i = 0; i < 300; i++)); do
  if is_up; then break; fi
  kill -0 "$outer" 2>/dev/null || { cat "$work/boot.log" >&2; fail "systemd has ended"; }
  sleep 0.2
done
is_up || { cat "$work/boot.log" >&2; fail "systemd does not come up"; }
echo "systemd $(enter systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') is process 1"
enter cp /dev/stdin /usr/bin/coltape-under-test <"$work/coltape"
enter chmod 755 /usr/bin/coltape-under-test
enter bash -c 'cd /srv/source && exec scripts/service.sh --inside /usr/bin/coltape-under-test'
