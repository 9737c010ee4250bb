#!/usr/bin/env bash
# Installs coltape on a box: program, systemd units, completions, man pages, and first settings in /etc/coltape. It starts nothing.
# usage: scripts/install.sh [--binary FILE] [--data-dir DIR] [--root DIR]
#   --binary FILE   the program [default: target/release/coltape, which cargo brings up to date]
#   --data-dir DIR  where the unit records to [default: /var/lib/coltape]
#   --root DIR      install below DIR, as for an image or a container; nothing outside of it is touched
# Run it again to upgrade: a running capture goes on with the old program until it is started again. Settings that are there are kept.
# scripts/uninstall.sh takes away what this has made, and never the data.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."
if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then sed -n '2,8s/^# //p' "$self"; exit 0; fi
fail() { printf 'error: %s\n' "$*" >&2; exit "${code:-1}"; }

root='' binary='' data_dir=''
while (($#)); do
  case $1 in
    --root|--binary|--data-dir) [[ -n "${2:-}" ]] || code=2 fail "$1 needs a value"; declare "$(tr - _ <<<"${1#--}")=$2"; shift 2 ;;
    *) code=2 fail "$1 is no option; --help lists them" ;;
  esac
done
if [[ -n $root ]]; then
  [[ -d $root ]] || fail "--root $root: no such directory"
  root=$(realpath "$root"); root=${root%/}
elif ((EUID != 0)); then
  fail "it has to be run as root (sudo), or with --root DIR"
fi
[[ -z $data_dir || $data_dir =~ ^/[A-Za-z0-9_./@+-]*$ ]] || fail "--data-dir $data_dir: give the whole path, from /, of letters, digits and . _ - @ +"
if [[ -z $binary ]]; then
  binary=${CARGO_TARGET_DIR:-target}/release/coltape
  # sudo has a path of its own.
  if ! command -v cargo >/dev/null; then PATH=$PATH:${HOME:-/root}/.cargo/bin; fi
  command -v cargo >/dev/null || fail "$(id -un) has no cargo: build first as yourself (cargo build --locked --release), then add --binary $binary"
  scripts/setup.sh
  # What lies there may be older than the sources: cargo knows.
  cargo build --locked --release
fi
[[ -x $binary ]] || fail "--binary $binary: no such program"
version=$("$binary" --version) || fail "--binary $binary: it does not run here"

# The commit of this checkout and of the program, in the words of scripts/commit.rs. Nothing is compared outside of a checkout, and where there is no git.
git_here() { env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE git --no-optional-locks -c safe.directory="$PWD" -c core.fsmonitor=false "$@" 2>/dev/null; }
if [[ $(git_here rev-parse --show-toplevel) == "$(pwd -P)" ]] && head=$(git_here rev-parse HEAD); then
  short=$(git_here rev-parse --short HEAD) changed=''
  if [[ -n $(git_here status --porcelain -- src Cargo.toml Cargo.lock scripts/commit.rs) ]]; then changed=-changed; fi
  built=$(sed -n '1s/.* (\(.*\))$/\1/p' <<<"$version") built_changed=''
  if [[ $built == *-changed ]]; then built_changed=-changed; fi
  if [[ -z $built || $built == unknown ]]; then
    echo "note: the program does not say which commit it is built from; this checkout is at $short$changed" >&2
  elif [[ $head != "${built%-changed}"* || $built_changed != "$changed" ]]; then
    echo "note: the program is built from $built, and this checkout is at $short$changed" >&2
  fi
fi

# What this makes is noted, so that uninstall.sh takes away that and nothing else: `file PATH`, `folder PATH`, `settings PATH SUM`, `data PATH`,
# `user NAME`. What uninstall.sh has kept is still noted there, and is taken over.
lib=/usr/local/lib/coltape
list=$root$lib/installed
noted=()
if [[ -e $list ]]; then mapfile -t noted <"$list"; fi
note() { local line; for line in "${noted[@]}"; do [[ $line == "$1" ]] && return; done; noted+=("$1"); }
keep_list() { printf '%s\n' "${noted[@]}" >"$list.new"; mv -f "$list.new" "$list"; }

folder() { # PATH: makes a folder and those above it
  [[ -d $root$1 ]] && return
  folder "$(dirname "$1")"
  mkdir -m 755 "$root$1"
  note "folder $1"
}
place() { # FILE PATH MODE: replaces a file as a whole, so that whoever has the old one open keeps it
  folder "$(dirname "$2")"
  [[ -e $root$2 ]] || note "file $2"
  install -m "$3" "$1" "$root$2.new"
  mv -f "$root$2.new" "$root$2"
}
settings() { # PATH MODE, text on stdin: only where there are none yet
  [[ -e $root$1 ]] && { cat >/dev/null; return; }
  folder "$(dirname "$1")"
  cat >"$root$1"
  chmod "$2" "$root$1"
  local at
  for at in "${!noted[@]}"; do if [[ ${noted[at]} == "settings $1 "* ]]; then unset "noted[at]"; fi; done
  note "settings $1 $(sha256sum <"$root$1" | cut -d' ' -f1)"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder "$lib"
trap 'keep_list; rm -rf "$work"' EXIT

# The program that is replaced stays beside it, for the way back.
if [[ -e $root/usr/local/bin/coltape ]] && ! cmp -s "$binary" "$root/usr/local/bin/coltape"; then
  place "$root/usr/local/bin/coltape" $lib/coltape.previous 755
fi
place "$binary" /usr/local/bin/coltape 755
place scripts/ended.sh $lib/ended 755
place scripts/rollback.sh $lib/rollback 755
place scripts/upgrade.sh $lib/upgrade 755
place scripts/coltape.service /usr/local/lib/systemd/system/coltape.service 644
place scripts/coltape-failed.service /usr/local/lib/systemd/system/coltape-failed.service 644
for shell in bash:bash-completion/completions/coltape zsh:zsh/site-functions/_coltape fish:fish/vendor_completions.d/coltape.fish; do
  "$binary" completions "${shell%%:*}" >"$work/completions"
  place "$work/completions" "/usr/local/share/${shell#*:}" 644
done
"$binary" man --out "$work/man"
for page in "$work"/man/*.1; do place "$page" "/usr/local/share/man/man1/$(basename "$page")" 644; done

# Rules and a dashboard for Prometheus and Grafana, to be copied to where these run.
for file in scripts/box/*; do
  if [[ -f $file ]]; then place "$file" "/usr/local/share/coltape/$(basename "$file")" 644; fi
done

settings /etc/coltape/products 644 <<END
# The products that coltape.service records, one a line. After a change: systemctl reload coltape
BTC-USD
END
settings /etc/coltape/capture.env 644 <<END
# Options of \`coltape capture\` for coltape.service, separated by blanks: --lines 2 --proxy http://proxy:3128. After a change: systemctl restart coltape
# Quotes hold together what has blanks: --alert-command 'curl -fsS --data-binary @- https://pager.example/hook'
CAPTURE_OPTIONS=
RUST_LOG=info
END
if [[ -n $data_dir ]]; then
  folder /etc/systemd/system/coltape.service.d
  printf '[Unit]\nRequiresMountsFor="%s"\n[Service]\nEnvironment="COLTAPE_DATA_DIR=%s"\nReadWritePaths="%s"\n' "$data_dir" "$data_dir" "$data_dir" >"$work/drop-in"
  place "$work/drop-in" /etc/systemd/system/coltape.service.d/data-dir.conf 644
fi

# The user that the capture runs as, without a password and a shell.
if [[ ! -e $root/etc/passwd ]]; then
  echo "note: there is no $root/etc/passwd; make the system user coltape yourself" >&2
elif grep -q '^coltape:' "$root/etc/passwd"; then
  : # It is there.
elif ((EUID != 0)); then
  echo "note: only root can make the system user coltape in $root" >&2
else
  useradd ${root:+--prefix "$root"} --system --user-group --no-create-home --home-dir /var/lib/coltape --shell /usr/sbin/nologin coltape
  note "user coltape"
fi
if [[ -n $data_dir ]]; then
  folder "$data_dir"
  note "data $data_dir"
  owner=$(awk -F: '$1 == "coltape" { print $3 ":" $4 }' "$root/etc/passwd" 2>/dev/null || true)
  # Only a new or empty directory: what is there has an owner.
  if [[ -n $owner && -z $(ls -A "$root$data_dir") ]]; then chown "$owner" "$root$data_dir"; fi
fi
# systemd makes this one at the first start.
if [[ ! -e $root/var/lib/coltape ]]; then note "folder /var/lib/coltape"; fi
keep_list
if [[ -z $root && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
# Where the unit records, as a drop-in of now or of before says it, and last the settings.
units=$root/etc/systemd/system/coltape.service.d
for file in "$units"/*.conf "$root/etc/coltape/capture.env"; do
  if [[ -f $file ]]; then
    found=$(sed -n -E "s/^(Environment=(.*[\"' ])?)?[\"']?COLTAPE_DATA_DIR=[\"']?([^\"' ]+).*/\3/p" "$file" | tail -n 1)
    data_dir=${found:-$data_dir}
  fi
done
cat <<END
$version is installed. Next:
  1. name the products in /etc/coltape/products (one to begin with)
  2. coltape doctor --products-file /etc/coltape/products --data-dir ${data_dir:-/var/lib/coltape}
  3. systemctl enable --now coltape          (after an upgrade: scripts/upgrade.sh)
  4. systemctl status coltape; coltape status ${data_dir:-/var/lib/coltape}
END
