#!/usr/bin/env bash
# package_test.sh BUILD-FOLDER: what `cpack` packs. The tarball, unpacked and moved, works as another user with no library from outside but
# the C and C++ libraries, MPI and what that needs; so does what is in the .deb, which names the packages of its libraries. The module file
# is loaded by Environment Modules or Lmod. Needs: launcher/setup/install_deps.sh package modules.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "package_test.sh: $*" >&2; exit 1; }
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-package.XXXXXX")
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
(umask 077 && cpack --config "$1/CPackConfig.cmake" -B "$folder/packages" >"$folder/cpack.log" 2>&1) || { cat "$folder/cpack.log"; fail "cpack failed"; }
du -h "$folder"/packages/*.tar.gz "$folder"/packages/*.deb | sed "s|$folder/packages/||"

mkdir -p "$folder/somewhere" "$folder/else where"
tar -xf "$folder"/packages/*.tar.gz -C "$folder/somewhere"
prefix="$folder/else where/berth"
mv "$folder"/somewhere/* "$prefix"
"$here/installed_run.sh" "$prefix"

# What MPI needs is what is missing where it is not looked into.
outside() {
  LD_LIBRARY_PATH='' ldd "$1" | grep -v -F "$prefix/" | sed -nE 's|^\t([^ ]+) => .*|\1|p; s|^\t(/[^ ]+) .*|\1|p' | sort -u
}
mpi=$(ldd "$prefix/bin/berth" | sed -nE 's/^\t(lib(mpi|mpich)\.so[^ ]*) => .*/\1/p')
[ -n "$mpi" ] || fail "berth needs no MPI"
machine=$({ outside "$(ldd "$prefix/bin/berth" | sed -nE "s|^\t$mpi => ([^ ]+) .*|\1|p")"; printf 'lib%s.so.6\n' c m stdc++; printf 'lib%s\n' gcc_s.so.1 dl.so.2 rt.so.1 pthread.so.0 util.so.1 resolv.so.2; } | sort -u)
for file in "$prefix"/bin/*; do
  from_outside=$(outside "$file" | grep -v -e linux-vdso -e ld-linux -e "^$mpi\$" | comm -23 - <(echo "$machine")) || true
  [ -z "$from_outside" ] || fail "${file#"$prefix/"} takes from outside: $from_outside"
done

depends=$(dpkg-deb -f "$folder"/packages/*.deb Depends)
echo "Depends: $depends"
for file in "$mpi" libhdf5 libboost_log libicuuc libcrypto; do
  path=$(ldd "$1/berth" | sed -nE "s|^\t$file[^ ]* => ([^ ]+) .*|\1|p" | head -n 1)
  package=$(dpkg-query -S "$(realpath "$path")" | sed 's/:.*//')
  [ "$file" = "$mpi" ] || [ -s "$prefix/share/doc/berth/licenses/$package/copyright" ] || fail "the tarball comes without the licence of $package"
  [[ ", $depends," =~ ", $package"[[:space:],] ]] || fail "the .deb does not depend on $package"
done
dpkg-deb -x "$folder"/packages/*.deb "$folder/deb"
"$here/installed_run.sh" "$folder/deb/usr"
for docs in "$prefix/share/doc/berth" "$folder/deb/usr/share/doc/berth"; do
  for package in libcli11-dev nlohmann-json3-dev libgomp1; do
    [ -s "$docs/licenses/$package/copyright" ] || fail "$docs lacks the licence of $package"
  done
  grep -q 'GNU GENERAL PUBLIC LICENSE' "$docs/licenses/common-licenses/GPL-3" || fail "$docs lacks the GPL"
done
[ -s "$folder/deb/usr/share/doc/berth/copyright" ] || fail "the .deb has no copyright"

loaded() { # COMMAND…: a module command that prints what a shell is to run
  local shell
  shell=$(env -u LOADEDMODULES MODULEPATH="$prefix/share/modulefiles" "$@" bash load berth) || return 1
  (eval "$shell" >/dev/null && [ "$(command -v berth)" = "$prefix/bin/berth" ] && [ "$BERTH_ROOT" = "$prefix" ])
}
# Debian has one of the two installed at a time.
tool=$(compgen -G "/usr/lib/*/modulecmd.tcl" || compgen -G "/usr/share/lmod/*/libexec/lmod") || fail "needs environment-modules or lmod"
loaded "${tool%% *}" || fail "$tool does not load the module"
