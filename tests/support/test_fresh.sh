#!/usr/bin/env bash
# Proves that a bare machine gets by with this repository and the package registries: debootstraps this machine's own Debian or Ubuntu
# release into a temporary folder with git and make only, clones the committed state of this repository into it, and runs the README's
# commands in a chroot.
#   test_fresh.sh [COMMAND…]      default: make test, make demo
# The machine's package sources, mirror, proxy, pip settings and certificates are copied in: nothing here names a host. Needs root.
# FRESH_SUITE=<trixie, noble, …> takes another release, from the same mirror or from FRESH_MIRROR=<URL>.
# FRESH_FROM=<.tar> caches the bare system between calls; it may be another Debian or Ubuntu, with package sources of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
commands=("$@")
[ $# -gt 0 ] || commands=("make test" "make demo")

die() {
  echo "test_fresh.sh: $*" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || die "needs root (debootstrap and chroot)"
command -v debootstrap >/dev/null || die "debootstrap is missing: run launcher/setup/install_deps.sh fresh"

. /etc/os-release
suite=${FRESH_SUITE:-$VERSION_CODENAME}
mirror=${FRESH_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v r="$VERSION_CODENAME" '$2 == r {print $1; exit}')}
[ -n "$mirror" ] || die "apt has no package source for $VERSION_CODENAME: run apt-get update"

root=$(mktemp -d "${TMPDIR:-/tmp}/berth-fresh.XXXXXX")
chmod 755 "$root" # apt's downloads run as a user of their own
cleanup() {
  # The mounts first: what lies behind them is this machine's.
  for mount in "$root/dev" "$root/proc" "$root/sys"; do
    ! mountpoint -q "$mount" || umount -R -l "$mount"
  done
  rm -rf --one-file-system "$root"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

script=/usr/share/debootstrap/scripts/$suite components=main
[ -e "$script" ] || script=${script%/*}/gutsy # all of Ubuntu's are links to it; of the newest it may have none yet
[ "$(basename "$(realpath "$script")")" != gutsy ] || components=main,universe
echo "== A bare $suite in $root"
if [ -f "${FRESH_FROM:-}" ]; then
  tar -xf "$FRESH_FROM" -C "$root"
else
  debootstrap --variant=minbase --include=git,make --components=$components "$suite" "$root" "$mirror" "$script" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log"; die "debootstrap failed"; }
  rm -f "$root.log"
  [ -z "${FRESH_FROM:-}" ] || tar -cf "$FRESH_FROM" -C "$root" .
fi

# How this machine reaches the registries.
paths=(/etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates)
if [ "$(. "$root/etc/os-release" && echo "$VERSION_CODENAME")" = "$VERSION_CODENAME" ]; then
  rm -rf "$root"/etc/apt/sources.list*
  paths+=(/etc/apt/{sources.list,sources.list.d,apt.conf,apt.conf.d,auth.conf.d,keyrings,trusted.gpg.d} /usr/share/keyrings)
fi
for path in "${paths[@]}"; do
  [ ! -e "$path" ] || { mkdir -p "$root$(dirname "$path")" && cp -rL --remove-destination "$path" "$root$(dirname "$path")/"; }
done
home=/home/fresh # the builder's, inside
mkdir -p "$root$home/.config"
for config in .config/pip .pip; do
  [ ! -e "$HOME/$config" ] || cp -rL "$HOME/$config" "$root$home/$config"
done
settings=()
while IFS= read -r name; do
  settings+=("$name=${!name}")
done < <(compgen -e | grep -iE '^(pip_|(http|https|ftp|no|all)_proxy$|ssl_cert_|requests_ca_bundle$|curl_ca_bundle$|git_ssl_cainfo$)')

git clone --quiet --no-local . "$root$home/berth"
mount -t proc proc "$root/proc"
mount --rbind --make-rslave /dev "$root/dev"

for command in "${commands[@]}"; do
  echo "== $command"
  began=$SECONDS
  chroot "$root" env -i HOME=$home PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
    "${settings[@]}" bash -c "cd $home/berth && $command" || die "'$command' failed on a bare machine"
  echo "== $command took $((SECONDS - began)) seconds"
done
